"""Under which names the application answers (DNS rebinding: a page of another name must not reach it)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from ui.gates.asgi import App, Receive, Scope, Send, refuse, values_of

_HOST = re.compile(r"(\[[0-9a-zA-Z:.%]+\]|[^:\[\]/?#@\\\s]+)(?::(\d{1,5}))?")
_ANY = ("0.0.0.0", "::")


def split_host(text: str) -> tuple[str, int | None]:
    """Return the name and the port of a Host header or of an origin's last part, the name in its one form.

    ``[::ffff:127.0.0.1]`` is 127.0.0.1; names are in lower case and without the dot at their end.

    Raises:
        ValueError: it has another form.
    """
    match = _HOST.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r:.80} is no host name")
    return canonical(match[1]), int(match[2]) if match[2] else None


def canonical(name: str) -> str:
    """Return a host name or an address in its one form."""
    name = name.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def is_address(name: str) -> bool:
    """Whether a canonical name is a bare address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def network_of(scope: Scope) -> str:
    """Return whom a request comes from, for what is counted: an address; of IPv6 the 64 bits that one customer has."""
    client = canonical(str((scope.get("client") or ("unknown",))[0]).partition("%")[0])
    if ":" not in client or not is_address(client):
        return client
    return str(ipaddress.ip_network((client, 64), strict=False))


class HostCheck:
    """Answers requests for names that are ours only."""

    def __init__(self, app: App, names: Iterable[str], host: str) -> None:
        """``names``: allowed beside localhost and the address ``host`` that the application listens on.

        Where that is any address of the machine, the one at which the request came in is allowed, and loopback.
        """
        self.app = app
        self.names = {"localhost", *(canonical(name) for name in (*names, host))} - set(_ANY)
        self.any = canonical(host) in _ANY
        if self.any:
            self.names |= {"127.0.0.1", "::1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] == "lifespan" or self.allows(scope):
            await self.app(scope, receive, send)
        else:
            text = "unknown host name or address; the server's owner can allow it: --allow-host NAME\n"
            await refuse(scope, send, 400, text)

    def allows(self, scope: Scope) -> bool:
        """Whether the Host header, of which there must be one, names this server."""
        hosts = values_of(scope, b"host")
        if len(hosts) != 1:
            return False
        try:
            name, _ = split_host(hosts[0])
        except ValueError:
            return False
        came_in_at = canonical(str((scope.get("server") or ("",))[0]))
        return name in self.names or (self.any and is_address(name) and name == came_in_at)
