"""FAISS over unit vectors in a mapped file: the kinds of index, building them, tuning them to a recall, searching.

An approximate index proposes candidates; their cosines are computed from the vectors themselves. So a found one has its
exact score, and only whether all are found depends on the index (its recall).
"""

from __future__ import annotations

import math
from contextlib import suppress
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_search.encoder.runtimes import num_cores
from instructor_search.errors import MissingExtraError, StoreError

_TRAINING_ROWS = 100_000  # that clusters and codes are learned from, at most
_BLOCK = 50_000  # rows that are added or compared at a time
_EXACT_ROWS = 10_000  # a filter that leaves fewer is searched exactly
_SEED = 20221219


class Kind(StrEnum):
    """FAISS indexes that a view can have."""

    FLAT = "flat"  # exact
    IVF_PQ = "ivf-pq"  # clusters, codes of 4 bits for each pair of dimensions (fast scan)
    IVF_RABITQ = "ivf-rabitq"  # clusters, codes of one bit a dimension (arXiv 2405.12497)
    HNSW = "hnsw-sq8"  # graph over vectors of one byte a dimension (arXiv 1603.09320)


class Setting(NamedTuple):
    """How hard an index searches."""

    effort: int  # clusters that are looked at, or nodes of the graph
    factor: int  # candidates that are compared exactly, for each hit


def faiss() -> Any:
    """Return the module.

    Raises:
        MissingExtraError: it is not installed.
        StoreError: its builds for CPUs and for GPUs are both installed, and overwrite each other's files.
    """
    builds = _builds()
    if len(builds) > 1:
        raise StoreError(
            f"{' and '.join(builds)} are both installed and overwrite each other; uninstall them (pip uninstall "
            f"{' '.join(builds)}), then install one: pip install '.[faiss-cpu]' or '.[faiss-gpu]'"
        )
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtraError(
            "faiss-cpu", "faiss-cpu", "a FAISS index (faiss-gpu on machines with NVIDIA GPUs)"
        ) from error
    return module


@cache
def _builds() -> tuple[str, ...]:
    """Return which distributions of FAISS are installed."""
    found = []
    for name in ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu"):
        with suppress(PackageNotFoundError):
            version(name)
            found.append(name)
    return tuple(found)


def factory(kind: Kind, count: int, dim: int) -> str:
    """Return FAISS's name of an index for ``count`` vectors of ``dim``."""
    if kind is Kind.HNSW:
        return "HNSW32_SQ8"
    clusters = num_clusters(count)
    codes = f"PQ{max(m for m in range(1, dim // 2 + 1) if dim % m == 0)}x4fs" if kind is Kind.IVF_PQ else "RaBitQ"
    return f"IVF{clusters},{codes}"


def num_clusters(count: int) -> int:
    """Return the power of two nearest to 1.6 sqrt(count), from 1."""
    return 2 ** round(math.log2(max(1.0, 1.6 * math.sqrt(count))))


def ladder(kind: Kind, count: int) -> list[Setting]:
    """Return settings from the fastest to the most thorough."""
    if kind is Kind.FLAT:
        return [Setting(0, 1)]
    if kind is Kind.HNSW:
        return [Setting(ef, 2) for ef in (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)]
    clusters = num_clusters(count)
    efforts = sorted({max(1, round(clusters * share)) for share in _SHARES})
    return [Setting(effort, factor) for effort in efforts for factor in (4, 10, 20, 40)]


_SHARES = (0.01, 0.02, 0.03, 0.045, 0.0625, 0.09, 0.125, 0.18, 0.25, 0.5, 1.0)  # of the clusters


