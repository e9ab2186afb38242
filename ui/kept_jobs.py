"""Jobs that go on where they stopped, each known as a file until it has ended well, also after a kill."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from filelock import FileLock, Timeout

from instructor_search.files import write_at_once
from ui.job import Job, State

log = logging.getLogger("ui")


class KeptJobs:
    """The files of one folder; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        """Nothing is made before the first job."""
        self.folder = folder
        self._locks: dict[str, FileLock] = {}

    def keep(self, job: Job) -> None:
        """Write down what a job was asked; it is ours while this process lives."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._locks[job.id] = FileLock(self.folder / f"{job.id}.lock", thread_local=False)
        lock.acquire()
        request = {"title": job.title, "collection": job.collection, "module": job.module, "settings": job.settings}
        write_at_once(self._file(job.id, self.folder), json.dumps(request))

    def has(self, job: Job) -> bool:
        """Whether a job is kept."""
        return self.folder is not None and self._file(job.id, self.folder).is_file()

    def drop(self, job: Job) -> None:
        """Forget a job: it has ended well, or nobody wants it any more."""
        if self.folder is not None:
            self._file(job.id, self.folder).unlink(missing_ok=True)
        self.release(job)
        if self.folder is not None:  # of a process that was killed
            (self.folder / f"{job.id}.lock").unlink(missing_ok=True)

    def release(self, job: Job) -> None:
        """Let other processes see that a job has ended."""
        lock = self._locks.pop(job.id, None)
        if lock is not None:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def read(self) -> list[Job]:
        """Return the jobs that no process works on, as cancelled ones."""
        jobs = []
        for path in sorted(self.folder.glob("*.json")) if self.folder else []:
            if _is_held(path.with_suffix(".lock")):
                continue
            try:
                job = Job(**json.loads(path.read_text(encoding="utf-8")), id=path.stem, state=State.CANCELLED)
            except (OSError, ValueError, TypeError) as error:
                log.warning("%s names no job (%s) and is removed", path, type(error).__name__)
                path.unlink(missing_ok=True)
                continue
            job.notes.append("the application ended before it did")
            jobs.append(job)
        return jobs

    @staticmethod
    def _file(job_id: str, folder: Path) -> Path:
        return folder / f"{job_id}.json"


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
