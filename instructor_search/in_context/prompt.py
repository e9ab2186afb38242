"""Demonstrations -> a prompt within a token budget: the nearest stands last, next to the input."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instructor_search.records import Demonstration

CHARACTERS_PER_TOKEN = 4  # of English text, where the target model's tokenizer is not known


@dataclass(frozen=True)
class PromptTemplate:
    """The fixed words of a prompt."""

    task: str = ""  # what to do, in a sentence; stands first
    demonstration: str = "Input: {input}\nOutput: {output}\n\n"
    question: str = "Input: {input}\nOutput:"

    def fill(self, form: str, **slots: str) -> str:
        """Return ``form`` with its {slots} filled in one pass: what a text brings along is not a slot."""
        return re.sub(r"\{(\w+)\}", lambda found: slots.get(found[1], found[0]), form)

    def header(self) -> str:
        """Return what stands before the demonstrations."""
        return f"{self.task}\n\n" if self.task else ""


@dataclass(frozen=True)
class Prompt:
    """A prompt and how it came about. ``demonstrations`` in the order of the text, the nearest last."""

    text: str
    demonstrations: tuple[Demonstration, ...]
    num_tokens: int
    num_left_out: int  # demonstrations that did not fit


def approximate_tokens(text: str) -> int:
    """Return a guess of the number of tokens, for models whose tokenizer is not at hand."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def build_prompt(
    demonstrations: Sequence[Demonstration],
    text: str,
    *,
    budget: int,
    template: PromptTemplate | None = None,
    count_tokens: Callable[[str], int] = approximate_tokens,
) -> Prompt:
    """Return the prompt for ``text`` with as many of the ``demonstrations`` (nearest first) as ``budget`` tokens hold.

    They are taken nearest first until one does not fit (Su et al., "Selective annotation", section 2.2), so the prompt
    never skips a nearer example for a farther one.

    Raises:
        ValueError: the input alone is over the budget.
    """
    form = template or PromptTemplate()
    question = form.fill(form.question, input=text)
    best = form.header() + question
    size = count_tokens(best)
    if size > budget:
        raise ValueError(f"the input has {size} tokens with its template and the budget is {budget}; raise the budget")
    taken: list[str] = []
    for example in demonstrations:
        shown = form.fill(form.demonstration, input=example.input, output=example.output)
        longer = form.header() + "".join([shown, *taken]) + question
        longer_size = count_tokens(longer)
        if longer_size > budget:
            break
        taken.insert(0, shown)
        best, size = longer, longer_size
    used = tuple(reversed(demonstrations[: len(taken)]))
    return Prompt(best, used, size, len(demonstrations) - len(taken))
