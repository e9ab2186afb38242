"""What a collection holds after its files have changed."""

import numpy as np

from instructor_search import Collection


def texts(name="docs"):
    return sorted(r["text"] for r in Collection.open(name).chunks.search().select(["text"]).to_list())


def right_vectors(encoder, view):
    """Whether every vector of a view is that of its text under the view's instruction."""
    collection = Collection.open("docs")
    view = collection.view(view)
    rows = collection.chunks.search().select(["text", view.column]).to_list()
    expected = encoder.encode([(view.document_instruction, r["text"]) for r in rows])
    return np.allclose([r[view.column] for r in rows], expected, atol=1e-6)
