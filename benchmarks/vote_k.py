"""How long vote-k takes: the graph of neighbours, and the choice of 100, by pool size; with the plain algorithm beside.

    python benchmarks/vote_k.py                       # 2,000 to 100,000 items
    python benchmarks/vote_k.py --sizes 1000000       # a million: some 6 GB of memory

The peer is the algorithm as it was published: each item is compared with all others, one at a time, and each choice
counts the votes of all items anew. Its time grows with the square of the items, so it is run up to 5,000.
The vectors are those of real texts (the Python standard library's docstrings, under the default model), and for larger
pools mixtures of a real one with a neighbour of it, with noise. CPU seconds are of all cores together, and do not
grow when other programs take the cores away, as seconds do.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.search import with_synthetic
from benchmarks.texts import docstrings
from instructor_search import InstructedText, load_encoder
from instructor_search.in_context.neighbours import neighbour_graph
from instructor_search.in_context.vote_k import fast_vote_k

COUNT, NEIGHBOURS, PEER_ITEMS, REAL_TEXTS = 100, 150, 5000, 4000


def real_vectors() -> np.ndarray:
    """Return vectors of docstrings of this Python's library, unit, (n, 384)."""
    texts = list(dict.fromkeys(" ".join(text.split())[:200] for text in docstrings(8)))[:REAL_TEXTS]
    return np.asarray(load_encoder().encode([InstructedText("Represent the docstring: ", text) for text in texts]))


def published(vectors: np.ndarray) -> tuple[float, float, list[int]]:
    """Return seconds of graph and choice, and the items, by the algorithm as published (in NumPy; ties to the first)."""
    started = time.perf_counter()
    voters: list[list[int]] = [[] for _ in vectors]
    for item, vector in enumerate(vectors):
        scores = vectors @ vector
        scores[item] = -np.inf
        for other in np.argsort(-scores, kind="stable")[:NEIGHBOURS]:
            voters[other].append(item)
    compared = time.perf_counter()
    times = np.zeros(len(vectors), dtype=int)
    chosen: list[int] = []
    for _ in range(COUNT):
        taken, scores = set(chosen), []
        for item, own in enumerate(voters):
            votes = [10.0 ** -times[v] for v in own if v not in taken]
            scores.append(-100.0 if item in taken else sum(sorted(votes)))
        best = int(np.argmax(scores))
        chosen.append(best)
        times[voters[best]] += 1
    return compared - started, time.perf_counter() - compared, chosen


def run(sizes: Iterable[int], real: np.ndarray) -> None:
    """Print one line a size."""
    print(
        "| items | graph | recall | graph, s | choice, s | CPU, s | published, s | CPU, s | ratio of CPU | same picks | peak, GB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for size in sizes:
        vectors = with_synthetic(real, size)
        started, cpu = time.perf_counter(), time.process_time()
        graph = neighbour_graph(vectors, NEIGHBOURS)
        compared = time.perf_counter()
        chosen = fast_vote_k(graph, COUNT)
        done, cpu = time.perf_counter(), time.process_time() - cpu
        peer = "- | - | - | -"
        if size <= PEER_ITEMS:
            peer_cpu = time.process_time()
            first, second, others = published(vectors)
            peer_cpu = time.process_time() - peer_cpu
            same = len(set(chosen) & set(others))
            peer = f"{first + second:.1f} | {peer_cpu:.1f} | {peer_cpu / cpu:.0f} x | {same} of {COUNT}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"| {size:,} | {graph.kind} | {graph.recall:.3f} | {compared - started:.1f} | {done - compared:.2f} | "
            f"{cpu:.1f} | {peer} | {peak:.1f} |",
            flush=True,
        )


def main() -> None:
    """Parse, embed, run."""
    parser = argparse.ArgumentParser(description="Time of vote-k by the size of the pool.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 5000, 20_000, 50_000, 100_000])
    run(parser.parse_args().sizes, real_vectors())


if __name__ == "__main__":
    main()
