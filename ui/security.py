"""What stands between the network and the application: who may ask, under which name, how much, how often.

Each is a plain ASGI wrapper. Measured reasons: Gradio accepts any Host header, sends no security headers, and does not
slow down wrong logins.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_UPLOADS = ("/gradio_api/upload", "/upload")
# Scripts are the page's own; Gradio's templates need inline ones and eval. Nothing comes from another host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
}


async def _refuse(send: Send, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = text.encode()
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


class HostCheck:
    """Answers requests for names that are ours only: a page of another name must not reach us (DNS rebinding)."""

    def __init__(self, app: App, names: Iterable[str]) -> None:
        """``names``: allowed beside localhost and bare addresses, which no other site can have."""
        self.app = app
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] == "lifespan" or self.allows(_header(scope, b"host")):
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send, 400, "unknown host name; the server's owner can allow it: --allow-host NAME\n")
        else:
            await send({"type": "websocket.close", "code": 1008})

    def allows(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = host.rsplit(":", 1)[0] if host.count(":") == 1 or "]:" in host else host
        name = name.strip("[]").lower()
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class SecurityHeaders:
    """Adds the headers that tell a browser what the page may not do."""

    def __init__(self, app: App) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(key, value) for key, value in message["headers"] if key.lower() not in HEADERS]
                message = {**message, "headers": [*kept, *HEADERS.items()]}
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses bodies that are too large, by what they say and by what arrives."""

    def __init__(self, app: App, *, body_bytes: int, upload_bytes: int) -> None:
        """``upload_bytes``: of requests that upload files."""
        self.app, self.body_bytes, self.upload_bytes = app, body_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it keeps within the limit, or answer 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.upload_bytes if scope["path"].rstrip("/").endswith(_UPLOADS) else self.body_bytes
        said = _header(scope, b"content-length")
        if said.isdigit() and int(said) > limit:
            await _refuse(send, 413, f"the request has {said} bytes; expected at most {limit}\n")
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if seen > limit and message["type"] == "http.response.start":
                message = {**message, "status": 413}  # what the application makes of our error
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except _TooLargeError:
            if not started:
                await _refuse(send, 413, f"the request has more than {limit} bytes\n")


class _TooLargeError(Exception):
    pass


class LoginThrottle:
    """Lets an address try a few passwords, then makes it wait."""

    def __init__(self, app: App, *, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``failures`` wrong logins within ``seconds`` are answered; later ones are refused until they have passed."""
        self.app, self.failures, self.seconds, self.clock = app, failures, seconds, clock
        self._failed: defaultdict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count a refused login, or answer 429."""
        path = scope.get("path", "").rstrip("/")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith("/login"):
            await self.app(scope, receive, send)
            return
        address = (scope.get("client") or ("unknown", 0))[0]
        wait = self._wait(address)
        if wait > 0:
            retry = [(b"retry-after", str(int(wait) + 1).encode())]
            await _refuse(send, 429, f"too many wrong logins; try again in {int(wait) + 1} s\n", retry)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._failed[address].append(self.clock())
            await send(message)

        await self.app(scope, receive, counted)

    def _wait(self, address: str) -> float:
        """Return the seconds until an address may try again."""
        now, recent = self.clock(), self._failed[address]
        while recent and now - recent[0] >= self.seconds:
            recent.popleft()
        if not recent:
            del self._failed[address]
            return 0.0
        return self.seconds - (now - recent[0]) if len(recent) >= self.failures else 0.0


def read_users(path: Path) -> dict[str, str]:
    """Return the passwords by name of a file with lines NAME:PASSWORD; empty lines and those with # are left out.

    Raises:
        ValueError: it cannot be read, a line has another form, or others may read it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        is_open = bool(path.stat().st_mode & 0o077)
    except OSError as error:
        raise ValueError(f"--auth {path}: {error.strerror or error}; expected a file of lines NAME:PASSWORD") from error
    if is_open:
        raise ValueError(f"--auth {path}: others may read it; make it yours alone: chmod 600 {path}")
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, found, password = line.partition(":")
        if not (name.strip() and found and password):
            raise ValueError(f"--auth {path}, line {number}: expected NAME:PASSWORD")
        users[name.strip()] = password
    if not users:
        raise ValueError(f"--auth {path} names nobody; expected lines NAME:PASSWORD")
    return users


def checks_password(users: dict[str, str]) -> Callable[[str, str], bool]:
    """Return what tells whether a name and a password belong together, in a time that says nothing of either."""

    def check(name: str, password: str) -> bool:
        expected = users.get(name, "")
        same = hmac.compare_digest(expected.encode(), password.encode())
        return same and name in users

    return check
