"""Runs from the command line: tables, resumption, failures, interruption, and files that mteb's tools load."""

import json
import re
import shutil
from pathlib import Path

import pytest

from eval import runner
from eval.runs import find_run, read_runs
from eval.sources import BUNDLED
from tests.eval.conftest import rows_of, write_rows


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def evaluate(cli):
    def run(*arguments, output):
        return cli(["--quiet", "--output", output, *arguments])

    return run


def test_a_table_ends_the_run_and_a_second_run_does_nothing_again(data, output, capsys, cli):
    assert cli(["--suite", "all", "--data", str(data), "--output", str(output)]) == 0
    first = capsys.readouterr()
    lines = first.out.splitlines()
    assert lines[0].split() == ["task", "metric", "instructor-minilm"]
    assert [line.split()[0] for line in lines[2:] if line] == [
        "LibraryQuestions",
        "pair-classification",
        "EverydaySentences",
        "sts",
        "FileCommands",
        "prompt-retrieval",
        "average",
        "average",
    ]
    assert "3 run, 0 known, 0 failed" in first.err and "data: local" in first.err
    before = {p: p.stat().st_mtime_ns for p in (output / "results").rglob("*.npz")}
    assert cli(["--suite", "all", "--data", str(data), "--output", str(output)]) == 0
    second = capsys.readouterr()
    assert second.out == first.out and "0 run, 3 known, 0 failed" in second.err
    assert {p: p.stat().st_mtime_ns for p in (output / "results").rglob("*.npz")} == before
    assert cli(["--suite", "sts", "--data", str(data), "--output", str(output), "--overwrite"]) == 0
    assert "1 run, 0 known" in capsys.readouterr().err


def test_the_result_says_what_made_it(data, output, capsys, evaluate):
    assert evaluate("--suite", "sts", "--data", data, "--json", output=output) == 0
    printed = json.loads(capsys.readouterr().out)["runs"][0]
    path = Path(printed["folder"]) / "EverydaySentences.json"
    values = json.loads(path.read_text())
    facts = values["instructor_search"]
    assert values["task_name"] == "EverydaySentences" and values["dataset_revision"] == facts["data"]["revision"]
    assert facts["instruction"]["query"] == "Represent the everyday sentence for measuring semantic similarity: "
    assert (facts["runtime"], facts["precision"]) == ("openvino", "fp32") and len(facts["fingerprint"]) == 16
    assert facts["settings"] == {"seed": 42, "protocol": 1} and {"mteb", "torch", "numpy", "instructor-search"} <= set(
        facts["packages"]
    )
    low, high = facts["interval_95"]
    score = values["scores"]["test"][0]["main_score"]
    assert low < score < high and printed["results"]["EverydaySentences"]["score"] == score
    assert values["evaluation_time"] > 0 and values["date"].startswith("20")


def test_changed_data_or_instructions_are_run_again(data, output, capsys, cli):
    def run(*more):
        assert cli(["--suite", "sts", "--data", str(data), "--output", str(output), *more]) == 0
        return capsys.readouterr().err

    assert "1 run, 0 known" in run()
    path = data / "sts/EverydaySentences/test.jsonl"
    write_rows(path, rows_of(path)[:-1])
    assert "1 run, 0 known" in run() and "0 run, 1 known" in run()
    meta = data / "sts/EverydaySentences/meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"instruction": {"text": "Represent it: "}}))
    assert "1 run, 0 known" in run()
    assert "1 run, 0 known" in run("--seed", "7")
    assert "0 run, 1 known" in run("--seed", "7", "--cluster-seeds", "3")  # of clustering alone


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("textgen/PictureCaptions", {"metric": "Kendall-tau-like"}),
        ("icl/FileCommands", {"output_kind": "text"}),
        ("icl/FileCommands", {"task_description": "Say the command."}),
    ],
)
def test_a_description_that_changes_what_is_measured_is_run_again(path, change, tmp_path, output, capsys, cli):
    folder = shutil.copytree(BUNDLED / path, tmp_path / "data" / path)

    def run():
        assert cli(["--suite", "all", "--models", "random", "--data", tmp_path / "data", "--output", output]) == 0
        return capsys.readouterr().err

    assert "1 run, 0 known" in run() and "0 run, 1 known" in run()
    meta = folder / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | change))
    assert "1 run, 0 known" in run() and "0 run, 1 known" in run()


def test_a_result_of_an_earlier_version_is_still_known(data, output, capsys, cli):
    words = ["--suite", "FileCommands", "--models", "random", "--data", data, "--output", output]
    assert cli(words) == 0
    (path,) = (output / "results").rglob("FileCommands.json")
    values = json.loads(path.read_text())
    for key in ("measure", "task_description"):
        del values["instructor_search"][key]
    path.write_text(json.dumps(values))
    capsys.readouterr()
    assert cli(words) == 0 and "0 run, 1 known" in capsys.readouterr().err


