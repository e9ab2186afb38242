"""Files in, documents out. One file a format family; the heavy ones are parsed in a child process with limits.

``read_file(path, source, options)`` yields documents; each has an iterator of blocks (paragraphs), so that a text file
larger than memory passes through.
"""

from __future__ import annotations

import math
import mimetypes
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from instructor_search.errors import InstructorSearchError, ReaderError
from instructor_search.records import Block, Document

READER_VERSION = 1  # part of what decides whether a file is read again


EMBED = ("input", "input+output")


@dataclass(frozen=True)
class ExampleFields:
    """The columns that a pool of examples is read from, and which of them are embedded (of ``EMBED``)."""

    input_field: str
    output_field: str
    task_field: str | None = None
    embed: str = "input"


@dataclass(frozen=True)
class ReadOptions:
    """How rows of tables become documents: the columns that make the text (none: chosen by name), or an example."""

    text_fields: tuple[str, ...] = ()
    examples: ExampleFields | None = None


Reader = Callable[[Path, str, ReadOptions], Iterator[Document]]

CODE = {
    ".py": "text/x-python", ".pyi": "text/x-python", ".js": "text/javascript", ".mjs": "text/javascript",
    ".jsx": "text/javascript", ".ts": "text/x-typescript", ".tsx": "text/x-typescript", ".java": "text/x-java",
    ".kt": "text/x-kotlin", ".scala": "text/x-scala", ".go": "text/x-go", ".rs": "text/x-rust", ".c": "text/x-c",
    ".h": "text/x-c", ".cc": "text/x-c++", ".cpp": "text/x-c++", ".hpp": "text/x-c++", ".cs": "text/x-csharp",
    ".rb": "text/x-ruby", ".php": "text/x-php", ".swift": "text/x-swift", ".sh": "text/x-sh", ".bash": "text/x-sh",
    ".ps1": "text/x-powershell", ".sql": "text/x-sql", ".r": "text/x-r", ".jl": "text/x-julia", ".lua": "text/x-lua",
    ".pl": "text/x-perl", ".css": "text/css", ".toml": "text/x-toml", ".yaml": "text/x-yaml", ".yml": "text/x-yaml",
    ".ini": "text/x-ini", ".cfg": "text/x-ini", ".xml": "text/xml", ".tex": "text/x-tex",
}  # fmt: skip
# suffix -> (module, function, mime, parsed in a child process)
_READERS: dict[str, tuple[str, str, str, bool]] = {
    ".txt": ("text", "read_text", "text/plain", False),
    ".log": ("text", "read_text", "text/plain", False),
    ".md": ("text", "read_markdown", "text/markdown", False),
    ".markdown": ("text", "read_markdown", "text/markdown", False),
    ".rst": ("text", "read_rst", "text/x-rst", False),
    ".html": ("html", "read_html", "text/html", False),
    ".htm": ("html", "read_html", "text/html", False),
    ".xhtml": ("html", "read_html", "text/html", False),
    ".csv": ("tables", "read_csv", "text/csv", False),
    ".tsv": ("tables", "read_csv", "text/tab-separated-values", False),
    ".json": ("tables", "read_json", "application/json", False),
    ".jsonl": ("tables", "read_jsonl", "application/jsonl", False),
    ".ndjson": ("tables", "read_jsonl", "application/jsonl", False),
    ".parquet": ("tables", "read_parquet", "application/vnd.apache.parquet", False),
    ".eml": ("mail", "read_mail", "message/rfc822", False),
    ".ipynb": ("notebook", "read_notebook", "application/x-ipynb+json", False),
    ".pdf": ("pdf", "read_pdf", "application/pdf", True),
    ".docx": ("office", "read_docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", True),
    ".pptx": ("office", "read_pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", True),
    ".xlsx": ("office", "read_xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", True),
    ".epub": ("epub", "read_epub", "application/epub+zip", True),
} | {suffix: ("code", "read_code", mime, False) for suffix, mime in CODE.items()}


def mime_type(path: Path) -> str:
    """Return the media type of a path, by its suffix."""
    known = _READERS.get(path.suffix.lower())
    return known[2] if known else mimetypes.guess_type(path.name)[0] or "text/plain"


def is_table(path: Path) -> bool:
    """Whether a file's rows are documents, so that text columns apply to it."""
    known = _READERS.get(path.suffix.lower())
    return known is not None and (known[0] == "tables" or known[1] == "read_xlsx")


def suffixes() -> list[str]:
    """Return the suffixes that have a reader."""
    return sorted(_READERS)


def read_file(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the documents of a file; formats that are parsed by C code or unpacked go through the child process.

    Raises:
        ReaderError: the file cannot be read, is binary data or of an unknown kind, or its parser hit a limit.
    """
    known = _READERS.get(path.suffix.lower())
    if known and known[3]:
        from ingest.readers.sandbox import shared_sandbox

        yield from shared_sandbox().read(path, source, options)
    else:
        yield from read_here(path, source, options)


def read_here(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the documents of a file, parsed in this process. An unknown suffix is read as text if it is text."""
    module, function, _, _ = _READERS.get(path.suffix.lower(), ("text", "read_unknown", "", False))
    try:
        reader: Reader = getattr(import_module(f"ingest.readers.{module}"), function)
        for document in reader(path, source, options):
            facts = {name: _storable(value) for name, value in document.metadata.items()}
            yield replace(document, title=sound(document.title), metadata=facts, blocks=_readable(document.blocks))
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
