"""Several models, several calls and several processes on one folder of results."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval import runner
from eval.runs import distinct_labels, find_run, read_runs
from instructor_search.encoder.checkpoint import resolve_folder
from tests.conftest import ROOT
from tests.eval.conftest import rows_of, write_rows


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def sts(data, output, cli, capsys):
    def run(*more):
        code = cli(["--suite", "sts", "--data", data, "--output", output, *more])
        return code, capsys.readouterr()

    return run


def test_a_model_that_breaks_is_told_and_the_others_go_on(sts, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(resolve_folder(None)[0], broken)
    (path,) = broken.rglob("*.safetensors")
    weights = {name: weight.float() / 0 for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    code, shown = sts("--models", f"{broken},random")
    assert code == 3 and "Traceback" not in shown.err
    assert "failed: EverydaySentences (broken): encoder broken gave" in shown.err and "not finite" in shown.err
    row = next(line for line in shown.out.splitlines() if line.startswith("EverydaySentences"))
    assert "failed" in row and "[" in row
    path.write_bytes(path.read_bytes()[:1000])
    code, shown = sts("--models", f"random,{broken}")  # known before the first task
    assert code == 1 and len(shown.err.splitlines()) == 2 and str(path) in shown.err


def test_a_model_that_cannot_be_made_later_is_told_and_the_others_go_on(sts):
    code, shown = sts("--models", "bm25,random")
    assert code == 3 and "failed: bm25: none of the tasks chosen is for bm25" in shown.err
    assert "random" in shown.out.splitlines()[0]


def test_two_models_of_one_name_are_told_apart(sts, tmp_path, output):
    one, other = tmp_path / "one/model", tmp_path / "other/model"
    for folder in (one, other):
        shutil.copytree(resolve_folder(None)[0], folder)
    config = json.loads((other / "sentence_bert_config.json").read_text())
    (other / "sentence_bert_config.json").write_text(json.dumps(config | {"max_seq_length": 16}))
    code, shown = sts("--models", f"{one},{other}")
    assert code == 0
    prints = [run.fingerprint for run in read_runs(output)]
    assert len(set(prints)) == 2
    assert all(f"model#{p[:6]}" in shown.out.splitlines()[0] for p in prints)
    assert find_run(f"model#{prints[0][:6]}", output).fingerprint == prints[0]


@pytest.mark.parametrize("earlier", [False, True])
def test_two_precisions_of_one_model_are_told_apart(sts, output, capsys, cli, earlier):
    assert sts()[0] == 0 and sts("--precision", "bf16")[0] == 0
    if earlier:  # runs of versions that did not write it
        for path in output.rglob("run.json"):
            facts = json.loads(path.read_text())
            del facts["precision"]
            path.write_text(json.dumps(facts))
    assert cli(["compare", "instructor-minilm", "instructor-minilm", "--output", output]) == 1
    said = capsys.readouterr().err
    assert "'instructor-minilm+precision=fp32 (local)'" in said and "'instructor-minilm+precision=bf16 (local)'" in said
    names = [f"instructor-minilm+precision={name}" for name in ("fp32 (local)", "bf16")]
    assert cli(["compare", *names, "--output", output, "--resamples", "200"]) == 0
    head = capsys.readouterr().out.splitlines()[:2]
    assert [line.split()[1] for line in head] == [name.removesuffix(" (local)") for name in names]
    assert find_run(names[1], output).results["EverydaySentences"].facts["precision"] == "bf16"
    assert sorted(distinct_labels(read_runs(output))) == [
        "instructor-minilm+precision=bf16",
        "instructor-minilm+precision=fp32",
    ]


def test_two_rerankers_are_told_apart(output, capsys, cli):
    for domain in ("cooking", "gardening"):
        asked = f"instruction:Represent the {domain} sentence: "
        command = [
            "--data",
            "bundled",
            "--suite",
            "retrieval",
            "--models",
            "collection:text+rerank",
            "--reranker",
            asked,
        ]
        assert cli([*command, "--output", output]) == 0
    capsys.readouterr()
    runs = read_runs(output)
    label = "collection:text+rerank=instructor-minilm"
    assert distinct_labels(runs) == [
        f"{label}+reranker=instruction:Represent the {domain} sentence: " for domain in ("cooking", "gardening")
    ]
    assert [find_run(name, output).folder for name in distinct_labels(runs)] == [run.folder for run in runs]


def test_a_table_shows_what_this_call_asked_for(data, output, capsys, monkeypatch, cli):
    command = ["--data", data, "--output", output]
    assert cli(["--suite", "FileCommands", *command]) == 0
    capsys.readouterr()
    assert cli(["--suite", "sts", *command]) == 0
    assert "FileCommands" not in capsys.readouterr().out
    path = data / "sts/EverydaySentences/test.jsonl"
    write_rows(path, rows_of(path)[:-3])  # the old score is of other data: after Ctrl-C it must not be shown

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "write_result", interrupted)
    assert cli(["--suite", "sts", *command]) == 130
    shown = capsys.readouterr()
    assert "EverydaySentences" not in shown.out and "interrupted" in shown.err


def test_other_resamples_renew_the_interval_of_a_known_score(sts, output):
    assert sts("--resamples", "200")[0] == 0
    first = find_run("instructor-minilm", output).results["EverydaySentences"]
    code, shown = sts("--resamples", "900")
    second = find_run("instructor-minilm", output).results["EverydaySentences"]
    assert "0 run, 1 known" in shown.err and second.score == first.score
    assert second.facts["num_resamples"] == 900 and (second.low, second.high) != (first.low, first.high)


def test_what_a_killed_run_left_is_swept_away_and_what_a_living_one_has_is_not(sts, output):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living = output / f".working-{dead.pid}-abc", output / f".working-{os.getpid()}-abc"
    for folder in (left, living):
        (folder / "collection-1").mkdir(parents=True)
    assert sts()[0] == 0
    assert not left.exists() and living.exists()


@pytest.mark.slow
def test_two_processes_on_one_folder_of_results(data, output, embeddings):
    command = [sys.executable, "-m", "eval", "--suite", "all", "--data", str(data), "--output", str(output), "--quiet"]
    running = [
        subprocess.Popen([*command, "--models", f"{model},random"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for model in ("default", "default@none")
    ]
    assert [p.communicate()[0].count("average of sets (3 of 3)") for p in running] == [1, 1]
    assert [p.returncode for p in running] == [0, 0]
    runs = read_runs(output)
    assert [run.label for run in runs] == ["instructor-minilm", "instructor-minilm@none", "random"]
    assert all(len(run.results) == 3 and all(r.units() for r in run.results.values()) for run in runs)
    assert not [p for p in output.rglob("*") if p.name.endswith(".part") or p.name.startswith(".working")]
