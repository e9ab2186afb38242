"""The guard itself: each layer sees what goes beyond this machine, also in children, and nothing of what stays here."""

import sys

import pytest

from tests.guard.guarded import Guard, native_attempts, why_no_strace

# Addresses of RFC 5737 and a name of RFC 6761: they lead nowhere.
PYTHON = {
    "connect": "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
    "sendto": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "sendmsg": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
    "name": "import urllib.request; urllib.request.urlopen('http://example.invalid/', timeout=1)",
    "gethostbyname": "import socket; socket.gethostbyname('example.invalid')",
    "forked": "import os, socket\nif os.fork() == 0: socket.create_connection(('192.0.2.1', 80), 1)\nos.wait()",
    "spawned": "from multiprocessing import get_context\nimport socket\n"
    "p = get_context('spawn').Process(target=socket.gethostbyname, args=('example.invalid',))\n"
    "if __name__ == '__main__': p.start(); p.join()",
    "swallowed": "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError: pass",
}
HERE = """
import socket, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
assert urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").status == 204
assert urllib.request.urlopen(f"http://localhost:{server.server_port}/").status == 204
first, second = socket.socketpair()
first.sendmsg([b"x"])
"""


@pytest.mark.parametrize("name", PYTHON)
def test_python_is_refused_and_written_down(tmp_path, name):
    guard, script = Guard(tmp_path, native=False), tmp_path / "script.py"
    script.write_text(PYTHON[name])
    guard.run(sys.executable, script)
    (attempt,) = guard.attempts()
    assert attempt.layer == "python" and attempt.address.strip("'") in ("192.0.2.1", "example.invalid")
    assert "script.py" in attempt.detail or "multiprocessing" in attempt.detail
    with pytest.raises(AssertionError, match="python: '"):
        guard.check()


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 53), ("192.0.2.1", 443), ("2001:db8::1", 443), ("127.0.0.1", 53)]
)
def test_native_code_is_seen(tmp_path, host, port):
    """By a program that is no Python, whose grandchild it is; a name server on this machine would ask others."""
    if why_no_strace():
        pytest.skip(why_no_strace())
    guard = Guard(tmp_path, native=True)
    shell = f"exec 3<>/dev/udp/{host}/{port}; echo x >&3"
    guard.run(sys.executable, "-c", "import subprocess, sys; subprocess.run(['bash', '-c', sys.argv[1]])", shell)
    assert {(a.layer, a.address) for a in guard.attempts()} == {("strace", f"{host} port {port}")}


def test_what_stays_on_this_machine_is_let_through(tmp_path):
    guard = Guard(tmp_path)
    done = guard.run(sys.executable, "-c", HERE)
    assert done.returncode == 0, done.stderr
    assert len(guard.started()) == 1
    guard.check()


def test_lines_of_a_trace():
    line = "7 connect(3, {{sa_family={}}}, 28) = -1 EINPROGRESS (Operation now in progress)"
    four = 'AF_INET, sin_port=htons({}), sin_addr=inet_addr("{}")'
    six = (
        'AF_INET6, sin6_port=htons({}), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "{}", &sin6_addr), sin6_scope_id=0'
    )
    seen = {"198.51.100.7": four, "2001:db8::1": six, "::ffff:198.51.100.7": six}
    for address, form in seen.items():
        (attempt,) = native_attempts(line.format(form.format(443, address)))
        assert attempt.address == f"{address} port 443"
    for address, form in {"127.0.0.1": four, "::1": six, "::ffff:127.0.0.1": six, "0.0.0.0": four}.items():
        assert not native_attempts(line.format(form.format(7860, address)))
        assert native_attempts(line.format(form.format(53, address)))
    assert not native_attempts('7 connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT')


def test_nothing_of_the_environment_here_switches_a_package_off(tmp_path, monkeypatch):
    for name in (
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "GRADIO_ANALYTICS_ENABLED",
        "DO_NOT_TRACK",
        "HTTPS_PROXY",
    ):
        monkeypatch.setenv(name, "1")
        assert name not in Guard(tmp_path).environment()
