"""A view's FAISS index: kept beside the table, and brought up to date with it before it is searched.

An index answers for one version of the table, through a handle that stays at it. When the table has a newer one, what
is new or changed is held beside the index and searched exactly, what is gone is masked; all rows and checksums are
compared to find that. So what is found never lags behind the table, whoever wrote to it.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.errors import StoreError
from instructor_search.store.indexes.exact import exact
from instructor_search.store.indexes.faiss import FaissIndex, Kind, Mask, Setting
from instructor_search.store.indexes.metadata import MetadataColumns
from instructor_search.store.indexes.row_batches import ENTRY, NO_ROW, find, read_entries, read_vectors, scan
from instructor_search.store.indexes.saved_index import IndexFacts, mapped_vectors, saved_indexes, write_index
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

_KEPT_FILTERS = 32  # whose positions and rows are remembered: 16 bytes for each that is allowed
_GONE = np.uint64(NO_ROW)


class _Allowed(NamedTuple):
    """What a filter allows."""

    mask: Mask  # positions of the index
    beside: np.ndarray  # whether each vector beside it, (n,)
    rows: np.ndarray  # of the table


class ViewIndex:
    """A saved index with what has changed since. One thread at a time may use it."""

    def __init__(self, collection: CollectionTable, view: View, folder: Path, facts: IndexFacts) -> None:
        """Open the index of ``folder`` and bring it up to date; use ``open_index``.

        Raises:
            StoreError: one of its files is missing or damaged.
        """
        self.collection, self.view, self.folder, self.facts = collection, view, folder, facts
        try:
            vectors = mapped_vectors(folder.parent / "vectors.f32", facts.count, facts.dim)
            self.rows = np.load(folder / "rows.npy")
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{folder} is damaged ({str(error)[:120]})") from error
        if len(self.rows) != facts.count or self.rows.dtype != ENTRY:
            raise StoreError(f"{folder} is damaged: {len(self.rows)} rows for {facts.count} vectors")
        self.index = FaissIndex.load(
            Kind(facts.kind), vectors, folder / "index.faiss", Setting(*facts.setting), mapped=True
        )
        self.table: Any = collection.open_chunks()
        self.version = -1
        self.extra = np.zeros((0, facts.dim), dtype=np.float32)
        self.extra_rows = np.zeros(0, dtype=ENTRY)
        self._mask: Mask | None = None  # of the positions that have a row; None: all have one
        self._by_row: tuple[np.ndarray, np.ndarray] | None = None  # table rows in order, with positions, for filters
        self.fields = MetadataColumns()  # of the table, whatever its version
        self._filters: dict[str, _Allowed] = {}  # by this version of the table
        self.sync()

    @property
    def drift(self) -> float:
        """Vectors that are new or gone since the index was trained, as a share of those that it was trained with."""
        new = len(self.rows) + len(self.extra) - self.facts.built
        return (new + int((self.rows["row"] == _GONE).sum())) / self.facts.built

    @property
    def size(self) -> int:
        """Bytes of its files."""
        files = [self.folder.parent / "vectors.f32", *self.folder.iterdir()]
        return sum(path.stat().st_size for path in files)

    # -- the table's newest version --------------------------------------------------------------------------------

    def sync(self) -> bool:
        """Bring the index up to the newest version of the table; return whether there was one."""
        newest = self.collection.chunks.version
        if newest == self.version:
            return False
        self.table.checkout(newest)
        if newest == self.facts.version and self.version < 0:
            self._note_gone()
        else:
            rows, checksums = scan(self.table, self.view)
            if not self._follow(rows, checksums):
                self._compare(rows, checksums)
        self.version = newest
        return True

    def _follow(self, rows: np.ndarray, checksums: np.ndarray) -> bool:
        """Hold rows that came since beside the index; return False, with nothing done, where others changed too.

        ``rows``, ``checksums``: of the table; new rows have ids above all others.
        """
        there = self.rows["row"] != _GONE
        known = np.concatenate([self.rows["row"][there], self.extra_rows["row"]])
        sums = np.concatenate([self.rows["checksum"][there], self.extra_rows["checksum"]])
        order, count = np.argsort(known, kind="stable"), len(known)
        if not (np.array_equal(rows[:count], known[order]) and np.array_equal(checksums[:count], sums[order])):
            return False
        entries, vectors = read_vectors(self.table, self.view, rows[count:])
        self.extra = np.concatenate([self.extra, vectors])
        self.extra_rows = np.concatenate([self.extra_rows, entries])
        self._filters.clear()
        if self.version < 0:
            self._note_gone()
        return True

    def _compare(self, rows: np.ndarray, checksums: np.ndarray) -> None:
        """Find what changed: rows whose checksum differs or that the index lacks, and entries without a row."""
        known = np.concatenate([self.rows, self.extra_rows])
        place = find(known["row"], rows, known["checksum"], checksums)  # of each row of the table, among the known ones
        current = np.full(len(known), _GONE)
        current[place[place >= 0]] = rows[place >= 0]
        fresh, vectors = self._new(known, current, rows[place < 0])
        known["row"], count = current, len(self.rows)
        self.rows, later = known[:count], known[count:]
        kept = later["row"] != _GONE
        self.extra = np.concatenate([self.extra[kept], vectors])
        self.extra_rows = np.concatenate([later[kept], fresh])
        self._note_gone()

    def _new(self, known: np.ndarray, current: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find entries that only moved to ``unknown`` rows, note that in ``current``; read the rest with vectors."""
        entries = read_entries(self.table, self.view, unknown)
        lost = np.flatnonzero((current == _GONE) & (known["row"] != _GONE))  # chunk ids are unique among these
        place = find(known["id"][lost], entries["id"], known["checksum"][lost], entries["checksum"])
        current[lost[place[place >= 0]]] = entries["row"][place >= 0]
        return read_vectors(self.table, self.view, entries["row"][place < 0])

    def _note_gone(self) -> None:
        there = np.flatnonzero(self.rows["row"] != _GONE)
        self._mask, self._by_row = (Mask(there, len(self.rows)) if len(there) < len(self.rows) else None), None
        self._filters.clear()

    # -- searching -------------------------------------------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, *, where: str | None = None, setting: Setting | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and entries of the nearest chunks, (q, k) each, best first; -inf and ``NO_ROW`` for none.

        ``queries``: float32, (q, dim). ``where``: SQL of our own making; only rows that it holds for are found. Call
        ``sync`` before.
        """
        queries = to_unit_length(queries)
        mask, extra, extra_rows = self._mask, self.extra, self.extra_rows
        if where is not None:
            mask, beside, _ = self._filter(where)
            extra, extra_rows = extra[beside], extra_rows[beside]
        scores, positions = self.index.search(queries, k, mask=mask, setting=setting)
        entries = self.rows[positions]
        entries["row"][positions < 0] = _GONE
        if len(extra):
            extra_scores, places = exact(queries, extra, k, None)
            scores = np.concatenate([scores, extra_scores], axis=1)
            entries = np.concatenate([entries, extra_rows[places]], axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores, entries = np.take_along_axis(scores, order, 1), np.take_along_axis(entries, order, 1)
            entries["row"][np.isneginf(scores)] = _GONE
        return scores, entries

    def allowed(self, where: str) -> np.ndarray:
        """Return the table rows that a filter allows, (n,)."""
        return self._filter(where).rows

    def _filter(self, where: str) -> _Allowed:
        """Return what a filter allows; the last few are kept."""
        if where not in self._filters:
            rows = self.fields.rows_where(self.table, self.version, where)
            if len(self._filters) >= _KEPT_FILTERS:
                del self._filters[next(iter(self._filters))]
            mask = Mask(self._positions(rows), len(self.rows), is_filter=True)
            beside = np.zeros(0, bool) if not len(self.extra_rows) else np.isin(self.extra_rows["row"], rows)
            self._filters[where] = _Allowed(mask, beside, rows)
        self._filters[where] = self._filters.pop(where)  # the newest is the last
        return self._filters[where]

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Return the positions of table rows, ascending; rows that the index lacks have none."""
        if self._by_row is None:
            order = np.argsort(self.rows["row"])
            self._by_row = self.rows["row"][order], order
        ordered, positions = self._by_row
        place = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
        return np.sort(positions[place[ordered[place] == rows]])

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self) -> ViewIndex:
        """Write the index with all that has changed, and return the one that was written.

        Under the writer's lock, and only of the newest index that was saved: what follows its vectors is overwritten.
        """
        generation = self.folder.parent
        fresh = self.extra_rows
        with (generation / "vectors.f32").open("r+b") as stream:
            stream.seek(4 * self.facts.count * self.facts.dim)  # over what a killed run may have appended
            stream.write(self.extra.tobytes())
            stream.truncate()
            stream.flush()
            os.fsync(stream.fileno())
        count = self.facts.count + len(fresh)
        vectors = mapped_vectors(generation / "vectors.f32", count, self.facts.dim)
        index = FaissIndex.load(
            self.index.kind, vectors[: self.facts.count], self.folder / "index.faiss", self.index.setting, mapped=False
        )
        index.vectors = vectors
        index.add(self.facts.count)
        rows = np.concatenate([self.rows, fresh])
        facts = replace(self.facts, count=count, version=self.version)
        folder, facts = write_index(generation, index, rows, facts)
        return ViewIndex(self.collection, self.view, folder, facts)


def open_index(collection: CollectionTable, view: View) -> ViewIndex | None:
    """Return the newest whole index of ``view``, up to date; None where there is none that can be used."""
    for folder, facts in saved_indexes(collection, view):
        with contextlib.suppress(StoreError, FileNotFoundError):
            return ViewIndex(collection, view, folder, facts)
    return None


def damaged_vectors(index: ViewIndex) -> list[str]:
    """Return the ids of chunks whose vector in the index's own file is not what was written there."""
    alive = np.flatnonzero(index.rows["row"] != _GONE)
    sums = index.rows["own_checksum"]
    return [
        index.rows["id"][i].decode() for i in alive.tolist() if zlib.crc32(index.index.vectors[i].tobytes()) != sums[i]
    ]
