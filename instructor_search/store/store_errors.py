"""Turns what the store raises into errors of ours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from instructor_search.errors import StoreError

P = ParamSpec("P")
R = TypeVar("R")


def clear_errors(method: Callable[P, R]) -> Callable[P, R]:
    """Turn what the store raises (it has no errors of its own for a full disk or a lost file) into a StoreError."""

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (RuntimeError, OSError) as error:
            raise StoreError(_one_line(error)) from error
        except ValueError as error:
            if not str(error).lower().startswith(("lance", "invalid")):
                raise
            raise StoreError(_one_line(error)) from error

    return run


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "No space left on device" in text:
        text = "No space left on device; what was acknowledged is stored, free some space and run again"
    return f"the store failed: {text[:300]}"
