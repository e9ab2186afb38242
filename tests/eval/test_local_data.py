"""Bad data: each a clear line that names file and line."""

import json
import re

import pytest

from eval.local_data import read_labelled, read_meta, read_reranking, read_retrieval, read_rows, revision_of
from eval.records import EvalDataError
from eval.sources import choose_source
from eval.tasks.base import BrokenTask
from eval.tasks.billboard import read_folder as read_billboard_folder
from tests.eval.conftest import write_rows


def beir(folder, qrels="q1\td1\t1\n", corpus=None, queries=None):
    write_rows(
        folder / "corpus.jsonl", corpus or [{"_id": "d1", "title": "", "text": "one"}, {"_id": "d2", "text": "two"}]
    )
    write_rows(folder / "queries.jsonl", queries or [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b"}])
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def test_a_beir_folder(tmp_path):
    corpus, queries, qrels, notes = read_retrieval(beir(tmp_path))
    assert [d["_id"] for d in corpus] == ["d1", "d2"] and [q["_id"] for q in queries] == ["q1"]
    assert qrels == {"q1": {"d1": 1}}
    assert notes == ["1 of 2 queries have no relevant document and are left out"]


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\td9\t1\n", "qrels/test.tsv, line 2: 'd9' is not in corpus.jsonl"),
        ("q1\td1\t1\nq7\td1\t1\n", "qrels/test.tsv, line 3: 'q7' is not in queries.jsonl"),
        ("q1 d1 1\n", "qrels/test.tsv, line 2: 'q1 d1 1'; expected query-id, corpus-id, whole score (tabs)"),
        ("q1\td1\t²\n", "qrels/test.tsv, line 2: 'q1\\td1\\t²'; expected query-id, corpus-id, whole score (tabs)"),
        ("q1\td1\t0.5\n", "line 2: 'q1\\td1\\t0.5'; expected query-id"),
        ("q1\td1\t0\n", "no query has a relevant document"),
        ("q1\td1\t1\nq1\td1\t2\n", "line 3: 'q1' and 'd1' have the score 2, and 1 before; expected one score a pair"),
    ],
)
def test_bad_qrels(tmp_path, qrels, message):
    with pytest.raises(EvalDataError, match=re.escape(message)):
        read_retrieval(beir(tmp_path, qrels))


def test_qrels_without_a_header_and_with_points(tmp_path):
    beir(tmp_path)
    (tmp_path / "qrels/test.tsv").write_text("q1\td1\t1.0\nq2\td2\t2\n")
    assert read_retrieval(tmp_path)[2] == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    (tmp_path / "qrels/test.tsv").write_text("q1\td1\t1\nq1\td1\t1\n")
    assert read_retrieval(tmp_path)[2] == {"q1": {"d1": 1}}


@pytest.mark.parametrize("line", ["q1\td1\t0.5", "q1\td1\thigh", "q9\td1\t1e-1"])
def test_a_first_line_of_data_is_no_header(tmp_path, line):
    beir(tmp_path)
    (tmp_path / "qrels/test.tsv").write_text(f"{line}\nq2\td2\t2\n")
    with pytest.raises(EvalDataError, match=r"line 1: .*; expected query-id, corpus-id, whole score"):
        read_retrieval(tmp_path)


def test_a_title_that_is_no_string(tmp_path):
    rows = [{"_id": "d1", "text": "one", "title": None}, {"_id": "d2", "text": "two", "title": 7}]
    with pytest.raises(EvalDataError, match="corpus.jsonl, line 2: 'title' is 7; expected a string"):
        read_retrieval(beir(tmp_path, corpus=rows))


