"""Keeps the memory of a server that runs for days near what its work needs; glibc and Python give it back late."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from typing import NoReturn

_M_ARENA_MAX = -8  # of glibc's malloc.h
_TIDY_SECONDS = 20.0


def share_arenas() -> None:
    """Let threads share two arenas of memory, where glibc gives each its own, which keep what was once used."""
    with contextlib.suppress(OSError, AttributeError):  # another system's library
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 2)


def tidy_for_ever() -> NoReturn:
    """Give back what requests leave, again and again; what is there at the first call is not looked at each time."""
    gc.collect()
    gc.freeze()
    while True:
        time.sleep(_TIDY_SECONDS)
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
