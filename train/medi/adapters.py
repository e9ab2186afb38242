"""Training data in the forms that other projects write."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from instructor_search.errors import MissingExtraError
from train.examples import MixtureError, TrainingExample, from_row, read_rows, task_of
from train.medi.sources import RawTask, listed, read_lines

Row = tuple[str, str, tuple[str, ...]]  # query, positive, negatives


def read_examples(given: str, query_instruction: str, document_instruction: str) -> list[RawTask]:
    """Return the tasks of ``FORMAT:PATH``. Instructions are used where the format has none of its own.

    Raises:
        MixtureError: an unknown format, no such file, or rows of another form.
    """
    kind, _, where = given.partition(":")
    if not where or kind not in {*_READERS, "medi", "hub"}:
        raise MixtureError(
            f"--examples is {given!r}; expected FORMAT:PATH with FORMAT one of "
            f"{', '.join(sorted({*_READERS, 'medi', 'hub'}))}"
        )
    path = Path(where).expanduser()
    if kind != "hub" and not path.exists():
        raise MixtureError(f"no such file or folder: {path}")
    if kind == "medi":
        return _medi(path)
    try:
        rows = list(_hub(where) if kind == "hub" else _READERS[kind](path))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, csv.Error) as error:
        raise MixtureError(f"{where} is not in the form of {kind} ({type(error).__name__}: {error})") from error
    given_ones = [row[3] if len(row) > 3 else query_instruction for row in rows]
    several = len(set(given_ones)) > 1
    instruction = given_ones[0] if given_ones else query_instruction
    pairs = [row[:3] for row in rows]
    name = path.name.split(".")[0] if kind != "hub" else where.partition("?")[0].replace("/", "-")
    return [
        RawTask(
            name,
            "pairs",
            pairs,
            instruction,
            document_instruction,
            "unstated",
            given,
            symmetric=False,
            instructions=given_ones if several else None,
        )
    ]


def _medi(path: Path) -> list[RawTask]:
    """Return the tasks of medi-data.json (one list) or of JSONL of its rows; rows with an empty text are counted."""
    tasks: dict[str, list[TrainingExample]] = {}
    dropped: dict[str, int] = {}
    for number, row in read_rows(path):
        if not isinstance(row, dict):
            raise MixtureError(f"{path}:{number}: expected an object with query and pos")
        name = task_of(row, path)
        tasks.setdefault(name, [])
        if any(_is_empty(row.get(side)) for side in ("query", "pos")):
            dropped[name] = dropped.get(name, 0) + 1
            continue
        tasks[name].append(from_row(row, f"{path}:{number}", drop_empty_negatives=True))
    return [_of_medi(name, rows, dropped.get(name, 0), path) for name, rows in tasks.items()]


def _of_medi(name: str, rows: list[TrainingExample], empty: int, path: Path) -> RawTask:
    query, document = (rows[0].query.instruction, rows[0].positive.instruction) if rows else ("", "")
    return RawTask(
        name,
        "ready",
        [(row,) for row in rows],
        query,
        document,
        "unstated",
        f"medi:{path.name}",
        symmetric=query == document,
        dropped={"empty text": empty},
    )


def _is_empty(side: Any) -> bool:
    """Whether a side is [instruction, text] with nothing in its text; of another form, it is not for this to say."""
    return isinstance(side, (list, tuple)) and len(side) == 2 and isinstance(side[1], str) and not side[1].strip()


_GRADES, _NO_TEXT = ("label", "labels", "score", "scores"), (int, float, dict)
_ANCHORS, _POSITIVES = ("anchor", "query", "sentence1", "question"), ("positive", "answer", "sentence2", "pos")


def _sentence_transformers(path: Path) -> Iterator[tuple[Any, ...]]:
    """Columns anchor, positive, negative, negative_1, ...: see ``_columns``."""
    told: set[tuple[str, ...]] = set()
    for row in _table(path):
        graded = [n for n in row if n in _GRADES]
        if graded:
            raise ValueError(f"column {graded[0]} grades the pairs; expected right pairs only, without that column")
        anchor, positive, negatives, others = _columns([n for n, v in row.items() if not isinstance(v, _NO_TEXT)])
        if others and others not in told:
            told.add(others)
            sys.stderr.write(f"{path}: not used: {', '.join(others)} (negatives: negative, negative_1, ...)\n")
        yield row[anchor], row[positive], tuple(text for n in negatives for text in listed(row[n]))


def _columns(names: Sequence[str]) -> tuple[str, str, list[str], tuple[str, ...]]:
    """Return the columns of the anchor, the positive and the negatives by their names, and those that are not used.

    A side without a column of its name is the first one that is left; where neither has one, the columns after the
    first two are negatives.
    """
    chosen = [next((n for n in known if n in names), None) for known in (_ANCHORS, _POSITIVES)]
    negatives = [n for n in names if n.startswith("neg")]
    rest = [n for n in names if n not in chosen and n not in negatives]
    if len(rest) < chosen.count(None):
        raise ValueError(f"columns {', '.join(names)}; expected anchor and positive")
    by_order = chosen == [None, None]
    anchor, positive = (n if n is not None else rest.pop(0) for n in chosen)
    return (anchor, positive, negatives + rest, ()) if by_order else (anchor, positive, negatives, tuple(rest))


def _flagembedding(path: Path) -> Iterator[tuple[Any, ...]]:
    for row in read_lines(path):
        for positive in listed(row["pos"]) or ("",):
            yield (row["query"], positive, listed(row.get("neg")), *([row["prompt"]] if row.get("prompt") else []))


def _tevatron(path: Path) -> Iterator[Row]:
    def text(passage: dict[str, str]) -> str:
        return f"{passage.get('title') or ''} {passage['text']}".strip()

    for row in read_lines(path):
        negatives = tuple(map(text, row.get("negative_passages") or ()))
        for positive in list(map(text, row["positive_passages"] or ())) or [""]:
            yield row["query"], positive, negatives


def _kilt(path: Path) -> Iterator[Row]:
    """An input with the text of its provenance where the file holds it, else with its answer."""
    for row in read_lines(path):
        for output in row["output"]:
            passages = [p["text"] for p in output.get("provenance") or () if p.get("text")]
            for passage in passages or [output.get("answer") or ""]:
                yield row["input"], passage, ()


def _medmcqa(path: Path) -> Iterator[Row]:
    """A question with its right option; the wrong options are negatives (explanations would tell them apart by length).

    ``cop`` counts from 1 in the authors' files and from 0 on the hub: the file's numbers tell which (1 where they do
    not). A question without an answer (-1) has no positive and is dropped.
    """
    rows = list(read_lines(path))
    numbers = {int(row["cop"]) for row in rows}
    if {0, 4} <= numbers:
        raise ValueError("cop goes from 0 to 4; expected 1 to 4, or 0 to 3")
    first = 0 if 0 in numbers else 1
    for row in rows:
        options = [row[f"op{letter}"] for letter in "abcd"]
        if int(row["cop"]) < 0:
            yield row["question"], "", ()
            continue
        right = options[int(row["cop"]) - first]
        yield row["question"], right, tuple(o for o in options if o != right)


def _beir(path: Path) -> Iterator[Row]:
    documents = {
        r["_id"]: f"{r.get('title') or ''} {r['text']}".strip() for r in read_lines(_either(path / "corpus.jsonl"))
    }
    queries = {r["_id"]: r["text"] for r in read_lines(_either(path / "queries.jsonl"))}
    with (path / "qrels" / "train.tsv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if float(row["score"]) > 0:
                yield queries[row["query-id"]], documents[row["corpus-id"]], ()


def _either(path: Path) -> Path:
    zipped = path.with_name(path.name + ".gz")
    return zipped if zipped.is_file() else path


def _hub(where: str) -> Iterator[Row]:
    """``NAME?query=COLUMN&positive=COLUMN[&negative=COLUMN][&split=train][&config=NAME]`` of a hub id or a folder."""
    name, _, mapping = where.partition("?")
    columns = {k: v[0] for k, v in parse_qs(mapping).items()}
    if not {"query", "positive"} <= set(columns):
        raise ValueError("expected hub:NAME?query=COLUMN&positive=COLUMN")
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise MissingExtraError("datasets", "train", "--examples hub:") from error
    try:
        data = load_dataset(name, columns.get("config"), split=columns.get("split", "train"))
    except (OSError, DatasetsError) as error:
        raise MixtureError(f"hub:{name} cannot be loaded ({' '.join(str(error).split())})") from error
    for row in data:
        negative = row.get(columns["negative"]) if "negative" in columns else None
        yield row[columns["query"]], row[columns["positive"]], listed(negative)


def _table(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)  # a field is a text here, of any length
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield from pq.read_table(path).to_pylist()
    elif path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            for row in reader:
                if None in row:
                    raise ValueError(f"line {reader.line_num} has more fields than the header; expected them quoted")
                yield row
    else:
        yield from read_lines(path)


_READERS: dict[str, Callable[[Path], Iterator[tuple[Any, ...]]]] = {
    "sentence-transformers": _sentence_transformers,
    "flagembedding": _flagembedding,
    "tevatron": _tevatron,
    "kilt": _kilt,
    "medmcqa": _medmcqa,
    "beir": _beir,
}
