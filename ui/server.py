"""Runs the application: the port first, then what takes time, then the page; closes all of it at the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from instructor_search.errors import MissingExtraError
from instructor_search.store.folders import find_collection
from ui.config import AppConfig
from ui.demo import start_first_ingest
from ui.gates.bodies import BodyLimit, JsonOnly
from ui.gates.forwarded import Forwarded
from ui.gates.headers import SecurityHeaders
from ui.gates.hosts import HostCheck
from ui.gates.logins import LoginGate, LoginThrottle
from ui.gates.origins import OriginCheck
from ui.gates.routes import KnownRoutes
from ui.gates.users import checks_password, read_users
from ui.memory import share_arenas, tidy_for_ever
from ui.own_folder import own_folder, remove_own_folder
from ui.session import Session

log = logging.getLogger("ui")
_CONNECTIONS = 4_096  # at once; more are answered with 503


def serve(config: AppConfig, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Raises:
        OSError: the port is taken, or the host is no address of this machine.
        ValueError: the file of passwords cannot be used.
        StoreError: there is no collection of the name asked for.
        MissingExtraError: Gradio is not installed.
    """
    share_arenas()
    if config.collection is not None:
        find_collection(config.collection, config.store)
    users = read_users(config.auth) if config.auth else None
    with _bound(config) as listening:
        address = _address(config, listening)
        session = Session(config)
        if not config.read_only:
            session.jobs.restore()
        job = start_first_ingest(session)
        if job:
            say("first start: making a collection from corpus/ (its progress is on the page)")
        try:
            app = build_server(session, users, _local_address(config, listening))
            server = _server(app)
            Thread(target=_warm, args=(session,), daemon=True).start()
            # Ctrl-C is the way to end it, and the server's from here on: between this line and its own start, it
            # would fall into the making of the event loop.
            with contextlib.suppress(KeyboardInterrupt), server.capture_signals():
                say(f"instructor-search is at {address}   (Ctrl-C ends it)")
                if config.mcp:
                    say(f"its tools for language models (MCP) are at {address}gradio_api/mcp/")
                server.run(sockets=[listening])
        finally:
            session.close()
            remove_own_folder()


def build_server(session: Session, users: dict[str, str] | None = None, address: str | None = None) -> Any:
    """Return the ASGI application: the page behind what protects it.

    ``address``: where the server itself is reached on this machine; its tools for language models ask there.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    try:
        import gradio as gr
        from fastapi import FastAPI
    except ImportError as error:
        raise MissingExtraError("gradio", "ui", "the application in the browser") from error
    from ui.page import build_app
    from ui.queueing import OwnQueue
    from ui.receiving import add_upload_routes
    from ui.sessions import OpenPages, Sessions
    from ui.theme import HEAD, make_theme, style

    config, limits = session.config, session.config.limits
    if config.mcp:
        _check_mcp()
    own_folder()
    blocks = build_app(session)
    blocks.queue(max_size=5 * limits.queue_size, default_concurrency_limit=limits.concurrency)
    OwnQueue.take_over(blocks._queue, per_client=limits.queue_size)
    look = f"{HEAD}<style>{style('narrow')}</style>"
    app: Any = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_upload_routes(app, session)
    app = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        auth=checks_password(users) if users else None,
        root_path=config.root_path or None,
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=config.mcp,
        theme=make_theme(),
        css=style(),
        head=look,
    )
    inner = next(route.app for route in app.routes if isinstance(getattr(route, "app", None), gr.routes.App))
    if blocks.mcp_server_obj:
        blocks.mcp_server_obj._local_url = address  # else the first request's headers would say where it is
    inner.state_holder = Sessions(blocks)
    blocks.has_launched = True  # Gradio then looks at paths, too; of an application that is mounted it does not
    app = OpenPages(app, inner.state_holder)
    if users:
        app = LoginGate(app, lambda scope: _user(inner, scope))
    return _guarded(app, config)


def _guarded(app: Any, config: AppConfig) -> Any:
    """Return the application behind its gates; the last one named here meets a request first."""
    limits = config.limits
    app = LoginThrottle(app, failures=limits.login_failures, seconds=limits.login_seconds)
    app = BodyLimit(app, body_bytes=limits.body_bytes, upload_bytes=limits.upload_bytes)
    app = KnownRoutes(JsonOnly(app), mcp=config.mcp)
    app = OriginCheck(app, config.allow_origins)
    app = HostCheck(app, config.allow_hosts, config.host)
    app = SecurityHeaders(app)
    return Forwarded(app, trusted=config.trust_proxy)


def _user(inner: Any, scope: Any) -> str | None:
    """Return who is logged in, by the cookies that Gradio gave."""
    from starlette.requests import HTTPConnection

    cookies = HTTPConnection(scope).cookies
    names = (f"access-token-{inner.cookie_id}", f"access-token-unsecure-{inner.cookie_id}")
    return next((inner.tokens[cookies[name]] for name in names if cookies.get(name) in inner.tokens), None)


def _check_mcp() -> None:
    try:
        import mcp  # noqa: F401 - Gradio needs it
    except ImportError as error:
        raise MissingExtraError("mcp", "mcp", "--mcp") from error


def _bound(config: AppConfig) -> socket.socket:
    """Return a socket that listens, so that a port that is taken is known before anything is loaded."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host.strip("[]"), config.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            taken = f"port {config.port} of {config.host} is taken; choose another: --port N (0: any that is free)"
            raise OSError(error.errno, taken) from None
        raise OSError(error.errno, f"cannot listen on {config.host}, port {config.port}: {error.strerror}") from None
    return listening


def _address(config: AppConfig, listening: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host and "[" not in config.host else config.host
    return f"http://{host}:{listening.getsockname()[1]}{config.root_path}/"


def _local_address(config: AppConfig, listening: socket.socket) -> str:
    """Return where this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)
    host = f"[{host}]" if ":" in host and "[" not in host else host
    return f"http://{host}:{listening.getsockname()[1]}/"


def _server(app: Any) -> Any:
    """Return the server with all that it imports, so that Ctrl-C does not fall into an import."""
    import uvicorn

    # Addresses hold queries (they can be shared), so that requests are not logged.
    # proxy_headers: whom a request comes from is what the connection says (ui/gates/forwarded.py).
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
    )
    config.load()
    logging.getLogger("uvicorn.error").addFilter(_is_no_ending)
    signal.signal(signal.SIGTERM, _as_ctrl_c)  # uvicorn ends in order, and then raises the signal again
    return uvicorn.Server(config)


def _is_no_ending(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log is about anything but open pages, or a start, that end with it."""
    kind, message = record.exc_info[0] if record.exc_info else None, record.getMessage()
    ends = kind is not None and issubclass(kind, asyncio.CancelledError)
    ends = ends or message.rstrip().endswith("CancelledError")  # a start's is logged as text
    return not ends and "timeout graceful shutdown exceeded" not in message


def _as_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


def _warm(session: Session) -> None:
    """Load the model, so that the first search need not: at once, or when the first collection is there. Then tidy."""
    try:
        while session.first_job is not None and session.first_job.is_running:
            time.sleep(0.2)
        session.warm()
    except Exception as error:  # the page says it when somebody searches; here it must not end the start
        log.debug("warming up failed: %s", type(error).__name__)
    tidy_for_ever()
