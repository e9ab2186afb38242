"""The command line of ingest: parse, run, report. Nothing heavy is imported before the arguments are understood."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.readers import EMBED
from instructor_search.commands.flags import DEVICE_HELP, PICKLE_HELP, STORE_HELP
from instructor_search.commands.parser import PRECISIONS, RUNTIMES, Parser, failing_with_one_line, positive
from instructor_search.instruction_rule import resolve

if TYPE_CHECKING:
    from ingest import IngestConfig, Progress

EXIT_SOME_FAILED = 3
_BARE = object()
_EXAMPLES = """examples:
  python -m ingest corpus/ --instruction
  python -m ingest corpus/ --instruction "Represent the review for classifying its sentiment: " --view sentiment
  python -m ingest papers.jsonl --text-field abstract --collection papers --instruction @papers
  python -m ingest corpus/ --prune
  python -m ingest train.jsonl --examples --input-field question --output-field answer --collection questions

exit code: 0 all read, 1 the run failed, 2 wrong arguments, 3 some files could not be read, 130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m ingest``."""
    parser = Parser(
        prog="python -m ingest",
        description="Read files, embed them under a document instruction, and keep a collection up to date with them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="*", type=_path, metavar="PATH", help="folders or files, or hub:OWNER/NAME")
    add(
        "--instruction",
        nargs="?",
        const=_BARE,
        metavar="TEXT",
        help="document instruction; bare: the default one; @NAME: one of the library; left out: bring every view up to "
        "date (a new collection is then embedded without an instruction)",
    )
    add("--collection", metavar="NAME", help="collection to write to (default: the folder's name)")
    add("--view", metavar="NAME", help="name of the view that this instruction makes")
    add("--store", metavar="DIR", help=STORE_HELP)
    _model_flags(parser)
    add("--include", action="append", default=[], metavar="GLOB", help="read only files that match; may be repeated")
    add("--exclude", action="append", default=[], metavar="GLOB", help="leave files out that match; may be repeated")
    add(
        "--text-field",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column that holds the text of a row; may be repeated (default: found by name)",
    )
    _example_flags(parser)
    add(
        "--chunk-tokens", type=positive, metavar="N", help="tokens of a chunk at most (default: what the window leaves)"
    )
    add("--chunk-overlap", type=int, metavar="N", help="tokens repeated from the chunk before (default: an eighth)")
    add("--prune", action="store_true", help="delete the chunks of files that are gone")
    add("--strict", action="store_true", help="stop at the first file that cannot be read")
    add("--dry-run", action="store_true", help="say what would be read and removed, and into which view; write nothing")
    add("--processes", type=_count, default=0, metavar="N", help="read and cut the files in N more processes")
    add("--json", action="store_true", help="print the report as JSON")
    add("--quiet", action="store_true", help="no progress bar")
    add("--progress-json", action="store_true", help="progress as JSON lines on stderr, for programs")
    return parser


def _model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which model embeds, and how it runs."""
    add = parser.add_argument
    add("--model", metavar="MODEL", help="model folder or hub id (default: the collection's, or instructor-minilm)")
    add(
        "--dialect",
        choices=("pypi", "head"),
        help="which official behaviour joins instruction and text (default: pypi)",
    )
    add("--device", metavar="NAME", help=DEVICE_HELP)
    add(
        "--runtime",
        choices=RUNTIMES,
        help="what computes (default: torch on a GPU, with --device or --precision fp16, else openvino)",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="of a new collection's vectors (default: int8 of the default model, "
        "bf16 of others on openvino, fp32 on torch)",
    )
    add("--allow-pickle", action="store_true", help=PICKLE_HELP)


def _count(text: str) -> int:
    """Return a number of processes."""
    if not text.isdecimal() or int(text) > 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; expected 0 to 256")
    return int(text)


