"""The losses against the official script's numbers and against plain loops."""

import json

import numpy as np
import pytest
import torch

from tests.conftest import PARITY
from train.loss import Identities, consistency_loss, distillation_loss, false_negatives, info_nce, official_loss

CASES = json.loads((PARITY / "loss.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['batch']}x{c['dim']}-{c['temperature']}" for c in CASES])
def test_the_official_loss_and_its_gradients(case):
    sides = [torch.tensor(case[name], requires_grad=True) for name in ("query", "pos", "neg")]
    loss = official_loss(*sides, case["temperature"])
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-5, abs=1e-6)
    assert loss.item() == pytest.approx(
        case["loss_query_to_pos_and_all_neg"] + case["loss_pos_to_queries"], rel=1e-5, abs=1e-6
    )
    for side, name in zip(sides, ("grad_query", "grad_pos", "grad_neg"), strict=True):
        np.testing.assert_allclose(side.grad.numpy(), case[name], rtol=1e-4, atol=1e-5)


def random_batch(size=7, negatives=2, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query, positive = (torch.randn(size, dim, generator=generator) for _ in range(2))
    return query, positive, torch.randn(size * negatives, dim, generator=generator)


def identities(size=7, negatives=2):
    return Identities(
        query=torch.arange(1, size + 1),
        positive=torch.arange(101, size + 101),
        negative=torch.arange(1001, size * negatives + 1001),
        asked=torch.arange(2001, size + 2001),
        label=torch.zeros(size, dtype=torch.int64),
        used=torch.ones(size * negatives, dtype=torch.bool),
    )


def plain_info_nce(query, positive, negative, temperature, wrong, bidirectional):
    """The same by loops over rows and candidates, in float64."""
    q, p, n = (
        x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True)
        for x in (query, positive, negative)
    )
    candidates, total = np.concatenate([p, n]), 0.0
    for i in range(len(q)):
        scores = [q[i] @ c / temperature for j, c in enumerate(candidates) if not wrong[i, j]]
        loss = np.log(np.sum(np.exp(scores))) - q[i] @ p[i] / temperature
        if bidirectional:
            back = [p[i] @ q[j] / temperature for j in range(len(q)) if not wrong[j, i]]
            loss = (loss + np.log(np.sum(np.exp(back))) - q[i] @ p[i] / temperature) / 2
        total += loss / len(q)
    return total


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("negatives", [0, 1, 2])
def test_info_nce_equals_plain_loops(bidirectional, negatives):
    batch = random_batch(negatives=negatives)
    ids = identities(negatives=negatives)
    ids.positive[3] = ids.positive[5]  # two examples with the same positive
    ids.query[2] = ids.positive[6]  # a text that is a query here and a positive there
    ids.label[0] = ids.label[4] = 9
    if negatives:
        ids.negative[1], ids.used[-1] = ids.positive[0], False
    wrong = false_negatives(ids).numpy()
    expected = plain_info_nce(*batch, 0.1, wrong, bidirectional)
    assert info_nce(*batch, 0.1, ids, bidirectional=bidirectional).item() == pytest.approx(expected, rel=1e-5)


def test_what_counts_as_a_false_negative():
    ids = identities(size=4, negatives=1)
    ids.positive[1] = ids.positive[0]
    ids.query[2] = ids.positive[3]
    ids.label[:] = torch.tensor([5, 0, 5, 0])
    ids.asked[3] = ids.asked[1]
    ids.negative[0] = ids.positive[2]
    ids.used[3] = False
    found = {tuple(pair) for pair in false_negatives(ids).nonzero().tolist()}
    equal_text = {(0, 1), (1, 0), (2, 3), (2, 4)}
    equal_label = {(0, 2), (2, 0)}
    same_query = {(1, 3), (3, 1)}
    not_used = {(i, 7) for i in range(4)}
    assert found == equal_text | equal_label | same_query | not_used


def test_a_masked_negative_has_no_gradient():
    query, positive, negative = (x.requires_grad_() for x in random_batch())
    ids = identities()
    ids.negative[3], ids.used[5] = ids.positive[1], False  # is row 1's positive; is a filled place
    info_nce(query, positive, negative, 0.1, ids).backward()
    assert negative.grad[5].abs().max() == 0
    assert negative.grad[4].abs().max() > 0
    sides = [x.detach().clone().requires_grad_() for x in (query, positive, negative)]
    official_loss(*sides, 0.1, ids.used).backward()
    assert sides[2].grad[5].abs().max() == 0 and sides[2].grad[4].abs().max() > 0


def test_a_guide_takes_out_what_it_finds_nearer_than_the_positive():
    query, positive, negative = random_batch(size=3, negatives=1)
    ids = identities(size=3, negatives=1)
    guide_query = torch.eye(3)
    guide_positive = torch.tensor([[0.8, 0.6, 0.0], [0.9, 0.9, 0.0], [0.0, 0.0, 1.0]])
    guide_negative = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 1.0]])
    # query 0 (own positive .8): negative 0 at 1.0 is out. Query 2 (own 1.0): nothing is nearer. Query 1 (own .707): none.
    wrong = false_negatives(ids)
    wrong[0, 3] = True
    expected = plain_info_nce(query, positive, negative, 1.0, wrong.numpy(), True)
    guided = info_nce(query, positive, negative, 1.0, ids, guide=(guide_query, guide_positive, guide_negative))
    assert guided.item() == pytest.approx(expected, rel=1e-5)
    assert guided.item() != pytest.approx(info_nce(query, positive, negative, 1.0, ids).item(), rel=1e-3)


def test_consistency_is_the_mean_distance_of_all_texts():
    rng = np.random.default_rng(5)
    found, known = ([torch.tensor(rng.normal(size=(n, 6))) for n in (4, 4, 8)] for _ in range(2))
    distances = []
    for first, second in zip(np.concatenate(found), np.concatenate(known), strict=True):
        distances.append(1 - first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    assert consistency_loss(found, known).item() == pytest.approx(np.mean(distances), rel=1e-6)
    assert consistency_loss([3 * side for side in known], known).item() == pytest.approx(0, abs=1e-6)


def test_distillation_is_the_divergence_from_the_teachers_scores():
    rng = np.random.default_rng(3)
    student, teacher = ([torch.tensor(rng.normal(size=(n, 6))) for n in (4, 4, 8)] for _ in range(2))
    used = torch.tensor([True] * 5 + [False] + [True] * 2)

    def probabilities(sides, temperature):
        q, p, n = (side.numpy() / np.linalg.norm(side.numpy(), axis=1, keepdims=True) for side in sides)
        for rows, columns in ((q, np.concatenate([p, n[used.numpy()]])), (p, q)):
            for row in rows:
                scores = np.array([np.exp(float(row @ column) / temperature) for column in columns])
                yield scores / scores.sum()

    expected = 0.0
    for wanted, found in zip(probabilities(teacher, 0.2), probabilities(student, 0.2), strict=True):
        expected += float((wanted * np.log(wanted / found)).sum()) / 8  # 4 queries and 4 positives
    assert distillation_loss(student, teacher, 0.2, used).item() == pytest.approx(expected, rel=1e-6)
    assert distillation_loss(teacher, teacher, 0.2, used).item() == pytest.approx(0, abs=1e-9)
    sides = [side.clone().requires_grad_() for side in student]
    distillation_loss(sides, teacher, 0.2, used).backward()
    assert sides[2].grad[5].abs().max() < 1e-12 < sides[2].grad[4].abs().max()
