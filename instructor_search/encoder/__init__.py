"""Instructed text -> vectors. ``load_encoder`` is the door; heavy packages load when the first text is embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


def load_encoder(name_or_path: str | None = None, **options: Any) -> InstructorEncoder:
    """Return the encoder of a folder or hub id (None: the default model); ``options`` as of ``InstructorEncoder``."""
    from instructor_search.encoder.encoder import InstructorEncoder

    return InstructorEncoder(name_or_path, **options)
