"""The whole command line: ``python -m instructor_search``, and the console command ``instructor-search``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from instructor_search import __version__
from instructor_search.commands import (
    annotate,
    collections,
    completion,
    inspect,
    instructions,
    maintain,
    prompts,
    rooms,
    search,
    views,
)
from instructor_search.commands.parser import Parser, failing_with_one_line

PROGRAM = "python -m instructor_search"
CONSOLE_PROGRAM = "instructor-search"
_GROUPS = (search, collections, views, instructions, inspect, prompts, annotate, maintain, rooms)


def build_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """Return the parser of all commands; ``program`` is what its messages call it."""
    parser = Parser(
        prog=program,
        description="Search collections of documents under an instruction. Collections are made by: python -m ingest",
    )
    parser.add_argument("--version", action="version", version=f"instructor-search {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in _GROUPS:
        group.add_commands(commands)
    completion.add_commands(commands, parser)
    return parser


def main(argv: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run the command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with failing_with_one_line() as outcome:
        if words and words[0] in rooms.ROOMS:
            return rooms.run(words[0], words[1:])
        args = build_parser(program).parse_args(words)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    return outcome.code


def console() -> int:
    """Run the console command and return its exit code."""
    return main(program=CONSOLE_PROGRAM)
