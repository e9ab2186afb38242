"""The five studies: their numbers are those of the runs they make."""

import json

import numpy as np
import pytest

from eval.runs import find_run
from tests.eval.conftest import rows_of, write_rows

PAIRS = "pair-classification,prompt-retrieval"


@pytest.fixture
def study(data, tmp_path, capsys, cli):
    output = tmp_path / "runs"

    def run(name, *more, code=0):
        command = [
            "--suite",
            name,
            "--data",
            str(data),
            "--output",
            str(output),
            "--quiet",
            "--resamples",
            "300",
            *more,
        ]
        assert cli([*command, "--json"]) == code
        values = json.loads(capsys.readouterr().out)
        assert cli(command) == code
        return values, capsys.readouterr().out, output

    return run


def scores(output, variant, task):
    label = "instructor-minilm" + (f"@{variant}" if variant != "default" else "")
    return find_run(label, output).results[task].score


@pytest.mark.slow
def test_robustness(study):
    values, shown, output = study("robustness")
    rows = values["models"]["instructor-minilm"]
    for task in ("LibraryQuestions", "EverydaySentences", "FileCommands"):
        found = [scores(output, f"paraphrase-{n}", task) for n in range(1, 6)]
        row = rows[task]
        assert row["best"] == max(found) and row["worst"] == min(found) and len(set(found)) > 1
        assert row["gap"] == pytest.approx(max(found) - min(found)) and row["mean"] == pytest.approx(np.mean(found))
        assert row["interval_95"][0] < row["mean"] < row["interval_95"][1]
    gap = np.mean([r["gap"] for r in rows.values()])
    assert values["averages"]["instructor-minilm"]["gap"] == pytest.approx(gap)
    assert f"{100 * gap:.2f}" in shown.splitlines()[-1]
    for suffix in ("md", "json", "svg"):
        assert (output / f"studies/robustness.{suffix}").stat().st_size > 300
    assert "<svg" in (output / "studies/robustness.svg").read_text()[:200]


@pytest.mark.slow
def test_robustness_clusters_each_paraphrase_ten_times(tmp_path, cli):
    command = ["--suite", "robustness,ShortNotices", "--data", "bundled", "--output", str(tmp_path), "--quiet"]
    assert cli(command) == 0
    for n in range(1, 6):
        notes = find_run(f"instructor-minilm@paraphrase-{n}", tmp_path).results["ShortNotices"].facts["notes"]
        assert "mean of 10 seeds of k-means" in notes[0]


@pytest.mark.slow
def test_complexity(study):
    values, shown, output = study("complexity")
    found = values["models"]["instructor-minilm"]
    for task, row in found["sets"].items():
        assert row == [scores(output, step, task) for step in ("none", "tag", "short", "detailed")]
    expected = np.mean([found["averages"][c] for c in found["averages"] if not c.startswith("average")], axis=0)
    assert found["averages"]["average of categories"] == pytest.approx(expected.tolist())
    assert shown.splitlines()[-1].startswith("average of categories")


@pytest.mark.slow
def test_with_and_without(study):
    values, shown, output = study("instructions")
    for row in values["models"]["instructor-minilm"]["sets"]:
        gain = scores(output, "default", row["name"]) - scores(output, "none", row["name"])
        assert row["difference"] == pytest.approx(100 * gain) and row["low"] <= row["difference"] <= row["high"]
    assert "95 % interval" in shown


@pytest.mark.slow
def test_domain_shift(study):
    values, shown, output = study("domain-shift")
    found = values["models"]["instructor-minilm"]
    assert found["specialised"]["sets"] == {"FileCommands": "command-line"}
    assert set(found["general"]["sets"]) == {"LibraryQuestions", "EverydaySentences"}
    gains = [scores(output, "default", t) - scores(output, "none", t) for t in found["general"]["sets"]]
    assert found["general"]["gain"] == pytest.approx(np.mean(gains))
    assert "domain-specific: FileCommands (command-line)" in shown


