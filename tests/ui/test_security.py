"""What stands between the network and the application, each wrapper by itself and all of them around the real page."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ui.sending import send
from ui.config import AppConfig, Limits
from ui.gates.bodies import BodyLimit
from ui.gates.headers import HEADERS, SecurityHeaders
from ui.gates.hosts import HostCheck
from ui.gates.logins import LoginThrottle
from ui.gates.users import checks_password, read_users
from ui.handling import as_panel, message_of
from ui.keeping import add_folder, allowed_folder, allowed_folders, create
from ui.render import cards, drawer
from ui.session import AppError, Asked, Session
from ui.uploads import UploadError


async def plain(scope, receive, send):
    """An application that reads the body and answers 200."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    status = int(dict(scope["headers"]).get(b"x-status", b"200"))
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-size", str(size).encode())]})
    await send({"type": "http.response.body", "body": b"fine"})


def ask(
    app, path="/", *, host="localhost:7860", method="GET", body=(b"",), headers=(), client="10.0.0.1", at="127.0.0.1"
):
    """Return (status, headers) of one request to an ASGI application."""
    parts, sent = list(body), []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": (client, 1),
        "server": (at, 7860),
        "headers": [(b"host", host.encode()), *headers],
    }

    async def receive():
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


OWN = ["localhost", "localhost:7860", "LOCALHOST.", "127.0.0.1:80", "[::ffff:127.0.0.1]:7860", "me.example", "10.9.9.9"]


@pytest.mark.parametrize("host", OWN)
def test_hosts_that_are_ours(host):
    assert ask(HostCheck(plain, ["me.example", "10.9.9.9"], "127.0.0.1"), host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:7860",
        "",
        "127.0.0.1.evil.example",
        "10.1.2.3",
        "[::1]",
        "[::ffff:10.1.2.3]",
        "0.0.0.0",
    ],
)
def test_other_hosts_are_refused(host):
    assert ask(HostCheck(plain, ["me.example"], "127.0.0.1"), host=host)[0] == 400


@pytest.mark.parametrize(
    ("listens", "came_in_at", "host", "status"),
    [
        ("0.0.0.0", "192.168.1.5", "192.168.1.5:7860", 200),
        ("0.0.0.0", "192.168.1.5", "192.168.1.6", 400),
        ("::", "::ffff:192.168.1.5", "192.168.1.5", 200),
        ("::", "::1", "[::1]:7860", 200),
        ("0.0.0.0", "127.0.0.1", "0.0.0.0", 400),
        ("192.168.1.5", "192.168.1.5", "192.168.1.5", 200),
        ("192.168.1.5", "192.168.1.5", "192.168.1.6", 400),
        ("::1", "::1", "[::1]:7860", 200),
    ],
)
def test_addresses_of_a_server_that_others_reach(listens, came_in_at, host, status):
    assert ask(HostCheck(plain, [], listens), host=host, at=came_in_at)[0] == status


def test_two_host_headers_are_refused():
    app = HostCheck(plain, [], "127.0.0.1")
    assert ask(app, headers=[(b"host", b"localhost")])[0] == 400


def test_headers_are_added_and_not_doubled():
    status, headers = ask(SecurityHeaders(plain))
    assert status == 200 and set(HEADERS) <= set(headers) and headers[b"x-size"] == b"0"
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert b"http" not in headers[b"content-security-policy"]  # no other host is named


