"""Rows -> hits: what a row of the collection becomes when it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from instructor_search.records import Hit
from instructor_search.search.ranking import Candidate
from instructor_search.search.sentences import Passage
from instructor_search.search.snippets import split_sentences
from instructor_search.store.schema import HEADING_SEPARATOR


def passage_of(row: dict[str, Any]) -> Passage:
    """Return a row's text in sentences, with what stands over it."""
    sentences = split_sentences(row["text"]) or [row["text"]]
    return Passage(row["title"] or "", _heading(row), sentences)


def _heading(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row["heading"].split(HEADING_SEPARATOR)) if row["heading"] else ()


def hits_of(
    ranked: Sequence[Candidate], rows: dict[int, dict[str, Any]], snippets: Sequence[tuple[str, str]], offset: int
) -> list[Hit]:
    """Return the ranked rows as hits; the first has the rank ``offset`` + 1. ``snippets``: a snippet and a sentence."""
    return [
        _hit(rank, candidate, rows[candidate.row], *shown)
        for rank, (candidate, shown) in enumerate(zip(ranked, snippets, strict=True), offset + 1)
    ]


def _hit(rank: int, candidate: Candidate, row: dict[str, Any], snippet: str, best_sentence: str) -> Hit:
    metadata = json.loads(row["metadata"]) if row["metadata"] else {}
    extra = {k: row[k] for k in ("mime", "row") if row[k] is not None}
    if row["mtime"]:
        extra["mtime"] = datetime.fromtimestamp(row["mtime"], UTC).isoformat(timespec="seconds")
    return Hit(
        rank=rank,
        score=float(candidate.score),
        chunk_id=candidate.id,
        document_id=row["document_id"],
        source=row["source"],
        title=row["title"],
        text=row["text"],
        snippet=snippet,
        start=row["start"],
        end=row["end"],
        heading=_heading(row),
        page=row["page"],
        metadata={**extra, **metadata},
        signals=candidate.signals,
        best_sentence=best_sentence,
    )
