"""Reads a file of the corpus, or of a test, as an ingest does."""

from ingest.readers import ReadOptions, read_file
from tests.conftest import ROOT

CORPUS = ROOT / "corpus"


def read(path, **options):
    documents = []
    for document in read_file(path, f"root/{path.name}", ReadOptions(**options)):
        blocks = list(document.blocks)
        documents.append((document, blocks, "".join(b.text for b in blocks)))
    return documents


def one(path, **options):
    (found,) = read(path, **options)
    return found
