"""How to open an encoder, as one value: what ingest and evaluation hand on instead of six arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instructor_search.encoder import load_encoder

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """The model and how it runs; what is None is chosen, see ``InstructorEncoder``."""

    model: str | None = None
    device: str | None = None
    runtime: str | None = None
    precision: str | None = None
    dialect: str | None = None
    allow_pickle: bool = False

    def open(self) -> InstructorEncoder:
        """Return the encoder; its weights load with the first text.

        Raises:
            ModelError: the folder or hub id is no model that can be loaded.
            ValueError: an unknown runtime or precision, or one that the other does not go with.
        """
        return load_encoder(
            self.model,
            device=self.device,
            runtime=self.runtime,
            precision=self.precision,
            dialect=self.dialect or "pypi",
            allow_pickle=self.allow_pickle,
        )
