"""Ingest of example pools: a row is an example, whatever its file's format and its columns' names."""

import csv
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.cli import main
from instructor_search import Collection
from tests.conftest import ROOT
from tests.eval.fake_hub import FakeHub

ROWS = [
    {"question": "what is a cat", "answer": "animal", "kind": "words", "level": 1, "output": "x"},
    {"question": "what is an oak", "answer": "tree", "kind": "words", "level": 2, "output": "y"},
    {"question": "one and one\nand one", "answer": "007", "kind": "sums", "level": 3, "output": ""},
]
FIELDS = ("--input-field", "question", "--output-field", "answer", "--task-field", "kind")


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def run(store, tiny_folder, capsys):
    def run(path, *flags, code=0):
        capsys.readouterr()
        words = [str(path), "--collection", "pool", "--model", str(tiny_folder), "--precision", "fp32", "--quiet"]
        assert main([*words, "--json", *flags]) == code
        shown = capsys.readouterr()
        return json.loads(shown.out) if shown.out else shown.err

    return run


def stored():
    columns = ["text", "metadata", "content_hash", "num_tokens", "row"]
    rows = Collection.open("pool").chunks.search().select(columns).to_list()
    return {row["text"]: row | {"metadata": json.loads(row["metadata"])} for row in rows}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_row_is_an_example_with_output_and_task_as_text(run, tmp_path, suffix):
    report = run(write(tmp_path / f"rows.{suffix}", ROWS), "--examples", *FIELDS, "--instruction", "Represent it: ")
    assert (report["documents"], report["chunks_total"], report["rows_left_out"]) == (3, 3, 0)
    rows = stored()
    assert set(rows) == {"what is a cat", "what is an oak", "one and one\nand one"}
    assert rows["one and one\nand one"]["metadata"] == {"output": "007", "task": "sums", "level": 3}
    assert rows["what is a cat"]["metadata"]["column output"] == "x"  # another column of that name
    manifest = Collection.open("pool").manifest
    assert manifest.examples == {
        "input_field": "question",
        "output_field": "answer",
        "task_field": "kind",
        "embed": "input",
    }
    assert manifest.fields["output"] == "string"


def test_an_example_is_never_cut_and_a_longer_one_is_counted(run, tmp_path, tiny):
    long = "the value is here. " * tiny.max_tokens
    report = run(write(tmp_path / "rows.jsonl", [*ROWS, ROWS[0] | {"question": long}]), "--examples", *FIELDS)
    assert report["chunks_total"] == 4 and report["texts_cut"] == 1 and long in stored()


def test_only_what_changed_is_embedded_and_a_new_output_is_kept(run, tmp_path):
    path = write(tmp_path / "rows.jsonl", ROWS)
    assert run(path, "--examples", *FIELDS)["chunks_embedded"] == 3
    assert run(path)["nothing_changed"]  # the pool remembers its columns
    write(path, [ROWS[0] | {"answer": "mammal"}, ROWS[1], ROWS[2] | {"question": "two and one"}])
    report = run(path)
    assert (report["chunks_embedded"], report["chunks_kept"], report["chunks_deleted"]) == (1, 2, 1)
    assert stored()["what is a cat"]["metadata"]["output"] == "mammal"


def test_input_and_output_can_be_embedded_together(run, tmp_path):
    path = write(tmp_path / "rows.jsonl", ROWS)
    run(path, "--examples", *FIELDS)
    assert run(path, "--examples", "--embed", "input+output")["chunks_embedded"] == 3  # another way to read it
    rows = stored()
    assert set(rows) == {"what is a cat\nanimal", "what is an oak\ntree", "one and one\nand one\n007"}
    assert rows["what is a cat\nanimal"]["metadata"]["input"] == "what is a cat"


def test_rows_without_an_output_are_left_out_and_counted(run, tmp_path):
    rows = [*ROWS, ROWS[0] | {"answer": ""}, ROWS[0] | {"answer": None}, ROWS[0] | {"question": " "}]
    report = run(write(tmp_path / "rows.jsonl", rows), "--examples", *FIELDS)
    assert (report["documents"], report["rows_left_out"], report["chunks_total"]) == (6, 3, 3)


def test_a_pool_without_outputs_is_one_line(run, tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"question": "a", "answer": ""}, {"question": "b", "answer": ""}])
    flags = ("--examples", "--input-field", "question", "--output-field")
    (failed,) = run(path, *flags, "answer", code=3)["failed"]
    assert failed[1] == "none of its 2 rows has both an input (question) and an output (answer)"
    (failed,) = run(path, *flags, "label", code=3)["failed"]
    assert failed[1] == "no column label (--output-field); there is: question, answer"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--examples", "--output-field", "answer"), "--examples needs --input-field: the column"),
        (("--examples",), "--examples needs --input-field and --output-field"),
        (("--input-field", "question"), "--input-field is for a pool of examples; add --examples"),
        (("--examples", *FIELDS, "--text-field", "answer"), "--text-field does not go with --examples"),
        (("--examples", *FIELDS, "--chunk-tokens", "9"), "--chunk-tokens does not go with --examples"),
        (("--examples", "--input-field", "a", "--output-field", "a"), "are both 'a'; expected two"),
    ],
)
def test_wrong_flags_are_one_line_and_leave_no_collection(run, tmp_path, store, flags, said):
    err = run(write(tmp_path / "rows.jsonl", ROWS), *flags, code=1)
    assert err.startswith("error: ") and said in err and err.count("\n") == 1
    assert not (store / "pool").exists()


def test_documents_do_not_become_examples_and_files_without_rows_are_skipped(run, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.md").write_text("The value is here.")
    run(tmp_path / "docs")
    assert "holds documents and no examples" in run(tmp_path / "docs", "--examples", *FIELDS, code=1)
    Collection.open("pool").drop()
    write(tmp_path / "docs" / "rows.jsonl", ROWS)
    report = run(tmp_path / "docs", "--examples", *FIELDS)
    assert report["skipped"] == [["docs/notes.md", "not a table, whose rows could be examples"]]
    assert report["chunks_total"] == 3


def test_a_data_set_of_the_hub_is_read_like_its_folder(tmp_path, tiny_folder):
    (tmp_path / "hub").mkdir()
    write(tmp_path / "hub" / "rows.parquet", ROWS)
    (tmp_path / "hub" / "README.md").write_text("# Questions")
    hub = FakeHub({"someone/questions": tmp_path / "hub"})
    place = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "INSTRUCTOR_SEARCH_CACHE": str(tmp_path / "cache")}

    def run(name):
        words = [name, "--examples", *FIELDS, "--model", str(tiny_folder), "--store", str(tmp_path / "store"), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "ingest", *words, "--quiet"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | place,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    try:
        code, report = run("hub:someone/questions")
        assert (code, report["collection"], report["chunks_total"], report["skipped"]) == (0, "questions", 3, [])
        assert run("hub:someone/questions")[1]["nothing_changed"]
        code, err = run("hub:someone/nothing")
        assert code == 1 and err.startswith("error: cannot fetch hub:someone/nothing (") and err.count("\n") == 1
        code, err = run("hub:questions")
        assert code == 1 and err == "error: hub:questions: expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION\n"
    finally:
        hub.close()
