"""Judgments: stored, overruled, taken back; exported as training rows that the trainer reads and as an evaluation set."""

import json
import threading

import pytest

from eval.local_data import read_retrieval
from instructor_search import Collection, Searcher
from instructor_search.commands.main import main
from instructor_search.errors import StoreError
from instructor_search.store.judgments import export_medi, export_qrels, judge, medi_rows, read_judgments
from train.examples import read_mixture

ASKED = {"query": "mercury", "instruction": "Represent the astronomy question: "}


@pytest.fixture
def collection(corpus_store, tmp_path):
    import shutil

    shutil.copytree(corpus_store / "corpus", tmp_path / "store" / "corpus")
    return Collection.open("corpus", tmp_path / "store")


@pytest.fixture
def chunks(collection):
    hits = Searcher(collection).search("mercury", mode="text", top_k=4)
    return [(hit.chunk_id, hit.text) for hit in hits]


def say(collection, chunk, relevant, **asked):
    return judge(collection, collection.view(), chunk[0], relevant=relevant, **{**ASKED, **asked})


def test_the_last_judgment_counts(collection, chunks):
    say(collection, chunks[0], True)
    say(collection, chunks[1], True)
    say(collection, chunks[0], False)
    say(collection, chunks[0], True, instruction="another")
    say(collection, chunks[1], None)
    found = read_judgments(collection)
    assert [(j.chunk_id, j.instruction, j.relevant) for j in found] == [
        (chunks[0][0], ASKED["instruction"], False),
        (chunks[0][0], "another", True),
    ]
    assert found[0].text == chunks[0][1] and found[0].view == "default"
    assert found[0].document_instruction == collection.view().document_instruction


def test_rows_of_medi_are_what_the_trainer_reads(collection, chunks, tmp_path):
    for chunk, relevant in zip(chunks, (True, False, True, False), strict=True):
        say(collection, chunk, relevant)
    say(collection, chunks[0], False, query="only a negative")
    document = collection.view().document_instruction
    rows = list(medi_rows(read_judgments(collection)))
    assert rows[0] == {
        "query": [ASKED["instruction"], "mercury"],
        "pos": [document, chunks[0][1]],
        "neg": [[document, chunks[1][1]], [document, chunks[3][1]]],
    }
    path = tmp_path / "out" / "rows.jsonl"
    assert export_medi(read_judgments(collection), path) == len(rows) == 2
    mixture = read_mixture(path)
    assert mixture.num_examples == 2
    example = next(iter(mixture.tasks.values()))[0]
    assert example.query.text == "mercury" and len(example.negatives) == 2


def test_qrels_are_an_evaluation_set(collection, chunks, tmp_path):
    say(collection, chunks[0], True)
    say(collection, chunks[1], False)
    assert export_qrels(read_judgments(collection), tmp_path / "set") == 2
    corpus, queries, qrels, notes = read_retrieval(tmp_path / "set")
    assert [q["text"] for q in queries] == ["mercury"] and queries[0]["instruction"] == ASKED["instruction"]
    assert qrels == {queries[0]["_id"]: {chunks[0][0]: 1, chunks[1][0]: 0}}
    assert {d["_id"]: d["text"] for d in corpus} == dict(chunks[:2]) and not notes


def test_nothing_to_export(collection, chunks, tmp_path):
    say(collection, chunks[0], False)
    for export in (export_medi, export_qrels):
        with pytest.raises(StoreError, match="no hit was judged relevant yet"):
            export(read_judgments(collection), tmp_path / "x")


def test_what_is_refused(collection, chunks):
    with pytest.raises(StoreError, match="no chunk 'nothing'"):
        say(collection, ("nothing", ""), True)
    with pytest.raises(ValueError, match="the query is empty"):
        say(collection, chunks[0], True, query=" ")
    with pytest.raises(ValueError, match="expected at most"):
        say(collection, chunks[0], True, query="x" * 30_000)
    say(collection, chunks[0], True)
    with (collection.folder / "judgments.jsonl").open("a") as stream:
        stream.write("{broken\n")
    with pytest.raises(StoreError, match="line 2 is damaged"):
        read_judgments(collection)


def test_lines_of_several_threads_do_not_mix(collection, chunks):
    queries = [f"query {i}\u2028with a line mark" for i in range(20)]
    threads = [threading.Thread(target=say, args=(collection, chunks[0], True), kwargs={"query": q}) for q in queries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(j.query for j in read_judgments(collection)) == sorted(queries)


def test_the_commands(collection, chunks, tmp_path, capsys):
    place = ["--collection", "corpus", "--store", str(collection.folder.parent)]
    assert main(["judge", chunks[0][0], "--query", "mercury", "--instruction", "@legal", "--relevant", *place]) == 0
    assert main(["judgments", "--medi", str(tmp_path / "m.jsonl"), "--qrels", str(tmp_path / "q"), *place]) == 0
    row = json.loads((tmp_path / "m.jsonl").read_text())
    assert row["query"] == ["Represent the legal question for retrieving applicable provisions: ", "mercury"]
    capsys.readouterr()
    assert main(["judgments", *place]) == 0
    assert "1 judgment\n" in capsys.readouterr().out
    taken = ["judge", chunks[0][0], "--query", "mercury", "--instruction", "@legal", "--take-back", *place]
    assert main(taken) == 0 and "taken back" in capsys.readouterr().out
    before = (collection.folder / "judgments.jsonl").read_bytes()
    assert main(taken) == 1 and "nothing was taken back" in capsys.readouterr().err
    assert (collection.folder / "judgments.jsonl").read_bytes() == before
    assert main(["judge", "nothing", "--query", "x", "--relevant", *place]) == 1
    assert "no chunk 'nothing'" in capsys.readouterr().err
