"""A real collection under mteb's Search protocol: exact search is the encoder's own score; the rest is measured."""

import json
import shutil

import numpy as np
import pytest

from eval.records import Outcome
from eval.results import facts_of, known_result, write_result
from eval.runs import read_runs
from eval.sources import BUNDLED, choose_source
from eval.specifications import SystemOptions, make_system
from instructor_search.encoder.options import EncoderOptions
from instructor_search.errors import ModelError
from instructor_search.instructions import InstructedText
from instructor_search.integrations.mteb_search import CollectionSearch
from instructor_search.search.reranking import CrossEncoderReranker, InstructionReranker
from tests.eval.conftest import rows_of

(GARDEN,) = (t for t in choose_source("bundled").tasks if t.info.name == "GardenAnswers")


@pytest.fixture
def ndcg(embeddings, context):
    def evaluate(specification, **options):
        system = make_system(
            specification,
            "bundled",
            SystemOptions(encoder=EncoderOptions(device="cpu", precision="fp32"), cache_folder=embeddings, **options),
        )
        outcome = GARDEN.evaluate(system, system.sides(GARDEN.info), context)
        return outcome.units.score(), system

    return evaluate


def test_exact_search_of_a_collection_is_the_encoders_own_score(ndcg):
    assert ndcg("collection:dense")[0] == pytest.approx(ndcg("default")[0], abs=1e-6)
    assert ndcg("collection:dense=default@none")[0] == pytest.approx(ndcg("default@none")[0], abs=1e-6)


def test_a_quantised_index_and_both_modes_run(ndcg):
    exact, quantised = ndcg("collection:dense")[0], ndcg("collection:dense+hnsw")[0]
    assert quantised == pytest.approx(exact, abs=0.05)
    text, hybrid = ndcg("collection:text")[0], ndcg("collection:hybrid")[0]
    assert 0.3 < text < 1 and hybrid > text  # the questions were written in other words than the answers


def test_what_was_searched_is_part_of_the_run(ndcg):
    _, system = ndcg("collection:hybrid+hnsw=default@none")
    assert system.label == "collection:hybrid+hnsw=instructor-minilm@none"
    assert system.meta.experiment_kwargs == {"data": "bundled", "instructions": "none", "collection": "hybrid-hnsw"}
    assert system.facts["collection"] == "hybrid+hnsw"


def test_reranking_under_another_instruction(ndcg, minilm):
    plain, _ = ndcg("collection:text")
    better, system = ndcg("collection:text+rerank", reranker="instruction:Represent the gardening sentence: ")
    assert better > plain and system.meta.experiment_kwargs["reranker"].startswith("instruction:")
    reranker = InstructionReranker(minilm, "q: ", "d: ")
    query, *texts = minilm.encode(
        [InstructedText("q: ", "bees"), InstructedText("d: ", "honey"), InstructedText("d: ", "rock")]
    )
    assert reranker.score("bees", ["honey", "rock"]) == pytest.approx([query @ t for t in texts], abs=1e-6)


def test_hits_are_ordered_by_the_reranker(corpus_store):
    from instructor_search import Collection, Searcher

    class ByLength:
        name = "length"

        def score(self, query, texts):
            return np.array([len(t) for t in texts], dtype=float)

    searcher = Searcher(Collection.open("corpus", corpus_store))
    plain = searcher.search("mercury", top_k=20)
    hits = searcher.search("mercury", top_k=5, reranker=ByLength(), rerank_depth=20)
    lengths = sorted((len(h.text) for h in plain), reverse=True)[:5]
    assert [h.score for h in hits] == lengths and [h.rank for h in hits] == [1, 2, 3, 4, 5]
    assert all(h.signals["rerank"] == h.score and "dense" in h.signals for h in hits)
    assert all(h.snippet == "" for h in searcher.search("mercury", top_k=3, snippets="none"))


