"""Attacks on the login: nothing else answers without it, and guesses are counted."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ui.attacking import POSTS, ROUTES, Attacker
from tests.ui.conftest import running


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


def test_the_tools_and_a_login_are_not_offered_together(tmp_path):
    from ui.config import AppConfig

    with pytest.raises(ValueError, match="--mcp and --auth do not go together"):
        AppConfig(mcp=True, auth=tmp_path / "users")
