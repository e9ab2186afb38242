"""Reads a language model's answer: one of several options by likelihood, or the one that its text names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instructor_search.in_context.llm import Asked, LanguageModel

STOP = ("\n\n", "\nInput:")  # where an answer to the default template ends


def answer(llm: LanguageModel, prompt: Asked, options: Sequence[str] = (), *, max_tokens: int = 64) -> str:
    """Return a model's answer; of options the likeliest, or the one that the generated text begins with or names."""
    if options and isinstance(prompt, str) and (place := llm.choose(prompt, options)) is not None:
        return options[place]
    text = llm.generate(prompt, max_tokens=max_tokens, stop=STOP).strip()
    return read_label(text, options) if options else text


def read_label(text: str, labels: Sequence[str]) -> str:
    """Return the label that ``text`` begins with, else the one that it names first, as whole words; else ``text``."""
    said = normal(text)
    mentions = []
    for label in labels:
        match = re.search(rf"(?<!\w){re.escape(normal(label))}(?![\w+#])", said)
        if match:
            mentions.append((match.start(), -len(label), label))  # the longest of those that begin at one place
    return min(mentions)[2] if mentions else text


def normal(text: str) -> str:
    """Return a text in lower case on one line, without a full stop or semicolon at its end."""
    return " ".join(text.lower().split()).rstrip(" .;")
