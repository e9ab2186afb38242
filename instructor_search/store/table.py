"""A collection: one LanceDB table of chunks, its sources and its manifest, in a folder of its own.

Reading needs no lock. All writing goes through the methods here and the functions of ``maintenance``, under
``writing()``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
import pyarrow as pa

from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import StoreError
from instructor_search.files import remove_folder
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.store._lancedb import Table, lancedb
from instructor_search.store.creation import make_folder
from instructor_search.store.folders import find_collection
from instructor_search.store.lock import writer_lock
from instructor_search.store.manifest import Manifest, View, read_manifest, write_manifest
from instructor_search.store.schema import (
    CHUNK_FIELDS,
    CHUNKS,
    SOURCE_SCHEMA,
    SOURCES,
    SourceRecord,
    any_of,
    orphan_columns,
    quoted,
    view_fields,
)
from instructor_search.store.store_errors import clear_errors
from instructor_search.store.vectors import vector_arrays


class CollectionTable:
    """Chunks, their vectors under one or more views, and the facts of how they were made."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Open the tables of ``folder``; use ``open`` or ``create``."""
        self.folder = folder
        self.manifest = manifest
        self._manifest_lock = Lock()
        self._db = lancedb.connect(str(folder), read_consistency_interval=timedelta(seconds=2))
        try:
            self.chunks = self._db.open_table(CHUNKS)
            self.sources_table = self._db.open_table(SOURCES)
        except (ValueError, OSError, RuntimeError) as error:
            raise StoreError(f"{folder}: its tables cannot be opened ({str(error)[:200]})") from error

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, name: str, store: str | Path | None = None) -> Self:
        """Open an existing collection.

        Raises:
            CollectionNotFoundError: there is none of that name; the message lists those that there are.
            StoreError: its files are damaged.
        """
        folder = find_collection(name, store)
        return cls(folder, read_manifest(folder))

    @classmethod
    def create_empty(cls, name: str, store: str | Path | None = None, *, chunk_tokens: int, chunk_overlap: int) -> Self:
        """Make an empty collection without a view.

        Raises:
            StoreError: the name is not allowed or taken.
        """
        manifest = Manifest(name, _now(), chunk_tokens, chunk_overlap)
        return cls(make_folder(manifest, store), manifest)

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self.manifest.name

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer's lock; the manifest and the tables are read anew first."""
        with writer_lock(self.folder):
            self.manifest = read_manifest(self.folder)
            self.chunks.checkout_latest()
            self.sources_table.checkout_latest()
            yield

    def open_chunks(self) -> Table:
        """Return a handle of the chunk table of its own, to be held at one version."""
        return self._db.open_table(CHUNKS)

    def chunks_changed_at(self) -> int:
        """Return when a version of the chunk table came or went, by the file system's clock, in nanoseconds."""
        return (self.folder / f"{CHUNKS}.lance" / "_versions").stat().st_mtime_ns

    def save_manifest(self, manifest: Manifest) -> None:
        """Write and adopt ``manifest``, if it differs."""
        if manifest != self.manifest:
            write_manifest(self.folder, manifest)
            self.manifest = manifest

    # -- views -----------------------------------------------------------------------------------------------------

    def view(self, name: str | None = None) -> View:
        """Return the view called ``name``; None is "default", or the only one.

        Raises:
            StoreError: there is no such view; the message lists those that there are.
        """
        return self.manifest.view(name)

    @clear_errors
    def fetch(self, query: Any) -> list[dict[str, Any]]:
        """Run a query of the chunk table and return its rows."""
        rows: list[dict[str, Any]] = query.to_list()
        return rows

    def find_view(self, fingerprint: str, document_instruction: GivenInstruction) -> View | None:
        """Return the view of this encoder and instruction, if there is one."""
        sentence = resolve(document_instruction, "document")
        for view in self.manifest.views.values():
            if (view.fingerprint, view.document_instruction) == (fingerprint, sentence):
                return view
        return None

    @clear_errors
    def add_view(
        self,
        encoder: Encoder,
        document_instruction: GivenInstruction,
        name: str,
        *,
        model: str | None = None,
        allow_pickle: bool = False,
    ) -> View:
        """Add an empty vector column for ``encoder`` and ``document_instruction``; other columns are not touched."""
        if name in self.manifest.views:
            raise StoreError(f"collection {self.name!r} has a view {name!r} already; choose another --view name")
        sentence = resolve(document_instruction, "document")
        encoder.tokenizer.text_budget(sentence)  # refuses an instruction that leaves no room
        view = View(
            name=name,
            column=self.manifest.free_column(name),
            model=model or encoder.name,
            fingerprint=encoder.fingerprint,
            dialect=str(encoder.tokenizer.dialect),
            max_tokens=encoder.max_tokens,
            dim=encoder.dim,
            document_instruction=sentence,
            runtime=encoder.runtime,
            precision=encoder.precision,
            created=_now(),
            allow_pickle=allow_pickle,
        )
        self._drop_orphans()
        self.chunks.add_columns(pa.schema(view_fields(view)))
        self.save_manifest(self.manifest.with_view(view))
        return view

    def _drop_orphans(self) -> None:
        """Drop vector columns that no view names: a run was killed while it made or dropped a view."""
        if orphans := orphan_columns(self.chunks.schema.names, self.manifest.views.values()):
            self.chunks.drop_columns(orphans)

    # -- rows ------------------------------------------------------------------------------------------------------

    @clear_errors
    def num_chunks(self, where: str | None = None) -> int:
        """Return the number of chunks; ``where`` is SQL of our own making."""
        return self.chunks.count_rows(where)

    @clear_errors
    def sources(self) -> dict[str, SourceRecord]:
        """Return the sources whose chunks are all stored."""
        rows = self.sources_table.to_arrow().to_pylist()
        return {row["source"]: SourceRecord(**row) for row in rows}

    @clear_errors
    def sources_with_rows(self) -> set[str]:
        """Return every source that has chunks, complete or not."""
        column = self.chunks.search().select(["source"]).to_arrow()["source"]
        return set(column.unique().to_pylist())

    @clear_errors
    def rows_by_id(self, ids: list[str], columns: list[str]) -> pa.Table:
        """Return the rows of ``ids`` that exist."""
        return self.chunks.search().where(f"id IN ({any_of(ids)})").select(columns).limit(len(ids)).to_arrow()

    @clear_errors
    def vectors_of(self, view: View, ids: list[str]) -> dict[str, np.ndarray]:
        """Return the vectors of chunks in a view, by id, float32 (dim,); one without a vector has none."""
        rows = self.rows_by_id(ids, ["id", view.column]).to_pylist()
        return {r["id"]: np.asarray(r[view.column], np.float32) for r in rows if r[view.column] is not None}

    @clear_errors
    def upsert(self, rows: pa.Table, *, may_exist: bool) -> None:
        """Add rows, or replace those whose id exists. ``may_exist=False`` is faster and only right for new ids."""
        if may_exist:
            merge = self.chunks.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)
        else:
            self.chunks.add(rows)

    @clear_errors
    def set_vectors(self, view: View, ids: list[str], vectors: np.ndarray) -> None:
        """Fill a view's column for existing rows. ``vectors``: float32 (n, dim)."""
        schema = pa.schema([CHUNK_FIELDS[0], *view_fields(view)])
        rows = pa.Table.from_arrays([pa.array(ids, pa.string()), *vector_arrays(view, vectors)], schema=schema)
        self._update(rows)

    def _update(self, rows: pa.Table) -> None:
        """Replace columns of existing rows by those of ``rows``, which has their ids."""
        self.chunks.merge_insert("id").when_matched_update_all().execute(rows)

    @clear_errors
    def touch_sources(self, records: list[SourceRecord]) -> None:
        """Remember other times of unchanged files, in their records and in their rows."""
        for start in range(0, len(records), 500):
            part = records[start : start + 500]
            times = {r.source: r.mtime_ns / 1e9 for r in part}
            query = self.chunks.search().where(f"source IN ({any_of(times)})").select(["id", "source"])
            rows = query.limit(sum(r.num_chunks for r in part) or 1).to_arrow()
            schema = pa.schema([CHUNK_FIELDS[0], pa.field("mtime", pa.float64())])
            new = [rows["id"].combine_chunks(), pa.array([times[s] for s in rows["source"].to_pylist()], pa.float64())]
            self._update(pa.Table.from_arrays(new, schema=schema))
            self.put_sources(part)

    @clear_errors
    def put_sources(self, records: list[SourceRecord]) -> None:
        """Acknowledge sources: from here on all their chunks count as stored."""
        if records:
            rows = pa.Table.from_pylist([asdict(r) for r in records], schema=SOURCE_SCHEMA)
            merge = self.sources_table.merge_insert("source").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)

    @clear_errors
    def forget_sources(self, sources: Iterable[str]) -> None:
        """Take back the acknowledgement of sources; their chunks stay."""
        names = sorted(sources)
        if names:
            self.sources_table.delete(f"source IN ({any_of(names)})")

    @clear_errors
    def delete_stale(self, record: SourceRecord) -> int:
        """Delete the rows of a source that are not of its current revision; return how many."""
        where = f"source = {quoted(record.source)} AND source_hash != {quoted(record.revision)}"
        count = self.chunks.count_rows(where)
        if count:
            self.chunks.delete(where)
        return count

    @clear_errors
    def delete_sources(self, sources: Iterable[str]) -> int:
        """Delete sources with their chunks; return the number of chunks."""
        names = sorted(sources)
        count = 0
        for start in range(0, len(names), 500):
            where = f"source IN ({any_of(names[start : start + 500])})"
            count += self.chunks.count_rows(where)
            self.sources_table.delete(where)  # first: a kill in between leaves chunks that the next prune still sees
            self.chunks.delete(where)
        return count

    @clear_errors
    def delete_where(self, where: str) -> int:
        """Delete chunks by a compiled filter. Their sources count as unread again: the next ingest brings them back."""
        affected = self.chunks.search().where(where).select(["source"]).to_arrow()["source"]
        if len(affected):
            self.forget_sources(set(affected.to_pylist()))
            self.chunks.delete(where)
        return len(affected)

    @clear_errors
    def missing_vectors(self, view: View) -> int:
        """Return how many chunks have no vector in ``view`` yet."""
        return self.chunks.count_rows(f"{view.column} IS NULL")

    def batches_without_vector(self, view: View, size: int) -> Iterator[pa.Table]:
        """Yield the (id, text) rows that ``view`` has no vector for, some at a time, as they are when this begins."""
        reader = self._rows_without_vector(view, size)
        while (batch := _next_batch(reader)) is not None:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])

    @clear_errors
    def _rows_without_vector(self, view: View, size: int) -> pa.RecordBatchReader:
        query = self.chunks.search().where(f"{view.column} IS NULL").select(["id", "text"]).limit(None)
        return query.to_batches(size)

    def drop(self) -> None:
        """Delete the collection and everything in it."""
        with writer_lock(self.folder):
            self.discard()

    def discard(self) -> None:
        """Do what ``drop`` does, under the writer's lock that is held."""
        remove_folder(self.folder)

    def update_manifest(self, **changes: Any) -> None:
        """Replace fields of the manifest; threads may do so at once."""
        with self._manifest_lock:
            self.save_manifest(replace(self.manifest, **changes))


@clear_errors
def _next_batch(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    return next(reader, None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
