"""What a run tells while it goes on: nothing, or bars on stderr."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Progress:
    """What a run tells while it goes on. This one says nothing."""

    def system(self, label: str, num_tasks: int) -> None:
        """A system begins."""

    def task(self, name: str) -> None:
        """A task begins."""

    def texts(self, count: int) -> None:
        """Texts were embedded."""

    def done(self, name: str, line: str) -> None:
        """A task ended."""

    def close(self) -> None:
        """The run is over."""


class Bars(Progress):
    """A line for each task that ended, and under them a bar of the texts embedded for the one at work."""

    bar: tqdm | None = None
    num_tasks = number = 0

    def system(self, label: str, num_tasks: int) -> None:
        """Say how many tasks the system has."""
        self.num_tasks, self.number = num_tasks, 0
        tqdm.write(f"{label}: {num_tasks} tasks", file=sys.stderr)

    def task(self, name: str) -> None:
        """Draw the bar of a task."""
        self.number += 1
        form = "{desc}: {n_fmt} texts [{elapsed}{postfix}]"
        self.bar = tqdm(
            desc=f"[{self.number}/{self.num_tasks}] {name}", file=sys.stderr, bar_format=form, leave=False, disable=None
        )  # no bar where stderr is no terminal

    def texts(self, count: int) -> None:
        """Move the bar on."""
        if self.bar is not None:
            self.bar.update(count)

    def done(self, name: str, line: str) -> None:
        """Take the bar away and say how the task ended."""
        self.close()
        tqdm.write(f"[{self.number}/{self.num_tasks}] {name}: {line}", file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def progress(quiet: bool) -> Progress:
    """Return what tells of a run on the command line."""
    return Progress() if quiet else Bars()
