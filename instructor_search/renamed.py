"""Names that changed: flags, settings and keys of earlier versions keep working, and whoever uses them is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def current_keys(values: Mapping[str, Any], renamed: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return ``values`` under today's names; a line on stderr names each old one. ``renamed``: old -> new.

    Raises:
        ValueError: both names of one thing are given.
    """
    current = dict(values)
    for old, new in renamed.items():
        if old not in current:
            continue
        if new in current:
            raise ValueError(f"{where}: {old!r} is the old name of {new!r}, and both are given; leave out {old!r}")
        _tell(where, old, new)
        current[new] = current.pop(old)
    return current


def current_flags(words: Sequence[str], renamed: Mapping[str, str], program: str) -> list[str]:
    """Return a command line with today's flags; a line on stderr names each old one. ``renamed``: old -> new."""
    flags = []
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in renamed:
            _tell(program, flag, renamed[flag])
            word = renamed[flag] + equals + value  # noqa: PLW2901
        flags.append(word)
    return flags


def _tell(where: str, old: str, new: str) -> None:
    sys.stderr.write(f"warning: {where}: {old} is called {new} now; the old name will go\n")
