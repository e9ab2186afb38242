"""Counts tokens as the target model does, from its own tokenizer file; else guesses from characters, and says so.

Files: ``tokenizer.json`` (tokenizers library; a model folder has one, and its chat template), and ``*.tiktoken``.
Nothing is downloaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from instructor_search.errors import MissingExtraError, ModelError
from instructor_search.in_context.chat import read_chat_format
from instructor_search.in_context.template import Message, Rendered

CHARACTERS_PER_TOKEN = 4  # of English text, where the target model's tokenizer is not known
MESSAGE_TOKENS, REPLY_TOKENS = 4, 3  # that chat formats put around a message, and before the answer, about
GUESSED = (
    f"tokens are guessed as characters / {CHARACTERS_PER_TOKEN}; name the target model's tokenizer file to count them"
)
_GUESSED_CHAT = f"what the chat format adds is guessed as {MESSAGE_TOKENS} tokens a message"


def approximate_tokens(text: str) -> int:
    """Return a guess of the number of tokens, for models whose tokenizer is not at hand."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class TokenCounter:
    """Counts tokens of texts and of chats. ``control_tokens``: texts that the model reads as commands of its format."""

    def __init__(
        self,
        name: str,
        count: Callable[[str], int],
        *,
        control_tokens: Sequence[str] = (),
        count_chat: Callable[[Sequence[Message]], int] | None = None,
        is_exact: bool = True,
        notes: Sequence[str] = (),
    ) -> None:
        """``count``: of a text that stands alone, with what a model puts around it; ``count_chat``: of messages."""
        self.name, self.count, self.control_tokens = name, count, tuple(control_tokens)
        self.count_chat, self.is_exact, self.notes = count_chat, is_exact, tuple(notes)

    def __call__(self, text: str) -> int:
        """Return the tokens of a text."""
        return self.count(text)

    def count_messages(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a chat: by its model's own format, or the messages and a guess for what is between."""
        if self.count_chat is not None:
            return self.count_chat(messages)
        return sum(self.count(m.content) + MESSAGE_TOKENS for m in messages) + REPLY_TOKENS

    def notes_for(self, rendered: Rendered) -> tuple[str, ...]:
        """Return what must be said of a count: that it is a guess, or a part of it."""
        guessed = self.is_exact and bool(rendered.messages) and self.count_chat is None
        return (*self.notes, _GUESSED_CHAT) if guessed else self.notes


def load_counter(path: str | Path | None = None) -> TokenCounter:
    """Return the counter of a tokenizer file, or of a folder that has one; None: a guess from characters.

    Raises:
        ModelError: there is no such file, or it is no tokenizer.
        MissingExtraError: tiktoken is needed and not installed.
    """
    if path is None:
        return TokenCounter("characters / 4", approximate_tokens, is_exact=False, notes=(GUESSED,))
    given = Path(path).expanduser()
    file = given / "tokenizer.json" if given.is_dir() else given
    if not file.is_file():
        raise ModelError(f"no tokenizer file {str(file)!r}; expected a tokenizer.json, a model folder, or a .tiktoken")
    return _of_tiktoken(file) if file.suffix == ".tiktoken" else _of_tokenizers(file)


def count_rendered(rendered: Rendered, count_tokens: Callable[[str], int]) -> int:
    """Return the tokens of a prompt by any function of a text; of a chat by the counter's own way, if it has one."""
    if not rendered.messages:
        return count_tokens(rendered.text)
    counter = count_tokens if isinstance(count_tokens, TokenCounter) else TokenCounter("", count_tokens)
    return counter.count_messages(rendered.messages)


def notes_of(rendered: Rendered, count_tokens: Callable[[str], int]) -> tuple[str, ...]:
    """Return what must be said of ``count_rendered``."""
    if count_tokens is approximate_tokens:
        return (GUESSED,)
    return count_tokens.notes_for(rendered) if isinstance(count_tokens, TokenCounter) else ()


def _of_tokenizers(file: Path) -> TokenCounter:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises Exception itself
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"{str(file)!r} is no tokenizer of the tokenizers library ({reason})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str, *, alone: bool = True) -> int:
        return len(tokenizer.encode(text, add_special_tokens=alone).ids)

    control = [t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special]
    form = read_chat_format(file.parent, lambda text: count(text, alone=False))
    return TokenCounter(str(file), count, control_tokens=control, count_chat=form.count if form else None)


def _of_tiktoken(file: Path) -> TokenCounter:
    try:
        import tiktoken
        from tiktoken_ext import openai_public
    except ImportError as error:
        raise MissingExtraError("tiktoken", "prompts", f"the tokenizer {file.name}") from error
    names = [n for n in openai_public.ENCODING_CONSTRUCTORS if n.endswith("_base")]
    if file.stem not in names:
        raise ModelError(f"{file.name}: the name says how text is split; expected {', '.join(names)} (.tiktoken)")
    content = file.read_bytes()
    try:  # by hand: the package's own function keeps a copy of the file elsewhere, and reads that the next time
        pairs = (line.split() for line in content.splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except ValueError as error:
        raise ModelError(f"{str(file)!r} is no tiktoken file ({' '.join(str(error).split())[:120]})") from error
    expected: list[str] = []

    def given(_: str, expected_hash: str = "") -> dict[bytes, int]:
        expected.append(expected_hash)
        return ranks

    make = openai_public.ENCODING_CONSTRUCTORS[file.stem]  # would fetch the ranks; it is given those of the file
    settings: dict[str, Any] = FunctionType(make.__code__, {**make.__globals__, "load_tiktoken_bpe": given})()
    settings.pop("explicit_n_vocab", None)
    encoding = tiktoken.Encoding(**settings)
    same = hashlib.sha256(content).hexdigest() in expected
    notes = () if same else (f"{file.name} is not the published file of that name",)
    return TokenCounter(
        str(file),
        lambda text: len(encoding.encode(text, disallowed_special=())),
        control_tokens=sorted(encoding.special_tokens_set),
        notes=notes,
    )
