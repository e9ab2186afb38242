"""k-means over unit vectors (spherical): for diverse examples, and for the clusters of a neighbour graph."""

from __future__ import annotations

import numpy as np

_BLOCK = 8192  # vectors compared with the centres at a time
_ROUNDS = 15
_FIRST_CENTRES = 64  # up to so many are chosen far apart (k-means++), more are drawn


def k_means(vectors: np.ndarray, k: int, *, seed: int = 0, rounds: int = _ROUNDS) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each vector, (n,), and the clusters' unit centres, (k, dim); a cluster may be empty.

    ``vectors``: unit, (n, dim). Deterministic for a seed; of equally near centres the first.
    """
    generator = np.random.default_rng(seed)
    centres = _first_centres(vectors, k, generator)
    owners = nearest_centres(vectors, centres)
    for _ in range(rounds):
        centres = _means(vectors, owners, centres)
        again = nearest_centres(vectors, centres)
        if (again == owners).all():
            break
        owners = again
    return owners, centres


def nearest_centres(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the nearest centre of each vector, (n,)."""
    owners = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        owners[start : start + _BLOCK] = (vectors[start : start + _BLOCK] @ centres.T).argmax(1)
    return owners


def _first_centres(vectors: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    if k > _FIRST_CENTRES:
        return vectors[np.sort(generator.choice(len(vectors), min(k, len(vectors)), replace=False))].copy()
    places = [int(generator.integers(len(vectors)))]
    far = np.maximum(1 - vectors @ vectors[places[0]], 0).astype(np.float64)
    while len(places) < k:
        total = far.sum()
        place = int(generator.choice(len(vectors), p=far / total)) if total > 0 else 0
        places.append(place)
        far = np.minimum(far, np.maximum(1 - vectors @ vectors[place], 0))
    return vectors[places].copy()


def _means(vectors: np.ndarray, owners: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the unit means of the clusters; an empty one keeps its centre."""
    order = np.argsort(owners, kind="stable")
    present, starts = np.unique(owners[order], return_index=True)
    sums = centres.astype(np.float32, copy=True)
    bounds = [*starts.tolist(), len(vectors)]
    for number, cluster in enumerate(present.tolist()):
        sums[cluster] = vectors[order[bounds[number] : bounds[number + 1]]].sum(0)
    directions: np.ndarray = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return directions
