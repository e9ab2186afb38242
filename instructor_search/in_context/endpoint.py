"""A language model behind an OpenAI-compatible endpoint, such as a server of one's own or a provider's.

Nothing is sent but to the address that was named: redirects are not followed. The key comes from the environment, goes
into the request's header and nowhere else: no message, log or result holds it.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import BoundedSemaphore
from typing import Any

from instructor_search.in_context.llm import Asked, LanguageModelError, Usage, likeliest
from instructor_search.in_context.tokens import approximate_tokens

KEY_VARIABLE = "OPENAI_API_KEY"
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_MAX_ANSWER = 1 << 24  # bytes
_NOT_GIVEN = (400, 404, 405, 422, 501)  # how servers say that they do not give likelihoods


class EndpointModel:
    """An OpenAI-compatible chat endpoint; options are scored through its completions where it gives likelihoods."""

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        timeout_seconds: float = 60.0,
        num_retries: int = 4,
        wait_seconds: float = 1.0,
        max_wait_seconds: float = 60.0,
        max_concurrent: int = 4,
        usage: Usage | None = None,
        count_tokens: Callable[[str], int] = approximate_tokens,
    ) -> None:
        """Name a model of an endpoint.

        Args:
            endpoint: base address such as http://localhost:8000/v1.
            model: its name there.
            timeout_seconds: of one try, from its start to the last byte of the answer.
            num_retries: of passing failures: no connection, a timeout, HTTP 408, 409, 425, 429, 5xx, a broken answer.
            wait_seconds: before the first retry; twice as long before each further one, or what the server asks for.
            max_wait_seconds: before a retry; a server that asks for more is not waited for.
            max_concurrent: requests under way at once, over all threads.
            usage: with the prices of its tokens.
            count_tokens: of the model, for budgets.

        Raises:
            ValueError: the address is no http(s) address, or holds a password.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint is {endpoint!r}; expected an address such as http://localhost:8000/v1")
        if "@" in endpoint.split("/")[2]:
            raise ValueError(f"the endpoint's address holds a name or password; its key comes from {KEY_VARIABLE}")
        if max_concurrent < 1 or num_retries < 0 or timeout_seconds <= 0:
            raise ValueError(
                f"max_concurrent {max_concurrent}, num_retries {num_retries}, timeout_seconds {timeout_seconds}; "
                "expected at least 1, at least 0, and above 0"
            )
        self.name, self.identity = model, f"{model} at {endpoint}"
        self.window: int | None = None
        self.base = endpoint.rstrip("/")
        self.url = self.base + "/chat/completions"
        self.timeout_seconds, self.num_retries = timeout_seconds, num_retries
        self.wait_seconds, self.max_wait_seconds = wait_seconds, max_wait_seconds
        self.max_concurrent = max_concurrent
        self.usage = usage or Usage()
        self.count_tokens = count_tokens
        self._under_way = BoundedSemaphore(max_concurrent)
        self._gives_likelihoods = True  # until it says that it does not
        self._opener = urllib.request.build_opener(_NoRedirect)

    def generate(self, prompt: Asked, *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)) -> str:
        """Return the answer.

        Raises:
            LanguageModelError: there was none after all retries.
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [m._asdict() for m in prompt]
        body = {
            "model": self.name,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stop": list(stop),
        }
        answer = self._post(self.url, body)
        try:
            content = answer["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError) as error:
            raise LanguageModelError(f"{self.url} answered without choices[0].message.content") from error
        if not isinstance(content, str):
            raise LanguageModelError(f"{self.url} answered with {type(content).__name__} content; expected a text")
        self._count(answer)
        return content

    def generate_many(
        self, prompts: Sequence[Asked], *, max_tokens: int = 64, stop: Sequence[str] = ("\n\n",)
    ) -> list[str]:
        """Return the answers in the order of the prompts, ``max_concurrent`` of them asked for at once.

        Raises:
            LanguageModelError: one of them had none; those not yet asked for are not.
        """
        with ThreadPoolExecutor(self.max_concurrent) as workers:
            futures = [workers.submit(self.generate, p, max_tokens=max_tokens, stop=stop) for p in prompts]
            try:
                return [future.result() for future in futures]
            except BaseException:
                workers.shutdown(wait=False, cancel_futures=True)
                raise

    def likelihoods(self, prompt: str, options: Sequence[str]) -> list[float] | None:
        """Return the mean log-likelihood a token of each option after the prompt; None where the server gives none.

        Asked of its completions, with ``echo`` and ``logprobs``: servers of open models give them, chat providers do
        not. One that does not is asked once.
        """
        if not self._gives_likelihoods:
            return None
        likelihoods = [self._likelihood(prompt, f" {option}") for option in options]
        self._gives_likelihoods = None not in likelihoods
        return [f for f in likelihoods if f is not None] if self._gives_likelihoods else None

    def choose(self, prompt: str, options: Sequence[str]) -> int | None:
        """Return which option is likeliest after the prompt; None where the server gives no likelihoods."""
        return likeliest(self.likelihoods(prompt, options))

    def _likelihood(self, prompt: str, option: str) -> float | None:
        if not self._gives_likelihoods:
            return None
        body = {
            "model": self.name,
            "prompt": prompt + option,
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        try:
            answer = self._post(f"{self.base}/completions", body)
            logprobs = answer["choices"][0]["logprobs"]
            scored = zip(logprobs["text_offset"], logprobs["token_logprobs"], strict=True)
            log_likelihoods = [
                float(v) for place, v in scored if len(prompt) <= place < len(prompt + option) and v is not None
            ]
        except _StatusError as error:
            if error.code not in _NOT_GIVEN:
                raise
            log_likelihoods = []
        except (KeyError, IndexError, TypeError, ValueError):
            log_likelihoods = []
        else:
            self._count(answer)
        self._gives_likelihoods = bool(log_likelihoods)
        return sum(log_likelihoods) / len(log_likelihoods) if log_likelihoods else None

    def _count(self, answer: dict[str, Any]) -> None:
        usage = answer.get("usage")
        counts = usage if isinstance(usage, dict) else {}
        self.usage.add(
            num_requests=1,
            num_prompt_tokens=_whole(counts.get("prompt_tokens")),
            num_answer_tokens=_whole(counts.get("completion_tokens")),
        )

    def _post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer's JSON object; passing failures are tried again.

        Raises:
            LanguageModelError: there was none; the message says why, without the key.
        """
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        problem, code, wait = "", 0, 0.0
        for attempt in range(self.num_retries + 1):
            if attempt:
                time.sleep(max(wait, min(self.wait_seconds * 2 ** (attempt - 1), self.max_wait_seconds)))
            wait = 0.0
            try:
                with self._under_way:
                    return self._try(request)
            except urllib.error.HTTPError as error:
                problem, code, wait = f"HTTP {error.code}{_said(error, key)}", error.code, _retry_after(error)
                if error.code not in _RETRIED:
                    break
                if wait > self.max_wait_seconds:
                    problem += f"; it asks to wait {wait:.0f} s"
                    break
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = str(reason)[:120] or type(reason).__name__
                if isinstance(reason, ConnectionRefusedError):
                    break  # nobody listens there; waiting does not change that
            self.usage.add(num_failed_tries=1)
        raise _StatusError(f"{url} did not answer ({problem}); is {self.name!r} served there?", code)

    def _try(self, request: urllib.request.Request) -> dict[str, Any]:
        deadline = time.monotonic() + self.timeout_seconds
        with self._opener.open(request, timeout=self.timeout_seconds) as response:
            parts: list[bytes] = []
            while part := response.read1(1 << 16):
                parts.append(part)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole answer after {self.timeout_seconds:g} s")
                if sum(map(len, parts)) > _MAX_ANSWER:
                    raise ValueError(f"its answer has more than {_MAX_ANSWER >> 20} MB")
        try:
            answer = json.loads(b"".join(parts))
        except ValueError as error:
            raise ValueError("its answer is no JSON") from error
        if not isinstance(answer, dict):
            raise ValueError("it answered something that is no JSON object")
        return answer


class _StatusError(LanguageModelError):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code  # HTTP's; 0: there was none


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address was not named: neither prompt nor key goes there."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _said(error: urllib.error.HTTPError, key: str | None) -> str:
    """Return the message of an error's body, in one line and without the key."""
    try:
        body = json.loads(error.read(1 << 14))
        detail = body.get("error", body) if isinstance(body, dict) else body
        text = str(detail.get("message", "") if isinstance(detail, dict) else detail)
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    line = " ".join(text.split())[:200]
    return f": {line.replace(key, '***') if key else line}" if line else ""


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Return the seconds that a server asks to wait, by its Retry-After: a number, or a date."""
    value = (error.headers.get("Retry-After") or "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return 0.0
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
