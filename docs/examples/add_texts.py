"""Store texts of a program, without files, and find them again:  python docs/examples/add_texts.py"""

import tempfile

from instructor_search import Collection, Searcher, explain_hit, verify

TICKETS = {
    "T-1": ("The export stops at 99 percent and never ends.", {"stars": 1}),
    "T-2": ("Signing in fails after the password was changed.", {"stars": 2}),
    "T-3": ("The new colours are lovely.", {"stars": 5}),
}

with tempfile.TemporaryDirectory() as store:
    tickets = Collection.create("tickets", store, instruction="@support/query")
    texts, facts = zip(*TICKETS.values(), strict=True)
    added = tickets.add(texts, ids=list(TICKETS), metadata=facts)
    print(f"{added.num_documents} texts, {added.num_chunks} chunks")
    print(f"again: {tickets.add(texts, ids=list(TICKETS), metadata=facts).num_unchanged} unchanged")

    searcher = Searcher(tickets)
    for hit in searcher.search("cannot log in", where="stars <= 2", instruction="@support-tickets"):
        print(f"{hit.score:.2f}  {hit.document_id}  {hit.text}")

    first = searcher.search("cannot log in")[0]
    (why,) = explain_hit(searcher, first.chunk_id, "cannot log in", [None])
    strongest = sorted(why.query_tokens, key=lambda part: -part.contribution)[:2]
    print(
        f"its score of {why.score:.2f} comes most of all from:", " and ".join(part.text.strip() for part in strongest)
    )
    print("problems:", verify(tickets).problems)
