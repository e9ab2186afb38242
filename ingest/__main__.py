"""python -m ingest corpus/ --instruction"""

import sys

from ingest.cli import main

sys.exit(main())
