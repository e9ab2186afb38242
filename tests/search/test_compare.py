"""Comparisons: what moved, against sets by hand; rank-biased overlap against its plain formula."""

import random

import pytest

from instructor_search import Collection, Searcher
from instructor_search.search.compare import Side, compare, rank_biased_overlap

ASTRONOMY, CHEMISTRY = (f"Represent the {d} question for retrieving documents: " for d in ("astronomy", "chemistry"))


def plain(first, second, p):
    """Equation 32 of Webber et al. with sets, as it stands in the paper."""
    short, long = sorted((first, second), key=len)
    s, n = len(short), len(long)
    x = {d: len(set(short[:d]) & set(long[:d])) for d in range(1, n + 1)}
    a = sum(x[d] / d * p**d for d in range(1, n + 1))
    b = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (a + b) + ((x[n] - x[s]) / n + x[s] / s) * p**n


def test_rank_biased_overlap_is_the_formula():
    draw = random.Random(5)
    for _ in range(200):
        names = [str(i) for i in range(12)]
        first, second = (draw.sample(names, draw.randint(1, 12)) for _ in range(2))
        p = draw.choice([0.5, 0.9, 0.98])
        assert rank_biased_overlap(first, second, p) == pytest.approx(plain(first, second, p), abs=1e-12)


def test_rank_biased_overlap_at_its_ends():
    assert rank_biased_overlap("abc", "abc") == pytest.approx(1)
    assert rank_biased_overlap("abc", "xyz") == 0
    assert rank_biased_overlap([], []) == 1 and rank_biased_overlap([], ["a"]) == 0
    assert rank_biased_overlap("abcd", "bacd") < rank_biased_overlap("abcd", "abdc") < 1  # the top weighs more
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_biased_overlap("a", "a", 1.0)


@pytest.fixture(scope="module")
def searcher(corpus_store):
    return Searcher(Collection.open("corpus", corpus_store))


def test_what_moved_entered_and_left(searcher):
    found = compare("mercury", [Side(searcher, ASTRONOMY), Side(searcher, CHEMISTRY)], top_k=9)
    first, second = ([h.chunk_id for h in hits] for hits in found.hits)
    change = found.differences[0]
    assert [m.chunk_id for m in change.entered] == [c for c in second if c not in first] != []
    assert [m.chunk_id for m in change.left] == [c for c in first if c not in second]
    kept = [c for c in second if c in first]
    assert [m.chunk_id for m in change.moved] == [c for c in kept if first.index(c) != second.index(c)]
    assert {m.chunk_id for m in (*change.moved, *change.stayed)} == set(kept)
    for move in change.moved:
        assert (first[move.before - 1], second[move.after - 1]) == (move.chunk_id, move.chunk_id)
    for move in change.entered:  # where it came from
        assert move.after <= 9 < move.before
    assert change.overlap == pytest.approx(plain(first, second, 0.9)) and 0 < change.overlap < 1
    assert "planet" in found.hits[0][0].title and "element" in found.hits[1][0].title


def test_the_same_instruction_changes_nothing(searcher):
    found = compare("mercury", [Side(searcher, ASTRONOMY)] * 3, top_k=4)
    assert [(d.first, d.second) for d in found.differences] == [(0, 1), (0, 2), (1, 2)]
    for change in found.differences:
        assert not (change.entered or change.left or change.moved)
        assert len(change.stayed) == 4 and change.overlap == pytest.approx(1)


def test_one_side_is_refused(searcher):
    with pytest.raises(ValueError, match="expected at least two"):
        compare("mercury", [Side(searcher, "")])
