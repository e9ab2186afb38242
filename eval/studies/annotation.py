"""Selective annotation: what a pool of 100 examples is worth, chosen by vote-k or drawn (Su et al., arXiv 2209.01975).

As there, each seed draws 3,000 examples of a set's pool as the unlabelled ones; 100 of them are chosen by fast vote-k
and 100 at random; for every test input the nearest of those 100 are retrieved and judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from eval.config import EvalConfig
from eval.example_selection import select_examples
from eval.plan import system_options
from eval.progress import Progress
from eval.records import Category, Context, EvalDataError
from eval.specifications import make_system
from eval.studies.study import Grid, Study, bases, percent, signed, span
from eval.systems import System
from eval.tasks.base import EvalTask, whole
from eval.tasks.prompt_retrieval import RETRIEVAL_MEASURES, Examples, PromptRetrievalTask, copies_of
from eval.units import MIN_UNITS, interval
from instructor_search.errors import InstructorSearchError
from instructor_search.in_context.neighbours import neighbour_graph
from instructor_search.in_context.vote_k import fast_vote_k

NUM_SEEDS, POOL_SIZE, ANNOTATED = 5, 3000, 100


def run_annotation(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return for each set and model the measure under both ways to choose, and their difference with an interval.

    Raises:
        EvalDataError: none of the tasks is of prompt retrieval.
    """
    chosen = [task for task in tasks if task.info.category is Category.PROMPT_RETRIEVAL]
    if not chosen:
        raise EvalDataError("the study annotation is of prompt retrieval; this data has no such set")
    study = Study("annotation", f"Annotation: {ANNOTATED} examples by vote-k or at random ({source} data)")
    study.why_empty = "no set could be judged"
    told = progress or Progress()
    try:
        for model in bases(config):
            system = make_system(model, source, system_options(config))
            told.system(system.label, len(chosen))
            _run_model(study, system, chosen, config, told)
    except KeyboardInterrupt:
        study.interrupted = True
    finally:
        told.close()
    return study


def _run_model(study: Study, system: System, tasks: Sequence[EvalTask], config: EvalConfig, told: Progress) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for task in tasks:
        told.task(task.info.name)
        try:
            rows[task.info.name] = row = _run_task(system, cast(PromptRetrievalTask, whole(task)), config, told)
        except InstructorSearchError as error:
            study.failures[f"{task.info.name} ({system.label})"] = str(error)
            told.done(task.info.name, f"failed: {error}")
            continue
        told.done(task.info.name, f"{signed(row['difference'])}")
    study.values.setdefault("models", {})[system.label] = rows
    columns = ("set", "metric", "vote-k", "random", "difference", "95 % interval", "seeds won")
    lines = [
        (
            name,
            r["metric"],
            percent(r["vote_k"]),
            percent(r["random"]),
            signed(r["difference"]),
            span(*r["interval_95"], sign=True),
            f"{r['seeds_won']} of {NUM_SEEDS}",
        )
        for name, r in rows.items()
    ]
    if rows:
        means = [float(np.mean([r[key] for r in rows.values()])) for key in ("vote_k", "random", "difference")]
        study.values.setdefault("averages", {})[system.label] = dict(
            zip(("vote_k", "random", "difference"), means, strict=True)
        )
        lines.append((f"average of {len(rows)}", "", percent(means[0]), percent(means[1]), signed(means[2]), "", ""))
    study.grids.append(Grid(system.label, columns, lines))


def _run_task(system: System, task: PromptRetrievalTask, config: EvalConfig, told: Progress) -> dict[str, Any]:
    examples = task.read()
    sides = system.sides(task.info)
    context = Context(config.output, seed=config.seed, on_texts=told.texts)
    pool = system.embed([e.input for e in examples.pool], sides.document, context)
    asked = system.embed([e.input for e in examples.test], sides.query, context)
    copies, k = copies_of(examples), config.num_demonstrations[0]
    values = np.empty((2, NUM_SEEDS, len(examples.test)))
    for seed in range(NUM_SEEDS):
        generator = np.random.default_rng([config.seed, seed])
        drawn = np.sort(generator.permutation(len(pool))[:POOL_SIZE])
        count = min(ANNOTATED, len(drawn))
        by_votes = drawn[fast_vote_k(neighbour_graph(pool[drawn]), count)]
        at_random = generator.choice(drawn, count, replace=False)
        for way, chosen in enumerate((by_votes, at_random)):
            values[way, seed] = _judged(task, examples, chosen, pool, asked, copies, k)
    return {
        "metric": RETRIEVAL_MEASURES[task.output],
        "vote_k": float(values[0].mean()),
        "random": float(values[1].mean()),
        **_compared(values[0] - values[1], config),
    }


def _judged(
    task: PromptRetrievalTask,
    examples: Examples,
    chosen: np.ndarray,
    pool: np.ndarray,
    asked: np.ndarray,
    copies: list[set[int]],
    k: int,
) -> list[float]:
    place = {int(p): i for i, p in enumerate(chosen)}
    annotated = [examples.pool[p] for p in chosen]
    forbidden = [{place[p] for p in copy if p in place} for copy in copies]
    selections = select_examples(annotated, examples.test, pool[chosen], asked, forbidden, "nearest", k, 0)
    return task.judge_retrieved(examples, [[annotated[i] for i in places] for places in selections])[1]


def _interval(differences: np.ndarray, config: EvalConfig) -> list[float | None]:
    num_seeds, num_inputs = differences.shape
    if num_inputs < MIN_UNITS:
        return [None, None]
    generator = np.random.default_rng(config.seed)
    means = []
    for _ in range(config.num_resamples):
        seeds = generator.integers(num_seeds, size=num_seeds)
        inputs = generator.integers(num_inputs, size=num_inputs)
        means.append(differences[np.ix_(seeds, inputs)].mean())
    return list(interval(np.array(means)))


def _compared(differences: np.ndarray, config: EvalConfig) -> dict[str, Any]:
    """Return the mean difference, (seeds, inputs), and its interval over draws of seeds and of inputs."""
    per_seed = differences.mean(1)
    return {
        "difference": float(differences.mean()),
        "interval_95": _interval(differences, config),
        "per_seed": per_seed.tolist(),
        "seeds_won": int((per_seed > 0).sum()),
    }
