"""The application in a browser behind what stands in front of it: a reverse proxy's path, a login."""

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.ui.browsing import search, titles
from tests.ui.conftest import ASTRONOMY, running

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@contextlib.contextmanager
def proxy(target: str, prefix: str):
    """Serve ``target`` under ``prefix`` and nothing else, as a web server in front of it does; answers are streamed."""
    host = urlsplit(target).netloc
    outside: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith(prefix + "/"):
                outside.append(self.path)
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            connection = http.client.HTTPConnection(host, timeout=90)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            headers["X-Forwarded-Proto"] = "http"
            connection.request(self.command, self.path[len(prefix) :], body, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in _HOP:
                    self.send_header(key, value)
            self.send_header("connection", "close")
            self.end_headers()
            with contextlib.suppress(
                ConnectionError, ValueError, http.client.HTTPException
            ):  # the application has ended
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()
            connection.close()

        do_POST = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}/", outside
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.trust
def test_the_page_works_under_a_path_of_another_server(own_store, open_page):
    with running("--store", str(own_store), "--collection", "corpus", "--root-path", "/tools/search") as application:
        assert application.address.endswith("/")
        with proxy(application.address, "/tools/search") as (address, outside):
            page = open_page(address)
            search(page, "mercury", ASTRONOMY)
            assert titles(page)[0] == "Mercury (planet)"
            assert page.url.startswith(address) and "q=mercury" in page.url
            again = open_page(page.url)  # the address is one to share
            again.wait_for_selector("#results .card")
            assert titles(again) == titles(page)
            page.click("#results .title >> nth=0")
            page.wait_for_selector("#drawer mark")
            assert not [path for path in outside if path != "/favicon.ico"]


def test_who_has_no_password_sees_nothing_and_who_has_one_searches(own_store, tmp_path, open_page):
    users = tmp_path / "users"
    users.write_text("reader:correct horse battery\n")
    users.chmod(0o600)
    with running("--store", str(own_store), "--collection", "corpus", "--auth", str(users)) as application:
        page = open_page(application.address, ready="input[type=password]")
        assert page.locator("#query").count() == 0
        for password, shown in (("wrong", "text=Incorrect"), ("correct horse battery", "#query")):
            page.get_by_label("username").fill("reader")  # it is emptied after a wrong one
            page.get_by_label("password").fill(password)
            page.get_by_role("button", name="Login").click()
            page.wait_for_selector(shown)
        page.wait_for_function("document.querySelector('#collection input')?.value")
        search(page, "mercury", ASTRONOMY)
        assert titles(page)[0] == "Mercury (planet)"
