"""Run a module as ``python -m`` does, with settings from standard input, and end when its parent is gone.

    python -m ui.child MODULE [SUBCOMMAND]

The parent writes one line, a JSON object of the module's flags by name, and keeps its end of standard input open:
however it ends (SIGKILL too), that closes it, and this process ends as after Ctrl-C. What people typed stands in that
line only, never among the arguments: there it could be read as an option, and by everybody on this machine.
"""

from __future__ import annotations

import io
import os
import runpy
import signal
import sys
import time
from threading import Thread

_PATIENCE = 20.0  # seconds from the interruption to the end by force


def main() -> None:
    """Run the module that ``sys.argv`` names."""
    from instructor_search.commands.parser import SETTINGS

    module, *command = sys.argv[1:]
    parent = os.dup(0)
    sys.stdin = io.StringIO(_line(parent))
    Thread(target=_watch, args=(parent,), daemon=True).start()
    sys.argv = [module, *command, *SETTINGS]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _line(parent: int) -> str:
    """Return the first line; nothing follows it."""
    read = b""
    while not read.endswith(b"\n"):
        part = os.read(parent, 65_536)
        if not part:
            break
        read += part
    return read.decode("utf-8")


def _watch(parent: int) -> None:
    while os.read(parent, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_PATIENCE)
    os._exit(130)


if __name__ == "__main__":
    main()
