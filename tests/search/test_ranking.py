"""Pages, fusion by weights, copies, diversity, many queries at once, more like this: each against a plain oracle."""

import dataclasses
import json
import re

import numpy as np
import pytest

from ingest import IngestConfig, ingest
from instructor_search import Collection, Query, Searcher
from instructor_search.commands.main import main
from instructor_search.errors import StoreError
from instructor_search.search.diversity import maximal_marginal_relevance, without_near_copies
from instructor_search.search.fusion import weighted_fusion
from instructor_search.search.ranking import Ranking, RankingOptions
from instructor_search.store.indexes.policy import IndexConfig
from tests.toy import HashEncoder

Q = "q: "


@pytest.fixture
def encoder():
    return HashEncoder(dim=24)


@pytest.fixture(params=["exact", "flat", "lance-hnsw-sq"])
def searcher(request, store, tmp_path, encoder):
    """The same collection under an exact scan, FAISS, and LanceDB's index."""
    if request.param == "flat":
        pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    from instructor_search.search.index_report import make_index

    folder = tmp_path / "docs"
    folder.mkdir()
    rows = "".join(f"the {'red blue green'.split()[i % 3]} value {i},{i}\n" for i in range(240))
    (folder / "a.csv").write_text("text,n\n" + rows)
    for copy in range(3):
        (folder / f"copy{copy}.txt").write_text("one text in three files")
    ingest(IngestConfig(paths=(folder,), instruction="doc: "), encoder=encoder)
    collection = Collection.open("docs")
    make_index(collection, collection.view(), IndexConfig(request.param))
    return Searcher(collection, encoder)


def ids(hits):
    return [h.chunk_id for h in hits]


@pytest.mark.parametrize("mode", ["dense", "text", "hybrid"])
def test_pages_are_parts_of_one_ranking(searcher, mode):
    whole = searcher.search("the blue value", instruction=Q, mode=mode, top_k=48, snippets="none")
    pages = [searcher.search("the blue value", instruction=Q, mode=mode, top_k=12, offset=12 * i) for i in range(4)]
    assert ids(whole) == [i for page in pages for i in ids(page)] and len(set(ids(whole))) == 48
    assert [h.rank for page in pages for h in page] == list(range(1, 49))
    assert searcher.search("the blue value", instruction=Q, mode=mode, offset=500) == []


def test_weighted_fusion_is_the_sum_by_hand(searcher):
    near = {h.chunk_id: h.score for h in searcher.search("red value", instruction=Q, top_k=100, snippets="none")}
    words = {h.chunk_id: h.score for h in searcher.search("red value", mode="text", top_k=100, snippets="none")}
    found = searcher.search("red value", instruction=Q, mode="hybrid", dense_weight=0.3, top_k=20, snippets="none")
    highest, best = max(near.values()), max(words.values())
    by_hand = {
        i: (0.3 * (near[i] + 1) / (highest + 1) if i in near else 0) + (0.7 * words[i] / best if i in words else 0)
        for i in near.keys() | words.keys()
    }
    expected = sorted(by_hand, key=lambda i: (-by_hand[i], i))[:20]
    assert ids(found) == expected
    np.testing.assert_allclose([h.score for h in found], [by_hand[i] for i in expected], atol=1e-6)
    assert weighted_fusion({"dense": {}, "text": {"a": 0.0}}, {"dense": 0.5, "text": 0.5}) == {"a": 0.0}


def test_copies_are_dropped_and_others_move_up(searcher):
    plain = searcher.search("one text in three files", instruction="doc: ", top_k=5)
    assert [h.text for h in plain[:3]] == ["one text in three files"] * 3
    thin = searcher.search("one text in three files", instruction="doc: ", top_k=5, drop_copies=0.999)
    assert thin[0].chunk_id == plain[0].chunk_id and ids(thin)[1:3] == ids(plain)[3:5] and len(thin) == 5
    assert [h.rank for h in thin] == [1, 2, 3, 4, 5]


def test_near_copies_by_a_plain_loop():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = []
    for i in range(200):
        if all(vectors[i] @ vectors[j] < 0.7 for j in kept):
            kept.append(i)
    assert without_near_copies(vectors, 0.7) == kept and 10 < len(kept) < 150


@pytest.mark.parametrize("balance", [1.0, 0.7, 0.3, 0.0])
def test_marginal_relevance_by_a_plain_loop(balance):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(rng.uniform(size=40))[::-1].tolist()
    chosen = []
    while len(chosen) < 12:
        values = {
            i: balance * scores[i] - (1 - balance) * max((vectors[i] @ vectors[j] for j in chosen), default=0.0)
            for i in range(40)
            if i not in chosen
        }
        chosen.append(max(values, key=lambda i: (values[i], -i)))
    assert maximal_marginal_relevance(scores, vectors, balance, 12) == chosen
    if balance == 1.0:
        assert chosen == list(range(12))


def test_diversity_makes_hits_less_alike(searcher):
    def alike(hits):
        vectors = searcher.collection.vectors_of(searcher.view, ids(hits))
        matrix = np.stack([vectors[i] for i in ids(hits)])
        return (matrix @ matrix.T)[np.triu_indices(len(hits), 1)].mean()

    plain = searcher.search("the red value", instruction=Q, top_k=10)
    varied = searcher.search("the red value", instruction=Q, top_k=10, diversity=0.6)
    assert varied[0].chunk_id == plain[0].chunk_id and alike(varied) < alike(plain) - 0.05
    for mode in ("text", "hybrid"):
        assert len(searcher.search("the red value", instruction=Q, mode=mode, top_k=10, diversity=0.5)) == 10


