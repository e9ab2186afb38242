"""python -m train.medi build | show."""

import sys

from train.medi.cli import main

if __name__ == "__main__":
    sys.exit(main())
