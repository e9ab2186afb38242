"""Finds the files to read: in order, inside the given folders, without hidden ones and without following links."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "instructor_store"})
BINARY_SUFFIXES = frozenset(
    """.png .jpg .jpeg .gif .bmp .webp .ico .tif .tiff .mp3 .mp4 .wav .ogg .flac .avi .mov .mkv .webm .zip .gz .tar .bz2
    .xz .7z .rar .zst .so .dll .exe .o .a .pyc .whl .jar .class .bin .pt .pth .safetensors .onnx .npy .npz .pkl .lance
    .db .sqlite .ttf .otf .woff .woff2 .iso .dmg .doc .xls .ppt""".split()
)


@dataclass(frozen=True)
class FoundFile:
    """A file and the name its chunks carry: the root folder's name and the path below it."""

    path: Path
    source: str
    root: Path


@dataclass(frozen=True)
class SkippedFile:
    """A path that is not read, and why."""

    path: str
    reason: str


def source_of(path: Path, root: Path) -> str:
    """Return the stable name of a file: "corpus/reviews/one.md" for root ".../corpus"."""
    return f"{root.name or 'root'}/{path.relative_to(root).as_posix()}"


def discover(
    paths: Sequence[Path], include: Sequence[str], exclude: Sequence[str]
) -> Iterator[FoundFile | SkippedFile]:
    """Yield files in order, and what was passed over. Patterns match the file's name or its path below the root."""
    seen: set[Path] = set()
    for given in paths:
        start = given.resolve()
        root = start if start.is_dir() else start.parent
        for path in _walk(start):
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                yield SkippedFile(str(path), "symbolic link (not followed)")
            elif not path.is_file():
                yield SkippedFile(str(path), "not a regular file")
            elif path in seen or _matches(relative, exclude) or (include and not _matches(relative, include)):
                continue
            elif path.suffix.lower() in BINARY_SUFFIXES:
                yield SkippedFile(str(path), f"no reader for {path.suffix.lower()}")
            else:
                seen.add(path)
                yield FoundFile(path, source_of(path, root), root)


def _walk(start: Path) -> Iterator[Path]:
    if not start.is_dir():
        yield start
        return
    for folder, folders, files in os.walk(start, followlinks=False):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in SKIPPED_FOLDERS and n not in links)
        for name in sorted([*files, *links]):
            if not name.startswith((".", "~$")):
                yield Path(folder, name)


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(relative, p.rstrip("/") + "/*" if p.endswith("/") else p)
               for p in patterns)  # fmt: skip
