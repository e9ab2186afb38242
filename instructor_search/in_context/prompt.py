"""Demonstrations -> a prompt within a token budget: the nearest stands last, next to the input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instructor_search.in_context.choices import Order
from instructor_search.in_context.guard import Dropped, sift
from instructor_search.in_context.template import Message, PromptTemplate, Rendered, Template
from instructor_search.in_context.tokens import approximate_tokens, count_rendered, notes_of
from instructor_search.records import Demonstration

__all__ = ["Order", "Prompt", "PromptTemplate", "approximate_tokens", "build_prompt"]


@dataclass(frozen=True)
class Prompt:
    """A prompt and how it came about. ``demonstrations`` stand in the order of the text.

    ``left_out``: those that are not in it, each with the reason: they did not fit, or were copies of the input or of a
    better one. ``notes``: what a reader must know, such as that tokens were guessed.
    """

    text: str
    demonstrations: tuple[Demonstration, ...]
    num_tokens: int
    left_out: tuple[Dropped, ...] = ()
    messages: tuple[Message, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_left_out(self) -> int:
        """How many demonstrations are not in the prompt."""
        return len(self.left_out)


def build_prompt(
    demonstrations: Sequence[Demonstration],
    text: str,
    *,
    budget: int | None = None,
    template: Template | None = None,
    count_tokens: Callable[[str], int] = approximate_tokens,
    order: str = Order.NEAREST_LAST,
    seed: int = 0,
) -> Prompt:
    """Return the prompt for ``text`` with as many of the ``demonstrations`` (best first) as ``budget`` tokens hold.

    Copies of the input (it would be given away) and of one another are dropped first (``guard``). The rest is taken
    best first until one does not fit (Su et al., "Selective annotation", section 2.2), so the prompt never skips a
    better example for a worse one. The budget holds for the whole prompt as it is written, by ``count_tokens``.

    Args:
        demonstrations: best first, as ``ExamplePool.select`` gives them.
        text: the input asked about.
        budget: tokens of the prompt at most; None: no limit.
        template: plain text (the default), chat messages or Jinja.
        count_tokens: of ``tokens.load_counter``, a language model's ``count_tokens``, or any function.
        order: of ``Order``.
        seed: of the random order, with the input.

    Raises:
        ValueError: the input alone is over the budget, the order is unknown, or the template cannot be filled.
    """
    if order not in list(Order):
        raise ValueError(f"order is {order!r}; expected one of {', '.join(Order)}")
    form = template or PromptTemplate()
    kept, dropped = sift(demonstrations, text)
    rendered, size = _sized(form, [], text, count_tokens)
    if budget is not None and size > budget:
        raise ValueError(f"the input has {size} tokens with its template and the budget is {budget}; raise the budget")
    taken = 0
    places = _places(kept, order, f"{seed} {text}")
    while taken < len(kept):
        longer, longer_size = _sized(form, _arranged(kept, taken + 1, places), text, count_tokens)
        if budget is not None and longer_size > budget:
            break
        taken, rendered, size = taken + 1, longer, longer_size
    left_out = [*dropped, *(Dropped(d, "over the budget") for d in kept[taken:])]
    return Prompt(
        rendered.text,
        tuple(_arranged(kept, taken, places)),
        size,
        tuple(left_out),
        rendered.messages,
        notes_of(rendered, count_tokens),
    )


def _sized(
    form: Template, demonstrations: Sequence[Demonstration], text: str, count_tokens: Callable[[str], int]
) -> tuple[Rendered, int]:
    rendered = form.render(demonstrations, text)
    return rendered, count_rendered(rendered, count_tokens)


def _places(kept: Sequence[Demonstration], order: str, seed: str) -> list[int]:
    """Return a key for each demonstration: they stand in the text by ascending key."""
    places = list(range(len(kept)))
    if order == Order.RANDOM:
        random.Random(seed).shuffle(places)
    elif order != Order.AS_SELECTED:
        by_score = sorted(places, key=lambda i: (-kept[i].score, i))  # of equal scores the earlier one is the nearer
        for rank, i in enumerate(by_score):
            places[i] = -rank if order == Order.NEAREST_LAST else rank
    return places


def _arranged(kept: Sequence[Demonstration], count: int, places: Sequence[int]) -> list[Demonstration]:
    return [kept[i] for i in sorted(range(count), key=lambda i: places[i])]
