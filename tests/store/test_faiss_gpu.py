"""Vectors on GPUs against NumPy. Cards are played by CPU indexes, but where a real one is there."""

import json

import numpy as np
import pytest

faiss = pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")

from ingest import IngestConfig, ingest  # noqa: E402
from instructor_search import Collection, Searcher  # noqa: E402
from instructor_search.commands.parser import GPU_SPREADS  # noqa: E402
from instructor_search.errors import StoreError  # noqa: E402
from instructor_search.search.index_report import make_index  # noqa: E402
from instructor_search.store.indexes import faiss_gpu  # noqa: E402
from instructor_search.store.indexes.faiss import FaissIndex, Kind, Mask  # noqa: E402
from instructor_search.store.indexes.faiss_gpu import GpuVectors, Spread  # noqa: E402
from instructor_search.store.indexes.policy import IndexConfig  # noqa: E402
from tests.toy import HashEncoder  # noqa: E402

COUNT, DIM = 3001, 32
on_cards = pytest.mark.parametrize("spread", [Spread.REPLICATE, Spread.SHARD])


@pytest.fixture(scope="module")
def vectors():
    made = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def three_cards(monkeypatch):
    """CPU indexes in half precision in the place of three cards; returns how many rows each was given."""
    given = []

    def on_card(module, card, vectors):
        index = module.IndexScalarQuantizer(
            vectors.shape[1], module.ScalarQuantizer.QT_fp16, module.METRIC_INNER_PRODUCT
        )
        index.train(vectors)
        index.add(vectors)
        given.append((card, len(vectors)))
        return index

    monkeypatch.setattr(faiss_gpu, "num_cards", lambda module: 3)
    monkeypatch.setattr(faiss_gpu, "on_card", on_card)
    return given


def nearest(queries, vectors, k, allowed=None):
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    if allowed is not None:
        scores[:, np.setdiff1d(np.arange(len(vectors)), allowed)] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], -np.sort(-scores, axis=1)[:, :k]


@on_cards
def test_cards_find_what_numpy_finds(spread, vectors, three_cards):
    index = FaissIndex.build(Kind.IVF_PQ, vectors)
    index.place_on_gpus(spread)
    sizes = {Spread.REPLICATE: [COUNT] * 3, Spread.SHARD: [1000, 1000, 1001]}[spread]
    assert three_cards == list(enumerate(sizes))
    queries = np.random.default_rng(1).normal(size=(50, DIM)).astype(np.float32)
    scores, positions = index.search(queries, 10)
    expected, best = nearest(queries, vectors, 10)
    assert (positions == expected).all()  # every one, whatever the recall of the index itself
    np.testing.assert_allclose(scores, best, atol=1e-6)  # of the float32 vectors, not of their halves


@on_cards
def test_what_is_gone_is_not_found(spread, vectors, three_cards):
    index = FaissIndex.build(Kind.FLAT, vectors)
    index.place_on_gpus(spread)
    queries = vectors[:20]
    for left in (np.arange(10, COUNT), np.arange(COUNT - 15, COUNT), np.array([5])):  # the last two lack candidates
        scores, positions = index.search(queries, 10, mask=Mask(left, COUNT))
        expected, best = nearest(queries, vectors, 10, left)
        assert (positions == np.where(np.isneginf(best), -1, expected)).all()
        np.testing.assert_allclose(scores, best, atol=1e-6)


def test_filters_and_settings_are_for_the_cpu(vectors, three_cards, monkeypatch):
    index = FaissIndex.build(Kind.IVF_PQ, vectors)
    index.place_on_gpus(Spread.SHARD)
    monkeypatch.setattr(GpuVectors, "candidates", lambda *_: pytest.fail("a card was asked"))
    allowed = np.arange(0, COUNT, 7)
    _, positions = index.search(vectors[:5], 10, mask=Mask(allowed, COUNT, is_filter=True))
    assert (positions == nearest(vectors[:5], vectors, 10, allowed)[0]).all()
    index.search(vectors[:1], 10, setting=index.setting)
    index.search(vectors[:1], 600)  # more candidates than a card returns


def test_why_there_are_no_cards():
    assert tuple(Spread) == GPU_SPREADS  # what the commands offer

    class ForCpus:
        pass

    class WithoutCards:
        StandardGpuResources = None

        @staticmethod
        def get_num_gpus():
            return 0

    with pytest.raises(StoreError, match="works on CPUs only: pip uninstall faiss-cpu"):
        GpuVectors(ForCpus, np.zeros((3, 4), np.float32), Spread.SHARD)
    with pytest.raises(StoreError, match="finds no NVIDIA GPU"):
        GpuVectors(WithoutCards, np.zeros((3, 4), np.float32), Spread.SHARD)


def test_cards_that_fail_are_named(vectors, monkeypatch):
    def on_card(*_):
        raise RuntimeError("Error in StandardGpuResources::allocMemory\nout of memory: 9 bytes")

    monkeypatch.setattr(faiss_gpu, "num_cards", lambda module: 1)
    monkeypatch.setattr(faiss_gpu, "on_card", on_card)
    with pytest.raises(StoreError, match=r"cannot take \(3001, 32\) vectors \(out of memory: 9 bytes\)"):
        GpuVectors(faiss, vectors, Spread.REPLICATE)


@pytest.fixture
def collection(store, tmp_path):
    (tmp_path / "docs").mkdir()
    lines = [json.dumps({"text": f"value {number}"}) for number in range(400)]
    (tmp_path / "docs/rows.jsonl").write_text("\n".join(lines))
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=HashEncoder(DIM))
    return Collection.open("docs")


def test_a_search_falls_back_with_one_line(collection, capsys):
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    encoder = HashEncoder(DIM)
    make_index(collection, collection.view(), IndexConfig("ivf-pq"))
    expected = [h.chunk_id for h in Searcher(collection, encoder).search("ask", instruction="q: ")]
    searcher = Searcher(Collection.open("docs"), encoder, gpus="replicate")
    for _ in range(2):
        assert [h.chunk_id for h in searcher.search("ask", instruction="q: ")] == expected
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("searching view default on the CPU: ")
    with pytest.raises(ValueError, match="many"):
        Searcher(collection, encoder, gpus="many")


@on_cards
def test_searches_and_reports_through_cards(spread, collection, three_cards):
    encoder = HashEncoder(DIM)
    report = make_index(collection, collection.view(), IndexConfig("ivf-pq", 0.3), gpus=spread)
    assert report.recall == 1.0
    searcher = Searcher(Collection.open("docs"), encoder, gpus=spread)
    first = searcher.search("value 7", instruction="doc: ", top_k=3)
    assert first[0].text == "value 7" and len(three_cards) == 6
    searcher.collection.delete_where("text = 'value 7'")
    assert searcher.search("value 7", instruction="doc: ", top_k=3)[0].chunk_id == first[1].chunk_id
    many = searcher.search_many([f"value {n}" for n in range(8, 58)], instruction="doc: ", top_k=1)
    assert [hits[0].text for hits in many] == [f"value {n}" for n in range(8, 58)]


@pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus(), reason="FAISS finds no NVIDIA GPU"
)
@on_cards
def test_a_real_card_finds_what_numpy_finds(spread, vectors):
    index = FaissIndex.build(Kind.IVF_PQ, vectors)
    index.place_on_gpus(spread)
    queries = np.random.default_rng(1).normal(size=(50, DIM)).astype(np.float32)
    scores, positions = index.search(queries, 10)
    expected, best = nearest(queries, vectors, 10)
    assert (positions == expected).all()
    np.testing.assert_allclose(scores, best, atol=1e-6)
