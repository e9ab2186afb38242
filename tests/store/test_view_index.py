"""A view's FAISS index follows its table: random changes by any hand, checked with NumPy on the table itself."""

import json
import shutil
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")

from instructor_search import Collection  # noqa: E402
from instructor_search.errors import StoreError  # noqa: E402
from instructor_search.store.indexes import metadata, view_index  # noqa: E402
from instructor_search.store.indexes.faiss import Kind, Setting  # noqa: E402
from instructor_search.store.indexes.faiss_views import build_index, has_damaged_files  # noqa: E402
from instructor_search.store.indexes.row_batches import rows_of  # noqa: E402
from instructor_search.store.indexes.saved_index import drop_index  # noqa: E402
from instructor_search.store.indexes.view_index import damaged_vectors, open_index  # noqa: E402
from instructor_search.store.schema import chunk_schema  # noqa: E402
from instructor_search.store.vectors import vector_arrays  # noqa: E402
from instructor_search.store.verify import verify  # noqa: E402
from tests.toy import HashEncoder

DIM = 16


def name_of(number):
    return f"{number:032x}"


def rows(view, numbers, rng):
    """Chunks whose vectors are random, and neither unit nor alike."""
    vectors = (rng.normal(size=(len(numbers), DIM)) * rng.uniform(0.5, 2, size=(len(numbers), 1))).astype(np.float32)
    values = {
        "id": [name_of(n) for n in numbers],
        "source": [f"s{n % 7}" for n in numbers],
        "text": [f"text {n}" for n in numbers],
        "ordinal": list(numbers),
    }
    schema = chunk_schema([view])
    base = [pa.array(values.get(f.name, [None] * len(numbers)), f.type) for f in chunk_schema([])]
    return pa.Table.from_arrays([*base, *vector_arrays(view, vectors)], schema=schema)


@pytest.fixture
def made(store):
    collection = Collection.create_empty("c", chunk_tokens=100, chunk_overlap=0)
    view = collection.add_view(HashEncoder(DIM), "doc: ", "default")
    return collection, view


def filled(made, count, seed):
    """The collection with so many random chunks, its view, and what goes on drawing."""
    collection, view = made
    rng = np.random.default_rng(seed)
    collection.upsert(rows(view, range(count), rng), may_exist=False)
    return collection, view, rng


def table_of(collection, view, where="TRUE"):
    found = collection.open_chunks().search().where(f"{view.checksum_column} IS NOT NULL AND ({where})")
    found = found.select(["id", view.column]).limit(10**6).to_arrow()
    vectors = np.stack(found[view.column].to_pylist()).astype(np.float64) if found.num_rows else np.zeros((0, DIM))
    return found["id"].to_pylist(), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest(index, queries, k, where=None):
    """What the index finds, with the texts of the rows that it names."""
    index.sync()
    scores, entries = index.search(queries, k, where=where)
    texts = rows_of(index.table, entries["row"].ravel()[np.isfinite(scores).ravel()].tolist(), ["id", "text"])
    return [
        [
            {**texts[e["row"]], "score": s, "entry": e["id"].decode()}
            for s, e in zip(*pair, strict=True)
            if e["row"] in texts
        ]
        for pair in zip(scores, entries, strict=True)
    ]


def check(index, collection, view, rng, where=None):
    """The ten best by the index are those of the table."""
    queries = rng.normal(size=(5, DIM)).astype(np.float32)
    ids, vectors = table_of(collection, view, where or "TRUE")
    cosines = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ vectors.T
    for scores, hits in zip(cosines, nearest(index, queries, 10, where), strict=True):
        best = np.argsort(-scores)[:10]
        assert [h["id"] for h in hits] == [h["entry"] for h in hits] == [ids[i] for i in best]
        np.testing.assert_allclose([h["score"] for h in hits], scores[best], atol=1e-5)
        assert all(h["text"] == f"text {int(h['id'], 16)}" for h in hits)