@pytest.mark.parametrize(
    ("path", "size", "status"), [("/x", 10, 200), ("/x", 11, 413), ("/uploads/x", 50, 200), ("/uploads/x", 101, 413)]
)
@pytest.mark.parametrize("said", [True, False])
def test_bodies_are_limited_by_what_they_say_and_by_what_comes(path, size, status, said):
    headers = [(b"content-length", str(size).encode())] if said else []
    parts = [b"x" * (size // 2), b"x" * (size - size // 2)]
    assert ask(BodyLimit(plain, body_bytes=10, upload_bytes=100), path, body=parts, headers=headers)[0] == status


def test_logins_are_throttled_for_one_address_and_for_a_while():
    now = [0.0]
    app = LoginThrottle(plain, failures=3, seconds=60, clock=lambda: now[0])
    wrong = {"method": "POST", "headers": [(b"x-status", b"400")]}
    assert [ask(app, "/login", **wrong)[0] for _ in range(5)] == [400, 400, 400, 429, 429]
    assert ask(app, "/login", method="POST")[0] == 429  # the right password, too: it could be guessed
    assert ask(app, "/login", **wrong, client="10.0.0.2")[0] == 400
    assert ask(app, "/other", **wrong)[0] == 400
    now[0] = 61.0
    assert ask(app, "/login", method="POST")[0] == 200
    assert "retry-after" not in str(ask(app, "/login", method="POST")[1])


def test_users_of_a_file(tmp_path):
    path = tmp_path / "users"
    path.write_text("# people\nann:s3:cret\n\nbob:x\n")
    path.chmod(0o600)
    check = checks_password(read_users(path))
    assert check("ann", "s3:cret") and check("bob", "x")
    assert not (check("ann", "x") or check("eve", "") or check("", ""))


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("ann", 0o600, "line 1: expected NAME:PASSWORD"),
        ("", 0o600, "names nobody"),
        ("ann:x", 0o644, "chmod 600"),
        (None, 0, "No such file"),
    ],
)
def test_files_of_users_that_are_refused(tmp_path, text, mode, message):
    path = tmp_path / "users"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(ValueError, match=message):
        read_users(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-machine"])
def test_other_machines_need_a_password_or_an_explicit_flag(host):
    with pytest.raises(ValueError, match="--auth FILE"):
        AppConfig(host=host)
    assert AppConfig(host=host, no_auth=True).host == host and AppConfig(host=host, auth=Path("users")).auth
    assert all(AppConfig(host=own).is_loopback for own in ("127.0.0.1", "::1", "localhost", "127.9.9.9"))


@pytest.mark.parametrize("given", [{"llm": "/nope"}, {"llm": ""}, {"llm_tokenizer": Path("/nope")}])
def test_a_model_that_is_not_there_is_told_at_the_start(given):
    with pytest.raises(ValueError, match="--llm.* there is no"):
        AppConfig(**given)


def test_folders_outside_the_allowed_ones_are_refused(tmp_path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    (allowed / "in").mkdir(parents=True)
    other.mkdir()
    (allowed / "link").symlink_to(other)
    session = Session(AppConfig(store=str(tmp_path / "store"), allow_folders=(allowed,)))
    assert allowed_folder(session, "allowed", "in") == allowed / "in"
    assert allowed_folder(session, "allowed", "") == allowed
    for below in ("..", "../other", "in/../../other", "link"):
        with pytest.raises(AppError, match="leads out of"):
            allowed_folder(session, "allowed", below)
    with pytest.raises(AppError, match="is no folder"):
        allowed_folder(session, "allowed", "x\0")
    assert allowed_folder(session, "allowed", "/in") == allowed / "in"  # never the machine's own root
    with pytest.raises(AppError, match="not allowed at the start"):
        add_folder(session, "x", str(other), "", "")
    with pytest.raises(AppError, match="no folder is chosen"):
        add_folder(session, "x", "", "", "")
    twins = Session(AppConfig(store=str(tmp_path), allow_folders=(allowed, tmp_path / "allowed")))
    assert list(allowed_folders(twins)) == ["allowed", "allowed (2)"]


EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)'


def test_texts_of_documents_and_users_are_escaped():
    from instructor_search.records import Hit
    from instructor_search.search.documents import Passage, StoredDocument
    from instructor_search.search.explain import Explanation, Part

    hit = Hit(1, 0.5, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 0, 9, (EVIL,), 1, {EVIL: EVIL}, {}, EVIL)
    document = StoredDocument(EVIL, EVIL, EVIL, EVIL, (Passage("c", 0, 20, 1),), {"a": EVIL})
    part = Part(EVIL[:9], 0, 9, 0.5)
    why = Explanation(EVIL, EVIL, EVIL, 0.5, (part,), (part,), (part,), EVIL)
    asked = Asked("c", EVIL, EVIL, where=EVIL)
    made = [
        cards.card(hit, top=1.0),
        cards.asked_json(asked).replace('"', "") and cards.search_address(asked),
        drawer.document(document, "c"),
        drawer.explanation(EVIL, [why]),
        as_panel(_refuses)(),
    ]
    for html in made:
        assert "<script" not in html and "<img" not in html and '" onmouseover' not in html, html[:300]
    assert "&lt;script&gt;" in made[0]


def _refuses():
    raise ValueError(EVIL)


def test_limits_of_a_request(session):
    asked = Asked("corpus", "x" * 5000, "")
    with pytest.raises(AppError, match="query has 5,000 characters; at most 4,000"):
        session.search(asked)
    with pytest.raises(AppError, match="instruction has"):
        session.search(Asked("corpus", "x", "y" * 3000))
    for top_k in (0, 51, -1):
        with pytest.raises(AppError, match="expected 1 to 50"):
            session.search(Asked("corpus", "x", "", top_k=top_k))


def test_uploads_are_limited(tmp_path):
    session = Session(AppConfig(store=str(tmp_path / "store"), limits=Limits(upload_bytes=10, upload_files=2)))
    with pytest.raises(UploadError, match="has more than"):
        send(session, {"0.txt": b"x" * 11})
    batch = send(session, {"0.txt": b"x", "1.txt": b"y"})
    with pytest.raises(UploadError, match="more than 2 files at once"):
        send(session, {"2.txt": b"z"}, batch)
    for name in ("../x", "a/b", ".hidden", "x" * 65):
        with pytest.raises(AppError, match="expected letters"):
            create(session, name, "", batch)
    with pytest.raises(AppError, match="has no name yet"):
        create(session, " ", "", batch)
    with pytest.raises(UploadError, match="no file was chosen"):
        create(session, "new", "", "")
    assert not (tmp_path / "store" / ".uploads").exists()


def test_reading_only_changes_nothing(own_store):
    session = Session(AppConfig(store=str(own_store), read_only=True))
    for change in (lambda: create(session, "x", "", "a"), lambda: session.judge(Asked("corpus", "q", ""), "c", True)):
        with pytest.raises(AppError, match="--read-only"):
            change()


def test_what_somebody_typed_is_not_logged(caplog):
    def slips():
        secret = "my secret query"
        raise RuntimeError(f"failed at {secret}")

    with caplog.at_level(logging.DEBUG):
        said = as_panel(slips)()
    assert "secret" not in said and "Traceback" not in said and "went wrong" in said
    assert "RuntimeError" in caplog.text and "my secret query'" not in caplog.text
    assert "failed at" not in message_of(RuntimeError("failed at my secret query"))


def run_app(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "ui.app", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, **options
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "no password is asked for"),
        (["--port", "99999"], 2, "expected 0 to 65535"),
        (["--root-path", "x"], 2, "expected a path such as /search"),
        (["--allow-folder", "/nowhere"], 2, "there is no such folder"),
        (["--collection", "nothing"], 1, "no collection 'nothing'"),
        (["--auth", "/nowhere"], 1, "No such file"),
        (["--portt", "1"], 2, "unrecognized arguments"),
    ],
)
def test_wrong_starts_say_one_line(arguments, code, message, tmp_path):
    done = run_app(*arguments, "--store", str(tmp_path))
    assert done.returncode == code and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: ")


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_app("--port", str(taken.getsockname()[1]), "--store", str(tmp_path))
    assert done.returncode == 1 and "is taken; choose another" in done.stderr
    assert not any(Path(tmp_path).iterdir())  # nothing was begun


