"""The one rule for what an instruction means, wherever it is given: command line, Python, page, API, prompts, ingest.

None is the default, "" is none at all, "@name" is of the library, anything else is the sentence itself, to the letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeGuard

from instructor_search.instruction_library import LIBRARY, NamedInstructions, find_instruction, query_instruction_for
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION, Instruction

Side = Literal["query", "document"]
GivenInstruction = str | Instruction | NamedInstructions | tuple[str | Instruction, str | Instruction] | None


def resolve(given: GivenInstruction, side: Side = "query", *, documents_under: str | None = None) -> str:
    """Return the sentence that the encoder sees for what was given.

    ``given``: None: the query instruction that goes with ``documents_under``, the document instruction of a view (for
    the document side that instruction itself); without a view the default of the side. "": no instruction. "@name",
    "@name/query" or "@name/document": of the library, the side decides where none is named. An ``InstructionPair``, a
    pair (query's, document's) or one of the library: the side's. An ``Instruction``: its text. Any other text: itself,
    to the letter.

    Raises:
        ValueError: "@name" is not in the library, or something else was given.
    """
    if given is None:
        return _default(side, documents_under)
    if isinstance(given, NamedInstructions):
        return given.query if side == "query" else given.document
    one = given[0 if side == "query" else 1] if _is_pair(given) else given
    if isinstance(one, Instruction):
        return one.text
    if isinstance(one, str):
        return find_instruction(one[1:], side) if one.startswith("@") else one
    raise ValueError(
        f"the instruction is {given!r:.80}; expected a sentence, '@name' of the library, an Instruction, "
        "a pair (query's, document's), \"\" for none or None for the default"
    )


def _is_pair(given: object) -> TypeGuard[Sequence[str | Instruction]]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return False
    return len(given) == 2 and all(isinstance(one, str | Instruction) for one in given)


def resolve_pair(given: GivenInstruction) -> tuple[str, str]:
    """Return the query's and the document's instruction; a single sentence stands for both.

    Raises:
        ValueError: see ``resolve``.
    """
    return resolve(given, "query"), resolve(given, "document")


def name_of(given: GivenInstruction) -> str | None:
    """Return the library's name for what was given, where it was given by name."""
    if isinstance(given, NamedInstructions):
        return given.name if given in LIBRARY else None
    return given[1:].partition("/")[0] if isinstance(given, str) and given.startswith("@") else None


def agreed(
    first: GivenInstruction, second: GivenInstruction, side: Side = "query", *, documents_under: str | None = None
) -> str:
    """Return the instruction that was given in one of two places, or in both alike.

    Raises:
        ValueError: two different ones were given; or see ``resolve``.
    """
    meant = [resolve(given, side, documents_under=documents_under) for given in (first, second) if given is not None]
    if len(set(meant)) > 1:
        raise ValueError(f"two instructions were given for one {side}: {meant[0]!r} and {meant[1]!r}; give one of them")
    return meant[0] if meant else resolve(None, side, documents_under=documents_under)


def _default(side: Side, documents_under: str | None) -> str:
    if side == "document":
        return DEFAULT_DOCUMENT_INSTRUCTION if documents_under is None else documents_under
    return DEFAULT_QUERY_INSTRUCTION if documents_under is None else query_instruction_for(documents_under)
