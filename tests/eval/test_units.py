"""Scores recomputed from units, and their bootstrap, against scipy, scikit-learn and plain resampling."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, v_measure_score

from eval.units import Group, Units, interval, means

RNG = np.random.default_rng(7)
N = 60
TIED = np.round(RNG.normal(size=N), 1)
GOLD = np.round(TIED + RNG.normal(size=N), 1)
LABELS = RNG.integers(0, 2, N)
CLASSES, CLUSTERS = RNG.integers(0, 4, N), RNG.integers(0, 5, N)

CASES = {
    "spearman": (
        Group("spearman", {"first": TIED, "second": GOLD}),
        lambda rows: spearmanr(TIED[rows], GOLD[rows]).statistic,
    ),
    "pearson": (Group("pearson", {"first": TIED, "second": GOLD}), lambda rows: pearsonr(TIED[rows], GOLD[rows])[0]),
    "average_precision": (
        Group("average_precision", {"scores": TIED, "labels": LABELS.astype(float)}),
        lambda rows: average_precision_score(LABELS[rows], TIED[rows]),
    ),
    "v_measure": (
        Group("v_measure", {"labels": CLASSES, "clusters": CLUSTERS}),
        lambda rows: v_measure_score(CLASSES[rows], CLUSTERS[rows]),
    ),
    "ratio": (means(TIED, np.arange(1, N + 1)), lambda rows: TIED[rows].sum() / (rows + 1).sum()),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_score_of_all_units_is_the_metric(kind):
    group, metric = CASES[kind]
    assert Units((group,)).score() == pytest.approx(metric(np.arange(N)), abs=1e-12)


@pytest.mark.parametrize("kind", CASES)
def test_a_resampled_score_is_the_metric_of_the_drawn_rows(kind):
    group, metric = CASES[kind]
    draws = RNG.integers(N, size=(20, N))
    counts = np.array([np.bincount(d, minlength=N) for d in draws])
    expected = [metric(np.sort(d)) for d in draws]
    assert group.statistic(counts) == pytest.approx(expected, abs=1e-9)


def test_units_of_several_items_are_drawn_whole():
    unit = np.repeat(np.arange(20), 3)
    group = Group("pearson", {"first": TIED, "second": GOLD, "unit": unit})
    assert group.num_units == 20
    chosen = RNG.integers(20, size=20)
    rows = np.concatenate([np.flatnonzero(unit == c) for c in chosen])
    got = group.statistic(np.bincount(chosen, minlength=20)[None])[0]
    assert got == pytest.approx(pearsonr(TIED[rows], GOLD[rows])[0], abs=1e-9)


def test_the_interval_of_a_mean_is_the_textbook_one():
    values = RNG.normal(0.4, 0.2, size=400)
    units = Units((means(values),))
    low, high = interval(units.resample(4000, seed=3))
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.002) and high == pytest.approx(
        values.mean() + half, abs=0.002
    )


def test_the_bias_of_v_measure_is_taken_out():
    labels = RNG.integers(0, 30, 200)  # many labels, few texts: a bootstrap sample looks purer than the whole
    clusters = np.where(RNG.random(200) < 0.5, labels, RNG.integers(0, 30, 200))
    group = Group("v_measure", {"labels": labels, "clusters": clusters})
    units = Units((group,))
    counts = np.array([np.bincount(RNG.integers(200, size=200), minlength=200) for _ in range(300)])
    assert group.statistic(counts).mean() > units.score() + 0.02
    samples = units.resample(500, seed=0)
    low, high = interval(samples)
    assert samples.mean() == pytest.approx(units.score(), abs=1e-9) and low < units.score() < high


def test_samples_that_are_no_numbers_are_left_out():
    assert interval(np.array([0.1, np.nan, 0.3])) == pytest.approx((0.105, 0.295))
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_resampling_holds_few_weights_at_a_time():
    """Segments of many items: what is held grows with the items, not with the segments."""
    from eval import units as module

    unit = np.repeat(np.arange(100), 60)
    values = RNG.normal(size=6000)
    group = Group("pearson", {"first": values, "second": values + RNG.normal(size=6000), "unit": unit})
    sizes = [len(counts) for counts in module._draws(group, 2000, (0, 0))]
    assert sum(sizes) == 2000 and max(sizes) * 6000 <= module._CELLS


def test_a_task_of_several_sets_is_their_mean():
    groups = (means([1.0, 0.0, 1.0]), means([0.0, 0.0]))
    assert Units(groups).score() == pytest.approx((2 / 3 + 0) / 2)


def test_draws_depend_on_seed_and_size_alone():
    first, second = Units((means(TIED),)), Units((means(2 * TIED),))
    assert second.resample(50, seed=1) == pytest.approx(2 * first.resample(50, seed=1), abs=1e-12)
    assert not np.allclose(first.resample(50, seed=1), first.resample(50, seed=2))


def test_units_come_back_from_disk(tmp_path):
    units = Units(
        (
            CASES["spearman"][0],
            CASES["v_measure"][0],
            Group("pearson", {"first": TIED, "second": GOLD, "unit": np.arange(N) // 2}),
        )
    )
    units.save(tmp_path / "units.npz")
    again = Units.load(tmp_path / "units.npz")
    assert [g.kind for g in again.groups] == ["spearman", "v_measure", "pearson"]
    assert again.score() == units.score() and np.array_equal(again.resample(9, 0), units.resample(9, 0))
