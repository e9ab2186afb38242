"""Who is let in, and how often a password may be tried."""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from ui.gates.asgi import App, Message, Receive, Scope, Send, refuse
from ui.gates.hosts import network_of

_ADDRESSES = 10_000  # that are remembered
# What the login page itself is made of: Gradio's published scripts and styles.
_DESCRIPTION = re.compile(rb"window\.gradio_api_info = .*?;</script>", re.DOTALL)
_LOGIN_PAGE = re.compile(r"/(login/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|static/.*|assets/.*)")


class LoginGate:
    """Lets nothing but the login page answer to whoever has not logged in."""

    def __init__(self, app: App, user_of: Callable[[Scope], Any]) -> None:
        """``user_of`` returns who sends a request, or None."""
        self.app, self.user_of = app, user_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "lifespan" or self.user_of(scope) is not None:
            await self.app(scope, receive, send)
        elif scope["path"] == "/":
            plain = [(key, value) for key, value in scope["headers"] if key.lower() != b"accept-encoding"]
            await self.app({**scope, "headers": plain}, receive, _without_description(send))
        elif _LOGIN_PAGE.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await refuse(scope, send, 401, "log in first\n")


def _without_description(send: Send) -> Send:
    """Return what sends the login page without the description of all functions, which Gradio writes into it."""
    start: dict[str, Any] = {}
    body = bytearray()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        if message["type"] != "http.response.body":
            await send(message)
            return
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            page = _DESCRIPTION.sub(b"window.gradio_api_info = null;</script>", bytes(body))
            kept = [(key, value) for key, value in start["headers"] if key.lower() != b"content-length"]
            await send({**start, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
            await send({"type": "http.response.body", "body": page})

    return sending


class LoginThrottle:
    """Lets an address try a few passwords, then makes it wait."""

    def __init__(self, app: App, *, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``failures`` wrong logins within ``seconds`` are answered; later ones are refused until they have passed."""
        self.app, self.failures, self.seconds, self.clock = app, failures, seconds, clock
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a login before it is looked at, so that many at once are not all tried; take a right one back."""
        path = scope.get("path", "").rstrip("/")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith("/login"):
            await self.app(scope, receive, send)
            return
        tried, now = self._tries(network_of(scope)), self.clock()
        while tried and now - tried[0] >= self.seconds:
            tried.popleft()
        if len(tried) >= self.failures:
            wait = int(self.seconds - (now - tried[0])) + 1
            retry = [(b"retry-after", str(wait).encode())]
            await refuse(scope, send, 429, f"too many wrong logins; try again in {wait} s\n", retry)
            return
        tried.append(now)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400 and now in tried:
                tried.remove(now)
            await send(message)

        await self.app(scope, receive, counted)

    def _tries(self, network: str) -> deque[float]:
        """Return when an address tried, the oldest first; of too many addresses the longest unheard is forgotten."""
        tried = self._tried.setdefault(network, deque())
        self._tried.move_to_end(network)
        if len(self._tried) > _ADDRESSES:
            self._tried.popitem(last=False)
        return tried
