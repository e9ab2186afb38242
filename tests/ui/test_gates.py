"""What stands between the network and the application, each wrapper by itself: hosts, headers, bodies, logins, users."""

import asyncio

import pytest

from ui.gates.bodies import BodyLimit
from ui.gates.headers import HEADERS, SecurityHeaders
from ui.gates.hosts import HostCheck
from ui.gates.logins import LoginThrottle
from ui.gates.users import checks_password, read_users


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
