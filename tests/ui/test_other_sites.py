"""Other sites and other names: who may ask, and which headers are believed."""

import pytest

from tests.ui.attacking import EVIL, POSTS, ROUTES, Attacker, Listener
from tests.ui.conftest import running


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
