"""Reads evaluation sets from folders: CATEGORY/NAME/ with meta.json and JSON lines, plain or gzip.

    retrieval            corpus.jsonl {_id, title, text}, queries.jsonl {_id, text}, qrels/test.tsv (BEIR's layout)
    reranking            test.jsonl {query, positive: [...], negative: [...]}
    clustering           test.jsonl {text, label}
    pairclassification   test.jsonl {sentence1, sentence2, label: 0 or 1}
    classification       train.jsonl, test.jsonl {text, label}
    sts                  test.jsonl {sentence1, sentence2, score}
    summarization        test.jsonl {text, human_summaries: [...], machine_summaries: [...], relevance: [...]}
    textgen              test.jsonl {references: [...], candidate, human_score, id?} or a THumB pair of files
    icl                  train.jsonl, test.jsonl {input, output}

Every row is checked; the message of a bad one names its file and line.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eval.records import EvalDataError

Row = dict[str, Any]
TEXT, NUMBER, TEXTS, NUMBERS, LABEL = "a string", "a number", "a list of strings", "a list of numbers", "a label"


def find(folder: Path, name: str) -> Path:
    """Return ``name`` of a set's folder, or its gzip form.

    Raises:
        EvalDataError: there is neither.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise EvalDataError(f"{folder} has no {name} (nor {name}.gz)")


def read_rows(path: Path, fields: dict[str, str], check: Callable[[Row], str | None] | None = None) -> list[Row]:
    """Return the rows of a JSON lines file whose ``fields`` (name -> kind) are all there and of their kind.

    ``check`` returns what else is wrong with a row, if anything.

    Raises:
        EvalDataError: a row is malformed, or there is none.
    """
    rows = []
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise EvalDataError(f"{path}, line {number}: not valid JSON ({error})") from None
        problem = _problem(row, line, fields) or (check(row) if check else None)
        if problem:
            raise EvalDataError(f"{path}, line {number}: {problem}")
        rows.append(row)
    if not rows:
        raise EvalDataError(f"{path} is empty; expected rows with {', '.join(fields)}")
    return rows


def _problem(row: Any, line: str, fields: dict[str, str]) -> str | None:
    if not isinstance(row, dict):
        return f"{line.strip()[:60]!r}; expected an object with {', '.join(fields)}"
    for field, kind in fields.items():
        if field not in row or not _is(row[field], kind):
            given = json.dumps(row[field])[:60] if field in row else "nothing"
            return f"{field!r} is {given}; expected {kind}"
    return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    try:
        with opened as stream:
            yield from enumerate(stream, 1)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise EvalDataError(f"{path} cannot be read ({error})") from error


