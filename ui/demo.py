"""The collection of a first start: the shipped corpus, ingested while the page is already there."""

from __future__ import annotations

from pathlib import Path

from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION
from ui.job import Job
from ui.jobs import ROOT
from ui.session import Session

CORPUS = ROOT / "corpus"
NAME, TITLE = "corpus", "making the demo collection from corpus/"
EXAMPLES = (  # query, domain of its instruction
    ("mercury", "Represent the astronomy question for retrieving supporting documents: "),
    ("mercury", "Represent the Roman mythology question for retrieving supporting documents: "),
    ("boots that broke", "Represent the customer complaint for retrieving product reviews: "),
    ("which medicine makes me cough", "Represent the medical question for retrieving supporting documents: "),
)


def start_first_ingest(session: Session, corpus: Path = CORPUS) -> Job | None:
    """Start the ingest of the shipped corpus where the store has no collection, or go on with it; return its job."""
    config = session.config
    if config.read_only:
        return None
    begun = [job for job in session.jobs.of(NAME) if job.title == TITLE]
    if begun:  # an earlier start was cut short
        session.first_job = session.jobs.again(begun[-1].id)
    elif not session.collections() and corpus.is_dir():
        settings = {
            "paths": [str(corpus)],
            "collection": NAME,
            "instruction": DEFAULT_DOCUMENT_INSTRUCTION,
            "json": True,
            "progress_json": True,
            "store": config.store,
            "model": config.model,
        }
        session.first_job = session.jobs.start(TITLE, NAME, "ingest", settings, goes_on=True)
    return session.first_job