def test_nothing_is_looked_for_where_rows_only_came(made, monkeypatch):
    collection, view, rng = filled(made, 500, 7)
    index, compared = build_index(collection, view, Kind.FLAT), []
    whole = view_index.ViewIndex._compare
    monkeypatch.setattr(view_index.ViewIndex, "_compare", lambda *args: compared.append(1) or whole(*args))
    for start in (500, 560):
        collection.upsert(rows(view, range(start, start + 60), rng), may_exist=False)
        check(index, collection, view, rng)
    assert not compared and len(index.extra) == 120
    check(open_index(collection, view), collection, view, rng)  # saved before any of them
    assert not compared
    steps = (
        lambda: collection.upsert(rows(view, [3, 620], rng), may_exist=True),  # one changed, one new
        lambda: collection.delete_where("ordinal = 619"),
        lambda: collection.chunks.optimize(cleanup_older_than=timedelta(hours=1)),  # rows move
    )
    for count, step in enumerate(steps, 1):
        step()
        check(index, collection, view, rng)
        assert len(compared) == count


@pytest.mark.parametrize("kind", [Kind.FLAT, Kind.IVF_PQ])
def test_it_follows_every_change(made, kind):
    collection, view, rng = filled(made, 500, 0)
    index = build_index(collection, view, kind, target_recall=1.0)
    index.index.setting = Setting(10**6, 100)  # all clusters, all candidates: what is missed, the masks have lost
    check(index, collection, view, rng)
    other = Collection.open("c")  # another hand
    last = 500
    for step in range(30):
        kind = rng.integers(5)
        if kind == 0:
            collection.upsert(rows(view, range(last, last + 40), rng), may_exist=False)
            last += 40
        elif kind == 1:
            collection.upsert(rows(view, sorted({*rng.integers(0, last, 30).tolist(), last}), rng), may_exist=True)
            last += 1
        elif kind == 2:
            collection.delete_where(f"ordinal % 11 = {step % 11}")
        elif kind == 3:
            other.chunks.checkout_latest()
            other.chunks.optimize(cleanup_older_than=timedelta(hours=1))
            collection.chunks.checkout_latest()
        else:
            index = index.save()
            index.index.setting = Setting(10**6, 100)
            assert not len(index.extra) and index.facts.version == index.version
        check(index, collection, view, rng)
        check(index, collection, view, rng, where=f"source = 's{step % 7}'")
    assert len(index.extra) + len(index.rows) < 3000
    fresh = open_index(Collection.open("c"), view)
    fresh.index.setting = Setting(10**6, 100)
    check(fresh, collection, view, rng)
    assert not damaged_vectors(fresh)


def test_rows_without_a_vector_come_when_they_have_one(made):
    collection, view = made
    rng = np.random.default_rng(1)
    table = rows(view, range(100), rng)
    bare = table.drop_columns([view.column, view.checksum_column]).slice(0, 30)
    collection.upsert(table.slice(30), may_exist=False)
    collection.chunks.add(bare)
    index = build_index(collection, view, Kind.FLAT)
    assert index.facts.count == 70
    check(index, collection, view, rng)
    collection.set_vectors(view, [name_of(n) for n in range(30)], rng.normal(size=(30, DIM)).astype(np.float32))
    check(index, collection, view, rng)
    assert len(index.extra) == 30


def test_a_reader_goes_on_while_it_is_saved_again_and_dropped(made):
    collection, view, rng = filled(made, 300, 2)
    build_index(collection, view, Kind.HNSW)
    reader = open_index(Collection.open("c"), view)
    before = reader.index.vectors.copy()
    collection.upsert(rows(view, range(300, 400), rng), may_exist=False)
    writer = open_index(collection, view).save()
    drop_index(collection, view, keep=writer.folder)
    np.testing.assert_array_equal(reader.index.vectors, before)
    drop_index(collection, view)
    reader.collection.chunks.checkout_latest()
    check(reader, collection, view, rng)
    assert open_index(collection, view) is None


