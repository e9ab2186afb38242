"""Full text: fields with weights, phrases, and the sentence that is shown."""

import pytest

from ingest.pipeline import IngestConfig, ingest
from instructor_search import Collection, Searcher
from instructor_search.search.snippets import Snippets, lexical_scores
from instructor_search.search.words import FIELD_WEIGHTS, text_query
from instructor_search.store import vector_index
from instructor_search.store.lancedb_lightly import FTS, MatchQuery, PhraseQuery
from tests.toy import HashEncoder

FILES = {
    "mercury.md": "# Mercury\n\nThe planet next to the sun.\n\n## Orbit\n\nIt goes round the sun in 88 days.",
    "metals.md": "# Metals\n\nMercury is a liquid metal; other metals melt far above it. Mercury was used in hat making.",
    "art.md": "# Methods\n\nThis is the state of the art of melting metals.",
    "state.md": "# Museums\n\nThe art of the state was shown there, and so were old metals.",
}


@pytest.fixture
def searcher(store, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    encoder = HashEncoder(dim=24)
    ingest(IngestConfig(paths=(folder,), instruction="doc: "), encoder=encoder)
    return Searcher(Collection.open("docs"), encoder)


def scores_of(searcher, field, text):
    """BM25 of one field by the store's own single query."""
    rows = searcher.collection.chunks.search(MatchQuery(text, field), query_type="fts").limit(50).to_list()
    return {row["id"]: row["_score"] for row in rows}


def test_a_score_is_the_weighted_sum_over_the_fields(searcher):
    for text in ("mercury", "orbit of mercury", "metals"):
        found = {h.chunk_id: h.score for h in searcher.search(text, mode="text", top_k=50)}
        fields = {field: scores_of(searcher, field, text) for field in FIELD_WEIGHTS}
        by_hand = {
            i: sum(weight * fields[field].get(i, 0.0) for field, weight in FIELD_WEIGHTS.items())
            for i in set().union(*fields.values())
        }
        assert found == pytest.approx(by_hand, rel=1e-5) and found
    assert scores_of(searcher, "title", "mercury") and scores_of(searcher, "heading", "orbit")


def test_words_in_quotes_stand_together(searcher):
    titles = lambda text: [h.title for h in searcher.search(text, mode="text")]  # noqa: E731
    assert set(titles("state of the art")) == {"Methods", "Museums"}
    assert titles('"state of the art"')[0] == "Methods" and titles('"art of the state"')[0] == "Museums"
    assert titles('+"state of the art"') == ["Methods"]
    assert titles('+"art of the state" metals') == ["Museums"]
    assert titles('+"melting metal"') == ["Methods"]  # endings do not count
    assert titles('+"liquid metals" +"hat making"') == ["Metals"]
    assert titles('+"metal liquid"') == []
    for odd in ('metals " liquid', 'metals "liquid"', "metals +liquid"):  # one mark is no phrase, nor is one word
        assert set(titles(odd)) == {"Metals", "Methods", "Museums"}
    assert titles('""') == []
    assert titles('+"state of the art"  ') == titles(' +"state of the art"')


def test_a_phrase_counts_once_more(searcher):
    plain, quoted = (
        {h.chunk_id: h.score for h in searcher.search(text, mode="text")}
        for text in ("state of the art", '"state of the art"')
    )
    rows = searcher.collection.chunks.search(PhraseQuery("state of the art", "text"), query_type="fts").to_list()
    phrase = {row["id"]: row["_score"] for row in rows}
    assert quoted == pytest.approx({i: score + phrase.get(i, 0.0) for i, score in plain.items()}, rel=1e-5)
    assert len(phrase) == 1 < len(plain)


def test_an_index_from_before_is_made_anew(searcher):
    table = searcher.collection.chunks
    for index in list(table.list_indices()):
        table.drop_index(index.name)
    table.create_index("text", config=FTS(stem=True, remove_stop_words=True, ascii_folding=True))
    assert searcher.search("mercury", mode="text")  # words are found with what there is
    with searcher.collection.writing():
        searcher.collection.maintain()
    assert vector_index.text_fields(table) == vector_index.TEXT_FIELDS == tuple(FIELD_WEIGHTS)
    assert [h.title for h in searcher.search('+"state of the art"', mode="text")] == ["Methods"]
    assert vector_index.ensure_text_index(table) == []
    assert text_query("a", ["text"]) != text_query("a", ["text", "title"])


def test_the_sentence_shown_shares_words_with_the_query_then_with_the_instruction():
    sentences = ["Mercury is a god.", "Mercury melts at -39 degrees and is a metal.", "The planet Mercury is hot."]
    best = lambda query, hint="": max(range(3), key=lexical_scores(query, sentences, hint).__getitem__)  # noqa: E731
    assert best("mercury") == 0  # a tie: the shortest
    assert best("mercury", "Represent the metallurgy question about metals: ") == 1
    assert best("mercury", "Represent the question about planets: ") == 2
    assert best("mercury melts", "Represent the question about planets: ") == 1


def test_snippets_by_words_or_meaning_or_none(searcher):
    shown = {kind: [h.snippet for h in searcher.search("sun", snippets=kind)] for kind in Snippets}
    assert all("sun" in s for s in shown["words"] if "planet" in s) and set(shown["none"]) == {""}
    assert all(shown["meaning"])
    with pytest.raises(ValueError, match="snippets is 'all'; expected one of words, meaning, none"):
        searcher.search("sun", snippets="all")
