"""The full-text index follows its table: what it finds is what an index made anew of the same rows finds."""

import os
import shutil
import tempfile

import numpy as np
import pyarrow as pa
import pytest

from instructor_search import Collection, files
from instructor_search.errors import StoreError
from instructor_search.search.candidates import CandidateFinder
from instructor_search.store.indexes import word_index
from instructor_search.store.indexes.fulltext import build_words, ensure_words, open_words, saved_words
from instructor_search.store.schema import chunk_schema, content_hash
from instructor_search.store.vectors import vector_arrays
from instructor_search.store.verify import verify
from tests.store.reading import DIM, collection_with_reader, maintain
from tests.toy import HashEncoder

WORDS = "mercury planet orbit metal liquid temperature god message trade silver".split()
ASKED = ("mercury metal", "orbit", "god of trade", "silver new", '"mercury planet" orbit', '+"liquid temperature"')


def rows(view, numbers, word=""):
    numbers = list(numbers)
    rng = np.random.default_rng(numbers[0])
    texts = [" ".join([*rng.choice(WORDS, 5 + n % 7), word, f"n{n}"]) for n in numbers]
    values = {
        "id": [f"{n:032x}" for n in numbers],
        "source": [f"s{n % 10}" for n in numbers],
        "text": texts,
        "title": [None if n % 3 else f"{WORDS[n % 10]} title" for n in numbers],
        "ordinal": numbers,
        "content_hash": list(map(content_hash, texts)),
    }
    base = [pa.array(values.get(f.name, [None] * len(numbers)), f.type) for f in chunk_schema([])]
    vectors = np.ones((len(numbers), DIM), np.float32)
    return pa.Table.from_arrays([*base, *vector_arrays(view, vectors)], schema=chunk_schema([view]))


@pytest.fixture
def made(store):
    """A collection of 300 rows with its index, and a reader that stays open."""
    return collection_with_reader(rows)


def found_by(finder, text, depth=1000, where=None):
    finder.collection.chunks.checkout_latest()  # now, not within two seconds
    finder._changed = -1
    with finder.reading():
        found = finder.matching(text, depth, where)
        texts = finder.rows([f.row for f in found], ["text"])
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    return {f.id: (f.score, texts[f.row]["text"]) for f in found}


def anew(collection, tmp_path):
    """An index of the same rows that no change was made to."""
    other = Collection.open("c")
    other.folder = tmp_path / "anew"
    build_words(other, other.open_chunks(), other.chunks.version)
    return open_words(other)


def check(made, tmp_path, *, scores=True):
    """The reader finds what an index made anew finds, with its scores if nothing is gone."""
    collection, _, finder = made
    fresh = anew(collection, tmp_path)
    for text in ASKED:
        found = found_by(finder, text)
        expected = {e["id"].decode(): s for s, e in zip(*fresh.search(text, 1000), strict=True)}
        assert found.keys() == expected.keys()
        for name, (score, stored) in found.items():
            assert f"n{int(name, 16)}" in stored.split()  # the row is the chunk's
            if scores:
                assert score == pytest.approx(expected[name], rel=1e-5)
    return len(found_by(finder, "mercury metal"))


def test_rows_that_come_change_and_go(made, tmp_path):
    collection, view, finder = made
    before = check(made, tmp_path)
    collection.upsert(rows(view, range(300, 340), word="new"), may_exist=False)
    assert check(made, tmp_path) > before
    collection.upsert(rows(view, range(340, 350)), may_exist=False)  # a second time: what was added before stays
    check(made, tmp_path)
    assert finder.words.folder == open_words(collection).folder
    collection.upsert(rows(view, range(20), word="new"), may_exist=True)
    collection.delete_where("ordinal >= 30 AND ordinal < 40")
    check(made, tmp_path, scores=False)  # words of what is gone still count in their weights
    assert not {f"{n:032x}" for n in range(30, 40)} & found_by(finder, " ".join(WORDS)).keys()
    assert finder.words.num_gone == 30
    maintain(collection)
    assert len(list(saved_words(collection))) == 1
    assert open_words(collection).num_gone == 30
    check(made, tmp_path, scores=False)
    collection.delete_where("ordinal < 100")  # more than a fifth
    assert maintain(collection) == ["full-text index"]
    assert open_words(collection).num_gone == 0
    check(made, tmp_path)
    assert not verify(collection).problems


