"""Which index a view gets; the index command; search through it equals exact search."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from ingest import IngestConfig, ingest
from instructor_search import Collection, Searcher
from instructor_search.commands.main import main
from instructor_search.errors import StoreError
from instructor_search.search import candidates
from instructor_search.search.index_report import make_index, measure
from instructor_search.store import maintenance
from instructor_search.store.indexes import policy
from instructor_search.store.indexes.faiss import Kind
from instructor_search.store.indexes.faiss_build import faiss
from instructor_search.store.indexes.policy import AUTO, EXACT, LANCE_HNSW, LANCE_RABITQ, IndexConfig
from instructor_search.store.indexes.view_index import open_index
from instructor_search.store.verify import verify
from tests.toy import HashEncoder

COUNT = 1500


@pytest.fixture
def encoder():
    return HashEncoder(dim=32)


@pytest.fixture
def collection(store, tmp_path, encoder):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.csv").write_text("text,n\n" + "".join(f"value {i},{i}\n" for i in range(COUNT)))
    ingest(IngestConfig(paths=(folder,), instruction="doc: "), encoder=encoder)
    return Collection.open("docs")


def best(collection, encoder, text, where="TRUE", k=10):
    """The nearest chunks by NumPy on the table's own vectors."""
    rows = collection.open_chunks().search().where(where).select(["id", "vector_default"]).limit(10**6).to_arrow()
    scores = np.stack(rows["vector_default"].to_pylist()) @ encoder.encode([("q: ", text)])[0].astype(np.float64)
    order = np.argsort(-scores)[:k]
    return [rows["id"][int(i)].as_py() for i in order], scores[order]


def test_auto_goes_by_size_and_by_what_is_installed(monkeypatch):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    assert IndexConfig().resolve(20_000, 384) == EXACT and IndexConfig().resolve(20_001, 384) == Kind.IVF_PQ
    monkeypatch.setattr(policy, "_memory", lambda: 2**30)
    assert IndexConfig().resolve(2_000_000, 384) == Kind.IVF_RABITQ  # 192 MB of codes on a machine of 1 GB
    assert IndexConfig("flat").resolve(5, 384) == Kind.FLAT and IndexConfig("ivf-pq").resolve(255, 384) == Kind.FLAT
    assert IndexConfig("ivf-pq").resolve(256, 384) == Kind.IVF_PQ and IndexConfig("ivf-pq").resolve(0, 384) == EXACT
    monkeypatch.setattr(policy, "find_spec", lambda name: None)
    assert IndexConfig().resolve(20_001, 384) == LANCE_HNSW
    for wrong in ({"kind": "hnsw"}, {"target_recall": 0.0}, {"target_recall": 1.1}):
        with pytest.raises(ValueError, match="expected"):
            IndexConfig(**wrong)


@pytest.mark.parametrize("kind", [EXACT, *Kind, LANCE_HNSW, LANCE_RABITQ])
def test_every_kind_is_made_measured_and_searched(kind, collection, encoder):
    if kind in list(Kind):
        pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    view = collection.view()
    report = make_index(
        collection, view, IndexConfig(kind, 0.99), queries=encoder.encode([("q: ", f"ask {i}") for i in range(40)])
    )
    assert (report.kind, report.asked, report.vectors, report.queries) == (kind, kind, COUNT, "given")
    assert (report.size > 0) == (kind != EXACT) and 0 < report.p50 <= report.p95
    searcher = Searcher(Collection.open("docs"), encoder)
    shares = []
    for number in range(40):
        ids, scores = best(collection, encoder, f"ask {number}", k=COUNT)
        hits = searcher.search(f"ask {number}", instruction="q: ", snippets="none")
        assert [h.rank for h in hits] == list(range(1, 11)) and hits[0].text.startswith("value")
        shares.append(len(set(ids[:10]) & {h.chunk_id for h in hits}) / 10)
        own = dict(zip(ids, scores, strict=True))  # what is found has its exact score, whatever the index
        np.testing.assert_allclose([h.score for h in hits], [own[h.chunk_id] for h in hits], atol=1e-5)
    assert np.mean(shares) == pytest.approx(report.recall, abs=1e-9)
    assert report.recall >= {LANCE_HNSW: 0.9, LANCE_RABITQ: 0.7, Kind.IVF_RABITQ: 0.95}.get(kind, 0.99)
    where = "n in (3, 700, 1401)"
    assert {h.metadata["n"] for h in searcher.search("x", instruction="q: ", where=where)} == {3, 700, 1401}
    assert verify(collection).sound


