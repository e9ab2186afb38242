"""Files that pages send: each under its relative name, staged beside the collections until one of them keeps it.

A page never names a path of this machine: it names a batch (a random id of its own) and, in it, relative names. They
become paths here and nowhere else.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import BinaryIO

from instructor_search.errors import InstructorSearchError
from instructor_search.files import flush_file, part_of, remove_all_parts

_BATCH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as crypto.randomUUID() makes it
_PART_BYTES = 200  # of a folder's or file's name; file systems take 255
_DEPTH, _PATH_BYTES = 24, 1_000
_STAGED_HOURS = 12.0
_BLOCK = 4_096  # an empty file takes a place, too
_BUFFER = 1 << 20
_RECOUNT_SECONDS = 60.0


class UploadError(InstructorSearchError):
    """An upload cannot be taken. ``status``: of HTTP."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Say what is wrong, and what to do."""
        super().__init__(message)
        self.status = status


@dataclass
class Kept:
    """What became of the files of a batch, by their names below ``folder``."""

    folder: Path
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)  # the same bytes were there already
    renamed: list[tuple[str, str]] = field(default_factory=list)  # the first name was taken: what it is now

    def notes(self) -> list[str]:
        """Return what is to be said of names that were taken, in sentences."""
        said = [f"replaced: {name}" for name in self.replaced]
        said += [f"{old} is kept as {new}: that name was taken" for old, new in self.renamed]
        return said + [f"there already, unchanged: {name}" for name in self.unchanged]


class Uploads:
    """The uploads of one store: ``.staged/BATCH/`` while a form is filled in, ``.uploads/COLLECTION/`` afterwards."""

    def __init__(self, store: Path, *, file_bytes: int, batch_files: int, total_bytes: int) -> None:
        """Set the limits: of a file, of the files of a batch, and of all that is staged and kept."""
        self.kept, self.staged = store / ".uploads", store / ".staged"
        self.file_bytes, self.batch_files, self.total_bytes = file_bytes, batch_files, total_bytes
        self._lock = Lock()
        self._used, self._counted = 0, 0.0  # bytes, and when they were counted
        self._swept = False

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def receive(self, batch: str, name: str, body: AsyncIterator[bytes]) -> str:
        """Stage one file and return its relative name: a number is added where another file of the batch has it.

        Raises:
            UploadError: the name is not allowed, or a limit is reached; nothing of the file is left.
        """
        from anyio import to_thread

        relative = relative_name(name)
        folder = self._folder(batch)
        part = part_of(folder / uuid.uuid4().hex)  # its name is chosen when it is whole
        size = taken = 0
        try:
            with await to_thread.run_sync(self._open, part) as stream:
                async for piece in body:
                    size += len(piece)
                    if size > self.file_bytes:
                        raise UploadError(f"{name} has more than {self.file_bytes >> 20} MiB; expected less", 413)
                    await to_thread.run_sync(self._take, len(piece))
                    taken = size
                    await to_thread.run_sync(stream.write, piece)
            places = _BLOCK * len(relative.parts)  # the file's, and those of the folders it may need
            await to_thread.run_sync(self._take, places)
            taken += places
            await to_thread.run_sync(flush_file, part)
            with self._lock:
                target = free_name(folder, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
        except BaseException:
            self._give_back(taken)
            raise
        finally:
            part.unlink(missing_ok=True)
            with self._lock:
                _prune(folder, self.staged)
        return target.relative_to(folder).as_posix()

    def remove(self, batch: str, name: str) -> None:
        """Take a staged file away again."""
        path = self._folder(batch) / relative_name(name)
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            self._give_back(size + _BLOCK)
            with self._lock:
                _prune(path.parent, self.staged)

    def staged_files(self, batch: str) -> list[str]:
        """Return the relative names of a batch, in order.

        Raises:
            UploadError: it has no file.
        """
        names = sorted(_files(self._folder(batch))) if batch else []
        if not names:
            raise UploadError("no file was chosen; upload at least one")
        return names

    def _open(self, part: Path) -> BinaryIO:
        """Open one more file of a batch.

        Raises:
            UploadError: the batch has as many as are allowed.
        """
        self._drop_old()
        with self._lock:
            if len(_files(part.parent)) >= self.batch_files:
                raise UploadError(f"more than {self.batch_files} files at once; add the others later", 413)
            part.parent.mkdir(parents=True, exist_ok=True)
            return part.open("wb", buffering=_BUFFER)

    def _folder(self, batch: str) -> Path:
        if not isinstance(batch, str):  # a program may send anything
            raise UploadError("these files are not known; choose them again")
        if batch == "busy":
            raise UploadError("the files are still on their way; wait until all of them are there")
        if not _BATCH.fullmatch(batch):
            raise UploadError("these files are no longer known; choose them again")
        return self.staged / batch

    # -- keeping -----------------------------------------------------------------------------------------------------

    def keep(self, batch: str, collection: str, *, replace: bool = False) -> Kept:
        """Move the files of a batch to where those of a collection stay.

        ``replace``: a file of the same name there gives way; else both are kept, the new one with a number. Files of
        the same bytes are kept once.

        Raises:
            UploadError: the batch has no file.
        """
        names, source = self.staged_files(batch), self._folder(batch)
        kept = Kept(self.kept / collection)
        with self._lock:
            for name in names:
                self._keep_one(source / name, name, kept, replace)
            shutil.rmtree(source, ignore_errors=True)
        return kept

    @staticmethod
    def _keep_one(staged: Path, name: str, kept: Kept, replace: bool) -> None:
        target = kept.folder / name
        is_there = target.is_file()
        if is_there and filecmp.cmp(staged, target, shallow=False):
            kept.unchanged.append(name)
            return
        if is_there and replace:
            kept.replaced.append(name)
        else:
            target = free_name(kept.folder, PurePosixPath(name))
            now = target.relative_to(kept.folder).as_posix()
            if now == name:
                kept.added.append(name)
            else:  # a file or a folder has it
                kept.renamed.append((name, now))
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)

    def drop(self, collection: str) -> None:
        """Delete the files that are kept for a collection."""
        shutil.rmtree(self.kept / collection, ignore_errors=True)
        self._counted = 0.0

    def _drop_old(self) -> None:
        """Delete what was staged and never kept, and once what killed processes were receiving."""
        for folder in self.staged.iterdir() if self.staged.is_dir() else ():
            if not self._swept:
                remove_all_parts(folder)
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > 3600 * _STAGED_HOURS:
                    shutil.rmtree(folder, ignore_errors=True)
        self._swept = True

    # -- counting ----------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> None:
        with self._lock:
            if time.monotonic() - self._counted > _RECOUNT_SECONDS or not self._counted:
                self._used, self._counted = _size(self.kept) + _size(self.staged), time.monotonic()
            if self._used + size > self.total_bytes:
                raise UploadError(
                    f"all uploads together may have {self.total_bytes >> 20} MiB, and they have; delete a collection, "
                    "or start with a larger --upload-quota",
                    507,
                )
            self._used += size

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._used = max(0, self._used - size)


