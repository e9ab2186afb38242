"""Training examples of a collection's own texts: titles and headings with the passages under them."""

from __future__ import annotations

from pathlib import Path

from instructor_search.instruction_library import query_instruction_for
from instructor_search.instructions import InstructedText
from train.examples import Mixture, MixtureError, TaskFacts, TrainingExample


def from_collection(name: str, store: str | None = None) -> Mixture:
    """Return a mixture of one task: the title and headings of each chunk, and its text.

    The texts are under the document instruction of the collection's default view, the titles under the query
    instruction that goes with it. Chunks whose title says nothing (a file's name, a row's number) are left out.

    Raises:
        MixtureError: fewer than twenty chunks have a title.
    """
    from instructor_search.store.collection import Collection

    collection = Collection.open(name, store)
    view = collection.view()
    query_instruction = query_instruction_for(view.document_instruction)
    columns = ["title", "heading", "text", "source"]
    rows = collection.fetch(collection.chunks.search().select(columns).limit(collection.num_chunks()))
    examples = []
    for row in sorted(rows, key=lambda r: (r["source"], r["text"])):
        head = " ".join((row["heading"] or row["title"] or "").split())
        body = _without_head(row["text"], head)
        if len(head.split()) >= 2 and Path(row["source"]).name not in head and len(body.split()) >= 5:
            query = InstructedText(query_instruction, head)
            examples.append(TrainingExample(query, InstructedText(view.document_instruction, body)))
    if len(examples) < 20:
        raise MixtureError(
            f"collection {name!r} has {len(examples)} chunks with a title or heading of their own; expected at least 20"
        )
    facts = TaskFacts(name=name, file="", rows=len(examples), sha256="", licence="your own",
                      source=f"collection {name}", symmetric=False, query_instruction=query_instruction,
                      document_instruction=view.document_instruction)  # fmt: skip
    return Mixture({name: examples}, {name: facts})


def _without_head(text: str, head: str) -> str:
    """Return the text without its first line, if that is the title or heading, which would give the answer away."""
    first, _, rest = text.strip().partition("\n")
    own = first.strip(" #*=-").lower()
    return rest.strip() if own and own in head.lower() else text
