"""A plan says what the run then does and writes nothing; another process gives the same scores."""

import json

import pytest

from eval import runner
from eval.config import EvalConfig
from eval.plan import PROTOCOL, plans
from eval.sources import choose_source
from instructor_search.engines import LocalEngine


@pytest.fixture
def words(data, tmp_path):
    return [
        "--suite",
        "all",
        "--models",
        "random,default@none",
        "--data",
        str(data),
        "--output",
        str(tmp_path / "runs"),
    ]


def planned(cli, capsys, words):
    capsys.readouterr()
    assert cli([*words, "--dry-run", "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)["plans"]


def test_the_run_does_what_the_dry_run_says(words, tmp_path, capsys, cli):
    first = planned(cli, capsys, words)
    assert [plan["model"] for plan in first] == ["random", "instructor-minilm@none"] and not (
        tmp_path / "runs"
    ).exists()
    assert all(plan["to_run"] and not plan["known"] and plan["bytes"] > 0 for plan in first)
    assert cli([*words, "--json", "--quiet"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [list(run["results"]) for run in runs] == [plan["to_run"] for plan in first]
    second = planned(cli, capsys, words)
    assert [plan["known"] for plan in second] == [plan["to_run"] for plan in first]
    assert not any(plan["to_run"] or plan["bytes"] for plan in second)
    assert planned(cli, capsys, [*words, "--overwrite"]) == first


def test_a_dry_run_tells_a_person(words, capsys, cli):
    assert cli([*words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("random: ") and "0 known" in lines[0] and lines[1].startswith("  ")
    assert cli(["--suite", "robustness", *words[2:], "--dry-run"]) == 1
    assert "leave out robustness" in capsys.readouterr().err


def test_a_task_whose_data_cannot_be_read_fails_and_the_rest_goes_on(words, data, tmp_path, capsys, cli):
    (data / "sts/EverydaySentences/test.jsonl").write_text("{")
    assert cli([*words, "--json", "--quiet"]) == 3
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert "EverydaySentences" in runs[0]["failures"] and "EverydaySentences" not in runs[0]["results"]
    assert len(runs[0]["results"]) >= 1


def test_another_process_gives_the_same_scores(data, tmp_path):
    source = choose_source(str(data))
    scores = []
    for name, engine in (("here", None), ("elsewhere", LocalEngine(1))):
        config = EvalConfig(suites=("all",), models=("random",), output=tmp_path / name)
        summary = runner.run(config, source.tasks, source.name, engine=engine)
        assert not summary.failures and PROTOCOL == 1
        scores.append({task: result.score for task, result in summary.runs[0].results.items()})
    assert scores[0] == scores[1] and len(scores[0]) >= 3


def test_one_system_at_a_time_is_held(data, tmp_path):
    import gc
    import weakref

    from eval.plan import first_context

    source = choose_source(str(data))
    config = EvalConfig(suites=("all",), models=("random", "default@none"), output=tmp_path)
    made = plans(config, source.tasks, source.name, first_context(config, tmp_path))
    first = weakref.ref(next(made).system)
    next(made)
    gc.collect()
    assert first() is None
