"""FAISS indexes against exact search with NumPy."""

import numpy as np
import pytest

faiss = pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")

from instructor_search.errors import StoreError  # noqa: E402
from instructor_search.store.indexes import faiss as faiss_index  # noqa: E402
from instructor_search.store.indexes import faiss_build  # noqa: E402
from instructor_search.store.indexes.faiss import FaissIndex, Kind, Mask, factory, ladder, num_clusters  # noqa: E402
from instructor_search.store.indexes.tuning import recall, tune  # noqa: E402


@pytest.fixture(scope="module")
def vectors():
    """Clustered unit vectors, as embeddings are."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, 64))
    made = centres[rng.integers(0, 100, 20_000)] + 0.8 * rng.normal(size=(20_000, 64))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    rng = np.random.default_rng(1)
    made = vectors[rng.choice(len(vectors), 50)] + 0.05 * rng.normal(size=(50, 64))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def oracle(queries, vectors, k, allowed=None):
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    if allowed is not None:
        masked = np.full_like(scores, -np.inf)
        masked[:, allowed] = scores[:, allowed]
        scores = masked
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], np.sort(scores, axis=1)[:, ::-1][:, :k]


@pytest.mark.parametrize("kind", Kind)
def test_recall_scores_and_a_mapped_copy(kind, vectors, queries, tmp_path):
    index = FaissIndex.build(kind, vectors)
    expected, best = oracle(queries, vectors, 10)
    index.setting, measured = tune(index, queries, 0.95)
    scores, positions = index.search(queries, 10)
    assert recall(positions, expected) == pytest.approx(measured, abs=1e-6) and measured >= 0.95
    exact = np.take_along_axis(queries @ vectors.T, positions, 1)
    np.testing.assert_allclose(scores, exact, atol=1e-6)  # of the vectors themselves, not of their codes
    assert (np.diff(scores, axis=1) <= 1e-7).all()
    if kind is Kind.FLAT:
        assert (positions == expected).all()
        np.testing.assert_allclose(scores, best, atol=1e-6)
    index.save(tmp_path / "i")
    again = FaissIndex.load(kind, vectors, tmp_path / "i", index.setting)
    np.testing.assert_array_equal(again.search(queries, 10)[1], positions)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.6])
def test_filters(kind, share, vectors, queries, monkeypatch):
    monkeypatch.setattr(faiss_index, "_EXACT_ROWS", 1000)
    index = FaissIndex.build(kind, vectors)
    index.setting, _ = tune(index, queries, 0.95)
    allowed = np.sort(np.random.default_rng(2).choice(len(vectors), int(share * len(vectors)), replace=False))
    scores, positions = index.search(queries, 10, mask=Mask(allowed, len(vectors), is_filter=True))
    assert np.isin(positions, allowed).all() and np.isfinite(scores).all()
    found = recall(positions, oracle(queries, vectors, 10, allowed)[0])
    assert found == 1.0 if len(allowed) <= 1000 else found >= 0.95


@pytest.mark.parametrize("kind", Kind)
def test_added_vectors_are_found(kind, vectors, tmp_path):
    index = FaissIndex.build(kind, vectors[:19_000])
    index.save(tmp_path / "i")
    grown = FaissIndex.load(kind, vectors[:19_000], tmp_path / "i", index.setting, mapped=False)
    grown.vectors = vectors
    grown.add(19_000)
    _, positions = grown.search(vectors[19_000:19_100], 1)
    assert (positions[:, 0] == np.arange(19_000, 19_100)).mean() >= 0.99


def test_fewer_than_asked_for(vectors, queries):
    for kind in Kind:
        index = FaissIndex.build(kind, vectors[:300])
        scores, positions = index.search(queries[:2], 500)
        assert positions.shape == (2, 500) and set(positions[0].tolist()) <= {-1, *range(300)}
        assert np.isneginf(scores[positions == -1]).all()
        scores, positions = index.search(queries[:2], 5, mask=Mask(np.array([7, 9]), 300, is_filter=True))
        assert set(positions[0].tolist()) == {7, 9, -1} and (positions[:, 2:] == -1).all()
        assert (index.search(queries[:1], 3, mask=Mask(np.zeros(0, np.int64), 300))[1] == -1).all()


def test_finding_oneself_is_no_recall(vectors):
    index = FaissIndex.build(Kind.IVF_PQ, vectors)
    own = np.arange(0, 20_000, 100)
    setting, measured = tune(index, vectors[own], 0.0, own=own)  # the least effort is enough
    assert setting == ladder(Kind.IVF_PQ, len(vectors))[0]
    assert measured == pytest.approx(recall_without_self(index, vectors, own, setting)) and measured < 0.95
    assert tune(index, vectors[own], 2.0, own=own)[0] == ladder(Kind.IVF_PQ, len(vectors))[-1]  # out of reach


def recall_without_self(index, vectors, own, setting):
    expected, _ = oracle(vectors[own], vectors, 11)
    found = index.search(vectors[own], 11, setting=setting)[1]
    shares = [
        len((set(f) - {i}) & (set(e) - {i})) / 10
        for i, f, e in zip(own.tolist(), found.tolist(), expected.tolist(), strict=True)
    ]
    return float(np.mean(shares))


def test_names_and_sizes():
    assert [num_clusters(n) for n in (1, 100, 100_000, 500_000)] == [2, 16, 512, 1024]
    assert factory(Kind.IVF_PQ, 100_000, 384) == "IVF512,PQ192x4fs"
    assert factory(Kind.IVF_PQ, 100_000, 77) == "IVF512,PQ11x4fs"


def test_a_damaged_file_is_one_error(vectors, tmp_path):
    index = FaissIndex.build(Kind.HNSW, vectors[:1000])
    index.save(tmp_path / "i")
    data = (tmp_path / "i").read_bytes()
    (tmp_path / "i").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="cannot be read"):
        FaissIndex.load(Kind.HNSW, vectors[:1000], tmp_path / "i", index.setting, mapped=False)
    (tmp_path / "i").write_bytes(data)
    with pytest.raises(StoreError, match="expected"):
        FaissIndex.load(Kind.HNSW, vectors[:999], tmp_path / "i", index.setting)


def test_two_builds_of_faiss_are_refused(monkeypatch):
    monkeypatch.setattr(faiss_build, "_builds", lambda: ("faiss-cpu", "faiss-gpu-cu12"))
    with pytest.raises(StoreError, match=r"faiss-cpu and faiss-gpu-cu12 are both installed"):
        faiss_build.faiss.__wrapped__()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("exact_rows", [1000, 50_000])
def test_a_filter_on_another_part_of_the_space(kind, exact_rows, vectors, monkeypatch):
    """What is allowed lies in other clusters than the queries, which a search without a filter would not look at."""
    monkeypatch.setattr(faiss_index, "_EXACT_ROWS", exact_rows)
    nearest = (vectors @ vectors[:40].T).argmax(1)
    allowed, others = np.flatnonzero(nearest < 20), np.flatnonzero(nearest >= 20)[:40]
    index = FaissIndex.build(kind, vectors)
    index.setting, _ = tune(index, vectors[others], 0.95)
    scores, positions = index.search(vectors[others], 10, mask=Mask(allowed, len(vectors), is_filter=True))
    assert np.isin(positions, allowed).all() and 1000 < len(allowed) < 19_000
    found = recall(positions, oracle(vectors[others], vectors, 10, allowed)[0])
    assert found == 1.0 if exact_rows > len(allowed) else found >= (0.8 if kind is Kind.IVF_RABITQ else 0.9)


def test_masked_vectors_are_not_found_and_hits_are_filled(vectors, queries):
    for kind in Kind:
        index = FaissIndex.build(kind, vectors)
        index.setting, _ = tune(index, queries, 0.98)
        gone = oracle(queries, vectors, 200)[0].ravel()
        left = np.setdiff1d(np.arange(len(vectors)), gone)
        scores, positions = index.search(queries, 10, mask=Mask(left, len(vectors)))
        assert np.isin(positions, left).all() and np.isfinite(scores).all()
        assert recall(positions, oracle(queries, vectors, 10, left)[0]) >= 0.75  # the whole neighbourhood is gone
