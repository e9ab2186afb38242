"""Write docs/commands.md anew from the parsers of all commands: python -m docs.generate_commands.

What stands between ``<!-- begin COMMAND -->`` and ``<!-- end -->`` is made from the parser of that command; all else on
the page is prose, and stays. A new command needs two such lines; a test says which are missing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

PAGE = Path(__file__).with_name("commands.md")
OVERVIEW = "all commands"
_BLOCK = re.compile(r"<!-- begin (.+?) -->\n.*?<!-- end -->", re.DOTALL)
_TWICE = re.compile(r"( \(default: [^)]*\))\1")  # Python 3.11 adds a switch's default to its help
# Where each program's parser is made; "" makes one of a program of its own, another name one of its subcommands.
_SOURCES = {
    "ingest": {"": "ingest.cli:build_parser"},
    "instructor_search": {"": "instructor_search.commands.main:build_parser"},
    "ui.app": {"": "ui.app:build_parser"},
    "train": {"": "train.cli:build_parser"},
    "train.medi": {"": "train.medi.cli:build_parser"},
    "train.hard_negatives": {"": "train.hard_negatives:build_parser"},
    "train.experiments.average": {"": "train.experiments.average:build_parser"},
    "train.experiments.mean_shift": {"": "train.experiments.mean_shift:build_parser"},
    "train.experiments.shipped_model": {"": "train.experiments.shipped_model:build_parser"},
    "eval": {
        "": "eval.flags:build_parser",
        "compare": "eval.flags:compare_parser",
        "report": "eval.flags:report_parser",
        "runs": "eval.flags:runs_parser",
    },
}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command: "ingest", "instructor_search search", ...; a description in each."""
    found: dict[str, argparse.ArgumentParser] = {}
    for program, sources in _SOURCES.items():
        for name, source in sources.items():
            module, function = source.split(":")
            parser = getattr(import_module(module), function)()
            found |= dict(_subparsers(program, parser)) or {f"{program} {name}".strip(): parser}
    return found


def _subparsers(program: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield (command, parser) of a parser's subcommands; those that start another program are no commands here."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            purposes = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, own in action.choices.items():
                if own.add_help:
                    own.description = own.description or purposes[name]
                    yield f"{program} {name}", own


def generate(page: str, commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the page with what its blocks hold made anew.

    Raises:
        ValueError: a command has no block, or a block no command.
    """
    named = _BLOCK.findall(page)
    expected = [OVERVIEW, *commands]
    if sorted(named) != sorted(expected):
        raise ValueError(f"blocks without a command, or commands without a block: {set(named) ^ set(expected)}")
    blocks = {OVERVIEW: _overview(commands)} | {name: block(parser) for name, parser in commands.items()}
    return _BLOCK.sub(lambda match: f"<!-- begin {match[1]} -->\n{blocks[match[1]]}\n<!-- end -->", page)


def _overview(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    rows = [
        f"| [`{own.prog}`](#{_anchor(own.prog)}) | {_cell(_headline(own.description or ''))} |"
        for own in commands.values()
    ]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def _headline(text: str) -> str:
    """Return the first sentence of a description, or what stands before its colon."""
    return _sentence(re.split(r"[.:;](?=\s|$)", text, maxsplit=1)[0]).removesuffix(".")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _anchor(heading: str) -> str:
    """Return the anchor that a heading gets on the page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def block(parser: argparse.ArgumentParser) -> str:
    """Return heading, description, examples and flags of one command."""
    actions = [action for action in parser._actions if action.dest != "help"]
    positionals = [_argument(action) for action in actions if not action.option_strings]
    description = (parser.description or "").strip()
    parts = [f"## {parser.prog}", _sentence(description), "    " + " ".join([parser.prog, *positionals, "[flags]"])]
    if parser.epilog:
        parts.append(f"```text\n{parser.epilog.strip()}\n```")
    if actions:
        rows = [f"| {_names(action)} | {_cell(_help(parser, action))} |" for action in actions]
        parts.append("\n".join(["| argument | what it does |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _names(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction) else _argument(action)
    names = action.option_strings or [""]
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in names)


def _argument(action: argparse.Action) -> str:
    """Return what stands for a value: ``N``, ``{a,b}``, ``[TEXT]``, ``PATH ...``."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    name = action.metavar or choices or (action.dest if action.option_strings else action.dest.upper())
    if isinstance(name, tuple):
        return " ".join(name)
    forms = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}
    return forms.get(str(action.nargs), str(name))


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = _TWICE.sub(r"\1", parser._get_formatter()._expand_help(action)) if action.help else ""
    if action.required and action.option_strings:
        text += " (needed)"
    for group in parser._mutually_exclusive_groups:
        if action in group._group_actions:
            flags = ", ".join(f"`{other.option_strings[0]}`" for other in group._group_actions)
            text += f" ({'one' if group.required else 'at most one'} of {flags})"
    return text


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def main() -> int:
    """Write the page and return the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    made = generate(page, parsers())
    PAGE.write_text(made, encoding="utf-8")
    sys.stderr.write(f"{PAGE.name}: {'as it was' if made == page else 'written anew'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
