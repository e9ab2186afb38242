"""Attacks from outside, each of which got through once: files, other sites, headers, options, logins, memory, names."""

import asyncio
import json
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.ui.attacking import EVIL, Attacker, functions_with_inputs
from tests.ui.conftest import running

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


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "private" / "secret.txt"
    path.parent.mkdir()
    path.write_text("the canary sings at midnight")
    return path


def as_file(path):
    return {"path": str(path), "orig_name": "notes.txt", "meta": {"_type": "gradio.FileData"}}


def file_values(path):
    """The forms in which a value can name a file of the server."""
    yield as_file(path)
    yield [as_file(path)]
    yield str(path)
    yield {"path": str(path)}
    yield {"value": as_file(path)}


@pytest.mark.slow
@pytest.mark.trust
def test_no_function_of_the_page_takes_a_file_of_the_machine(victim, secret):
    attacker, said = Attacker(victim.address), []
    functions, session = list(functions_with_inputs(attacker.config())), attacker.open()
    assert len(functions) > 30
    for number, types, _ in functions:
        for at in range(len(types)):
            for form, value in enumerate(file_values(secret)):
                data = filled(types, f"stolen-{number}-{at}-{form}")
                said.append(attacker.call(number, [*data[:at], value, *data[at + 1 :]], session))
    wait_for_jobs(victim)
    assert b"canary" not in b"".join(said)
    assert not [p for p in victim.store.rglob("*") if p.is_file() and b"canary sings" in p.read_bytes()]
    names = {c["name"] for c in json.loads(attacker.api("collections").body.split(b"data: ", 1)[1])[0]}
    assert not [
        name for name in names if "canary" in attacker.api("search", query="canary", collection=name).body.decode()
    ]


def filled(types, text):
    """Return values that functions take: a text for each text, and nothing else."""
    return [text if kind == "textbox" else False if kind == "checkbox" else None for kind in types]


def wait_for_jobs(victim):
    until = time.monotonic() + 60
    while list((victim.store / ".jobs").glob("*.lock")) and time.monotonic() < until:
        time.sleep(0.2)


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


@pytest.mark.slow
@pytest.mark.trust
def test_no_value_and_no_path_makes_the_server_fetch(victim):
    attacker = Attacker(victim.address)
    with Listener() as listener:
        url, session = f"http://{listener.place}/x", attacker.open()
        for number, types, _ in functions_with_inputs(attacker.config()):
            for at in range(len(types)):
                value = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
                data = filled(types, "fetched")
                attacker.call(number, [*data[:at], value, *data[at + 1 :]], session)
        for path in (f"/gradio_api/file={url}", f"/gradio_api/proxy={url}", f"/gradio_api/file/{url}"):
            assert attacker.ask("GET", path).status in (403, 404)
        wait_for_jobs(victim)
        assert listener.came == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "..%2f..%2f..%2fetc/passwd",
        "/proc/self/environ",
        "README.md",
        "/etc/./passwd",
        "C:/x",
        "file:///etc/passwd",
    ],
)
def test_no_path_is_served(victim, path):
    for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/", "/gradio_api/proxy="):
        reply = Attacker(victim.address).ask("GET", f"{route}{path}")
        assert reply.status in (403, 404, 400) and b"root:" not in reply.body


def own_hosts(victim):
    port = victim.address.rsplit(":", 1)[1].strip("/")
    return [f"127.0.0.1:{port}", f"localhost:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::1]:{port}"]


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "https://127.0.0.1.evil.example", "file://"])
def test_pages_of_other_sites_get_nothing(victim, origin):
    attacker = Attacker(victim.address, origin=origin)
    for host in own_hosts(victim):
        for method, routes in (("GET", ROUTES), ("POST", POSTS), ("OPTIONS", POSTS)):
            for route in routes:
                reply = attacker.ask(method, route, b"" if method == "POST" else None, host=host)
                assert reply.status in (400, 403), (method, route, host)
                assert "access-control-allow-origin" not in reply.headers


def test_a_form_of_another_site_uploads_nothing(victim):
    body = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
    for headers in ({"origin": EVIL}, {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}):
        for route in ("/gradio_api/upload", "/uploads/01234567-0123-0123-0123-0123456789ab?name=a"):
            reply = Attacker(victim.address).ask(
                "POST", route, body, content_type="multipart/form-data; boundary=x", **headers
            )
            assert reply.status == 403
    assert not list((victim.store / ".staged").rglob("a*"))


