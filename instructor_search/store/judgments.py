"""Judgments of hits: relevant or not, under which instruction, in which view. What a user says becomes training data.

Kept as ``judgments.jsonl`` in the collection's folder, one judgment a line, only ever added to; of two on the same hit
(query, instruction, view, chunk) the later one counts. The chunk's text is kept with it, so that an export needs
nothing else and says what was judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from instructor_search.errors import LockedError, StoreError
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

FILE = "judgments.jsonl"
MAX_TEXT = 20_000  # characters of a query or an instruction


@dataclass(frozen=True)
class Judgment:
    """One hit judged. ``relevant``: None takes back what was said before."""

    query: str
    instruction: str
    view: str
    document_instruction: str
    chunk_id: str
    document_id: str
    text: str
    relevant: bool | None
    time: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What was judged."""
        return self.query, self.instruction, self.view, self.chunk_id


def judge(
    collection: CollectionTable,
    view: View,
    chunk_id: str,
    *,
    query: str,
    relevant: bool | None,
    instruction: GivenInstruction = None,
) -> Judgment:
    """Store whether a chunk is relevant to ``query`` under ``instruction`` (``instruction_rule.resolve``); return it.

    Raises:
        StoreError: there is no such chunk, or the file cannot be written.
        ValueError: the query is empty, or a text too long.
        LockedError: another process writes judgments for more than ten seconds.
    """
    if not query.strip():
        raise ValueError("the query is empty; expected the text that was searched for")
    sentence = resolve(instruction, documents_under=view.document_instruction)
    for name, value in (("query", query), ("instruction", sentence)):
        if len(value) > MAX_TEXT:
            raise ValueError(f"the {name} has {len(value)} characters; expected at most {MAX_TEXT}")
    rows = collection.rows_by_id([chunk_id], ["document_id", "text"]).to_pylist()
    if not rows:
        raise StoreError(f"{collection.name!r} has no chunk {chunk_id!r}; ids stand in search --json and --explain")
    judgment = Judgment(
        query,
        sentence,
        view.name,
        view.document_instruction,
        chunk_id,
        rows[0]["document_id"],
        rows[0]["text"],
        relevant,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _append(collection.folder / FILE, json.dumps(asdict(judgment), ensure_ascii=False))
    return judgment


def read_judgments(collection: CollectionTable) -> list[Judgment]:
    """Return what counts: the last judgment of each hit, in the order in which they were first judged.

    Raises:
        StoreError: a line is damaged; the message says which.
    """
    path = collection.folder / FILE
    latest: dict[tuple[str, str, str, str], Judgment] = {}
    if path.is_file():
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if not line:
                continue
            try:
                judgment = Judgment(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise StoreError(f"{path}, line {number} is damaged ({str(error)[:80]}); remove the line") from error
            latest[judgment.key] = judgment
    return [judgment for judgment in latest.values() if judgment.relevant is not None]


def medi_rows(judgments: Iterable[Judgment]) -> Iterator[dict[str, Any]]:
    """Yield MEDI's rows: one a relevant hit, with the hits that were judged not relevant to the same query.

    A row is {"query": [instruction, text], "pos": [instruction, text], "neg": [[instruction, text], ...]}. A query
    without a relevant hit gives none.
    """
    for group in _by_query(judgments).values():
        negatives = [[j.document_instruction, j.text] for j in group if not j.relevant]
        for judgment in group:
            if judgment.relevant:
                positive = [judgment.document_instruction, judgment.text]
                yield {"query": [judgment.instruction, judgment.query], "pos": positive, "neg": negatives}


def export_medi(judgments: Sequence[Judgment], path: Path) -> int:
    """Write MEDI's rows as JSON lines and return their number.

    Raises:
        StoreError: there is none.
    """
    rows = [json.dumps(row, ensure_ascii=False) for row in medi_rows(judgments)]
    if not rows:
        raise StoreError("no hit was judged relevant yet; nothing to export")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(rows)


def export_qrels(judgments: Sequence[Judgment], folder: Path) -> int:
    """Write an evaluation set (BEIR's layout, as ``python -m eval --data`` reads it) and return its number of qrels.

    ``corpus.jsonl`` holds the judged chunks, ``queries.jsonl`` each query with its "instruction", ``qrels/test.tsv``
    the relevance, 1 or 0.

    Raises:
        StoreError: there is none.
    """
    if not any(judgment.relevant for judgment in judgments):
        raise StoreError("no hit was judged relevant yet; nothing to export")
    groups = _by_query(judgments)
    texts = {j.chunk_id: {"_id": j.chunk_id, "title": "", "text": j.text} for j in judgments}
    queries = [{"_id": _query_id(key), "text": key[0], "instruction": key[1]} for key in groups]
    qrels = [f"{_query_id(key)}\t{j.chunk_id}\t{int(bool(j.relevant))}" for key, group in groups.items() for j in group]
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", texts.values()), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    head = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels" / "test.tsv").write_text(head + "\n".join(qrels) + "\n", encoding="utf-8")
    return len(qrels)


def _by_query(judgments: Iterable[Judgment]) -> dict[tuple[str, str, str], list[Judgment]]:
    groups: dict[tuple[str, str, str], list[Judgment]] = {}
    for judgment in judgments:
        groups.setdefault((judgment.query, judgment.instruction, judgment.view), []).append(judgment)
    return groups


def _query_id(key: tuple[str, str, str]) -> str:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=8).hexdigest()


def _append(path: Path, line: str) -> None:
    """Add a line at the end; one process at a time, so that no two lines mix."""
    try:
        with FileLock(str(path.with_name(".judgments.lock")), timeout=10), path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except Timeout:
        raise LockedError(f"{path} is being written to by another process; try later") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror or error})") from error
