"""Entries of an index: which table row holds which chunk's vector; and reading them from the table in batches."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.store.manifest import View

# ``row``: the store's id of it in one version of the table. ``own_checksum``: of the vector in the index's own file.
ENTRY = np.dtype([("id", "S32"), ("checksum", "<i8"), ("own_checksum", "<u4"), ("row", "<u8")])
NO_ROW = 2**64 - 1  # of an entry whose chunk is no more in the table, and where nothing was found
_BATCH = 8192  # rows read at a time
_ALL = 2**31 - 1  # rows at most; without a limit the store gives ten


def batches(table: Any, columns: list[str] | dict[str, str], where: str = "true") -> Iterator[Any]:
    """Yield record batches of the rows that ``where`` holds for, with "_rowid". ``columns``: names, or SQL by name."""
    query = table.search().where(where).with_row_id(True).select(columns).limit(_ALL)
    yield from query.to_batches(batch_size=_BATCH)


def scan(table: Any, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return row and checksum of every row that has a vector."""
    column = view.checksum_column
    parts = [(b["_rowid"].to_numpy(), b[column].to_numpy()) for b in batches(table, [column], f"{column} IS NOT NULL")]
    rows = np.concatenate([np.zeros(0, np.uint64), *(p[0] for p in parts)])
    return rows, np.concatenate([np.zeros(0, np.int64), *(p[1] for p in parts)])


def rows_where(table: Any, where: str = "true") -> np.ndarray:
    """Return the rows that ``where`` holds for, (n,)."""
    parts = [b["_rowid"].to_numpy() for b in batches(table, ["_rowid"], where)]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def vector_batches(table: Any, view: View, where: str | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield entries and unit vectors, (n, dim), of the rows that have one and that ``where`` holds for."""
    present = f"{view.checksum_column} IS NOT NULL"
    columns = ["id", view.checksum_column, view.column]
    for batch in batches(table, columns, f"{present} AND ({where})" if where else present):
        yield _entries(batch, view), _vectors(batch, view)


def _entries(batch: Any, view: View) -> np.ndarray:
    entries = np.zeros(batch.num_rows, dtype=ENTRY)
    entries["id"] = _names(batch["id"])
    entries["checksum"] = batch[view.checksum_column].to_numpy()
    entries["row"] = batch["_rowid"].to_numpy()
    return entries


def _names(column: Any) -> Any:
    """Return ids as bytes; those of 32 characters, as all of ours are, straight from Arrow's memory."""
    if len(column) and column.type == pa.string() and not column.offset:
        _, offsets, values = column.buffers()
        ends = np.frombuffer(offsets, np.int32, len(column) + 1)
        if (np.diff(ends) == 32).all():  # noqa: PLR2004
            return np.frombuffer(values, "S32", len(column), int(ends[0]))
    return column.to_pylist()


def _vectors(batch: Any, view: View) -> np.ndarray:
    flat = batch[view.column].flatten().to_numpy(zero_copy_only=False)
    return to_unit_length(flat.reshape(-1, view.dim))


def _add_checksums(entries: np.ndarray, vectors: np.ndarray) -> None:
    entries["own_checksum"] = [zlib.crc32(v.tobytes()) for v in vectors]


def write_vectors(table: Any, view: View, path: Path) -> np.ndarray:
    """Write the unit vectors of the whole view to ``path``, batch by batch; return their rows."""
    parts = []
    with path.open("wb") as stream:
        for entries, vectors in vector_batches(table, view):
            _add_checksums(entries, vectors)
            stream.write(vectors.tobytes())
            parts.append(entries)
        stream.flush()
        os.fsync(stream.fileno())
    return np.concatenate([np.zeros(0, ENTRY), *parts])


def rows_of(table: Any, rows: Iterable[int], columns: list[str]) -> dict[int, dict[str, Any]]:
    """Return table rows, by row id."""
    wanted = sorted(set(rows))
    records = table.take_row_ids(wanted).with_row_id().select(columns).to_list() if wanted else []
    return {row.pop("_rowid"): row for row in records}


def taken(table: Any, rows: np.ndarray, columns: list[str]) -> Iterator[Any]:
    """Yield record batches of table rows, with "_rowid"."""
    for start in range(0, len(rows), _BATCH):
        query = table.take_row_ids(rows[start : start + _BATCH].tolist()).with_row_id().select(columns)
        yield from query.to_arrow().combine_chunks().to_batches()


def read_entries(table: Any, view: View, rows: np.ndarray) -> np.ndarray:
    """Return id, checksum and row of table rows."""
    parts = [_entries(batch, view) for batch in taken(table, rows, ["id", view.checksum_column])]
    return np.concatenate([np.zeros(0, ENTRY), *parts])


def read_vectors(table: Any, view: View, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries of table rows, and their unit vectors, (n, dim)."""
    parts = []
    for batch in taken(table, rows, ["id", view.checksum_column, view.column]):
        parts.append((_entries(batch, view), _vectors(batch, view)))
        _add_checksums(*parts[-1])
    entries = np.concatenate([np.zeros(0, ENTRY), *(p[0] for p in parts)])
    return entries, np.concatenate([np.zeros((0, view.dim), np.float32), *(p[1] for p in parts)])


def find(known: np.ndarray, asked: np.ndarray, known_sums: np.ndarray, asked_sums: np.ndarray) -> np.ndarray:
    """Return of each value asked for its place in ``known``; -1 for none, or one with another checksum."""
    if not len(known):
        return np.full(len(asked), -1)
    order = np.argsort(known, kind="stable")
    place = order[np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)]
    return np.where((known[place] == asked) & (known_sums[place] == asked_sums), place, -1)
