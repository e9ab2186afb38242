"""Source code and configuration files: paragraphs, with the enclosing definition as heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.text import paragraphs
from instructor_search.records import Block, Document

_DEFINITION = re.compile(
    r"^(?:(?:export|default|public|private|static|abstract|async|pub|final)\s+)*"
    r"(?:class|def|function|func|fn|struct|interface|impl|enum|trait|module)\s+(?:\([^)]*\)\s*)?([A-Za-z_][\w.:]*)"
)


def read_code(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document titled by its file name; top-level definitions are its headings."""
    yield Document(source, source, path.name, mime_type(path), _blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    heading: tuple[str, ...] = ()
    for part in paragraphs(path):
        for line in part.splitlines():
            if definition := _DEFINITION.match(line):
                heading = (definition[1],)
                break
            if line and not line[0].isspace() and not line.startswith(("#", "//", "/*", "*", "@", ")", "}", '"')):
                heading = ()
                break
        yield Block(part, heading)
