"""Clustering scores over several seeds of k-means, where mteb's protocol (v1, legacy tasks) runs it once a set.

With few labels one run is a draw: on a set of 1,000 texts and five labels its V-measure varies by four to seven points
(standard deviation over seeds). The mean over seeds is the same measure with less chance in it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from mteb._evaluators import ClusteringEvaluator
from sklearn.cluster import MiniBatchKMeans

from eval.records import Outcome
from eval.units import Group, Units


def repeat_clusterings(task: Any, num_seeds: int) -> list[np.ndarray]:
    """Make an mteb task cluster each of its sets with ``num_seeds`` seeds, mteb's own first.

    Returns a list that the task fills as it runs: the clusters of each set that has two labels, (seeds, texts).
    """
    clusterings: list[np.ndarray] = []
    task.evaluator = partial(_Repeated, num_seeds=num_seeds, found=clusterings)
    return clusterings


def mean_over_seeds(outcome: Outcome, found: list[np.ndarray]) -> Outcome:
    """Return the outcome of a task that clustered repeatedly, with the mean V-measure over the seeds as its score."""
    if not found:
        return outcome
    if outcome.units is None:  # mteb's score could not be made again from its clusters
        return replace(outcome, notes=[*outcome.notes, "one seed of k-means only"])
    remaining, num_seeds = iter(found), len(found[0])
    groups = []
    for group in outcome.units.groups:
        labels = group.arrays["labels"]
        one_label = len(set(labels)) < 2  # mteb does not cluster such a set
        clusters = np.zeros((num_seeds, len(labels)), dtype=int) if one_label else next(remaining)
        groups.append(Group("v_measure", {"labels": labels, "clusters": clusters}))
    seeds = [_of_seed(groups, number).score() for number in range(num_seeds)]
    score, spread = float(np.mean(seeds)), float(np.std(seeds, ddof=1))
    note = (
        f"mean of {num_seeds} seeds of k-means, standard deviation {100 * spread:.2f}; "
        f"mteb's one gives {100 * seeds[0]:.2f}"
    )
    scores = {"main_score": score, "v_measure": score, "v_measure_std": spread, "v_measures": seeds}
    return replace(outcome, scores=scores, units=Units(tuple(groups)), notes=[*outcome.notes, note])


def _of_seed(groups: list[Group], number: int) -> Units:
    return Units(tuple(Group(g.kind, g.arrays | {"clusters": g.arrays["clusters"][number]}) for g in groups))


class _Repeated(ClusteringEvaluator):
    """mteb's evaluator, and its k-means again with further seeds on the same embeddings."""

    def __init__(self, *args: Any, num_seeds: int, found: list[np.ndarray], **options: Any) -> None:
        super().__init__(*args, **options)
        self.num_seeds, self.found = num_seeds, found

    def __call__(self, model: Any, **options: Any) -> list[int]:
        """Return the first seed's clusters."""
        kept: Any = _KeepsVectors(model)
        clusters = [super().__call__(kept, **options)]
        num_labels = len(set(self.dataset[self.label_column_name]))
        for seed in range(self.seed + 1, self.seed + self.num_seeds):
            means = MiniBatchKMeans(num_labels, batch_size=self.clustering_batch_size, n_init="auto", random_state=seed)
            clusters.append(means.fit(kept.vectors).labels_.tolist())
        self.found.append(np.asarray(clusters))
        return clusters[0]


class _KeepsVectors:
    """A model that keeps the embeddings that it was last asked for."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.vectors: np.ndarray | None = None

    def encode(self, *args: Any, **options: Any) -> np.ndarray:
        self.vectors = self._model.encode(*args, **options)
        return self.vectors
