"""Make a collection of a folder, and ask one query under two instructions:  python docs/examples/search_a_folder.py"""

import tempfile
from pathlib import Path

from ingest import IngestConfig, ingest
from instructor_search import Collection, Searcher, Side, compare

CORPUS = Path(__file__).parents[2] / "corpus"
ASTRONOMY = "Represent the astronomy question for retrieving supporting documents: "
MYTHOLOGY = "Represent the Roman mythology question for retrieving supporting documents: "

with tempfile.TemporaryDirectory() as store:
    report = ingest(IngestConfig(paths=(CORPUS,), store=store, instruction="@default"))
    print(f"{report.documents} documents, {report.chunks_total} chunks under {report.document_instruction!r}")

    searcher = Searcher(Collection.open("corpus", store))
    for instruction in (ASTRONOMY, MYTHOLOGY):
        best = searcher.search("mercury", instruction=instruction, top_k=1, snippets="meaning")[0]
        print(f"{best.score:.2f}  {best.title}: {best.best_sentence}")

    found = compare("mercury", [Side(searcher, ASTRONOMY), Side(searcher, MYTHOLOGY)], top_k=5)
    print("only under the second one:", ", ".join(move.title for move in found.differences[0].entered))