def test_more_seeds_of_k_means_are_another_score(output, capsys, cli):
    def run(*more):
        assert cli(["--suite", "ShortNotices", "--data", "bundled", "--output", str(output), *more]) == 0
        return capsys.readouterr().err

    assert "1 run, 0 known" in run()
    several = run("--cluster-seeds", "3")
    assert "1 run, 0 known" in several and "mean of 3 seeds of k-means, standard deviation" in several
    assert "0 run, 1 known" in run("--cluster-seeds", "3") and "1 run, 0 known" in run()


def test_a_failing_task_is_recorded_and_the_rest_goes_on(data, output, capsys, cli):
    path = data / "pairclassification/LibraryQuestions/test.jsonl"
    good = path.read_text()
    write_rows(path, [row for row in rows_of(path) if row["label"] == 1])
    code = cli(["--suite", "all", "--data", str(data), "--output", str(output)])
    shown = capsys.readouterr()
    assert code == 3
    assert "failed: LibraryQuestions (instructor-minilm)" in shown.err and "all 18 rows have the label 1" in shown.err
    assert "2 run, 0 known, 1 failed" in shown.err and "Traceback" not in shown.err
    row = next(line for line in shown.out.splitlines() if line.startswith("LibraryQuestions"))
    assert row.split()[-1] == "failed"
    assert "average of sets (2 of 3)" in shown.out
    (run,) = read_runs(output)
    assert "expected two labels or more" in run.failures["LibraryQuestions"].reason and len(run.results) == 2
    path.write_text(good)
    assert cli(["--suite", "all", "--data", str(data), "--output", str(output)]) == 0
    assert "1 run, 2 known, 0 failed" in capsys.readouterr().err
    assert not read_runs(output)[0].failures


def test_an_old_score_does_not_outlive_a_failure(data, output, capsys, evaluate):
    assert evaluate("--suite", "sts", "--data", data, output=output) == 0
    (data / "sts/EverydaySentences/test.jsonl").write_text("{}\n")
    assert evaluate("--suite", "sts", "--data", data, output=output) == 3
    (run,) = read_runs(output)
    assert not run.results and "line 1: 'sentence1' is nothing" in run.failures["EverydaySentences"].reason


