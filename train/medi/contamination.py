"""Training rows that hold an evaluation text: found by equality of normalised strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train.examples import MixtureError, TrainingExample
from train.medi.sources import RawTask, read_lines

MIN_CHARACTERS = 20  # shorter strings (labels, names) are equal by chance
_WORDS = re.compile(r"[^\W_]+")
_LINES = (".jsonl", ".jsonl.gz")
_FACTS = ("meta.json", "manifest.json")  # of sets: no texts


def normalise(text: str) -> str:
    """Return the text's letters and digits in lower case, words apart by one space."""
    return " ".join(_WORDS.findall(text.lower()))


class EvaluationTexts:
    """The texts of evaluation sets, normalised."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Read every string of every JSONL and JSON file under ``folders``, but meta.json and manifest.json.

        Raises:
            MixtureError: a folder holds no such file, or one cannot be read.
        """
        self.texts: set[str] = set()
        for folder in folders:
            files = sorted(p for p in folder.rglob("*") if p.name.endswith((*_LINES, ".json")) and p.name not in _FACTS)
            if not files:
                raise MixtureError(f"{folder} holds no .jsonl or .jsonl.gz files, nor .json ones, to compare with")
            for path in files:
                for value in read_lines(path) if path.name.endswith(_LINES) else [_document(path)]:
                    self.texts.update(t for s in _strings(value) if len(t := normalise(s)) >= MIN_CHARACTERS)

    def without(self, task: RawTask) -> RawTask:
        """Return the task without the rows that hold an evaluation text: in inputs, outputs, positives or negatives."""
        return task.choose([i for i, row in enumerate(task.rows) if not any(t in self for t in _texts(row))])

    def __contains__(self, text: object) -> bool:
        """Whether a text is an evaluation text."""
        return isinstance(text, str) and normalise(text) in self.texts


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig", errors="surrogatepass"))
    except (OSError, ValueError, RecursionError) as error:
        raise MixtureError(
            f"{path} cannot be read ({error}); expected one JSON document (one a line: name it .jsonl)"
        ) from error


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a raw task's row, instructions left out."""
    if isinstance(value, TrainingExample):
        yield from (side.text for side in (value.query, value.positive, *value.negatives))
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _texts(part)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
