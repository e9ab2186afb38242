"""What is written by hand beside a library that does the same: is it worth its lines?

    python benchmarks/by_hand.py --chunks 100000 --items 20000

Each row: our part, the library's way in the same process and data, and their ratio. Imports are timed in new processes
(CPU seconds, which other programs do not change much). Vectors are those of real texts, and mixtures of them with noise.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.readers import Drawn
from benchmarks.search import with_synthetic
from benchmarks.vote_k import real_vectors
from instructor_search import Collection
from instructor_search.in_context.neighbours import neighbour_graph
from instructor_search.search.filters import compile_filter
from instructor_search.store.indexes.hit_cache import open_hit_cache
from instructor_search.store.indexes.metadata import MetadataColumns
from instructor_search.store.indexes.row_batches import rows_of, rows_where
from instructor_search.store.schema import SHOWN_COLUMNS


def cpu_of(code: str, times: int = 5) -> float:
    """Return the least CPU seconds of a new process that runs ``code``."""
    seconds = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def best_of(run: Callable[[], Any], times: int = 9) -> float:
    """Return the least seconds of a call."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def show(what: str, ours: float, theirs: float) -> None:
    """Print a row of the table, in milliseconds."""
    print(f"| {what} | {1000 * ours:,.1f} | {1000 * theirs:,.1f} | {theirs / ours:.1f} |", flush=True)


def imports() -> None:
    """Compare the import of lancedb with ours."""
    ours = cpu_of("from instructor_search.store._lancedb import lancedb")
    show("`import lancedb`, CPU; the peer: as it is", ours, cpu_of("import lancedb"))


def store(chunks: int) -> None:
    """Compare a filter on metadata, and the reading of ten hits, with LanceDB's."""
    with tempfile.TemporaryDirectory() as folder:
        collection = Collection.create("c", store=folder, encoder=Drawn())
        chance = np.random.default_rng(0)
        stars, cities = chance.integers(1, 6, chunks).tolist(), chance.integers(0, 500, chunks).tolist()
        metadata = [{"stars": s, "city": f"city {c}"} for s, c in zip(stars, cities, strict=True)]
        collection.add([f"row number {i} of the table" for i in range(chunks)], metadata=metadata)
        table, version = collection.open_chunks(), collection.chunks.version
        columns = MetadataColumns()
        for where in ("stars >= 4", "city = 'city 7'", "stars = 5 AND city != 'city 9'"):
            compiled = compile_filter(where, collection.manifest.fields)
            ours = columns.rows_where(table, version, compiled)
            assert np.array_equal(np.sort(ours), np.sort(rows_where(table, str(compiled))))
            show(
                f"filter `{where}` over {chunks:,} chunks; the peer: LanceDB",
                best_of(lambda: columns.rows_where(table, version, compiled)),  # noqa: B023 - called at once
                best_of(lambda: rows_where(table, str(compiled)), 3),  # noqa: B023
            )
        copy = open_hit_cache(collection)
        if copy is not None:
            rows = chance.choice(rows_where(table), 10, replace=False).tolist()
            assert copy.rows_of(table, rows, SHOWN_COLUMNS) == rows_of(table, rows, SHOWN_COLUMNS)
            show(
                f"ten hits of {chunks:,} chunks read; the peer: LanceDB",
                best_of(lambda: copy.rows_of(table, rows, SHOWN_COLUMNS)),
                best_of(lambda: rows_of(table, rows, SHOWN_COLUMNS)),
            )


def neighbours(items: int, k: int = 150) -> None:
    """Compare the graph of nearest neighbours with FAISS: its exact search, and its inverted file at our recall."""
    import faiss

    unit = with_synthetic(real_vectors(), items)
    graph = neighbour_graph(unit, k)
    exact = faiss.IndexFlatIP(unit.shape[1])
    exact.add(unit)
    ours = best_of(lambda: neighbour_graph(unit, k), 2)
    show(f"graph of {items:,} items ({graph.kind}, recall {graph.recall:.2f}); the peer: FAISS, exact", ours,
         best_of(lambda: exact.search(unit, k + 1), 1))  # fmt: skip
    lists = max(2, items // 256)
    index = faiss.index_factory(unit.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)

    def inverted() -> None:
        index.reset()
        index.train(unit[:: max(1, items // (lists * 32))])
        index.add(unit)
        index.nprobe = max(graph.probes, 1) if graph.kind == "clusters" else lists
        index.search(unit, k + 1)

    show(f"graph of {items:,} items; the peer: FAISS, IVF {lists} at as many probes", ours, best_of(inverted, 1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--items", type=int, nargs="*", default=[20_000, 50_000, 100_000])
    args = parser.parse_args()
    print("| what | ours, ms | peer, ms | ratio |\n|---|---|---|---|")
    imports()
    store(args.chunks)
    for items in args.items:
        neighbours(items)


if __name__ == "__main__":
    main()
