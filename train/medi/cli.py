"""The command line of mixtures: build one, show one."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.parser import Parser, failing_with_one_line, positive
from instructor_search.instruction_rule import resolve
from train.examples import MANIFEST, MixtureError, TaskFacts

if TYPE_CHECKING:
    from train.medi.contamination import EvaluationTexts
    from train.medi.sources import RawTask

_EXAMPLES = """examples:
  python -m train.medi build --data DATA --against EVALUATION --output mixtures/medi
  python -m train.medi build --super-ni natural-instructions --task-list tasks.txt --output mixtures/super-ni
  python -m train.medi build --examples beir:scifact --examples medi:medi-data.json --output mixtures/mine
  python -m train.medi show mixtures/medi

forms of --examples: medi, sentence-transformers, flagembedding, tevatron, kilt, medmcqa, beir, and
hub:NAME?query=COLUMN&positive=COLUMN[&negative=COLUMN][&split=SPLIT] for a hub id or a local folder"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m train.medi``."""
    parser = Parser(prog="python -m train.medi", description="Build mixtures of training data as MEDI was built.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build",
        help="build a mixture",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        renamed={"--likeness": "--similarity"},
    )
    for add_group in (_add_sources, _add_choice, _add_made_tasks, _add_checks):
        add_group(build.add_argument)
    build.set_defaults(run=_build)
    show = commands.add_parser("show", help="list the tasks of a mixture")
    show.add_argument("mixture", type=Path, metavar="DIR", help="folder of the mixture")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)
    return parser


def _add_sources(add: Callable[..., Any]) -> None:
    """Add the folder to write, and what it is built from."""
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write, whole or not at all")
    add("--overwrite", action="store_true", help="replace a mixture that is there")
    add(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder whose manifest.json lists files of pairs, of classes and of Super-NI-like rows; may be repeated",
    )
    add("--super-ni", type=Path, metavar="DIR", help="Super-NaturalInstructions in its own layout")
    add("--task-list", type=Path, metavar="FILE", help="its tasks to take, one a line (default: all)")
    add("--examples", action="append", default=[], metavar="FORMAT:PATH", help="data in another form; may be repeated")
    add("--query-instruction", metavar="TEXT", help="of queries, where --examples has none; @NAME: of the library")
    add("--document-instruction", metavar="TEXT", help="of documents, where --examples has none; @NAME: of the library")


def _add_choice(add: Callable[..., Any]) -> None:
    """Add which data sets of it are taken."""
    add(
        "--licences",
        default="open,C-UDA",
        metavar="NAMES",
        help="classes of --data to use; unstated: those of none (default: open,C-UDA)",
    )
    add("--only", default="", metavar="NAMES", help="data sets of --data to take")
    add("--exclude", default="", metavar="NAMES", help="data sets of --data to leave out")
    add("--symmetry", choices=("all", "symmetric", "asymmetric"), default="all", help="kind of tasks (default: all)")
    add("--without-super-ni", action="store_true", help="leave out the Super-NI-like files of --data")


def _add_made_tasks(add: Callable[..., Any]) -> None:
    """Add tasks that are made of the others, and how many rows each may have."""
    add("--contrast", action="store_true", help="add tasks of single words whose instruction decides what they mean")
    add(
        "--passages",
        action="store_true",
        help="add tasks of long documents: a sentence and its passage, a question and a page of several",
    )
    add(
        "--similarity",
        action="store_true",
        help="add tasks of texts whose instruction is to change nothing: how alike they are",
    )
    add("--wordings", action="store_true", help="add tasks of texts under two wordings of one instruction")
    add("--max-rows", type=positive, default=8000, metavar="N", help="rows of a task at most (default: 8000)")


def _add_checks(add: Callable[..., Any]) -> None:
    """Add what the rows are compared with, and how they are drawn and told."""
    add(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="evaluation data: rows that hold one of its texts are removed, or end the build; may be repeated",
    )
    add("--contamination", choices=("remove", "refuse"), default="remove", help="what rows of it do (default: remove)")
    add("--encoder", metavar="MODEL", help="finds positives and hard negatives (default: instructor-minilm)")
    add("--seed", type=int, default=0, metavar="N", help="of the rows that are drawn (default: 0)")
    add("--json", action="store_true", help="print JSON")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        args.run(args)
    return outcome.code


