"""Work that takes long, each piece in a child process: ``python -m ingest`` and ``python -m eval``.

A child has limits of memory and time, tells its progress as JSON lines, and can be cancelled (Ctrl-C) and run again,
which goes on where it stopped. The rooms stay apart: nothing of them is imported here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import RLock, Thread
from typing import Any

from instructor_search.errors import InstructorSearchError

ROOT = Path(__file__).resolve().parents[1]
_KILL_SECONDS = 20.0  # from a cancellation to the end of patience
_KEPT = 20  # finished jobs that are remembered


class JobError(InstructorSearchError):
    """A job cannot be started, cancelled or run again."""


class State(StrEnum):
    """Of a job."""

    RUNNING = "running"
    DONE = "done"
    PARTLY = "partly"  # some files or tasks failed
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Job:
    """One child process. ``progress``: its last JSON line of numbers; ``report``: what it printed at its end."""

    title: str
    collection: str
    command: list[str]
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    state: State = State.RUNNING
    num_files: int = 0
    num_bytes: int = 0
    num_chunks: int = 0  # that are to be embedded, where it is known before: a new view's
    progress: dict[str, Any] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    report: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    cancelled: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the child is alive."""
        return self.state is State.RUNNING

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1: bytes that were read, by the chunks of them that are embedded."""
        if not self.is_running:
            return 1.0
        if self.num_chunks:
            return min(self.progress.get("embedded", 0) / self.num_chunks, 0.99)
        chunks, total = self.progress.get("chunks", 0), self.num_bytes
        read = self.progress.get("bytes", 0) / total if total else 0.0
        embedded = self.progress.get("embedded", 0) / chunks if chunks else 0.0
        return min(read * min(embedded, 1.0), 0.99)


class Jobs:
    """The jobs of this start of the application, newest last."""

    def __init__(self, *, at_once: int, megabytes: int, hours: float) -> None:
        """Set how many run at once, and the memory and time that each may take."""
        self.at_once, self.megabytes, self.hours = at_once, megabytes, hours
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

    def start(self, title: str, collection: str, module: str, arguments: Sequence[str]) -> Job:
        """Run ``python -m MODULE ARGUMENTS`` and return its job.

        Raises:
            JobError: as many as are allowed run already.
        """
        with self._lock:
            if len(self.running()) >= self.at_once:
                busy = self.running()[0].title
                raise JobError(f"another job is under way ({busy}); wait for its end, or cancel it")
            job = Job(title, collection, [sys.executable, "-m", module, *arguments])
            finished = [known for known in self._jobs.values() if not known.is_running]
            for old in finished[: max(0, len(finished) - _KEPT + 1)]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
            self._launch(job)
        return job

    def again(self, job_id: str) -> Job:
        """Run a finished job's command once more: an ingest goes on where it stopped."""
        job = self.get(job_id)
        if job.is_running:
            raise JobError("it is still running")
        return self.start(job.title, job.collection, job.command[2], job.command[3:])

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

    def _launch(self, job: Job) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        printed = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        command = [*job.command[:2], "ui.child", *job.command[2:]]  # which ends when this process does
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
        )  # fmt: skip
        _limit_memory(child.pid, self.megabytes)
        self._children[job.id] = child
        Thread(target=self._follow, args=(job, child, printed), daemon=True).start()

    def _follow(self, job: Job, child: subprocess.Popen[str], printed: Any) -> None:
        """Read what the child tells until it ends."""
        assert child.stderr is not None
        watch = Thread(target=_kill_after, args=(child, self.hours * 3600), daemon=True)
        watch.start()
        for line in child.stderr:
            _hear(job, line.rstrip("\n"))
        code = child.wait()
        if child.stdin is not None:
            child.stdin.close()
        printed.seek(0)
        text = printed.read()
        printed.close()
        _finish(job, code, text)
        job.seconds = time.time() - job.started


def _hear(job: Job, line: str) -> None:
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        if line.strip():
            job.lines.append(line[:300])
        return
    if told.get("event") == "start":
        job.num_files, job.num_bytes = told["files"], told["bytes"]
    elif told.get("event") == "say":
        job.lines.append(str(told["line"])[:300])
    else:
        job.progress = told


def _finish(job: Job, code: int, printed: str) -> None:
    try:
        report = json.loads(printed.strip().splitlines()[-1]) if printed.strip() else {}
        job.report = report if isinstance(report, dict) else {}
    except ValueError:
        job.lines.extend(printed.strip().splitlines()[-20:])
    if job.cancelled:
        job.state = State.CANCELLED
    elif code == 0:
        job.state = State.DONE
    elif code == 3:
        job.state = State.PARTLY
    else:
        job.state = State.FAILED
        said = [line.removeprefix("error: ") for line in job.lines if line.startswith("error: ")]
        job.error = said[-1] if said else f"it ended with code {code}: killed, or out of its limits of memory or time"


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
