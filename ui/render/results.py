"""Scores of runs side by side, and the studies' plots."""

from __future__ import annotations

import base64

from instructor_search.result_files import RunScores
from ui.render.parts import panel, text
from ui.results import tasks_of

EMPTY = panel(
    "empty",
    "No results yet",
    "Start a quick run on the bundled sets here, or run: python -m eval --suite all. Results stand side by side then.",
)


def runs(found: list[RunScores]) -> str:
    """Return a table of tasks by runs, scores x 100; the best of a task is bold."""
    if not found:
        return EMPTY
    head = "".join(f'<th class="number">{text(run.title)}</th>' for run in found)
    body = "".join(_row(category, task, found) for category, task in tasks_of(found))
    return (
        '<div class="table-box" tabindex="0"><table class="rows"><caption class="visually-hidden">Scores</caption><thead><tr>'
        f"<th>category</th><th>task</th><th>metric</th>{head}</tr></thead><tbody>{body}{_averages(found)}</tbody></table></div>"
    )


def _row(category: str, task: str, found: list[RunScores]) -> str:
    scores = [run.scores.get(task) for run in found]
    best = max(score.score for score in scores if score is not None)
    metric = next(score.metric for score in scores if score is not None)
    cells = ""
    for score in scores:
        if score is None:
            cells += '<td class="number">–</td>'
            continue
        ends = f"95 %: {100 * score.low:.1f} to {100 * score.high:.1f}" if score.low is not None and score.high else ""
        shown = f"{100 * score.score:.2f}"
        cells += f'<td class="number" title="{ends}">{f"<b>{shown}</b>" if score.score == best else shown}</td>'
    return f"<tr><td>{text(category)}</td><td>{text(task)}</td><td>{text(metric)}</td>{cells}</tr>"


def _averages(found: list[RunScores]) -> str:
    """Return the mean over the tasks that all runs have."""
    shared = set.intersection(*(set(run.scores) for run in found))
    if len(shared) < 2:
        return ""
    means = [sum(run.scores[task].score for task in shared) / len(shared) for run in found]
    cells = "".join(f'<td class="number"><b>{100 * mean:.2f}</b></td>' for mean in means)
    return f"<tr><td></td><td><b>average of {len(shared)} shared tasks</b></td><td></td>{cells}</tr>"


def plots(found: list[tuple[str, str]]) -> str:
    """Return the studies' plots as images: what stands in them cannot run."""
    figures = "".join(
        f'<figure class="map" style="margin:0"><h3>{text(name)}</h3><img alt="Plot of the study {text(name)}" '
        f'style="width:100%;background:#fff" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"></figure>'
        for name, svg in found
    )
    return f'<div class="maps" style="margin-top:14px">{figures}</div>' if figures else ""
