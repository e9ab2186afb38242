"""FAISS over unit vectors in a mapped file: the kinds of index, building them, searching.

An approximate index proposes candidates; their cosines are computed from the vectors themselves. So a found one has its
exact score, and only whether all are found depends on the index (its recall).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_search.encoder.runtimes.cpu import num_cores
from instructor_search.errors import StoreError
from instructor_search.store.indexes.exact import exact
from instructor_search.store.indexes.faiss_build import faiss
from instructor_search.store.indexes.faiss_gpu import MAX_DEPTH, GpuVectors, Spread

_TRAINING_ROWS = 2**18  # that clusters and codes are learned from, at most
_BLOCK = 50_000  # rows that are added or compared at a time
_EXACT_ROWS = 50_000  # a filter that leaves no more is searched exactly
MIN_ROWS = 256  # of fewer vectors no clusters or codes are learned
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


def factory(kind: Kind, count: int, dim: int) -> str:
    """Return FAISS's name of an index for ``count`` vectors of ``dim``."""
    if kind is Kind.HNSW:
        return "HNSW32_SQ8"
    clusters = num_clusters(count)
    codes = f"PQ{max(m for m in range(1, dim // 2 + 1) if dim % m == 0)}x4fs" if kind is Kind.IVF_PQ else "RaBitQ"
    return f"IVF{clusters},{codes}"


def num_clusters(count: int) -> int:
    """Return the power of two nearest to 1.6 sqrt(count), from 1."""
    return 1 << round(math.log2(max(1.0, 1.6 * math.sqrt(count))))


def ladder(kind: Kind, count: int) -> list[Setting]:
    """Return settings from the fastest to the most thorough."""
    if kind is Kind.FLAT:
        return [Setting(0, 1)]
    if kind is Kind.HNSW:
        return [Setting(ef, 2) for ef in (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)]
    clusters = num_clusters(count)
    efforts = {max(1, round(clusters * share)) for share in _SHARES}
    steps = [Setting(effort, factor) for effort in efforts for factor in (4, 7, 10, 14, 20, 40)]
    return sorted(steps, key=lambda s: (s.effort * count / clusters + _CODES_OF_A_CANDIDATE * s.factor, s))


_CODES_OF_A_CANDIDATE = 10 * 80  # that are compared in the time of ten candidates, whose vectors lie anywhere
_SHARES = (0.01, 0.02, 0.03, 0.045, 0.0625, 0.09, 0.125, 0.18, 0.25, 0.5, 1.0)  # of the clusters


class Mask:
    """Positions that may be found, ascending, out of ``count``. ``is_filter``: they may lie anywhere in the space."""

    def __init__(self, allowed: np.ndarray, count: int, *, is_filter: bool = False) -> None:
        """``allowed``: int, (n,)."""
        self.allowed, self.count, self.is_filter = allowed, count, is_filter
        self.per_cluster: np.ndarray | None = None  # how many of each cluster of the index are allowed

    @cached_property
    def chosen(self) -> np.ndarray:
        """Whether each position may be found, bool (count,)."""
        chosen = np.zeros(self.count, dtype=bool)
        chosen[self.allowed] = True
        return chosen

    @cached_property
    def bits(self) -> np.ndarray:
        """One bit a position, as FAISS reads them; it makes no copy."""
        return np.packbits(self.chosen, bitorder="little")


