"""How work that takes long stands: bars, counts, reports."""

from __future__ import annotations

from ui.jobs import Job, State
from ui.render.parts import bar, panel, text

_STATES = {
    State.RUNNING: "under way", State.DONE: "done", State.PARTLY: "done, but some files could not be read",
    State.FAILED: "failed", State.CANCELLED: "cancelled; what was stored stays",
}  # fmt: skip


def starting(job: Job | None) -> str:
    """Return how the making of the first collection stands; nothing once it is done."""
    if job is None or job.state is State.DONE:
        return ""
    if job.is_running:
        return (
            '<div class="panel" role="status"><h3>Making the first collection from corpus/</h3>'
            f"<p>{text(counts(job))}</p>{_bar(job)}</div>"
        )
    return panel("error", "The first collection could not be made", job.error or _STATES[job.state])


def counts(job: Job) -> str:
    """Return a job's counts in words."""
    told = job.progress
    if not told:
        return "reading the files and loading the model …" if job.is_running else ""
    if "task" in told:
        return f"{told.get('done', 0)} of {told.get('total', '?')} tasks · {told['task']}"
    of = f" of {job.num_files}" if job.num_files else ""
    return (
        f"{told.get('files', 0)}{of} files · {told.get('documents', 0):,} documents · "
        f"{told.get('embedded', 0):,} of {told.get('chunks', 0):,} chunks embedded"
    )


def _bar(job: Job) -> str:
    return (
        f'<div class="job" style="border:0;padding:0;margin:0">{bar(job.share, f"{100 * job.share:.0f} percent")}</div>'
    )


def state(job: Job) -> str:
    """Return a job's state in words."""
    return _STATES[job.state]
