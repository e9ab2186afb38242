"""Positives and hard negatives of a mixture: mining against plain loops, and the triples that are made of it."""

import numpy as np
import pytest

from tests.train.toy_tasks import Words, task
from train.medi.build import triples
from train.medi.mining import by_class, by_output, is_classification


def unit(rng, count, dim=5):
    vectors = rng.normal(size=(count, dim)).round(1)  # rounded: there are ties
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def plain(scores, allowed):
    best = -1
    for j in range(len(scores)):
        if allowed[j] and (best < 0 or scores[j] > scores[best]):
            best = j
    return best


@pytest.mark.parametrize("count", [1, 30, 700])
def test_by_class_equals_plain_loops(count):
    rng = np.random.default_rng(count)
    texts = [f"text {i}" for i in rng.integers(0, max(count * 2 // 3, 1), count)]
    labels = [str(x) for x in rng.integers(0, 3, count)]
    vectors = unit(rng, count)
    positives, negatives = by_class(texts, labels, vectors)
    scores = vectors @ vectors.T
    for i in range(0, count, 1 if count < 100 else 23):
        other = [texts[j] != texts[i] for j in range(count)]
        same = [labels[j] == labels[i] for j in range(count)]
        assert positives[i] == plain(scores[i], [o and s for o, s in zip(other, same, strict=True)])
        assert negatives[i] == plain(scores[i], [o and not s for o, s in zip(other, same, strict=True)])


@pytest.mark.parametrize("count", [2, 30, 600])
def test_by_output_equals_plain_loops(count):
    rng = np.random.default_rng(count)
    inputs = [f"in {i}" for i in rng.integers(0, count, count)]
    outputs = [f"out {i}" for i in rng.integers(0, count, count)]
    x, y = unit(rng, count), unit(rng, count)
    positives, negatives = by_output(inputs, outputs, x, y)
    for i in range(0, count, 1 if count < 100 else 17):
        inner, outer = x @ x[i], y @ y[i]
        other = [inputs[j] != inputs[i] for j in range(count)]
        positive = plain(inner + outer, other)
        assert (positives[i] < 0) == (positive < 0)
        if positive < 0:
            continue
        assert (inner + outer)[positives[i]] == pytest.approx((inner + outer)[positive], abs=1e-6)
        unlike = [o and outputs[j] != outputs[i] and inputs[j] != inputs[positives[i]] for j, o in enumerate(other)]
        negative = plain(inner - outer, unlike)
        assert (negatives[i] < 0) == (negative < 0)
        if negative >= 0:
            assert unlike[negatives[i]]
            assert (inner - outer)[negatives[i]] == pytest.approx((inner - outer)[negative], abs=1e-6)


def test_what_is_a_class():
    assert is_classification(["yes", "no"] * 20)
    assert not is_classification([f"answer {i}" for i in range(40)])
    assert not is_classification(["yes", "no"])


def test_triples_of_classes():
    rows = [
        ("a red apple", "fruit"),
        ("a red car", "car"),
        ("a green apple", "fruit"),
        ("a fast car", "car"),
        (" ", "car"),
    ]
    examples, dropped = triples(task("classification", rows), Words())
    assert [e.positive.text for e in examples] == ["a green apple", "a fast car", "a red apple", "a red car"]
    assert [e.negatives[0].text for e in examples[:2]] == ["a red car", "a red apple"]
    assert [e.label for e in examples] == ["fruit", "car", "fruit", "car"] and dropped["empty text"] == 1
    assert all(e.query.instruction == e.positive.instruction == e.negatives[0].instruction == "Q: " for e in examples)
    alone, dropped = triples(task("classification", [("x", "1"), ("y", "2")]), Words())
    assert not alone and dropped["no positive"] == 2


def test_triples_of_texts():
    rows = [
        ("add two and two", "four"),
        ("add two and three", "five"),
        ("sum of two twos", "four"),
        ("colour of snow", "white"),
    ]
    examples, _ = triples(task("super-ni", rows), Words())
    assert examples[0].positive.text == "sum of two twos"  # same output, alike input
    assert examples[0].negatives[0].text == "add two and three"  # alike input, other output
    assert examples[0].label is None


def test_pairs_are_kept_as_they_are():
    rows = [("q", "p", ("n1", "p", "", "n2", "n3", "n4")), ("", "p", ()), ("q", "  ", ()), ("q", "p", ("n5",))]
    examples, dropped = triples(task("pairs", rows), Words())
    assert len(examples) == 1 and dropped["the same pair again"] == 1
    assert [tuple(t) for t in (examples[0].query, examples[0].positive)] == [("Q: ", "q"), ("D: ", "p")]
    assert [n.text for n in examples[0].negatives] == ["n1", "n2", "n3"] and dropped["empty text"] == 2
