"""Language models that answer prompts: an OpenAI-compatible endpoint, or a local transformers model.

Nothing is sent anywhere unless an endpoint was named. Its key comes from the environment and is never shown.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from instructor_search.errors import InstructorSearchError, MissingExtraError, ModelError
from instructor_search.in_context.prompt import approximate_tokens

KEY_VARIABLE = "OPENAI_API_KEY"
_RETRIED = (408, 409, 429, 500, 502, 503, 504)


class LanguageModelError(InstructorSearchError):
    """A language model did not answer."""


class LanguageModel(Protocol):
    """Answers prompts. ``identity`` tells one model from another; ``window``: tokens of prompt and answer, if known."""

    name: str
    identity: str
    window: int | None

    def generate(self, prompt: str, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the continuation of a prompt, greedily, up to a stop string."""

    def choose(self, prompt: str, options: Sequence[str]) -> int | None:
        """Return which option continues the prompt best by likelihood; None where the model gives none."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, or a guess."""


class EndpointModel:
    """An OpenAI-compatible chat endpoint. ``num_prompt_tokens`` and ``num_answer_tokens`` count what it reports."""

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        timeout_seconds: float = 60.0,
        num_retries: int = 4,
        wait_seconds: float = 1.0,
    ) -> None:
        """``endpoint``: base address such as http://localhost:8000/v1. Retries wait 1, 2, 4, ... ``wait_seconds``.

        Raises:
            ValueError: the address is no http(s) address.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint is {endpoint!r}; expected an address such as http://localhost:8000/v1")
        self.name = model
        self.identity = f"{model} at {endpoint}"
        self.window: int | None = None
        self.url = endpoint.rstrip("/") + "/chat/completions"
        self.timeout_seconds = timeout_seconds
        self.num_retries = num_retries
        self.wait_seconds = wait_seconds
        self.num_prompt_tokens = self.num_answer_tokens = 0

    def generate(self, prompt: str, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the answer.

        Raises:
            LanguageModelError: there was none after all retries.
        """
        body: dict[str, Any] = {
            "model": self.name, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens,
            "temperature": 0, "stop": list(stop),
        }  # fmt: skip
        answer = self._post(body)
        try:
            usage = answer.get("usage") or {}
            self.num_prompt_tokens += int(usage.get("prompt_tokens") or 0)
            self.num_answer_tokens += int(usage.get("completion_tokens") or 0)
            return str(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise LanguageModelError(f"{self.url} answered without choices[0].message.content") from error

    def choose(self, prompt: str, options: Sequence[str]) -> int | None:
        """Return None: chat endpoints give no likelihood of a text that they did not write."""
        return None

    def count_tokens(self, text: str) -> int:
        """Return characters / 4."""
        return approximate_tokens(text)

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        problem = ""
        for attempt in range(self.num_retries + 1):
            if attempt:
                time.sleep(self.wait_seconds * 2 ** (attempt - 1))
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                    answer = json.load(response)
                if isinstance(answer, dict):
                    return answer
                problem = "it answered something that is no JSON object"
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}"
                if error.code not in _RETRIED:
                    break
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = str(reason)[:120]
                if isinstance(reason, ConnectionRefusedError):
                    break  # nobody listens there; waiting does not change that
        raise LanguageModelError(f"{self.url} did not answer ({problem}); is {self.name!r} served there?")


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
        self.window: int | None = getattr(self._model.config, "max_position_embeddings", None)

    def generate(self, prompt: str, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the greedy continuation."""
        encoded = self._tokenizer(prompt, return_tensors="pt").to(self._model.device)
        with self._torch.inference_mode():
            ids = self._model.generate(
                **encoded, max_new_tokens=max_tokens, do_sample=False, pad_token_id=self._tokenizer.eos_token_id or 0
            )
        text = str(self._tokenizer.decode(ids[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True))
        ends = [place for s in stop if (place := text.find(s)) >= 0]
        return text[: min(ends)] if ends else text

    def choose(self, prompt: str, options: Sequence[str]) -> int:
        """Return the option with the highest mean log-likelihood a token after the prompt."""
        return int(np.argmax([self._mean_log_likelihood(prompt, f" {option}") for option in options]))

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
