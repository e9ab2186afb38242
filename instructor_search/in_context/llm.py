"""Language models that answer prompts: what they have in common, and a local transformers model.

One behind an endpoint is in ``endpoint``. Nothing is sent anywhere unless an endpoint was named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from instructor_search.errors import InstructorSearchError, MissingExtraError, ModelError
from instructor_search.in_context.template import Message
from instructor_search.in_context.tokens import TokenCounter

Asked = str | Sequence[Message]  # a prompt: a text to continue, or a chat to answer


class LanguageModelError(InstructorSearchError):
    """A language model did not answer."""


@dataclass
class Usage:
    """What was asked of a model: requests, tries that failed, tokens as the model counts them, and their price.

    ``price_prompt`` and ``price_answer``: of a million tokens, in any currency; 0: not known.
    """

    price_prompt: float = 0.0
    price_answer: float = 0.0
    num_requests: int = 0
    num_failed_tries: int = 0
    num_prompt_tokens: int = 0
    num_answer_tokens: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Add to counts, from any thread."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    @property
    def cost(self) -> float:
        """What the tokens cost so far."""
        return (self.num_prompt_tokens * self.price_prompt + self.num_answer_tokens * self.price_answer) / 1e6

    def as_dict(self) -> dict[str, float]:
        """Return the counts and the cost."""
        names = ("num_requests", "num_failed_tries", "num_prompt_tokens", "num_answer_tokens", "cost")
        return {name: getattr(self, name) for name in names}


class LanguageModel(Protocol):
    """Answers prompts. ``identity`` tells one model from another; ``window``: tokens of prompt and answer, if known."""

    name: str
    identity: str
    window: int | None
    usage: Usage

    def generate(self, prompt: Asked, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the continuation of a prompt, greedily, up to a stop string."""

    def likelihoods(self, prompt: str, options: Sequence[str]) -> list[float] | None:
        """Return the mean log-likelihood a token of each option after the prompt; None where the model gives none."""

    def choose(self, prompt: str, options: Sequence[str]) -> int | None:
        """Return which option continues the prompt best by likelihood; None where the model gives none."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, or a guess."""


def likeliest(likelihoods: list[float] | None) -> int | None:
    """Return the position of the highest likelihood, of equal ones the first; None of none."""
    return None if likelihoods is None else int(np.argmax(likelihoods))


class LocalModel:
    """A causal language model of transformers from a local folder (safetensors, no code of its own)."""

    def __init__(self, folder: str, *, device: str | None = None) -> None:
        """Load the model.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            ModelError: the folder holds no such model.
        """
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise MissingExtraError("torch and transformers", "torch", "a local language model") from error
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise ModelError(f"no model folder {folder!r}; expected a folder of a causal language model")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path, **options)
            self._model = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, **options).eval()
            self._model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise ModelError(f"{folder} is no causal language model that can be loaded ({reason})") from error
        self._torch = torch
        self.name = path.resolve().name
        self.identity = f"{self.name}, files {_digest(path)}"
        self.usage = Usage()
        self.window: int | None = getattr(self._model.config, "max_position_embeddings", None)

    def generate(self, prompt: Asked, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the greedy continuation; of a chat by the model's own template, if it has one.

        Raises:
            LanguageModelError: prompt and answer do not fit into the model's window.
        """
        has_form = bool(getattr(self._tokenizer, "chat_template", None))
        text = prompt if isinstance(prompt, str) else self._as_text(prompt, has_form=has_form)
        added = isinstance(prompt, str) or not has_form  # a template writes its special tokens itself
        encoded = self._tokenizer(text, return_tensors="pt", add_special_tokens=added).to(self._model.device)
        size = encoded["input_ids"].shape[1]
        if self.window is not None and size + max_tokens > self.window:
            raise LanguageModelError(
                f"the prompt has {size} tokens and the answer may have {max_tokens}; the window of {self.name} holds "
                f"{self.window}: a smaller budget or fewer answer tokens"
            )
        with self._torch.inference_mode():
            ids = self._model.generate(
                **encoded, max_new_tokens=max_tokens, do_sample=False, pad_token_id=self._tokenizer.eos_token_id or 0
            )
        self.usage.add(num_requests=1, num_prompt_tokens=size, num_answer_tokens=ids.shape[1] - size)
        answer = str(self._tokenizer.decode(ids[0, size:], skip_special_tokens=True))
        ends = [place for s in stop if (place := answer.find(s)) >= 0]
        return answer[: min(ends)] if ends else answer

    def counter(self) -> TokenCounter:
        """Return what counts tokens as this model does, of texts and of chats."""
        return TokenCounter(
            self.name, self.count_tokens, control_tokens=self._tokenizer.all_special_tokens, count_chat=self._count_chat
        )

    def _count_chat(self, messages: Sequence[Message]) -> int:
        has_form = bool(getattr(self._tokenizer, "chat_template", None))
        text = self._as_text(messages, has_form=has_form)
        return len(self._tokenizer(text, add_special_tokens=not has_form)["input_ids"])

    def _as_text(self, messages: Sequence[Message], *, has_form: bool) -> str:
        if not has_form:
            return "\n\n".join(m.content for m in messages)
        shown = [m._asdict() for m in messages]
        return str(self._tokenizer.apply_chat_template(shown, tokenize=False, add_generation_prompt=True))

    def likelihoods(self, prompt: str, options: Sequence[str]) -> list[float]:
        """Return the mean log-likelihood a token of each option after the prompt."""
        self.usage.add(num_requests=1)
        return [self._mean_log_likelihood(prompt, f" {option}") for option in options]

    def choose(self, prompt: str, options: Sequence[str]) -> int | None:
        """Return the option with the highest mean log-likelihood a token after the prompt."""
        return likeliest(self.likelihoods(prompt, options))

    def _mean_log_likelihood(self, prompt: str, continuation: str) -> float:
        start = self._tokenizer(prompt)["input_ids"]
        whole = self._tokenizer(prompt + continuation, return_tensors="pt").to(self._model.device)
        ids = whole["input_ids"]
        with self._torch.inference_mode():
            logits = self._model(**whole).logits[0, :-1].float()  # (length - 1, vocabulary)
        chosen = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        return float(chosen[min(len(start), len(chosen)) - 1 :].mean())

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens by the model's own tokenizer."""
        return len(self._tokenizer(text)["input_ids"])


def _digest(folder: Path) -> str:
    """Return a hash over the files that make a model: its weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".model", ".txt")):
        with path.open("rb") as stream:
            digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
