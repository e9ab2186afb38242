"""A folder of one's own that links to the files of a saved index: what locks and adds files needs one to write in."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from instructor_search.errors import StoreError
from instructor_search.files import is_alive

_PREFIX = ".words-"


class NoScratchError(StoreError):
    """There is nowhere to write."""


def linked_folder(folder: Path, names: Iterable[str], scratch: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder with links to these files of ``folder``; those that are written anew are copied.

    ``scratch``: where it is made; None: where the system has its temporary files. Folders that killed processes have
    left there are deleted.

    Raises:
        NoScratchError: none can be made.
        OSError: a file is missing.
    """
    _sweep(scratch or Path(tempfile.gettempdir()))
    try:
        temporary = tempfile.TemporaryDirectory(
            prefix=f"{_PREFIX}{os.getpid()}-", dir=scratch, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise NoScratchError(f"no temporary folder can be made ({error}); set TMPDIR to one that can") from error
    for name in names:
        link(folder.absolute() / name, Path(temporary.name, name), by=os.symlink)
    return temporary


def link(path: Path, to: Path, by: Callable[[Path, Path], None] = os.link) -> None:
    """Link to a file; copy one that is written anew by its name, and where file systems or the user cannot link.

    Raises:
        FileNotFoundError: there is no such file.
        NoScratchError: it cannot be copied.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    with contextlib.suppress(OSError):
        if is_final(path.name):
            by(path, to)
            return
    try:
        shutil.copy2(path, to)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoScratchError(f"{path.name} cannot be copied to {to.parent} ({error})") from error


def is_final(name: str) -> bool:
    """Whether a file of this name is never written again."""
    return not name.endswith((".json", ".npy"))


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*-*"):
        if not is_alive(path.name.removeprefix(_PREFIX).partition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)
