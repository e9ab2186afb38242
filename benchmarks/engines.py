"""What benchmarks/search.py measures: our index, and FAISS, hnswlib and LanceDB as their users would set them up.

An engine finds ten rows for a query vector; ``tune`` sets it to its least effort that finds them well enough.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from instructor_search import Collection
from instructor_search.store.indexes import lance, policy
from instructor_search.store.indexes.faiss_views import build_index
from instructor_search.store.indexes.policy import LANCE_HNSW, IndexConfig
from instructor_search.store.indexes.tuning import recall

TARGET, K = 0.95, 10


@dataclass
class Engine:
    """Something that finds ten rows for a query vector. ``settings``: from the least effort on."""

    name: str
    search: Callable[[np.ndarray, Any], list[int]]
    settings: list[Any] = field(default_factory=lambda: [None])
    build_seconds: float = 0.0
    setting: Any = None
    recall: float = 0.0
    times: list[float] = field(default_factory=list)


def engines(vectors: np.ndarray, collection: Collection) -> tuple[list[Engine], Any]:
    """Return the peers and our engine, and our index."""
    import faiss

    found = faiss_engines(vectors)
    try:
        found.append(hnswlib_engine(vectors))
    except ImportError:
        sys.stderr.write("hnswlib is not installed: left out\n")
    engine, index = own_engine(len(vectors), collection)
    faiss.omp_set_num_threads(1)
    return [*found, engine], index


def faiss_engines(vectors: np.ndarray) -> list[Engine]:
    """Return three kinds of FAISS: exact (of few vectors), lists with products, and a graph."""
    count = len(vectors)
    lists = 512 if count <= 200_000 else 1024
    found = []
    if count <= 200_000:
        found.append(faiss_engine("FAISS Flat", "Flat", vectors, [None], lambda *_: None))
    found.append(
        faiss_engine(
            f"FAISS IVF{lists},PQ192x4fs,RFlat",
            f"IVF{lists},PQ192x4fs,RFlat",
            vectors,
            sorted(
                ((n, f) for n in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) for f in (4, 7, 10, 14, 20, 40)),
                key=lambda s: s[0] * count / lists + 800 * s[1],
            ),
            lambda f, s: f.IndexRefineSearchParameters(
                k_factor=s[1], base_index_params=f.SearchParametersIVF(nprobe=s[0])
            ),
        )
    )
    found.append(
        faiss_engine(
            "FAISS HNSW32_SQ8",
            "HNSW32_SQ8",
            vectors,
            [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512],
            lambda f, s: f.SearchParametersHNSW(efSearch=s),
        )
    )
    return found


def faiss_engine(name: str, factory: str, vectors: np.ndarray, settings: list[Any], parameters: Any) -> Engine:
    """Return FAISS used directly, as a peer would."""
    import faiss

    started = time.perf_counter()
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if "HNSW" in factory:
        index.hnsw.efConstruction = 80
    index.train(vectors)
    index.add(vectors)
    seconds = time.perf_counter() - started

    def search(query: np.ndarray, setting: Any) -> list[int]:
        return index.search(query[None], K, params=parameters(faiss, setting))[1][0].tolist()

    return Engine(name, search, settings, seconds)


def hnswlib_engine(vectors: np.ndarray) -> Engine:
    """Return hnswlib's graph.

    Raises:
        ImportError: hnswlib is not installed.
    """
    import hnswlib

    started = time.perf_counter()
    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(vectors), M=32, ef_construction=80)
    graph.add_items(vectors)

    def search(query: np.ndarray, ef: int) -> list[int]:
        graph.set_ef(ef)
        return graph.knn_query(query, K, num_threads=1)[0][0].tolist()

    return Engine("hnswlib M32", search, [16, 32, 48, 64, 96, 128, 192, 256], time.perf_counter() - started)


def own_engine(count: int, collection: Collection) -> tuple[Engine, Any]:
    """Return our engine over ``count`` vectors of the collection, and its index."""
    from instructor_search.store.indexes.faiss import ladder

    view, started = collection.view(), time.perf_counter()
    index = build_index(collection, view, policy.Kind(IndexConfig().resolve(count, view.dim, threshold=0)))

    def search(query: np.ndarray, setting: Any) -> list[int]:
        return [int(name, 16) for name in index.search(query[None], K, setting=setting)[1]["id"][0].tolist()]

    seconds = time.perf_counter() - started
    return Engine(f"ours ({index.facts.kind})", search, ladder(index.index.kind, count), seconds), index


def lance_engine(collection: Collection) -> Engine:
    """Return LanceDB's own index, made in the same table after ours."""
    view, started = collection.view(), time.perf_counter()
    lance.ensure_lance_index(collection.chunks, view, LANCE_HNSW)

    def search(query: np.ndarray, ef: int) -> list[int]:
        found: Any = collection.chunks.search(query, vector_column_name=view.column).distance_type("cosine")
        rows = found.select(["ordinal", "_distance"]).limit(K).refine_factor(2).ef(ef).nprobes(5).to_list()
        return [row["ordinal"] for row in rows]

    return Engine("LanceDB IVF_HNSW_SQ", search, [32, 64, 128, 256, 512], time.perf_counter() - started)


def tune(engine: Engine, queries: np.ndarray, expected: np.ndarray) -> None:
    """Choose the engine's least effort that reaches the recall."""
    for setting in engine.settings:
        found = [engine.search(q, setting) for q in queries]
        padded = np.array([(f + [-1] * K)[:K] for f in found])
        engine.setting, engine.recall = setting, recall(padded, expected)
        if engine.recall >= TARGET:
            return


def measured(engine: Engine, queries: np.ndarray, expected: np.ndarray) -> float:
    """Return the recall on queries that it was not tuned with."""
    found = [engine.search(q, engine.setting) for q in queries]
    return recall(np.array([(f + [-1] * K)[:K] for f in found]), expected)
