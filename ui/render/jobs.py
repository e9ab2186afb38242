"""How work that takes long stands: bars, counts, reports."""

from __future__ import annotations

from instructor_search.commands.parser import counted
from ui.job import Job, State
from ui.render.parts import bar, panel, text, without_paths

_STATES = {
    State.RUNNING: "under way",
    State.DONE: "done",
    State.PARTLY: "done, but some files could not be read",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled; what was stored stays",
}

_AWAITED = panel("note", "The first collection is being made", "Your search is answered as soon as it is there.")
AWAITED = f'<div data-awaited="">{_AWAITED}</div>'  # visits.js asks again


def starting(job: Job | None) -> str:
    """Return how the making of the first collection stands; nothing once it is done."""
    if job is None or job.state is State.DONE:
        return ""
    if job.is_running:
        return (
            '<div class="panel" role="status"><h3>Making the first collection from corpus/</h3>'
            f"<p>{text(without_paths(counts(job)))}</p>{_bar(job)}</div>"
        )
    return panel("error", "The first collection could not be made", without_paths(job.error or _STATES[job.state]))


def counts(job: Job) -> str:
    """Return a job's counts in words."""
    told = job.progress
    if not told and job.is_running and job.lines:
        return job.lines[-1][:160]
    if not told:
        return "reading the files and loading the model …" if job.is_running else ""
    if job.num_chunks:
        return f"{told.get('embedded', 0):,} of {job.num_chunks:,} chunks embedded"
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


def jobs(found: list[Job], *, read_only: bool = False) -> str:
    """Return all jobs, the newest first."""
    if not found:
        return panel("empty", "No work under way", "Uploads, new views and checks show their progress here.")
    return "".join(_job(job, read_only) for job in reversed(found))


def _job(job: Job, read_only: bool) -> str:
    buttons = ""
    if not read_only and job.is_running:
        stopping = " disabled" if job.cancelled else ""
        label = "Stopping …" if job.cancelled else "Cancel"
        buttons = f'<button class="act" data-action="cancel" data-value="{job.id}"{stopping}>{label}</button>'
    elif not read_only and job.state in (State.CANCELLED, State.FAILED):
        buttons = f'<button class="act" data-action="again" data-value="{job.id}">Resume</button>'
    seconds = "" if job.is_running else f" · {job.seconds:.1f} s"
    told = _bar(job) if job.is_running else ""
    sentences = [counts(job)] if job.is_running else _report(job)
    lines = "".join(f"<p>{text(without_paths(line))}</p>" for line in [*sentences, *noted(job.notes)] if line)
    return (
        f'<div class="job" data-job="{job.id}" data-state="{job.state}"><div class="line"><b>{text(job.title)}</b>'
        f'<span class="badge {_BADGES[job.state]}">{text(state(job))}{seconds}</span>{buttons}</div>{told}{lines}</div>'
    )


def noted(notes: list[str]) -> list[str]:
    """Return the first notes of a job, and how many more there are."""
    more = [f"and {len(notes) - _NOTES:,} more of these"] if len(notes) > _NOTES else []
    return notes[:_NOTES] + more


_NOTES = 20
_BADGES = {
    State.RUNNING: "moved",
    State.DONE: "entered",
    State.PARTLY: "moved",
    State.FAILED: "left",
    State.CANCELLED: "stayed",
}


def _report(job: Job) -> list[str]:
    """Return what a job did, in sentences."""
    report = job.report
    if job.error and job.state is State.FAILED and not report:
        return [job.error]
    if "chunks_total" in report:
        lines = [
            f"{counted(report['added'], 'file')} added, {report['changed']} changed, {report['unchanged']} unchanged · "
            f"{counted(report['chunks_embedded'], 'chunk')} embedded, {report['chunks_total']:,} in all"
        ]
        lines += [f"could not read {name}: {reason}" for name, reason in report["failed"][:8]]
        lines += [f"skipped {name}: {reason}" for name, reason in report["skipped"][:4]]
        return lines
    if "sound" in report:
        verdict = "everything is as it was written" if report["sound"] else "damaged: " + "; ".join(report["problems"])
        return [
            f"{counted(report['chunks'], 'chunk')} of {counted(report['sources'], 'file')} looked at: {verdict}",
            *report["notes"],
        ]
    if job.state in (State.FAILED, State.CANCELLED):  # its lines may be a traceback: they are for the log
        return [job.error] if job.error else []
    return list(job.lines)[-3:]