@pytest.mark.parametrize("mode", ["dense", "text", "hybrid"])
def test_many_queries_are_single_ones(searcher, mode):
    asked = [Query(f"the red value {i}", Q, "n < 50" if i % 2 else None) for i in range(12)]
    together = searcher.search_many(asked, top_k=7, mode=mode)
    for query, hits in zip(asked, together, strict=True):
        alone = searcher.search(query, top_k=7, mode=mode, snippets="none")
        assert ids(hits) == ids(alone)
        np.testing.assert_allclose([h.score for h in hits], [h.score for h in alone], atol=1e-6)
    assert searcher.search_many([], mode=mode) == []


def test_more_like_a_hit(searcher, encoder):
    (hit,) = searcher.search("the red value 3", instruction="doc: ", top_k=1)
    found = searcher.more_like(hit.chunk_id, top_k=5)
    rows = searcher.collection.chunks.search().select(["id", "vector_default"]).limit(1000).to_arrow()
    vectors = dict(zip(rows["id"].to_pylist(), np.stack(rows["vector_default"].to_pylist()), strict=True))
    own = vectors.pop(hit.chunk_id)
    assert ids(found) == sorted(vectors, key=lambda i: (-float(vectors[i] @ own), i))[:5]
    assert all(h.snippet for h in found)
    assert {h.metadata["n"] for h in searcher.more_like(hit.chunk_id, where="n < 4")} == {0, 1, 2}
    with pytest.raises(StoreError, match="has no chunk 'x' with a vector"):
        searcher.more_like("x")


def test_the_keywords_of_a_search_are_the_fields_of_a_ranking():
    assert list(RankingOptions.__annotations__) == [field.name for field in dataclasses.fields(Ranking)]


def test_wrong_numbers_are_one_line(searcher, capsys):
    for wrong, words in (
        ({"diversity": 1.5}, "diversity is 1.5; expected 0 to 1"),
        ({"drop_copies": -1}, "drop_copies is -1; expected 0 to 1"),
        ({"dense_weight": 0.5}, "dense_weight is for a hybrid search"),
        ({"offset": -1}, "offset is -1; expected 0 to 9990"),
        ({"mode": "both"}, "mode is 'both'"),
    ):
        with pytest.raises(ValueError, match=words):
            searcher.search("x", instruction=Q, **wrong)
    with pytest.raises(TypeError, match="mode"):
        searcher.more_like("x", mode="text")
    with pytest.raises(ValueError, match="top_k is 0"):
        searcher.more_like("x", top_k=0)
    real = searcher.encoder.encode
    searcher.encoder.encode = lambda pairs: real(pairs) * np.where(np.arange(len(pairs)) == 1, np.nan, 1)[:, None]
    with pytest.raises(ValueError, match="the query 'b' has no usable embedding"):
        searcher.search_many(["a", "b"], instruction=Q)
    searcher.encoder.encode = real
    assert Ranking(mode="hybrid").depth(10) == 100 and Ranking().depth(11) == 100 and Ranking().depth(10) == 10
    assert main(["search", "x", "--mode", "text", "--dense-weight", "0.5"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_commands(corpus_store, capsys):
    base = ["--store", str(corpus_store), "--collection", "corpus"]

    def run(*arguments):
        assert main([*arguments, *base]) == 0
        return json.loads(capsys.readouterr().out)["hits"]

    assert main(["search", "bread", "--explain", *base]) == 0
    times = re.search(r"time: load ([\d.]+) ms", capsys.readouterr().out)
    assert times and float(times[1]) > 1  # a model is loaded
    first = run("search", "bread", "--json", "--top-k", "4")
    second = run("search", "bread", "--json", "--top-k", "2", "--offset", "2")
    assert [h["chunk_id"] for h in second] == [h["chunk_id"] for h in first[2:]] and second[0]["rank"] == 3
    like = run("like", first[0]["chunk_id"], "--json", "--top-k", "3")
    assert len(like) == 3 and first[0]["chunk_id"] not in [h["chunk_id"] for h in like]
    sentence = "Represent the recipe for cooking: "
    again = run("search", "bread", "--json", "--rerank", f"instruction:{sentence}", "--mode", "text")
    assert [h["signals"]["rerank"] for h in again] == sorted((h["signals"]["rerank"] for h in again), reverse=True)
    assert len(run("search", "bread", "--json", "--drop-copies", "0.9", "--diversity", "0.3")) == 10
    assert main(["search", "bread", "--rerank", "instruction:", *base]) == 1
    assert "names no instruction" in capsys.readouterr().err
    assert main(["search", "bread", "--rerank", "", *base]) == 1
    assert capsys.readouterr().err.startswith("error: the reranker has no name; expected 'instruction:SENTENCE'")
    sides = ["--instruction", "a: ", "--instruction", "b: "]
    assert main(["compare", "bread", "--mode", "text", *sides, *base]) == 1
    assert capsys.readouterr().err == (
        "error: mode is 'text': by words no instruction or view applies; expected dense or hybrid\n"
    )
    assert main(["like", first[0]["chunk_id"], *base]) == 0
    assert "  1. 0." in capsys.readouterr().out


def test_chunks_without_a_vector_are_like_no_other(store, tmp_path, encoder):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.csv").write_text("text\n" + "".join(f"the red value {i}\n" for i in range(20)))
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
    collection = Collection.open("docs")
    with collection.writing():
        collection.add_view(HashEncoder(dim=8), "other: ", "second")  # not filled yet
    searcher = Searcher(collection, HashEncoder(dim=8), "second")
    assert len(searcher.search("red value", mode="text", drop_copies=0.9)) == 10
    assert len(searcher.search("red value", mode="text", diversity=0.5)) == 10
