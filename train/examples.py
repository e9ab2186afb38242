"""Training examples and mixtures: what MEDI's rows are, and how a folder of them is read.

A mixture is a folder: ``manifest.json`` and one gzip JSONL file a task. A line is
{"query": [instruction, text], "pos": [instruction, text], "neg": [[instruction, text], ...], "label": ...}; "neg" may
be empty, "label" is there for classification tasks only (positives of the same label are no negatives of one another).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from instructor_search.errors import InstructorSearchError
from instructor_search.files import file_hash
from instructor_search.instructions import InstructedText

MANIFEST = "manifest.json"


class MixtureError(InstructorSearchError):
    """Training data that cannot be used."""


class TrainingExample(NamedTuple):
    """A triple (MEDI's row); ``negatives`` may be empty."""

    query: InstructedText
    positive: InstructedText
    negatives: tuple[InstructedText, ...] = ()
    label: str | None = None

    @property
    def is_similarity(self) -> bool:
        """Whether its positive is its query's own text under no instruction: see ``train.loss.similarity_loss``."""
        return self._is_of_one_text and not self.positive.instruction

    @property
    def is_wordings(self) -> bool:
        """Whether its positive is its query's own text under other words: see ``train.loss.wordings_loss``."""
        return self._is_of_one_text and self.positive.instruction not in ("", self.query.instruction)

    @property
    def _is_of_one_text(self) -> bool:
        return self.query.text == self.positive.text and not self.negatives and bool(self.query.instruction)


def are_similarity(examples: Sequence[TrainingExample]) -> bool:
    """Whether examples are of a similarity task: all of them, and there are some."""
    return bool(examples) and all(example.is_similarity for example in examples)


def are_wordings(examples: Sequence[TrainingExample]) -> bool:
    """Whether examples are of a task of wordings: all of them, and there are some."""
    return bool(examples) and all(example.is_wordings for example in examples)


def are_of_one_text(examples: Sequence[TrainingExample]) -> bool:
    """Whether examples are of either: their positives are the queries' own texts, and nothing is to be found."""
    return are_similarity(examples) or are_wordings(examples)


@dataclass(frozen=True)
class TaskFacts:
    """What the manifest says of a task."""

    name: str
    file: str
    rows: int
    sha256: str
    licence: str
    source: str
    symmetric: bool
    query_instruction: str
    document_instruction: str
    kind: str = "pairs"  # "pairs", "classification" or "super-ni"
    notes: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mixture:
    """Tasks by name, each a list of examples."""

    tasks: dict[str, list[TrainingExample]]
    facts: dict[str, TaskFacts]

    @property
    def num_examples(self) -> int:
        """Examples of all tasks."""
        return sum(map(len, self.tasks.values()))

    @cached_property
    def digest(self) -> str:
        """What tells one mixture from another: a hash over all examples."""
        digest = hashlib.blake2b(digest_size=16)
        for name, rows in sorted(self.tasks.items()):
            digest.update(json.dumps([name, len(rows)]).encode())
            for example in rows:
                digest.update(to_line(example).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def to_line(example: TrainingExample) -> str:
    """Return an example as a line of JSON."""
    row: dict[str, Any] = {
        "query": list(example.query),
        "pos": list(example.positive),
        "neg": [list(n) for n in example.negatives],
    }
    if example.label is not None:
        row["label"] = example.label
    return json.dumps(row, ensure_ascii=False)


def from_row(row: Any, where: str, *, drop_empty_negatives: bool = False) -> TrainingExample:
    """Return the example of a row; ``where`` names its place in messages.

    Lone surrogates, which no tokenizer reads, become U+FFFD.

    Raises:
        MixtureError: no query or positive, an empty text, or another form.
    """
    try:
        query, positive = _pair(row["query"]), _pair(row["pos"])
        negatives = tuple(n for n in map(_pair, negatives_of(row)) if n.text.strip() or not drop_empty_negatives)
        example = TrainingExample(query, positive, negatives, _label(row.get("label")))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise MixtureError(
            f'{where}: expected {{"query": [instruction, text], "pos": [instruction, text], "neg": [...]}} '
            f"({type(error).__name__}: {error})"
        ) from error
    for side, (_, text) in (("query", query), ("pos", positive), *(("neg", n) for n in example.negatives)):
        if not text.strip():
            raise MixtureError(f"{where}: the text of {side} is empty")
    return example


def task_of(row: Any, path: Path) -> str:
    """Return the task that a row of MEDI's form names; its file's name where it names none."""
    return str(row.get("task_name", row.get("task_id", path.stem))) if isinstance(row, dict) else path.stem


def negatives_of(row: Any) -> Any:
    """Return the negatives of a row as a list: MEDI has one, not in a list."""
    given = row.get("neg") or []
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"neg is {str(given)[:60]!r}, no list")
    return [given] if given and isinstance(given[0], str) else given


def _pair(value: Any) -> InstructedText:
    instruction, text = value
    if not isinstance(instruction, str) or not isinstance(text, str):
        raise TypeError(f"{str(value)[:60]!r} is no [instruction, text]")
    return InstructedText(without_surrogates(instruction), without_surrogates(text))


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD for each surrogate that stands alone."""
    return text if text.isprintable() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def file_name(name: str, taken: Container[str] = ()) -> str:
    """Return a task's name as one that a file can have and that stays in its folder, numbered where it is taken."""
    cleaned = re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "task"
    return next(n for n in chain([cleaned], (f"{cleaned}-{number}" for number in count(2))) if n not in taken)


def _label(value: Any) -> str | None:
    return None if value is None else str(value)


def write_task(folder: Path, examples: Iterable[TrainingExample], *, name: str, **facts: Any) -> TaskFacts:
    """Write a task's file into a mixture's folder; the same examples give the same bytes. The manifest comes last."""
    path = folder / f"{name}.jsonl.gz"
    rows = 0
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
        for example in examples:
            stream.write((to_line(example) + "\n").encode("utf-8", "surrogatepass"))
            rows += 1
    return TaskFacts(name=name, file=path.name, rows=rows, sha256=file_hash(path), **facts)


def write_manifest(folder: Path, facts: Sequence[TaskFacts], **more: Any) -> None:
    """Write a mixture's manifest; ``more``: what else is known of how it was made."""
    value = {"format": 1, **more, "tasks": [asdict(f) for f in facts]}
    (folder / MANIFEST).write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def read_mixture(path: Path, *, only: Sequence[str] | None = None) -> Mixture:
    """Return the mixture of a folder, or of a file in MEDI's own form (medi-data.json, or JSONL of the same rows).

    ``only``: names of tasks to read.

    Raises:
        MixtureError: it is missing, damaged or empty, or a row cannot be used; the message names the row.
    """
    if path.is_dir():
        tasks, task_facts = _read_folder(path, only)
    elif path.is_file():
        tasks, task_facts = _read_file(path), {}
        tasks = {name: rows for name, rows in tasks.items() if only is None or name in only}
    else:
        raise MixtureError(f"no training data at {path}; make a mixture: python -m train.medi build --help")
    unknown = [name for name in only or () if name not in tasks]
    if unknown:
        raise MixtureError(f"{path} has no task {', '.join(unknown)}")
    if not any(tasks.values()):
        raise MixtureError(f"{path} has no examples")
    return Mixture(tasks, task_facts)


def _read_folder(folder: Path, only: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, TaskFacts]]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise MixtureError(f"{folder} has no {MANIFEST}: it is no mixture, or its build was cut off; build it again")
    try:
        task_facts = [TaskFacts(**t) for t in json.loads(manifest.read_text(encoding="utf-8"))["tasks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise MixtureError(f"{manifest} is damaged ({error}); build the mixture again") from error
    tasks = {}
    for fact in task_facts:
        if only is not None and fact.name not in only:
            continue
        path = folder / fact.file
        if not path.is_file() or file_hash(path) != fact.sha256:
            raise MixtureError(f"{path} is not what {manifest} says (its hash differs); build the mixture again")
        tasks[fact.name] = [from_row(row, f"{path}:{n}") for n, row in read_rows(path)]
    return tasks, {f.name: f for f in task_facts}


def _read_file(path: Path) -> dict[str, list[TrainingExample]]:
    tasks: dict[str, list[TrainingExample]] = {}
    for number, row in read_rows(path):
        tasks.setdefault(task_of(row, path), []).append(from_row(row, f"{path}:{number}"))
    return tasks


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (number, row) of JSONL, gzipped or not, or of one JSON list; numbers are of lines, or of the list's rows.

    Raises:
        MixtureError: a line cannot be read; the message names it.
    """
    opened: Any = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogatepass") as stream:
            is_list = stream.read(4096).lstrip()[:1] == "["
            stream.seek(0)
            if is_list:
                yield from enumerate(_parsed(stream.read(), str(path)), 1)
                return
            for number, line in enumerate(stream, 1):  # noqa: B007
                if line.strip():
                    yield number, _parsed(line, f"{path}:{number}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise MixtureError(f"{path}:{number + 1}: cannot be read ({error})") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MixtureError(f"{where}: cannot be read ({error})") from error
