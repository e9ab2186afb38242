"""Billboard: how well the similarity to reference texts agrees with human judgments of generated texts.

A candidate's score is its largest cosine over its references (Kasai et al., "Bidimensional Leaderboards", and the
INSTRUCTOR paper, section 2.3); the measure is Pearson's correlation with the human scores, Kendall's tau beside it. A
set whose judgments only order the candidates of one segment (direct assessment turned into pairs, "DARR") is measured
by the Kendall-like tau of the WMT metrics task: (concordant - discordant) / (concordant + discordant).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import kendalltau, pearsonr, spearmanr

from eval.local_data import LABEL, NUMBER, TEXT, TEXTS, Row, find, read_rows
from eval.records import Context, EvalDataError, Outcome, TaskInfo
from eval.tasks.base import EvalTask
from eval.units import Group, Units, means
from instructor_search.instructions import InstructionPair

if TYPE_CHECKING:
    from eval.systems import System

PEARSON, DARR = "pearson", "kendall_like"


class BillboardTask(EvalTask):
    """Rows {references, candidate, human_score, id}."""

    def __init__(self, info: TaskInfo, read: Callable[[], list[Row]]) -> None:
        """``read`` gives the rows."""
        self.info = info
        self._read = read

    def evaluate(self, system: System, sides: InstructionPair, context: Context) -> Outcome:
        """Return Pearson's r or the Kendall-like tau, with the other correlations beside it."""
        rows = self._read()
        candidates = system.embed([row["candidate"] for row in rows], sides.query, context)
        flat = [text for row in rows for text in row["references"]]
        references = system.embed(flat, sides.document, context)
        similarity = max_cosine(candidates, references, [len(row["references"]) for row in rows])
        human = np.array([row["human_score"] for row in rows], dtype=np.float64)
        segments = np.unique([str(row["id"]) for row in rows], return_inverse=True)[1]
        if self.info.metric == DARR:
            return _within_segments(similarity, human, segments, self.info.name)
        if len(set(human)) < 2:
            raise EvalDataError(f"{self.info.name}: all human scores are {human[0]:g}; expected different ones")
        group = Group("pearson", {"first": similarity, "second": human, "unit": segments})
        scores = {
            "pearson": float(pearsonr(similarity, human).statistic),
            "spearman": float(spearmanr(similarity, human).statistic),
            "kendall_tau": float(kendalltau(similarity, human).statistic),
        }
        return Outcome({"main_score": scores["pearson"], **scores}, Units((group,)))


def max_cosine(candidates: np.ndarray, references: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return for each candidate, (n, dim), the largest cosine over its own ``counts`` references, float64 (n,)."""
    first, second = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (candidates, references))
    owner = np.repeat(np.arange(len(candidates)), counts)
    cosines = np.einsum("ij,ij->i", first[owner].astype(np.float64), second.astype(np.float64))
    return np.maximum.reduceat(cosines, np.concatenate([[0], np.cumsum(counts)[:-1]]))


def _within_segments(similarity: np.ndarray, human: np.ndarray, segments: np.ndarray, name: str) -> Outcome:
    """Kendall-like tau over the pairs of one segment that people did not judge equal; a tie of ours is discordant."""
    agreed, counted = np.zeros(segments.max() + 1), np.zeros(segments.max() + 1)
    for segment, items in enumerate(_items_of(segments)):
        for place, first in enumerate(items):
            for second in items[place + 1 :]:
                if human[first] != human[second]:
                    better, worse = (first, second) if human[first] > human[second] else (second, first)
                    agreed[segment] += 1 if similarity[better] > similarity[worse] else -1
                    counted[segment] += 1
    if not counted.any():
        raise EvalDataError(f"{name}: no segment has two candidates of different human scores")
    kept = counted > 0
    tau = float(agreed.sum() / counted.sum())
    scores = {"main_score": tau, DARR: tau, "pairwise_accuracy": (tau + 1) / 2}
    return Outcome(scores, Units((means(agreed[kept], counted[kept]),)))


def _items_of(segments: np.ndarray) -> list[list[int]]:
    items: list[list[int]] = [[] for _ in range(segments.max() + 1)]
    for item, segment in enumerate(segments):
        items[segment].append(item)
    return items


def read_folder(folder: Path) -> list[Row]:
    """Return the rows of a folder: its test.jsonl, or the pair of files that THumB publishes.

    Raises:
        EvalDataError: neither is there, or a row is malformed.
    """
    hypotheses = sorted(folder.glob("*_THumB-1.0.jsonl*"))
    if hypotheses:
        references = sorted(folder.glob("*_references.jsonl*"))
        if not references:
            raise EvalDataError(f"{folder} has {hypotheses[0].name} and no *_references.jsonl beside it")
        return read_thumb(references[0], hypotheses[0])
    fields = {"references": TEXTS, "candidate": TEXT, "human_score": NUMBER}
    rows = read_rows(find(folder, "test.jsonl"), fields, _without_references)
    for number, row in enumerate(rows, 1):
        row.setdefault("id", f"row {number}")
    return rows


def _without_references(row: Row) -> str | None:
    return None if row["references"] else "no references; expected at least one"


def read_thumb(references: Path, hypotheses: Path) -> list[Row]:
    """Return the rows of THumB's files: {seg_id, refs} and {seg_id, hyp, human_score} (MSCOCO, CNN/DM, WMT20 zh-en).

    Raises:
        EvalDataError: a row is malformed, a segment's references stand there twice, or a hypothesis has none.
    """
    by_segment: dict[str | int, list[str]] = {}

    def again(row: Row) -> str | None:
        if row["seg_id"] in by_segment:
            return f"the segment {row['seg_id']!r} stands there twice; expected each once"
        by_segment[row["seg_id"]] = row["refs"]
        return None

    read_rows(references, {"seg_id": LABEL, "refs": TEXTS}, again)

    def without_references(row: Row) -> str | None:
        return None if by_segment.get(row["seg_id"]) else f"no references for segment {row['seg_id']!r}"

    judged = read_rows(hypotheses, {"seg_id": LABEL, "hyp": TEXT, "human_score": NUMBER}, without_references)
    return [
        {
            "id": row["seg_id"],
            "references": by_segment[row["seg_id"]],
            "candidate": row["hyp"],
            "human_score": row["human_score"],
        }
        for row in judged
    ]