class FaissIndex:
    """Positions and exact cosines of the nearest vectors. ``vectors``: unit, float32, (n, dim), usually mapped."""

    def __init__(self, kind: Kind, vectors: np.ndarray, index: Any = None, setting: Setting | None = None) -> None:
        """``index``: FAISS's own, None for ``Kind.FLAT``."""
        self.kind, self.vectors, self.index = kind, np.asarray(vectors), index
        self.setting = setting or ladder(kind, len(vectors))[-1]
        self.gpu: GpuVectors | None = None  # the vectors once more, on cards that compare them
        self._clusters: np.ndarray | None = None  # of each position; read when a mask is used
        self._centroids = np.zeros((0, 0), np.float32)
        self._known_parameters: dict[tuple[int, int], Any] = {}

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
        with _threads(count):
            index.train(np.ascontiguousarray(vectors[rows]))
        faiss_index = cls(kind, vectors, index)
        faiss_index.add(0)
        return faiss_index

    def add(self, start: int) -> None:
        """Add the vectors from position ``start`` on."""
        self._clusters = None
        with _threads(len(self.vectors) - start):
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
        self, queries: np.ndarray, k: int, *, mask: Mask | None = None, setting: Setting | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and positions of the nearest vectors, (q, k) each, best first; -inf and -1 for none.

        ``queries``: unit, float32, (q, dim). ``mask``: positions that may be found; None: all. What cannot be filled
        with them is searched exactly, and so is a filter that leaves up to 50,000. GPUs, where there are some, answer
        what names neither filter nor setting.
        """
        queries, propose = np.ascontiguousarray(queries, dtype=np.float32), self._of_codes
        if self.gpu is not None and setting is None and 4 * k <= MAX_DEPTH and (mask is None or not mask.is_filter):
            propose = self._of_gpus
        elif self.index is None or (mask is not None and self._better_exact(mask)):
            return exact(queries, self.vectors, k, None if mask is None else mask.allowed)
        with _threads(0 if len(queries) == 1 else _BLOCK):
            candidates, short = propose(queries, k, mask, setting or self.setting)
            scores, positions = self._refined(queries, candidates, k)
        if short.any():
            left = None if mask is None else mask.allowed
            scores[short], positions[short] = exact(queries[short], self.vectors, k, left)
        return scores, positions

    def place_on_gpus(self, spread: Spread) -> None:
        """Copy the vectors to the GPUs, which answer what has no filter from now on.

        Raises:
            StoreError: they cannot, see ``GpuVectors``.
        """
        self.gpu = (
            GpuVectors(faiss(), self.vectors, spread) if spread is not Spread.NONE and len(self.vectors) else None
        )

    def _of_codes(
        self, queries: np.ndarray, k: int, mask: Mask | None, setting: Setting
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return candidates by their codes, and which queries have too few, (q,)."""
        if mask is not None and self.kind is Kind.HNSW and not mask.is_filter:
            return self._around_holes(queries, 4 * k * setting.factor, setting.effort, mask)
        setting = setting if mask is None else self._through(queries, mask, setting)
        candidates = self._candidates(queries, k * setting.factor, setting.effort, mask)
        wanted = min(k, len(self.vectors) if mask is None else len(mask.allowed))
        return candidates, candidates[:, wanted - 1] < 0 if wanted else np.zeros(len(queries), bool)  # none comes last

    def _of_gpus(
        self, queries: np.ndarray, k: int, mask: Mask | None, setting: Setting
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return candidates of the GPUs without those that are gone, and which queries lie where too many are, (q,)."""
        assert self.gpu is not None
        candidates = self.gpu.candidates(queries, 2 * k if mask is None else 4 * k)
        if mask is not None:
            candidates = np.where((candidates >= 0) & mask.chosen[candidates], candidates, -1)
        wanted = min(k, len(self.vectors) if mask is None else len(mask.allowed))
        return candidates, (candidates >= 0).sum(1) < wanted

    def _around_holes(self, queries: np.ndarray, depth: int, effort: int, mask: Mask) -> tuple[np.ndarray, np.ndarray]:
        """Return candidates of a graph without those that are gone, and which queries lie where most are gone, (q,).

        A walk that may only keep what is left ends in such places before it has found what lies around them.
        """
        candidates = self._candidates(queries, depth, effort, None)
        candidates = np.where((candidates >= 0) & mask.chosen[candidates], candidates, -1)
        return candidates, (candidates >= 0).sum(1) < min(depth, len(self.vectors)) / 2

    def _better_exact(self, mask: Mask) -> bool:
        """Whether so few vectors are left that they are compared one by one; a graph cannot be walked through holes."""
        few = len(mask.allowed) <= (_EXACT_ROWS if mask.is_filter else self.setting.effort)
        return few or (self.kind is Kind.HNSW and len(mask.allowed) < len(self.vectors) / 2)

    def _through(self, queries: np.ndarray, mask: Mask, setting: Setting) -> Setting:
        """Return the effort that meets as many allowed vectors as a search of all meets in all; twice for a filter.

        They may lie in other clusters than the query's nearest; so clusters are counted by what is allowed of them.
        """
        times = 2 if mask.is_filter else 1
        setting = setting._replace(factor=times * setting.factor)
        if self.kind is Kind.HNSW:
            return setting._replace(effort=times**2 * setting.effort)
        if self._clusters is None:
            self._clusters = _clusters_of(self.index, len(self.vectors))
            self._centroids = self.index.quantizer.reconstruct_n(0, self.index.nlist)
        if mask.per_cluster is None:
            mask.per_cluster = np.bincount(self._clusters[mask.allowed], minlength=self.index.nlist)
        nearest = np.argsort(-(queries @ self._centroids.T), axis=1)
        met = mask.per_cluster[nearest].cumsum(axis=1)
        wanted = min(len(mask.allowed), times * setting.effort * len(self.vectors) / self.index.nlist)
        return setting._replace(effort=int((met < wanted).sum(1).max()) + 1)

    def _refined(self, queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best ``k`` candidates of each query by their cosines, which are read where the vectors lie."""
        cosines, module = np.empty(candidates.shape, dtype=np.float32), faiss()
        pointer = module.swig_ptr
        module.fvec_inner_products_by_idx(
            pointer(cosines),
            pointer(queries),
            pointer(self.vectors),
            pointer(candidates),
            queries.shape[1],
            len(queries),
            candidates.shape[1],
        )  # -inf where there is none
        best, each = (-cosines).argsort(axis=1, kind="stable")[:, :k], np.arange(len(queries))[:, None]
        scores, positions = cosines[each, best], candidates[each, best]
        if (missing := k - scores.shape[1]) > 0:
            wider = ((0, 0), (0, missing))
            scores = np.pad(scores, wider, constant_values=-np.inf)
            positions = np.pad(positions, wider, constant_values=-1)
        return scores, positions

    def _candidates(self, queries: np.ndarray, depth: int, effort: int, mask: Mask | None) -> np.ndarray:
        depth = min(depth, len(self.vectors))
        parameters = self._parameters(depth, effort, mask)
        ids: np.ndarray = self.index.search(queries, depth, params=parameters)[1]
        return ids

    def _parameters(self, depth: int, effort: int, mask: Mask | None) -> Any:
        """Return FAISS's parameters of a search; those without a mask are kept."""
        if mask is not None:
            return self._new_parameters(depth, effort, mask)
        if (depth, effort) not in self._known_parameters:
            self._known_parameters[depth, effort] = self._new_parameters(depth, effort, None)
        return self._known_parameters[depth, effort]

    def _new_parameters(self, depth: int, effort: int, mask: Mask | None) -> Any:
        module = faiss()
        options = {} if mask is None else {"sel": module.IDSelectorBitmap(mask.bits)}
        if self.kind is Kind.HNSW:
            return module.SearchParametersHNSW(efSearch=max(effort, depth), **options)
        return module.SearchParametersIVF(nprobe=min(effort, self.index.nlist), **options)


def _clusters_of(index: Any, count: int) -> np.ndarray:
    """Return the cluster of each position, int32 (n,)."""
    module, lists = faiss(), index.invlists
    clusters = np.zeros(count, dtype=np.int32)
    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            clusters[module.rev_swig_ptr(lists.get_ids(number), size)] = number
    return clusters


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let FAISS work on ``count`` vectors with as many threads as pay: for few, starting them takes longest."""
    module = faiss()
    before = module.omp_get_max_threads()
    module.omp_set_num_threads(num_cores() if count >= _BLOCK else 1)
    try:
        yield
    finally:
        module.omp_set_num_threads(before)