def test_around_the_real_page(own_store, tmp_path):
    """Host, headers, login and the API behind it, as they are served."""
    from fastapi.testclient import TestClient

    from ui.server import build_server

    config = AppConfig(store=str(own_store), runs=tmp_path, limits=Limits(login_failures=3), auth=Path("x"))
    app = build_server(Session(config), {"ann": "secret"})
    client = TestClient(app, base_url="http://localhost")
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    page = client.get("/")
    assert page.headers["x-frame-options"] == "DENY" and page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/config").status_code == 401
    wrong = [client.post("/login", data={"username": "ann", "password": str(i)}).status_code for i in range(5)]
    assert wrong == [400, 400, 400, 429, 429]
    big = client.post("/gradio_api/queue/join", content=b"x" * (3 << 20), headers={"content-type": "application/json"})
    assert big.status_code == 413
    assert client.get("/gradio_api/file=/etc/passwd").status_code in (401, 403, 404)


def test_endpoints_are_those_that_are_meant(own_store, tmp_path):
    from fastapi.testclient import TestClient

    from ui.server import build_server

    for read_only in (False, True):
        session = Session(AppConfig(store=str(own_store), runs=tmp_path, read_only=read_only))
        client = TestClient(build_server(session), base_url="http://localhost")
        named = set(client.get("/gradio_api/info").json()["named_endpoints"])
        writing = set() if read_only else {"/judge"}
        assert named - writing >= {"/search", "/compare", "/explain", "/collections"}
        assert ("/judge" in named) != read_only and len(named) < 10
        assert json.dumps(client.get("/config").json()).count("fonts.googleapis") == 0


def test_a_child_is_limited_in_memory(tmp_path):
    from ui.job import State
    from ui.jobs import Jobs

    if not sys.platform.startswith("linux"):
        pytest.skip("limits of another process are Linux's")
    (tmp_path / "eats_memory.py").write_text("import time\ntime.sleep(1)\nx = bytearray(1 << 30)\nprint('{}')\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        jobs = Jobs(at_once=1, megabytes=300, hours=1)
        job = jobs.start("eats", "", "eats_memory", {})
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    wait_for(lambda: not job.is_running)
    assert job.state is State.FAILED and any("MemoryError" in line for line in job.lines)


def wait_for(condition, seconds=120):
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
