"""The tab Evaluation: results of ``python -m eval`` side by side, its plots, a download, and a quick run."""

from __future__ import annotations

import hashlib
from typing import Any

import gradio as gr

from instructor_search.files import write_at_once
from instructor_search.result_files import RunScores
from ui import results
from ui.handling import QUIET, as_toast
from ui.own_folder import own_folder
from ui.render import jobs as jobs_html
from ui.render import results as html
from ui.session import Session
from ui.theme import script

MODELS = "default@none, default"


def chosen_runs(session: Session, titles: list[str] | None) -> list[RunScores]:
    """Return the runs with these titles; all of them, where none is named."""
    runs = results.read_runs(session.config.runs)
    return [run for run in runs if run.title in titles] if titles else runs


def show(session: Session, titles: list[str] | None) -> str:
    """Return the scores and plots as HTML."""
    return html.runs(chosen_runs(session, titles)) + html.plots(results.plots(session.config.runs))


def download(session: Session, titles: list[str] | None) -> str | None:
    """Return the path of a table of the scores; None where there are none."""
    runs = chosen_runs(session, titles)
    if not runs:
        return None
    table = results.as_csv(runs)
    path = own_folder() / hashlib.sha256(table.encode()).hexdigest() / "scores.csv"  # one for each content
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        write_at_once(path, table)
    return str(path)


def work(session: Session) -> str:
    """Return the jobs that evaluate, as HTML."""
    evaluations = [job for job in session.jobs.all() if job.title.startswith("evaluation:")]
    return jobs_html.jobs(evaluations, read_only=session.config.read_only) if evaluations else ""


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page refreshes."""
    clock = gr.Timer(1.0, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            picked = gr.Dropdown([], value=[], multiselect=True, label="Runs (none chosen: all)", elem_id="runs")
        with gr.Column(scale=0, min_width=190):
            refresh = gr.Button("Look again", size="sm", elem_id="refresh-runs")
            save = gr.DownloadButton("Download as CSV", size="sm", elem_id="download-runs", interactive=False)
    with gr.Accordion("Start a run on the bundled sets", open=False, visible=not session.config.read_only):
        with gr.Row(equal_height=True):
            suite = gr.Dropdown(list(results.SUITES), value=results.QUICK, label="Suite", elem_id="suite")
            models = gr.Textbox(MODELS, label="Models", max_lines=1, elem_id="models")
            go = gr.Button("Start", variant="primary", elem_id="run-eval")
    jobs = gr.HTML("", elem_id="eval-jobs", js_on_load=script("jobs"))
    table = gr.HTML(html.EMPTY, elem_id="scores")

    def look(titles: list[str] | None) -> tuple[Any, ...]:
        return tuple(looked(session, titles).values())

    def start(chosen: str, wanted: str) -> tuple[Any, str]:
        results.start(session, chosen, wanted)
        return gr.Timer(active=True), work(session)

    def tick(titles: list[str] | None) -> tuple[Any, ...]:
        if session.jobs.running():
            return gr.skip(), work(session), *(gr.skip() for _ in range(3))
        return gr.Timer(active=False), work(session), *look(titles)

    def clicked(event: gr.EventData) -> tuple[Any, str]:
        (session.jobs.cancel if event.action == "cancel" else session.jobs.again)(event.value)
        return gr.Timer(active=True), work(session)

    refresh.click(as_toast(look), picked, [picked, table, save], **QUIET)
    picked.input(as_toast(look), picked, [picked, table, save], **QUIET)
    if not session.config.read_only:
        go.click(as_toast(start), [suite, models], [clock, jobs], **QUIET)
        jobs.click(as_toast(clicked), None, [clock, jobs], **QUIET)
    clock.tick(as_toast(tick), picked, [clock, jobs, picked, table, save], **QUIET)
    return {"runs": picked, "table": table, "save": save}


def looked(session: Session, titles: list[str] | None) -> dict[str, Any]:
    """Return what the components show of the results that there are: the runs, the scores, the download."""
    choices = [run.title for run in results.read_runs(session.config.runs)]
    path = download(session, titles)
    saved = gr.DownloadButton(value=path, interactive=path is not None)
    return {"runs": gr.Dropdown(choices=choices), "table": show(session, titles), "save": saved}
