"""The lowest versions that pyproject.toml permits, as constraints for pip: ``python tests/lowest.py [EXTRA ...]``."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_BOUND = re.compile(r"(?P<name>[\w.-]+)(?:\[[^\]]*\])?\s*>=\s*(?P<version>[\w.]+)")


def lowest(project: dict[str, object], extras: Iterable[str] = ()) -> Iterator[str]:
    """Yield ``name==version`` for each dependency of a project table and of the extras named.

    Raises:
        ValueError: a dependency has no lower bound.
    """
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    for requirement in (r for one in lists for r in one):
        if not (bound := _BOUND.match(requirement)):
            raise ValueError(f"{requirement!r} has no lower bound; expected NAME>=VERSION")
        yield f"{bound['name']}=={bound['version']}"


if __name__ == "__main__":
    print(*lowest(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"], sys.argv[1:]), sep="\n")
