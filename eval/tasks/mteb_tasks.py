"""The seven MTEB categories, run by mteb 2.x's own task classes on hub data or on local folders.

After mteb has scored a task, its saved predictions are taken apart into units (a query, a pair, a text), from which the
same score is computed again: that check, and the interval, come from them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
import numpy as np
import pytrec_eval
from mteb.abstasks import AbsTaskClassification, AbsTaskPairClassification, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy
from mteb.abstasks.text.summarization import AbsTaskSummarization
from mteb.types import PromptType
from scipy.stats import spearmanr

from eval.records import Context, EvalDataError, Outcome, TaskInfo
from eval.tasks.base import EvalTask
from eval.tasks.clusterings import mean_over_seeds, repeat_clusterings
from eval.units import Group, Units, means
from instructor_search.instructions import InstructionPair

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask

    from eval.systems import System

_ENCODE_KWARGS: Any = {
    "batch_size": 256,
    "show_progress_bar": False,
}  # of mteb's dataloaders; our encoder batches itself
_TOLERANCE = 2e-5  # mteb rounds retrieval scores to five digits


class MtebTask(EvalTask):
    """One of mteb's tasks."""

    def __init__(
        self, info: TaskInfo, make: Callable[[int], AbsTask], notes: Callable[[Any], list[str]] | None = None
    ) -> None:
        """``make`` builds the task for a seed; ``notes`` says after loading what a reader must know."""
        self.info = info
        self._make = make
        self._notes = notes

    def evaluate(self, system: System, sides: InstructionPair, context: Context) -> Outcome:
        """Run mteb's protocol; the result is mteb's own score."""
        task = self._make(context.seed)
        if isinstance(task, AbsTaskAggregate):
            return self._evaluate_aggregate(task, system, context)
        _tell_sides_apart(task, sides)
        with quiet_mteb():
            task.load_data()
            model = system.as_mteb(sides, context)
            repeated = _repeated(task, context)
            outcome = mean_over_seeds(_run(task, model, context.folder), repeated)
        if self._notes:
            outcome.notes += self._notes(task)
        task.unload_data()
        return outcome

    def labelled_pairs(self, seed: int) -> list[tuple[str, str, int]]:
        """Return (first text, second text, 1 or 0) of a pair-classification task."""
        task: Any = self._make(seed)
        with quiet_mteb():
            task.load_data()
        (split,), (subset,) = task.eval_splits, task.hf_subsets
        rows = _split_rows(task, split, subset)
        columns = [
            list(rows[name]) for name in (task.input1_column_name, task.input2_column_name, task.label_column_name)
        ]
        if len(columns[0]) == 1 and isinstance(columns[0][0], list):  # the old format: all pairs in one row
            columns = [column[0] for column in columns]
        task.unload_data()
        return list(zip(*columns, strict=True))

    def _evaluate_aggregate(self, task: AbsTaskAggregate, system: System, context: Context) -> Outcome:
        """Run the parts of a task that is a mean of others (CQADupstack), each under its own instruction."""
        outcomes, instructions = [], {}
        for part in task.metadata.tasks:
            sides = system.sides_of_part(self.info, part.metadata.name)
            instructions[part.metadata.name] = sides._asdict()
            with quiet_mteb():
                part.load_data()
                outcomes.append(_run(part, system.as_mteb(sides, context), context.folder))
            part.unload_data()
        scores = {"main_score": float(np.mean([o.scores["main_score"] for o in outcomes]))}
        scores |= {p.metadata.name: o.scores["main_score"] for p, o in zip(task.metadata.tasks, outcomes, strict=True)}
        groups = tuple(g for o in outcomes for g in (o.units.groups if o.units else ()))
        whole = all(o.units for o in outcomes)
        notes = [note for outcome in outcomes for note in outcome.notes]
        return Outcome(scores, Units(groups) if whole else None, notes, facts={"instructions_of_parts": instructions})


def _tell_sides_apart(task: Any, sides: InstructionPair) -> None:
    """Make mteb say which side it embeds where the two have different instructions.

    Raises:
        EvalDataError: the task has one side only, and two instructions were given.
    """
    if isinstance(task, AbsTaskRetrieval) or sides.query == sides.document:
        return
    if not isinstance(task, AbsTaskSTS | AbsTaskPairClassification):
        raise EvalDataError(
            f"{task.metadata.name} has texts of one kind and was given two instructions, {sides.query!r} and "
            f"{sides.document!r}; expected one (text)"
        )
    task.input1_prompt_type, task.input2_prompt_type = PromptType.query, PromptType.document


def _repeated(task: AbsTask, context: Context) -> list[np.ndarray]:
    """Return what further clusterings will be kept in; it stays empty where there are none."""
    if isinstance(task, AbsTaskClusteringLegacy) and context.cluster_seeds > 1:
        return repeat_clusterings(task, context.cluster_seeds)
    return []


