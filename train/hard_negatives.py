"""Hard negatives from an encoder's own neighbours: python -m train.hard_negatives MIXTURE --output DIR.

For each query the positives of its task are ranked; those in a band of ranks are candidates (the very nearest are often
right answers that nobody marked), save those whose score comes too near to the positive's (a margin, as in
NV-Retriever, arXiv 2407.15831), that hold its text, that are another positive of the query, or that have its label.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from instructor_search.commands.parser import Parser, failing_with_one_line
from instructor_search.encoder.protocol import to_unit_length
from instructor_search.files import atomic_folder, remove_parts
from instructor_search.store.indexes.faiss import FaissIndex, Kind
from instructor_search.store.indexes.tuning import tune
from train.examples import (
    MixtureError,
    TrainingExample,
    are_of_one_text,
    file_name,
    read_mixture,
    write_manifest,
    write_task,
)

if TYPE_CHECKING:
    from instructor_search.encoder.protocol import Encoder
    from instructor_search.instructions import InstructedText

_BLOCK = 1024  # queries that are compared at a time
_EXACT = 50_000  # positives of a task up to which every one is compared


def mine(
    examples: Sequence[TrainingExample],
    encoder: Encoder,
    *,
    first: int = 5,
    last: int = 50,
    margin: float = 0.95,
    num_negatives: int = 1,
) -> list[TrainingExample]:
    """Return the examples with the nearest negatives of ranks ``first`` to ``last`` (from 1) before those they have.

    ``margin``: a candidate's cosine is at most this share of the positive's. An example without candidates stays as it
    is.
    """
    queries, positives = (
        to_unit_length(encoder.encode(side)) for side in ([e.query for e in examples], [e.positive for e in examples])
    )
    texts, where = np.unique([e.positive.text for e in examples], return_inverse=True)  # each text is ranked once
    columns = np.unique(where, return_index=True)[1]  # where each text stands first
    known: dict[InstructedText, set[str]] = defaultdict(set)  # right answers
    for example in examples:
        known[example.query].add(example.positive.text)
    index, mined_examples = _index(positives[columns]), []
    for start in range(0, len(examples), _BLOCK):
        scores, places = index.search(queries[start : start + _BLOCK], last)  # (block, last) each
        for number, (near, place) in enumerate(zip(scores, places, strict=True), start):
            example, positive_score = examples[number], float(queries[number] @ positives[number])
            order = [(examples[columns[p]], s) for s, p in zip(near, place, strict=True) if p >= 0][first - 1 :]
            right = known[example.query]
            chosen = [
                other for other, score in order if score <= margin * positive_score and _may_be(example, other, right)
            ]
            mined = tuple(e.positive for e in chosen[:num_negatives])
            kept = tuple(n for n in example.negatives if n not in mined)
            mined_examples.append(example._replace(negatives=mined + kept))
    return mined_examples


def _index(vectors: np.ndarray) -> FaissIndex:
    """Return an index of unit vectors, (n, dim): exact, or of clusters where there are many and FAISS is installed."""
    if len(vectors) <= _EXACT or find_spec("faiss") is None:
        return FaissIndex(Kind.FLAT, vectors)
    index = FaissIndex.build(Kind.IVF_PQ, vectors)
    sample = np.random.default_rng(0).choice(len(vectors), 200, replace=False)
    index.setting, _ = tune(index, vectors[sample], 0.95, own=sample)
    return index


def _may_be(example: TrainingExample, other: TrainingExample, right: set[str]) -> bool:
    same_label = example.label is not None and example.label == other.label
    return other.positive.text not in right and other.positive.text != example.query.text and not same_label


def build_parser() -> Parser:
    """Return the parser of ``python -m train.hard_negatives``."""
    parser = Parser(prog="python -m train.hard_negatives", description="Add hard negatives to a mixture.")
    parser.add_argument("mixture", type=Path, metavar="MIXTURE", help="folder of python -m train.medi")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--model", metavar="MODEL", help="encoder that ranks (default: instructor-minilm)")
    parser.add_argument(
        "--ranks",
        nargs=2,
        type=int,
        default=(5, 50),
        metavar=("FIRST", "LAST"),
        help="ranks that negatives come from (default: 5 50)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="share of the positive's score that a negative has at most (default: 0.95)",
    )
    parser.add_argument("--num-negatives", type=int, default=1, metavar="N", help="of each example (default: 1)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        if not 1 <= args.ranks[0] <= args.ranks[1]:
            raise ValueError(f"--ranks {args.ranks[0]} {args.ranks[1]}; expected FIRST from 1, and LAST not before it")
        if not (math.isfinite(args.margin) and args.margin > 0):
            raise ValueError(f"--margin {args.margin}; expected a finite number above 0")
        if args.num_negatives < 1:
            raise ValueError(f"--num-negatives {args.num_negatives}; expected at least 1")
        if args.output.exists():
            raise MixtureError(f"{args.output} exists; choose another folder")
        _write(args.mixture, args.output, args.model, args.ranks, args.margin, args.num_negatives)
    return outcome.code


def _write(source: Path, output: Path, model: str | None, ranks: Sequence[int], margin: float, count: int) -> None:
    from tqdm import tqdm

    from instructor_search.encoder import load_encoder

    mixture, encoder = read_mixture(source), load_encoder(model)
    task_facts, mined, names = [], 0, _file_names(mixture.tasks)
    remove_parts(output)
    with atomic_folder(output) as part:
        for name, rows in tqdm(mixture.tasks.items(), desc="mine", unit=" tasks", file=sys.stderr):
            new = (
                rows
                if are_of_one_text(rows)
                else mine(rows, encoder, first=ranks[0], last=ranks[1], margin=margin, num_negatives=count)
            )
            mined += sum(a.negatives != b.negatives for a, b in zip(new, rows, strict=True))
            old = mixture.facts.get(name)
            known = (
                {k: v for k, v in vars(old).items() if k not in ("name", "file", "rows", "sha256")}
                if old
                else {
                    "licence": "unstated",
                    "source": str(source.name),
                    "symmetric": False,
                    "query_instruction": "",
                    "document_instruction": "",
                }
            )
            task_facts.append(write_task(part, new, name=names[name], **known))
        settings = {"ranks": list(ranks), "margin": margin, "num_negatives": count, "encoder": encoder.fingerprint}
        write_manifest(part, task_facts, hard_negatives=settings)
    print(f"{output}: {mined:,} of {mixture.num_examples:,} examples have new negatives")  # noqa: T201


def _file_names(tasks: Iterable[str]) -> dict[str, str]:
    """Return each task's name as a file can have it."""
    names: dict[str, str] = {}
    for task in tasks:
        names[task] = file_name(task, names.values())
    return names


if __name__ == "__main__":
    sys.exit(main())
