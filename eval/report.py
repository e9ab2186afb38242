"""A report of runs side by side: one HTML file that needs nothing else, and the same in Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from eval.plots import bars_plot
from eval.runs import Run, distinct_labels
from eval.table import PUBLISHED_MODELS, Cell, Table, as_markdown, make_table
from instructor_search.files import write_at_once

BUNDLED_NOTE = "These are the bundled sets: a check of the machinery. Their scores say nothing about a model."
PUBLISHED_NOTE = (
    "Published: main scores of the MTEB tasks whose test data these sets are, from mteb's results repository. The sets "
    "kept here differ a little in size, and clustering sets in how they are cut."
)
_CSS = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: light-dark(#0072b2, #56b4e9) }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem }
.note { background: var(--soft); border-left: 4px solid var(--accent); padding: .6rem .9rem; margin: 1rem 0 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .6rem; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
td.n, th.n { text-align: right } tr.average td { font-weight: 600; background: var(--soft) }
.interval { opacity: .65; font-size: .85em } .failed { color: #d33 } td.best { color: var(--accent); font-weight: 600 }
figure { margin: 1rem 0; background: #fff; padding: .8rem; border-radius: 6px }
figure svg { max-width: 100%; height: auto }
@media (max-width: 640px) { .metric { display: none } }
td.long { white-space: normal; min-width: 16rem } small { opacity: .7 }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evaluation report</title><style>{style}</style></head>
<body>{body}</body></html>
"""


def write_reports(runs: Sequence[Run], stem: Path) -> list[Path]:
    """Write STEM.html and STEM.md of ``runs``, one table for each kind of data; return their paths."""
    shown = [run for run in runs if run.results or run.failures]
    if not shown:
        return []
    groups = {
        source: [run for run in shown if run.source == source] for source in dict.fromkeys(r.source for r in shown)
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in ((".html", _as_html(groups)), (".md", _as_markdown(groups))):
        path = stem.with_suffix(suffix)
        write_at_once(path, text)
        written.append(path)
    return written


def _as_markdown(groups: dict[str, list[Run]]) -> str:
    parts = ["# Evaluation report", f"Written {_now()}. Scores x 100 with 95 % bootstrap intervals."]
    for source, runs in groups.items():
        table = make_table(runs)
        parts += [f"## {source} data"] + ([BUNDLED_NOTE] if source == "bundled" else []) + [as_markdown(table)]
        if published := _published_rows(table):
            parts += ["### Beside published scores", PUBLISHED_NOTE, _markdown_rows(_published_head(table), published)]
        if notes := _notes(runs):
            parts += ["### Notes", "\n".join(f"- {note}" for note in notes)]
        parts += ["### Runs", _markdown_rows(_RUN_COLUMNS, _run_rows(runs))]
        parts += ["### Instructions", _markdown_rows(_INSTRUCTION_COLUMNS, _instruction_rows(runs))]
    return "\n\n".join(parts) + "\n"


def _markdown_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(r)} |" for r in escaped)])


def _as_html(groups: dict[str, list[Run]]) -> str:
    body = [f"<h1>Evaluation report</h1><small>Written {_now()}. Scores × 100 with 95 % bootstrap intervals.</small>"]
    for source, runs in groups.items():
        table = make_table(runs)
        body.append(f"<h2>{html.escape(source)} data</h2>")
        if source == "bundled":
            body.append(f'<p class="note">{BUNDLED_NOTE}</p>')
        body += [_averages_figure(table), _html_table(table)]
        if published := _published_rows(table):
            body.append(f"<h2>Beside published scores</h2><p>{PUBLISHED_NOTE}</p>")
            body.append(_html_rows(_published_head(table), published))
        if notes := _notes(runs):
            body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{html.escape(n)}</li>" for n in notes) + "</ul>")
        body.append("<h2>Runs</h2>" + _html_rows(_RUN_COLUMNS, _run_rows(runs)))
        rows = _html_rows(_INSTRUCTION_COLUMNS, _instruction_rows(runs), long=True)
        body.append(f"<details><summary>Instructions</summary>{rows}</details>")
    return _PAGE.replace("{style}", _CSS).replace("{body}", "".join(body))


def _averages_figure(table: Table) -> str:
    rows = [row for row in table.rows if row.is_average and any(cell.score is not None for cell in row.cells)]
    if not rows:
        return ""
    series = {column: [_bar(row.cells[place]) for row in rows] for place, column in enumerate(table.columns)}
    return f"<figure>{bars_plot([row.name for row in rows], series)}</figure>"