def test_what_a_killed_run_left_is_not_used(made):
    collection, view, rng = filled(made, 200, 3)
    index = build_index(collection, view, Kind.IVF_PQ)
    with (index.folder.parent / "vectors.f32").open("ab") as stream:
        stream.write(b"\xff" * 1000)  # appended, and then killed
    part = index.folder.parent / ".99.1.part"
    part.mkdir()
    (part / "facts.json").write_text("{")
    collection.upsert(rows(view, range(200, 260), rng), may_exist=False)
    saved = open_index(collection, view).save()
    assert saved.facts.count == 260 and not damaged_vectors(saved)
    found = [h[0]["id"] for h in nearest(saved, saved.index.vectors[200:260], 1)]
    assert found == [e.decode() for e in saved.rows["id"][200:260]]
    (saved.folder / "index.faiss").write_bytes(b"no index")
    older = open_index(collection, view)  # falls back to the version before
    assert older.facts.count == 200
    shutil.rmtree(index.folder.parent)
    assert open_index(collection, view) is None


def test_an_index_of_another_view_is_not_used(made):
    collection, view, rng = filled(made, 100, 4)
    index = build_index(collection, view, Kind.FLAT)
    facts = json.loads((index.folder / "facts.json").read_text())
    (index.folder / "facts.json").write_text(json.dumps({**facts, "fingerprint": "another"}))
    assert open_index(collection, view) is None


def test_a_flipped_bit_in_its_vectors_is_found(made):
    collection, view, _ = filled(made, 100, 5)
    index = build_index(collection, view, Kind.FLAT)
    path = index.folder.parent / "vectors.f32"
    data = bytearray(path.read_bytes())
    data[4 * DIM * 42 + 3] ^= 0x04
    path.write_bytes(bytes(data))
    assert damaged_vectors(open_index(collection, view)) == [index.rows["id"][42].decode()]


def test_an_empty_view_has_no_index(made):
    with pytest.raises(StoreError, match="has no vectors"):
        build_index(*made, Kind.FLAT)
    assert not any((made[0].folder / "indexes").rglob("*.f32"))


def test_gone_rows_do_not_take_the_place_of_others(made):
    """The nearest hundred of a query are deleted: an index must still fill its ten hits with the best that are left."""
    collection, view, rng = filled(made, 3000, 6)
    for kind in (Kind.IVF_PQ, Kind.HNSW):
        index = build_index(collection, view, kind)
        index.index.setting = Setting(10**6, 100)
        query = rng.normal(size=(1, DIM)).astype(np.float32)
        near = [int(h["id"], 16) for h in nearest(index, query, 100)[0]]
        collection.delete_where(f"ordinal IN ({', '.join(map(str, near))})")
        (hits,) = nearest(index, query, 10)
        ids, vectors = table_of(collection, view)
        best = [ids[i] for i in np.argsort(-(vectors @ query[0]))[:10]]
        assert [h["id"] for h in hits] == best
        assert index.drift == pytest.approx(100 / index.facts.built)


def test_files_that_are_not_what_was_written(made):
    collection, view, _ = filled(made, 300, 7)
    index = build_index(collection, view, Kind.IVF_PQ)
    assert not has_damaged_files(index)
    data = bytearray((index.folder / "index.faiss").read_bytes())
    data[len(data) // 2] ^= 1
    (index.folder / "index.faiss").write_bytes(bytes(data))
    assert has_damaged_files(open_index(collection, view))
    (index.folder / "rows.npy").write_bytes(b"")
    assert open_index(collection, view) is None
    problems = verify(collection).problems
    assert any("the index of view default cannot be opened; make it again" in p for p in problems)


def test_a_filter_is_looked_up_once_a_version(made, monkeypatch):
    collection, view, rng = filled(made, 400, 9)
    index, asked = build_index(collection, view, Kind.FLAT), []
    whole = metadata.rows_where
    monkeypatch.setattr(metadata, "rows_where", lambda table, where: asked.append(where) or whole(table, where))
    for _ in range(3):
        check(index, collection, view, rng, where="source = 's1'")
    assert asked == ["source = 's1'"]
    collection.upsert(rows(view, range(399, 420), rng), may_exist=True)
    for _ in range(2):
        check(index, collection, view, rng, where="source = 's1'")
    assert asked == ["source = 's1'"] * 2
    for number in range(40):
        check(index, collection, view, rng, where=f"ordinal < {20 + number}")
    check(index, collection, view, rng, where="ordinal < 59")
    assert len(asked) == 42
    check(index, collection, view, rng, where="source = 's1'")  # forgotten meanwhile
    assert len(asked) == 43
