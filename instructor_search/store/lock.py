"""One writer a folder: a file lock that dies with its process, and says who holds it.

The lock is the operating system's (``flock``; on Windows ``msvcrt.locking``), through filelock: no process is asked
whether it lives, and a signal that asks so, which would end it on Windows, is never sent.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from instructor_search.errors import LockedError


@contextmanager
def writer_lock(folder: Path, what: str = "collection") -> Iterator[None]:
    """Hold the folder's lock for the length of the block. ``what``: what the folder is, for the message.

    Raises:
        LockedError: another process holds it; the message says which.
    """
    lock, holder = FileLock(str(folder / ".writer.lock")), folder / ".writer.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(f"{what} {folder.name!r} is being written to by {_describe(holder)}; try later") from None
    try:
        process = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv)[:200],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        holder.write_text(json.dumps(process), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    try:
        process = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {process['pid']} on {process['host']} since {process['since']} ({process['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