def relative_name(name: str) -> PurePosixPath:
    """Return a relative name as a path that stays below any folder it is put in.

    Raises:
        UploadError: it is absolute, leads upwards, is hidden, too long, or has control characters.
    """
    parts = name.split("/")
    shown = repr(name[:80])
    if not name or any(part in ("", ".", "..") for part in parts):
        raise UploadError(f"the file name {shown} is not allowed; expected a name below the folder that was chosen")
    if any(part.startswith(".") for part in parts):
        raise UploadError(f"{shown} is a hidden file: it is not taken")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise UploadError(f"the file name {shown} has control characters; expected a name that can be shown")
    sizes = [len(part.encode()) for part in parts]
    if max(sizes) > _PART_BYTES or sum(sizes) > _PATH_BYTES or len(parts) > _DEPTH:
        raise UploadError(f"the file name {shown} is too long, or lies too deep")
    return PurePosixPath(*parts)


def free_name(folder: Path, relative: PurePosixPath) -> Path:
    """Return a path below ``folder`` that nothing has: the name, or the name with a number, as "a (2).txt"."""
    wanted = folder / relative
    for parent in list(wanted.parents)[: len(relative.parts) - 1]:
        if parent.exists() and not parent.is_dir():  # a file has the name of this folder
            wanted = folder / relative.name
    number, path = 2, wanted
    while os.path.lexists(path):
        path = wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        number += 1
    return path


def _files(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    ]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += _BLOCK + (path.stat().st_size if path.is_file() else 0)
    return total


def _prune(folder: Path, top: Path) -> None:
    """Delete a folder, and those above it below ``top``, where nothing is in them."""
    with contextlib.suppress(OSError):  # something is
        while folder != top and top in folder.parents:
            folder.rmdir()
            folder = folder.parent
