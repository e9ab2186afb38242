"""instructor-search: a document store and search where the instruction is a first-class input.

The names below load when they are first used: importing this package loads no torch, lancedb, faiss or gradio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructor_search.encoder import load_encoder
    from instructor_search.errors import (
        CollectionNotFoundError,
        FilterError,
        InstructionTooLongError,
        InstructorSearchError,
        LockedError,
        MissingExtraError,
        ModelError,
        ReaderError,
        StoreError,
        ViewMismatchError,
    )
    from instructor_search.in_context.pool import ExamplePool
    from instructor_search.in_context.prompt import build_prompt
    from instructor_search.instructions import InstructedText, Instruction
    from instructor_search.integrations.instructor import INSTRUCTOR
    from instructor_search.records import Hit, Query
    from instructor_search.search.compare import Side, compare
    from instructor_search.search.explain import explain_hit
    from instructor_search.search.searcher import Searcher
    from instructor_search.store.collection import Collection
    from instructor_search.store.verify import verify

__version__ = "0.1.0"
__all__ = [
    "INSTRUCTOR",
    "Collection",
    "CollectionNotFoundError",
    "ExamplePool",
    "FilterError",
    "Hit",
    "InstructedText",
    "Instruction",
    "InstructionTooLongError",
    "InstructorSearchError",
    "LockedError",
    "MissingExtraError",
    "ModelError",
    "Query",
    "ReaderError",
    "Searcher",
    "Side",
    "StoreError",
    "ViewMismatchError",
    "build_prompt",
    "compare",
    "explain_hit",
    "load_encoder",
    "verify",
]

_HOMES = {
    "INSTRUCTOR": "integrations.instructor",
    "Collection": "store.collection",
    "ExamplePool": "in_context.pool",
    "Hit": "records",
    "InstructedText": "instructions",
    "Instruction": "instructions",
    "Query": "records",
    "Searcher": "search.searcher",
    "Side": "search.compare",
    "build_prompt": "in_context.prompt",
    "compare": "search.compare",
    "explain_hit": "search.explain",
    "load_encoder": "encoder",
    "verify": "store.verify",
} | dict.fromkeys((name for name in __all__ if name.endswith("Error")), "errors")


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
