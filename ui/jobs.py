"""Work that takes long, each piece in a child process: ``python -m ingest`` and ``python -m eval``.

A child gets its settings as JSON on standard input, has limits of memory and time, tells its progress as JSON lines,
and can be cancelled (Ctrl-C) and run again, which goes on where it stopped. Jobs that were cut short by the end of the
application are known again at its next start. The rooms stay apart: nothing of them is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import RLock, Thread
from typing import Any

from instructor_search.errors import InstructorSearchError
from ui.job import Job, State, finish, hear
from ui.kept_jobs import KeptJobs

ROOT = Path(__file__).resolve().parents[1]
_KILL_SECONDS = 20.0  # from a cancellation to the end of patience
_KEPT = 20  # finished jobs that are remembered


class JobError(InstructorSearchError):
    """A job cannot be started, cancelled or run again."""


class Jobs:
    """The jobs of this start of the application, newest last."""

    def __init__(
        self, *, at_once: int, megabytes: int, hours: float, kept: Path | None = None, read_only: bool = False
    ) -> None:
        """Set how many run at once, and the memory and time that each may take.

        ``kept``: folder in which a job that goes on where it stopped is known until it has ended well. ``read_only``:
        none is started.
        """
        self.read_only = read_only
        self.at_once, self.megabytes, self.hours, self.kept = at_once, megabytes, hours, KeptJobs(kept)
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._lock = RLock()

    def all(self) -> list[Job]:
        """Return the jobs, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobError: there is none of this id.
        """
        with self._lock:
            if job_id not in self._jobs:
                raise JobError("this job is no longer known; start it again")
            return self._jobs[job_id]

    def running(self) -> list[Job]:
        """Return the jobs that are under way."""
        return [job for job in self.all() if job.is_running]

    def start(
        self,
        title: str,
        collection: str,
        module: str,
        settings: Mapping[str, Any],
        *,
        goes_on: bool = False,
        notes: Sequence[str] = (),
        ended: Callable[[Job, State], None] | None = None,
    ) -> Job:
        """Run ``python -m MODULE`` with these settings and return its job.

        ``goes_on``: a second run goes on where the first one stopped, so that it is offered after the application was
        killed, too. ``ended`` is called with the job and its state at its end.

        Raises:
            JobError: as many as are allowed run already.
        """
        with self._lock:
            self.check_room()
            job = Job(title, collection, module, dict(settings), list(notes))
            self._add(job)
            try:
                if goes_on:
                    self.kept.keep(job)
                self._launch(job, ended)
            except BaseException:  # no process, no disk: it would count as under way for ever
                self.forget(job)
                raise
        return job

    def check_room(self) -> None:
        """Refuse another job where as many as are allowed run, or none may.

        Raises:
            JobError: they do.
        """
        if self.read_only:
            raise JobError("this application was started with --read-only: no work is started here")
        if len(self.running()) >= self.at_once:
            busy = self.running()[0].title
            raise JobError(f"another job is under way ({busy}); wait for its end, or cancel it")

    def again(self, job_id: str) -> Job:
        """Run a finished job's command once more: an ingest goes on where it stopped."""
        job = self.get(job_id)
        if job.is_running:
            raise JobError("it is still running")
        again = self.start(job.title, job.collection, job.module, job.settings, goes_on=self.kept.has(job))
        again.num_chunks = job.num_chunks
        self.forget(job)
        return again

    def restore(self) -> list[Job]:
        """Return the jobs that the end of an earlier application cut short; they can be run again."""
        jobs = self.kept.read()
        with self._lock:
            for job in jobs:
                self._add(job)
        return jobs

    def forget(self, job: Job) -> None:
        """Offer a job no longer."""
        with self._lock:
            self._jobs.pop(job.id, None)
        self.kept.drop(job)

    def of(self, collection: str) -> list[Job]:
        """Return the jobs of a collection, oldest first."""
        return [job for job in self.all() if job.collection == collection]

    def _add(self, job: Job) -> None:
        """Remember a job. Of those that ended the oldest are forgotten: of those that can go on, and of the others."""
        ended = [known for known in self._jobs.values() if not known.is_running]
        for can_go_on in (True, False):
            some = [known for known in ended if self.kept.has(known) == can_go_on]
            for old in some[: max(0, len(some) - _KEPT + 1)]:
                self.forget(old)
        self._jobs[job.id] = job

    def cancel(self, job_id: str) -> None:
        """Interrupt a job as Ctrl-C does: what it has stored stays."""
        job = self.get(job_id)
        child = self._children.get(job_id)
        if child is None or not job.is_running:
            raise JobError("it has ended already")
        job.cancelled = True
        child.send_signal(signal.SIGINT)
        Thread(target=_kill_later, args=(child,), daemon=True).start()

    def close(self) -> None:
        """End all children; what they have stored stays."""
        children = [child for child in self._children.values() if child.poll() is None]
        for child in children:
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _KILL_SECONDS
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()

    def _launch(self, job: Job, ended: Callable[[Job, State], None] | None) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        printed = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        command = [sys.executable, "-m", "ui.child", *job.module.split()]  # which ends when this process does
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert child.stdin is not None
        _limit_memory(child.pid, self.megabytes)
        with contextlib.suppress(BrokenPipeError):  # it ended at once: its code says so
            child.stdin.write(json.dumps(job.settings) + "\n")
            child.stdin.flush()
        self._children[job.id] = child
        Thread(target=self._follow, args=(job, child, printed, ended), daemon=True).start()

    def _follow(
        self, job: Job, child: subprocess.Popen[str], printed: Any, ended: Callable[[Job, State], None] | None
    ) -> None:
        """Read what the child tells until it ends."""
        assert child.stderr is not None
        watch = Thread(target=_kill_after, args=(child, self.hours * 3600), daemon=True)
        watch.start()
        for line in child.stderr:
            hear(job, line.rstrip("\n"))
        code = child.wait()
        if child.stdin is not None:
            child.stdin.close()
        printed.seek(0)
        text = printed.read()
        printed.close()
        job.seconds = time.time() - job.started
        state = finish(job, code, text)
        if state in (State.DONE, State.PARTLY):
            self.kept.drop(job)
        self.kept.release(job)
        self._children.pop(job.id, None)
        try:
            if ended is not None:
                ended(job, state)
        finally:
            job.state = state  # the last: who waits for the end finds all of it


def _limit_memory(pid: int, megabytes: int) -> None:
    """Limit the address space of a child, where the system can."""
    try:
        import resource

        hard = resource.prlimit(pid, resource.RLIMIT_AS)[1]
        wanted = megabytes << 20
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    except (ImportError, AttributeError, ProcessLookupError, PermissionError):
        pass  # not Linux, or the child has ended: its parsers have limits of their own


def _kill_later(child: subprocess.Popen[str]) -> None:
    _kill_after(child, _KILL_SECONDS)


def _kill_after(child: subprocess.Popen[str], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
