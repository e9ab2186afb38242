"""Which example is whose positive and hard negative: the rules of MEDI for Super-NaturalInstructions.

Paper section 2.3 and the authors' description: with cosines of an encoder that knows no instructions,

- classification: the positive is the most similar example of the same class, the hard negative the most similar one of
  another class;
- text output: with inputs x and outputs y, the positive of i has the highest cos(x_i, x_j) + cos(y_i, y_j), the hard
  negative the highest cos(x_i, x_j) - cos(y_i, y_j).

Equal inputs are never each other's positive or negative. Ties go to the example that comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BLOCK = 512  # rows that are compared with all others at a time


def by_class(texts: Sequence[str], labels: Sequence[str], vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each example the rows of its positive and its hard negative, int64 (n,) each; -1: there is none.

    ``vectors``: unit embeddings of the texts, (n, dim).
    """
    text_ids, label_ids = _ids(texts), _ids(labels)
    positives, negatives = np.full(len(texts), -1), np.full(len(texts), -1)
    for start in range(0, len(texts), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = vectors[rows] @ vectors.T  # (block, n)
        same_text = text_ids[rows, None] == text_ids[None]
        same_class = label_ids[rows, None] == label_ids[None]
        positives[rows] = _best(scores, same_class & ~same_text)
        negatives[rows] = _best(scores, ~same_class & ~same_text)
    return positives, negatives


def by_output(
    inputs: Sequence[str], outputs: Sequence[str], input_vectors: np.ndarray, output_vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of positives and hard negatives as ``by_class`` does, for tasks whose outputs are texts.

    A hard negative has another output than the example, and another text than its positive. ``input_vectors``,
    ``output_vectors``: unit embeddings, (n, dim).
    """
    input_ids, output_ids = _ids(inputs), _ids(outputs)
    positives, negatives = np.full(len(inputs), -1), np.full(len(inputs), -1)
    for start in range(0, len(inputs), _BLOCK):
        rows = slice(start, start + _BLOCK)
        inner, outer = input_vectors[rows] @ input_vectors.T, output_vectors[rows] @ output_vectors.T  # (block, n)
        other = input_ids[rows, None] != input_ids[None]
        positives[rows] = _best(inner + outer, other)
        other &= output_ids[rows, None] != output_ids[None]
        other &= input_ids[positives[rows], None] != input_ids[None]  # the positive's text cannot be both
        negatives[rows] = _best(inner - outer, other)
    return positives, negatives


def is_classification(outputs: Sequence[str]) -> bool:
    """Whether a task's outputs are classes: at most 30 different ones, each ten times on average."""
    return len(set(outputs)) <= min(30, len(outputs) // 10)


def _best(scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    best = np.where(allowed, scores, -np.inf).argmax(1)
    return np.where(allowed.any(1), best, -1)


def _ids(values: Sequence[str]) -> np.ndarray:
    return np.unique(np.asarray([v.strip() for v in values], dtype=object).astype(str), return_inverse=True)[1]