def _run(task: AbsTask, model: Any, folder: Path) -> Outcome:
    predictions_folder = Path(tempfile.mkdtemp(prefix="predictions-", dir=folder))
    try:
        result = mteb.evaluate(
            model,
            task,
            cache=None,
            co2_tracker=False,
            prediction_folder=predictions_folder,
            show_progress_bar=False,
            encode_kwargs={**_ENCODE_KWARGS},
        ).task_results[0]
        predictions = json.loads((predictions_folder / task.prediction_file_name).read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(predictions_folder, ignore_errors=True)
    (split,), (subset,) = task.eval_splits, task.hf_subsets
    scores = dict(result.scores[split][0])
    predicted = predictions[subset][split]
    units = Units(tuple(_groups(task, predicted, scores, split, subset)))
    notes = [_first_version(predicted)] if isinstance(task, AbsTaskSummarization) and not _averages_p(task) else []
    outcome = Outcome(scores, units, notes, split=split, subset=subset)
    if not abs(units.score() - scores["main_score"]) < _TOLERANCE:
        outcome.units = None
        outcome.notes.append(f"no interval: the units give {units.score():.5f}, mteb {scores['main_score']:.5f}")
    return outcome


def _groups(task: AbsTask, predictions: Any, scores: dict[str, Any], split: str, subset: str) -> Iterator[Group]:
    """Yield the units of a task from the predictions that mteb saved."""
    rows = _split_rows(task, split, subset)
    if isinstance(task, AbsTaskRetrieval):
        yield means(_per_query(task, predictions, rows["relevant_docs"]))
    elif isinstance(task, AbsTaskClassification):
        gold = np.asarray(rows[task.label_column_name])
        yield means(np.mean([np.asarray(p) == gold for p in predictions], axis=0))
    elif isinstance(task, AbsTaskClusteringLegacy):
        yield from _cluster_sets(list(rows[task.label_column_name]), predictions)
    elif isinstance(task, AbsTaskPairClassification):
        yield _pairs(task, predictions, rows, scores)
    elif isinstance(task, AbsTaskSTS):
        first = np.asarray(predictions["cosine_scores"], dtype=np.float64)
        yield Group("spearman", {"first": first, "second": np.asarray(rows["score"], dtype=np.float64)})
    elif isinstance(task, AbsTaskSummarization):
        yield means(_per_text(predictions, with_p=_averages_p(task)))


def _split_rows(task: AbsTask, split: str, subset: str) -> Any:
    data: Any = task.dataset
    return data[subset][split] if subset in data else data[split]


def _per_query(
    task: AbsTaskRetrieval, results: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]
) -> list[float]:
    """Return the main score's measure of each query."""
    metric = task.metadata.main_score
    if task.ignore_identical_ids:
        results = {q: {d: s for d, s in ranking.items() if d != q} for q, ranking in results.items()}
    if metric.startswith("max_over_subqueries_"):
        metric = metric.removeprefix("max_over_subqueries_")
        results, qrels = _best_of_subqueries(results, qrels)
    name, cutoff = metric.rsplit("_at_", 1)
    measure = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "mrr": "recip_rank"}[name]
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {f"{measure}.{cutoff}"})
    measures = evaluator.evaluate(results)
    return [measures[query][f"{measure}_{cutoff}"] for query in sorted(measures)]


def _best_of_subqueries(results: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]) -> tuple[Any, Any]:
    """Merge queries "x_0", "x_1", ... into "x", a document keeping its best score (MindSmallReranking)."""
    merged: dict[str, dict[str, float]] = {}
    gold: dict[str, dict[str, int]] = {}
    for query in qrels:
        base = "_".join(query.split("_")[:-1])
        best = merged.setdefault(base, {})
        for document, score in results[query].items():
            best[document] = max(score, best.get(document, score))
        gold[base] = qrels[query]
    return merged, gold


def _cluster_sets(sets: list[list[Any]], predictions: list[list[int]]) -> Iterator[Group]:
    remaining = iter(predictions)
    for labels in sets:
        codes = np.unique(np.asarray(labels), return_inverse=True)[1]
        one = len(set(codes)) < 2  # mteb gives such a set 1.0 without clustering it
        clusters = np.zeros_like(codes) if one else np.asarray(next(remaining))
        yield Group("v_measure", {"labels": codes, "clusters": clusters})


def _pairs(task: AbsTaskPairClassification, predictions: Any, rows: Any, scores: dict[str, Any]) -> Group:
    labels = rows[task.label_column_name]
    if len(labels) == 1 and isinstance(labels[0], list):  # the old format: all pairs in one row
        labels = labels[0]
    keys = {
        "cosine": "cosine_scores",
        "similarity": "similarity_scores",
        "dot": "dot_scores",
        "manhattan": "manhattan_distances",
        "euclidean": "euclidean_distances",
    }
    used = min(keys, key=lambda name: abs(scores[f"{name}_ap"] - scores["main_score"]))
    sign = -1.0 if keys[used].endswith("distances") else 1.0
    values = sign * np.asarray(predictions[keys[used]], dtype=np.float64)
    return Group("average_precision", {"scores": values, "labels": np.asarray(labels, dtype=np.float64)})


def _averages_p(task: AbsTaskSummarization) -> bool:
    """Whether the task is mteb's first SummEval, which averages rho with its p-value."""
    return bool(task.evaluator.__name__.startswith("Deprecated"))


def _per_text(predictions: Any, *, with_p: bool) -> list[float]:
    """Return Spearman's rho of each text, or its mean with its p-value."""
    pairs = zip(predictions["human_scores"], predictions["cosine_scores"], strict=True)
    correlations = [spearmanr(human, machine) for human, machine in pairs]
    return [float(np.mean([f.statistic, f.pvalue])) if with_p else float(f.statistic) for f in correlations]


def _first_version(predictions: Any) -> str:
    value = 100 * float(np.mean(_per_text(predictions, with_p=True)))
    return f"published SummEval scores average rho with its p-value, which would be {value:.2f} here"


@contextmanager
def quiet_mteb() -> Iterator[None]:
    """Keep the progress bars and warnings of mteb and datasets off the terminal; ours are enough."""
    import logging

    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    levels = {name: logging.getLogger(name).level for name in ("mteb", "datasets", "sentence_transformers")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield  # a bar that was drawn before keeps its own stream
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if not hidden:
            datasets.enable_progress_bars()