def test_a_cross_encoder_from_a_folder(cross_encoder, ndcg):
    from sentence_transformers import CrossEncoder

    reranker = CrossEncoderReranker(str(cross_encoder), device="cpu")
    texts = [d["text"] for d in rows_of(BUNDLED / "retrieval/GardenAnswers/corpus.jsonl")[:6]]
    expected = CrossEncoder(str(cross_encoder), device="cpu").predict([("slugs", t) for t in texts])
    assert reranker.score("slugs", texts) == pytest.approx(np.asarray(expected).reshape(-1), abs=1e-5)
    score, system = ndcg("collection:dense+rerank", reranker=str(cross_encoder))
    assert 0 < score < ndcg("collection:dense")[0]  # a random reranker spoils the order
    assert system.meta.experiment_kwargs["reranker"] == cross_encoder.name
    with pytest.raises(ModelError, match="no model folder '/no/where'"):
        CrossEncoderReranker("/no/where")


def test_other_files_of_a_cross_encoder_are_another_system(cross_encoder, tmp_path):
    folder = shutil.copytree(cross_encoder, tmp_path / "reranker")

    def facts():
        options = SystemOptions(encoder=EncoderOptions(device="cpu", precision="fp32"), reranker=str(folder))
        system = make_system("collection:dense+rerank", "bundled", options)
        return facts_of(GARDEN.info, system.sides(GARDEN.info), system.facts, {"seed": 42}, system.variant)

    before = facts()
    scores = {"main_score": 0.5}
    write_result(tmp_path, GARDEN.info, Outcome(scores, None), before, seconds=1, num_resamples=100, seed=0)
    assert known_result(tmp_path, GARDEN.info, facts())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.1}))
    assert known_result(tmp_path, GARDEN.info, facts()) is None
    older = {key: value for key, value in before.items() if key != "reranker_files"}
    write_result(tmp_path, GARDEN.info, Outcome(scores, None), older, seconds=1, num_resamples=100, seed=0)
    assert known_result(tmp_path, GARDEN.info, facts())  # of a version that did not look


def test_a_collection_does_not_rank_candidates(embeddings, context):
    (museum,) = (t for t in choose_source("bundled").tasks if t.info.name == "MuseumQuestions")
    system = make_system("collection:dense", "bundled", SystemOptions(cache_folder=embeddings))
    assert museum.info.category not in system.categories
    with pytest.raises(ValueError, match="cannot rank a task's own candidates"):
        museum.evaluate(system, system.sides(museum.info), context)
    with pytest.raises(ValueError, match="needs --reranker"):
        make_system("collection:dense+rerank", "bundled", SystemOptions())
    with pytest.raises(ValueError, match="'bm25' has no instructions"):
        make_system("collection:dense=bm25", "bundled", SystemOptions())


def test_a_reranker_that_fails_leaves_no_tables_behind(data, tmp_path, monkeypatch, cli, capsys):
    shutil.copytree(BUNDLED / "retrieval", data / "retrieval")
    seen = []

    def fail(self, query, texts):
        seen.extend(tmp_path.glob("runs/.working-*/collection-*"))
        raise ValueError("no")

    monkeypatch.setattr(InstructionReranker, "score", fail)
    more = ["--models", "collection:dense+rerank,collection:dense", "--reranker", "instruction:Say it: "]
    assert cli(["--suite", "retrieval", "--data", data, "--output", tmp_path / "runs", *more]) == 3
    assert (
        "failed: GardenAnswers (collection:dense+rerank=instructor-minilm): ValueError: no" in capsys.readouterr().err
    )
    assert seen and not list((tmp_path / "runs").glob(".working-*"))
    (good,) = (run for run in read_runs(tmp_path / "runs") if not run.failures)
    assert good.label == "collection:dense=instructor-minilm" and good.results["GardenAnswers"].score > 0.5


def test_the_quantised_index_is_the_one_searched(embeddings, context, minilm):
    (row,) = ({"id": "1", "text": "bees", "title": ""},)
    rows = [row | {"id": str(n), "text": f"sentence {n} about bees"} for n in range(600)]
    for quantised in (False, True):
        search = CollectionSearch(minilm, quantised=quantised, folder=context.folder)
        search.index(rows, task_metadata=GARDEN.info)
        indexes = [i.index_type for i in search._searcher.collection.chunks.list_indices()]
        assert ("IvfHnswSq" in indexes) == quantised
        search.close()
    assert not list(context.folder.glob("collection-*"))
