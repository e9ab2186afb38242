"""Readers beside a writer: errors, acknowledged rows that are not found, and the time of a search, quiet and busy.

    python benchmarks/readers.py --readers 8 --seconds 60 --chunks 20000

Vectors are random numbers drawn from a hash of the text, so that every process can compute them and no model takes part.
A reader asks for the vector of a row that was acknowledged at least ``--interval`` seconds ago: it must be the first hit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from ingest import IngestConfig, ingest
from instructor_search import Collection, Searcher, load_encoder
from instructor_search.search.index_report import make_index
from instructor_search.store.indexes.policy import IndexConfig

ROWS = 50  # of a file


class Drawn:
    """An encoder whose vectors are drawn from a hash of the text."""

    name, runtime, precision, dim, fingerprint, max_tokens = "drawn", "numpy", "fp32", 384, "drawn-384", 256

    def __init__(self) -> None:
        """Take the default model's tokenizer, to count with."""
        self.tokenizer = load_encoder().tokenizer

    def load(self) -> None:
        """Nothing to load."""

    def encode(self, pairs: Any, batch_size: int = 32, *, on_batch: Any = None) -> np.ndarray:
        """Return unit vectors, (n, 384)."""
        made = np.empty((len(pairs), self.dim), np.float32)
        for row, (_, text) in enumerate(pairs):
            seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
            made[row] = np.random.default_rng(seed).normal(size=self.dim)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def text_of(number: int) -> str:
    """Return the text of a row."""
    return f"row number {number} of the writer"


def write(folder: Path, chunks: int, acknowledged: Path) -> None:
    """Ingest file after file, and note when each was acknowledged."""
    for first in range(0, chunks, ROWS):
        lines = "".join(f"{text_of(n)},{n}\n" for n in range(first, first + ROWS))
        (folder / f"{first:06}.csv").write_text("text,n\n" + lines)

    def noted(records: Any) -> None:
        with acknowledged.open("a") as stream:
            stream.writelines(f"{time.time()} {r.source}\n" for r in records)

    ingest(
        IngestConfig(paths=(folder,), store=str(folder.parent / "store"), instruction="d: "),
        encoder=Drawn(),
        on_commit=noted,
    )


class Acknowledged:
    """The files that a writer noted, read as they come."""

    def __init__(self, path: Path) -> None:
        """``path``: of the notes, which need not be there yet."""
        self.path, self.place = path, 0
        self.times: list[float] = []
        self.firsts: list[int] = []  # row of each file

    def before(self, moment: float) -> list[int]:
        """Return the first rows of files that were acknowledged before a time."""
        if self.path.is_file() and self.path.stat().st_size > self.place:
            with self.path.open() as stream:
                stream.seek(self.place)
                new = stream.read()
            whole = new[: new.rfind("\n") + 1]
            self.place += len(whole)
            for line in whole.splitlines():
                at, source = line.split()
                self.times.append(float(at))
                self.firsts.append(int(Path(source).stem))
        return self.firsts[: bisect_left(self.times, moment)]


def read(store: Path, acknowledged: Path, until: Any, interval: float, seed: int, out: Any) -> None:
    """Search for acknowledged rows until told to stop; report each search: when, how long, error or row not found."""
    chance, encoder = np.random.default_rng(seed), Drawn()
    searches: list[dict[str, Any]] = []
    searcher, noted = Searcher(Collection.open("docs", store), encoder), Acknowledged(acknowledged)
    while not until.is_set():
        files = noted.before(time.time() - interval)
        if not files:
            time.sleep(0.05)
            continue
        text = text_of(files[chance.integers(len(files))] + int(chance.integers(ROWS)))
        started = time.perf_counter()
        try:
            mode = "hybrid" if len(searches) % 4 == 0 else "dense"
            hits = searcher.search(text, instruction="d: ", top_k=10, snippets="none", mode=mode)
        except Exception as error:
            searches.append({"at": time.time(), "error": f"{type(error).__name__}: {error}"[:200]})
            continue
        ms, found = 1000 * (time.perf_counter() - started), bool(hits) and text in hits[0].text
        searches.append({"at": time.time(), "ms": ms, "missing": None if found else text})
        time.sleep(0.02)  # a person does not ask a thousand times a second
    out.put(searches)


def phase(
    context: Any, store: Path, acknowledged: Path, readers: int, interval: float, wait: Any
) -> list[dict[str, Any]]:
    """Run readers while ``wait`` lasts; return their searches."""
    until, out = context.Event(), context.Queue()
    started = [
        context.Process(target=read, args=(store, acknowledged, until, interval, n, out)) for n in range(readers)
    ]
    for process in started:
        process.start()
    wait()
    until.set()
    seen = [out.get(timeout=60) for _ in started]
    for process in started:
        process.join()
    return [search for one in seen for search in one]


def summary(searches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number of searches, their p50 and p95 in ms, the errors and the rows that were not found."""
    times = [search["ms"] for search in searches if "ms" in search]
    p50, p95 = (float(np.percentile(times, share)) for share in (50, 95))
    errors, missing = ([s[key] for s in searches if s.get(key)] for key in ("error", "missing"))
    return {"searches": len(times), "p50": p50, "p95": p95, "errors": errors, "missing": missing}


def main() -> None:
    """Run a quiet phase and a busy one, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60, help="at least")
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--interval", type=float, default=4.0)
    parser.add_argument("--kind", default="ivf-pq", help="of the index")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        folder, store, acknowledged = Path(scratch, "docs"), Path(scratch, "store"), Path(scratch, "acknowledged")
        folder.mkdir()
        write(folder, args.chunks // 4, acknowledged)  # something to read
        collection = Collection.open("docs", store)
        make_index(collection, collection.view(), IndexConfig(args.kind))
        quiet = phase(
            context,
            store,
            acknowledged,
            args.readers,
            args.interval,
            lambda: time.sleep(args.interval + args.seconds / 4),
        )

        ended = []

        def writing() -> None:
            started = time.monotonic()
            writer = context.Process(target=write, args=(folder, args.chunks, acknowledged))
            writer.start()
            writer.join()
            assert writer.exitcode == 0, "the writer failed"
            ended.append(time.time())
            time.sleep(max(0.0, args.seconds - (time.monotonic() - started)))

        busy = phase(context, store, acknowledged, args.readers, args.interval, writing)
    report = {"quiet": summary(quiet), "busy": summary(busy)}
    report["busy, until the writer's end"] = summary([search for search in busy if search["at"] <= ended[0]])
    if args.json:
        print(json.dumps(report))
        return
    print(f"{args.readers} readers, a writer of {args.chunks:,} chunks\n")
    print("| | searches | p50 ms | p95 ms | errors | acknowledged rows not found |\n|---|---|---|---|---|---|")
    for name, seen in report.items():
        print(
            f"| {name} | {seen['searches']:,} | {seen['p50']:.1f} | {seen['p95']:.1f} | {len(seen['errors'])} | "
            f"{len(seen['missing'])} |"
        )
    for error in [*report["quiet"]["errors"], *report["busy"]["errors"]][:5]:
        print(error)


if __name__ == "__main__":
    main()
