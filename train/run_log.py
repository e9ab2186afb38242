"""What a run writes of itself while it goes on: train_log.jsonl, scores.json, and TensorBoard's files if asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from instructor_search.errors import MissingExtraError
from instructor_search.files import write_at_once

LOG, SCORES = "train_log.jsonl", "scores.json"


class RunLog:
    """The log of a run's folder; of all ranks but the main one, nothing. A context in which lines can be written."""

    def __init__(self, folder: Path, report_to: str = "none", *, silent: bool = False) -> None:
        """Log to ``folder``; ``report_to`` "tensorboard": there too.

        Raises:
            MissingExtraError: TensorBoard is asked for and not installed.
        """
        self.path, self.silent = folder / LOG, silent
        self._writer: Any = None
        self._board: Any = None
        if report_to == "tensorboard" and not silent:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingExtraError("tensorboard", "tensorboard", "--report_to tensorboard") from error
            self._writer = SummaryWriter

    def __enter__(self) -> RunLog:
        """Open TensorBoard's file."""
        self._board = self._writer(str(self.path.with_name("tensorboard"))) if self._writer else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._board is not None:
            self._board.close()

    def write(self, line: dict[str, Any]) -> None:
        """Add a line: "step", and numbers or "scores"."""
        if self.silent:
            return
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        for name, value in {**line, **line.get("scores", {})}.items() if self._board is not None else ():
            if isinstance(value, float):
                self._board.add_scalar(name, value, line["step"])

    def write_file(self, name: str, value: Any) -> None:
        """Write a JSON file of the run's folder, whole or not at all; the folder is made where it is missing."""
        if not self.silent:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_at_once(self.path.parent / name, json.dumps(value, indent=1))

    def known_scores(self) -> dict[str, Any]:
        """Return what SCORES holds, by step; nothing where it is missing or was not written whole."""
        try:
            known = json.loads((self.path.parent / SCORES).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # of a version that did not write it whole
            return {}
        return known if isinstance(known, dict) else {}

    def cut(self, step: int) -> None:
        """Take out what is said of later steps than a checkpoint's, which come again, and lines that were cut off."""
        if not self.silent and self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept = "".join(line for line in lines if (of := _step(line)) is not None and of <= step)
            write_at_once(self.path, kept)


def _step(line: str) -> int | None:
    """Return the step that a line of the log is of; None: it was cut off."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


class Totals:
    """What the lines of the log are made of."""

    def __init__(self) -> None:
        """Begin to count."""
        self.losses: list[float] = []
        self.pairs = self.tokens = 0
        self.started = time.perf_counter()

    def add(self, loss: float, pairs: int, tokens: int) -> None:
        """Count a step."""
        self.losses.append(loss)
        self.pairs += pairs
        self.tokens += tokens

    def line(self, step: int, rate: float) -> dict[str, Any]:
        """Return means since the beginning: the loss, and pairs and tokens of this rank a second."""
        seconds = time.perf_counter() - self.started
        return {
            "step": step,
            "loss": sum(self.losses) / len(self.losses),
            "learning_rate": rate,
            "pairs_per_second": self.pairs / seconds,
            "tokens_per_second": self.tokens / seconds,
        }
