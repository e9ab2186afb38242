"""A stored document, put together again from its chunks: what a hit is a part of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from instructor_search.errors import StoreError
from instructor_search.store.collection import Collection
from instructor_search.store.schema import quoted

GAP = "\n\n"  # between chunks that do not touch: white space was left out there


class Passage(NamedTuple):
    """A chunk's place in ``StoredDocument.text``."""

    chunk_id: str
    start: int
    end: int
    page: int | None


@dataclass(frozen=True)
class StoredDocument:
    """The text that the chunks of a document cover, and where each of them lies in it."""

    document_id: str
    source: str
    title: str
    text: str
    passages: tuple[Passage, ...]
    metadata: Mapping[str, Any]

    def passage(self, chunk_id: str) -> Passage:
        """Return the place of one of its chunks."""
        return next(passage for passage in self.passages if passage.chunk_id == chunk_id)


def read_document(collection: Collection, chunk_id: str) -> StoredDocument:
    """Return the document that a chunk belongs to.

    Raises:
        StoreError: the collection has no such chunk.
    """
    matches = collection.rows_by_id([chunk_id], ["document_id"]).to_pylist()
    if not matches:
        raise StoreError(f"{collection.name!r} has no chunk {chunk_id!r}; an ingest may have changed it")
    columns = ["id", "source", "title", "text", "start", "end", "page", "mime", "metadata"]
    rows = _rows_of(collection, matches[0]["document_id"], columns)
    text, passages = _joined(rows)
    first = rows[0]
    metadata = json.loads(first["metadata"]) if first["metadata"] else {}
    return StoredDocument(
        matches[0]["document_id"], first["source"], first["title"], text, passages, {"mime": first["mime"], **metadata}
    )


def _rows_of(collection: Collection, document_id: str, columns: list[str]) -> list[dict[str, Any]]:
    """Return the chunks of a document by their place in it."""
    query = collection.chunks.search().where(f"document_id = {quoted(document_id)}").select(columns)
    return sorted(collection.fetch(query.limit(collection.num_chunks() or 1)), key=lambda row: row["start"])


def _joined(rows: list[dict[str, Any]]) -> tuple[str, tuple[Passage, ...]]:
    """Return the text without the parts that chunks repeat of one another, and the chunks' places in it."""
    parts: list[str] = []
    passages: list[Passage] = []
    length, covered = 0, rows[0]["start"]  # of the text so far; of the document, to here
    for row in rows:
        if row["start"] > covered and parts:
            parts.append(GAP)
            length += len(GAP)
        repeated = min(max(covered - row["start"], 0), len(row["text"]))
        new = row["text"][repeated:]
        passages.append(Passage(row["id"], length - repeated, length + len(new), row["page"]))
        parts.append(new)
        length += len(new)
        covered = max(covered, row["start"] + len(row["text"]))
    return "".join(parts), tuple(passages)
