"""python -m instructor_search search "QUERY" --instruction "INSTRUCTION"."""

import sys

from instructor_search.commands.main import main

sys.exit(main())
