"""A collection from Python: made with defaults, filled with texts, searched; the same twice, replaced, removed, refused."""

import numpy as np
import pytest

from instructor_search import Collection, Searcher, load_encoder
from instructor_search.errors import StoreError
from instructor_search.instruction_library import find_pair
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION
from instructor_search.store.verify import verify
from tests.toy import HashEncoder

TEXTS = ["Mercury is the planet nearest to the Sun.", "Mercury carries messages for Jupiter.", "Bread needs flour."]


def stored(collection):
    return {r["document_id"]: r["text"] for r in collection.chunks.search().select(["document_id", "text"]).to_list()}


@pytest.fixture
def toy(store):
    return Collection.create("toy", encoder=HashEncoder(), chunk_tokens=100)


def test_with_defaults_it_is_searched_at_once(store):
    collection = Collection.create("notes")
    added = collection.add(
        TEXTS, ids=["planet", "god", "bread"], metadata=[{"kind": k} for k in ("sky", "myth", "food")]
    )
    assert added == (("planet", "god", "bread"), 3, 0, 3, 0)
    assert collection.view().document_instruction == DEFAULT_DOCUMENT_INSTRUCTION
    hits = Searcher(Collection.open("notes")).search("planets near the Sun")
    assert hits[0].document_id == "planet" and hits[0].metadata["kind"] == "sky" and hits[0].source == "added/planet"
    only = Searcher(collection).search("a god of Rome", where="kind = food")
    assert [hit.document_id for hit in only] == ["bread"]
    expected = load_encoder().encode([(DEFAULT_DOCUMENT_INSTRUCTION, TEXTS[2])])[0]
    vector = collection.vectors_of(collection.view(), [only[0].chunk_id])[only[0].chunk_id]
    assert float(vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)) > 0.999
    assert verify(collection).problems == []


def test_long_texts_are_cut_and_every_view_is_filled(toy):
    with toy.writing():
        toy.add_view(HashEncoder(8), "@legal", "legal")
    toy.use_encoder(HashEncoder(8))
    added = toy.add(["A sentence of some words stands here. " * 100])
    assert added.num_chunks > 6 and toy.num_chunks() == added.num_chunks / 2
    pairs = find_pair("legal").document, DEFAULT_DOCUMENT_INSTRUCTION
    for view, instruction, dim in zip(toy.manifest.views.values(), reversed(pairs), (16, 8), strict=True):
        assert toy.missing_vectors(view) == 0 and (view.document_instruction, view.dim) == (instruction, dim)


def test_the_same_again_does_nothing_and_an_id_replaces(toy):
    assert toy.add(TEXTS).num_documents == 3
    again = toy.add([TEXTS[1], "Ships sail.", "Ships sail."])
    assert (again.num_documents, again.num_unchanged) == (1, 2)
    assert len(again.ids) == 3 and again.ids[1] == again.ids[2] != again.ids[0]
    assert sorted(stored(toy).values()) == sorted([*TEXTS, "Ships sail."])
    toy.add(["one"], ids=["a"])
    assert toy.add(["one"], ids=["a"]) == (("a",), 0, 1, 0, 0)
    assert toy.add(["one"], ids=["a"], metadata=[{"n": 1}]).num_documents == 1
    assert toy.add(["two"], ids=["a"]).num_documents == 1
    assert stored(toy)["a"] == "two" and toy.num_chunks() == 5


def test_equal_texts_of_other_metadata_are_both_kept(toy):
    added = toy.add(["the same", "the same"], metadata=[{"n": 1}, {"n": 2}])
    assert added.num_documents == 2 and added.ids[0] != added.ids[1]
    assert [hit.metadata["n"] for hit in Searcher(toy, HashEncoder()).search("the same", where="n = 2")] == [2]


def test_remove(toy):
    toy.add(TEXTS, ids=["a", "b", "c"])
    assert toy.remove(["b", "never"]) == 1
    assert set(stored(toy)) == {"a", "c"}


@pytest.mark.parametrize(
    ("texts", "more", "said"),
    [
        (["a", " "], {}, "text 1 is ' '; expected a text that is not empty"),
        (["a", None], {}, "text 1 is None"),
        ("abc", {}, "texts is one string"),
        (["a"], {"ids": ["x", "y"]}, "2 ids for 1 texts; expected one each"),
        (["a", "b"], {"ids": ["x", "x"]}, "the id 'x' stands twice"),
        (["a"], {"ids": [""]}, "id 0 is ''"),
        (["a"], {"metadata": []}, "0 metadata for 1 texts"),
    ],
)
def test_what_cannot_be_added_is_refused_whole(toy, texts, more, said):
    with pytest.raises(ValueError, match=said):
        toy.add(texts, **more)
    assert toy.num_chunks() == 0


def test_creating(store):
    with pytest.raises(ValueError, match="overlap of at most half"):
        Collection.create("c", encoder=HashEncoder(), chunk_tokens=10, chunk_overlap=9)
    assert not (store / "c").exists()
    made = Collection.create("c", encoder=HashEncoder(), instruction="@legal", chunk_tokens=80)
    assert made.view().document_instruction == find_pair("legal").document
    assert (made.manifest.chunk_tokens, made.manifest.chunk_overlap) == (80, 10)
    with pytest.raises(StoreError, match="exists"):
        Collection.create("c", encoder=HashEncoder())


def test_what_ingest_stored_stays(toy, tmp_path):
    from ingest import IngestConfig, ingest

    toy.add(["kept"], ids=["docs/a.txt"])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("of the file")
    for _ in range(2):
        config = IngestConfig(paths=(tmp_path / "docs",), collection="toy", prune=True)
        assert ingest(config, encoder=HashEncoder()).removed == 0
    assert sorted(r["text"] for r in Collection.open("toy").chunks.search().to_list()) == ["kept", "of the file"]
