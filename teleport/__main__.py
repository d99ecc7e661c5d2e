"""``python -m teleport``."""

import sys

from teleport.cli import main

if __name__ == "__main__":
    sys.exit(main())