class FaissIndex:
    """Positions and exact cosines of the nearest vectors. ``vectors``: unit, float32, (n, dim), usually mapped."""

    def __init__(self, kind: Kind, vectors: np.ndarray, index: Any = None, setting: Setting | None = None) -> None:
        """``index``: FAISS's own, None for ``Kind.FLAT``."""
        self.kind, self.vectors, self.index = kind, np.asarray(vectors), index
        self.setting = setting or ladder(kind, len(vectors))[-1]

    @classmethod
    def build(cls, kind: Kind, vectors: np.ndarray) -> FaissIndex:
        """Train on a sample, and add all vectors block by block; the same vectors give the same index on one thread."""
        if kind is Kind.FLAT:
            return cls(kind, vectors)
        module, (count, dim) = faiss(), vectors.shape
        index = module.index_factory(dim, factory(kind, count, dim), module.METRIC_INNER_PRODUCT)
        if kind is Kind.HNSW:
            index.hnsw.efConstruction = 80
        else:  # small sets are the caller's wish: no warnings
            index.cp.min_points_per_centroid = 1
        if kind is Kind.IVF_PQ:
            index.pq.cp.min_points_per_centroid = 1
        rows = np.arange(count)
        if count > _TRAINING_ROWS:
            rows = np.sort(np.random.default_rng(_SEED).choice(count, _TRAINING_ROWS, replace=False))
        index.train(np.ascontiguousarray(vectors[rows]))
        made = cls(kind, vectors, index)
        made.add(0)
        return made

    def add(self, start: int) -> None:
        """Add the vectors from position ``start`` on."""
        for first in range(start, len(self.vectors), _BLOCK) if self.index is not None else ():
            self.index.add(np.ascontiguousarray(self.vectors[first : first + _BLOCK]))

    def save(self, path: Path) -> None:
        """Write FAISS's part to ``path``; the vectors are in their own file."""
        if self.index is not None:
            faiss().write_index(self.index, str(path))

    @classmethod
    def load(cls, kind: Kind, vectors: np.ndarray, path: Path, setting: Setting, *, mapped: bool = True) -> FaissIndex:
        """Open an index; ``mapped``: pages come from disk when they are needed, and nothing can be added.

        Raises:
            StoreError: the file is damaged, or of other vectors.
        """
        if kind is Kind.FLAT:
            return cls(kind, vectors, None, setting)
        module = faiss()
        try:
            index = module.read_index(str(path), module.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise StoreError(f"{path} cannot be read ({str(error).strip()[-120:]})") from error
        if (index.ntotal, index.d) != vectors.shape:
            raise StoreError(f"{path} holds {(index.ntotal, index.d)} vectors; expected {vectors.shape}")
        return cls(kind, vectors, index, setting)

    def search(
        self, queries: np.ndarray, k: int, *, allowed: np.ndarray | None = None, setting: Setting | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and positions of the nearest vectors, (q, k) each, best first; -inf and -1 for none.

        ``queries``: unit, float32, (q, dim). ``allowed``: positions that may be found; None: all. A filter that leaves
        few of them is searched exactly.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if allowed is not None and (len(allowed) <= _EXACT_ROWS or self.index is None):
            return _exact(queries, self.vectors, k, allowed)
        if self.index is None:
            return _exact(queries, self.vectors, k, None)
        return self._refine(queries, self._candidates(queries, k, allowed, setting or self.setting), k)

    def _candidates(self, queries: np.ndarray, k: int, allowed: np.ndarray | None, setting: Setting) -> np.ndarray:
        module, depth = faiss(), min(k * setting.factor, len(self.vectors))
        options: dict[str, Any] = {}
        effort = setting.effort
        if allowed is not None:
            bits = np.zeros(len(self.vectors), dtype=bool)
            bits[allowed] = True
            packed = np.packbits(bits, bitorder="little")
            options["sel"] = module.IDSelectorBitmap(packed)
            effort = min(4 * effort, len(self.vectors))  # what is allowed lies further apart
        if self.kind is Kind.HNSW:
            parameters = module.SearchParametersHNSW(efSearch=max(effort, depth), **options)
        else:
            parameters = module.SearchParametersIVF(nprobe=min(effort, self.index.nlist), **options)
        module.omp_set_num_threads(1 if len(queries) == 1 else num_cores())  # threads take longer to start than to find
        return self.index.search(queries, depth, params=parameters)[1]

    def _refine(self, queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        positions = np.full((len(queries), k), -1, dtype=np.int64)
        for row, (query, found) in enumerate(zip(queries, candidates, strict=True)):
            known = found[found >= 0]
            cosines = self.vectors[known] @ query
            best = np.argsort(-cosines, kind="stable")[:k]
            scores[row, : len(best)], positions[row, : len(best)] = cosines[best], known[best]
        return scores, positions


def _exact(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Compare with every (allowed) vector, block by block; the lower position comes first where cosines are equal."""
    scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    positions = np.full((len(queries), 0), -1, dtype=np.int64)
    count = len(vectors) if allowed is None else len(allowed)
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count)) if allowed is None else allowed[start : start + _BLOCK]
        block = vectors[start : start + _BLOCK] if allowed is None else vectors[rows]
        scores = np.concatenate([scores, queries @ block.T], axis=1)
        positions = np.concatenate([positions, np.broadcast_to(rows, (len(queries), len(rows)))], axis=1)
        if scores.shape[1] > k:
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            scores, positions = np.take_along_axis(scores, best, 1), np.take_along_axis(positions, best, 1)
    order = np.lexsort((positions, -scores), axis=1)
    scores, positions = np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)
    missing = ((0, 0), (0, max(0, k - scores.shape[1])))
    return np.pad(scores, missing, constant_values=-np.inf), np.pad(positions, missing, constant_values=-1)


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean share of the expected positions, (q, k) each, that were found; -1 counts on neither side."""
    shares = [len(np.intersect1d(f, e[e >= 0])) / max(1, (e >= 0).sum()) for f, e in zip(found, expected, strict=True)]
    return float(np.mean(shares)) if shares else 1.0


def tune(
    index: FaissIndex, queries: np.ndarray, target: float, k: int = 10, own: np.ndarray | None = None
) -> tuple[Setting, float]:
    """Return the least effort whose recall@k on ``queries`` reaches ``target``, else the greatest; and its recall.

    ``own``: positions of the queries among the vectors, where they are from there: finding oneself does not count.
    """
    depth = k if own is None else k + 1
    expected = _without(_exact(queries, index.vectors, depth, None)[1], own)
    found = (Setting(0, 1), 1.0)
    for setting in ladder(index.kind, len(index.vectors)):
        positions = _without(index.search(queries, depth, setting=setting)[1], own)
        found = setting, recall(positions, expected)
        if found[1] >= target:
            break
    return found


def _without(positions: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    return positions if own is None else np.where(positions == own[:, None], -1, positions)
