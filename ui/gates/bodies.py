"""How much a request may bring."""

from __future__ import annotations

from ui.gates.asgi import App, Message, Receive, Scope, Send, header, refuse

_UPLOADS = "/uploads/"


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
        limit = self.upload_bytes if scope["path"].startswith(_UPLOADS) else self.body_bytes
        said = header(scope, b"content-length")
        if said.isdigit() and int(said) > limit:
            await refuse(scope, send, 413, f"the request has {said} bytes; expected at most {limit}\n")
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
                await refuse(scope, send, 413, f"the request has more than {limit} bytes\n")


class JsonOnly:
    """Refuses calls of functions that bring anything but JSON, before it is read: Gradio would store forms as files."""

    def __init__(self, app: App) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 415."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/gradio_api/"):
            kind = header(scope, b"content-type").partition(";")[0].strip().lower()
            if kind != "application/json":
                await refuse(scope, send, 415, "the request has no JSON; expected content-type: application/json\n")
                return
        await self.app(scope, receive, send)


class _TooLargeError(Exception):
    pass
