"""Formats that have a reader, by suffix: what reads a file of it, its media type, and where it is parsed."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


class Format(NamedTuple):
    """How files of a suffix are read."""

    module: str  # of this package
    function: str
    mime: str
    in_child: bool  # parsed by C code or unpacked: in a child process with limits


CODE = {
    ".py": "text/x-python",
    ".pyi": "text/x-python",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".jsx": "text/javascript",
    ".ts": "text/x-typescript",
    ".tsx": "text/x-typescript",
    ".java": "text/x-java",
    ".kt": "text/x-kotlin",
    ".scala": "text/x-scala",
    ".go": "text/x-go",
    ".rs": "text/x-rust",
    ".c": "text/x-c",
    ".h": "text/x-c",
    ".cc": "text/x-c++",
    ".cpp": "text/x-c++",
    ".hpp": "text/x-c++",
    ".cs": "text/x-csharp",
    ".rb": "text/x-ruby",
    ".php": "text/x-php",
    ".swift": "text/x-swift",
    ".sh": "text/x-sh",
    ".bash": "text/x-sh",
    ".ps1": "text/x-powershell",
    ".sql": "text/x-sql",
    ".r": "text/x-r",
    ".jl": "text/x-julia",
    ".lua": "text/x-lua",
    ".pl": "text/x-perl",
    ".css": "text/css",
    ".toml": "text/x-toml",
    ".yaml": "text/x-yaml",
    ".yml": "text/x-yaml",
    ".ini": "text/x-ini",
    ".cfg": "text/x-ini",
    ".xml": "text/xml",
    ".tex": "text/x-tex",
}
# suffix -> (module, function, mime, parsed in a child process)
_TABLE: dict[str, tuple[str, str, str, bool]] = {
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
_FORMATS = {suffix: Format(*row) for suffix, row in _TABLE.items()}
_UNKNOWN = Format("text", "read_unknown", "", in_child=False)


def format_of(path: Path) -> Format:
    """Return how a file is read, by its suffix; one without a reader of its own is read as text if it is text."""
    return _FORMATS.get(path.suffix.lower(), _UNKNOWN)


def mime_type(path: Path) -> str:
    """Return the media type of a path, by its suffix."""
    return format_of(path).mime or mimetypes.guess_type(path.name)[0] or "text/plain"


def is_table(path: Path) -> bool:
    """Whether a file's rows are documents, so that text columns apply to it."""
    known = format_of(path)
    return known.module == "tables" or known.function == "read_xlsx"


def suffixes() -> list[str]:
    """Return the suffixes that have a reader."""
    return sorted(_FORMATS)