def test_new_and_deleted_rows_before_any_upkeep_and_after_it(collection, encoder, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    make_index(collection, collection.view(), IndexConfig("flat"))
    searcher = Searcher(Collection.open("docs"), encoder)
    searcher.search("warm", instruction="q: ")
    (tmp_path / "docs/new.txt").write_text("brand new row")
    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "maintain", lambda collection: [])
        ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
    fresh = Searcher(Collection.open("docs"), encoder)
    (hit,) = fresh.search("brand new row", instruction="doc: ", top_k=1)
    assert hit.text == "brand new row" and hit.score == pytest.approx(1, abs=1e-6)
    fresh.collection.delete_where("text = 'value 77'")
    assert fresh.search("value 77", instruction="doc: ", top_k=1)[0].text != "value 77"
    searcher.collection.chunks.checkout_latest()
    assert searcher.search("brand new row", instruction="doc: ", top_k=1)[0].text == "brand new row"
    (tmp_path / "docs/other.txt").write_text("another new row")
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)  # with upkeep
    index = open_index(Collection.open("docs"), collection.view())
    assert index.version == index.facts.version and not len(index.extra) and index.facts.count >= COUNT + 2
    assert searcher.search("brand new row", instruction="doc: ", top_k=1)[0].text == "brand new row"
    assert len(list(index.folder.parent.glob("[0-9]*"))) == 1  # older ones are gone