def _is(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == NUMBER:
        return _is_number(value)
    if kind == LABEL:
        return isinstance(value, str | int)
    if kind == TEXTS:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    return isinstance(value, list) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    """Whether it is a finite number that a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def read_qrels(path: Path, queries: set[str], documents: set[str]) -> dict[str, dict[str, int]]:
    """Return query id -> document id -> relevance of a tab-separated file with a header or without; zeros stay.

    Raises:
        EvalDataError: a line is malformed, names an id that is not there, or gives a pair another score than before.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        parts = line.rstrip("\r\n").split("\t")
        if not line.strip():
            continue
        score = _whole(parts[2]) if len(parts) == 3 else None
        if score is None:
            if number == 1 and len(parts) == 3 and parts[0] not in queries and not _NUMBER.fullmatch(parts[2].strip()):
                continue  # the header
            raise EvalDataError(
                f"{path}, line {number}: {line.strip()[:60]!r}; expected query-id, corpus-id, whole score (tabs)"
            )
        query, document, _ = parts
        for name, known, where in ((query, queries, "queries.jsonl"), (document, documents, "corpus.jsonl")):
            if name not in known:
                raise EvalDataError(f"{path}, line {number}: {name!r} is not in {where}")
        known_score = qrels.setdefault(query, {}).setdefault(document, score)
        if known_score != score:
            raise EvalDataError(
                f"{path}, line {number}: {query!r} and {document!r} have the score {score}, and {known_score} before; "
                "expected one score a pair"
            )
    return qrels


_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def _whole(text: str) -> int | None:
    """Return "1" or "1.0" as a number, anything else as None."""
    return int(float(text)) if re.fullmatch(r"-?[0-9]+(\.0*)?", text.strip()) else None


def read_retrieval(folder: Path) -> tuple[list[Row], list[Row], dict[str, dict[str, int]], list[str]]:
    """Return corpus, the queries that have a relevant document, qrels, and notes of what was left out."""
    corpus = read_rows(find(folder, "corpus.jsonl"), {"_id": TEXT, "text": TEXT}, _bad_title)
    queries = read_rows(find(folder, "queries.jsonl"), {"_id": TEXT, "text": TEXT})
    for rows, name in ((corpus, "corpus.jsonl"), (queries, "queries.jsonl")):
        if len({row["_id"] for row in rows}) != len(rows):
            raise EvalDataError(f"{folder}/{name}: an _id stands there twice; expected each once")
    path = folder / "qrels" / "test.tsv"
    if not path.is_file():
        raise EvalDataError(f"{folder} has no qrels/test.tsv")
    qrels = read_qrels(path, {q["_id"] for q in queries}, {d["_id"] for d in corpus})
    judged = {query for query, documents in qrels.items() if any(score > 0 for score in documents.values())}
    kept = [query for query in queries if query["_id"] in judged]
    if not kept:
        raise EvalDataError(f"{path}: no query has a relevant document; expected at least one score above 0")
    left = len(queries) - len(kept)
    notes = [f"{left} of {len(queries)} queries have no relevant document and are left out"] if left else []
    return corpus, kept, {query: qrels[query] for query in judged}, notes


def _bad_title(row: Row) -> str | None:
    title = row.get("title")
    return None if title is None or isinstance(title, str) else f"'title' is {json.dumps(title)[:60]}; expected {TEXT}"


def read_reranking(folder: Path) -> tuple[list[Row], list[str]]:
    """Return rows that have a positive and a negative, and notes of what was left out."""
    path = find(folder, "test.jsonl")
    rows = read_rows(path, {"query": TEXT, "positive": TEXTS, "negative": TEXTS})
    kept = [row for row in rows if row["positive"] and row["negative"]]
    if not kept:
        raise EvalDataError(f"{path}: no row has both a positive and a negative")
    left = len(rows) - len(kept)
    return kept, [f"{left} of {len(rows)} queries lack a positive or a negative and are left out"] if left else []


def read_labelled(folder: Path, split: str, texts: tuple[str, ...] = ("text",)) -> list[Row]:
    """Return rows with ``texts`` and a label, of which there must be two or more; 1 and "1" are one label.

    Raises:
        EvalDataError: a row is malformed, or all have one label.
    """
    path = find(folder, f"{split}.jsonl")
    rows = read_rows(path, {**dict.fromkeys(texts, TEXT), "label": LABEL})
    if len({str(row["label"]) for row in rows}) < 2:
        raise EvalDataError(
            f"{path}: all {len(rows)} rows have the label {rows[0]['label']!r}; expected two labels or more"
        )
    return rows


def read_meta(folder: Path) -> dict[str, Any]:
    """Return a set's meta.json, or nothing where there is none.

    Raises:
        EvalDataError: it is not a JSON object.
    """
    path = folder / "meta.json"
    if not path.is_file():
        return {}
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvalDataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(meta, dict):
        raise EvalDataError(f"{path} holds a {type(meta).__name__}; expected an object")
    return meta


def revision_of(folder: Path) -> str:
    """Return a hash over the names and contents of a set's data files; meta.json, which holds no data, is left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "meta.json"):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def num_bytes(folder: Path) -> int:
    """Return the size of a set's data files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "meta.json")
