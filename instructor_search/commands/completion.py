"""The command completion: a script with which a shell completes commands, flags, files and folders (by shtab)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any

from instructor_search.commands import rooms

SHELLS = ("bash", "zsh", "tcsh")
_FILES, _FOLDERS = ("FILE", "PATH"), ("DIR", "FOLDER")  # metavars
_EXAMPLES = """examples:
  instructor-search completion bash > ~/.local/share/bash-completion/completions/instructor-search
  instructor-search completion zsh > "${fpath[1]}/_instructor-search"
  instructor-search completion tcsh | source /dev/stdin"""


def add_commands(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the command to the parser's; ``parser``: the one whose commands are completed."""
    completion = commands.add_parser(
        "completion",
        help="print a script with which a shell completes the command instructor-search",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell that reads it")
    completion.set_defaults(run=partial(_completion, parser))


def _completion(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    import shtab

    for action in _subcommands(parser):
        action.choices.update(rooms.parsers())
    _complete_paths(parser)
    parser.prog = "instructor-search"
    print(shtab.complete(parser, args.shell))
    return 0


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[Any]:
    return (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Say of every flag and argument that takes a file or a folder that it does, also of the subcommands."""
    import shtab

    for action in parser._actions:
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    for subcommands in _subcommands(parser):
        for choice in subcommands.choices.values():
            _complete_paths(choice)
