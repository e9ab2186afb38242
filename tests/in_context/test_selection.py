"""Selectors over candidates, against their definitions."""

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans

from instructor_search.in_context.clustering import k_means, nearest_centres
from instructor_search.in_context.selection import (
    Candidates,
    Selector,
    choose,
    determinantal,
    label_balanced,
    nearest_of_clusters,
    num_candidates,
)


def candidates(n, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = rng.normal(size=dim)
    scores = vectors @ (asked / np.linalg.norm(asked))
    order = np.argsort(-scores)
    return scores[order], vectors[order]


def test_labels_take_turns_in_the_order_of_their_best():
    assert label_balanced(list("aaabacb"), 7) == [0, 3, 5, 1, 6, 2, 4]
    assert label_balanced(list("aab"), 2) == [0, 2] and label_balanced([], 3) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("diversity", [0.1, 0.5, 0.9])
def test_the_point_process_is_greedy_in_its_determinant(seed, diversity):
    """Each step takes what makes log det of the chosen kernel greatest, computed anew by NumPy."""
    scores, vectors = candidates(30, seed=seed)
    quality = np.exp((1 - diversity) / (2 * diversity) * scores)
    kernel = quality[:, None] * (vectors @ vectors.T) * quality
    chosen = []
    for _ in range(5):
        left = [i for i in range(30) if i not in chosen]
        gains = {i: np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1] for i in left}
        chosen.append(max(left, key=lambda i: gains[i]))
    assert determinantal(scores, vectors, 5, diversity=diversity) == chosen


def test_the_point_process_with_more_than_the_space_holds_ends_by_rank():
    scores, vectors = candidates(12, dim=3)
    found = determinantal(scores, vectors, 8)
    assert len(set(found)) == 8 and found[3:] == [i for i in range(12) if i not in found[:3]][:5]
    assert determinantal(scores, vectors, 4, diversity=0.0) == [0, 1, 2, 3]
    same = np.repeat(vectors[:1], 5, axis=0)
    assert determinantal(np.ones(5), same, 3) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_k_means_ends_where_no_vector_would_move_and_as_tight_as_sklearn_s(seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 10))
    vectors = centres[rng.integers(4, size=400)] + 0.2 * rng.normal(size=(400, 10))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    owners, found = k_means(vectors, 4, seed=seed)
    assert (nearest_centres(vectors, found) == owners).all()
    for cluster in range(4):
        mean = vectors[owners == cluster].mean(0)
        np.testing.assert_allclose(found[cluster], mean / np.linalg.norm(mean), atol=1e-5)
    spread = sum(((vectors[owners == c] - vectors[owners == c].mean(0)) ** 2).sum() for c in range(4))
    assert spread < 1.05 * KMeans(4, n_init=10, random_state=0).fit(vectors).inertia_


def test_one_of_each_cluster_is_the_best_of_it():
    rng = np.random.default_rng(1)
    centres = np.eye(3)[[0] * 10 + [1] * 10 + [2] * 10]
    vectors = centres + 0.05 * rng.normal(size=(30, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = rng.permutation(30)  # the ranking
    groups = np.repeat([0, 1, 2], 10)[order]
    expected = sorted(int(np.flatnonzero(groups == g)[0]) for g in range(3))
    assert nearest_of_clusters(np.linspace(1, 0, 30), vectors[order], 3) == expected
    assert nearest_of_clusters(np.ones(4), np.repeat(vectors[:1], 4, axis=0), 3) == [0, 1, 2]  # copies: one cluster


@pytest.mark.parametrize("selector", list(Selector))
def test_choices_are_distinct_and_the_same_again(selector):
    scores, vectors = candidates(40, seed=4)
    given = Candidates(scores, vectors, ["abc"[i % 3] for i in range(40)])
    for k in (1, 7, 40, 60):
        found = choose(selector, given, k)
        assert len(found) == len(set(found)) == min(k, 40) and found == choose(selector, given, k)
    assert choose(selector, Candidates(np.zeros(0), np.zeros((0, 6)), []), 3) == []
    assert num_candidates(selector, 20) in (20, 200)


def test_diverse_choices_are_less_alike_than_the_nearest():
    alike: dict[str, list[float]] = {s: [] for s in ("nearest", "mmr", "kmeans", "dpp")}
    for seed in range(5):
        scores, vectors = candidates(60, dim=4, seed=seed)
        for selector, found in alike.items():
            chosen = choose(selector, Candidates(scores, vectors, ["x"] * 60), 6, diversity=0.5)
            found.append(np.mean([vectors[a] @ vectors[b] for a, b in itertools.combinations(chosen, 2)]))
    means = {s: np.mean(found) for s, found in alike.items()}
    assert max(means["mmr"], means["kmeans"], means["dpp"]) < means["nearest"] - 0.05
