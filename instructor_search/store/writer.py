"""Chunks in, rows with vectors out: embeds what is new, keeps the vectors of what is not, acknowledges whole sources.

A source (file) is acknowledged when all its chunks are stored; a run that is killed before finds its chunks again by
their keys, keeps their vectors and finishes the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from instructor_search.encoder.protocol import Encoder, check_vectors
from instructor_search.errors import StoreError
from instructor_search.instructions import InstructedText
from instructor_search.records import Chunk, Document
from instructor_search.store.collection import Collection, revision
from instructor_search.store.manifest import View, infer_field_types
from instructor_search.store.schema import (
    HEADING_SEPARATOR,
    SourceRecord,
    chunk_id,
    chunk_schema,
    content_hash,
)
from instructor_search.store.vectors import sound_vectors, vector_arrays

FIRST_BATCH, LAST_BATCH = 256, 4096  # chunks of a write; grows while one takes less than TARGET_SECONDS
TARGET_SECONDS = 5.0


@dataclass
class WriteCounts:
    """What a writer did, and where its time went."""

    embedded: int = 0  # vectors made and stored: chunks x views
    kept: int = 0  # vectors that were there already
    deleted: int = 0
    cut: int = 0  # texts that did not fit into a view's window beside its instruction
    embed_seconds: float = 0.0
    write_seconds: float = 0.0


@dataclass
class _Source:
    record: SourceRecord
    occurrences: dict[str, int] = field(default_factory=dict)
    num_chunks: int = 0


class CollectionWriter:
    """Writes chunks of one source after another; use it under ``collection.writing()``."""

    def __init__(
        self,
        collection: Collection,
        encoders: Mapping[str, Encoder],
        *,
        on_commit: Callable[[list[SourceRecord]], None] | None = None,
        on_embedded: Callable[[int], None] | None = None,
    ) -> None:
        """``encoders``: one for each view's fingerprint. ``on_commit`` is told of the sources acknowledged."""
        for view in collection.manifest.views.values():
            if view.fingerprint not in encoders:
                raise StoreError(f"no encoder for view {view.name!r} (fingerprint {view.fingerprint})")
        self.collection = collection
        self.encoders = encoders
        self.counts = WriteCounts()
        self._on_commit = on_commit
        self._on_embedded = on_embedded
        self._batch_size = FIRST_BATCH
        self._rows: list[dict[str, Any]] = []
        self._finished: list[_Source] = []
        self._current: _Source | None = None
        self._new = 0  # vectors made for the rows that are being written
        self._known = collection.sources_with_rows()
        self._acknowledged = set(collection.sources())

    def knows(self, source: str) -> bool:
        """Whether a source was acknowledged, or has rows, before this run."""
        return source in self._known or source in self._acknowledged

    def begin(self, record: SourceRecord) -> None:
        """Start a source; ``record`` names its bytes and how it is read."""
        self._current = _Source(record)

    def add(self, document: Document, chunk: Chunk) -> None:
        """Add a chunk of the current source; writes when enough have come together."""
        source = self._current
        if source is None:
            raise RuntimeError("begin() a source first")
        text_hash = content_hash(chunk.text)
        occurrence = source.occurrences.get(text_hash, 0)
        source.occurrences[text_hash] = occurrence + 1
        self._rows.append(
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
                "source_hash": revision(source.record),
            }
        )
        source.num_chunks += 1
        if len(self._rows) >= self._batch_size:
            self.flush()

    def finish(self, num_documents: int) -> None:
        """End the current source; it is acknowledged with the next write."""
        source = self._current
        if source is None:
            raise RuntimeError("begin() a source first")
        facts = {**source.record.__dict__, "num_documents": num_documents, "num_chunks": source.num_chunks}
        source.record = SourceRecord(**facts)
        self._finished.append(source)
        self._current = None
        if len(self._finished) >= self._batch_size:
            self.flush()

    def abandon(self) -> None:
        """Forget the current source: it could not be read to its end.

        What this run stored of a new source is deleted again. What was there before the run stays (the caller makes
        sure that a known source can be read before its chunks are replaced), and the next run reads it again.
        """
        if self._current is not None:
            name = self._current.record.source
            self._rows = [row for row in self._rows if row["source"] != name]
            if not self.knows(name):
                self.collection.delete_sources([name])
            self._current = None

    def flush(self) -> None:
        """Embed and store what has come together, and acknowledge the sources that are complete."""
        started = time.perf_counter()
        embed_before = self.counts.embed_seconds
        if self._rows:
            self._write_rows()
        for source in self._finished:
            if self.knows(source.record.source):
                self.counts.deleted += self.collection.delete_stale(source.record)
        records = [s.record for s in self._finished]
        self.collection.put_sources(records)
        self._rows, self._finished = [], []
        elapsed = time.perf_counter() - started
        self.counts.write_seconds += elapsed - (self.counts.embed_seconds - embed_before)
        if elapsed < TARGET_SECONDS:
            self._batch_size = min(self._batch_size * 2, LAST_BATCH)
        if records and self._on_commit:
            self._on_commit(records)

    def _write_rows(self) -> None:
        collection, rows = self.collection, self._rows
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
        vectors: list[pa.Array] = []
        self._new = 0
        for view in views:
            vectors += vector_arrays(view, self._vectors(view, stored))
        collection.upsert(pa.Table.from_arrays(base + vectors, schema=schema), may_exist=may_exist)
        self.counts.embedded += self._new
        self.counts.kept += len(rows) * len(views) - self._new

    def _vectors(self, view: View, stored: _StoredVectors) -> np.ndarray:
        """Return the vectors of the pending rows, (n, dim): stored ones where they are sound, new ones elsewhere."""
        vectors = np.zeros((len(self._rows), view.dim), dtype=np.float32)
        new: list[int] = []
        for position, row in enumerate(self._rows):
            known = stored.get(view, row["id"])
            if known is None:
                new.append(position)
            else:
                vectors[position] = known
        if new:
            texts = [self._rows[position]["text"] for position in new]
            vectors[new] = embed(self.encoders[view.fingerprint], view, texts, self.counts, self._on_embedded)
        self._new += len(new)
        return vectors


