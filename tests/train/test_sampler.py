"""Every global batch is of one task, each rank has its slice, and a step's batch does not depend on what came before."""

import numpy as np
import pytest

from train.examples import MixtureError
from train.sampler import TaskBatchSampler

SIZES = {"large": 4000, "middle": 400, "small": 40, "tiny": 7}


def make(**options):
    return TaskBatchSampler(SIZES, 16, 2000, **{"seed": 3, **options})


def test_ranks_share_one_batch_of_one_task():
    sampler = make()
    for batch in sampler.batches():
        assert batch.task in SIZES and len(batch.rows) == 16
        assert len(set(batch.rows.tolist())) == 16 and batch.rows.max() < SIZES[batch.task]
        slices = [batch.rows[batch.slice_of(rank, 4)] for rank in range(4)]
        assert np.array_equal(np.concatenate(slices), batch.rows) and {len(s) for s in slices} == {4}


def test_a_task_is_gone_through_before_it_begins_anew():
    seen = {name: [] for name in SIZES}
    for batch in make().batches():
        seen[batch.task] += batch.rows.tolist()
    for name in ("middle", "small"):
        per_epoch = SIZES[name] // 16 * 16
        for start in range(0, len(seen[name]) - per_epoch, per_epoch):
            assert len(set(seen[name][start : start + per_epoch])) == per_epoch
    orders = [seen["small"][:32], seen["small"][32:64]]
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("alpha", "cap"), [(1.0, None), (0.5, None), (0.7, 400), (0.0, None)])
def test_tasks_come_by_size_at_any_time(alpha, cap):
    sampler = make(alpha=alpha, cap=cap)
    weights = {n: min(s, cap or s) ** alpha for n, s in SIZES.items() if s >= 16}
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        assert sampler.probabilities[name] == pytest.approx(share)
        come = np.cumsum([task == name for task in sampler.tasks])
        assert np.abs(come - share * np.arange(1, 2001)).max() <= 1 + len(weights) * share


def test_the_order_is_another_with_each_seed():
    first = [TaskBatchSampler({"a": 300, "b": 100}, 2, 40, alpha=1.0, seed=seed).tasks for seed in range(400)]
    assert len({tuple(tasks) for tasks in first}) > 10
    before = np.mean([tasks.index("b") for tasks in first])  # b comes first at u / 0.25, among the others
    assert 1.3 < before < 1.7  # 0.5 / 0.25 * 0.75


def test_a_step_says_all():
    first, second = make(), make()
    for step in (0, 1, 777, 1999):  # not in order, and without those between
        assert first.batch(step).task == second.batch(step).task
        assert np.array_equal(first.batch(step).rows, second.batch(step).rows)
    rest = list(make().batches(start=1990))
    assert [b.step for b in rest] == list(range(1990, 2000))
    assert any(not np.array_equal(first.batch(s).rows, make(seed=4).batch(s).rows) for s in range(5))


def test_small_tasks_are_left_out_and_told(capsys):
    sampler = make()
    sampler.warn()
    assert "left out: 1 tasks with fewer than 16 examples: tiny" in capsys.readouterr().err
    assert "tiny" not in sampler.tasks
    with pytest.raises(MixtureError, match="no task has 5000 examples, a global batch; the largest has 4000"):
        TaskBatchSampler(SIZES, 5000, 10)
