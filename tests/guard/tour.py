"""Every command of the project on small data, as words after ``python -m``; names in braces are fixtures of ``conftest``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from tests.conftest import ROOT

ROOMS = ("instructor_search", "ingest", "train", "eval", "ui")
# Started by other commands only; the tour must have met them all the same (test_tour).
CHILDREN = {"ui.child", "ingest.readers.sandbox"}
ASTRONOMY = "Represent the astronomy question for retrieving supporting documents: "
PRODUCT = "Represent the review for retrieving reviews of the same product: "
_FAST = "--max_steps 2 --per_device_train_batch_size 4 --eval_examples 5 --max_source_length 32".split()
_EVAL = ["--data", "bundled", "--output", "{output}", "--resamples", "100"]
_HERE = ["--store", "{store}", "--collection", "here"]

QUICK: dict[str, list[str]] = {
    "search by words and vectors": ["instructor_search", "search", "mercury", *_HERE, "--instruction", ASTRONOMY, "--mode", "hybrid"],
    "like": ["instructor_search", "like", "{chunk}", *_HERE],
    "compare": ["instructor_search", "compare", "boots", *_HERE, "--instruction", ASTRONOMY, "--instruction", PRODUCT],
}  # fmt: skip

LIBRARY: dict[str, list[str]] = {
    "ingest all kinds of files": ["ingest", "{corpus}", "--instruction", "--store", "{output}/store"],
    "ingest again": ["ingest", "{reviews}", "--store", "{store}", "--collection", "here"],
    "ingest another view": ["ingest", "{reviews}", "--store", "{store}", "--collection", "{spare}", "--instruction", "@reviews-by-product"],
    "ingest with a local model": ["ingest", "{reviews}", "--instruction", "--store", "{output}/store", "--model", "{tiny_model}"],
    "ingest with torch": ["ingest", "{reviews}", "--instruction", "--store", "{output}/store", "--model", "{tiny_model}", "--precision", "fp32", "--runtime", "torch"],
    "ingest with the base model": ["ingest", "{reviews}", "--instruction", "--store", "{output}/store", "--model", "all-MiniLM-L6-v2"],
    "search by vectors": ["instructor_search", "search", "mercury", *_HERE, "--snippets", "meaning", "--explain"],
    "search by words": ["instructor_search", "search", "mercury", *_HERE, "--mode", "text"],
    "search reranked": ["instructor_search", "search", "mercury", *_HERE, "--rerank", "instruction:" + PRODUCT],
    "search with a local cross-encoder": ["instructor_search", "search", "mercury", *_HERE, "--rerank", "{reranker}"],
    "explain": ["instructor_search", "explain", "{chunk}", *_HERE, "--query", "mercury", "--tokens"],
    "judge": ["instructor_search", "judge", "{chunk}", *_HERE, "--query", "mercury", "--relevant"],
    "judgments": ["instructor_search", "judgments", *_HERE, "--medi", "{output}/rows.jsonl", "--qrels", "{output}/qrels"],
    "project": ["instructor_search", "project", *_HERE, "--instruction", ASTRONOMY],
    "prompt": ["instructor_search", "prompt", "june is", "--store", "{store}", "--pool", "{pool}", "--tokenizer", "{tiny_model}"],
    "prompt for a local model": ["instructor_search", "prompt", "june is", "--store", "{store}", "--pool", "{pool}", "--answer", "--llm", "{llm}", "--budget", "40", "--answer-tokens", "4"],
    "prompt with a tiktoken file": ["instructor_search", "prompt", "june is", "--store", "{store}", "--pool", "{pool}", "--tokenizer", "{tiktoken}"],
    "prompt for an endpoint": ["instructor_search", "prompt", "june is", "--store", "{store}", "--pool", "{pool}", "--answer", "--llm", "m", "--endpoint", "{url}"],
    "annotate": ["instructor_search", "annotate", "--pool", "here", "--store", "{store}", "--count", "2"],
    "index": ["instructor_search", "index", *_HERE, "--kind", "flat"],
    "maintain": ["instructor_search", "maintain", *_HERE],
    "collections": ["instructor_search", "collections", "--store", "{store}"],
    "views": ["instructor_search", "views", *_HERE],
    "instructions": ["instructor_search", "instructions", "--parse", ASTRONOMY],
    "export": ["instructor_search", "export", "--model", "{tiny_model}", "--output", "{output}/graph"],
    "verify": ["instructor_search", "verify", *_HERE],
    "completion": ["instructor_search", "completion", "bash"],
    "a room by the library's command": ["instructor_search", "ingest", "{reviews}", "--store", "{store}", "--collection", "here"],
    "delete": ["instructor_search", "delete", "--store", "{store}", "--collection", "{spare}", "--where", "ordinal >= 0", "--yes"],
}  # fmt: skip

EVALUATION: dict[str, list[str]] = {
    "all categories": ["eval", "--suite", "all", *_EVAL, "--reranker", "{reranker}", "--llm", "{llm}", "--prompt-tokens", "40",
                       "--models", "default,{tiny_model},st:{tiny_model},bm25,random,collection:hybrid+rerank={tiny_model}"],
    "list": ["eval", "--list"],
    "runs": ["eval", "runs", "--output", "{runs}"],
    "compare runs": ["eval", "compare", "instructor-tiny@paraphrase-1", "instructor-tiny@paraphrase-2", "--output", "{runs}", "--resamples", "100"],
    "report": ["eval", "report", "--output", "{runs}"],
}  # fmt: skip

TRAINING: dict[str, list[str]] = {
    "train": ["train", "--output_dir", "{output}/run", *_FAST],
    "train a local model": ["train", "--model_name_or_path", "{tiny_model}", "--mixture", "{mixture}", "--output_dir", "{output}/run", "--report_to", "tensorboard",
                            "--teacher", "{tiny_model}",
                            "--eval_tasks", "EverydaySentences", "--eval_data", "bundled", *_FAST],
    "medi build": ["train.medi", "build", "--examples", "medi:{rows}", "--encoder", "{tiny_model}", "--wordings", "--similarity", "--output", "{output}/mixture"],
    "medi build from a local table": ["train.medi", "build", "--examples", "hub:{table}?query=q&positive=p", "--output", "{output}/mixture"],
    "medi show": ["train.medi", "show", "{mixture}"],
    "hard negatives": ["train.hard_negatives", "{mixture}", "--model", "{tiny_model}", "--ranks", "1", "5", "--output", "{output}/mined"],
    "average": ["train.experiments.average", "{tiny_model}", "{tiny_model}=0.5", "--output", "{output}/mean"],
    "mean shift": ["train.experiments.mean_shift", "default", "--mixture", "{mixture}", "--everywhere", "0.5", "--output", "{output}/moved"],
    "the shipped model's stages": ["train.experiments.shipped_model", "default", "--mixture", "{mixture}", "--output", "{output}/stages", "--dry-run"],
}  # fmt: skip

TOUR = {**QUICK, **LIBRARY, **EVALUATION, **TRAINING}


def programs() -> set[str]:
    """Return the modules that can be started, of all rooms."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if name.endswith(".__main__") or re.search(r'^if __name__ == "__main__"', path.read_text(), re.MULTILINE):
                found.add(name.removesuffix(".__main__"))
    return found


def subcommands() -> Iterator[tuple[str, str]]:
    """Yield (program, subcommand) of the parsers that have some."""
    from instructor_search.commands import rooms
    from instructor_search.commands.main import build_parser
    from train.medi.cli import build_parser as medi_parser

    for program, parser in (("instructor_search", build_parser()), ("train.medi", medi_parser())):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from ((program, name) for name in action.choices if name not in rooms.ROOMS)
    yield from (("eval", name) for name in ("compare", "report", "runs"))
