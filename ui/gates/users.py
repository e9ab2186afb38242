"""Names and passwords of those who may come in."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path


def read_users(path: Path) -> dict[str, str]:
    """Return the passwords by name of a file with lines NAME:PASSWORD; empty lines and those with # are left out.

    Raises:
        ValueError: it cannot be read, a line has another form, or others may read it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        is_open = bool(path.stat().st_mode & 0o077)
    except OSError as error:
        raise ValueError(f"--auth {path}: {error.strerror or error}; expected a file of lines NAME:PASSWORD") from error
    if is_open:
        raise ValueError(f"--auth {path}: others may read it; make it yours alone: chmod 600 {path}")
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, password = line.partition(":")
        if not (name.strip() and separator and password):
            raise ValueError(f"--auth {path}, line {number}: expected NAME:PASSWORD")
        users[name.strip()] = password
    if not users:
        raise ValueError(f"--auth {path} names nobody; expected lines NAME:PASSWORD")
    return users


def checks_password(users: dict[str, str]) -> Callable[[str, str], bool]:
    """Return what tells whether a name and a password belong together, in a time that says nothing of either."""

    def check(name: str, password: str) -> bool:
        expected = users.get(name, "")
        same = hmac.compare_digest(expected.encode(), password.encode())
        return same and name in users

    return check