class _StoredVectors:
    """Vectors of rows that exist already, checked against their checksums."""

    def __init__(self, collection: Collection, views: list[View], ids: list[str]) -> None:
        self._tables: dict[str, dict[str, np.ndarray]] = {view.name: {} for view in views}
        for start in range(0, len(ids), 1000):
            columns = ["id", *(name for v in views for name in (v.column, v.checksum_column))]
            table = collection.rows_by_id(ids[start : start + 1000], columns)
            for view in views:
                self._tables[view.name].update(sound_vectors(table, view))

    def get(self, view: View, row_id: str) -> np.ndarray | None:
        return self._tables[view.name].get(row_id)


def embed(
    encoder: Encoder,
    view: View,
    texts: list[str],
    counts: WriteCounts,
    on_embedded: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the vectors of ``texts`` in ``view``, (n, dim), checked to be finite and not zero.

    Raises:
        StoreError: the encoder returned vectors of another shape.
        ModelError: it returned vectors that could not be searched.
    """
    started = time.perf_counter()
    limit = encoder.tokenizer.text_budget(view.document_instruction)
    pairs = [InstructedText(view.document_instruction, text) for text in texts]
    vectors = np.asarray(encoder.encode(pairs, on_batch=on_embedded), dtype=np.float32)
    counts.embed_seconds += time.perf_counter() - started
    counts.cut += sum(n > limit for n in encoder.tokenizer.count_many(texts))
    if vectors.shape != (len(texts), view.dim):
        raise StoreError(
            f"encoder {encoder.name} gave {vectors.shape}, view {view.name!r} needs ({len(texts)}, {view.dim})"
        )
    return check_vectors(vectors, encoder.name)


def fill_view(
    collection: Collection,
    view: View,
    encoder: Encoder,
    counts: WriteCounts,
    on_embedded: Callable[[int], None] | None = None,
) -> int:
    """Embed the chunks that ``view`` has no vector for, in batches; return how many. Safe to interrupt."""
    done, size = 0, FIRST_BATCH
    while (rows := collection.rows_without_vector(view, size)).num_rows:
        started = time.perf_counter()
        vectors = embed(encoder, view, rows["text"].to_pylist(), counts, on_embedded)
        write_started = time.perf_counter()
        collection.set_vectors(view, rows["id"].to_pylist(), vectors)
        counts.embedded += rows.num_rows
        counts.write_seconds += time.perf_counter() - write_started
        done += rows.num_rows
        if time.perf_counter() - started < TARGET_SECONDS:
            size = min(size * 2, LAST_BATCH)
    return done
