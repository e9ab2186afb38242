"""The MEDI builder: every form of data, and builds that are whole, clean and repeatable."""

import gzip
import json

import pytest

from instructor_search.errors import InstructorSearchError
from tests.train.toy_tasks import Words, task
from train.examples import MixtureError, read_mixture
from train.medi.adapters import read_examples
from train.medi.build import BuildPlan, build
from train.medi.cli import main
from train.medi.contamination import EvaluationTexts, normalise
from train.medi.sources import read_data_folder, read_super_ni, task_instruction


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(json.dumps(r) for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    words = ["red", "blue", "green", "black"]
    write_lines(
        folder / "pairs/p.jsonl.gz",
        [{"query": f"question about thing {i}", "pos": f"answer about thing {i}"} for i in range(9)],
    )
    write_lines(
        folder / "classification/c.jsonl.gz",
        [{"text": f"{words[i % 4]} paint number {i}", "label": i % 4} for i in range(16)],
    )
    ni = [
        {"task": "t1", "definition": "Add. Then say it.", "input": f"{i} plus one", "output": [str(i + 1)]}
        for i in range(6)
    ]
    write_lines(folder / "superni/s.jsonl.gz", ni)
    write_lines(folder / "superni/s_test.jsonl.gz", ni)
    write_lines(folder / "pairs/closed.jsonl.gz", [{"query": "secret", "pos": "data"}])
    common = {"query_instruction": "Q: ", "doc_instruction": "D: ", "license": "MIT"}
    files = [
        {"name": "p", "kind": "pair", "file": "pairs/p.jsonl.gz", "symmetry": "asymmetric", "licence_class": "open"},
        {
            "name": "c",
            "kind": "classification",
            "file": "classification/c.jsonl.gz",
            "symmetry": "symmetric",
            "licence_class": "C-UDA",
        },
        {"name": "s", "kind": "superni", "file": "superni/s.jsonl.gz", "symmetry": "asymmetric"},
        {"name": "s_test", "kind": "superni", "file": "superni/s_test.jsonl.gz", "licence_class": "open"},
        {"name": "closed", "kind": "pair", "file": "pairs/closed.jsonl.gz", "licence_class": "non-commercial"},
    ]
    (folder / "manifest.json").write_text(json.dumps({"files": [common | f for f in files]}))
    return folder


def names(folder, **options):
    return [t.name for t in read_data_folder(folder, **{"licences": ["open", "C-UDA"], **options})]


def test_licences_symmetry_and_names_choose(data):
    assert names(data) == ["p", "c"]
    assert names(data, licences=["open", "C-UDA", "unstated"]) == ["p", "c", "t1"]
    assert names(data, licences=["open", "C-UDA", "unstated"], super_ni=False) == ["p", "c"]
    assert names(data, symmetry="symmetric") == ["c"] and names(data, symmetry="asymmetric") == ["p"]
    assert names(data, only=["c"]) == ["c"] and names(data, exclude=["c"]) == ["p"]
    with pytest.raises(MixtureError, match="has no nothing"):
        names(data, only=["nothing"])


def test_a_build_is_repeatable_and_whole(data, tmp_path, tiny_folder, capsys):
    arguments = [
        "build",
        "--data",
        str(data),
        "--licences",
        "open,C-UDA,unstated",
        "--encoder",
        str(tiny_folder),
        "--max-rows",
        "8",
    ]
    for name in ("one", "two"):
        assert main([*arguments, "--output", str(tmp_path / name)]) == 0
    shown = capsys.readouterr().out
    assert "3 tasks, " in shown
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["c.jsonl.gz", "manifest.json", "p.jsonl.gz", "t1.jsonl.gz"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    mixture = read_mixture(tmp_path / "one")
    assert {n: len(rows) for n, rows in mixture.tasks.items()}["p"] == 8
    assert mixture.facts["c"].licence == "MIT" and mixture.facts["c"].kind == "classification"
    assert (
        mixture.tasks["t1"][0].query.instruction
        == "Represent the example for the following task: Add. Then say it; Input: "
    )
    assert main(["show", str(tmp_path / "one"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["seed"] == 0
    assert main([*arguments, "--output", str(tmp_path / "one")]) == 1
    assert "exists; choose another folder, or --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--output", str(tmp_path / "one"), "--overwrite", "--only", "c"]) == 0
    assert list(read_mixture(tmp_path / "one").tasks) == ["c"]
    (tmp_path / "one/c.jsonl.gz").write_bytes(b"damaged")
    with pytest.raises(MixtureError, match="its hash differs"):
        read_mixture(tmp_path / "one")


def test_evaluation_texts_are_taken_out_or_refused(data, tmp_path, tiny_folder, capsys):
    evaluation = tmp_path / "evaluation/set"
    rows = [{"text": "short", "positive": ["ANSWER, about thing: 3!", "unrelated text of some length"]}]
    write_lines(evaluation / "test.jsonl.gz", rows)
    assert normalise("ANSWER, about thing: 3!") == "answer about thing 3"
    texts = EvaluationTexts([tmp_path / "evaluation"])
    assert texts.texts == {"answer about thing 3", "unrelated text of some length"}
    arguments = [
        "build",
        "--data",
        str(data),
        "--only",
        "p",
        "--encoder",
        str(tiny_folder),
        "--against",
        str(tmp_path / "evaluation"),
    ]
    assert main([*arguments, "--output", str(tmp_path / "clean"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tasks"][0]["rows"] == 8 and report["tasks"][0]["settings"]["dropped"] == {"evaluation text": 1}
    assert all("thing 3" not in e.positive.text for e in read_mixture(tmp_path / "clean").tasks["p"])
    assert main([*arguments, "--output", str(tmp_path / "x"), "--contamination", "refuse"]) == 1
    assert "p: 1 rows hold a text of the evaluation data" in capsys.readouterr().err
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob(".x*"))


def test_a_build_that_fails_leaves_nothing(tmp_path):
    class Broken(Words):
        def encode(self, texts, **_):
            raise InstructorSearchError("no")

    rows = [(f"text {i}", str(i % 2)) for i in range(8)]
    with pytest.raises(InstructorSearchError):
        build([task("pairs", [("a", "b", ())]), task("classification", rows)], tmp_path / "out", BuildPlan(Broken()))
    with pytest.raises(MixtureError, match="two tasks are called 'toy'"):
        build([task("pairs", [("a", "b", ())])] * 2, tmp_path / "out", BuildPlan(Words()))
    with pytest.raises(MixtureError, match="no examples are left: toy: "):
        build([task("pairs", [("a", "", ())])], tmp_path / "out", BuildPlan(Words()))
    assert list(tmp_path.iterdir()) == []


def test_super_ni_in_its_own_layout(tmp_path):
    for number in (1, 2):
        path = tmp_path / f"tasks/task00{number}_x.json"
        path.parent.mkdir(exist_ok=True)
        instances = [{"id": "1", "input": "in", "output": ["out", "other"]}]
        path.write_text(json.dumps({"Definition": ["Say it"], "Instances": instances, "Instance License": ["MIT"]}))
    (tmp_path / "list.txt").write_text("task002_x\n")
    assert [t.name for t in read_super_ni(tmp_path)] == ["task001_x", "task002_x"]
    (only,) = read_super_ni(tmp_path, tmp_path / "list.txt")
    assert (only.name, only.rows, only.licence) == ("task002_x", [("in", "out")], "MIT")
    (tmp_path / "list.txt").write_text("task009_x\n")
    with pytest.raises(MixtureError, match="1 of the listed tasks, the first is task009_x"):
        list(read_super_ni(tmp_path, tmp_path / "list.txt"))
    long = ". ".join(f"Sentence {i} has five words" for i in range(20))
    assert len(task_instruction(long).split()) < 55


def test_every_form_of_examples(tmp_path):
    def pairs(given):
        return [tuple(r) for t in read_examples(given, "Q: ", "D: ") for r in t.rows]

    st = write_lines(tmp_path / "st.jsonl", [{"anchor": "a", "positive": "p", "negative": "n", "negative_2": "m"}])
    assert pairs(f"sentence-transformers:{st}") == [("a", "p", ("n", "m"))]
    (tmp_path / "st.csv").write_text("question,answer\nq,a\n")
    assert pairs(f"sentence-transformers:{tmp_path / 'st.csv'}") == [("q", "a", ())]
    flag = write_lines(tmp_path / "f.jsonl", [{"query": "q", "pos": ["p", "r"], "neg": ["n"], "prompt": "P: "}])
    (made,) = read_examples(f"flagembedding:{flag}", "Q: ", "D: ")
    assert (made.rows, made.query_instruction) == ([("q", "p", ("n",)), ("q", "r", ("n",))], "P: ")
    passages = {"positive_passages": [{"title": "T", "text": "p"}], "negative_passages": [{"text": "n"}]}
    tevatron = write_lines(tmp_path / "t.jsonl", [{"query": "q", **passages}])
    assert pairs(f"tevatron:{tevatron}") == [("q", "T p", ("n",))]
    kilt = write_lines(
        tmp_path / "k.jsonl",
        [{"input": "q", "output": [{"answer": "a", "provenance": [{"text": "x"}]}, {"answer": "b"}]}],
    )
    assert pairs(f"kilt:{kilt}") == [("q", "x", ()), ("q", "b", ())]
    options = {"opa": "A", "opb": "B", "opc": "C", "opd": "D"}
    med = write_lines(tmp_path / "m.jsonl", [{"question": "q", **options, "cop": 2, "exp": "since"}])
    assert pairs(f"medmcqa:{med}") == [("q", "B", ("A", "C", "D"))]
    write_lines(tmp_path / "beir/corpus.jsonl", [{"_id": "d", "title": "T", "text": "x"}])
    write_lines(tmp_path / "beir/queries.jsonl", [{"_id": "q", "text": "ask"}])
    (tmp_path / "beir/qrels").mkdir()
    (tmp_path / "beir/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\nq\td\t0\n")
    assert pairs(f"beir:{tmp_path / 'beir'}") == [("ask", "T x", ())]
    row = {"query": ["Represent q: ", "q"], "pos": ["Represent d: ", "p"], "neg": ["Represent d: ", "n"], "task_id": 7}
    (tmp_path / "medi.json").write_text(json.dumps([row]))
    (made,) = read_examples(f"medi:{tmp_path / 'medi.json'}", "Q: ", "D: ")
    assert made.name == "7" and made.rows[0][0].negatives[0] == ("Represent d: ", "n")
    local = tmp_path / "local"
    write_lines(local / "train.jsonl", [{"a": "q", "b": "p"}])
    assert pairs(f"hub:{local}?query=a&positive=b") == [("q", "p", ())]


def test_wrong_wishes_are_one_line(tmp_path, capsys):
    bad = write_lines(tmp_path / "bad.jsonl", [{"x": 1}])
    for arguments, words in (
        ([], "nothing to build from; give --data, --super-ni or --examples"),
        (["--data", str(tmp_path / "none")], "has no manifest.json"),
        (["--examples", "word2vec:x"], "expected FORMAT:PATH with FORMAT one of beir, flagembedding, hub"),
        (["--examples", f"beir:{tmp_path / 'none'}"], "no such file or folder"),
        (["--examples", f"tevatron:{bad}"], "is not in the form of tevatron (KeyError: 'positive_passages')"),
        (["--super-ni", str(tmp_path)], "no task*.json"),
        (["--examples", f"medi:{bad}", "--against", str(tmp_path / "empty")], "holds no .jsonl or .jsonl.gz files"),
    ):
        assert main(["build", "--output", str(tmp_path / "out"), *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error
    assert main(["show", str(tmp_path)]) == 1 and "is no mixture" in capsys.readouterr().err