def test_ctrl_c_keeps_what_is_done(data, output, capsys, monkeypatch, cli):
    real, calls = runner.write_result, []

    def interrupted(folder, info, *args, **options):
        calls.append(info.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(folder, info, *args, **options)

    monkeypatch.setattr(runner, "write_result", interrupted)
    assert cli(["--suite", "all", "--data", str(data), "--output", str(output)]) == 130
    shown = capsys.readouterr()
    assert "interrupted; run the same command again to go on" in shown.err and "LibraryQuestions" in shown.out
    assert not list(output.glob(".working-*"))
    monkeypatch.setattr(runner, "write_result", real)
    assert cli(["--suite", "all", "--data", str(data), "--output", str(output)]) == 0
    assert "2 run, 1 known" in capsys.readouterr().err


def test_a_result_that_was_cut_short_is_run_again(data, output, capsys, cli, evaluate):
    evaluate("--suite", "sts", "--data", data, output=output)
    (path,) = (output / "results").rglob("EverydaySentences.json")
    path.write_text(path.read_text()[:200])
    capsys.readouterr()
    assert cli(["--suite", "sts", "--data", str(data), "--output", str(output)]) == 0
    assert "1 run, 0 known" in capsys.readouterr().err


def test_mteb_loads_what_was_written(data, output, evaluate):
    import mteb
    from mteb.results import TaskResult

    assert evaluate("--suite", "all", "--data", data, "--models", "default,default@none", output=output) == 0
    cache = mteb.ResultCache(output)
    loaded = cache.load_results(load_experiments="match_name", validate_and_filter=False)
    found = {(m.model_name, r.task_name): r.get_score() for m in loaded.model_results for r in m.task_results}
    assert {name for _, name in found} == {"LibraryQuestions", "EverydaySentences", "FileCommands"}
    assert {model for model, _ in found} == {"instructor-search/instructor-minilm"}
    assert len(loaded.model_results) == 2  # with and without instructions are two experiments
    run = find_run("instructor-minilm", output)
    result = TaskResult.from_disk(run.results["EverydaySentences"].path)
    assert result.get_score() == run.results["EverydaySentences"].score
    assert run.folder.parts[-5:-2] == (
        "results",
        "instructor-search__instructor-minilm",
        run.results["FileCommands"].facts["fingerprint"],
    )


@pytest.mark.slow
def test_models_side_by_side(tmp_path, output, capsys, evaluate):
    folder = tmp_path / "data"
    for path in ("retrieval/GardenAnswers", "reranking/MuseumQuestions", "sts/EverydaySentences"):
        shutil.copytree(BUNDLED / path, folder / path)
    models = "default,default@none,st:default,bm25,random"
    assert evaluate("--suite", "all", "--data", folder, "--models", models, "--json", output=output) == 0
    runs = {run["label"]: run["results"] for run in json.loads(capsys.readouterr().out)["runs"]}
    score = {label: {task: r["score"] for task, r in results.items()} for label, results in runs.items()}
    assert set(score["bm25"]) == {"GardenAnswers", "MuseumQuestions"}  # words say nothing of a similarity
    for task in ("GardenAnswers", "MuseumQuestions", "EverydaySentences"):
        assert score["st:instructor-minilm"][task] == pytest.approx(score["instructor-minilm@none"][task], abs=1e-4)
    assert (
        score["random"]["GardenAnswers"]
        < 0.25
        < score["bm25"]["GardenAnswers"]
        < score["instructor-minilm"]["GardenAnswers"]
    )
    assert abs(score["random"]["EverydaySentences"]) < 0.4
    assert evaluate("--suite", "all", "--data", folder, "--models", models, output=output) == 0
    shown = capsys.readouterr().out
    lines = {cells[0]: cells for cells in (re.split(r"\s{2,}", line) for line in shown.splitlines())}
    assert lines["EverydaySentences"][5] == "-" != lines["GardenAnswers"][5]  # bm25
    average = lines["average of sets (3 of 3)"]  # its metric is empty, so the columns are one to the left
    assert [("[" in cell) for cell in average[1:]] == [True, True, True, False, True]


def test_the_whole_bundled_suite_as_the_readme_says(output, capsys, monkeypatch, cli):
    monkeypatch.delenv("INSTRUCTOR_SEARCH_EVAL_DATA", raising=False)
    assert cli(["--suite", "all", "--output", str(output)]) == 0
    shown = capsys.readouterr()
    assert "data: bundled (neither --data DIR nor INSTRUCTOR_SEARCH_EVAL_DATA names a folder; --data hub" in shown.err
    assert shown.out.rstrip().endswith("bundled sets: a check of the machinery, not of the model")
    assert shown.out.count(" (1 of 1)") == 8 and "prompt-retrieval (2 of 2)" in shown.out
    assert (output / "report.html").is_file() and (output / "report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--suite", "nothing"], 1, "unknown suite or task: nothing"),
        (["--suite", "sts", "--models", "default@loud"], 1, "no variant 'loud'; expected one of default, none, tag"),
        (["--suite", "sts", "--models", "/no/such/model"], 1, "no model folder '/no/such/model'"),
        (["--suite", "sts", "--models", "collection:loud"], 1, "'collection:loud' is no collection"),
        (["--suite", "sts", "--models", "default,default"], 0, ""),
        (["--suite", "sts", "--instructions", "none.json"], 1, "none.json cannot be read as instructions"),
        (["--suite", "sts", "--models", ""], 1, "--models names nothing; expected what to evaluate, e.g. default"),
        (["--suite", "sts", "--models", "bm25"], 1, "none of the tasks chosen is for bm25, which does reranking, retr"),
        (["--suite", "robustness", "--instructions", "short"], 1, "a study chooses the variants itself"),
        (["--suite", "sts", "--llm-endpoint", "http://x/v1"], 1, "--llm-model NAME is missing"),
        (
            ["--suite", "robustness,sts", "--models", "bm25"],
            1,
            "it takes no instructions, so there is nothing to study",
        ),
        (["--suite", "robustness,sts", "--models", "default@none"], 1, "a study chooses the variants itself"),
        (["compare", "a", "b"], 1, "no run 'a' in"),
        (["report"], 1, "no runs in"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, code, message, data, output, capsys, cli):
    more = [] if arguments[0] in ("compare", "report") else ["--data", str(data), "--quiet"]
    assert cli([*arguments, *more, "--output", str(output)]) == code
    shown = capsys.readouterr().err
    assert message in shown and len(shown.strip().splitlines()) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which suite?"),
        (["--suite", "all", "--resamples", "0"], "'0'"),
        (["--suite", "all", "--seed", "-1"], "'-1' is no seed"),
        (["--suite", "all", "--seed", "4294967296"], "'4294967296' is no seed"),
    ],
)
def test_arguments_that_cannot_be_parsed(arguments, message, capsys, cli):
    with pytest.raises(SystemExit) as caught:
        cli(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_the_list_of_tasks(data, capsys, cli):
    assert cli(["--list", "--data", str(data), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "robustness, complexity, domain-shift" in shown and "Represent the library question" in shown
    assert cli(["--list", "--data", str(data), "--quiet", "--json"]) == 0
    assert {t["name"] for t in json.loads(capsys.readouterr().out)["tasks"]} == {
        "LibraryQuestions",
        "EverydaySentences",
        "FileCommands",
    }


def test_runs_are_listed(data, output, capsys, cli, evaluate):
    evaluate("--suite", "sts", "--data", data, "--models", "default,default@none", output=output)
    capsys.readouterr()
    assert cli(["runs", "--output", str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["instructor-minilm (local)", "instructor-minilm@none (local)"]
