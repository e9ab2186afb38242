"""Which items of a collection to annotate: vote-k over the vectors of a view, whether the items have outputs or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from instructor_search.in_context.neighbours import NEIGHBOURS, NeighbourGraph, neighbour_graph
from instructor_search.in_context.vote_k import RHO, fast_vote_k
from instructor_search.search.filters import compile_filter
from instructor_search.store.collection import Collection
from instructor_search.store.indexes.row_batches import vector_batches
from instructor_search.store.manifest import View


@dataclass(frozen=True)
class Annotation:
    """The items chosen, first ones first, by their chunk ids; and of what: ``graph`` says how good its graph was."""

    ids: list[str]
    num_items: int
    graph: NeighbourGraph
    seconds: dict[str, float] = field(default_factory=dict)


def annotate(
    collection: Collection,
    count: int,
    *,
    view: str | None = None,
    where: str | None = None,
    k: int = NEIGHBOURS,
    rho: int = RHO,
    exact: bool | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> Annotation:
    """Return the ``count`` items that fast vote-k chooses (``vote_k``); of equal scores the lower chunk id.

    Args:
        collection: a pool of examples, or any other.
        count: items to choose.
        view: whose vectors say what is near.
        where: a filter, as for search: only these are looked at.
        k: neighbours of an item in the graph.
        rho: by which votes are divided.
        exact: compare all with all; None: up to 20,000 items, and through clusters beyond.
        on_done: told of items compared with the others, and of how many there are.

    Raises:
        ValueError: there are fewer than two items, or fewer than ``count``.
        FilterError: ``where`` cannot be understood.
    """
    compiled = compile_filter(where, collection.manifest.fields) if where else None
    started = time.perf_counter()
    ids, vectors = read_vectors(collection, collection.view(view), compiled)
    if len(ids) < max(2, count):
        raise ValueError(f"{count} items were asked for and there are {len(ids)} with a vector; expected more of them")
    read = time.perf_counter()
    graph = neighbour_graph(vectors, k, exact=exact, on_done=(lambda n: on_done(n, len(ids))) if on_done else None)
    compared = time.perf_counter()
    chosen = fast_vote_k(graph, count, rho=rho)
    seconds = {"read": read - started, "compare": compared - read, "choose": time.perf_counter() - compared}
    return Annotation([ids[i] for i in chosen], len(ids), graph, seconds)


def read_vectors(collection: Collection, view: View, where: str | None = None) -> tuple[list[str], np.ndarray]:
    """Return the ids of all chunks with a vector, ascending, and their unit vectors, (n, dim). ``where``: compiled."""
    table = collection.open_chunks()
    names, parts = [], []
    for entries, vectors in vector_batches(table, view, where):
        names.append(entries["id"])
        parts.append(vectors)
    if not names:
        return [], np.zeros((0, view.dim), np.float32)
    ids = np.concatenate(names)
    order = np.argsort(ids, kind="stable")
    return [name.decode() for name in ids[order].tolist()], np.concatenate(parts)[order]
