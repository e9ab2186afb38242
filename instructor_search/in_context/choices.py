"""What may be chosen when a prompt is made. Light: command lines list it before anything else is imported."""

from __future__ import annotations

from enum import StrEnum


class Selector(StrEnum):
    """How examples are chosen."""

    NEAREST = "nearest"
    MMR = "mmr"  # maximal marginal relevance
    LABEL_BALANCED = "label-balanced"
    KMEANS = "kmeans"  # the nearest of each of k clusters of the candidates
    DPP = "dpp"  # determinantal point process
    HYBRID = "hybrid"  # by vector and by words, reciprocal rank fusion
    TEXT = "text"  # by words alone (BM25)
    RANDOM = "random"  # drawn anew for each input
    FIXED = "fixed"  # the same for every input


class Order(StrEnum):
    """How demonstrations stand in the text."""

    NEAREST_LAST = "nearest-last"  # by score, best next to the input (Su et al., 2022; Liu et al., 2021)
    NEAREST_FIRST = "nearest-first"
    AS_SELECTED = "as-selected"
    RANDOM = "random"
