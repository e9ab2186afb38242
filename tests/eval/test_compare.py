"""Comparisons: paired differences against plain resampling, Holm's correction, and what cannot be compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.compare import Difference, _holm, compare
from eval.records import Category, EvalDataError
from eval.runs import find_run
from tests.eval.conftest import copy_sets, rows_of, write_rows


@pytest.fixture(scope="module")
def two(tmp_path_factory, cli):
    """Three runs on three sets; a test that changes them takes a copy."""
    folder = tmp_path_factory.mktemp("compared")
    output = folder / "runs"
    assert (
        cli(
            [
                "--suite",
                "all",
                "--data",
                copy_sets(folder / "data"),
                "--output",
                output,
                "--quiet",
                "--models",
                "default,default@none,random",
            ]
        )
        == 0
    )
    return output


def test_differences_are_of_the_same_units(two):
    first, second = find_run("instructor-minilm@none", two), find_run("instructor-minilm", two)
    found = compare(first, second, num_resamples=2000)
    assert [d.name for d in found.tasks] == ["LibraryQuestions", "EverydaySentences", "FileCommands"]
    for d in found.tasks:
        one, other = first.results[d.name], second.results[d.name]
        assert d.difference == pytest.approx(100 * (other.score - one.score)) and d.low <= d.difference <= d.high
    # program similarity is a mean over the ten commands: resample the paired differences by hand
    values = [run.results["FileCommands"].units().groups[0].arrays["values"] for run in (first, second)]
    deltas = values[1] - values[0]
    rng = np.random.default_rng(5)
    by_hand = np.array([deltas[rng.integers(10, size=10)].mean() for _ in range(4000)])
    programs = found.tasks[2]
    assert programs.high - programs.low == pytest.approx(100 * np.ptp(np.quantile(by_hand, [0.025, 0.975])), rel=0.1)
    averages = {d.name: d for d in found.averages}
    assert averages["average of categories"].difference == pytest.approx(np.mean([d.difference for d in found.tasks]))


def test_a_run_and_itself(two):
    run = find_run("instructor-minilm", two)
    found = compare(run, run, num_resamples=200)
    assert all(d.difference == d.low == d.high == 0 and d.p_value == 1 and not d.is_significant for d in found.tasks)


def test_a_real_difference_is_marked(two, capsys, cli):
    assert cli(["compare", "random", "instructor-minilm", "--output", str(two), "--resamples", "2000"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("EverydaySentences"))
    assert row.endswith("*") and "significantly better on" in shown
    assert cli(["compare", "random", "instructor-minilm", "--output", str(two), "--json"]) == 0
    values = {d["name"]: d for d in json.loads(capsys.readouterr().out)["tasks"]}
    assert values["EverydaySentences"]["is_significant"] and values["EverydaySentences"]["p_value"] < 0.01


def test_a_comparison_as_markdown(two, capsys, cli):
    assert cli(["compare", "random", "instructor-minilm", "--output", two, "--resamples", "200", "--markdown"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {7} and rows[2][0] == "| LibraryQuestions"
    assert rows[-1][0] == "| **average of categories**"


def test_holm_by_hand():
    def difference(name, p):
        return Difference(name, Category.STS, 0, 0, 0, 0, 0, p)

    # thresholds for four: .05/4 = .0125, .05/3 = .0167, .05/2 = .025, .05
    marked = {
        d.name: d.is_significant
        for d in _holm([difference(n, p) for n, p in (("a", 0.04), ("b", 0.012), ("c", 0.016), ("d", 0.03))])
    }
    assert marked == {"b": True, "c": True, "d": False, "a": False}


def test_other_data_is_left_out(two, data, tmp_path, cli):
    two = Path(shutil.copytree(two, tmp_path / "runs"))
    path = data / "sts/EverydaySentences/test.jsonl"
    write_rows(path, rows_of(path)[:-2])
    assert cli(["--suite", "sts", "--data", str(data), "--output", str(two), "--quiet"]) == 0
    found = compare(find_run("instructor-minilm@none", two), find_run("instructor-minilm", two), num_resamples=100)
    assert len(found.tasks) == 2 and found.left_out["EverydaySentences"].startswith("other data: ")


def test_runs_that_share_nothing(two):
    one, other = find_run("random", two), find_run("instructor-minilm", two)
    other.results = {}
    with pytest.raises(EvalDataError, match="nothing to compare between 'random .local.' and"):
        compare(one, other)
    with pytest.raises(EvalDataError, match="no run 'nobody' in .*; there is: 'instructor-minilm .local.'"):
        find_run("nobody", two)


def test_units_that_are_damaged_or_of_another_score_are_not_compared(two, tmp_path):
    two = Path(shutil.copytree(two, tmp_path / "runs"))
    first, second = find_run("instructor-minilm@none", two), find_run("instructor-minilm", two)
    paths = [second.results[name].units_path for name in ("LibraryQuestions", "EverydaySentences")]
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    shutil.copy(first.results["EverydaySentences"].units_path, paths[1])
    found = compare(first, second, num_resamples=100)
    assert [d.name for d in found.tasks] == ["FileCommands"]
    assert all("units" in found.left_out[name] for name in ("LibraryQuestions", "EverydaySentences"))


def test_a_damaged_description_is_one_line(two, tmp_path, capsys, cli):
    two = Path(shutil.copytree(two, tmp_path / "runs"))
    description = find_run("random", two).folder / "details/run.json"
    description.write_text('{"label": "ran')
    assert cli(["runs", "--output", two]) == 1
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1 and str(description) in shown and "run that evaluation again" in shown
