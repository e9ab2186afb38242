"""Chunks in, rows with vectors out: embeds what is new, keeps the vectors of what is not, acknowledges whole sources.

A source (file) is acknowledged when all its chunks are stored; a run that is killed before finds its chunks again by
their keys, keeps their vectors and finishes the rest. Batches are embedded and stored by a thread, one after the other,
while the caller reads and cuts the next one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import StoreError
from instructor_search.records import Chunk, Document
from instructor_search.store.embedding import FIRST_BATCH, LAST_BATCH, TARGET_SECONDS, WriteCounts, embed
from instructor_search.store.manifest import View, infer_field_types
from instructor_search.store.schema import HEADING_SEPARATOR, SourceRecord, chunk_id, chunk_schema, content_hash
from instructor_search.store.table import CollectionTable
from instructor_search.store.vectors import sound_vectors, vector_arrays


@dataclass
class _Source:
    record: SourceRecord
    occurrences: dict[str, int] = field(default_factory=dict)
    num_chunks: int = 0


@dataclass
class _Batch:
    """Rows to be stored together, and the sources that are complete with them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    finished: list[_Source] = field(default_factory=list)


class _Stopped(Exception):  # noqa: N818 - not an error
    """The caller wants no more of a batch that is being embedded."""


class CollectionWriter:
    """Writes chunks of one source after another; use it under ``collection.writing()``."""

    def __init__(
        self,
        collection: CollectionTable,
        encoders: Mapping[str, Encoder],
        *,
        on_commit: Callable[[list[SourceRecord]], None] | None = None,
        on_embedded: Callable[[int], None] | None = None,
    ) -> None:
        """``encoders``: one for each view's fingerprint. ``on_commit`` is told of the sources acknowledged.

        Both callbacks are called from the thread that stores.
        """
        for view in collection.manifest.views.values():
            if view.fingerprint not in encoders:
                raise StoreError(f"no encoder for view {view.name!r} (fingerprint {view.fingerprint})")
        self.collection = collection
        self.encoders = encoders
        self.counts = WriteCounts()
        self._on_commit = on_commit
        self._on_embedded = on_embedded
        self._batch_size = FIRST_BATCH
        self._batch = _Batch()  # what comes together
        self._current: _Source | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._under_way: Future[None] | None = None
        self._stopped = False
        self._known = collection.sources_with_rows()
        self._acknowledged = set(collection.sources())

    def knows(self, source: str) -> bool:
        """Whether a source was acknowledged, or has rows, before this run."""
        return source in self._known or source in self._acknowledged

    def begin(self, record: SourceRecord) -> None:
        """Start a source; ``record`` names its bytes and how it is read."""
        self._current = _Source(record)

    def add(self, document: Document, chunk: Chunk) -> None:
        """Add a chunk of the current source; a batch is handed over when enough have come together."""
        source = self._current
        if source is None:
            raise RuntimeError("begin() a source first")
        text_hash = content_hash(chunk.text)
        occurrence = source.occurrences.get(text_hash, 0)
        source.occurrences[text_hash] = occurrence + 1
        self._batch.rows.append(
            {
                "id": chunk_id(source.record.source, text_hash, occurrence),
                "document_id": document.document_id,
                "source": source.record.source,
                "title": document.title,
                "mime": document.mime,
                "heading": HEADING_SEPARATOR.join(chunk.heading) or None,
                "page": chunk.page,
                "row": document.row,
                "mtime": source.record.mtime_ns / 1e9,
                "metadata": dict(document.metadata),
                "text": chunk.text,
                "start": chunk.start,
                "end": chunk.end,
                "ordinal": source.num_chunks,
                "num_tokens": chunk.num_tokens,
                "content_hash": text_hash,
                "source_hash": source.record.revision,
            }
        )
        source.num_chunks += 1
        if len(self._batch.rows) >= self._batch_size:
            self._hand_over()

    def finish(self, num_documents: int) -> None:
        """End the current source; it is acknowledged when the batch with its last chunk is stored."""
        source = self._current
        if source is None:
            raise RuntimeError("begin() a source first")
        fields = {**source.record.__dict__, "num_documents": num_documents, "num_chunks": source.num_chunks}
        source.record = SourceRecord(**fields)
        self._batch.finished.append(source)
        self._current = None
        if len(self._batch.finished) >= self._batch_size:
            self._hand_over()

    def abandon(self) -> None:
        """Forget the current source: it could not be read to its end.

        What this run stored of a new source is deleted again. What was there before the run stays (the caller makes
        sure that a known source can be read before its chunks are replaced), and the next run reads it again.
        """
        if self._current is not None:
            name = self._current.record.source
            self._batch.rows = [row for row in self._batch.rows if row["source"] != name]
            self._settle()
            if not self.knows(name):
                self.collection.delete_sources([name])
            self._current = None

    def flush(self) -> None:
        """Embed and store what has come together, and acknowledge the sources that are complete."""
        self._hand_over()
        self._settle()

    def stop(self) -> None:
        """End: give up what is not stored yet; return when nothing is written any more."""
        self._stopped = True
        try:
            with suppress(_Stopped):  # what this asked for
                self._settle()
        finally:
            self._thread.shutdown()

    def _hand_over(self) -> None:
        """Have the batch stored by the thread, after the one before: there are never more than two."""
        self._settle()
        batch, self._batch = self._batch, _Batch()
        self._under_way = self._thread.submit(self._store, batch)

    def _settle(self) -> None:
        """Wait for the batch that is under way, and raise what went wrong with it."""
        if self._under_way is not None:
            wait([self._under_way])  # an interrupt comes out here, and leaves it to stop()
            done, self._under_way = self._under_way, None
            done.result()

    def _store(self, batch: _Batch) -> None:
        started = time.perf_counter()
        embed_before = self.counts.embed_seconds
        if batch.rows:
            self._write_rows(batch.rows)
        for source in batch.finished:
            if self.knows(source.record.source):
                self.counts.deleted += self.collection.delete_stale(source.record)
        records = [s.record for s in batch.finished]
        self.collection.put_sources(records)
        elapsed = time.perf_counter() - started
        self.counts.write_seconds += elapsed - (self.counts.embed_seconds - embed_before)
        if elapsed < TARGET_SECONDS:
            self._batch_size = min(self._batch_size * 2, LAST_BATCH)
        if records and self._on_commit:
            self._on_commit(records)

    def _write_rows(self, rows: list[dict[str, Any]]) -> None:
        collection = self.collection
        fields = infer_field_types([r["metadata"] for r in rows], collection.manifest.fields)
        collection.update_manifest(fields=fields)
        views = list(collection.manifest.views.values())
        touched = {row["source"] for row in rows} & self._known
        may_exist = bool(touched)
        collection.forget_sources(touched)  # not acknowledged while half of its rows are of the new revision
        stored = _StoredVectors(collection, views, [r["id"] for r in rows] if may_exist else [])
        schema = chunk_schema(views)
        plain = [{**row, "metadata": json.dumps(row["metadata"], ensure_ascii=False)} for row in rows]
        base = [pa.array([row[f.name] for row in plain], f.type) for f in chunk_schema([])]
        columns: list[pa.Array] = []
        num_new = 0
        for view in views:
            vectors, num_new_of_view = self._vectors(view, rows, stored)
            columns += vector_arrays(view, vectors)
            num_new += num_new_of_view
        collection.upsert(pa.Table.from_arrays(base + columns, schema=schema), may_exist=may_exist)
        self.counts.embedded += num_new
        self.counts.kept += len(rows) * len(views) - num_new

    def _vectors(self, view: View, rows: list[dict[str, Any]], stored: _StoredVectors) -> tuple[np.ndarray, int]:
        """Return the rows' vectors, (n, dim), and how many are new: stored ones are kept where they are sound."""
        vectors = np.zeros((len(rows), view.dim), dtype=np.float32)
        new: list[int] = []
        for position, row in enumerate(rows):
            known = stored.get(view, row["id"])
            if known is None:
                new.append(position)
            else:
                vectors[position] = known
        if new:
            texts = [rows[position]["text"] for position in new]
            embedded = embed(self.encoders[view.fingerprint], view, texts, self._tell)
            self.counts.add(embedded)
            vectors[new] = embedded.vectors
        return vectors, len(new)

    def _tell(self, num_texts: int) -> None:
        if self._stopped:
            raise _Stopped
        if self._on_embedded:
            self._on_embedded(num_texts)


class _StoredVectors:
    """Vectors of rows that exist already, checked against their checksums."""

    def __init__(self, collection: CollectionTable, views: list[View], ids: list[str]) -> None:
        self._tables: dict[str, dict[str, np.ndarray]] = {view.name: {} for view in views}
        for start in range(0, len(ids), 1000):
            columns = ["id", *(name for v in views for name in (v.column, v.checksum_column))]
            table = collection.rows_by_id(ids[start : start + 1000], columns)
            for view in views:
                self._tables[view.name].update(sound_vectors(table, view))

    def get(self, view: View, row_id: str) -> np.ndarray | None:
        return self._tables[view.name].get(row_id)
