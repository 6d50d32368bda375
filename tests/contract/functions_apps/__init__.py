"""Small function apps for the contract tests of the local Functions host."""
