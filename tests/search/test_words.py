"""Full text: fields with weights, phrases, parts of names, and the sentence that is shown."""

import math
from collections import Counter

import pytest

from ingest import IngestConfig, ingest
from instructor_search import Collection, Searcher
from instructor_search.search.snippets import Snippets, lexical_scores
from instructor_search.store.indexes.word_analysis import analyzer, document, words_query
from tests.toy import HashEncoder

FILES = {
    "mercury.md": "# Mercury\n\nThe planet next to the sun.\n\n## Orbit\n\nIt goes round the sun in 88 days.",
    "metals.md": "# Metals\n\nMercury is a liquid metal; other metals melt far above it. Mercury was used in hat making.",
    "art.md": "# Methods\n\nThis is the state of the art of melting metals.",
    "state.md": "# Museums\n\nThe art of the state was shown there, and so were old metals.",
}
WEIGHTS = {"text": 1.0, "title": 0.3, "heading": 0.3}


@pytest.fixture
def searcher(store, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    encoder = HashEncoder(dim=24)
    ingest(IngestConfig(paths=(folder,), instruction="doc: "), encoder=encoder)
    return Searcher(Collection.open("docs"), encoder)


def bm25(chunks, field, text):
    """Robertson and Zaragoza (2009), with k1 = 1.2 and b = 0.75; chunks without the field count, with no words."""
    words = {i: Counter(analyzer().analyze(chunk[field] or "")) for i, chunk in chunks.items()}
    mean = sum(c.total() for c in words.values()) / len(words)
    scores = Counter()
    for word in analyzer().analyze(text):
        having = sum(word in counted for counted in words.values())
        idf = math.log(1 + (len(words) - having + 0.5) / (having + 0.5))
        for i, counted in words.items():
            if counted[word]:
                norm = 1.2 * (1 - 0.75 + 0.75 * counted.total() / mean)
                scores[i] += idf * counted[word] * 2.2 / (counted[word] + norm)
    return scores


def test_a_score_is_the_weighted_sum_of_the_fields_bm25(searcher):
    table = searcher.collection.chunks.search().select(["id", *WEIGHTS]).limit(99).to_list()
    chunks = {row["id"]: row for row in table}
    assert len(chunks) == 4
    for text in ("mercury", "orbit of mercury", "metals", "The sun's metals, metals"):
        found = {h.chunk_id: h.score for h in searcher.search(text, mode="text", top_k=50)}
        expected = Counter()
        for field, weight in WEIGHTS.items():
            for name, score in bm25(chunks, field, text).items():
                expected[name] += weight * score
        assert found == pytest.approx(dict(expected), rel=1e-5)
        assert found
    assert bm25(chunks, "title", "mercury")
    assert bm25(chunks, "heading", "orbit")


def titles(searcher, text, **options):
    return [h.title for h in searcher.search(text, mode="text", **options)]


def test_words_in_quotes_stand_together(searcher):
    assert set(titles(searcher, "state of the art")) == {"Methods", "Museums"}
    assert titles(searcher, '"state of the art"')[0] == "Methods"
    assert titles(searcher, '"art of the state"')[0] == "Museums"
    assert titles(searcher, '+"state of the art"') == ["Methods"]
    assert titles(searcher, '+"art of the state" metals') == ["Museums"]
    assert titles(searcher, '+"melting metal"') == ["Methods"]  # endings do not count
    assert titles(searcher, '+"liquid metals" +"hat making"') == ["Metals"]
    assert titles(searcher, '+"metal liquid"') == []
    for odd in ('metals " liquid', 'metals "liquid"', "metals +liquid"):  # one mark is no phrase, nor is one word
        assert set(titles(searcher, odd)) == {"Metals", "Methods", "Museums"}
    assert titles(searcher, '+"liquid" metals') == ["Metals"]
    assert set(titles(searcher, '+"the" metals')) == {"Metals", "Methods", "Museums"}  # a stop word asks for nothing
    assert titles(searcher, '""') == []
    assert titles(searcher, '+"state of the art"  ') == titles(searcher, ' +"state of the art"')


def test_a_phrase_counts_once_more(searcher):
    plain, quoted = (
        {h.title: h.score for h in searcher.search(text, mode="text")}
        for text in ("state of the art", '"state of the art"')
    )
    more = {title: quoted[title] - score for title, score in plain.items()}
    assert more["Museums"] == pytest.approx(0, abs=1e-6)
    assert more["Methods"] > 0.5


def test_names_count_as_a_whole_and_by_their_parts(searcher, tmp_path):
    code = "def read(maxSourceLength, parseHTMLDocument=None, snake_case_name=0, IOWrapper, größeMax):\n    return maxSourceLength\n"
    (tmp_path / "docs" / "code.py").write_text(code)
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=searcher.encoder)
    for text in (
        "maxSourceLength",
        "maxsourcelength",
        "source length",
        "HTML",
        "parse a document",
        "snake case",
        "wrapper",
        "Größe",
    ):
        assert titles(searcher, text, where="source contains code.py"), text
    assert titles(searcher, "axsource urcelen") == []
    whole, other = (searcher.search(t, mode="text")[0].score for t in ("parseHTMLDocument", "parse HTML Document"))
    assert whole > other
    assert titles(searcher, '+"parseHTMLDocument None"')  # parts do not come between words
    assert titles(searcher, '+"Length snake"') == []
    assert titles(searcher, '+"maxSourceLength the max"') == []  # nor does a phrase run into them
    assert titles(searcher, "us") == titles(searcher, "GPUs") == []


def test_runs_without_an_end_take_no_longer_than_others():
    for text in ("a" * 200_000, "aB" * 100_000, '"' + "a" * 100_000, '"a' * 50_000, "mercury " * 12_500):
        assert document(0, {"text": text, "title": None, "heading": None}).num_fields
        words_query(text)


def test_the_sentence_shown_shares_words_with_the_query_then_with_the_instruction():
    sentences = ["Mercury is a god.", "Mercury melts at -39 degrees and is a metal.", "The planet Mercury is hot."]
    best = lambda query, hint="": max(range(3), key=lexical_scores(query, sentences, hint).__getitem__)  # noqa: E731
    assert best("mercury") == 0  # a tie: the shortest
    assert best("mercury", "Represent the metallurgy question about metals: ") == 1
    assert best("mercury", "Represent the question about planets: ") == 2
    assert best("mercury melts", "Represent the question about planets: ") == 1


def test_snippets_by_words_or_meaning_or_none(searcher):
    shown = {kind: [h.snippet for h in searcher.search("sun", snippets=kind)] for kind in Snippets}
    assert all("sun" in s for s in shown["words"] if "planet" in s)
    assert set(shown["none"]) == {""}
    assert all(shown["meaning"])
    with pytest.raises(ValueError, match="snippets is 'all'; expected one of words, meaning, auto, none"):
        searcher.search("sun", snippets="all")
