"""Tasks of long documents made of pairs: what they hold, and what they must not."""

import json
import re

import pytest

from train.medi.contamination import EvaluationTexts
from train.medi.passages import KEPT_SHARE, pages, sentences, with_passages
from train.medi.sources import RawTask


def task(rows, document="Represent the medical answer for retrieval: "):
    return RawTask("x", "pairs", rows, "Represent the question: ", document, "MIT", "somewhere", symmetric=False)


def passage(number):
    return " ".join(
        f"Sentence {n} of passage {number} has just about fifteen words so that it is long enough here."
        for n in range(8)
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("Represent the Python code of an algorithm for retrieval: ", "algorithm sentence"),
        (
            "Represent the abstract of a Python enhancement proposal for retrieval: ",
            "Python enhancement proposal sentence",
        ),
        ("Represent the document for retrieval: ", "sentence"),
        ("Represent the official statement for retrieval: ", "official sentence"),
    ],
)
def test_the_subject_of_a_sentence_is_that_of_its_document(document, sentence):
    made = sentences(task(LONG, document), 0)
    assert made.query_instruction == f"Represent the {sentence} for retrieving the passage that it belongs to: "
    assert made.document_instruction == f"Represent the {sentence.replace('sentence', 'passage')} for retrieval: "


LONG = [(f"question {n}", passage(n), ()) for n in range(300)]
FACTS = [(f"Land {s}: aspect {a}", f"value {s}-{a}", ()) for s in range(30) for a in range(12)]


def test_a_sentence_finds_its_own_passage():
    made = sentences(task(LONG), 0)
    assert made.name == "sentences_x" and len(made.rows) == 300
    assert made.query_instruction == "Represent the medical sentence for retrieving the passage that it belongs to: "
    whole = {row[1] for row in LONG}
    kept = 0
    for query, document, _ in made.rows:
        own = query.split(" of ")[1].split()[1]
        source = passage(own)
        assert query in source
        if document in whole:
            kept += 1
            assert document == source
        else:
            assert sorted([query, *document.replace(". ", ".|").split("|")]) == sorted(
                source.replace(". ", ".|").split("|")
            )
    assert kept / 300 == pytest.approx(KEPT_SHARE, abs=0.08)
    assert sentences(task(LONG), 0).rows == made.rows != sentences(task(LONG), 1).rows


def test_few_or_short_documents_give_none():
    assert sentences(task(LONG[:50]), 0) is None
    assert sentences(task(FACTS), 0) is None
    assert pages(task(LONG), 0) is None


def test_only_the_right_page_has_the_answer():
    made = pages(task(FACTS), 0)
    assert made.name == "pages_x" and len(made.rows) == len(FACTS)
    known = {query: document for query, document, _ in FACTS}
    for query, page, wrong in made.rows:
        lines = page.splitlines()
        subject = lines[0].rsplit(" page ", 1)[0]
        asked = [a for a in lines[1::2] if re.search(rf"{a}\b", query)]
        assert subject in query and len(asked) == 1
        assert known[f"{subject}: {asked[0]}"] in lines
        for other in wrong:
            assert known[f"{subject}: {asked[0]}"] not in other.splitlines()
        assert asked[0] in wrong[0].splitlines() and not wrong[0].startswith(f"{subject} page")
        assert wrong[1].startswith(f"{subject} page") and asked[0] not in wrong[1].splitlines()


def test_no_part_of_an_evaluation_text_is_taken(tmp_path):
    held = passage(7)
    (tmp_path / "set.jsonl").write_text(json.dumps({"text": held}))
    given, made = with_passages([task(LONG)], 0, EvaluationTexts([tmp_path]))
    assert len(given.rows) == 300 and len(made.rows) == 299
    assert not any("passage 7 " in text for row in made.rows for text in row[:2])


def test_the_command_adds_them(tmp_path):
    from train.examples import read_mixture
    from train.medi.cli import main

    data = tmp_path / "data"
    data.mkdir()
    entry = {
        "name": "facts",
        "kind": "pairs",
        "file": "facts.jsonl",
        "licence_class": "open",
        "query_instruction": "",
        "doc_instruction": "Represent the factbook entry for retrieval: ",
    }
    (data / "manifest.json").write_text(json.dumps({"files": [entry]}))
    lines = [json.dumps({"query": query, "pos": document}) for query, document, _ in FACTS]
    (data / "facts.jsonl").write_text("\n".join(lines))
    assert main(["build", "--data", str(data), "--passages", "--output", str(tmp_path / "m")]) == 0
    facts = read_mixture(tmp_path / "m").facts
    assert set(facts) == {"facts", "pages_facts"}
    assert facts["pages_facts"].document_instruction == "Represent the factbook page for retrieval: "
