"""The routes that the page and programs use; Gradio has more (a proxy, streams, an editor), and they end here."""

from __future__ import annotations

import re

from ui.gates.asgi import App, Receive, Scope, Send, refuse

_PAGE = r"|login|logout|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|static/.*|assets/.*|svelte/.*"
_API = (
    r"gradio_api/(info|openapi\.json|app_id|startup-events|theme\.css|user|login_check|heartbeat/[\w-]+|reset|cancel"
    r"|queue/(join|data|status)|(run|api)/\w+|call/(v2/)?\w+(/\w+)?|component_server)"
)
_FILES = r"gradio_api/file=(?!\w+:)[^\x00]*"  # of this server: no address of another
_UPLOADS = r"uploads/[0-9a-f-]{36}"
_MCP = r"gradio_api/mcp(/.*)?"


class KnownRoutes:
    """Answers 404 to all but the routes named here, and closes WebSockets: nothing here uses them."""

    def __init__(self, app: App, *, mcp: bool) -> None:
        """``mcp``: the tools for language models are served, too."""
        self.app = app
        known = [_PAGE, _API, _FILES, _UPLOADS, *([_MCP] if mcp else [])]
        self.known = re.compile(rf"/({'|'.join(known)})/?", re.ASCII)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 404."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self.known.fullmatch(scope["path"])):
            await self.app(scope, receive, send)
        else:
            await refuse(scope, send, 404, "there is nothing here\n")
