"""The licences of what each extra installs, from the metadata of the packages: ``python -m tests.licences``."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

OWN = "instructor-search"
_GPL = re.compile(r"\bA?GPL|Affero|(?<!Lesser )(?<!Library )General Public", re.IGNORECASE)
_LGPL = re.compile(r"\bLGPL|(Lesser|Library)( or Library)? General Public", re.IGNORECASE)
_GROUP = re.compile(r"\(([^()]+ (?:AND|OR|WITH) [^()]+)\)")
_EXCEPTION = re.compile(r"\bWITH [\w.-]*exception[\w.-]*", re.IGNORECASE)


class Closure(NamedTuple):
    """What an extra brings: packages that are installed here, by name, and names of those that are not."""

    installed: dict[str, Distribution]
    missing: set[str]


def extras() -> dict[str, list[str]]:
    """Return the requirements of the base install, under "", and of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def closure(requirements: Iterable[str]) -> Closure:
    """Return all that requirements bring in this environment, through every extra that they name."""
    found, own = Closure({}, set()), extras()
    todo, seen = [(requirement, "") for requirement in requirements], set()
    while todo:
        text, extra = todo.pop()
        requirement = Requirement(text)
        if (text, extra) in seen or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        seen.add((text, extra))
        name = canonicalize_name(requirement.name)
        if name == OWN:
            todo += [(r, "") for own_extra in ("", *requirement.extras) for r in own[own_extra]]
            continue
        try:
            found.installed[name] = package = distribution(name)
        except PackageNotFoundError:
            found.missing.add(name)
            continue
        todo += [(r, of) for of in ("", *requirement.extras) for r in package.requires or ()]
    return found


def licence_of(package: Distribution) -> str:
    """Return a package's licence: the expression, else the classifiers, else the first line of its own text."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or () if c.startswith("License :: ")]
    if kinds := [c for c in classifiers if c not in ("OSI Approved", "DFSG approved")]:
        return " AND ".join(kinds)
    return (metadata.get("License") or "").strip().partition("\n")[0]


def is_gpl(licence: str) -> bool:
    """Return whether a licence can be had under the GPL or AGPL only; an exception that it is with counts."""
    while group := _GROUP.search(licence):
        licence = licence[: group.start()] + ("GPL-3.0" if is_gpl(group[1]) else "MIT") + licence[group.end() :]
    return all(any(_is_gpl_part(part) for part in choice.split(" AND ")) for choice in licence.split(" OR "))


def _is_gpl_part(part: str) -> bool:
    return bool(_GPL.search(part)) and not is_lgpl(part) and not _EXCEPTION.search(part)


def is_lgpl(licence: str) -> bool:
    """Return whether a licence names the LGPL."""
    return bool(_LGPL.search(licence))


def main() -> int:
    """Print extra, package, version and licence of all that is installed; return 1 where one is GPL or AGPL."""
    refused = 0
    for extra, requirements in extras().items():
        for name, package in sorted(closure(requirements).installed.items()):
            licence = licence_of(package)
            refused += is_gpl(licence)
            print(f"{extra or 'base':12} {name:32} {package.version:20} {licence}")
    return min(refused, 1)


if __name__ == "__main__":
    sys.exit(main())
