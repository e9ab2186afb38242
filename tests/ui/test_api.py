"""What programs call: typed functions, values that they get wrong, and the collection that they mean."""

import json
import shutil

import pytest

from instructor_search.store.judgments import read_judgments
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY
from ui.api import endpoints
from ui.asking import AppError, Asked
from ui.config import AppConfig
from ui.render import cards
from ui.session import Session
from ui.tabs import search


def test_endpoints_are_typed_and_work(session):
    named = {function.__name__: function for function in endpoints(session)}
    assert set(named) == {"search", "compare", "explain", "collections", "prompt", "judge"}
    hits = named["search"]("mercury", ASTRONOMY, "corpus", top_k=2.0)  # as JSON may have it
    assert hits[0]["title"] == "Mercury (planet)"
    assert json.dumps(hits)
    why = named["explain"]("mercury", hits[0]["chunk_id"], ASTRONOMY, "corpus")
    assert sum(t[3] for t in why["tokens"]) == pytest.approx(why["score"], abs=1e-4)
    change = named["compare"]("mercury", ASTRONOMY, MYTHOLOGY, "corpus", top_k=3)["differences"][0]
    assert 0 <= change["overlap"] < 1
    assert "corpus" in {c["name"] for c in named["collections"]()}


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("search", {"query": 5}, "query is 5; expected a text"),
        ("search", {"query": None}, "query is None; expected a text"),
        ("search", {"instruction": 5}, "instruction is 5; expected a text"),
        ("search", {"collection": 5}, "collection is 5; expected a text"),
        ("search", {"where": ["a"]}, r"where is \['a'\]; expected a text"),
        ("search", {"top_k": None}, "top_k is None; expected a whole number"),
        ("search", {"top_k": "abc"}, "top_k is 'abc'; expected a whole number"),
        ("search", {"top_k": 1.5}, "top_k is 1.5; expected a whole number"),
        ("search", {"top_k": True}, "top_k is True; expected a whole number"),
        ("explain", {"chunk_id": 5}, "chunk_id is 5; expected a text"),
        ("judge", {"chunk_id": "x", "relevant": "no"}, "relevant is 'no'; expected true or false"),
        ("judge", {"chunk_id": "x", "relevant": None}, "relevant is None; expected true or false"),
        ("prompt", {"pool": "corpus", "num_examples": "abc"}, "num_examples is 'abc'; expected a whole number"),
    ],
)
def test_values_that_a_program_gets_wrong(session, name, values, said):
    function = next(function for function in endpoints(session) if function.__name__ == name)
    given = {"text": "x"} if name == "prompt" else {"query": "x", "collection": "corpus"}
    with pytest.raises(AppError, match=said):
        function(**{**given, **values})


def test_a_page_cannot_store_what_is_no_judgment(session):
    asked = Asked("corpus", "another judged query", ASTRONOMY)
    hit = session.search(asked).hits[0]
    values = {"asked": cards.asked_json(asked), "chunk": hit.chunk_id, "relevant": "false"}
    with pytest.raises(AppError, match="relevant is 'false'; expected true or false"):
        search.judge_hit(session, values)
    assert asked.query not in {j.query for j in read_judgments(session.library.collection("corpus"))}


def test_the_collection_that_a_program_means(corpus_store, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(corpus_store, store)
    session = Session(AppConfig(store=str(store)))
    assert session.meant_collection("") == "corpus"
    shutil.copytree(store / "corpus", store / "archive")
    with pytest.raises(AppError, match="which collection\\? name it; there is: archive, corpus"):
        next(f for f in endpoints(session) if f.__name__ == "search")("mercury")
    assert session.meant_collection("corpus") == "corpus"
    assert Session(AppConfig(store=str(store), collection="corpus")).meant_collection("") == "corpus"
    with pytest.raises(AppError, match="there is no collection yet"):
        Session(AppConfig(store=str(tmp_path / "none"))).meant_collection("")
