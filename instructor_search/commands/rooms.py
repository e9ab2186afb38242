"""The commands of the other rooms: ``instructor-search ingest ...`` is ``python -m ingest ...``.

The library imports no room. It starts one by its name, when it is asked for; the room reads its own arguments.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from instructor_search.errors import InstructorSearchError


class Room(NamedTuple):
    """What ``python -m`` starts, the module whose ``build_parser`` describes it, and what it does."""

    module: str
    parser_module: str
    purpose: str


ROOMS = {
    "ingest": Room("ingest", "ingest.cli", "read files, embed them and keep a collection up to date with them"),
    "train": Room("train", "train.cli", "train an encoder on one device (on several: accelerate launch -m train)"),
    "eval": Room("eval", "eval.cli", "evaluate encoders, collections and baselines"),
    "ui": Room("ui.app", "ui.app", "serve the application in the browser"),
}


def add_commands(commands: Any) -> None:
    """Name the rooms among the parser's commands; ``run`` starts them before this parser reads anything."""
    for name, room in ROOMS.items():
        commands.add_parser(name, help=f"{room.purpose}: python -m {room.module}", add_help=False)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a room with its arguments, as ``python -m`` does; most rooms leave by ``SystemExit`` with their exit code.

    Raises:
        InstructorSearchError: the room is not installed.
    """
    room = ROOMS[name]
    if not _is_installed(room):
        raise InstructorSearchError(
            f"the command {name} needs the package {room.module.split('.')[0]!r} of this project, which is not here; "
            "install the whole project, or run the command in its checkout"
        )
    sys.argv = [room.module, *arguments]
    runpy.run_module(room.module, run_name="__main__", alter_sys=True)
    return 0


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield (name, parser) of the rooms that are installed."""
    for name, room in ROOMS.items():
        if _is_installed(room):
            yield name, import_module(room.parser_module).build_parser()


def _is_installed(room: Room) -> bool:
    return find_spec(room.module.split(".")[0]) is not None
