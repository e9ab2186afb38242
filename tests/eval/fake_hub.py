"""A data hub on loopback: serves folders of data sets by the addresses that the real client asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """``repositories``: "organisation/name" -> folder. ``asked`` lists the requests."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append(f"{request.command} {request.path}")
        for name, folder in self.repositories.items():
            if path.startswith(f"api/datasets/{name}"):
                return self._send_json(
                    request, self._api(name, folder, path.removeprefix(f"api/datasets/{name}"), body)
                )
            if path.startswith(f"datasets/{name}/resolve/"):
                file = folder / path.removeprefix(f"datasets/{name}/resolve/").split("/", 1)[1]
                return self._send_file(request, file) if file.is_file() else self._missing(request, "EntryNotFound")
        return self._missing(request, "RepoNotFound")

    def _api(self, name: str, folder: Path, rest: str, body: bytes) -> object:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        entries = [
            {
                "type": "file",
                "path": p.relative_to(folder).as_posix(),
                "size": p.stat().st_size,
                "oid": hashlib.sha1(p.read_bytes(), usedforsecurity=False).hexdigest(),
            }
            for p in files
        ]
        if rest.startswith("/tree/"):
            inside = rest.removeprefix("/tree/").split("/", 1)
            return [e for e in entries if len(inside) == 1 or e["path"].startswith(inside[1])]
        if rest.startswith("/paths-info/"):
            wanted = (
                json.loads(body)["paths"]
                if body.startswith(b"{")
                else [unquote(part.split("=", 1)[1]) for part in body.decode().split("&") if part.startswith("paths=")]
            )
            return [e for e in entries if e["path"] in wanted]
        siblings = [{"rfilename": e["path"]} for e in entries]
        return {
            "id": name,
            "sha": COMMIT,
            "siblings": siblings,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "gated": False,
            "disabled": False,
        }

    @staticmethod
    def _send_json(request: BaseHTTPRequestHandler, value: object) -> None:
        FakeHub._send(request, 200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _send_file(request: BaseHTTPRequestHandler, file: Path) -> None:
        content = file.read_bytes()
        etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        FakeHub._send(request, 200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

    @staticmethod
    def _missing(request: BaseHTTPRequestHandler, code: str) -> None:
        FakeHub._send(request, 404, b"{}", {"X-Error-Code": code, "X-Error-Message": "not found"})

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
