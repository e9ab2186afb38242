"""Exact search: every vector of a view is compared, in batches. The oracle of all indexes."""

from __future__ import annotations

from typing import Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.store.entries import ENTRY, NO_ROW, vector_batches
from instructor_search.store.faiss_index import exact
from instructor_search.store.manifest import View


def exact_search(
    table: Any, view: View, queries: np.ndarray, k: int, *, where: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and entries of the nearest chunks, (q, k) each, best first; -inf and ``NO_ROW`` for none.

    ``queries``: float32, (q, dim). ``where``: SQL of our own making. Memory: a batch, and its scores for 256 queries.
    """
    queries = to_unit_length(queries)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    found = np.zeros((len(queries), k), dtype=ENTRY)
    found["row"] = NO_ROW
    for entries, vectors in vector_batches(table, view, where):
        own, places = exact(queries, vectors, k, None)
        both = np.concatenate([scores, own], axis=1)
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        old, new = np.take_along_axis(found, np.minimum(best, k - 1), 1), np.maximum(best - k, 0)
        fresh = entries[np.take_along_axis(places, new, 1)]
        found = np.where(best < k, old, fresh)
        scores = np.take_along_axis(both, best, 1)
    found["row"][np.isneginf(scores)] = NO_ROW
    return scores, found
