"""Training data in the forms that other projects write."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from train.examples import MixtureError, TrainingExample, read_mixture
from train.medi.sources import RawTask, read_lines

Row = tuple[str, str, tuple[str, ...]]  # query, positive, negatives


def read_examples(given: str, query_instruction: str, document_instruction: str) -> list[RawTask]:
    """Return the tasks of ``FORMAT:PATH``. Instructions are used where the format has none of its own.

    Raises:
        MixtureError: an unknown format, no such file, or rows of another form.
    """
    kind, _, where = given.partition(":")
    if not where or kind not in {*_READERS, "medi", "hub"}:
        raise MixtureError(f"--examples is {given!r}; expected FORMAT:PATH with FORMAT one of "
                           f"{', '.join(sorted({*_READERS, 'medi', 'hub'}))}")  # fmt: skip
    if kind == "medi":
        return [_of_medi(name, rows, where) for name, rows in read_mixture(Path(where)).tasks.items()]
    path = Path(where).expanduser()
    if kind != "hub" and not path.exists():
        raise MixtureError(f"no such file or folder: {path}")
    try:
        rows = list(_hub(where) if kind == "hub" else _READERS[kind](path))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise MixtureError(f"{where} is not in the form of {kind} ({type(error).__name__}: {error})") from error
    own = {row[3] for row in rows if len(row) > 3} if kind == "flagembedding" else set()
    instruction = own.pop() if len(own) == 1 else query_instruction
    pairs = [row[:3] for row in rows]
    name = path.name.split(".")[0] if kind != "hub" else where.partition("?")[0].replace("/", "-")
    return [RawTask(name, "pairs", pairs, instruction, document_instruction, "unstated", given, symmetric=False)]


def _of_medi(name: str, rows: list[TrainingExample], where: str) -> RawTask:
    query, document = rows[0].query.instruction, rows[0].positive.instruction
    ready = [(row,) for row in rows]
    return RawTask(name, "ready", ready, query, document, "unstated", f"medi:{where}", symmetric=query == document)


def _sentence_transformers(path: Path) -> Iterator[Row]:
    """Columns anchor, positive, negative, negative_1, ...; or the first two and those that come after."""
    for row in _table(path):
        names = [n for n in row if isinstance(row[n], str)]
        anchor = next((n for n in ("anchor", "query", "sentence1", "question") if n in row), names[0])
        positive = next((n for n in ("positive", "answer", "sentence2", "pos") if n in row), names[1])
        negatives = tuple(row[n] for n in names if n not in (anchor, positive) and n.startswith("neg") and row[n])
        yield row[anchor], row[positive], negatives


def _flagembedding(path: Path) -> Iterator[tuple[Any, ...]]:
    for row in read_lines(path):
        for positive in row["pos"]:
            yield (row["query"], positive, tuple(row.get("neg") or ()), *([row["prompt"]] if row.get("prompt") else []))


def _tevatron(path: Path) -> Iterator[Row]:
    def text(passage: dict[str, str]) -> str:
        return f"{passage.get('title') or ''} {passage['text']}".strip()

    for row in read_lines(path):
        negatives = tuple(map(text, row.get("negative_passages") or ()))
        for positive in row["positive_passages"]:
            yield row["query"], text(positive), negatives


def _kilt(path: Path) -> Iterator[Row]:
    """An input with the text of its provenance where the file holds it, else with its answer."""
    for row in read_lines(path):
        for output in row["output"]:
            passages = [p["text"] for p in output.get("provenance") or () if p.get("text")]
            for passage in passages or ([output["answer"]] if output.get("answer") else []):
                yield row["input"], passage, ()


def _medmcqa(path: Path) -> Iterator[Row]:
    """A question with its right option and explanation; the wrong options are negatives. ``cop`` counts from 1."""
    for row in read_lines(path):
        options = [row[f"op{letter}"] for letter in "abcd"]
        right = options[int(row["cop"]) - 1]
        positive = f"{right}. {row['exp']}" if row.get("exp") else right
        yield row["question"], positive, tuple(o for o in options if o != right)


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
    from datasets import load_dataset

    for row in load_dataset(name, columns.get("config"), split=columns.get("split", "train")):
        negative = row.get(columns["negative"]) if "negative" in columns else None
        yield (
            row[columns["query"]],
            row[columns["positive"]],
            (negative,) if isinstance(negative, str) else tuple(negative or ()),
        )


def _table(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield from pq.read_table(path).to_pylist()
    elif path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
    else:
        yield from read_lines(path)


_READERS: dict[str, Callable[[Path], Iterator[tuple[Any, ...]]]] = {
    "sentence-transformers": _sentence_transformers, "flagembedding": _flagembedding, "tevatron": _tevatron,
    "kilt": _kilt, "medmcqa": _medmcqa, "beir": _beir,
}  # fmt: skip
