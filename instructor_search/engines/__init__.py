"""Engines: who does the work of a plan. They map pure functions over its items; what is stored, the caller stores."""

from instructor_search.engines.local import LocalEngine
from instructor_search.engines.protocol import Engine

__all__ = ["Engine", "LocalEngine"]
