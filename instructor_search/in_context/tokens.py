"""Counts tokens as the target model does, from its own tokenizer file; else guesses from characters, and says so."""

from __future__ import annotations

from collections.abc import Callable

from instructor_search.in_context.template import Rendered

CHARACTERS_PER_TOKEN = 4  # of English text, where the target model's tokenizer is not known
MESSAGE_TOKENS = 4  # that a chat format puts around a message, where its template is not known


def approximate_tokens(text: str) -> int:
    """Return a guess of the number of tokens, for models whose tokenizer is not at hand."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def count_rendered(rendered: Rendered, count_tokens: Callable[[str], int]) -> int:
    """Return the tokens of a prompt; of a chat by the counter's own way, or its contents and a few for each message."""
    if not rendered.messages:
        return count_tokens(rendered.text)
    whole = getattr(count_tokens, "count_messages", None)
    if whole is not None:
        return int(whole(rendered.messages))
    return sum(count_tokens(m.content) + MESSAGE_TOKENS for m in rendered.messages)
