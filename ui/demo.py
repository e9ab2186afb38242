"""The collection of a first start: the shipped corpus, ingested while the page is already there."""

from __future__ import annotations

from pathlib import Path

from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION
from ui.jobs import ROOT, Job
from ui.session import Session

CORPUS = ROOT / "corpus"
NAME = "corpus"
EXAMPLES = (  # query, domain of its instruction
    ("mercury", "Represent the astronomy question for retrieving supporting documents: "),
    ("mercury", "Represent the Roman mythology question for retrieving supporting documents: "),
    ("boots that broke", "Represent the customer complaint for retrieving product reviews: "),
    ("which medicine makes me cough", "Represent the medical question for retrieving supporting documents: "),
)


def start_first_ingest(session: Session, corpus: Path = CORPUS) -> Job | None:
    """Start the ingest of the shipped corpus where the store has no collection and one may be made; return its job."""
    config = session.config
    if config.read_only or session.collections() or not corpus.is_dir():
        return None
    arguments = [str(corpus), "--collection", NAME, "--instruction", DEFAULT_DOCUMENT_INSTRUCTION, "--json",
                 "--progress-json"]  # fmt: skip
    arguments += ["--store", config.store] if config.store else []
    arguments += ["--model", config.model] if config.model else []
    session.first_job = session.jobs.start("making the demo collection from corpus/", NAME, "ingest", arguments)
    return session.first_job
