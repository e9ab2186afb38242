"""The command instructions: the library's named instructions, and the slots of a sentence."""

from __future__ import annotations

import argparse
import json
from typing import Any

from instructor_search.commands.parser import counted
from instructor_search.instruction_library import LIBRARY
from instructor_search.instructions import Instruction


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    library = commands.add_parser("instructions", help="list the named instructions, or take a sentence apart")
    library.add_argument("words", nargs="*", metavar="WORD", help="only those that have all these words")
    library.add_argument("--parse", metavar="TEXT", help="show the slots of an instruction")
    library.add_argument("--json", action="store_true", help="print JSON")
    library.set_defaults(run=_instructions)


def _instructions(args: argparse.Namespace) -> int:
    if args.parse is not None:
        instruction = Instruction.parse(args.parse)
        slots = {
            "domain": instruction.domain,
            "text_type": instruction.text_type,
            "task_objective": instruction.task_objective,
        }
        if args.json:
            print(json.dumps({"text": instruction.text, "is_template": instruction.is_template, **slots}))
        elif not instruction.is_template:
            print("free text: it does not follow 'Represent the (domain) (text type) for (task objective): '")
        else:
            print("\n".join(f"{name}: {value or '-'}" for name, value in slots.items()))
        return 0
    wanted = [word.lower() for word in args.words]
    pairs = [p for p in LIBRARY if all(w in " ".join(p).lower() for w in wanted)]
    if args.json:
        print(json.dumps([p._asdict() for p in pairs]))
        return 0
    for pair in pairs:
        print(f"{pair.name}: {pair.use}")
        if pair.symmetric:
            print(f"    both sides: {pair.query!r}")
        else:
            print(f"    query:      {pair.query!r}\n    document:   {pair.document!r}")
    print(
        counted(len(pairs), "instruction")
        + (f" with {' '.join(wanted)!r}" if wanted else "; use one by --instruction @NAME")
    )
    return 0
