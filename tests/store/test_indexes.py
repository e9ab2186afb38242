"""What every index of a collection does, whichever it is: made when due, followed, checked, dropped and made again."""

import numpy as np
import pytest

pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")

from instructor_search import Collection  # noqa: E402
from instructor_search.store import maintenance  # noqa: E402
from instructor_search.store.indexes import lance, policy  # noqa: E402
from instructor_search.store.indexes.faiss_views import FaissOfView  # noqa: E402
from instructor_search.store.indexes.fulltext import FullText  # noqa: E402
from instructor_search.store.indexes.hit_cache import HitCache  # noqa: E402
from instructor_search.store.indexes.lance import FilterIndexes, LanceIndex  # noqa: E402
from instructor_search.store.indexes.protocol import Findings  # noqa: E402
from instructor_search.store.indexes.registry import indexes_beside, indexes_in_table  # noqa: E402
from tests.store.test_view_index import DIM, rows  # noqa: E402
from tests.toy import HashEncoder  # noqa: E402

# kind of index -> (what was asked for the view, what the first sync says)
INDEXES = {
    FilterIndexes: ("auto", "filter indexes of source, mime, mtime"),
    LanceIndex: ("lance-hnsw-sq", "vector index of view default (lance-hnsw-sq over 600 vectors)"),
    FullText: ("auto", "full-text index"),
    FaissOfView: ("ivf-pq", "vector index of view default (FAISS ivf-pq over 600 vectors"),
    HitCache: ("auto", None),
}


@pytest.fixture
def made(store, monkeypatch):
    """A collection of 600 chunks that has no index yet, and a view of it; what is due is due from 100 chunks on."""
    monkeypatch.setattr(policy, "INDEX_THRESHOLD", 100)
    collection = Collection.create_empty("c", chunk_tokens=100, chunk_overlap=0)
    view = collection.add_view(HashEncoder(DIM), "doc: ", "default")
    collection.upsert(rows(view, range(600), np.random.default_rng(0)), may_exist=False)
    return collection, view


def is_there(index, collection):
    """Whether an index is there; those of filters are not opened."""
    if isinstance(index, FilterIndexes):
        return all(lance.has_index(collection.chunks, column) for column in lance.FILTER_INDEXES)
    return index.open() is not None


def files_of(collection):
    """What lies beside the tables."""
    return {p for top in ("words", "indexes", "rows") for p in (collection.folder / top).rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", INDEXES, ids=lambda kind: kind.__name__)
def test_an_index_is_made_when_due_checked_dropped_and_made_again(made, kind):
    collection, view = made
    asked, said = INDEXES[kind]
    collection.update_manifest(indexes={"default": {"kind": asked}})
    views = collection.manifest.views.values()
    (index,) = [
        i for i in [*indexes_in_table(collection, views), *indexes_beside(collection, views)] if type(i) is kind
    ]
    for _ in range(2):
        assert not is_there(index, collection) and not files_of(collection)
        with collection.writing():
            lines = index.sync()
            assert [line.startswith(said) for line in lines] == ([True] if said else [])
            assert index.sync() == []  # it is there already
        assert is_there(index, collection) and index.verify() == Findings()
        with collection.writing():
            index.drop()


def test_maintenance_makes_all_that_are_due_and_a_view_takes_its_own_with_it(made):
    collection, view = made
    collection.update_manifest(indexes={"default": {"kind": "ivf-pq"}})
    collection.add_view(HashEncoder(DIM), "other: ", "other")
    with collection.writing():
        assert [line.split(" (")[0] for line in maintenance.maintain(collection)] == [
            "filter indexes of source, mime, mtime",
            "full-text index",
            "vector index of view default",
        ]
        assert maintenance.maintain(collection) == []
        maintenance.drop_view(collection, "default")
    assert {path.relative_to(collection.folder).parts[0] for path in files_of(collection)} == {"words", "rows"}
