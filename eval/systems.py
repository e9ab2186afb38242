"""What is evaluated: an encoder, a collection or a baseline, with the instructions that it runs each task under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eval.instructions import derived_variants
from eval.records import Category, Context, EvalDataError, TaskInfo
from instructor_search.encoder.protocol import Encoder, check_vectors
from instructor_search.instructions import InstructedText, InstructionPair
from instructor_search.integrations.mteb import InstructionFor, MtebEncoder
from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from mteb.models.model_meta import ModelMeta
    from mteb.models.models_protocols import SearchProtocol

ALL = frozenset(Category)
SEARCH_CATEGORIES = frozenset({Category.RETRIEVAL, Category.RERANKING})


@dataclass
class System:
    """Something that a task can be run on. It has an encoder, or searches by itself."""

    label: str
    variant: str  # of the instructions, or the name of the file that they are from
    meta: ModelMeta
    encoder: Encoder | None = None
    make_search: Callable[[InstructionFor, Path], SearchProtocol] | None = None  # in a working folder
    categories: frozenset[Category] = ALL
    prefixes: Callable[[TaskInfo], InstructionPair] | None = None  # of a baseline, in place of the task's instructions
    file_sides: Mapping[str, InstructionPair] | None = None  # by task, from a file
    facts: dict[str, Any] = field(default_factory=dict)

    def sides(self, info: TaskInfo) -> InstructionPair:
        """Return the instructions that this system runs a task under.

        Raises:
            EvalDataError: they are from a file, which does not name the task.
        """
        if self.prefixes is not None:
            return self.prefixes(info)
        if self.file_sides is None:
            return info.sides(self.variant)
        for name in (info.name, info.published_name or info.name):
            if name in self.file_sides:
                return self.file_sides[name]
        raise EvalDataError(f"the instruction file {self.variant!r} does not name the task {info.name!r}")

    def sides_of_part(self, info: TaskInfo, part: str) -> InstructionPair:
        """Return the instructions of one part of an aggregate task: its own where it has one, in this variant."""
        if self.file_sides is not None and part in self.file_sides:
            return self.file_sides[part]
        if self.prefixes is None and self.file_sides is None and part in MTEB_INSTRUCTIONS:
            part_sides = InstructionPair(*sides(part))
            return part_sides if self.variant == "default" else derived_variants(part, part_sides)[self.variant]
        return self.sides(info)

    def as_mteb(self, chosen: InstructionPair, context: Context) -> MtebEncoder | SearchProtocol:
        """Return this system as an mteb model under the instructions of a task."""

        def instruction_for(_: str, side: str | None) -> str:
            return chosen.document if side == "document" else chosen.query

        if self.make_search is not None:
            return self.make_search(instruction_for, context.folder)
        return MtebEncoder(self._own_encoder(), instruction_for, self.meta, on_texts=context.on_texts)

    def embed(self, texts: list[str], instruction: str, context: Context) -> np.ndarray:
        """Return float32 vectors, (n, dim).

        Raises:
            ModelError: the encoder gave vectors that are zero or not finite.
        """
        encoder = self._own_encoder()
        vectors = encoder.encode([InstructedText(instruction, t) for t in texts], on_batch=context.on_texts)
        return check_vectors(vectors, encoder.name)

    def _own_encoder(self) -> Encoder:
        if self.encoder is None:
            raise EvalDataError(f"{self.label} searches by itself and gives no vectors")
        return self.encoder
