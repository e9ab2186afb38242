"""Exact search: every vector of a view is compared, in batches. The oracle of all indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.store.indexes.row_batches import ENTRY, NO_ROW, vector_batches
from instructor_search.store.manifest import View

_BLOCK = 50_000  # vectors that are compared at a time
_QUERIES = 256  # with so many queries
_ALONE = 20_000  # vectors that one query is compared with on one thread: 1.5 ms


def exact(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Compare with every (allowed) vector, block by block; return cosines and positions, (q, k) each."""
    parts = [_exact(queries[i : i + _QUERIES], vectors, k, allowed) for i in range(0, len(queries), _QUERIES)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _exact(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    positions = np.full((len(queries), k), -1, dtype=np.int64)
    for rows, block in _blocks(vectors, allowed):
        block_scores = _products(queries, block)
        best = (
            np.argpartition(-block_scores, k - 1, axis=1)[:, :k]
            if block_scores.shape[1] > k
            else np.arange(block_scores.shape[1])[None]
        )
        best = np.broadcast_to(best, (len(queries), best.shape[1]))
        scores = np.concatenate([scores, np.take_along_axis(block_scores, best, 1)], axis=1)
        positions = np.concatenate([positions, rows[best]], axis=1)
        order = np.lexsort((positions, -scores), axis=1)[:, :k]
        scores, positions = np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)
    return scores, positions


def _products(queries: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return inner products, (q, rows). Few of them on one thread: beside other processes, several wait longest."""
    if len(queries) == 1 and len(block) <= _ALONE:
        products: np.ndarray = np.einsum("qd,rd->qr", queries, block)
    else:
        products = queries @ block.T
    return products


def _blocks(vectors: np.ndarray, allowed: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions and vectors, block by block."""
    for start in range(0, len(vectors) if allowed is None else len(allowed), _BLOCK):
        if allowed is None:
            block = vectors[start : start + _BLOCK]
            yield np.arange(start, start + len(block)), block
        else:
            rows = allowed[start : start + _BLOCK]
            yield rows, vectors[rows]


def exact_search(
    table: Any, view: View, queries: np.ndarray, k: int, *, where: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and entries of the nearest chunks, (q, k) each, best first; -inf and ``NO_ROW`` for none.

    ``queries``: float32, (q, dim). ``where``: SQL of our own making. Memory: a batch, and its scores for 256 queries.
    """
    queries = to_unit_length(queries)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    nearest = np.zeros((len(queries), k), dtype=ENTRY)
    nearest["row"] = NO_ROW
    for entries, vectors in vector_batches(table, view, where):
        batch_scores, places = exact(queries, vectors, k, None)
        both = np.concatenate([scores, batch_scores], axis=1)
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        old, new = np.take_along_axis(nearest, np.minimum(best, k - 1), 1), np.maximum(best - k, 0)
        fresh = entries[np.take_along_axis(places, new, 1)]
        nearest = np.where(best < k, old, fresh)
        scores = np.take_along_axis(both, best, 1)
    nearest["row"][np.isneginf(scores)] = NO_ROW
    return scores, nearest
