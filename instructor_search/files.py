"""What is asked of files in more than one room: their hash, and writing them whole or not at all.

What is being written has a name of its own beside its place, ``.NAME.PROCESS.THREAD.part``, and moves there when it is
whole and on the disk. A process that is killed leaves such a part, and what had the place before.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
    part = _beside(path, "part")
    try:
        yield part
        _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
    """Delete what killed processes of this machine left of an ``atomic_folder(path)``."""
    name = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.\d+\.part")
    for left in path.parent.glob(f".{path.name}.*") if path.parent.is_dir() else ():
        known = name.fullmatch(left.name)
        if known and not is_alive(known[1]):
            shutil.rmtree(left, ignore_errors=True)


def is_alive(pid: str) -> bool:
    """Whether a process of this number runs on this machine."""
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
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path, kind: str) -> Path:
    return path.absolute().with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}.{kind}")
