"""Instructions as values: the sentence that says what an embedding is for.

An instruction is free text, or the unified template of the INSTRUCTOR paper (Su et al., arXiv 2212.09741, section 2.3),
"Represent the (domain) (text type) for (task objective): ", whose slots are kept and can be read back from a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# Text types of more than one word; every other text type is the last word before "for" (or before the end).
TEXT_TYPE_PHRASES = frozenset(
    {
        "bug report",
        "code snippet",
        "court ruling",
        "customer review",
        "error message",
        "job posting",
        "meeting minutes",
        "news headline",
        "product description",
        "product review",
        "release note",
        "research paper",
        "search query",
        "source code",
        "support ticket",
        "test plan",
        "web page",
    }
)
# One of these before the last word joins all of them to one text type: "question of a user" has no domain.
_JOINING = frozenset("a an and her his its of or the their with without".split())
_TEMPLATE = re.compile(
    r"^\s*represent\s+(?:the\s+|an?\s+)?(?P<what>[^:;]+?)(?:\s+for\s+(?P<objective>[^:;]+?))?\s*[:;]?\s*$",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Instruction:
    """What an embedding is for. ``text`` is what the encoder sees, exactly; the slots describe it when known."""

    text: str
    domain: str | None = None
    text_type: str | None = None
    task_objective: str | None = None

    def __str__(self) -> str:
        """Return the sentence as the encoder sees it."""
        return self.text

    @classmethod
    def from_slots(
        cls, text_type: str, *, domain: str | None = None, task_objective: str | None = None, ending: str = ": "
    ) -> Instruction:
        """Fill the paper's template; ``text_type`` is required, the other slots may be left out.

        Raises:
            ValueError: a slot is empty or contains ":" or ";", which end the template.
        """
        slots = {"text_type": text_type, "domain": domain, "task_objective": task_objective}
        for name, value in slots.items():
            if value is not None and (not value.strip() or re.search(r"[:;]", value)):
                raise ValueError(f"slot {name} is {value!r}; expected words without ':' or ';'")
        words = ["Represent the", domain, text_type, f"for {task_objective}" if task_objective else None]
        return cls(" ".join(w.strip() for w in words if w) + ending, domain, text_type, task_objective)

    @classmethod
    def parse(cls, text: str) -> Instruction:
        """Return the instruction ``text`` with the slots read back from it; free text has none. ``text`` is kept."""
        match = _TEMPLATE.match(text)
        if not match:
            return cls(text)
        domain, text_type = _split_domain(" ".join(match["what"].split()))
        objective = " ".join(match["objective"].split()) if match["objective"] else None
        return cls(text, domain, text_type, objective)

    @property
    def is_template(self) -> bool:
        """Whether the text follows the paper's template."""
        return self.text_type is not None


class InstructionPair(NamedTuple):
    """The instructions of two sides: the query's and the document's; equal where both are texts of one kind."""

    query: str
    document: str


class InstructedText(NamedTuple):
    """The only thing an encoder takes: an instruction (may be empty) and a text."""

    instruction: str
    text: str


def _split_domain(what: str) -> tuple[str | None, str]:
    """Split "Science title" into its domain and its text type (a known phrase, or the last word, or words joined)."""
    words = what.split(" ")
    size = 2 if " ".join(words[-2:]).lower() in TEXT_TYPE_PHRASES else 1
    if words[:-size] and words[-size - 1].lower() in _JOINING:
        return None, what
    return " ".join(words[:-size]) or None, " ".join(words[-size:])


DEFAULT_QUERY_INSTRUCTION = "Represent the question for retrieving supporting documents: "
DEFAULT_DOCUMENT_INSTRUCTION = "Represent the document for retrieval: "
