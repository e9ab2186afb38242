"""Projections: near texts lie near, a second layout stays on the first, what was laid out is kept until it changes."""

import numpy as np
import pytest

from instructor_search import Collection
from instructor_search.commands.main import main
from instructor_search.errors import StoreError
from instructor_search.search import projection
from instructor_search.search.projection import project


@pytest.fixture(scope="module")
def collection(corpus_store, tmp_path_factory):
    import shutil

    folder = tmp_path_factory.mktemp("store")
    shutil.copytree(corpus_store / "corpus", folder / "corpus")
    return Collection.open("corpus", folder)


def neighbours_kept(collection, found, k=5):
    """Mean share of the k nearest in the full space that are among the 3 k nearest on the plane."""
    stored = collection.vectors_of(collection.view(), list(found.chunk_ids))
    vectors = np.stack([stored[name] for name in found.chunk_ids])
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    points = found.layouts[0].points
    distances = ((points[:, None] - points[None]) ** 2).sum(2)
    shares = []
    for row in range(len(points)):
        near = [i for i in np.argsort(-cosines[row]) if i != row][:k]
        there = [i for i in np.argsort(distances[row]) if i != row][: 3 * k]
        shares.append(len(set(near) & set(there)) / k)
    return np.mean(shares)


def test_neighbours_stay_neighbours(collection):
    found = project(collection)
    assert len(found.chunk_ids) == collection.num_chunks() == len(found.layouts[0].points)
    assert neighbours_kept(collection, found) > 0.65  # by chance: 0.12; measured: 0.74
    assert np.abs(found.layouts[0].points).max() < 5


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_a_second_instruction_keeps_the_places(collection, method, caplog):
    other = "Represent the medical article for retrieval: "
    found = project(collection, views=["default"], instructions=[other], method=method)
    first, second = (layout.points for layout in found.layouts)
    moved = np.linalg.norm(first - second, axis=1)
    across = np.linalg.norm(first - second[::-1], axis=1)
    assert [layout.label for layout in found.layouts] == ["view default", repr(other.strip())]
    assert not np.allclose(first, second) and np.median(moved) < 0.4 * np.median(across)  # t-SNE: 0.20
    assert not caplog.records  # openTSNE warns of a start that is too wide


def test_it_is_kept_until_the_collection_changes(collection, monkeypatch):
    monkeypatch.setattr(projection, "_KEPT", 2)
    first = project(collection, method="pca")
    again = project(collection, method="pca")
    assert again.from_cache and again.chunk_ids == first.chunk_ids
    np.testing.assert_array_equal(again.layouts[0].points, first.layouts[0].points)
    path = next((collection.folder / "projections").glob("[!.]*.npz"))
    path.write_bytes(b"cut off")
    project(collection, method="pca")
    assert len(list((collection.folder / "projections").glob("*.npz"))) <= 2
    collection.chunks.delete("title = 'nothing of that name'")  # a new version of the table
    assert not project(collection, method="pca").from_cache


def test_turning_finds_a_turned_copy():
    points = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    turned = points @ np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)  # mirrored
    np.testing.assert_allclose(projection._turned(turned, points), points, atol=1e-5)


def test_what_is_refused(collection):
    with pytest.raises(ValueError, match="expected one of tsne, pca"):
        project(collection, method="umap")
    with pytest.raises(ValueError, match="expected two at most"):
        project(collection, instructions=["a", "b", "c"])
    with pytest.raises(StoreError, match="has no view 'none'"):
        project(collection, views=["none"])


def test_the_command(collection, tmp_path, capsys):
    place = ["--collection", "corpus", "--store", str(collection.folder.parent)]
    assert main(["project", "--method", "pca", "--output", str(tmp_path / "points.jsonl"), *place]) == 0
    assert "chunks by pca under view default" in capsys.readouterr().out
    assert len((tmp_path / "points.jsonl").read_text().splitlines()) == collection.num_chunks()
    assert main(["project", "--view", "none", *place]) == 1
