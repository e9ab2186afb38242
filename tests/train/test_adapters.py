"""Rows of other forms that are easy to read wrongly: columns by name, one text for several, nothing where a text is."""

import gzip
import json

import pytest

from tests.toy import HashEncoder
from train.examples import MixtureError, read_mixture, read_rows
from train.medi.adapters import read_examples
from train.medi.build import BuildPlan, build, triples
from train.medi.cli import main
from train.medi.sources import RawTask, read_data_folder, read_super_ni


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return path


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def read(kind, path):
    return [tuple(r) for t in read_examples(f"{kind}:{path}", "Q: ", "D: ") for r in t.rows]


def built(kind, path, output):
    report = build(read_examples(f"{kind}:{path}", "Q: ", "D: "), output, BuildPlan(HashEncoder()))
    (rows,) = read_mixture(output).tasks.values()
    return [(e.query.text, e.positive.text, tuple(n.text for n in e.negatives)) for e in rows], report.tasks[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"passage": "p", "query": "q"}, ("q", "p", ())),
        ({"positive": "p", "text": "q"}, ("q", "p", ())),
        ({"document": "d", "question": "q", "negative": "n"}, ("q", "d", ("n",))),
        ({"text1": None, "text2": "b", "text3": "c"}, (None, "b", ("c",))),
        ({"one": "a", "two": "b", "three": "c", "four": "d"}, ("a", "b", ("c", "d"))),
        ({"id": 7, "one": "a", "two": "b"}, ("a", "b", ())),
        ({"anchor": "a", "positive": None, "negative": "n"}, ("a", None, ("n",))),
    ],
)
def test_columns_go_by_their_names_and_not_by_what_is_in_them(row, expected, tmp_path):
    assert read("sentence-transformers", lines(tmp_path / "t.jsonl", row)) == [expected]


def test_columns_that_are_not_used_are_told_once(tmp_path, capsys):
    path = lines(tmp_path / "t.jsonl", *[{"query": "q", "answer": "a", "hard": "h"}] * 2)
    assert read("sentence-transformers", path) == [("q", "a", ())] * 2
    assert capsys.readouterr().err.count("not used: hard (negatives: negative, negative_1, ...)") == 1
    with pytest.raises(MixtureError, match="columns text; expected anchor and positive"):
        read("sentence-transformers", lines(tmp_path / "one.jsonl", {"text": "a"}))


def test_tables_with_a_mark_or_with_quotes_that_swallow_rows(tmp_path):
    marked = table(tmp_path / "m.csv", "\ufeffpositive,anchor\np,a\n")
    assert read("sentence-transformers", marked) == [("a", "p", ())]
    swallowing = table(tmp_path / "q.tsv", 'anchor\tpositive\n"hi he said\tthere\nnext row\tpos\nlast "row"\tpos3\n')
    with pytest.raises(MixtureError, match="expected after"):
        read("sentence-transformers", swallowing)
    with pytest.raises(MixtureError, match="line 2 has more fields than the header"):
        read("sentence-transformers", table(tmp_path / "f.csv", "anchor,positive\na,p,x,y\n"))
    assert read("sentence-transformers", table(tmp_path / "s.csv", "anchor,positive\na\n")) == [("a", None, ())]


def test_one_text_is_not_taken_apart_and_rows_without_a_positive_are_counted(tmp_path):
    rows = [{"query": "q", "pos": "the text", "neg": "wrong"}, {"query": "r", "pos": []}, {"query": "s", "pos": None}]
    examples, facts = built("flagembedding", lines(tmp_path / "f.jsonl", *rows), tmp_path / "flag")
    assert examples == [("q", "the text", ("wrong",))] and facts.settings["dropped"] == {"empty text": 2}
    tevatron = [{"query": "q", "positive_passages": [{"text": "p"}]}, {"query": "r", "positive_passages": []}]
    examples, facts = built("tevatron", lines(tmp_path / "t.jsonl", *tevatron), tmp_path / "tevatron")
    assert examples == [("q", "p", ())] and facts.settings["dropped"] == {"empty text": 1}
    kilt = [{"input": "q", "output": [{"answer": "a"}, {"provenance": [{"wikipedia_id": 1}]}]}]
    examples, facts = built("kilt", lines(tmp_path / "k.jsonl", *kilt), tmp_path / "kilt")
    assert examples == [("q", "a", ())] and facts.settings["dropped"] == {"empty text": 1}


def test_lists_and_objects_are_no_texts(tmp_path):
    rows = [("q", "p", ("n", None, {"no": "text"})), (["q", "r"], "p", ()), ("s", {"text": ["p"]}, ()), ("t", 7, ())]
    task = RawTask("toy", "pairs", rows, "Q: ", "D: ", "MIT", "here", symmetric=False)
    examples, dropped = triples(task, HashEncoder())
    assert [(e.query.text, e.positive.text, len(e.negatives)) for e in examples] == [("q", "p", 1), ("t", "7", 0)]
    assert dropped == {"no text but a list or an object": 2}
    lines(tmp_path / "pairs.jsonl", {"query": "q", "pos": "p", "neg": "one text"})
    entry = {"name": "p", "kind": "pair", "file": "pairs.jsonl", "query_instruction": "", "doc_instruction": ""}
    lines(tmp_path / "manifest.json", {"files": [entry]})
    (made,) = read_data_folder(tmp_path, licences=["unstated"])
    assert made.rows == [("q", "p", ("one text",))]


