"""python -m ui.app."""

import sys

if __name__ == "__main__":
    print("error: the browser application is not part of this version yet; see README.md, Limits", file=sys.stderr)
    sys.exit(2)
