"""Run a module as ``python -m`` does, and end as after Ctrl-C when the process that started it is gone.

    python -m ui.child MODULE ARGUMENT ...

The parent holds the other end of standard input and never writes to it; however it ends (SIGKILL too), that closes it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from threading import Thread

_PATIENCE = 20.0  # seconds from the interruption to the end by force


def main() -> None:
    """Run the module that ``sys.argv`` names."""
    module = sys.argv[1]
    sys.argv = [module, *sys.argv[2:]]
    Thread(target=_watch, args=(os.dup(0),), daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.read(parent, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_PATIENCE)
    os._exit(130)


if __name__ == "__main__":
    main()
