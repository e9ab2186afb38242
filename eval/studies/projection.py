"""Projection: pairs of texts on a plane, with and without the instruction (INSTRUCTOR paper, the t-SNE figure).

Pairs that mean the same should be near each other, others far. Both maps show the same pairs; beside them stands what
the plane cannot show, the mean cosines and the average precision in the full space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import average_precision_score

from eval.config import EvalConfig
from eval.plan import system_options
from eval.plots import pairs_plot
from eval.progress import Progress
from eval.records import Category, Context, EvalDataError
from eval.specifications import make_system
from eval.studies.study import Grid, Study, bases
from eval.systems import System
from eval.tasks.base import EvalTask, whole
from eval.tasks.mteb_tasks import MtebTask
from instructor_search.errors import InstructorSearchError

NUM_PAIRS = 30  # of each label on a map
MAX_SETS = 3


def run_projection(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return maps and cosines of pair-classification sets under no instruction and under their own.

    Raises:
        EvalDataError: no pair-classification set was chosen.
        ValueError: a model gives no vectors, or takes no instructions.
    """
    study = Study("projection", f"Projection of pairs without and with the instruction ({source} data)")
    sets = _sets(config, tasks)
    maps: list[dict[str, Any]] = []
    told = progress or Progress()
    try:
        with tempfile.TemporaryDirectory() as folder:
            context = Context(Path(folder), seed=config.seed, on_texts=told.texts)
            for model in bases(config):
                system = make_system(model, source, system_options(config))
                told.system(system.label, len(sets))
                maps += _run_model(study, system, sets, context, told)
    except KeyboardInterrupt:
        study.interrupted = True
    finally:
        told.close()
    study.why_empty = "no set could be drawn"
    study.svg = pairs_plot(maps) if maps else ""
    study.values = {"maps": [_plain(drawn) for drawn in maps]}
    return study


def _sets(config: EvalConfig, tasks: Sequence[EvalTask]) -> list[EvalTask]:
    """Return the sets that are drawn, once it is clear that the models can draw them."""
    sets = [task for task in tasks if task.info.category is Category.PAIR_CLASSIFICATION][:MAX_SETS]
    if not sets:
        raise EvalDataError("projection draws pair-classification sets, and none was chosen; add one to --suite")
    searching = next((model for model in config.models if model.startswith("collection:")), None)
    if searching:
        raise ValueError(
            f"--models {searching}: a collection searches by itself; projection draws an encoder's vectors"
        )
    return sets


def _run_model(
    study: Study, system: System, sets: Sequence[EvalTask], context: Context, told: Progress
) -> list[dict[str, Any]]:
    maps, rows = [], []
    for task in sets:
        name = task.info.name
        told.task(name)
        try:
            drawn = _draw(cast(MtebTask, whole(task)), system, context)
        except InstructorSearchError as error:
            study.failures[f"{name} ({system.label})"] = str(error)
            told.done(name, f"failed: {error}")
            continue
        maps.append({"title": f"{name}, {system.label}", **drawn})
        rows += [
            (f"{name}, {v}", *(f"{drawn[v][k]:.3f}" for k in ("same", "different", "ap"))) for v in ("without", "with")
        ]
        told.done(name, "drawn")
    columns = ("set", "mean cosine, same", "mean cosine, different", "average precision of the pairs drawn")
    study.grids.append(Grid(system.label, columns, rows))
    return maps


def _plain(drawn: dict[str, Any]) -> dict[str, Any]:
    """Return a map as plain values."""
    points = {v: {**drawn[v], "points": drawn[v]["points"].round(3).tolist()} for v in ("without", "with")}
    return {**drawn, **points, "labels": drawn["labels"].tolist()}


def _draw(task: MtebTask, system: System, context: Context) -> dict[str, Any]:
    pairs = task.labelled_pairs(context.seed)
    rng = np.random.default_rng(context.seed)
    chosen = []
    for label in (1, 0):
        label_pairs = [pair for pair in pairs if pair[2] == label]
        chosen += [label_pairs[i] for i in rng.permutation(len(label_pairs))[:NUM_PAIRS]]
    labels = np.array([pair[2] for pair in chosen])
    drawn: dict[str, Any] = {"labels": labels}
    for variant, sides in (("without", task.info.sides("none")), ("with", system.sides(task.info))):
        first, second = (
            system.embed([pair[side] for pair in chosen], sides[side], context) for side in (0, 1)
        )  # each (pairs, dim)
        vectors = np.concatenate([first, second])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = np.einsum("ij,ij->i", *np.split(vectors, 2))
        perplexity = min(15.0, (len(vectors) - 1) / 3)
        points = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=context.seed).fit_transform(
            vectors
        )
        drawn[variant] = {
            "points": points,  # (2 pairs, 2): first texts, then second texts
            "same": float(cosines[labels == 1].mean()),
            "different": float(cosines[labels == 0].mean()),
            "ap": float(average_precision_score(labels, cosines)),
            "instruction": sides.query,
        }
    return drawn
