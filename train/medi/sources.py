"""Where raw tasks come from: a folder of data sets with a manifest, and Super-NaturalInstructions in its own layout."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from train.examples import MixtureError, read_rows

_DEFINITION_WORDS = 40
_INSTRUCTIONS = {"query_instruction", "doc_instruction"}


@dataclass(frozen=True)
class RawTask:
    """A data set before it is made into triples.

    ``rows`` by ``kind``: "pairs" (query, positive, negatives), "classification" (text, label), "super-ni" (input,
    output). ``instructions``: of each row (of its query, for pairs), where they differ from row to row. ``dropped``:
    rows that were left out when reading, by reason.
    """

    name: str
    kind: str
    rows: Sequence[tuple[Any, ...]]
    query_instruction: str
    document_instruction: str
    licence: str
    source: str
    symmetric: bool
    notes: str = ""
    instructions: Sequence[str] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def sample(self, count: int, seed: int) -> RawTask:
        """Return the task with ``count`` of its rows at most, drawn by the seed and in their order."""
        if len(self.rows) <= count:
            return self
        chosen = sorted(random.Random(f"{seed} {self.name}").sample(range(len(self.rows)), count))
        return self.choose(chosen)

    def choose(self, chosen: Sequence[int]) -> RawTask:
        """Return the task with these of its rows."""
        given = [self.instructions[i] for i in chosen] if self.instructions else None
        return replace(self, rows=[self.rows[i] for i in chosen], instructions=given)


def task_instruction(definition: str) -> str:
    """Return the instruction of a Super-NI task: whole sentences of its definition, 40 words at most."""
    words: list[str] = []
    for sentence in " ".join(definition.split()).replace(";", ",").split(". "):
        new = sentence.split()
        if words and len(words) + len(new) > _DEFINITION_WORDS:
            break
        words += [*new[:-1], new[-1].rstrip(".") + "."] if new else []
    shown = " ".join(words[:_DEFINITION_WORDS]).rstrip(".")
    return f"Represent the example for the following task: {shown}; Input: "


def read_data_folder(
    folder: Path,
    *,
    licences: Collection[str],
    only: Collection[str] = (),
    exclude: Collection[str] = (),
    symmetry: str = "all",
    super_ni: bool = True,
    seed: int = 0,
    left_out: dict[str, str] | None = None,
) -> Iterator[RawTask]:
    """Yield the tasks of a folder whose manifest.json lists files of pairs, classes and Super-NI-like rows.

    ``licences``: classes that may be used ("unstated": files without one). Files of test tasks are never read.
    ``left_out`` is told which data sets were not taken though their names would allow it, and why.

    Raises:
        MixtureError: there is no manifest, a name that was asked for is not in it, or a row is of another form.
    """
    files = _manifest(folder)
    unknown = (set(only) | set(exclude)) - {f["name"] for f in files}
    if unknown:
        raise MixtureError(f"{folder} has no {', '.join(sorted(unknown))}")
    for entry in files:
        name = entry["name"]
        if (only and name not in only) or name in exclude:
            continue
        reason = _reason_against(entry, licences, symmetry, super_ni)
        if not reason:
            yield from _tasks_of(folder / entry["file"], entry, seed)
        elif left_out is not None:
            left_out[name] = reason


def _reason_against(entry: dict[str, Any], licences: Collection[str], symmetry: str, super_ni: bool) -> str:
    """Return why a data set of the manifest is not taken, or nothing."""
    licence = str(entry.get("licence_class") or "unstated")
    if entry["name"].endswith("_test"):
        return "its tasks are held out for tests"
    if licence not in licences:
        return f"its licence class is {licence}; take it with --licences {','.join([*licences, licence])}"
    if symmetry != "all" and _is_symmetric(entry) != (symmetry == "symmetric"):
        return f"it is not {symmetry}"
    return "it is Super-NI-like" if entry["kind"] == "superni" and not super_ni else ""


def _is_symmetric(entry: dict[str, Any]) -> bool:
    """Whether both sides are under one instruction, as inputs of classes and of Super-NI tasks are."""
    return entry["kind"] != "pair" or str(entry.get("symmetry", "")).startswith("symmetric")


def _tasks_of(path: Path, entry: dict[str, Any], seed: int) -> Iterator[RawTask]:
    """Yield the tasks of one file of the manifest."""
    name, kind, symmetric = entry["name"], entry["kind"], _is_symmetric(entry)
    provenance: dict[str, Any] = {
        "licence": str(entry.get("license", "unstated")),
        "source": str(entry.get("repository", "")),
        "notes": str(entry.get("caveats", "")),
    }
    if kind == "superni":
        yield from _super_ni_rows(path, provenance, seed)
        return
    instructions = entry["query_instruction"], entry["doc_instruction"]
    if kind == "classification":
        rows = [(r["text"], str(r["label"])) for r in read_lines(path, "text", "label")]
        yield RawTask(name, kind, rows, *instructions, symmetric=symmetric, **provenance)
    else:
        pairs = [(r["query"], r["pos"], listed(r.get("neg"))) for r in read_lines(path, "query", "pos")]
        yield RawTask(name, "pairs", pairs, *instructions, symmetric=symmetric, **provenance)


def names_of(folder: Path) -> set[str]:
    """Return the names of a data folder's data sets."""
    return {entry["name"] for entry in _manifest(folder)}