def test_links_of_other_sites_open_the_page_and_nothing_else(victim):
    attacker = Attacker(victim.address, sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert attacker.ask("GET", "/?tab=search&q=mercury").status == 200
    assert {attacker.ask("GET", route).status for route in ROUTES[1:]} == {403}


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.20",
        "10.0.0.5:7860",
        "evil.example",
        "[fe80::1]",
        "0.0.0.0",
        "127.0.0.2",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "",
        "[::ffff:10.0.0.5]",
        "a b",
        "127.0.0.1:80:80",
        "[::1",
        "127.0.0.1/evil.example",
    ],
)
def test_names_and_addresses_that_it_was_not_told_to_serve(victim, host):
    assert {Attacker(victim.address).ask("GET", route, host=host).status for route in ROUTES} == {400}


@pytest.mark.slow
@pytest.mark.trust
def test_its_own_page_and_an_allowed_site_are_let_in(corpus_store):
    friend = "https://search.example.org"
    with running("--store", str(corpus_store), "--read-only", "--allow-origin", friend) as application:
        own = Attacker(application.address, origin=application.address.rstrip("/"))
        reply = own.ask("GET", "/config")
        assert reply.status == 200 and "access-control-allow-origin" not in reply.headers
        reply = Attacker(application.address, origin=friend).ask("GET", "/gradio_api/info")
        assert reply.status == 200 and reply.headers["access-control-allow-origin"] == friend
        preflight = Attacker(application.address, origin=friend).ask(
            "OPTIONS",
            "/gradio_api/call/search",
            access_control_request_method="POST",
            access_control_request_headers="content-type",
        )
        assert preflight.status == 200 and preflight.headers["access-control-allow-headers"] == "content-type"
        assert Attacker(application.address, origin=f"{friend}.evil.example").ask("GET", "/config").status == 403


FORGED = {
    "x_forwarded_host": "{}",
    "x_gradio_server": "http://{}",
    "forwarded": "host={}",
    "x_original_host": "{}",
    "host": "{}",
}


def call_tool(attacker, **headers):
    """Call the tool "search" of the MCP server."""
    asked = {"name": "search", "arguments": {"query": "mercury", "collection": "corpus", "top_k": 1}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    return attacker.ask("POST", "/gradio_api/mcp/", body, accept="application/json, text/event-stream", **headers)


@pytest.mark.slow
@pytest.mark.trust
def test_no_header_leads_the_tools_for_language_models_elsewhere(corpus_store):
    with running("--store", str(corpus_store), "--read-only", "--mcp") as application, Listener() as listener:
        attacker = Attacker(application.address)
        for name, value in FORGED.items():
            call_tool(attacker, **{name: value.format(listener.place)})
        later = call_tool(attacker, authorization="Bearer of somebody else")
        assert listener.came == []
        assert later.status == 200 and b"Mercury" in later.body


def test_the_page_believes_no_forwarded_host(victim):
    for name in ("x_forwarded_host", "x_gradio_server", "x_forwarded_proto"):
        value = {"x_forwarded_proto": "https", "x_gradio_server": EVIL}.get(name, "evil.example")
        page = Attacker(victim.address).ask("GET", "/", **{name: value}).body
        assert b"evil.example" not in page and b'"root":"https://' not in page
        assert b"evil.example" not in Attacker(victim.address).ask("GET", "/config", **{name: value}).body


@pytest.mark.slow
@pytest.mark.trust
def test_a_trusted_proxy_is_believed_within_the_allowed_names(corpus_store):
    options = ["--store", str(corpus_store), "--read-only", "--trust-proxy", "--allow-host", "search.example.org"]
    with running(*options) as application:
        attacker = Attacker(application.address)
        page = attacker.ask("GET", "/config", x_forwarded_host="search.example.org", x_forwarded_proto="https")
        assert page.json()["root"] == "https://search.example.org"
        assert attacker.ask("GET", "/config", x_forwarded_host="evil.example").status == 400


@pytest.mark.slow
@pytest.mark.trust
def test_memory_stays_flat_over_many_calls(victim):
    pages = Attacker(victim.address)
    for _ in range(50):
        pages.api("search", query="mercury", collection="corpus")
    before = resident(victim.process.pid)
    for _ in range(200):
        pages.api("search", query="mercury", collection="corpus")
    assert resident(victim.process.pid) - before < 30  # MB; a session a call took 0.38


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) >> 10


