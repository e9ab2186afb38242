"""What is asked of files in more than one room: their hash, writing them whole or not at all, and taking them away.

What is being written has a name of its own beside its place, ``.NAME.PROCESS.THREAD.part``, and moves there when it is
whole and on the disk; what gives way to it is ``….old`` meanwhile, and what is deleted is ``….gone``. A process that is
killed leaves such a part, and what had the place before; ``remove_parts`` and ``remove_gone`` delete what was left.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a path to write a file to, which takes its place at ``path`` when the block ends, and is gone if it fails.

    Other threads and processes may write the same file: one of them is the last. The folder must be there.

    Raises:
        OSError: the file cannot be written; what was at ``path`` stays.
    """
    part = part_of(path)
    try:
        yield part
        flush_file(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return where this thread writes what is to be ``path``, for what cannot be written within one block."""
    return _beside(path, "part")


def write_at_once(path: Path, text: str) -> None:
    """Write a text file whole or not at all, as UTF-8; see ``atomic_file``."""
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill, which takes its place at ``path`` when the block ends, and is gone if it fails.

    ``overwrite``: a folder that is there gives way, and comes back if the new one cannot take its place. Folders above
    are made.

    Raises:
        OSError: it cannot be written, or ``path`` is taken and is not to be overwritten; what was there stays.
    """
    part, old = _beside(path, "part"), _beside(path, "old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        flush_folder(part)
        if overwrite and path.exists():
            path.rename(old)
        part.rename(path)
        flush_folder(path.parent, contents=False)
    finally:
        abandon_folder(path)


def abandon_folder(path: Path) -> None:
    """Undo what an unfinished ``atomic_folder(path)`` of this thread did, as a handler of a signal must.

    A folder that was to give way comes back. After a finished one there is nothing to undo.
    """
    part, old = _beside(path, "part"), _beside(path, "old")
    shutil.rmtree(part, ignore_errors=True)
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def remove_parts(path: Path) -> None:
    """Delete what killed processes of this machine left of an ``atomic_folder(path)`` or ``atomic_file(path)``.

    A folder that had given way comes back, where nothing has its place.
    """
    _sweep(path.parent, re.escape(path.name))


def remove_all_parts(folder: Path) -> None:
    """Do what ``remove_parts`` does for everything directly in ``folder``."""
    _sweep(folder, ".+")


def remove_folder(path: Path) -> None:
    """Take a folder from its place in one step and delete it, with what killed processes left of other such deletions.

    Raises:
        OSError: it cannot be moved away; all of it is there.
    """
    gone = _beside(path, "gone")
    if gone.exists():
        shutil.rmtree(gone)
    path.rename(gone)
    remove_gone(path.parent)


def remove_gone(folder: Path) -> None:
    """Delete the rest of what ``remove_folder`` took from its place directly in ``folder``, whoever did."""
    for path, _, _, kind in _left(folder, ".+"):
        if kind == "gone":
            shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path, name: str) -> None:
    """Delete parts of killed processes in ``folder``; put back what had given way. ``name``: a pattern."""
    for path, target, process, kind in _left(folder, name):
        if is_alive(process):
            continue
        place = folder / target
        if kind == "old" and not place.exists():
            with suppress(OSError):  # another process does the same
                path.rename(place)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _left(folder: Path, name: str) -> list[tuple[Path, str, str, str]]:
    """Return the temporary names in ``folder``: path, name of what it is for, process, kind."""
    known = re.compile(rf"\.({name})\.(\d+)\.\d+\.(part|old|gone)")
    paths = list(folder.glob(".*")) if folder.is_dir() else []
    return [(path, match[1], match[2], match[3]) for path in paths if (match := known.fullmatch(path.name))]


def is_alive(pid: str) -> bool:
    """Whether a process of this number runs on this machine.

    On Windows the answer is always yes: signal 0, which asks elsewhere, would end the process there. So nothing of a
    process that may still write is deleted; what killed ones left stays until somebody deletes it.
    """
    if sys.platform == "win32":
        return pid.isdigit()
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def flush_folder(folder: Path, *, contents: bool = True) -> None:
    """Have a folder, and all that is in it, written to the disk."""
    for path in [*(folder.rglob("*") if contents else ()), folder]:
        if not path.is_symlink():
            flush_file(path)


def flush_file(path: Path) -> None:
    """Have a file written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path, kind: str) -> Path:
    return path.absolute().with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}.{kind}")
