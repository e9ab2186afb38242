"""Attacks from outside, each of which got through once: files, paths, what the server fetches, memory, uploads."""

import json
import shutil
import socket
import time

import pytest

from tests.ui.attacking import Attacker, Listener, functions_with_inputs, resident
from tests.ui.conftest import running


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
