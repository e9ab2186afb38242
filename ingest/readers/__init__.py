"""Files in, documents out. One file a format family; the heavy ones are parsed in a child process with limits.

``read_file(path, source, options)`` yields documents; each has an iterator of blocks (paragraphs), so that a text file
larger than memory passes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.readers.formats import (
    EMBED,
    READER_VERSION,
    ExampleFields,
    ReadOptions,
    format_of,
    is_table,
    mime_type,
    suffixes,
)
from ingest.readers.parsing import read_here
from instructor_search.records import Document

__all__ = ["EMBED", "READER_VERSION", "ExampleFields", "ReadOptions", "is_table", "mime_type", "read_file", "suffixes"]


def read_file(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the documents of a file; formats that are parsed by C code or unpacked go through the child process.

    Raises:
        ReaderError: the file cannot be read, is binary data or of an unknown kind, or its parser hit a limit.
    """
    if format_of(path).in_child:
        from ingest.readers.sandbox import shared_sandbox

        yield from shared_sandbox().read(path, source, options)
    else:
        yield from read_here(path, source, options)