def test_lines_are_named_by_their_numbers(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes('\ufeff{"a": "\\ud800"}\n\n{"b": 2}\n{"c"\n'.encode())
    rows = read_rows(path)
    assert next(rows) == (1, {"a": "\ud800"}) and next(rows) == (3, {"b": 2})
    with pytest.raises(MixtureError, match=r"r\.jsonl:4: cannot be read"):
        next(rows)
    assert list(read_rows(table(tmp_path / "list.json", '\ufeff \n[{"a": 1}, {"a": 2}]'))) == [
        (1, {"a": 1}),
        (2, {"a": 2}),
    ]
    with pytest.raises(MixtureError, match=r"deep\.jsonl:1: cannot be read"):
        list(read_rows(table(tmp_path / "deep.jsonl", '{"a":' * 100_000)))
    damaged = bytearray(gzip.compress(b'{"a": "some text that is long enough"}\n' * 50))
    damaged[20:40] = bytes(20)
    (tmp_path / "d.jsonl.gz").write_bytes(damaged)
    with pytest.raises(MixtureError, match="cannot be read"):
        list(read_rows(tmp_path / "d.jsonl.gz"))


def test_what_no_tokenizer_reads_and_wrong_negatives_of_medi(tmp_path):
    row = {"query": ["Q: ", "a\ud800b"], "pos": ["D: ", "p"], "neg": []}
    examples, _ = built("medi", lines(tmp_path / "m.jsonl", row), tmp_path / "medi")
    assert examples == [("a\ufffdb", "p", ())]
    examples, _ = built(
        "flagembedding", lines(tmp_path / "f.jsonl", {"query": "q\udc00", "pos": ["p"]}), tmp_path / "f"
    )
    assert examples == [("q\ufffd", "p", ())]
    for wrong in ({"a": 1}, 5):
        with pytest.raises(MixtureError, match=r"w\.jsonl:1: expected .*no list"):
            read("medi", lines(tmp_path / "w.jsonl", row | {"neg": wrong}))


def test_names_that_become_one_file_stay_two_tasks(tmp_path):
    rows = [
        {"query": ["Q: ", t], "pos": ["D: ", "p"], "neg": [], "task_name": n} for n, t in (("a/b", "x"), ("a b", "y"))
    ]
    build(
        read_examples(f"medi:{lines(tmp_path / 'm.jsonl', *rows)}", "", ""), tmp_path / "out", BuildPlan(HashEncoder())
    )
    tasks = read_mixture(tmp_path / "out").tasks
    assert {name: rows[0].query.text for name, rows in tasks.items()} == {"a-b": "x", "a-b-2": "y"}


def test_a_mixture_may_be_built_where_one_stands(tmp_path, monkeypatch):
    path = lines(tmp_path / "f.jsonl", {"query": "q", "pos": ["p"]})
    arguments = ["build", "--examples", f"flagembedding:{path}", "--output"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    monkeypatch.chdir(tmp_path / "out")
    assert main([*arguments, ".", "--overwrite"]) == 0
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["out"]
    assert read_mixture(tmp_path / "out").num_examples == 1


def test_symmetry_holds_for_every_source(tmp_path, capsys):
    lines(
        tmp_path / "ni/task1_a.json",
        {
            "Definition": "Say it.",
            "Instance License": "MIT",
            "Instances": [{"input": "a", "output": "x"}, {"input": "b", "output": "y"}],
        },
    )
    table(tmp_path / "list.txt", "\ufefftask1_a\n")
    (task,) = read_super_ni(tmp_path / "ni", tmp_path / "list.txt")
    assert task.licence == "MIT" and task.symmetric
    path = lines(tmp_path / "f.jsonl", {"query": "q", "pos": ["p"]})
    arguments = ["build", "--super-ni", str(tmp_path / "ni"), "--examples", f"flagembedding:{path}", "--output"]
    assert main([*arguments, str(tmp_path / "out"), "--symmetry", "asymmetric"]) == 0
    assert list(read_mixture(tmp_path / "out").tasks) == ["f"]
    assert "left out: task1_a: it is not asymmetric" in capsys.readouterr().out


def test_a_hub_set_that_cannot_be_parsed_is_one_line(tmp_path):
    (tmp_path / "set").mkdir()
    table(tmp_path / "set/train.jsonl", '{"a": "q"}\nno json at all {\n')
    with pytest.raises(MixtureError, match="cannot be loaded"):
        read("hub", f"{tmp_path / 'set'}?query=a&positive=b")
