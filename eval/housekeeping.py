"""What a long run needs of the machine: a folder for temporary files, and memory that is given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from instructor_search.files import is_alive


@contextlib.contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Make a folder for temporary files; those of runs that were killed are swept away."""
    output.mkdir(parents=True, exist_ok=True)
    for left in output.glob(".working-*"):
        pid = left.name.split("-")[1]
        if not is_alive(pid):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".working-{os.getpid()}-", dir=output))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def modules_left_alone() -> Iterator[None]:
    """Keep what is there by now, modules above all, out of every search for garbage: half a second after each task."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def return_memory() -> None:
    """Give freed memory back (glibc): batches of all lengths leave half a gigabyte of holes in the heap."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