def test_an_id_that_stands_there_twice(tmp_path):
    with pytest.raises(EvalDataError, match="queries.jsonl: an _id stands there twice"):
        read_retrieval(beir(tmp_path, queries=[{"_id": "q1", "text": "a"}, {"_id": "q1", "text": "b"}]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label": "x"', "test.jsonl, line 2: not valid JSON"),
        ('["a", "x"]', 'test.jsonl, line 2: \'["a", "x"]\'; expected an object with text, label'),
        ('{"text": "a"}', "test.jsonl, line 2: 'label' is nothing; expected a label"),
        ('{"text": 3, "label": "x"}', "test.jsonl, line 2: 'text' is 3; expected a string"),
        ('{"text": "a", "label": null}', "test.jsonl, line 2: 'label' is null; expected a label"),
    ],
)
def test_bad_rows(tmp_path, line, message):
    (tmp_path / "test.jsonl").write_text('{"text": "a", "label": "x"}\n' + line + "\n")
    with pytest.raises(EvalDataError, match=re.escape(message)):
        read_labelled(tmp_path, "test")


def test_one_label_no_rows_no_file(tmp_path):
    write_rows(tmp_path / "test.jsonl", [{"text": t, "label": "x"} for t in "abc"])
    with pytest.raises(EvalDataError, match="all 3 rows have the label 'x'; expected two labels or more"):
        read_labelled(tmp_path, "test")
    write_rows(tmp_path / "test.jsonl", [{"text": "a", "label": 1}, {"text": "b", "label": "1"}])
    with pytest.raises(EvalDataError, match="all 2 rows have the label 1; expected two labels or more"):
        read_labelled(tmp_path, "test")
    (tmp_path / "test.jsonl").write_text("\n")
    with pytest.raises(EvalDataError, match="test.jsonl is empty"):
        read_labelled(tmp_path, "test")
    with pytest.raises(EvalDataError, match="has no train.jsonl .nor train.jsonl.gz."):
        read_labelled(tmp_path, "train")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "true", "1" + "0" * 400])
def test_what_is_no_number(tmp_path, value):
    (tmp_path / "test.jsonl").write_text(f'{{"score": {value}, "scores": [1, {value}]}}\n')
    with pytest.raises(EvalDataError, match=f"line 1: 'score' is {value[:60]}; expected a number"):
        read_rows(tmp_path / "test.jsonl", {"score": "a number"})
    with pytest.raises(EvalDataError, match="line 1: 'scores' is .*; expected a list of numbers"):
        read_rows(tmp_path / "test.jsonl", {"scores": "a list of numbers"})


def test_a_damaged_archive(tmp_path):
    (tmp_path / "test.jsonl.gz").write_bytes(b"\x1f\x8b\x08 half")
    with pytest.raises(EvalDataError, match="test.jsonl.gz cannot be read"):
        read_rows(tmp_path / "test.jsonl.gz", {"score": "a number"})


def test_reranking_rows_without_a_side_are_left_out(tmp_path):
    whole = {"query": "q", "positive": ["a"], "negative": ["b"]}
    write_rows(tmp_path / "test.jsonl", [whole, whole | {"positive": []}])
    assert read_reranking(tmp_path) == ([whole], ["1 of 2 queries lack a positive or a negative and are left out"])
    write_rows(tmp_path / "test.jsonl", [whole | {"negative": []}])
    with pytest.raises(EvalDataError, match="no row has both a positive and a negative"):
        read_reranking(tmp_path)


def test_meta_json(tmp_path, data):
    assert read_meta(tmp_path) == {}
    meta = data / "sts/EverydaySentences/meta.json"
    meta.write_text("[1]")
    with pytest.raises(EvalDataError, match="holds a list; expected an object"):
        read_meta(meta.parent)
    meta.unlink()  # a set without it gets its category's instruction
    sts = next(t for t in choose_source(str(data)).tasks if t.info.category == "sts")
    assert sts.info.instruction.query == "Represent the sentence for measuring semantic similarity: "
    assert sts.info.variants["short"].query == "sentence: "


def test_the_revision_follows_the_data_and_not_its_description(data):
    folder = data / "sts/EverydaySentences"
    before = revision_of(folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"domain": "other"}))
    assert revision_of(folder) == before
    with (folder / "test.jsonl").open("a") as stream:
        stream.write('{"sentence1": "a", "sentence2": "b", "score": 1}\n')
    assert revision_of(folder) != before


