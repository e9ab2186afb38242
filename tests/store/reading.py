"""A small collection with its indexes and a reader that stays open, for tests of what follows a table."""

from instructor_search import Collection
from instructor_search.search.candidates import CandidateFinder
from instructor_search.store import maintenance
from tests.toy import HashEncoder

DIM = 8


def collection_with_reader(rows):
    """A collection of 300 of ``rows(view, numbers)`` after its upkeep, its view, and the reader."""
    collection = Collection.create_empty("c", chunk_tokens=100, chunk_overlap=0)
    view = collection.add_view(HashEncoder(DIM), "doc: ", "default")
    collection.upsert(rows(view, range(300)), may_exist=False)
    maintain(collection)
    return collection, view, CandidateFinder(Collection.open("c"), view)


def maintain(collection):
    with collection.writing():
        return maintenance.maintain(collection)
