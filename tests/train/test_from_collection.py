"""Training examples of a collection: judged hits, else titles and headings."""

import shutil

import pytest

from instructor_search import Collection, Searcher
from instructor_search.instructions import InstructedText
from instructor_search.store.judgments import judge
from train.from_collection import from_collection

ASTRONOMY = "Represent the astronomy question: "


def test_titles_and_headings_of_a_collection(corpus_store):
    mixture = from_collection("corpus", str(corpus_store))
    rows = mixture.tasks["corpus"]
    found = {e.query.text: e.positive.text for e in rows}
    assert len(rows) > 40
    assert found["Mercury (planet) > Visits"].startswith("Mariner 10 flew past")  # its heading is not in the text
    assert not any("reviews.csv" in head for head in found)  # a row's number says nothing
    assert {e.query.instruction for e in rows} == {"Represent the question for retrieving supporting documents: "}
    assert {e.positive.instruction for e in rows} == {"Represent the document for retrieval: "}


@pytest.fixture
def collection(corpus_store, tmp_path):
    shutil.copytree(corpus_store / "corpus", tmp_path / "store" / "corpus")
    return Collection.open("corpus", tmp_path / "store")


def say(collection, count, relevant, query, instruction):
    """Judge ``count`` hits of a query; return their texts."""
    hits = Searcher(collection).search(query, mode="text", top_k=count)
    for hit in hits:
        judge(collection, collection.view(), hit.chunk_id, query=query, instruction=instruction, relevant=relevant)
    return [hit.text for hit in hits]


def test_judged_hits_come_before_titles(collection, tmp_path, capsys):
    good = say(collection, 12, True, "water", ASTRONOMY)
    say(collection, 3, False, "sun", ASTRONOMY)
    assert "corpus" in from_collection("corpus", str(tmp_path / "store")).tasks
    assert "12 hits of 'corpus' were judged relevant, 20 are needed" in capsys.readouterr().err
    say(collection, 9, True, "time", "")
    mixture = from_collection("corpus", str(tmp_path / "store"))
    (rows,) = mixture.tasks.values()
    assert list(mixture.tasks) == ["corpus-judgments"] and len(rows) == 21  # none for "sun": no relevant hit
    assert [e.query for e in rows[:12]] == [InstructedText(ASTRONOMY, "water")] * 12
    assert {e.positive.text for e in rows[:12]} == set(good)
    assert rows[12].query == InstructedText("", "time") and not rows[0].negatives


def test_what_was_judged_not_relevant_is_a_hard_negative(collection, tmp_path):
    hits = Searcher(collection).search("water", top_k=22)
    for number, hit in enumerate(hits):
        judge(collection, collection.view(), hit.chunk_id, query="water", instruction="", relevant=number > 1)
    (rows,) = from_collection("corpus", str(tmp_path / "store")).tasks.values()
    assert len(rows) == 20
    assert {n.text for e in rows for n in e.negatives} == {hits[0].text, hits[1].text}
    assert len({e.label for e in rows}) == 1  # so that no relevant hit of the same query counts as a negative
