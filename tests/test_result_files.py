"""What eval writes is read in one place: the page and the report show the same scores, also beside broken files."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from eval.records import Category, Outcome, TaskInfo
from eval.report import write_reports
from eval.results import facts_of, write_failure, write_result
from eval.runs import Run, read_runs, write_run
from eval.units import Units, means
from instructor_search import result_files
from instructor_search.instructions import InstructionPair
from instructor_search.result_files import ResultFileError, read_run, read_score
from ui import results as page
from ui.render import results as html

BROKEN = {
    "cut.json": '{"task_name": "STS12", "scores": {"te',
    "other.json": '{"name": "another program", "version": 3}',
    "list.json": "[1, 2, 3]",
    "number.json": "5",
    "deep.json": "[" * 100_000,
    "bytes.json": b"\xff\xfe\x00",
    "huge.json": '{"task_name": "H", "scores": {"test": [{"main_score": 1' + "0" * 400 + "}]}, "
    '"instructor_search": {"category": "sts", "metric": "m"}}',
    "ends.json": '{"task_name": "E", "scores": {"test": [{"main_score": 0.5}]}, '
    '"instructor_search": {"category": "sts", "metric": "m", "interval_95": ["a", "b"]}}',
    "empty.json": '{"task_name": "N", "scores": {}, "instructor_search": {"category": "sts", "metric": "m"}}',
}
META = SimpleNamespace(to_dict=lambda: {"name": "toy/model", "revision": "r"})


def info_of(name, category):
    sides = InstructionPair("Represent it: ", "Represent it: ")
    return TaskInfo(
        name=name,
        category=category,
        metric="accuracy",
        instruction=sides,
        variants={"none": InstructionPair("", "")},
        domain="general",
        is_specialised=False,
        revision="1",
        source="local",
        num_bytes=0,
    )


def write(folder, values_of):
    """Write a run of ``values_of``: task -> (category, value of each of its units)."""
    for name, (category, values) in values_of.items():
        info = info_of(name, category)
        facts = facts_of(info, info.instruction, {"precision": "fp32"}, {"seed": 42}, "default")
        outcome = Outcome({"main_score": float(np.mean(values))}, Units((means(values),)))
        write_result(folder, info, outcome, facts, seconds=1.5, num_resamples=200, seed=0)
    return folder


@pytest.fixture
def output(tmp_path):
    """Two runs of two and three tasks, one of which has failed since; broken files lie beside them."""
    rng = np.random.default_rng(0)
    sets = {"STS12": Category.STS, "Banking77": Category.CLASSIFICATION, "NFCorpus": Category.RETRIEVAL}
    for label, names in (("one", ("STS12", "Banking77")), ("two", tuple(sets))):
        folder = tmp_path / "results" / label / "r"
        write_run(Run(folder, label, "local", "f" * 16, reranker="words"), META)
        write(folder, {name: (sets[name], rng.random(5 if name == "Banking77" else 40)) for name in names})
        for name, content in BROKEN.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    write_failure(folder, info_of("NFCorpus", sets["NFCorpus"]), "no memory", "Traceback ...")
    return tmp_path


def test_the_page_and_the_report_have_the_same_scores(output, tmp_path):
    shown = {
        (run.label, run.source, name): (s.category, s.metric, s.score, s.low, s.high)
        for run in page.read_runs(output)
        for name, s in run.scores.items()
    }
    reported = {
        (run.label, run.source, name): (str(r.category), r.metric, r.score, r.low, r.high)
        for run in read_runs(output)
        for name, r in run.results.items()
    }
    assert shown == reported
    assert sorted(shown) == [(label, "local", name) for label in ("one", "two") for name in ("Banking77", "STS12")]
    assert all((low is None) == (name == "Banking77") for (*_, name), (*_, low, _) in shown.items())  # 5 units
    text, (report, _) = html.runs(page.read_runs(output)), write_reports(read_runs(output), tmp_path / "report")
    written = report.read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(page.as_csv(page.read_runs(output))))
    for row, (_, _, score, *_) in zip(rows, shown.values(), strict=True):
        assert row["score"] == f"{100 * score:.2f}" and row["score"] in text and row["score"] in written


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_no_score(output, name):
    with pytest.raises(ResultFileError, match=f"{name} is no result of this project"):
        read_score(output / "results/one/r" / name)


def test_a_run_says_what_it_is(output):
    run = read_run(output / "results/two/r")
    assert (run.title, run.fingerprint, run.precision, run.reranker) == ("two (local)", "f" * 16, "fp32", "words")
    assert run.failures["NFCorpus"][1:] == ("retrieval", "no memory")
    score = run.scores["STS12"]
    assert (
        score.facts["seconds"] == 1.5 and score.facts["num_resamples"] == 200 and score.low < score.score < score.high
    )


@pytest.mark.parametrize("content", ['{"label": "on', '{"label": "one"}', "[]", "5"])
def test_a_damaged_run_is_an_error_in_eval_and_passed_over_by_the_page(output, content):
    path = output / "results/one/r" / result_files.RUN_FILE
    path.write_text(content)
    with pytest.raises(ResultFileError, match=f"{path} .*; run that evaluation again, or delete its folder"):
        read_runs(output)
    assert [run.label for run in page.read_runs(output)] == ["two"]


def test_a_damaged_failure_is_an_error_in_eval_and_passed_over_by_the_page(output):
    path = result_files.failure_file(output / "results/two/r", "NFCorpus")
    path.write_text(json.dumps(json.loads(path.read_text()))[:20])
    with pytest.raises(ResultFileError, match="NFCorpus.json cannot be read"):
        read_runs(output)
    assert list(page.read_runs(output)[1].scores) == ["Banking77", "NFCorpus", "STS12"]


def test_a_category_of_another_version_is_shown_by_the_page_alone(output):
    path = result_files.score_file(output / "results/one/r", "STS12")
    values = json.loads(path.read_text())
    values[result_files.FACTS]["category"] = "dancing"
    path.write_text(json.dumps(values))
    assert list(read_runs(output)[0].results) == ["Banking77"]
    assert page.read_runs(output)[0].scores["STS12"].category == "dancing"
