"""Reads files into a collection: ``python -m ingest corpus/ --instruction``, or ``from ingest import ingest``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from ingest.plan import Plan, prepare
    from ingest.progress import Progress
    from ingest.report import IngestReport
    from ingest.run import ingest, run_plan

__all__ = ["IngestConfig", "IngestReport", "Plan", "Progress", "ingest", "prepare", "run_plan"]
_HOMES = {
    "IngestConfig": "config",
    "IngestReport": "report",
    "Plan": "plan",
    "Progress": "progress",
    "ingest": "run",
    "prepare": "plan",
    "run_plan": "run",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use: importing this package loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
