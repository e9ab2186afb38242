"""The hit cache: what hits show, copied into one mapped Arrow file beside the table.

Ten hits of 100,000 chunks are read in 0.2 ms; LanceDB takes 8 (benchmarks/by_hand.py, an AVX2 machine of two cores).
A row whose fields change gets another row id, so one that the copy has is as the table has it. Those that came later
are read from the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instructor_search.files import atomic_file
from instructor_search.store.indexes import policy
from instructor_search.store.indexes.protocol import Findings
from instructor_search.store.indexes.row_batches import batches, rows_of, rows_where
from instructor_search.store.schema import SHOWN_COLUMNS
from instructor_search.store.table import CollectionTable

REWRITE_SHARE = 0.2  # of the table's rows that the copy lacks, or of its own that are gone
_ROWS = "_rowid"


class CachedHits:
    """What hits show of one version of a table; use ``open_hit_cache``."""

    def __init__(self, path: Path) -> None:
        """Map ``path``.

        Raises:
            OSError: it is not there.
            pyarrow.ArrowInvalid: it is damaged.
        """
        self.path = path
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        names = reader.schema.names
        self._columns = [dict(zip(names, batch.columns, strict=True)) for batch in batches]  # looked up once
        ids = [batch[_ROWS].to_numpy() for batch in batches]
        self._starts = np.cumsum([0, *map(len, ids)])
        self._ids = np.concatenate([np.zeros(0, np.uint64), *ids])
        self._order = np.argsort(self._ids)
        self._sorted = self._ids[self._order]

    def __len__(self) -> int:
        """Return the number of rows in it."""
        return len(self._ids)

    def num_known(self, rows: np.ndarray) -> int:
        """Return how many of the table's ``rows`` it has."""
        return int(np.isin(rows, self._ids, assume_unique=True).sum())

    def rows_of(self, table: Any, rows: Iterable[int], columns: list[str]) -> dict[int, dict[str, Any]]:
        """Return table rows, by row id; those that are not in the copy from ``table``."""
        wanted = np.array(sorted(set(rows)), dtype=np.uint64)
        if not len(wanted) or not len(self) or not set(columns) <= set(SHOWN_COLUMNS):
            return rows_of(table, wanted.tolist(), columns)
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        known = self._sorted[place] == wanted
        by_row = rows_of(table, wanted[~known].tolist(), columns)
        for row, position in zip(wanted[known].tolist(), self._order[place[known]].tolist(), strict=True):
            by_row[row] = self._row(position, columns)
        return by_row

    def _row(self, position: int, columns: list[str]) -> dict[str, Any]:
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        values, place = self._columns[number], position - int(self._starts[number])
        return {name: values[name][place].as_py() for name in columns}


class HitCache:
    """The hit cache of a collection, as an ``Index``."""

    def __init__(self, collection: CollectionTable) -> None:
        """Nothing is read yet."""
        self._collection = collection

    def open(self) -> CachedHits | None:
        """Return the newest one that can be read."""
        return open_hit_cache(self._collection)

    def sync(self) -> list[str]:
        """Make it, or make it anew when a fifth of the rows has changed; small collections have none."""
        ensure_hit_cache(self._collection, policy.INDEX_THRESHOLD)
        return []

    def drop(self) -> None:
        """Delete all copies."""
        drop_hit_cache(self._collection)

    def verify(self) -> Findings:
        """Compare it with the table, row by row."""
        copy, table = self.open(), self._collection.open_chunks()
        if copy is None:
            return Findings()
        wrong = 0
        for batch in batches(table, ["_rowid"], "true"):
            rows = batch["_rowid"].to_pylist()
            shown, stored = copy.rows_of(table, rows, SHOWN_COLUMNS), rows_of(table, rows, SHOWN_COLUMNS)
            wrong += sum(shown[row] != stored[row] for row in rows)
        what = f"{wrong} rows of the hit cache are not the table's; delete {copy.path}"
        return Findings((what,) if wrong else ())


def open_hit_cache(collection: CollectionTable, known: CachedHits | None = None) -> CachedHits | None:
    """Return the newest copy, ``known`` if it is that; None where there is none that can be read."""
    for path in _paths(collection):
        if known is not None and known.path == path:
            return known
        try:
            return CachedHits(path)
        except (OSError, pa.ArrowInvalid):
            continue
    return None


def ensure_hit_cache(collection: CollectionTable, threshold: int) -> None:
    """Make the copy, or make it anew when a fifth of the rows has changed; under the writer's lock.

    Up to ``threshold`` rows there is none.
    """
    table = collection.open_chunks()
    version = collection.chunks.version
    table.checkout(version)
    rows = rows_where(table)
    if len(rows) <= threshold:
        drop_hit_cache(collection)
        return
    copy = open_hit_cache(collection)
    if copy is not None:
        shared = copy.num_known(rows)
        if max(len(rows) - shared, len(copy) - shared) <= REWRITE_SHARE * len(rows):
            return
    path = _folder(collection) / f"{version:020}.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        _write(part, batches(table, [*SHOWN_COLUMNS, _ROWS]))
    drop_hit_cache(collection, keep=path)


def drop_hit_cache(collection: CollectionTable, *, keep: Path | None = None) -> None:
    """Delete the copies, but ``keep``. Readers that have one open go on: their files stay mapped."""
    for path in _folder(collection).glob("*"):
        if path != keep:
            path.unlink(missing_ok=True)


def _write(path: Path, parts: Iterator[pa.RecordBatch]) -> None:
    writer = None
    with path.open("wb") as stream:
        for batch in parts:
            arrays = [c.storage if isinstance(c, pa.ExtensionArray) else c for c in batch.columns]
            plain = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
            writer = writer or pa.ipc.new_file(stream, plain.schema)
            writer.write_batch(plain)
        if writer is not None:
            writer.close()


def _folder(collection: CollectionTable) -> Path:
    return collection.folder / "rows"


def _paths(collection: CollectionTable) -> list[Path]:
    return sorted(_folder(collection).glob("*.arrow"), reverse=True)
