"""Search: our index and our whole search beside FAISS, hnswlib and LanceDB, at equal recall, on one core.

    python benchmarks/search.py --count 100000

Vectors are those of docstrings of this Python's library; the rest up to ``--count`` is synthetic: a real vector mixed with
one of its ten neighbours, plus noise. Queries are other real sentences under a query instruction. Every engine is set to
its least effort that reaches recall@10 of 0.95; then the engines take turns, query by query in rounds, on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engines import K, engines, lance_engine, measured, tune
from benchmarks.texts import docstrings
from instructor_search import Collection, Searcher, load_encoder
from instructor_search.commands.parser import PRECISIONS
from instructor_search.encoder.protocol import to_unit_length
from instructor_search.store import maintenance
from instructor_search.store.schema import chunk_schema
from instructor_search.store.vectors import vector_arrays

DOCUMENT = "Represent the Python documentation for retrieval: "
QUERY = "Represent the question for retrieving Python documentation: "


def embedded(cache: Path, num_texts: int, num_queries: int) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Return texts with vectors, and queries with theirs; both are computed once and kept in ``cache``."""
    texts = list(dict.fromkeys(" ".join(t.split())[:600] for t in docstrings(8)))[: num_texts + num_queries]
    texts, asked = texts[:-num_queries], [t.split(". ")[0][:120] for t in texts[-num_queries:]]
    path = cache / f"search-{len(texts)}-{len(asked)}.npz"
    if not path.is_file():
        encoder = load_encoder()
        sys.stderr.write(f"embedding {len(texts):,} texts once\n")
        documents = encoder.encode([(DOCUMENT, t) for t in texts])
        queries = encoder.encode([(QUERY, t) for t in asked])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, documents=documents, queries=queries)
    found = np.load(path)
    return texts, to_unit_length(found["documents"]), asked, to_unit_length(found["queries"])


