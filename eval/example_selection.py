"""Selectors over embedded pools held in memory: the library's, and words (BM25) beside them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.errors import MissingExtraError
from instructor_search.in_context.choices import Selector
from instructor_search.in_context.selection import Candidates, choose, nearest, num_candidates
from instructor_search.records import Demonstration
from instructor_search.search.fusion import reciprocal_rank_fusion

_LABEL_CANDIDATES = 1000  # that a balanced choice looks among
_FUSED = 100  # of each ranking that go into a fusion


def select_examples(
    pool: Sequence[Demonstration],
    test: Sequence[Demonstration],
    pool_vectors: np.ndarray,
    test_vectors: np.ndarray,
    forbidden: list[set[int]],
    selector: str,
    k: int,
    seed: int,
) -> list[list[int]]:
    """Return for each test input the positions of its examples in the pool, in the order chosen.

    ``forbidden``: positions that an input must not get. Fewer than ``k`` are given where no more are left.
    """
    if selector in (Selector.RANDOM, Selector.FIXED):
        return [
            _drawn(len(pool), excluded, k, f"{seed} {e.input if selector == Selector.RANDOM else ''}")
            for e, excluded in zip(test, forbidden, strict=True)
        ]
    depth = {Selector.LABEL_BALANCED: _LABEL_CANDIDATES, Selector.HYBRID: _FUSED}.get(
        Selector(selector), num_candidates(selector, k)
    )
    dense = nearest(test_vectors, pool_vectors, min(depth, len(pool)), forbidden=forbidden)
    if selector in (Selector.TEXT, Selector.HYBRID):
        inputs = [e.input for e in pool], [e.input for e in test]
        if selector == Selector.TEXT:
            return list(_by_words(*inputs, forbidden, k))
        words = _by_words(*inputs, forbidden, _FUSED, only_matching=True)
        return [
            _fused([p for p in near.tolist() if p >= 0], excluded)[:k]
            for near, excluded in zip(dense[0], words, strict=True)
        ]
    unit = to_unit_length(pool_vectors)
    return [_chosen(pool, unit, *both, selector, k, seed) for both in zip(*dense, strict=True)]


def _chosen(
    pool: Sequence[Demonstration],
    unit: np.ndarray,
    positions: np.ndarray,
    scores: np.ndarray,
    selector: str,
    k: int,
    seed: int,
) -> list[int]:
    there = positions >= 0
    positions, scores = positions[there], scores[there]
    uses_vectors = selector in (Selector.MMR, Selector.KMEANS, Selector.DPP)
    vectors = unit[positions] if uses_vectors else np.zeros((len(positions), 0), np.float32)
    order = choose(selector, Candidates(scores, vectors, [pool[p].output for p in positions]), k, seed=seed)
    return [int(positions[i]) for i in order]


def _drawn(count: int, forbidden: set[int], k: int, salt: str) -> list[int]:
    digest = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(digest, "little")).permutation(count)
    return [int(p) for p in order[: k + len(forbidden)] if p not in forbidden][:k]


def _by_words(
    pool: list[str], test: list[str], forbidden: list[set[int]], depth: int, *, only_matching: bool = False
) -> Iterator[list[int]]:
    """Yield for each test input the pool's best by BM25 (bm25s, English stemmer); of equal scores the first.

    ``only_matching`` leaves out what shares no word with it.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise MissingExtraError("bm25s and PyStemmer", "eval", "the selectors text and hybrid") from error
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of each index that it builds
    stemmer = Stemmer.Stemmer("english")
    options: dict[str, Any] = {"stopwords": None, "stemmer": stemmer, "show_progress": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(pool, **options), show_progress=False)
    for text, excluded in zip(test, forbidden, strict=True):
        tokens = bm25s.tokenize([text], return_ids=False, **options)[0]
        scores = index.get_scores(tokens) if tokens else np.zeros(len(pool), np.float32)
        order = np.argsort(-scores, kind="stable")[: depth + len(excluded)]
        yield [int(p) for p in order if p not in excluded and (scores[p] > 0 or not only_matching)][:depth]


def _fused(dense: list[int], words: list[int]) -> list[int]:
    rankings = {"dense": [f"{p:09d}" for p in dense[:_FUSED]], "text": [f"{p:09d}" for p in words[:_FUSED]]}
    scores = reciprocal_rank_fusion(rankings)
    return [int(name) for name in sorted(scores, key=lambda name: (-scores[name], name))]