def _manifest(folder: Path) -> list[dict[str, Any]]:
    needed = {"name", "kind", "file"}
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        lacking = [f for f in files if needed - set(f) or (f["kind"] != "superni" and not _INSTRUCTIONS <= set(f))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixtureError(f'{folder} has no manifest.json with "files" ({error})') from error
    if lacking:
        raise MixtureError(
            f"{folder}/manifest.json: {str(lacking[0])[:80]} lacks one of {', '.join(sorted(needed | _INSTRUCTIONS))}"
        )
    return files


def _super_ni_rows(path: Path, provenance: dict[str, Any], seed: int) -> Iterator[RawTask]:
    """Yield the tasks of a file of {"task", "definition", "input", "output"}; several wordings are drawn from."""
    wordings = _wordings(path)
    tasks: dict[str, list[dict[str, Any]]] = {}
    for row in read_lines(path, "task", "input", "output"):
        tasks.setdefault(row["task"], []).append(row)
    for name, rows in sorted(tasks.items()):
        chance = random.Random(f"{seed} {name}")
        choices = wordings.get(name) or [rows[0].get("definition") or rows[0].get("instruction") or ""]
        given = [task_instruction(chance.choice(choices)) for _ in rows]
        pairs = [(str(r["input"]), _first(r["output"])) for r in rows]
        yield RawTask(
            name,
            "super-ni",
            pairs,
            given[0],
            given[0],
            symmetric=True,
            instructions=given if len(choices) > 1 else None,
            **provenance,
        )


def _wordings(path: Path) -> dict[str, list[str]]:
    """Return the human-written instructions by task that lie beside instruction_induction files."""
    beside = path.with_name("instruction_induction_instructions.json")
    if not path.name.startswith("instruction_induction") or not beside.is_file():
        return {}
    wordings = json.loads(beside.read_text(encoding="utf-8"))
    return {k: [str(t) for t in v] for k, v in wordings.items() if isinstance(v, list)}


def read_super_ni(folder: Path, task_list: Path | None = None) -> Iterator[RawTask]:
    """Yield the tasks of the official layout: tasks/NAME.json with Definition and Instances.

    ``task_list``: a file with the names to take, one a line (as the official splits); None: all.

    Raises:
        MixtureError: no tasks are there, one that is listed is missing, or a file is damaged.
    """
    tasks = folder / "tasks" if (folder / "tasks").is_dir() else folder
    files = {p.stem: p for p in sorted(tasks.glob("task*.json"))}
    names = (
        [n.strip() for n in task_list.read_text(encoding="utf-8-sig").splitlines() if n.strip()]
        if task_list
        else list(files)
    )
    missing = [n for n in names if n not in files]
    if not files or missing:
        what = f"{len(missing)} of the listed tasks, the first is {missing[0]}" if missing else "no task*.json"
        raise MixtureError(f"{tasks} lacks tasks: {what}; expected the layout of natural-instructions")
    for name in names:
        try:
            task = json.loads(files[name].read_text(encoding="utf-8"))
            definition = task["Definition"][0] if isinstance(task["Definition"], list) else task["Definition"]
            rows = [(str(i["input"]), _first(i["output"])) for i in task["Instances"]]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise MixtureError(f"{files[name]} is no task of Super-NaturalInstructions ({error!r})") from error
        instruction = task_instruction(str(definition))
        licence = ", ".join(map(str, listed(task.get("Instance License")))) or "unstated"
        source = ", ".join(map(str, listed(task.get("Source")))) or "Super-NaturalInstructions"
        yield RawTask(name, "super-ni", rows, instruction, instruction, licence, source, symmetric=True)


def _first(output: Any) -> str:
    return str(output[0]) if isinstance(output, list) and output else "" if isinstance(output, list) else str(output)


def listed(value: Any) -> tuple[Any, ...]:
    """Return one value, several or none as several."""
    return tuple(value) if isinstance(value, (list, tuple)) else () if value in (None, "") else (value,)


def read_lines(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of JSONL, gzipped or not; each has the ``needed`` fields.

    Raises:
        MixtureError: a line cannot be read, or lacks a field; the message names it.
    """
    for number, row in read_rows(path):
        if needed and (not isinstance(row, dict) or any(row.get(n) is None for n in needed)):
            raise MixtureError(f"{path}:{number}: expected an object with {', '.join(needed)}")
        yield row
