"""Prompt retrieval with a language model: its answers are scored, and its results stand beside the others."""

import json
from pathlib import Path

import pytest

from eval.records import Context
from eval.runs import read_runs
from eval.sources import choose_source
from instructor_search.in_context.llm import LocalModel
from tests.eval.conftest import rows_of, write_rows


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def ask(data, output, cli, capsys):
    """Run FileCommands with the given arguments; return the exit code, the runs and what was said."""

    def run(*more):
        code = cli(["--suite", "FileCommands", "--data", data, "--output", output, "--json", *more])
        shown = capsys.readouterr()
        return code, json.loads(shown.out or "{}").get("runs", []), shown.err

    return run


def of(endpoint, name="tiny"):
    return ["--llm-endpoint", endpoint.url, "--llm-model", name]


def test_the_tasks_own_metric_is_the_score(data, endpoint, ask):
    pool, test = (rows_of(data / f"icl/FileCommands/{s}.jsonl") for s in ("train", "test"))
    near = [{"input": row["input"] + " please", "output": row["output"] + " ;"} for row in test[:4]]
    write_rows(data / "icl/FileCommands/train.jsonl", pool + near)
    code, (run,), _ = ask(*of(endpoint), "--demonstrations", "4")
    values = json.loads((Path(run["folder"]) / "FileCommands.json").read_text())
    scores = values["scores"]["test"][0]
    # the model repeats the output of the nearest example, which stands last in the prompt
    said = [r[2]["messages"][0]["content"].split("Output: ")[-1].split("\n")[0] for r in endpoint.requests]
    assert code == 0 and len(said) == len(test) and set(said) <= {r["output"] for r in pool + near}
    expected = sum(s.removesuffix(" ;") == t["output"] for s, t in zip(said, test, strict=True)) / len(test)
    assert scores["llm_exact_match"] == scores["main_score"] == pytest.approx(expected) and expected >= 0.4
    assert values["instructor_search"]["metric"] == "llm_exact_match"
    assert scores["demonstrations_per_prompt"] == 4.0 and expected < scores["llm_rouge_l"] <= 1
    assert values["instructor_search"]["settings"] == {
        "seed": 42,
        "protocol": 1,
        "num_demonstrations": 4,
        "llm": f"tiny at {endpoint.url}",
        "prompt_tokens": 1000,
    }


def test_results_of_several_models_and_of_none_stand_side_by_side(endpoint, ask, output):
    for more in ([], of(endpoint), of(endpoint, "other"), of(endpoint)):
        assert ask(*more)[0] == 0
    runs = {run.label: run.results["FileCommands"] for run in read_runs(output)}
    assert len(runs) == 3 and len(endpoint.requests) == 20  # the second time it is known
    plain = runs.pop("instructor-minilm")
    assert plain.metric == "program_similarity"
    assert sorted(label.rpartition("-")[0] for label in runs) == [
        "instructor-minilm+llm=other",
        "instructor-minilm+llm=tiny",
    ]
    assert {result.metric for result in runs.values()} == {"llm_exact_match"}


def test_a_dead_endpoint_fails_the_task_at_once_and_keeps_the_earlier_result(data, endpoint, ask, output):
    assert ask(*of(endpoint))[0] == 0
    endpoint.failures = [404] * 99
    code, (run,), err = ask(*of(endpoint), "--overwrite")
    assert code == 3 and "HTTP 404" in err and "FileCommands" in run["failures"] and not run["results"]
    endpoint.failures = []
    before = len(endpoint.requests)
    code, (run,), err = ask(*of(endpoint))
    assert code == 0 and "0 run, 1 known, 0 failed" in err and len(endpoint.requests) == before
    assert not read_runs(output)[0].failures


def test_nobody_listens(ask):
    code, _, err = ask("--llm-endpoint", "http://127.0.0.1:9/v1", "--llm-model", "tiny")
    assert code == 3 and "http://127.0.0.1:9/v1/chat/completions did not answer" in err


def test_a_local_model_chooses_among_labels_within_its_window(tiny_llm, default_system, tmp_path):
    """The model was taught "red is a colour" and the like; its window of 64 tokens holds 48 of prompt."""
    things = {"red": "colour", "cat": "animal", "oak": "tree", "june": "month"}
    pool = [{"input": f"{word} {n}", "output": kind} for n in range(3) for word, kind in things.items()]
    write_rows(tmp_path / "icl/Kinds/train.jsonl", pool)
    write_rows(tmp_path / "icl/Kinds/test.jsonl", [{"input": w, "output": k} for w, k in things.items()])
    (tmp_path / "icl/Kinds/meta.json").write_text(json.dumps({"output_kind": "label"}))
    (task,) = choose_source(str(tmp_path)).tasks
    model = LocalModel(str(tiny_llm), device="cpu")
    outcome = task.evaluate(default_system, task.info.sides("none"), Context(tmp_path, num_demonstrations=8, llm=model))
    scores = outcome.scores
    assert outcome.metric == "llm_accuracy" and scores["main_score"] == scores["llm_accuracy"]
    assert 0 < scores["demonstrations_per_prompt"] <= 7  # "Input: red 0", "Output: colour" are seven tokens
    assert "the model's window leaves 48 of 1000 tokens to a prompt" in outcome.notes
    assert set(outcome.units.groups[0].arrays["values"]) <= {0.0, 1.0}
