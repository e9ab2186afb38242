"""A view is filled in batches, by this process or by others: each text once, what is stored stays, a break is mended."""

import numpy as np
import pytest

from instructor_search import Collection
from instructor_search.engines import LocalEngine
from instructor_search.store import embedding
from instructor_search.store.embedding import WriteCounts, fill_view
from tests.toy import HashEncoder

NUM_TEXTS = 700


@pytest.fixture
def collection(tmp_path):
    made = Collection.create("c", store=tmp_path, encoder=HashEncoder())
    made.add([f"text number {i}" for i in range(NUM_TEXTS)])
    return made


def vectors_of(collection, view):
    rows = collection.chunks.search().select(["text", view.column]).limit(None).to_arrow()
    return dict(zip(rows["text"].to_pylist(), rows[view.column].to_pylist(), strict=True))


def is_filled(collection, view, encoder):
    stored = vectors_of(collection, view)
    expected = encoder.encode([(view.document_instruction, text) for text in stored])
    return len(stored) == NUM_TEXTS and np.array_equal(np.array(list(stored.values()), np.float32), expected)


@pytest.mark.parametrize("engine", [None, LocalEngine(1), LocalEngine(2)], ids=str)
def test_every_engine_fills_alike(collection, engine):
    encoder, counts = HashEncoder(8), WriteCounts()
    with collection.writing():
        view = collection.add_view(encoder, "other: ", "other")
        fill_view(collection, view, encoder, counts, engine=engine)
    assert counts.embedded == NUM_TEXTS and counts.embed_seconds > 0 and is_filled(collection, view, encoder)


def test_what_was_stored_before_a_break_is_kept(collection, monkeypatch):
    encoder, told = HashEncoder(8), []

    def tell(count):
        told.append(count)
        if len(told) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "FIRST_BATCH", 100)
    with collection.writing():
        view = collection.add_view(encoder, "other: ", "other")
        with pytest.raises(KeyboardInterrupt):
            fill_view(collection, view, encoder, WriteCounts(), tell)
        kept = NUM_TEXTS - collection.missing_vectors(view)
        assert kept == told[0] >= 100
        counts = WriteCounts()
        fill_view(collection, view, encoder, counts)
    assert counts.embedded == NUM_TEXTS - kept and is_filled(collection, view, encoder)


def test_batches_grow_while_they_are_quick(collection, monkeypatch):
    encoder, told = HashEncoder(8), []
    monkeypatch.setattr(embedding, "FIRST_BATCH", 50)
    monkeypatch.setattr(embedding, "LAST_BATCH", 200)
    with collection.writing():
        view = collection.add_view(encoder, "other: ", "other")
        fill_view(collection, view, encoder, WriteCounts(), told.append)
    assert told == [50, 100, 200, 200, 150]
