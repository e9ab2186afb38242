"""Makes the index of a view as it was asked for, and measures it: recall@10 against exact search, and time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np

from instructor_search.errors import StoreError
from instructor_search.search.candidates import CandidateFinder
from instructor_search.store.collection import Collection
from instructor_search.store.indexes import lance, policy
from instructor_search.store.indexes.exact import exact_search
from instructor_search.store.indexes.faiss_views import ensure_faiss_index
from instructor_search.store.indexes.policy import EXACT, IndexConfig
from instructor_search.store.indexes.row_batches import NO_ROW, vector_batches
from instructor_search.store.indexes.view_index import open_index
from instructor_search.store.manifest import View

K = 10
_SAMPLE = 100


@dataclass(frozen=True)
class IndexReport:
    """What a view's index is and does. ``recall``: of recall@10; ``size``: bytes on disk; times in milliseconds."""

    view: str
    kind: str
    asked: str
    vectors: int
    recall: float
    target_recall: float
    build_seconds: float
    size: int
    p50: float
    p95: float
    queries: str
    setting: tuple[int, int] | None = None


def make_index(
    collection: Collection, view: View, config: IndexConfig, *, queries: np.ndarray | None = None, gpus: str = "none"
) -> IndexReport:
    """Remember ``config``, make the index of ``view`` anew by it, and measure it.

    ``queries``: vectors, (q, dim); None: vectors of the view, each of which must find others than itself. ``gpus``: on
    which cards it is measured, see ``Searcher``.

    Raises:
        StoreError: the view has no vectors; another process is writing.
        MissingExtraError: FAISS was asked for and is not installed.
    """
    with collection.writing():
        rows = collection.chunks.count_rows(f"{view.checksum_column} IS NOT NULL")
        if not rows:
            raise StoreError(f"view {view.name!r} of {collection.name!r} has no vectors; nothing to index")
        kind = config.resolve(rows, view.dim)
        started = time.perf_counter()
        lance.ensure_lance_index(collection.chunks, view, kind)
        ensure_faiss_index(collection, view, config, kind, queries=queries, anew=True)
        seconds = time.perf_counter() - started if kind != EXACT else 0.0
        collection.update_manifest(indexes={**collection.manifest.indexes, view.name: asdict(config)})  # it worked
    return measure(collection, view, queries=queries, build_seconds=seconds, gpus=gpus)


def measure(
    collection: Collection,
    view: View,
    *,
    queries: np.ndarray | None = None,
    build_seconds: float = 0.0,
    gpus: str = "none",
) -> IndexReport:
    """Measure the index that ``view`` has: each query is searched alone, rows included."""
    query_ids: list[str] = []
    count = collection.chunks.count_rows(f"{view.checksum_column} IS NOT NULL")
    given = queries is not None
    if queries is None:
        queries, query_ids = _sample(collection, view, count)
    depth = K if given else K + 1
    finder, times, answers = CandidateFinder(collection, view, gpus=gpus), [], []
    for query in [*queries[:1], *queries]:  # the first one opens what is mapped
        started = time.perf_counter()
        with finder.reading():
            hits = finder.nearest(query, depth)
            finder.rows((hit.row for hit in hits), ["text"])
        times.append(1000 * (time.perf_counter() - started))
        answers.append([hit.id for hit in hits])
    times, answers = times[1:], answers[1:]
    expected = _exact_ids(collection, view, queries, depth)
    shares = []
    for number, (mine, best) in enumerate(zip(answers, expected, strict=True)):
        skip = {query_ids[number]} if query_ids else set()
        shares.append(len((set(mine) & set(best)) - skip) / max(1, len(set(best) - skip)))
    config, kind = policy.index_config(collection, view), policy.index_kind(collection, view)
    index = open_index(collection, view)
    of_lance = lance.index_of(collection.chunks, view.column)
    size = index.size if index is not None else getattr(of_lance, "size_bytes", 0) or 0
    return IndexReport(
        view=view.name,
        kind=kind,
        asked=config.kind,
        vectors=count,
        recall=float(np.mean(shares)) if shares else 1.0,
        target_recall=config.target_recall,
        build_seconds=build_seconds,
        size=int(size),
        p50=float(np.median(times)) if times else 0.0,
        p95=float(np.percentile(times, 95)) if times else 0.0,
        queries="given" if given else "vectors of the view",
        setting=index.facts.setting if index else None,
    )


def _sample(collection: Collection, view: View, count: int) -> tuple[np.ndarray, list[str]]:
    """Return vectors of the view, spread over its rows, and their chunks' ids."""
    wanted = set(np.linspace(0, max(0, count - 1), min(_SAMPLE, count), dtype=int).tolist())
    vectors, ids, start = [], [], 0
    for entries, block in vector_batches(collection.chunks, view):
        chosen = [i for i in range(len(entries)) if start + i in wanted]
        vectors.append(block[chosen])
        ids += [entries["id"][i].decode() for i in chosen]
        start += len(entries)
    return np.concatenate([np.zeros((0, view.dim), np.float32), *vectors]), ids


def _exact_ids(collection: Collection, view: View, queries: np.ndarray, k: int) -> list[list[str]]:
    _, entries = exact_search(collection.chunks, view, queries, k)
    return [[e["id"].decode() for e in each if e["row"] != NO_ROW] for each in entries]
