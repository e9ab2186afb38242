"""What may be passed to ``encode``, turned into instructed texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instructor_search.instructions import InstructedText, Instruction

# A text, an (instruction, text) pair, or a mapping with "text" (and "instruction").
TextItem = str | tuple[str | Instruction, str] | Sequence[str] | Mapping[str, str | Instruction]
Texts = TextItem | Iterable[TextItem]  # a single one, or many
Instructions = str | Instruction | Sequence[str | Instruction | None] | None  # one for all texts, or one a text


def to_instructed_texts(sentences: Any, instruction: Any = None) -> tuple[list[InstructedText], bool]:
    """Return the instructed texts and whether a single one was given.

    ``sentences``: a string, a mapping with "text" (and "instruction"), or a sequence of strings, mappings or
    (instruction, text) pairs, mixed as you like. As in the old package a flat list of strings is a list of texts, and
    a third element of a pair is ignored. ``instruction``: one for all, or one a text; pairs bring their own.

    Raises:
        ValueError: something else was given, or the numbers of instructions and texts differ.
    """
    single = isinstance(sentences, str | Mapping | InstructedText)
    items = [sentences] if single else list(sentences)
    given = _instructions(instruction, len(items))
    return [
        _one(item, item_instruction, position)
        for position, (item, item_instruction) in enumerate(zip(items, given, strict=True))
    ], single


def _instructions(instruction: Any, count: int) -> list[str | None]:
    if instruction is None or isinstance(instruction, str | Instruction):
        return [None if instruction is None else str(instruction)] * count
    texts: list[str | None] = [None if i is None else str(i) for i in instruction]
    if len(texts) != count:
        raise ValueError(f"{len(texts)} instructions for {count} texts; give one for all, or one a text")
    return texts


def _one(item: Any, instruction: str | None, position: int) -> InstructedText:
    if isinstance(item, str):
        return InstructedText(instruction or "", item)
    if isinstance(item, Mapping):
        item_instruction, text = item.get("instruction", instruction), item.get("text")
    elif isinstance(item, Sequence) or hasattr(item, "tolist"):
        pair = list(item)
        item_instruction, text = (pair[0], pair[1]) if len(pair) in (2, 3) else (None, None)
        if text is not None and instruction is not None:
            raise ValueError(
                f"item {position} brings its own instruction; drop the argument instruction={instruction!r}"
            )
    else:
        item_instruction, text = None, None
    if not isinstance(text, str) or not isinstance(item_instruction, str | Instruction | None):
        raise ValueError(
            f"item {position} is {item!r:.80}; expected a string, (instruction, text) or a mapping with 'text'"
        )
    return InstructedText(str(item_instruction) if item_instruction is not None else "", text)
