"""One piece of work that takes long: what it was asked, how it stands, what it says."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Of a job."""

    RUNNING = "running"
    DONE = "done"
    PARTLY = "partly"  # some files or tasks failed
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Job:
    """One child process, ``python -m MODULE [SUBCOMMAND]`` with ``settings``: its flags by name.

    ``progress``: its last JSON line of numbers; ``report``: what it printed at its end; ``notes``: what is to be said
    of it besides.
    """

    title: str
    collection: str
    module: str  # "ingest", or with a subcommand: "instructor_search verify"
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
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


def hear(job: Job, line: str) -> None:
    """Take over a line that a child printed on standard error."""
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


def finish(job: Job, code: int, printed: str) -> State:
    """Take over what a child printed, and return how it ended."""
    try:
        report = json.loads(printed.strip().splitlines()[-1]) if printed.strip() else {}
        job.report = report if isinstance(report, dict) else {}
    except ValueError:
        job.lines.extend(printed.strip().splitlines()[-20:])
    if job.cancelled:
        return State.CANCELLED
    if code in (0, 3):
        return State.DONE if code == 0 else State.PARTLY
    said = [line.removeprefix("error: ") for line in job.lines if line.startswith("error: ")]
    job.error = said[-1] if said else f"it ended with code {code}: killed, or out of its limits of memory or time"
    return State.FAILED
