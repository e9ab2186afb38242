"""What an attacker of the application has: plain HTTP with any header, and Gradio's protocol by hand."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

EVIL = "http://evil.example"
ROUTES = [
    "/",
    "/config",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/theme.css",
    "/assets/x.js",
    "/static/x",
    "/gradio_api/file=README.md",
    "/gradio_api/queue/data?session_hash=a",
    "/gradio_api/heartbeat/abc",
    "/gradio_api/startup-events",
    "/gradio_api/app_id",
    "/gradio_api/mcp/",
    "/logout",
    "/manifest.json",
]
POSTS = [
    "/gradio_api/queue/join",
    "/gradio_api/run/search",
    "/gradio_api/api/search",
    "/gradio_api/call/search",
    "/gradio_api/call/v2/search",
    "/gradio_api/upload",
    "/gradio_api/component_server",
    "/gradio_api/reset",
    "/gradio_api/cancel",
    "/login",
    "/gradio_api/mcp/",
    "/uploads/01234567-0123-0123-0123-0123456789ab?name=a",
]
_sessions = itertools.count()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Attacker:
    """One client of a server on loopback; ``host`` and ``headers`` are whatever it likes."""

    def __init__(self, address: str, **headers: str) -> None:
        self.place = urlsplit(address).netloc
        self.headers = headers

    def ask(self, method: str, path: str, body: bytes | str | dict | None = None, host: str | None = None, **headers):
        """Send one request; names of headers have _ for -."""
        connection = http.client.HTTPConnection(self.place, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", self.place if host is None else host)
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"content_type": "application/json", **headers}
        sent = body.encode() if isinstance(body, str) else body
        for name, value in {**self.headers, **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        if sent is not None:
            connection.putheader("Content-Length", str(len(sent)))
        connection.endheaders()
        if sent is not None:
            connection.send(sent)
        answer = connection.getresponse()
        reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return reply

    def config(self) -> dict:
        return self.ask("GET", "/config").json()

    def open(self) -> str:
        """Open the page in a new session, as its scripts do, and return the session: its fields then have choices."""
        session = f"attack{next(_sessions)}"
        load = next(f["id"] for f in self.config()["dependencies"] if any(t[1] == "load" for t in f["targets"]))
        assert b"process_completed" in self.call(load, [], session)
        return session

    def join(self, fn_index: int, data: list, session: str, **more) -> Reply:
        """Ask for a function of the page in the queue."""
        asked = {"fn_index": fn_index, "data": data, "session_hash": session, "event_data": None, **more}
        return self.ask("POST", "/gradio_api/queue/join", asked)

    def call(self, fn_index: int, data: list, session: str, **more) -> bytes:
        """Run a function of the page as its scripts do and return all that the server says of it."""
        joined = self.join(fn_index, data, session, **more)
        if joined.status != 200:
            return joined.body
        return joined.body + self.ask("GET", f"/gradio_api/queue/data?session_hash={session}").body

    def api(self, name: str, **values) -> Reply:
        """Call a function for programs, and take its answer."""
        info = self.ask("GET", "/gradio_api/info").json()["named_endpoints"][f"/{name}"]["parameters"]
        data = [values.get(p["parameter_name"], p.get("parameter_default")) for p in info]
        event = self.ask("POST", f"/gradio_api/call/{name}", {"data": data}).json()["event_id"]
        return self.ask("GET", f"/gradio_api/call/{name}/{event}")


def function_of(config: dict, elem_id: str, event: str = "click") -> int:
    """Return the number of the function that an event of a component calls."""
    (part,) = [part["id"] for part in config["components"] if part["props"].get("elem_id") == elem_id]
    return next(f["id"] for f in config["dependencies"] if [part, event] in [list(t) for t in f["targets"]])


def functions_with_inputs(config: dict):
    """Yield (function's number, types of its inputs, their labels) of all that a page can call."""
    parts = {part["id"]: part for part in config["components"]}
    for function in config["dependencies"]:
        inputs = [parts[i if isinstance(i, int) else i[0]] for i in function["inputs"]]
        if inputs:
            yield function["id"], [part["type"] for part in inputs], [part["props"].get("label") for part in inputs]


class Listener:
    """A server of the attacker's that counts who comes."""

    def __enter__(self):
        self.came = came = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                came.append((self.path, self.headers.get("authorization")))
                self.send_response(200)
                self.end_headers()

            do_POST = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.place = f"127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) >> 10
