"""`python -m hobbit`, and the console script of the same name."""

from __future__ import annotations

import sys

from hobbit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