def _build(args: argparse.Namespace) -> None:
    from instructor_search.encoder import load_encoder
    from train.medi.build import BuildPlan, build
    from train.medi.contamination import EvaluationTexts

    if not (args.data or args.super_ni or args.examples):
        raise MixtureError("nothing to build from; give --data, --super-ni or --examples")
    signal.signal(signal.SIGTERM, lambda *_: _end(args.output))
    left_out: dict[str, str] = {}
    against = EvaluationTexts(args.against) if args.against else None
    report = build(
        _with_made_tasks(_tasks(args, left_out), args, against),
        args.output,
        BuildPlan(load_encoder(args.encoder), args.max_rows, args.seed, against, args.contamination == "refuse"),
        overwrite=args.overwrite,
        settings=_settings(args),
        left_out=left_out,
    )
    if args.json:
        print(json.dumps(asdict(report)))
        return
    print(_table(report.tasks))
    for name, reason in report.skipped.items():
        print(f"left out: {name}: {reason}")
    print(f"mixture: {args.output}")


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the mixture's manifest says of how it was built."""
    return {
        "symmetry": args.symmetry,
        "licences": args.licences,
        "contamination": args.contamination,
        "against": [p.name for p in args.against],
        "only": _names(args.only),
        "exclude": _names(args.exclude),
        "without_super_ni": args.without_super_ni,
        "contrast": args.contrast,
        "passages": args.passages,
        "similarity": args.similarity,
        "wordings": args.wordings,
    }


def _with_made_tasks(
    tasks: Iterator[RawTask], args: argparse.Namespace, against: EvaluationTexts | None
) -> Iterator[RawTask]:
    """Yield the tasks, and those that are made of them as the flags ask."""
    from train.medi.contrast import with_contrast
    from train.medi.passages import with_passages
    from train.medi.similarity import with_similarity
    from train.medi.wordings import with_wordings

    if args.passages:
        tasks = with_passages(tasks, args.seed, against)
    if args.similarity:
        tasks = with_similarity(tasks, args.seed, against)
    if args.wordings:
        tasks = with_wordings(tasks, args.seed, against)
    if args.contrast:
        tasks = with_contrast(tasks, args.seed, against)
    return tasks


def _end(output: Path) -> None:
    """Take an unfinished build away and end by SIGTERM. (Compiled code could lose an exception.)"""
    from instructor_search.files import abandon_folder

    abandon_folder(output.resolve())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _tasks(args: argparse.Namespace, left_out: dict[str, str]) -> Iterator[RawTask]:
    from train.medi.adapters import read_examples
    from train.medi.sources import names_of, read_data_folder, read_super_ni

    only, exclude = _names(args.only), _names(args.exclude)
    there = {folder: names_of(folder) for folder in args.data}
    unknown = {*only, *exclude}.difference(*there.values())
    if unknown:
        raise MixtureError(
            f"{', '.join(map(str, args.data)) or '--data (not given)'} has no {', '.join(sorted(unknown))}"
        )
    for folder, names in there.items():
        if only and not names & set(only):
            continue
        yield from read_data_folder(
            folder,
            licences=_names(args.licences),
            only=names & set(only),
            exclude=names & set(exclude),
            symmetry=args.symmetry,
            super_ni=not args.without_super_ni,
            seed=args.seed,
            left_out=left_out,
        )
    if args.super_ni:
        yield from _of_symmetry(args.symmetry, read_super_ni(args.super_ni, args.task_list), left_out)
    taken = Counter[str]()
    sides = resolve(args.query_instruction), resolve(args.document_instruction, "document")
    for given in args.examples:
        read = read_examples(given, *sides)
        for task in _of_symmetry(args.symmetry, read, left_out):
            taken[task.name] += 1  # files of one name in several folders are several tasks
            yield task if taken[task.name] == 1 else replace(task, name=f"{task.name}-{taken[task.name]}")


def _of_symmetry(symmetry: str, tasks: Iterable[RawTask], left_out: dict[str, str]) -> Iterator[RawTask]:
    """Yield the tasks of that symmetry; ``left_out`` is told of the others."""
    for task in tasks:
        if symmetry == "all" or task.symmetric == (symmetry == "symmetric"):
            yield task
        else:
            left_out[task.name] = f"it is not {symmetry}"


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _show(args: argparse.Namespace) -> None:
    try:
        manifest = json.loads((args.mixture / MANIFEST).read_text(encoding="utf-8"))
        task_facts = [TaskFacts(**t) for t in manifest["tasks"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixtureError(f"{args.mixture} is no mixture ({error})") from error
    print(json.dumps(manifest) if args.json else _table(task_facts))


def _table(task_facts: Sequence[TaskFacts]) -> str:
    width = max((len(f.name) for f in task_facts), default=4)
    lines = [f"{'task':<{width}}  {'rows':>7}  {'kind':<14}  {'symmetric':<9}  {'licence':<24}  dropped"]
    for fact in task_facts:
        dropped = ", ".join(f"{v} {k}" for k, v in fact.settings.get("dropped", {}).items()) or "-"
        kind = "yes" if fact.symmetric else "no"
        lines.append(
            f"{fact.name:<{width}}  {fact.rows:>7,}  {fact.kind:<14}  {kind:<9}  {_short(fact.licence):<24}  {dropped}"
        )
    lines.append(f"{len(task_facts)} tasks, {sum(f.rows for f in task_facts):,} rows")
    return "\n".join(lines)


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"
