"""The mapped copy of what hits show: equal to the table row by row, whatever happened to either."""

import json

import numpy as np
import pyarrow as pa
import pytest

from instructor_search import Collection
from instructor_search.search.candidates import CandidateFinder
from instructor_search.store.indexes import hit_cache, policy
from instructor_search.store.indexes.hit_cache import open_hit_cache
from instructor_search.store.indexes.row_batches import batches, rows_of
from instructor_search.store.schema import SHOWN_COLUMNS, SourceRecord, chunk_schema
from instructor_search.store.vectors import vector_arrays
from instructor_search.store.verify import verify
from tests.store.reading import DIM, collection_with_reader, maintain


def rows(view, numbers, word="text"):
    numbers = list(numbers)
    values = {
        "id": [f"{n:032x}" for n in numbers],
        "document_id": [f"d{n // 3}" for n in numbers],
        "source": [f"s{n % 7}" for n in numbers],
        "title": [None if n % 5 == 0 else f"title {n}" for n in numbers],
        "page": [n % 11 or None for n in numbers],
        "mtime": [float(n) for n in numbers],
        "metadata": [json.dumps({"year": n}) if n % 2 else None for n in numbers],
        "text": [f"{word} {n} é" for n in numbers],
        "start": numbers,
    }
    base = [pa.array(values.get(f.name, [None] * len(numbers)), f.type) for f in chunk_schema([])]
    vectors = np.random.default_rng(len(numbers)).normal(size=(len(numbers), DIM)).astype(np.float32)
    return pa.Table.from_arrays([*base, *vector_arrays(view, vectors)], schema=chunk_schema([view]))


@pytest.fixture
def made(store, monkeypatch):
    """A collection of 300 rows with its copy, and a reader that stays open."""
    monkeypatch.setattr(policy, "INDEX_THRESHOLD", 100)
    return collection_with_reader(rows)


def shown(finder):
    """What the reader shows of all rows, after it was compared with the table itself."""
    finder.collection.chunks.checkout_latest()  # now, not within two seconds
    with finder.reading():
        ids = [i for b in batches(finder.table, ["_rowid"], "true") for i in b["_rowid"].to_pylist()]
        found = finder.rows(ids, SHOWN_COLUMNS)
        assert found == rows_of(finder.table, ids, SHOWN_COLUMNS)
        assert len(found) == finder.table.count_rows()
    return found


def test_it_is_read_instead_of_the_table(made, monkeypatch):
    _, _, finder = made
    assert {row["text"] for row in shown(finder).values()} == {f"text {n} é" for n in range(300)}
    asked = []
    monkeypatch.setattr(hit_cache, "rows_of", lambda table, rows, columns: asked.extend(rows) or {})
    with finder.reading():
        ids = sorted(open_hit_cache(finder.collection)._ids.tolist())
        assert len(finder.rows(ids[5:20], SHOWN_COLUMNS)) == 15
    assert not asked


def test_rows_that_come_change_and_go(made):
    collection, view, finder = made
    path = open_hit_cache(collection).path
    collection.upsert(rows(view, range(290, 310), word="changed"), may_exist=True)
    texts = [row["text"] for row in shown(finder).values()]
    assert len(texts) == 310
    assert sum(t.startswith("changed") for t in texts) == 20
    collection.touch_sources([SourceRecord("s1", 1, 77 * 10**9, "h", "o", 1, 60)])
    times = {row["source"]: row["mtime"] for row in shown(finder).values()}
    assert times["s1"] == 77.0
    collection.delete_where("page = 4")
    assert all(row["page"] != 4 for row in shown(finder).values())
    maintain(collection)  # a quarter has changed
    assert open_hit_cache(collection).path != path
    assert not path.exists()
    assert len(shown(finder)) == len(open_hit_cache(collection))


def test_it_is_made_anew_when_a_fifth_has_gone(made):
    collection, _, finder = made
    path = open_hit_cache(collection).path
    collection.delete_where("start < 20")
    maintain(collection)
    assert open_hit_cache(collection).path == path
    assert len(open_hit_cache(collection)) == 300
    assert len(shown(finder)) == 280
    collection.delete_where("start < 100")
    maintain(collection)
    assert open_hit_cache(collection).path != path
    assert len(open_hit_cache(collection)) == len(shown(finder)) == 200


def test_it_is_made_anew_when_a_fifth_is_new(made):
    collection, view, finder = made
    path = open_hit_cache(collection).path
    collection.upsert(rows(view, range(300, 310)), may_exist=False)
    maintain(collection)
    assert open_hit_cache(collection).path == path
    assert len(open_hit_cache(collection)) == 300
    assert len(shown(finder)) == 310
    collection.upsert(rows(view, range(310, 400)), may_exist=False)
    maintain(collection)
    assert len(open_hit_cache(collection)) == len(shown(finder)) == 400


@pytest.mark.parametrize("damage", [b"", b"ARROW1", None])
def test_without_it_rows_are_the_tables(made, damage):
    collection, view, _ = made
    path = open_hit_cache(collection).path
    path.unlink() if damage is None else path.write_bytes(damage)
    assert open_hit_cache(collection) is None
    assert len(shown(CandidateFinder(Collection.open("c"), view))) == 300
    maintain(collection)
    assert len(open_hit_cache(collection)) == 300


def test_verify_compares_it_with_the_table(made):
    collection, _, _ = made
    assert not [p for p in verify(collection).problems if "copy" in p]
    path = open_hit_cache(collection).path
    data = path.read_bytes()
    assert data.count(b"text 123 ") == 1
    path.write_bytes(data.replace(b"text 123 ", b"text 124 "))
    assert [p for p in verify(collection).problems if p.startswith("1 rows of the hit cache")]


def test_a_small_collection_has_none(made):
    collection, _, finder = made
    collection.delete_where("start >= 50")
    maintain(collection)
    assert open_hit_cache(collection) is None
    assert len(shown(finder)) == 50