def test_rows_that_only_move_are_not_read_again(made, tmp_path, monkeypatch):
    collection, view, finder = made
    for first in range(300, 340, 10):
        collection.upsert(rows(view, range(first, first + 10)), may_exist=False)
    found_by(finder, "mercury")
    asked = []
    real = word_index.document
    monkeypatch.setattr(word_index, "document", lambda place, fields: asked.append(place) or real(place, fields))
    files = {p.name for p in open_words(collection).folder.iterdir() if p.suffix == ".idx"}
    collection.chunks.optimize()
    found_by(finder, "mercury")
    assert not asked
    maintain(collection)
    assert asked == list(range(300, 340))  # by the writer; the first 300 have other rows now
    assert files < {p.name for p in open_words(collection).folder.iterdir()}
    check(made, tmp_path)


def test_only_what_a_filter_allows_is_found(made, monkeypatch):
    _, _, finder = made
    everything = found_by(finder, "mercury metal")
    for few in (word_index._FEW, 5):  # as part of the query; by looking further down
        monkeypatch.setattr(word_index, "_FEW", few)
        for where, allowed in (("ordinal < 40", range(40)), ("source = 's3'", range(3, 300, 10)), ("ordinal < 0", ())):
            names = {f"{n:032x}" for n in allowed}
            expected = {name: found for name, found in everything.items() if name in names}
            assert found_by(finder, "mercury metal", where=where) == expected
            best = sorted((s for s, _ in expected.values()), reverse=True)[:5]
            assert [s for s, _ in found_by(finder, "mercury metal", 5, where).values()] == best
        assert found_by(finder, "mercury metal", 10**4) == everything


def test_without_its_files_nothing_is_found_in_silence(made):
    collection, view, finder = made
    assert found_by(finder, "mercury")
    shutil.rmtree(open_words(collection).folder)
    assert found_by(finder, "mercury")  # a reader that has them open
    with pytest.raises(StoreError, match="no full-text index yet; run its ingest again to its end"):
        found_by(CandidateFinder(Collection.open("c"), view), "mercury")
    assert maintain(collection) == ["full-text index"]
    collection.upsert(rows(view, range(300, 310), word="new"), may_exist=False)
    assert len(found_by(finder, "new")) == 10


def words_problems(collection):
    return [p for p in verify(collection).problems if p.startswith("the full-text index is not what was written")]


@pytest.mark.parametrize("name", ["*.idx", "*.pos", "*.term", "rows.npy", "meta.json"])
@pytest.mark.parametrize("place", ["middle", "start"])
def test_damage_is_seen_and_mended(made, name, place):
    collection, view, _ = made
    (path,) = open_words(collection).folder.glob(name)
    assert not words_problems(collection)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place == "middle" else 8] ^= 1
    path.write_bytes(data)
    assert words_problems(collection)
    assert maintain(collection) == ["full-text index"]
    assert not words_problems(collection)
    assert found_by(CandidateFinder(Collection.open("c"), view), '"mercury planet" metal')
    (path,) = open_words(collection).folder.glob(name)
    path.unlink()
    assert words_problems(collection)
    with pytest.raises(StoreError, match="no full-text index yet"):
        found_by(CandidateFinder(Collection.open("c"), view), "mercury")
    assert maintain(collection) == ["full-text index"]
    assert found_by(CandidateFinder(Collection.open("c"), view), "mercury")


@pytest.mark.parametrize("name", ["*.idx", "*.term", "*.pos", "*.fast", "*.fieldnorm"])
def test_damaged_files_give_errors_of_ours(made, name):
    """tantivy's own are of many kinds, panics among them."""
    collection, view, _ = made
    (path,) = open_words(collection).folder.glob(name)
    rng, whole, errors = np.random.default_rng(0), path.read_bytes(), 0
    for _ in range(20):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 5):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            found_by(CandidateFinder(Collection.open("c"), view), '"mercury planet" orbit')
        except StoreError as error:
            errors += 1
            assert "\n" not in str(error)
    assert errors or name in ("*.pos", "*.fast", "*.fieldnorm")  # where damage may be other numbers only
    path.write_bytes(whole)
    assert found_by(CandidateFinder(Collection.open("c"), view), '"mercury planet" orbit')


