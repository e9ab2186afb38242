"""The collection at rest: what verify finds, what delete removes, what a manifest survives."""

import json

import pytest

from ingest import IngestConfig, ingest
from instructor_search import Collection, Searcher
from instructor_search.commands.main import main
from instructor_search.errors import ModelError, StoreError
from instructor_search.store.schema import content_hash
from instructor_search.store.verify import verify
from tests.toy import HashEncoder, interrupt_at


@pytest.fixture
def encoder():
    return HashEncoder()


@pytest.fixture
def collection(store, tmp_path, encoder):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.txt").write_text(f"The value number {number} is returned.\n" * (1 + number % 3))
    ingest(IngestConfig(paths=(folder,), instruction="doc: "), encoder=encoder)
    return Collection.open("docs")


def again(collection, tmp_path, encoder):
    return ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)


def test_a_sound_collection(collection):
    report = verify(collection)
    assert report.sound and (report.chunks, report.sources) == (30, 30) and report.notes == []


def test_flipped_bits_are_found(collection, capsys):
    """The store itself reads a flipped bit back as another vector, without an error."""
    (data,) = sorted((collection.folder / "chunks.lance/data").glob("*.lance"), key=lambda p: p.stat().st_size)[-1:]
    original = data.read_bytes()
    vector = collection.chunks.search().select(["vector_default"]).limit(1).to_arrow()["vector_default"][0]
    import numpy as np

    where = original.find(np.asarray(vector.as_py(), np.float32).tobytes())
    assert where > 0, "the vector is not stored as plain floats"
    damaged = bytearray(original)
    damaged[where + 5] ^= 0x10
    data.write_bytes(bytes(damaged))
    report = verify(Collection.open("docs"))
    assert report.problems == ["1 vectors of view default that differ from their checksum"]
    assert main(["verify"]) == 1 and "problem: 1 vectors" in capsys.readouterr().out
    text = original.find(b"The value number 7 is returned.")
    assert text > 0
    damaged = bytearray(original)
    damaged[text + 4] ^= 0x01
    data.write_bytes(bytes(damaged))
    assert verify(Collection.open("docs")).problems == ["1 texts that differ from their hash"]


def test_a_damaged_vector_is_not_carried_on(collection, tmp_path, encoder):
    """A row whose vector does not fit its checksum is embedded again when its file is read again."""
    with collection.writing():
        collection.chunks.update(where="source = 'docs/1.txt'", values={"checksum_default": 1})
    assert not verify(collection).sound
    (tmp_path / "docs/1.txt").write_text("The value number 1 is returned.\nThe value number 1 is returned.\n\n")
    report = again(collection, tmp_path, encoder)
    assert report.chunks_embedded == 1 and verify(Collection.open("docs")).sound


def test_missing_rows_are_found(collection):
    with collection.writing():
        collection.chunks.delete("source = 'docs/3.txt'")
    assert verify(collection).problems == ["1 sources with another number of chunks than recorded (docs/3.txt, ...)"]


def test_delete_where_and_ingest_brings_it_back(collection, tmp_path, encoder, capsys):
    assert main(["delete", "--where", "source in ('docs/1.txt', 'docs/2.txt')", "--yes"]) == 0
    assert "deleted 2 chunks of 'docs'" in capsys.readouterr().out
    assert Collection.open("docs").num_chunks() == 28 and verify(Collection.open("docs")).sound
    assert again(collection, tmp_path, encoder).added == 2
    assert Collection.open("docs").num_chunks() == 30


def test_delete_a_view(collection, tmp_path, encoder):
    ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="other: ", view="second"), encoder=encoder)
    assert set(Collection.open("docs").manifest.views) == {"default", "second"}
    assert main(["delete", "--view", "second", "--yes"]) == 0
    left = Collection.open("docs")
    assert set(left.manifest.views) == {"default"} and "vector_second" not in left.chunks.schema.names
    assert Searcher(left, encoder).search("The value number 3 is returned.", instruction="doc: ")[0].score > 0.99
    with pytest.raises(StoreError, match="has no view 'second'"):
        left.view("second")


def test_a_view_whose_making_was_interrupted_is_finished(collection, tmp_path, encoder, monkeypatch):
    from instructor_search.store import embedding

    monkeypatch.setattr(embedding, "FIRST_BATCH", 8)
    monkeypatch.setattr(embedding, "LAST_BATCH", 8)
    real = interrupt_at(encoder, 3)
    config = IngestConfig(paths=(tmp_path / "docs",), instruction="other: ", view="second")
    assert ingest(config, encoder=encoder).interrupted
    opened = Collection.open("docs")
    assert opened.missing_vectors(opened.view("second")) == 14
    assert len(verify(opened).notes) == 1 and verify(opened).sound
    encoder.encode = real
    assert ingest(config, encoder=encoder).chunks_embedded == 14
    assert verify(Collection.open("docs")).notes == []


def test_collections_and_views_commands(collection, capsys):
    assert main(["collections"]) == 0
    assert "docs: 30 files, 30 chunks, views: default" in capsys.readouterr().out
    assert main(["views"]) == 0
    out = capsys.readouterr().out
    assert "default: 'doc: '" in out and "30 vectors of 16" in out


def test_delete_the_collection(collection, store, capsys):
    assert main(["delete", "--yes"]) == 0
    assert not (store / "docs").exists()
    assert main(["collections"]) == 0 and "no collections in" in capsys.readouterr().out


def test_what_a_killed_process_was_deleting_goes_with_the_next_work(store):
    works = {
        "first": lambda: Collection.create_empty("new", store, chunk_tokens=9, chunk_overlap=0),
        "second": lambda: Collection.open("new", store).drop(),
    }
    for left, work in works.items():
        gone = store / f".{left}.99999999.1.gone"
        (gone / "chunks.lance").mkdir(parents=True)
        work()
        assert not gone.exists()
    assert not (store / "new").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 65, "sp ace", "nul\0"])
def test_names_that_are_no_folder_names(store, name):
    with pytest.raises(StoreError):
        Collection.create_empty(name, chunk_tokens=10, chunk_overlap=0)
    assert not store.exists() or not any(store.iterdir())


def test_content_hash_takes_any_text():
    assert content_hash("a") != content_hash("b") and content_hash("\ud800")


def test_vectors_that_cannot_be_searched_are_refused(store, tmp_path, encoder):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("one")
    import numpy as np

    for value in (0.0, np.nan, np.inf):
        encoder.encode = lambda s, value=value, **o: np.full((len(s), 16), value, np.float32)
        with pytest.raises(ModelError, match="zero or not finite"):
            ingest(IngestConfig(paths=(tmp_path / "docs",), instruction="doc: "), encoder=encoder)
    assert Collection.open("docs").num_chunks() == 0


def test_a_manifest_of_the_first_format_is_read_and_renewed(store):
    from instructor_search.store.manifest import read_manifest

    made = Collection.create_empty("old", store, chunk_tokens=10, chunk_overlap=0)
    path = made.folder / "manifest.json"
    values = json.loads(path.read_text())
    values["roots"] = {"docs": "/somewhere/docs"}
    del values["source_names"]
    path.write_text(json.dumps(values | {"format_version": 1}))
    opened = Collection.open("old", store)
    assert opened.manifest.source_names == {"docs": "/somewhere/docs"} and opened.manifest.format_version == 2
    with opened.writing():
        opened.update_manifest(text_fields=["body"])
    renewed = json.loads(path.read_text())
    assert renewed["source_names"] == {"docs": "/somewhere/docs"} and "roots" not in renewed
    assert (renewed["format_version"], read_manifest(made.folder).text_fields) == (2, ["body"])
