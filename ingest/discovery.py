"""Finds the files to read: in order, inside the given folders, without hidden ones and without following links."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instructor_search.errors import ReaderError
from instructor_search.store.folders import store_folder

if TYPE_CHECKING:
    from ingest.config import IngestConfig

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv"})
BINARY_SUFFIXES = frozenset(
    """.png .jpg .jpeg .gif .bmp .webp .ico .tif .tiff .mp3 .mp4 .wav .ogg .flac .avi .mov .mkv .webm .zip .gz .tar .bz2
    .xz .7z .rar .zst .so .dll .exe .o .a .pyc .whl .jar .class .bin .pt .pth .safetensors .onnx .npy .npz .pkl .lance
    .db .sqlite .ttf .otf .woff .woff2 .iso .dmg .doc .xls .ppt""".split()
)


@dataclass(frozen=True)
class SkippedPath:
    """A path that is not read, and why; ``failed``: it should have been (an unreadable folder)."""

    path: Path
    reason: str
    failed: bool = False

    def __str__(self) -> str:
        """Return the path as it can be printed."""
        return os.fsencode(self.path).decode("utf-8", "replace")


def find_files(config: IngestConfig, *, may_be_none: bool) -> list[Path | SkippedPath]:
    """Return what is found of a run's files; the store itself is left out. ``may_be_none``: none is no error.

    Raises:
        ReaderError: there is nothing to read.
    """
    files = list(discover(config.paths, config.include, config.exclude, store_folder(config.store).resolve()))
    if not any(isinstance(f, Path) for f in files) and not may_be_none:
        where = ", ".join(str(p) for p in config.paths)
        why = f" ({len(files)} passed over: {files[0].reason}, ...)" if files and not isinstance(files[0], Path) else ""
        raise ReaderError(f"nothing to read in {where}{why}; expected at least one document, see --include/--exclude")
    if not may_be_none and not all(path.exists() for path in config.paths):
        raise ReaderError(f"no such file or folder: {', '.join(str(p) for p in config.paths if not p.exists())}")
    return files


def discover(
    paths: Sequence[Path], include: Sequence[str], exclude: Sequence[str], leave_out: Path | None = None
) -> Iterator[Path | SkippedPath]:
    """Yield resolved files in order, each once, and what was passed over.

    Patterns match a file's name, its path below the given folder, or a folder on that path. ``leave_out``: a folder
    that is never entered (the store itself).
    """
    seen: set[Path] = set()
    for given in paths:
        start = given.resolve()
        root = start if start.is_dir() else start.parent
        for path in _walk(start, leave_out):
            if isinstance(path, SkippedPath):
                yield path
                continue
            relative = path.relative_to(root).as_posix()
            if path in seen or _matches(relative, exclude) or (include and not _matches(relative, include)):
                continue
            seen.add(path)
            yield _looked_at(path)


def _looked_at(path: Path) -> Path | SkippedPath:
    """Return the path if it is a file to read, else why not."""
    try:
        kind = os.lstat(path).st_mode
        str(path).encode()
    except OSError as error:
        return SkippedPath(path, error.strerror or str(error), failed=True)
    except UnicodeEncodeError:
        return SkippedPath(path, "its name is not valid UTF-8", failed=True)
    if stat.S_ISLNK(kind):
        return SkippedPath(path, "symbolic link (not followed)")
    if not stat.S_ISREG(kind):
        return SkippedPath(path, "not a regular file")
    suffix = path.suffix.lower()
    return SkippedPath(path, f"no reader for {suffix}") if suffix in BINARY_SUFFIXES else path


def _walk(start: Path, leave_out: Path | None) -> Iterator[Path | SkippedPath]:
    if not start.is_dir():
        if start.exists():
            yield start
        return
    closed: list[OSError] = []
    for folder, folders, files in os.walk(start, onerror=closed.append, followlinks=False):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        kept = (n for n in folders if not n.startswith(".") and n not in SKIPPED_FOLDERS and n not in links)
        folders[:] = sorted(n for n in kept if Path(folder, n) != leave_out)
        for name in sorted([*files, *links]):
            if not name.startswith((".", "~$")):
                yield Path(folder, name)
    for error in closed:
        yield SkippedPath(Path(error.filename), error.strerror or str(error), failed=True)


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches the path, its name, or a folder on it by name or path."""
    parts = relative.split("/")
    names = {*parts, *("/".join(parts[: i + 1]) for i in range(len(parts)))}
    return any(fnmatch.fnmatch(name, pattern.rstrip("/")) for name in names for pattern in patterns)
