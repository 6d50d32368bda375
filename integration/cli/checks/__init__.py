"""What `doctor` looks at, one module per side. Reading and judging are apart: the judgements are pure."""
