"""Vectors as columns, each with a checksum: the store itself reads a flipped bit back as another vector."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa

from instructor_search.store.manifest import View


def checksum(vector: np.ndarray) -> int:
    """Return the CRC-32 of a vector's bytes (float32)."""
    return zlib.crc32(np.ascontiguousarray(vector, dtype=np.float32).tobytes())


def vector_arrays(view: View, vectors: np.ndarray) -> list[pa.Array]:
    """Return the vector and checksum columns of ``vectors``, (n, dim)."""
    flat = np.ascontiguousarray(vectors, dtype=np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), view.dim)
    return [column, pa.array([checksum(row) for row in flat], pa.int64())]


def present_vectors(rows: pa.Table | pa.RecordBatch, view: View) -> list[np.ndarray | None]:
    """Return each row's vector, None where the view has none yet."""
    column = rows[view.column]
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = iter(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, view.dim))
    return [next(values) if valid else None for valid in column.is_valid().to_pylist()]


def sound_vectors(rows: pa.Table, view: View) -> dict[str, np.ndarray]:
    """Return id -> vector of the rows that have one and whose checksum agrees."""
    names, sums = rows["id"].to_pylist(), rows[view.checksum_column].to_pylist()
    triples = zip(names, present_vectors(rows, view), sums, strict=True)
    return {name: vector for name, vector, expected in triples if vector is not None and checksum(vector) == expected}