def _bar(cell: Cell) -> tuple[float, float, float] | None:
    if cell.score is None:
        return None
    return (
        cell.score,
        cell.low if cell.low is not None else cell.score,
        cell.high if cell.high is not None else cell.score,
    )


def _html_table(table: Table) -> str:
    head = "".join(f'<th class="n">{html.escape(column)}</th>' for column in table.columns)
    lines = [f'<tr><th>task</th><th class="metric">metric</th>{head}</tr>']
    for row in table.rows:
        scores = [cell.score for cell in row.cells if cell.score is not None]
        best = max(scores) if len(scores) > 1 else None
        cells = "".join(_html_cell(cell, best) for cell in row.cells)
        mark = ' class="average"' if row.is_average else ""
        name, metric = html.escape(row.name), html.escape(row.metric)
        lines.append(f'<tr{mark}><td>{name}</td><td class="metric">{metric}</td>{cells}</tr>')
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _html_cell(cell: Cell, best: float | None) -> str:
    if cell.score is None:
        return f'<td class="n {"failed" if cell.remark == "failed" else ""}">{html.escape(cell.remark)}</td>'
    mark = " best" if cell.score == best else ""
    bounds = "" if cell.low is None else f' <span class="interval">[{cell.low:.1f}, {cell.high:.1f}]</span>'
    return f'<td class="n{mark}">{cell.score:.2f}{bounds}</td>'


def _html_rows(head: Sequence[str], rows: Sequence[Sequence[str]], *, long: bool = False) -> str:
    kind = ' class="long"' if long else ""
    lines = ["<tr>" + "".join(f"<th>{html.escape(word)}</th>" for word in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _published_head(table: Table) -> list[str]:
    return ["task", *table.columns, *(f"{model.rpartition('/')[2]} (published)" for model in PUBLISHED_MODELS)]


def _published_rows(table: Table) -> list[list[str]]:
    """Return our scores and the published ones of the sets that have any."""
    return [
        [
            row.name,
            *(cell.text(with_interval=False) for cell in row.cells),
            *("" if score is None else f"{score:.2f}" for score in row.published),
        ]
        for row in table.rows
        if any(score is not None for score in row.published)
    ]


def _notes(runs: Sequence[Run]) -> list[str]:
    """Return what the reader of a score must know: failures, and what was left out or done differently."""
    failed = [f"{name} ({run.label}) failed: {why.reason}" for run in runs for name, why in run.failures.items()]
    said: dict[str, list[str]] = {}  # a remark -> the runs that it is about
    revisions: dict[str, set[str]] = {}
    for run in runs:
        for name, result in run.results.items():
            revisions.setdefault(name, set()).add(str((result.facts.get("data") or {}).get("revision")))
            for note in result.facts.get("notes") or []:
                said.setdefault(f"{name}: {note}", []).append(run.label)
    mixed = [f"{name}: the runs are on different data" for name, versions in revisions.items() if len(versions) > 1]
    remarks = [f"{note} ({', '.join(r)})" if len(r) < len(runs) else note for note, r in said.items()]
    return [*failed, *mixed, *remarks]


_RUN_COLUMNS = ("run", "model", "fingerprint", "runtime", "precision", "window", "tasks", "seconds", "packages")
_INSTRUCTION_COLUMNS = ("task", "run", "query", "document")


def _run_rows(runs: Sequence[Run]) -> list[list[str]]:
    return [_run_row(label, run) for label, run in zip(distinct_labels(runs), runs, strict=True)]


def _run_row(label: str, run: Run) -> list[str]:
    first_facts = next((r.facts for r in run.results.values()), {})
    seconds = sum(r.facts.get("seconds") or 0 for r in run.results.values())
    packages = first_facts.get("packages") or {}
    shown = [f"{name} {packages[name]}" for name in ("instructor-search", "mteb", "torch") if name in packages]
    words = [first_facts.get(key) for key in ("model", "fingerprint", "runtime", "precision", "max_tokens")]
    row = [label, *("" if w is None else str(w) for w in words)]
    return [*row, str(len(run.results)), f"{seconds:.0f}", ", ".join(shown)]


def _instruction_rows(runs: Sequence[Run]) -> list[list[str]]:
    rows = []
    for run in runs:
        for name, result in run.results.items():
            sides = result.facts.get("instruction") or {}
            query, document = str(sides.get("query", "")), str(sides.get("document", ""))
            rows.append([name, run.label, query, "" if document == query else document])
    return rows


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
