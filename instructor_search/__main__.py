"""python -m instructor_search search "..." --instruction "..." """

import sys

from instructor_search.cli import main

sys.exit(main())