def test_missing_and_empty_data_folders(tmp_path):
    with pytest.raises(EvalDataError, match="no data folder"):
        choose_source(str(tmp_path / "nothing"))
    with pytest.raises(EvalDataError, match="has no folder of a task category with a set in it"):
        choose_source(str(tmp_path))
    (tmp_path / "eval/sts/One").mkdir(parents=True)
    with pytest.raises(EvalDataError, match="did you mean .*eval"):
        choose_source(str(tmp_path))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"instruction": 5}, "meta.json, instruction: 5; expected"),
        ({"ladder": ["x"]}, 'a ladder step is "x"; expected objects with a name of none, tag, short, detailed'),
        ({"ladder": [{"name": "tiny", "text": "x"}]}, 'a ladder step is "tiny"; expected objects with a name of none'),
        ({"ladder": [{"name": "tag", "text": "x"}]}, ""),
        ({"ladder": 5}, "ladder is 5; expected a list of instructions"),
        ({"paraphrases": [7]}, "paraphrases is [7]; expected a list of instructions"),
        ({"specialised": "false"}, "specialised is 'false'; expected true or false"),
        ({"name": "a/b"}, "name is 'a/b'; expected at most 100 letters"),
        ({"name": "../../escaped"}, "name is '../../escaped'"),
        ({"name": "model_meta"}, "name is 'model_meta'"),
        ({"name": None}, "name is None"),
        ({"name": "x" * 101}, "expected at most 100 letters"),
    ],
)
def test_a_wrong_description_fails_its_own_set_alone(meta, message, data, tmp_path, capsys, cli):
    path = data / "sts/EverydaySentences/meta.json"
    path.write_text(json.dumps(meta))
    code = cli(["--suite", "all", "--data", data, "--output", tmp_path / "runs", "--models", "random", "--quiet"])
    shown = capsys.readouterr()
    assert code == (3 if message else 0) and message in shown.err
    assert len([line for line in shown.out.splitlines() if line.startswith(("Library", "Everyday", "FileC"))]) == 3
    written = [p for p in tmp_path.rglob("*") if p.is_file() and "runs" not in p.parts and "data" not in p.parts]
    assert not written


@pytest.mark.parametrize("name", ["_hidden", "with:colon", "x" * 101, "model_meta", "\u00e4"])
def test_a_folder_that_cannot_name_a_set_fails_alone(name, data, tmp_path, capsys, cli):
    (data / "sts/EverydaySentences").rename(data / "sts" / name)
    (data / "sts" / name / "meta.json").unlink()
    code = cli(["--suite", "all", "--data", data, "--output", tmp_path / "runs", "--models", "random", "--quiet"])
    shown = capsys.readouterr()
    assert code == 3 and f"the folder {str(data / 'sts' / name)!r} is no name of a set; expected" in shown.err
    assert {line.split()[0] for line in shown.out.splitlines() if line} >= {"LibraryQuestions", "FileCommands", "set"}
    (data / "sts" / name / "meta.json").write_text('{"name": "Good"}')
    assert "Good" in [task.info.name for task in choose_source(str(data)).tasks]


def test_an_unknown_kind_of_output(data):
    path = data / "icl/FileCommands/meta.json"
    path.write_text(json.dumps({"output_kind": "labels"}))
    task = next(t for t in choose_source(str(data)).tasks if t.info.name == "FileCommands")
    assert isinstance(task, BrokenTask)
    with pytest.raises(EvalDataError, match="meta.json: output_kind is 'labels'; expected one of label, text, program"):
        raise task.error


def test_two_sets_of_one_name(data):
    path = data / "sts/EverydaySentences/meta.json"
    path.write_text(json.dumps({"name": "libraryquestions"}))
    with pytest.raises(EvalDataError, match="two sets are called 'libraryquestions' .in pair-classification and sts."):
        _ = choose_source(str(data)).tasks


def test_other_checks_name_the_line_too(tmp_path):
    rows = [
        {"references": ["a"], "candidate": "b", "human_score": 1},
        {"references": [], "candidate": "b", "human_score": 1},
    ]
    folder = tmp_path / "textgen/Lines"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("\n\n" + "\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(EvalDataError, match="test.jsonl, line 4: no references"):
        read_billboard_folder(folder)
