"""Vote-k against the plain quadratic algorithm, written as the paper says it."""

from fractions import Fraction

import numpy as np
import pytest

from instructor_search.in_context.neighbours import NeighbourGraph, neighbour_graph
from instructor_search.in_context.vote_k import fast_vote_k, vote_k


def plain_graph(vectors, k):
    """The k nearest others of each item, one at a time."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for i in range(len(unit)):
        others = sorted((j for j in range(len(unit)) if j != i), key=lambda j: (-float(unit[i] @ unit[j]), j))
        found.append(set(others[:k]))
    return found


def plain_score(u, neighbours, chosen, rho):
    """s(u): the sum over the voters v of u that are not chosen of rho ** -|chosen neighbours of v|, exactly."""
    voters = [v for v in range(len(neighbours)) if u in neighbours[v] and v not in chosen]
    return sum((Fraction(1, rho ** len(neighbours[v] & set(chosen))) for v in voters), Fraction(0))


def plain_fast_vote_k(neighbours, count, rho=10):
    chosen = []
    while len(chosen) < count:
        left = [u for u in range(len(neighbours)) if u not in chosen]
        chosen.append(max(left, key=lambda u: (plain_score(u, neighbours, chosen, rho), -u)))
    return chosen


def clumps(n, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, dim))
    return centres[rng.integers(5, size=n)] + 0.5 * rng.normal(size=(n, dim))


def as_sets(graph):
    return [set(row.tolist()) for row in graph.neighbours]


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_graph_is_the_plain_one(seed):
    vectors = clumps(120, seed=seed)
    graph = neighbour_graph(vectors, 10)
    assert as_sets(graph) == plain_graph(vectors, 10) and graph.kind == "exact" and graph.recall == 1.0


def test_of_equally_near_items_the_first_are_neighbours():
    vectors = np.repeat(np.eye(2), 4, axis=0)  # four and four equal ones
    assert as_sets(neighbour_graph(vectors, 2))[:4] == [{1, 2}, {0, 2}, {0, 1}, {0, 1}]
    assert as_sets(neighbour_graph(vectors, 4))[0] == {1, 2, 3, 4}  # all others are equally far
    assert as_sets(neighbour_graph(vectors, 99))[0] == set(range(1, 8))  # everyone


@pytest.mark.parametrize("rho", [2, 10])
@pytest.mark.parametrize("seed", range(4))
def test_lazy_picks_are_those_of_the_plain_algorithm(seed, rho):
    graph = neighbour_graph(clumps(150, seed=seed), 12)
    assert fast_vote_k(graph, 40, rho=rho) == plain_fast_vote_k(as_sets(graph), 40, rho)


def test_ties_go_to_the_first_item_until_none_is_left():
    ring = NeighbourGraph(np.array([[(i + 1) % 6] for i in range(6)], dtype=np.int32))  # each has one vote
    assert fast_vote_k(ring, 6) == plain_fast_vote_k(as_sets(ring), 6)
    assert fast_vote_k(ring, 1) == [0]


def test_votes_beyond_what_a_float_tells_apart_count():
    """After 40 picks among the same neighbours a vote is worth 1e-40 of a whole one; the order still is exact."""
    vectors = np.ones((60, 3)) + 1e-3 * np.random.default_rng(0).normal(size=(60, 3))
    graph = neighbour_graph(vectors, 50)
    assert fast_vote_k(graph, 60) == plain_fast_vote_k(as_sets(graph), 60)


def test_full_vote_k_is_the_paper_s_algorithm():
    graph = neighbour_graph(clumps(90, seed=7), 9)
    neighbours, count, seen = as_sets(graph), 20, []
    sure = np.round(np.random.default_rng(3).normal(size=90), 1)  # with ties

    def confidence(first):
        seen.append(first)
        return sure

    chosen = plain_fast_vote_k(neighbours, 2)
    assert vote_k(graph, count, confidence)[:2] == chosen and seen == [chosen]
    left = sorted((i for i in range(90) if i not in chosen), key=lambda i: (sure[i], i))
    sizes = [len(part) for part in np.array_split(np.arange(88), count)]
    for size in sizes[:18]:  # the two buckets of highest confidence give none
        bucket, left = left[:size], left[size:]
        chosen.append(max(bucket, key=lambda u: (plain_score(u, neighbours, chosen, 10), -u)))
    assert vote_k(graph, count, confidence) == chosen and len(set(chosen)) == 20


def test_a_clustered_graph_has_the_recall_that_it_says():
    vectors = clumps(3000, dim=16, seed=1)
    graph = neighbour_graph(vectors, 20, exact=False, target_recall=0.9)
    true = neighbour_graph(vectors, 20, exact=True)
    shares = [len(a & b) / 20 for a, b in zip(as_sets(graph), as_sets(true), strict=True)]
    assert graph.kind == "clusters" and graph.probes < 3000 // 256
    assert np.mean(shares) > 0.88 and graph.recall == pytest.approx(np.mean(shares), abs=0.03)
    assert all(len(s) == 20 and i not in s and -1 not in s for i, s in enumerate(as_sets(graph)))
    again = neighbour_graph(vectors, 20, exact=False, target_recall=0.9)
    assert (np.sort(again.neighbours) == np.sort(graph.neighbours)).all()


def test_a_clustered_graph_that_looks_everywhere_is_exact():
    vectors = clumps(700, seed=2)
    graph = neighbour_graph(vectors, 15, exact=False, target_recall=1.0)
    assert graph.recall == 1.0 and as_sets(graph) == as_sets(neighbour_graph(vectors, 15))


def test_copies_of_one_text_are_clustered_without_an_empty_answer():
    graph = neighbour_graph(np.ones((900, 4)), 300, exact=False)
    assert graph.neighbours.min() >= 0 and all(len(set(row)) == 300 for row in graph.neighbours.tolist())
    assert len(set(fast_vote_k(graph, 50))) == 50


def test_what_cannot_be_meant():
    graph = neighbour_graph(clumps(10), 3)
    for count in (0, 11):
        with pytest.raises(ValueError, match=f"count is {count} and there are 10 items"):
            fast_vote_k(graph, count)
    with pytest.raises(ValueError, match="rho is 1; expected a whole number"):
        fast_vote_k(graph, 2, rho=1)
    with pytest.raises(ValueError, match=r"confidences of shape \(9,\); expected \(10,\)"):
        vote_k(graph, 5, lambda _: np.zeros(9))
    with pytest.raises(ValueError, match="3 neighbours of 1 items"):
        neighbour_graph(np.ones((1, 3)), 3)