@pytest.fixture(scope="module")
def locked(corpus_store, tmp_path_factory):
    """An application that asks for a password."""
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text("reader:correct horse\n")
    users.chmod(0o600)
    with running("--store", str(corpus_store), "--read-only", "--auth", str(users)) as application:
        yield application


def log_in(application, password):
    form = f"username=reader&password={password}"
    return Attacker(application.address).ask("POST", "/login", form, content_type="application/x-www-form-urlencoded")


def test_nothing_but_the_login_page_answers_without_a_login(locked):
    attacker = Attacker(locked.address)
    open_to_all = {"/", "/theme.css", "/assets/x.js", "/static/x", "/manifest.json"}
    told = {route: attacker.ask("GET", route).status for route in ROUTES}
    assert {route for route, status in told.items() if status not in (401, 404)} <= open_to_all
    assert {attacker.ask("POST", route, {}).status for route in POSTS if route != "/login"} <= {401, 404}
    cookie = log_in(locked, "correct+horse").headers["set-cookie"].partition(";")[0]
    assert Attacker(locked.address, cookie=cookie).ask("GET", "/config").status == 200
    assert Attacker(locked.address, cookie=cookie.partition("=")[0] + "=forged").ask("GET", "/config").status == 401


def test_many_logins_at_once_are_not_all_looked_at(locked):
    with ThreadPoolExecutor(50) as pool:
        told = list(pool.map(lambda n: log_in(locked, f"guess{n}").status, range(200)))
    assert told.count(400) <= 5 and set(told) == {400, 429}


def test_a_login_is_counted_before_it_is_answered():
    from ui.gates.logins import LoginThrottle

    async def slow(scope, receive, send):
        looked.append(scope["path"])
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def many():
        app = LoginThrottle(slow, failures=5, seconds=60)
        scope = {"type": "http", "method": "POST", "path": "/login", "client": ("10.0.0.1", 1), "headers": []}
        await asyncio.gather(*(app(scope, None, answered) for _ in range(200)))

    async def answered(message):
        pass

    looked = []
    asyncio.run(many())
    assert len(looked) == 5


def upload(application, batch, name, content):
    from urllib.parse import quote

    return Attacker(application.address).ask("POST", f"/uploads/{batch}?name={quote(name)}", content)


BATCH = "01234567-0123-0123-0123-0123456789"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        ".hidden",
        "a/.git/x",
        "x\x00y",
        "x\ny",
        "..",
        "",
        "x" * 300,
        "/".join("abcdefghij" * 4),
    ],
)
def test_names_of_uploads_stay_below_their_folder(victim, name):
    reply = upload(victim, BATCH + "aa", name, b"text")
    assert reply.status == 400 and reply.json()["error"]
    assert not [p for p in (victim.store / ".staged").rglob("*") if p.is_file()]


def test_ids_of_uploads_are_no_paths(victim):
    for batch in ("../corpus", "..%2fcorpus", "x", BATCH + "AA"):
        assert Attacker(victim.address).ask("POST", f"/uploads/{batch}?name=a.txt", b"text").status in (400, 404)


@pytest.mark.slow
@pytest.mark.trust
def test_uploads_together_are_limited(corpus_store, tmp_path):
    shutil.copytree(corpus_store, tmp_path / "store")
    with running("--store", str(tmp_path / "store"), "--upload-quota", "1") as application:
        statuses = [upload(application, BATCH + f"{n:02d}", "a.txt", b"x" * 300_000).status for n in range(5)]
        assert statuses == [200, 200, 200, 507, 507]
        staged = sum(p.stat().st_size for p in (tmp_path / "store" / ".staged").rglob("*.txt"))
        assert staged == 900_000 and not list((tmp_path / "store").rglob("*.part"))


def test_a_body_that_is_too_long_ends(victim):
    """A body that does not say how long it is: answered once it has too much, before its end."""
    with socket.create_connection(victim.address.split("/")[2].split(":"), 30) as stream:
        stream.sendall(
            b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(9):
            stream.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        stream.settimeout(30)
        assert b"413" in stream.recv(1000).split(b"\r\n")[0]


def test_the_tools_and_a_login_are_not_offered_together(tmp_path):
    from ui.config import AppConfig

    with pytest.raises(ValueError, match="--mcp and --auth do not go together"):
        AppConfig(mcp=True, auth=tmp_path / "users")