def _path(text: str) -> Path:
    """Return a path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; expected a folder or a file ('.' is the current folder)")
    return Path(text)


def _example_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that make a collection a pool of examples for prompts."""
    add = parser.add_argument
    add(
        "--examples",
        action="store_true",
        help="each row is an example for prompts (python -m instructor_search "
        "prompt): never cut, its output kept beside it",
    )
    add("--input-field", metavar="COLUMN", help="with --examples: column of the inputs")
    add("--output-field", metavar="COLUMN", help="with --examples: column of the outputs")
    add("--task-field", metavar="COLUMN", help="with --examples: column that names the task")
    add("--embed", choices=EMBED, help="with --examples: what is embedded (default: input)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    _check_paths(parser, args)
    if args.collection == "":
        parser.error("--collection is empty; expected a name, or leave it out for the folder's")
    _check_instruction(parser, args)
    with failing_with_one_line() as outcome:
        from ingest import prepare, run_plan
        from instructor_search.engines import LocalEngine

        if args.instruction is not None:
            sentence = resolve(args.instruction, "document")
            print(f"document instruction: {sentence!r}", file=sys.stderr if args.json else sys.stdout)
        plan = prepare(_config(args))
        if args.dry_run:
            print(json.dumps(plan.as_json(), ensure_ascii=False) if args.json else plan.as_text())
            return 0
        report = run_plan(plan, progress=_progress(args), engine=LocalEngine(args.processes))
        print(json.dumps(report.as_json(), ensure_ascii=False) if args.json else report.as_text())
        if report.interrupted:
            return 130
        sys.stdout.flush()
        return EXIT_SOME_FAILED if report.failed else 0
    return outcome.code


def _check_paths(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Catch ``--instruction corpus/``: the flag takes an optional value and would swallow the path."""
    given = None if "from_settings" in args else args.instruction  # which swallow nothing
    if isinstance(given, str) and os.path.exists(given):
        parser.error(
            f"--instruction was given the path {given!r}; put the paths first: python -m ingest {given} --instruction"
        )
    if isinstance(given, str) and args.paths and given.rstrip().endswith(("/", os.sep)):
        parser.error(f"--instruction {given!r} looks like a path, and there is nothing there; expected a sentence")
    if not args.paths:
        hint = f" ({given!r} was taken as the instruction)" if isinstance(given, str) else ""
        parser.error(f"no file or folder was given{hint}; expected: python -m ingest FOLDER --instruction")


def _check_instruction(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Put the default for a bare ``--instruction``, and refuse a name that the library does not have."""
    if args.instruction is _BARE:
        args.instruction = resolve(None, "document")
    try:
        resolve(args.instruction, "document")
    except ValueError as error:
        parser.error(str(error))


def _local_paths(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the paths; data sets of the hub are fetched."""
    if not any(path.as_posix().startswith("hub:") for path in paths):
        return tuple(paths)
    from ingest.hub import local_path

    return tuple(local_path(path) for path in paths)


def _config(args: argparse.Namespace) -> IngestConfig:
    from ingest import IngestConfig

    return IngestConfig(
        paths=_local_paths(args.paths),
        collection=args.collection,
        store=args.store,
        instruction=args.instruction,
        view=args.view,
        model=args.model,
        dialect=args.dialect,
        device=args.device,
        runtime=args.runtime,
        precision=args.precision,
        allow_pickle=args.allow_pickle,
        include=tuple(args.include),
        exclude=tuple(args.exclude),
        text_fields=tuple(args.text_field),
        examples=args.examples,
        input_field=args.input_field,
        output_field=args.output_field,
        task_field=args.task_field,
        embed=args.embed,
        chunk_tokens=args.chunk_tokens,
        chunk_overlap=args.chunk_overlap,
        prune=args.prune,
        strict=args.strict,
    )


def _progress(args: argparse.Namespace) -> Progress:
    from ingest.progress import Bar, JsonLines

    return JsonLines() if args.progress_json else Bar(quiet=args.quiet)
