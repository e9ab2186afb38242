"""What a proxy says of a request: believed where the application was started with ``--trust-proxy``, else removed."""

from __future__ import annotations

import ipaddress
import re

from ui.gates.asgi import App, Receive, Scope, Send, header, values_of

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?")
_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+")

# x-gradio-server names an address that Gradio would connect to; the others are what frameworks take for the request's.
_FOREIGN = (b"forwarded", b"x-real-ip", b"x-gradio-server", b"x-original-url", b"x-original-host", b"x-rewrite-url")


class Forwarded:
    """Writes what a trusted proxy says into the request itself; nothing behind it sees such a header."""

    def __init__(self, app: App, *, trusted: bool) -> None:
        """``trusted``: all requests come from a proxy that sets X-Forwarded-Host, -Proto and -For itself."""
        self.app, self.trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without these headers."""
        if scope["type"] != "lifespan":
            scope = self._told(scope) if self.trusted else scope
            kept = [(key, value) for key, value in scope["headers"] if not _is_forwarded(key)]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)

    @staticmethod
    def _told(scope: Scope) -> Scope:
        """Return the request as the proxy got it; of several values the last, which the nearest proxy wrote."""
        host = _last(scope, b"x-forwarded-host")
        proto = _last(scope, b"x-forwarded-proto").lower()
        client = _last(scope, b"x-forwarded-for")
        scope = dict(scope)
        if host:
            others = [(key, value) for key, value in scope["headers"] if key.lower() != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *others]
        if proto in ("http", "https"):
            scope["scheme"] = proto
        if client:
            scope["client"] = (_address(client), 0)
        return scope


def _address(client: str) -> str:
    """Return the address of whom a proxy names, without quotes, brackets and port; "unknown" where it names none."""
    client = client.strip('" ')
    match = _BRACKETED.fullmatch(client) or _WITH_PORT.fullmatch(client)
    try:
        return str(ipaddress.ip_address(match[1] if match else client))
    except ValueError:
        return "unknown"


def _is_forwarded(key: bytes) -> bool:
    return key.lower() in _FOREIGN or key.lower().startswith(b"x-forwarded-")


def _last(scope: Scope, name: bytes) -> str:
    return header(scope, name) and values_of(scope, name)[-1].split(",")[-1].strip()