@pytest.mark.slow
def test_fewer_than_ten_units_give_no_interval(study, data):
    for name in ("sts/EverydaySentences", "pairclassification/LibraryQuestions", "icl/FileCommands"):
        path = data / name / "test.jsonl"
        write_rows(path, rows_of(path)[::5])
    for name in ("robustness", "domain-shift", "annotation"):
        values, shown, output = study(name)
        (found,) = values["models"].values()
        assert all(row["interval_95"] == [None, None] for row in found.values())
        assert "[" not in shown and "nan" not in shown


def test_projection(study, minilm):
    values, shown, output = study("projection")
    (drawn,) = values["maps"]
    assert len(drawn["labels"]) == 36 and sum(drawn["labels"]) == 18
    for variant in ("without", "with"):
        assert np.array(drawn[variant]["points"]).shape == (72, 2)
        assert drawn[variant]["same"] > drawn[variant]["different"]
    assert drawn["without"]["instruction"] == "" and drawn["with"]["instruction"].startswith("Represent the library")
    svg = (output / "studies/projection.svg").read_text()
    assert "without instruction" in svg and "with instruction" in svg
    assert "LibraryQuestions, without" in shown


def test_projection_goes_on_after_a_bad_set(study, data):
    bad = data / "pairclassification/ABadOne/test.jsonl"
    write_rows(bad, [{"sentence1": "a", "sentence2": "b", "label": 1}] * 3)
    values, shown, output = study("projection", code=3)
    assert "expected two labels or more" in values["failures"]["ABadOne (instructor-minilm)"]
    assert len(values["maps"]) == 1 and "LibraryQuestions, without" in shown and "ABadOne" not in shown
    assert (output / "studies/projection.svg").is_file()


@pytest.mark.parametrize(("name", "kind"), [("projection", "pairclassification"), ("annotation", "icl")])
def test_a_set_whose_description_is_damaged_is_named(study, data, name, kind):
    folder = data / kind / "ADamagedOne"
    write_rows(folder / "test.jsonl", [{"sentence1": "a", "sentence2": "b", "label": 1}] * 3)
    (folder / "meta.json").write_text('{"name": ')
    values, shown, _ = study(name, code=3)
    ((failed, reason),) = values["failures"].items()
    assert failed == "ADamagedOne (instructor-minilm)" and "meta.json" in reason
    assert {"projection": "LibraryQuestions, without", "annotation": "FileCommands"}[name] in shown


def test_a_study_of_too_few_units_says_so(data, tmp_path, capsys, cli):
    path = data / "sts/EverydaySentences/test.jsonl"
    write_rows(path, rows_of(path)[::6])
    assert cli(["--suite", "instructions,sts", "--data", data, "--output", tmp_path / "runs", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "instructions has nothing to show: instructor-minilm: nothing to compare" in said
    assert "(EverydaySentences: 6 units are too few)" in said and "under every variant" not in said


def test_a_study_of_failures_alone_draws_no_legend(data, tmp_path, capsys, cli, recwarn):
    (data / "sts/EverydaySentences/test.jsonl").write_text("{}\n")
    assert cli(["--suite", "complexity,sts", "--data", data, "--output", tmp_path / "runs", "--quiet"]) == 3
    assert "complexity has nothing to show: no task has a score under every variant" in capsys.readouterr().err
    assert not [w for w in recwarn if "artists" in str(w.message).lower()]


def test_a_study_of_nothing_to_draw(data, tmp_path, capsys, cli):
    assert cli(["--suite", "projection,sts", "--data", str(data), "--output", str(tmp_path), "--quiet"]) == 1
    assert "projection draws pair-classification sets, and none was chosen" in capsys.readouterr().err


@pytest.mark.slow
def test_failures_of_a_study_are_told(study, data):
    (data / "sts/EverydaySentences/test.jsonl").write_text("{}\n")
    values, shown, _ = study("complexity", code=3)
    assert len(values["failures"]) == 4 and "EverydaySentences" not in shown
