"""Jupyter notebooks: Markdown cells with their headings, code cells as code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.readers.decoding import read_all
from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.text import group_lines, markdown_blocks
from instructor_search.errors import ReaderError
from instructor_search.records import Block, Document


def read_notebook(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document of all cells, titled by its first heading; outputs are left out."""
    try:
        notebook = json.loads(read_all(path))
        cells = notebook["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ReaderError("not a notebook (nbformat 4)") from error
    blocks = list(_blocks(cells))
    title = next((b.heading[0] for b in blocks if b.heading), path.name)
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language")
    metadata = {"language": language} if language else {}
    yield Document(source, source, title, mime_type(path), blocks, metadata)


def _blocks(cells: list[dict[str, Any]]) -> Iterator[Block]:
    heading: tuple[str, ...] = ()
    for cell in cells:
        text = cell.get("source", "")
        text = ("".join(text) if isinstance(text, list) else str(text)).rstrip() + "\n\n"
        if cell.get("cell_type") == "markdown":
            parts = group_lines(text.splitlines(keepends=True), lambda line: line.lstrip().startswith("#"))
            for block in markdown_blocks(parts):
                heading = block.heading or heading
                yield Block(block.text, heading)
        elif text.strip():
            yield Block(text, heading)
