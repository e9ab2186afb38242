"""What a page says of its hits, measured on the shipped corpus: where none stands out, and which sentence is marked.

    python benchmarks/search_signals.py [--searches 50]

The queries lie in tests/search/signals/: answerable ones with their instruction, document and right sentence, meaningless
ones, and ones on matters that the corpus does not have. Shares are given for the even and the odd lines; both were seen
when the rules were chosen, so that they agree is a check against chance, not a test on unseen queries.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
SIGNALS = ROOT / "tests" / "search" / "signals"
# Meaningless and unrelated queries are asked under each of these.
ASKED_UNDER = (
    "default",
    "medical",
    "policies",
    "contracts",
    "papers",
    "reviews-by-sentiment",
    "bugs-by-severity",
    "emails",
)


def read_answerable() -> list[dict[str, str]]:
    """Return the answerable queries; "sentence": how the right one begins, where one of several is right."""
    with (SIGNALS / "answerable.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_lines(name: str) -> list[str]:
    """Return the queries of a text file, one a line."""
    return (SIGNALS / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def flags(searcher: Any, background: Any, asked: list[tuple[str, str]]) -> list[bool]:
    """Return of each (instruction's name, query) whether its search is called weak."""
    from instructor_search.instruction_library import find_instruction

    said = []
    for name, query in asked:
        instruction = find_instruction(name)
        hits = searcher.search(query, instruction=instruction, snippets="none")
        said.append(background.is_weak(hits, instruction))
    return said


def marks(searcher: Any, kind: str) -> list[bool]:
    """Return of each judged query whose document is a hit with several sentences whether the right one is shown."""
    from instructor_search.instruction_library import find_instruction
    from instructor_search.search.snippets import split_sentences

    right = []
    for row in read_answerable():
        if not row["sentence"]:
            continue
        hits = searcher.search(row["query"], instruction=find_instruction(row["instruction"]), snippets=kind)
        for hit in hits:
            sentences = split_sentences(hit.text)
            wanted = any(sentence.startswith(row["sentence"]) for sentence in sentences)
            if hit.source == row["source"] and wanted and len(sentences) > 1:
                right.append(hit.best_sentence.startswith(row["sentence"]))
                break
    return right


def halves(values: list[bool]) -> str:
    """Return the shares of the even and the odd lines, and how many lines there are."""
    even, odd = values[::2], values[1::2]
    return f"{100 * sum(even) / len(even):.1f} / {100 * sum(odd) / len(odd):.1f} % of {len(values)}"


def milliseconds(searcher: Any, kind: str, searches: int) -> str:
    """Return p50 and p95 of searches with ten hits, and the p50 of their CPU time on all cores."""
    import numpy as np

    took, worked = [], []
    for row in read_answerable()[:searches]:
        started, cpu = time.perf_counter(), time.process_time()
        searcher.search(f"{row['query']} ({kind})", snippets=kind)
        took.append(1000 * (time.perf_counter() - started))
        worked.append(1000 * (time.process_time() - cpu))
    return f"{np.percentile(took, 50):.1f} / {np.percentile(took, 95):.1f} / {np.percentile(worked, 50):.1f}"


def background_milliseconds(background: Any) -> str:
    """Return the p50 of the first and of later judgments under an instruction, and the CPU time of the first."""
    import numpy as np

    from instructor_search.instruction_library import LIBRARY

    took: list[list[float]] = [[], []]
    worked = []
    for turn in took:
        for pair in LIBRARY[-20:]:
            started, cpu = time.perf_counter(), time.process_time()
            background.threshold(pair.query)
            turn.append(1000 * (time.perf_counter() - started))
            worked.append(1000 * (time.process_time() - cpu))
    return f"{np.median(took[0]):.0f} / {np.median(took[1]):.3f} / {np.median(worked[:20]):.0f}"


def main(argv: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=50)
    args = parser.parse_args(argv)
    from ingest.cli import main as ingest
    from instructor_search.search.background import Background
    from instructor_search.search.searcher import Searcher
    from instructor_search.store.collection import Collection

    with tempfile.TemporaryDirectory() as store:
        assert ingest([str(ROOT / "corpus"), "--instruction", "--store", store, "--quiet", "--json"]) == 0
        searcher = Searcher(Collection.open("corpus", store))
        background = Background(searcher)
        searcher.search("warm up")
        print("| measured | even / odd lines |\n|---|---|")
        answerable = [(row["instruction"], row["query"]) for row in read_answerable()]
        print("| answerable, called weak |", halves(flags(searcher, background, answerable)), "|")
        for name in ("nonsense", "off_topic"):
            lines = read_lines(name)
            said = [flags(searcher, background, [(under, line) for line in lines]) for under in ASKED_UNDER]
            least = min(sum(flagged) for flagged in said) / len(lines)
            print(
                f"| {name}, called weak | {halves(said[0])}; under {len(said)} instructions "
                f"{100 * sum(map(sum, said)) / len(said) / len(lines):.0f} %, at least {100 * least:.0f} |"
            )
        for kind in ("words", "meaning"):
            print(f"| right sentence by {kind} |", halves(marks(searcher, kind)), "|")
        print(
            "| judging, first under an instruction / later / CPU of the first, p50 ms |",
            background_milliseconds(background),
            "|",
        )
        for kind in ("none", "words", "meaning", "auto"):
            searcher._sentences = None  # no sentence is known
            for turn in ("new queries", "the same again"):
                print(
                    f"| search, sentences by {kind}, {turn}: p50 / p95 / CPU p50 ms | "
                    f"{milliseconds(searcher, kind, args.searches)} |"
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