def test_a_wish_is_kept_until_another_is_made(collection, encoder, tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    make_index(collection, collection.view(), IndexConfig("hnsw-sq8", 0.9))
    with collection.writing():
        assert maintenance.maintain(collection) == []  # it is there already
    opened = Collection.open("docs")
    assert policy.index_config(opened, opened.view()) == IndexConfig("hnsw-sq8", 0.9)
    assert measure(opened, opened.view()).kind == "hnsw-sq8"
    make_index(opened, opened.view(), IndexConfig(AUTO))
    assert not any((opened.folder / "indexes").rglob("*.f32"))  # 1,500 are searched exactly


def test_without_faiss_the_search_goes_on_and_says_so(collection, encoder, monkeypatch, capsys):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    make_index(collection, collection.view(), IndexConfig("ivf-pq"))
    monkeypatch.setitem(sys.modules, "faiss", None)
    faiss.cache_clear()
    searcher = Searcher(Collection.open("docs"), encoder)
    for _ in range(2):
        hits = searcher.search("ask 1", instruction="q: ")
    assert [h.chunk_id for h in hits] == best(collection, encoder, "ask 1")[0]
    said = capsys.readouterr().err
    assert said.count("pip install '.[faiss-cpu]'") == 1
    assert main(["index", "--kind", "ivf-rabitq"]) == 1
    assert "pip install '.[faiss-cpu]'" in capsys.readouterr().err
    opened = Collection.open("docs")
    assert policy.index_config(opened, opened.view()).kind == "ivf-pq"  # what failed is not remembered
    with opened.writing():
        (line,) = maintenance.maintain(opened)
    assert "the index of view default was not brought up to date" in line


def test_the_commands(collection, capsys, tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    assert main(["index", "--kind", "ivf-pq", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kind"] == "ivf-pq" and report["recall"] >= 0.95 and report["build_seconds"] > 0
    assert main(["index", "--kind", "exact"]) == 0
    assert "exact (exact) over 1,500 vectors\nrecall@10 1.000" in capsys.readouterr().out
    assert main(["maintain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"collection": "docs", "made": []}
    (tmp_path / "empty.txt").write_text("\n")
    for arguments, words in (
        (["--kind", "tree"], "index kind 'tree'; expected one of auto, exact"),
        (["--target-recall", "2"], "target recall 2.0"),
        (["--queries", str(tmp_path / "empty.txt")], "has no queries"),
        (["--view", "x"], "has no view 'x'"),
    ):
        assert main(["index", *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_an_index_is_made_anew_when_a_fifth_has_changed_in_small_steps(collection, encoder, tmp_path):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    make_index(collection, collection.view(), IndexConfig("ivf-pq"))
    generations, counts = set(), []
    for step in range(5):
        lines = "".join(f"more {step} {i}\n" for i in range(100))
        (tmp_path / f"docs/more{step}.csv").write_text("text\n" + lines)
        ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
        index = open_index(Collection.open("docs"), collection.view())
        generations.add(index.folder.parent)
        counts.append((index.facts.built, index.facts.count))
    assert counts == [(1500, 1600), (1500, 1700), (1500, 1800), (1900, 1900), (1900, 2000)]
    assert len(generations) == 2


def test_a_reader_takes_the_index_that_was_saved_meanwhile(collection, encoder, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    monkeypatch.setattr(candidates, "LOOK_SECONDS", 0.0)
    reader = Searcher(Collection.open("docs"), encoder)
    reader.search("ask 1", instruction="q: ")
    assert reader.finder.index is None
    make_index(collection, collection.view(), IndexConfig("flat"))
    reader.search("ask 1", instruction="q: ")
    first = reader.finder.index
    assert first is not None
    (tmp_path / "docs/other.txt").write_text("another new row")
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
    reader.collection.chunks.checkout_latest()
    assert reader.search("another new row", instruction="doc: ")[0].text == "another new row"
    assert reader.finder.index.folder != first.folder and not len(reader.finder.index.extra)


@pytest.mark.parametrize("kind", ["exact", "flat"])
def test_one_search_sees_one_version_of_the_table(kind, collection, encoder, monkeypatch):
    """The table is rewritten and compacted between the two halves of a hybrid search."""
    if kind == "flat":
        pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    make_index(collection, collection.view(), IndexConfig(kind))
    searcher = Searcher(Collection.open("docs"), encoder)
    expected = [h.chunk_id for h in searcher.search("value 7", instruction="q: ", mode="hybrid", snippets="none")]
    real, other = searcher.finder.matching, Collection.open("docs")

    def changed(*arguments):
        other.chunks.update(values={"title": "changed"})  # every row gets another place
        other.chunks.optimize()
        searcher.collection.chunks.checkout_latest()
        return real(*arguments)

    monkeypatch.setattr(searcher.finder, "matching", changed)
    hits = searcher.search("value 7", instruction="q: ", mode="hybrid", snippets="none")
    assert [h.chunk_id for h in hits] == expected and all(h.title != "changed" for h in hits)
    monkeypatch.undo()
    again = searcher.search("value 7", instruction="q: ", mode="hybrid", snippets="none")
    assert [h.chunk_id for h in again] == expected and all(h.title == "changed" for h in again)


def test_a_view_that_is_made_anew_under_a_reader(collection, encoder):
    with collection.writing():
        collection.add_view(HashEncoder(dim=8), "other: ", "second")
    reader = Searcher(Collection.open("docs"), encoder, "default")
    reader.search("x", instruction="q: ")
    with collection.writing():
        maintenance.drop_view(collection, "default")
    reader.collection.chunks.checkout_latest()
    with pytest.raises(StoreError, match="view 'default' of 'docs' was dropped meanwhile; open the collection again"):
        reader.search("x", instruction="q: ")
    with collection.writing():
        made = collection.add_view(encoder, "new: ", "default")
        collection.save_manifest(collection.manifest.with_view(replace(made, created="2000-01-01")))
    reader.collection.chunks.checkout_latest()
    with pytest.raises(StoreError, match="was made anew meanwhile"):
        reader.search("x", instruction="q: ")


def test_filter_indexes_change_no_answer(collection, encoder, tmp_path, monkeypatch):
    """Above the threshold source, mime and mtime get an index; what is new, changed or deleted afterwards counts."""
    monkeypatch.setattr(policy, "INDEX_THRESHOLD", COUNT - 1)
    filters = [
        'source = "docs/a.csv"',
        'source in ("docs/a.csv", "docs/new.txt")',
        "mime contains plain",
        "mtime >= 2000",
    ]
    asked = lambda: [  # noqa: E731
        {h.chunk_id for h in Searcher(collection, encoder).search("value", where=w, top_k=5000)} for w in filters
    ]
    before = asked()
    assert len(before[0]) == COUNT
    made = maintenance.maintain(collection)
    assert "filter indexes of source, mime, mtime" in made and maintenance.maintain(collection) == []
    assert asked() == before
    (tmp_path / "docs/new.txt").write_text("brand new value")
    monkeypatch.setattr(maintenance, "maintain", lambda collection: [])
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
    collection.delete_where("text = 'value 77'")
    after = asked()
    assert len(after[0]) == COUNT - 1 and len(after[1]) == COUNT and len(after[2]) == len(before[2]) + 1
