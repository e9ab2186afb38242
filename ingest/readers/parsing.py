"""Parses a file in this process: passes on what its reader yields, made sound, and turns failures into ReaderError."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ingest.readers.formats import ReadOptions, format_of
from instructor_search.errors import InstructorSearchError, ReaderError
from instructor_search.records import Block, Document

Reader = Callable[[Path, str, ReadOptions], Iterator[Document]]


def read_here(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the documents of a file, parsed in this process. An unknown suffix is read as text if it is text."""
    known = format_of(path)
    try:
        reader: Reader = getattr(import_module(f"ingest.readers.{known.module}"), known.function)
        for document in reader(path, source, options):
            metadata = {name: _storable(value) for name, value in document.metadata.items()}
            yield replace(document, title=sound(document.title), metadata=metadata, blocks=_readable(document.blocks))
    except GeneratorExit:
        raise
    except BaseException as error:
        raise _as_reader_error(error) from error


def _readable(blocks: Iterable[Block]) -> Iterator[Block]:
    """Pass sound blocks on; whatever goes wrong while they stream in is an error of this file."""
    try:
        for block in blocks:
            yield block._replace(text=sound(block.text), heading=tuple(map(sound, block.heading)))
    except GeneratorExit:
        raise
    except BaseException as error:
        raise _as_reader_error(error) from error


def _as_reader_error(error: BaseException) -> BaseException:
    """Return what stands for ``error``: a damaged file can make its parser raise anything, and costs this file only."""
    if isinstance(error, InstructorSearchError) or not isinstance(error, Exception):
        return error
    if isinstance(error, OSError) and error.strerror:
        return ReaderError(error.strerror)
    return ReaderError(f"its parser failed ({type(error).__name__}: {' '.join(str(error).split())[:160]})")


def sound(text: str) -> str:
    """Return ``text`` with lone surrogates (halves of characters, as broken JSON has them) replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _storable(value: Any) -> Any:
    """Return a metadata value that JSON can hold."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | bool | None) else sound(str(value))
