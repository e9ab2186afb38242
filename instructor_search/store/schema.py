"""The columns of a collection's two tables: chunks, and the sources (files) that they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from instructor_search.store.manifest import View

CHUNKS, SOURCES = "chunks", "sources"

CHUNK_FIELDS = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("document_id", pa.string()),
    pa.field("source", pa.string()),
    pa.field("title", pa.string()),
    pa.field("mime", pa.string()),
    pa.field("heading", pa.string()),
    pa.field("page", pa.int32()),
    pa.field("row", pa.int64()),
    pa.field("mtime", pa.float64()),  # seconds since 1970, UTC
    pa.field("metadata", pa.json_()),
    pa.field("text", pa.string()),
    pa.field("start", pa.int64()),
    pa.field("end", pa.int64()),
    pa.field("ordinal", pa.int64()),
    pa.field("num_tokens", pa.int32()),
    pa.field("content_hash", pa.string()),  # of the text; with the view's facts it decides what is embedded again
    pa.field("source_hash", pa.string()),  # revision of the source that this row was last seen in
]
# What a hit shows.
SHOWN_COLUMNS = ["document_id", "source", "title", "mime", "heading", "page", "row", "mtime", "metadata", "text"]
SHOWN_COLUMNS += ["start", "end"]
# Fields of a row that a filter may name, with their kind; all other names are metadata of the documents.
FILTER_FIELDS = {
    "document_id": "string",
    "source": "string",
    "title": "string",
    "mime": "string",
    "heading": "string",
    "page": "number",
    "row": "number",
    "mtime": "date",
    "text": "string",
    "num_tokens": "number",
    "ordinal": "number",
}
HEADING_SEPARATOR = " > "

SOURCE_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("hash", pa.string()),
        pa.field("options", pa.string()),
        pa.field("num_documents", pa.int64()),
        pa.field("num_chunks", pa.int64()),
    ]
)


@dataclass(frozen=True)
class SourceRecord:
    """A file whose chunks are all stored. ``options``: how it was read and cut, as a hash."""

    source: str
    size: int
    mtime_ns: int
    hash: str
    options: str
    num_documents: int = 0
    num_chunks: int = 0

    @property
    def revision(self) -> str:
        """What the rows of the source carry in ``source_hash``: its bytes and the way it was read."""
        return f"{self.hash}-{self.options}"


def create_tables(db: Any) -> None:
    """Make the two empty tables of a collection in a LanceDB connection."""
    for name, schema, key in ((CHUNKS, chunk_schema([]), "id"), (SOURCES, SOURCE_SCHEMA, "source")):
        db.create_table(name, schema=schema, mode="overwrite").set_unenforced_primary_key(key)


def chunk_schema(views: list[View]) -> pa.Schema:
    """Return the schema of the chunk table with the columns of ``views``."""
    fields = list(CHUNK_FIELDS)
    for view in views:
        fields += view_fields(view)
    return pa.schema(fields)


def view_fields(view: View) -> list[pa.Field]:
    """Return the two columns of a view: the vector and its checksum."""
    return [pa.field(view.column, pa.list_(pa.float32(), view.dim)), pa.field(view.checksum_column, pa.int64())]


def orphan_columns(names: list[str], views: Iterable[View]) -> list[str]:
    """Return those of the table's columns that were made for a view, and are of none of ``views``."""
    owned = {name for view in views for name in (view.column, view.checksum_column)}
    return [name for name in names if name.startswith(("vector_", "checksum_")) and name not in owned]


def content_hash(text: str) -> str:
    """Return the hash that names a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def chunk_id(source: str, text_hash: str, occurrence: int) -> str:
    """Return the key of a chunk: the same text in the same source keeps its row when its position moves."""
    return hashlib.blake2b(f"{source}\0{text_hash}\0{occurrence}".encode(), digest_size=16).hexdigest()


def quoted(text: str) -> str:
    """Return ``text`` as a literal of the store's SQL."""
    return "'" + text.replace("'", "''") + "'"


def any_of(texts: Iterable[str]) -> str:
    """Return what stands within the parentheses of the SQL operator IN for ``texts``."""
    return ", ".join(map(quoted, texts))
