"""Data that must not go wrong in silence: numbering of answers, prompts of rows, names, evaluation texts, reasons."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructor_search.engines import LocalEngine
from tests.conftest import ROOT
from tests.toy import HashEncoder
from train.examples import MixtureError, read_mixture
from train.medi.adapters import read_examples
from train.medi.build import BuildPlan, build, triples
from train.medi.cli import main
from train.medi.contamination import EvaluationTexts
from train.medi.mining import by_output
from train.medi.sources import RawTask


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return path


def task(kind, rows, **more):
    return RawTask("toy", kind, rows, "Q: ", "D: ", "MIT", "here", symmetric=True, **more)


def read(given):
    return [tuple(r) for t in read_examples(given, "Q: ", "D: ") for r in t.rows]


def question(cop):
    return {"question": "q", "opa": "A", "opb": "B", "opc": "C", "opd": "D", "exp": "", "cop": cop}


@pytest.mark.parametrize(
    ("numbers", "answers"),
    [((0, 3), "AD"), ((1, 4), "AD"), ((0, -1, 2), ["A", "", "C"]), ((2, 3), "BC")],
    ids=["from 0", "from 1", "unanswered", "unclear: from 1"],
)
def test_medmcqa_counts_as_its_file_does(numbers, answers, tmp_path):
    path = lines(tmp_path / "m.jsonl", [question(n) for n in numbers])
    assert [r[1] for r in read(f"medmcqa:{path}")] == list(answers)


def test_medmcqa_that_counts_in_two_ways_is_refused(tmp_path):
    path = lines(tmp_path / "m.jsonl", [question(0), question(4)])
    with pytest.raises(MixtureError, match="cop goes from 0 to 4"):
        read(f"medmcqa:{path}")


def test_graded_pairs_are_refused_and_lists_of_negatives_are_read(tmp_path):
    graded = lines(tmp_path / "g.jsonl", [{"sentence1": "a", "sentence2": "b", "label": 0}])
    with pytest.raises(MixtureError, match="column label grades the pairs"):
        read(f"sentence-transformers:{graded}")
    listed = lines(tmp_path / "l.jsonl", [{"anchor": "a", "positive": "b", "negatives": ["n", "m"]}])
    assert read(f"sentence-transformers:{listed}") == [("a", "b", ("n", "m"))]
    (tmp_path / "long.csv").write_text("anchor,positive\na," + "x" * 200_000 + "\n")
    assert len(read(f"sentence-transformers:{tmp_path / 'long.csv'}")[0][1]) == 200_000


def test_each_row_keeps_its_own_prompt(tmp_path):
    rows = [{"query": "a", "pos": ["b"], "prompt": "P1: "}, {"query": "c", "pos": ["d"]}]
    (made,) = read_examples(f"flagembedding:{lines(tmp_path / 'f.jsonl', rows)}", "Q: ", "D: ")
    examples, _ = triples(made, HashEncoder())
    assert [e.query.instruction for e in examples] == ["P1: ", "Q: "]
    (sampled,) = build([made], tmp_path / "out", BuildPlan(HashEncoder(), max_rows=1)).tasks
    (kept,) = read_mixture(tmp_path / "out").tasks[sampled.name]
    assert {"a": "P1: ", "c": "Q: "}[kept.query.text] == kept.query.instruction


def medi(text, positive="p", **more):
    return {"query": ["Q: ", text], "pos": ["D: ", positive], "neg": ["D: ", "n"], **more}


def test_medi_rows_without_a_text_are_counted(tmp_path):
    path = tmp_path / "medi.json"
    path.write_text(json.dumps([medi("a"), medi("b", " "), medi("c") | {"neg": ["D: ", ""]}]))
    report = build(read_examples(f"medi:{path}", "Q: ", "D: "), tmp_path / "out", BuildPlan(HashEncoder()))
    assert report.tasks[0].settings["dropped"] == {"empty text": 1}
    assert [len(e.negatives) for e in read_mixture(tmp_path / "out").tasks["medi"]] == [1, 0]


def test_names_stay_in_the_folder_and_apart(tmp_path):
    path = lines(tmp_path / "in/e.jsonl", [medi("a", task_name="../escaped"), medi("b", task_name="glue/mnli")])
    report = build(read_examples(f"medi:{path}", "Q: ", "D: "), tmp_path / "made/out", BuildPlan(HashEncoder()))
    assert [t.file for t in report.tasks] == ["escaped.jsonl.gz", "glue-mnli.jsonl.gz"]
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["out"]
    row = {"query": "q", "positive_passages": [{"text": "p"}]}
    given = [f"tevatron:{lines(tmp_path / name / 'train.jsonl', [row])}" for name in "ab"]
    assert main(["build", "--output", str(tmp_path / "two"), "--examples", given[0], "--examples", given[1]]) == 0
    assert list(read_mixture(tmp_path / "two").tasks) == ["train", "train-2"]


def test_evaluation_texts_go_before_pairs_are_mined(tmp_path):
    texts = [f"{'evaluation' if i < 20 else 'training'} text number {i} of the set" for i in range(100)]
    long = " ".join(f"word{i}" for i in range(900))
    lines(tmp_path / "ev/test.jsonl", [{"text": t} for t in [*texts[:20], long, "an output of the evaluation"]])
    against = EvaluationTexts([tmp_path / "ev"])
    classes = task("classification", [(t, str(i % 2)) for i, t in enumerate(texts)])
    report = build([classes], tmp_path / "a", BuildPlan(HashEncoder(), against=against))
    assert report.tasks[0].rows == 80 and report.tasks[0].settings["dropped"] == {"evaluation text": 20}
    pairs = task("pairs", [("q", long, ()), ("a", "b", ())])  # longer than what is kept of a text
    assert build([pairs], tmp_path / "b", BuildPlan(HashEncoder(), against=against)).tasks[0].rows == 1
    outputs = ["an output of the evaluation", *(f"output {i}" for i in range(9))]
    written = task("super-ni", [(f"input {i}", o) for i, o in enumerate(outputs)])
    assert build([written], tmp_path / "c", BuildPlan(HashEncoder(), against=against)).tasks[0].rows == 9


def test_evaluation_texts_are_read_from_json_documents_too(tmp_path):
    folder = tmp_path / "ev"
    texts = [f"the text number {n} of the evaluation" for n in range(6)]
    lines(folder / "set/test.jsonl", [{"text": texts[0]}])
    (folder / "list.json").write_text(json.dumps([{"input": texts[1], "output": [texts[2], 7, None]}]), "utf-8-sig")
    (folder / "set/nested.json").write_text(json.dumps({"Instances": {"x": [{"a": [texts[3]]}]}}, indent=1))
    for name, text in (("meta.json", texts[4]), ("set/manifest.json", texts[5])):
        (folder / name).write_text(json.dumps({"instruction": text}))
    assert EvaluationTexts([folder]).texts == set(texts[:4])
    (tmp_path / "only").mkdir()
    (tmp_path / "only/meta.json").write_text("{}")
    with pytest.raises(MixtureError, match=r"only holds no \.jsonl or \.jsonl\.gz files, nor \.json ones"):
        EvaluationTexts([tmp_path / "only"])
    for text in ('{"a": ', '{"a": 1}\n{"a": 2}', "[" * 100_000):
        (folder / "bad.json").write_text(text)
        with pytest.raises(
            MixtureError, match=r"bad\.json cannot be read \(.+\); expected one JSON document"
        ) as caught:
            EvaluationTexts([folder])
        assert "\n" not in str(caught.value)


def test_a_sample_of_classes_is_still_one_of_classes(tmp_path):
    rows = [(f"text {i}", f"class {i % 12}") for i in range(240)]
    build([task("super-ni", rows)], tmp_path / "out", BuildPlan(HashEncoder(), max_rows=60))
    assert all(e.label for e in read_mixture(tmp_path / "out").tasks["toy"])


def test_the_next_best_is_the_negative_where_the_best_is_the_positive():
    # Of text 0, text 1 has the best score of both kinds; text 2 is the next.
    x = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    y = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    positives, negatives = by_output(list("abcd"), list("wxyz"), x, y)
    assert (positives[0], negatives[0]) == (1, 2)


def manifest(folder, name, rows, **more):
    lines(folder / f"{name}.jsonl", rows)
    entry = {
        "name": name,
        "kind": "pair",
        "file": f"{name}.jsonl",
        "licence_class": "open",
        "symmetry": "asymmetric",
        "query_instruction": "Q: ",
        "doc_instruction": "D: ",
    }
    (folder / "manifest.json").write_text(json.dumps({"files": [entry | more]}))
    return str(folder)


def test_what_is_left_out_is_said_and_names_may_be_in_any_folder(tmp_path, capsys):
    good = [{"query": "q", "pos": "p"}]
    one, two = manifest(tmp_path / "1", "one", good), manifest(tmp_path / "2", "two", good, licence_class="NC")
    build_both = ["build", "--data", one, "--data", two, "--output"]
    assert main([*build_both, str(tmp_path / "a"), "--only", "one"]) == 0
    assert main([*build_both, str(tmp_path / "b")]) == 0
    assert "left out: two: its licence class is NC; take it with --licences open,C-UDA,NC" in capsys.readouterr().out
    assert main([*build_both, str(tmp_path / "c"), "--only", "one,three"]) == 1
    assert "has no three" in capsys.readouterr().err
    bad = manifest(tmp_path / "3", "bad", [{"query": "q"}])
    assert main(["build", "--data", bad, "--output", str(tmp_path / "d")]) == 1
    error = capsys.readouterr().err
    assert "bad.jsonl:1: expected an object with query, pos" in error and error.count("\n") == 1


def test_a_hub_set_that_cannot_be_had_is_one_line(tmp_path):
    command = [sys.executable, "-m", "train.medi", "build", "--output", str(tmp_path / "out"), "--examples"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "hub:no-one/nothing?query=a&positive=b"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: hub:no-one/nothing cannot be loaded" in done.stderr and not (tmp_path / "out").exists()


def test_a_build_that_is_ended_takes_its_part_away(tmp_path, tiny_folder):
    folder = tmp_path / "data"
    lines(folder / "c.jsonl", [{"text": f"text {i} " * 60, "label": str(i % 2)} for i in range(8000)])
    manifest(folder, "x", [])
    entry = {
        "name": "c",
        "kind": "classification",
        "file": "c.jsonl",
        "licence_class": "open",
        "query_instruction": "Q: ",
        "doc_instruction": "Q: ",
    }
    (folder / "manifest.json").write_text(json.dumps({"files": [entry]}))
    out = tmp_path / "made/out"
    command = [sys.executable, "-m", "train.medi", "build", "--data", str(folder), "--output", str(out)]
    running = subprocess.Popen([*command, "--encoder", str(tiny_folder)], stderr=subprocess.PIPE, cwd=ROOT, text=True)
    assert running.stderr.readline().startswith("c: 8,000 rows")
    time.sleep(0.2)
    assert list(out.parent.iterdir())
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGTERM and not list(out.parent.iterdir())


def test_a_build_that_fails_as_it_takes_the_place_of_another_leaves_that_one(tmp_path, monkeypatch):
    out, rename = tmp_path / "out", Path.rename
    build([task("pairs", [("q", "p", [])])], out, BuildPlan(HashEncoder()))

    def full(path, target):
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        build([task("pairs", [("other", "p", [])])], out, BuildPlan(HashEncoder()), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [e.query.text for e in read_mixture(out).tasks["toy"]] == ["q"]


def test_another_process_makes_the_same_bytes(tmp_path):
    tasks = [
        task("pairs", [(f"q{i}", f"p{i}", [f"n{i}"]) for i in range(30)]),
        replace(task("super-ni", [(f"text {i}", "yes" if i % 3 else "no") for i in range(90)]), name="labels"),
    ]
    for name, engine in (("here", None), ("elsewhere", LocalEngine(1))):
        build(tasks, tmp_path / name, BuildPlan(HashEncoder(), max_rows=60), engine=engine)
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len(files) == 3
    for name in files:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()
