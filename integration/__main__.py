"""`python -m integration`: the operators' commands."""

import sys

from integration.cli.main import main

sys.exit(main())
