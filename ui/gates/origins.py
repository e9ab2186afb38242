"""Which pages may ask: the application's own, and those of origins that its owner named."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from ui.gates.asgi import App, Message, Receive, Scope, Send, header, refuse, values_of
from ui.gates.hosts import split_host

_PORTS = {"http": 80, "https": 443}
_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"


def parse_origin(text: str) -> tuple[str, str, int]:
    """Return scheme, canonical host and port of an origin such as https://search.example.org.

    Raises:
        ValueError: it is none ("null" is none).
    """
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or text.rstrip("/") != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{text!r:.80} is no origin; expected one such as https://search.example.org")
    name, port = split_host(parts.netloc)
    return parts.scheme, name, port or _PORTS[parts.scheme]


class OriginCheck:
    """Answers 403 to a page of another site, on every route; and says to browsers which sites may read the answers."""

    def __init__(self, app: App, allowed: Iterable[str]) -> None:
        """``allowed``: origins beside the application's own."""
        self.app = app
        self.allowed = {parse_origin(origin) for origin in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        origins = values_of(scope, b"origin")
        named = bool(origins) and self._is_named(origins)
        if not named and not (self._is_own(scope, origins) if origins else _is_asked_here(scope)):
            text = "a page of another site asks; the server's owner can allow it: --allow-origin ORIGIN\n"
            await refuse(scope, send, 403, text)
            return
        extra = _readable_by(origins[0]) if named else []
        if named and scope["type"] == "http" and scope["method"] == "OPTIONS":
            await refuse(scope, send, 200, "", [*extra, *_preflight(scope)])
            return
        await self.app(scope, receive, _with(send, extra))

    def _is_named(self, origins: list[str]) -> bool:
        try:
            return len(origins) == 1 and parse_origin(origins[0]) in self.allowed
        except ValueError:
            return False

    @staticmethod
    def _is_own(scope: Scope, origins: list[str]) -> bool:
        """Whether the one origin is the host that is asked; TLS may end at a proxy, so that either scheme is."""
        try:
            scheme, name, port = parse_origin(origins[0])
            host, host_port = split_host(header(scope, b"host"))
        except ValueError:
            return False
        return len(origins) == 1 and (name, port) == (host, host_port or _PORTS[scheme])


def _is_asked_here(scope: Scope) -> bool:
    """Whether a request without an origin is a program's, the page's own, or opens the page from a link elsewhere."""
    if header(scope, b"sec-fetch-site") not in ("cross-site", "same-site"):
        return True
    opens = header(scope, b"sec-fetch-mode") == "navigate" and scope.get("method") in ("GET", "HEAD")
    return opens and scope["path"] in ("/", "")


def _readable_by(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]


def _preflight(scope: Scope) -> list[tuple[bytes, bytes]]:
    asked = header(scope, b"access-control-request-headers").encode("latin-1")
    return [(b"access-control-allow-methods", _METHODS), (b"access-control-allow-headers", asked)]


def _with(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    """Return what sends answers with our own word on who may read them, and none of Gradio's."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message["headers"] if not k.lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return sending
