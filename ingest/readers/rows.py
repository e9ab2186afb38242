"""Rows of tables, whatever they were nested in, as flat mappings of names to plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a flat row: nested objects become dotted names, lists are joined, dates are ISO texts."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat[f"{prefix}{name}"] = ", ".join(str(v) for v in value)
        elif hasattr(value, "isoformat"):
            flat[f"{prefix}{name}"] = value.isoformat()
        elif isinstance(value, str | int | float | bool | None):
            flat[f"{prefix}{name}"] = None if isinstance(value, float) and value != value else value
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