def test_an_open_index_is_kept_while_the_newest_cannot_be_opened(made):
    collection, view, finder = made
    assert found_by(finder, "mercury")
    collection.upsert(rows(view, range(300, 310), word="new"), may_exist=False)
    maintain(collection)
    (open_words(collection).folder / "rows.npy").write_bytes(b"")
    assert len(found_by(finder, "new")) == 10
    assert maintain(collection) == ["full-text index"]
    assert len(found_by(finder, "new")) == 10


def test_an_interrupted_search_leaves_nothing_twice(made, monkeypatch):
    collection, view, finder = made
    assert found_by(finder, "mercury")
    collection.upsert(rows(view, range(300, 310), word="new"), may_exist=False)
    real = word_index.WordIndex._note_rows

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(word_index.WordIndex, "_note_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found_by(finder, "new")
    monkeypatch.setattr(word_index.WordIndex, "_note_rows", real)
    assert len(found_by(finder, "new")) == 10


def test_a_folder_that_was_not_finished_is_not_opened(made):
    collection, view, _ = made
    folder = open_words(collection).folder
    part = folder.with_name(f".9{folder.name}.part")
    shutil.copytree(folder, part)
    assert [f for f, _ in saved_words(collection)] == [folder]
    maintain(collection)
    assert list(folder.parent.iterdir()) == [folder]


def test_folders_of_dead_processes_are_swept_and_no_room_is_said(made, tmp_path, monkeypatch):
    collection, view, _ = made
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with pytest.raises(StoreError, match="no temporary folder can be made .*; set TMPDIR"):
        found_by(CandidateFinder(Collection.open("c"), view), "mercury")
    (tmp_path / "scratch").mkdir()
    for pid in ("999999999", str(os.getpid())):
        (tmp_path / "scratch" / f".words-{pid}-x").mkdir()
    finder = CandidateFinder(Collection.open("c"), view)
    assert found_by(finder, "mercury")
    assert len([p for p in (tmp_path / "scratch").iterdir() if p.name.startswith(f".words-{os.getpid()}-")]) == 2
    assert not (tmp_path / "scratch" / ".words-999999999-x").exists()
    del finder
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == [f".words-{os.getpid()}-x"]


def test_a_reader_writes_nothing_into_the_collection(made):
    collection, view, finder = made
    collection.upsert(rows(view, range(300, 310), word="new"), may_exist=False)
    before = {p: p.stat().st_mtime_ns for p in collection.folder.rglob("*")}
    assert len(found_by(finder, "new")) == 10
    assert {p: p.stat().st_mtime_ns for p in collection.folder.rglob("*")} == before


def test_what_cannot_be_written_leaves_the_one_that_was(made, monkeypatch):
    collection, view, finder = made
    collection.upsert(rows(view, range(300, 310), word="new"), may_exist=False)
    before = open_words(collection).folder

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "flush_folder", full)
    with pytest.raises(StoreError, match="full-text index cannot be written to .*No space left"), collection.writing():
        ensure_words(collection)
    assert [path for path in before.parent.iterdir()] == [before]
    assert len(found_by(finder, "new")) == 10


def test_lancedbs_own_index_of_before_is_dropped(made):
    from lancedb.index import FTS

    collection, _, finder = made
    collection.chunks.create_index("text", config=FTS())
    maintain(collection)
    assert not [i for i in collection.chunks.list_indices() if i.columns == ["text"]]
    assert found_by(finder, "mercury")


def test_an_empty_collection_has_none(store):
    collection = Collection.create_empty("c", chunk_tokens=100, chunk_overlap=0)
    view = collection.add_view(HashEncoder(DIM), "doc: ", "default")
    assert maintain(collection) == []
    assert not list(saved_words(collection))
    assert found_by(CandidateFinder(collection, view), "mercury") == {}
    collection.upsert(rows(view, range(3)), may_exist=False)
    assert maintain(collection) == ["full-text index"]
    collection.delete_where("true")
    assert found_by(CandidateFinder(collection, view), "mercury") == {}
    maintain(collection)
    assert not list(saved_words(collection))