def with_synthetic(real: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` unit vectors: the real ones, and mixtures of a real one with a neighbour of it, with noise."""
    rng = np.random.default_rng(0)
    parts, dim = [real[:count]], real.shape[1]
    neighbours = np.concatenate(
        [np.argpartition(-(block @ real.T), 10, axis=1)[:, :11] for block in np.array_split(real, 40)]
    )
    while sum(map(len, parts)) < count:
        size = min(20_000, count - sum(map(len, parts)))
        first = rng.integers(0, len(real), size)
        second = neighbours[first, rng.integers(0, 11, size)]
        share = rng.uniform(0.3, 0.7, (size, 1))
        noise = rng.normal(size=(size, dim))
        noise *= rng.uniform(0.2, 0.6, (size, 1)) / np.linalg.norm(noise, axis=1, keepdims=True)
        parts.append(to_unit_length(share * real[first] + (1 - share) * real[second] + noise))
    return np.concatenate(parts)


def collection_of(folder: Path, texts: list[str], vectors: np.ndarray) -> Collection:
    """Return a collection of these vectors; synthetic ones carry the texts again."""
    collection = Collection.create_empty("bench", folder, chunk_tokens=256, chunk_overlap=0)
    view = collection.add_view(load_encoder(), DOCUMENT, "default")
    for start in range(0, len(vectors), 20_000):
        numbers = range(start, min(start + 20_000, len(vectors)))
        bodies = [f"{texts[n % len(texts)]} ({n})" for n in numbers]
        values = {
            "id": [f"{n:032x}" for n in numbers],
            "document_id": [f"d{n}" for n in numbers],
            "text": bodies,
            "source": [f"library/{n % 1000}.py" for n in numbers],
            "title": [b[:40] for b in bodies],
            "start": [0 for _ in numbers],
            "end": [len(b) for b in bodies],
            "ordinal": list(numbers),
            "mime": ["text/x-python" for _ in numbers],
            "num_tokens": [50 for _ in numbers],
            "metadata": [json.dumps({"shelf": n % 1000, "room": f"room {n % 7}"}) for n in numbers],
        }
        base = [pa.array(values.get(f.name, [None] * len(numbers)), f.type) for f in chunk_schema([])]
        columns = [*base, *vector_arrays(view, vectors[numbers.start : numbers.stop])]
        collection.upsert(pa.Table.from_arrays(columns, schema=chunk_schema([view])), may_exist=False)
    collection.update_manifest(fields={"shelf": "number", "room": "string"})
    return collection


def milliseconds(action: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def line(name: str, times: list[float], more: str = "") -> str:
    """Return a row of the table."""
    return f"| {name} | {np.median(times):.3g} | {np.percentile(times, 95):.3g} | {more}"


def main() -> None:
    """Build, tune, measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--real", type=int, default=16_000, help="real texts at most")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=PRECISIONS, help="of whole searches (default: as the encoder chooses)")
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmarks"))
    args = parser.parse_args()
    texts, real, asked, queries = embedded(args.cache, args.real, args.queries)
    vectors = with_synthetic(real, args.count)
    expected = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :K]
    print(f"{len(vectors):,} x {vectors.shape[1]} vectors, {len(real):,} of real texts, {len(queries)} queries")
    with tempfile.TemporaryDirectory(dir=args.cache) as folder:
        collection = collection_of(Path(folder), texts, vectors)
        made, index = engines(vectors, collection)
        for engine in [*made, *([lance_engine(collection)] if args.count <= 200_000 else [])]:
            if engine not in made:
                made.append(engine)
        for thread in os.listdir("/proc/self/task"):  # those of LanceDB too
            os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})
        threadpool_limits(1)
        for engine in made:
            half = len(queries) // 2
            tune(engine, queries[:half], expected[:half])
            engine.recall = measured(engine, queries[half:], expected[half:])
        for round_number in range(args.rounds):
            for engine in made:
                for query in queries[round_number % 2 :: 2]:
                    engine.times.append(milliseconds(lambda e=engine, q=query: e.search(q, e.setting)))
        print("\n| index | p50 ms | p95 ms | recall@10 | build s | setting |\n|---|---|---|---|---|---|")
        for engine in made:
            print(
                line(
                    engine.name, engine.times, f"{engine.recall:.3f} | {engine.build_seconds:.1f} | {engine.setting} |"
                )
            )
        print(f"\nsize of our index: {index.size / 1e6:.0f} MB with its vectors")
        with collection.writing():  # what the end of an ingest does: indexes for filters, the copy of what hits show
            maintenance.maintain(collection)
        whole(collection, asked, args.rounds, args.precision)


def sources(first: int, count: int) -> str:
    """Return a filter: so many of the thousand sources, each with a thousandth of the rows."""
    return "source in (" + ", ".join(f'"library/{(first + n) % 1000}.py"' for n in range(count)) + ")"


def shelves(first: int, count: int) -> str:
    """Return a filter on metadata: so many of the thousand shelves, each with a thousandth of the rows."""
    return "shelf in (" + ", ".join(str((first + n) % 1000) for n in range(count)) + ")"


def whole(collection: Collection, asked: list[str], rounds: int, precision: str | None) -> None:
    """Print the times of whole searches: query embedding, index, rows and snippets."""
    searcher = Searcher(collection, load_encoder(precision=precision))
    searcher.encoder.load()
    kinds: dict[str, Callable[[int], dict[str, Any]]] = {
        "dense": lambda _: {},
        "dense, without snippets": lambda _: {"snippets": "none"},
        "dense, 1 % of the rows": lambda _: {"where": sources(0, 10)},
        "dense, 0.1 % of the rows": lambda _: {"where": sources(7, 1)},
        "dense, 1 % of the rows, another filter each time": lambda n: {"where": sources(3 * n, 10)},
        "dense, 1 % of the rows by metadata, another filter each time": lambda n: {"where": shelves(3 * n, 10)},
        "text": lambda _: {"mode": "text"},
        "hybrid": lambda _: {"mode": "hybrid"},
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    parts: dict[str, list[float]] = {}
    searches = 0
    for round_number in range(rounds):
        for number, (name, options) in enumerate(kinds.items()):
            for text in (f"{t} {number}" for t in asked[round_number::rounds]):  # vectors of known texts are kept
                found: list[Any] = []
                searches += 1
                how = options(searches)
                times[name].append(
                    milliseconds(lambda t=text, o=how, f=found: f.extend(searcher.search(t, instruction=QUERY, **o)))
                )
                assert len(found) == K or name == "text", f"{name}: {len(found)} hits"
                if name == "dense":
                    for part, seconds in searcher.seconds.items():
                        parts.setdefault(part, []).append(1000 * seconds)
    print("\n| whole search | p50 ms | p95 ms |\n|---|---|---|")
    for name, values in times.items():
        print(line(name, values))
    name = "dense, 1 % of the rows by metadata, another filter each time"
    print(f"\nthe first filter on a metadata field: {times[name][0]:.0f} ms, the next {times[name][1]:.1f} ms")
    print("\nof a dense search, p50 ms: " + ", ".join(f"{name} {np.median(v):.2f}" for name, v in parts.items()))


if __name__ == "__main__":
    main()
