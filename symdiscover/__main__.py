"""``python -m symdiscover``."""

import sys

from symdiscover.cli import main

if __name__ == "__main__":
    sys.exit(main())
