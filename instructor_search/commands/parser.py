"""What the commands share: one line for expected errors, argument types, counts."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from instructor_search.errors import InstructorSearchError
from instructor_search.renamed import current_flags, current_keys

RUNTIMES = ("torch", "openvino")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
GPU_SPREADS = ("none", "replicate", "shard")
SETTINGS = ["--settings", "-"]  # in place of all flags: they come as a JSON object on standard input


@dataclass
class Outcome:
    """Exit code of a block that was left by an expected error."""

    code: int = 0


@contextmanager
def failing_with_one_line() -> Iterator[Outcome]:
    """Turn an expected error into one line on stderr; the outcome's code is then 1 (130 for Ctrl-C)."""
    outcome = Outcome()
    try:
        yield outcome
    except (InstructorSearchError, ValueError, FileExistsError) as error:
        if isinstance(error, ValueError) and not is_ours(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        outcome.code = 1
    except BrokenPipeError:  # the reader of our output has gone (| head): that is no error
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that the flush at exit does not fail
    except OSError as error:
        if error.errno is None:
            raise
        print(f"error: {error}", file=sys.stderr)  # disk full, permission denied, ...
        outcome.code = 1
    except (KeyboardInterrupt, ImportError) as error:
        if isinstance(error, ImportError) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise  # a compiled module that is interrupted while it starts says "initialization failed"
        print("interrupted", file=sys.stderr)
        outcome.code = 130


def is_ours(error: ValueError) -> bool:
    """Whether a ValueError was raised by this project's code (a wrong value) and not inside a library (a bug)."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    names = trace.tb_frame.f_globals if trace is not None else {}
    module = names.get("__name__", "")
    if module == "__main__":  # of python -m MODULE
        module = getattr(names.get("__spec__"), "name", "")
    return module.split(".")[0] in ("instructor_search", "ingest", "train", "eval", "ui")


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user says otherwise; to be called before torch is loaded.

    Those that spin take the cores from whatever computes beside them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all other errors are; flags are written out."""

    def __init__(self, *, renamed: Mapping[str, str] | None = None, **options: Any) -> None:
        """As of ``argparse.ArgumentParser``: a flag that is cut short (a slip) is not taken for another.

        ``renamed``: flags of earlier versions -> today's; they work, with a warning.
        """
        super().__init__(**{"allow_abbrev": False, **options})
        self.renamed = dict(renamed or {})

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As of ``argparse``; the arguments ``--settings -`` alone read a JSON object from standard input instead."""
        given = current_flags(sys.argv[1:] if args is None else args, self.renamed, self.prog)
        if given == SETTINGS:
            return self.parse_settings(_read_settings(self)), []
        return super().parse_known_args(given, namespace)

    def parse_settings(self, settings: Mapping[str, Any]) -> argparse.Namespace:
        """Return the namespace of flags given by name: ``{"instruction": "--json", "json": true}``.

        No value is ever read as an option: what a person typed may begin with a dash. Ends with code 2, as a wrong
        argument does, where a name or a value is not allowed. ``from_settings`` of the result is True.
        """
        flags = {a.dest: a for a in self._actions if a.default is not argparse.SUPPRESS}
        values = {name: self._default(action) for name, action in flags.items()} | self._defaults
        old = {_setting_name(flag): _setting_name(now) for flag, now in self.renamed.items()}
        settings = current_keys(settings, old, self.prog)
        for name, value in settings.items():
            if name not in flags:
                self.error(f"unknown setting {name!r}; expected one of {', '.join(sorted(flags))}")
            values[name] = self._setting(flags[name], value)
        return argparse.Namespace(**values, from_settings=True)

    def _default(self, action: argparse.Action) -> Any:
        return self._get_value(action, action.default) if isinstance(action.default, str) else action.default

    def _setting(self, action: argparse.Action, value: Any) -> Any:
        """Return the value of one flag, checked as the command line checks it."""
        if value is None or action.nargs == 0:  # a switch
            if value is not None and not isinstance(value, bool):
                self.error(f"setting {action.dest} is {value!r:.60}; expected true or false")
            return action.default if value is None else value
        if action.nargs == "*" or isinstance(action.default, list):
            if not isinstance(value, list):
                self.error(f"setting {action.dest} is {value!r:.60}; expected a list")
            return [self._one(action, item) for item in value]
        return self._one(action, value)

    def _one(self, action: argparse.Action, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.error(f"setting {action.dest} is {value!r:.60}; expected a text or a number")
        try:
            converted = self._get_value(action, str(value))
            self._check_value(action, converted)
        except argparse.ArgumentError as error:
            self.error(str(error))
        return converted


def _setting_name(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _read_settings(parser: Parser) -> dict[str, Any]:
    try:
        settings = json.load(sys.stdin)
    except ValueError as error:
        parser.error(f"standard input is no JSON: {error}")
    if not isinstance(settings, dict):
        parser.error(f"standard input is {settings!r:.60}; expected a JSON object of flags by name")
    return settings


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 file", "1,200 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def positive(text: str) -> int:
    """Return a whole number of at least 1; for ``argparse``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value
