"""One client can neither stop the application for the others nor make it grow: each way got through once."""

import contextlib
import csv
import json
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest

from tests.ui.attacking import Attacker, function_of, resident
from tests.ui.sending import send
from ui import collections, mapping
from ui.asking import AppError
from ui.config import AppConfig
from ui.gates.forwarded import Forwarded
from ui.jobs import Jobs
from ui.session import Session
from ui.tabs import evaluation


def run(attacker, number, session):
    """Call a function of the page beside the queue."""
    return attacker.ask("POST", "/gradio_api/run/x", {"fn_index": number, "data": [None], "session_hash": session})


@pytest.mark.slow
@pytest.mark.trust
def test_sessions_that_are_forgotten_stop_no_queue(victim):
    attacker = Attacker(victim.address)
    draw, pick = (function_of(attacker.config(), *of) for of in (("map-go",), ("pick", "input")))
    slow = [attacker.open() for _ in range(12)]
    for number, session in enumerate(slow):  # they wait: two maps are drawn at once
        data = ["corpus", None, "another instruction", None, f"Represent the text number {number}: ", "tsne", "cluster"]
        assert attacker.join(draw, data, session).status == 200
    assert {run(attacker, pick, f"other{n}").status for n in range(620)} == {200}
    assert attacker.open()  # a page opens, still


@pytest.mark.parametrize("session", ["x" * 100, "\ud800", "a b", "../x", ""])
def test_names_of_sessions_have_one_form(victim, session):
    attacker = Attacker(victim.address)
    pick = function_of(attacker.config(), "pick", "input")
    assert attacker.join(pick, ["x"], session).status == 400
    if session:
        assert run(attacker, pick, session).status in (400, 422)
    assert attacker.open()


def test_half_a_character_in_a_name_is_refused_and_the_page_opens(victim):
    attacker = Attacker(victim.address)
    session = attacker.open()
    make = function_of(attacker.config(), "make-view")
    assert b"half a character" in attacker.call(make, ["corpus", "\ud800bad", "x"], session)
    assert attacker.open() and not list((victim.store / ".jobs").glob("*.json"))


def test_forms_are_refused_before_they_are_stored(victim):
    before = len(list(Path(tempfile.gettempdir()).iterdir()))
    part = b'--x\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\nA\r\n'
    for route in ("component_server", "queue/join", "call/search", "run/search"):
        reply = Attacker(victim.address).ask(
            "POST", f"/gradio_api/{route}", part * 500, content_type="multipart/form-data; boundary=x"
        )
        assert reply.status == 415
    place = victim.address.split("/")[2]
    with socket.create_connection(place.split(":"), 30) as stream:
        head = f"POST /gradio_api/component_server HTTP/1.1\r\nHost: {place}\r\nContent-Length: 400000\r\n"
        stream.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + part * 900)
        assert b"415" in stream.recv(200)
    assert len(list(Path(tempfile.gettempdir()).iterdir())) <= before + 3  # others use it, too


def test_answers_that_nobody_takes_are_bounded(victim):
    attacker = Attacker(victim.address)
    info = attacker.config()["dependencies"]
    search = next(f["id"] for f in info if f["api_name"] == "search")
    data = ["mercury", "", "corpus", "", "text", "", 50]
    statuses = []
    for _ in range(60):
        statuses.append(attacker.join(search, data, "neverread").status)
        time.sleep(0.02)
    assert statuses[0] == 200 and 503 in statuses
    before = resident(victim.process.pid)
    for _ in range(200):
        attacker.join(search, data, "neverread")
    assert resident(victim.process.pid) - before < 10


def test_a_link_with_odd_numbers_opens(victim):
    for k in ("²", "9" * 5000, "99999999999999999999", "-1", "1e3"):
        from urllib.parse import quote

        attacker = Attacker(victim.address, referer=f"{victim.address}?tab=search&q=mercury&k={quote(k)}")
        assert attacker.ask("GET", f"/?tab=search&q=mercury&k={quote(k[:200])}").status == 200
    from ui.opening import _number

    assert [_number(k) for k in ("²", "9" * 5000, "25", "", "1e3")] == [10, 10, 25, 10, 10]


def test_folders_of_uploads_are_counted_and_end_with_their_files(tmp_path):
    session = Session(AppConfig(store=str(tmp_path), upload_quota=1))
    deep = "/".join("abcdefghijklmnopqrst") + "/a.txt"
    batch = send(session, {deep: b""})
    assert session.uploads._used >= 20 * 4096
    session.uploads.remove(batch, deep)
    assert not list(session.uploads.staged.iterdir())
    with pytest.raises(Exception, match="all uploads together"):
        for number in range(40):
            send(session, {f"{number}/{deep}": b""})
    with contextlib.suppress(Exception):
        send(session, {"x": b"x" * 1_000_000})
    assert all(any(p.is_file() for p in folder.rglob("*")) for folder in session.uploads.staged.iterdir())


def test_long_instructions_are_refused_before_the_work(session):
    long = "ab " * 600_000
    started = time.thread_time()  # of this thread alone: others may have the machine
    for work in (
        lambda: mapping.lay_out(session, "corpus", [], [long], "tsne"),
        lambda: collections.view_cost(session, "corpus", long),
        lambda: collections.add_view(session, "corpus", "v", long),
    ):
        with pytest.raises(AppError, match="1,800,000 characters"):
            work()
    with pytest.raises(AppError, match="the view has 65 characters"):
        collections.add_view(session, "corpus", "v" * 65, "x")
    assert time.thread_time() - started < 2


def test_failed_work_is_forgotten_after_a_while(tmp_path):
    jobs = Jobs(at_once=1, megabytes=8000, hours=1, kept=tmp_path)
    for number in range(30):
        job = jobs.start(f"job {number}", "c", "no_such_module", {}, goes_on=True)
        while job.is_running:
            time.sleep(0.01)
    assert len(jobs.all()) == 20 and len(list(tmp_path.glob("*.json"))) == 20
    assert jobs.all()[-1].title == "job 29"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("10.1.1.1:4242", "10.1.1.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("evil, 10.1.1.2", "10.1.1.2"),
        ("_hidden", "unknown"),
        ("x:1", "unknown"),
    ],
)
def test_whom_a_proxy_names_is_one_address(said, address):
    scope = {"type": "http", "headers": [(b"x-forwarded-for", said.encode())], "client": ("127.0.0.1", 1)}
    assert Forwarded._told(scope)["client"][0] == address


def test_a_map_under_read_only_is_not_kept(corpus_store, tmp_path):
    shutil.copytree(corpus_store, tmp_path / "store")
    session = Session(AppConfig(store=str(tmp_path / "store"), read_only=True))
    assert mapping.lay_out(session, "corpus", ["default"], [], "pca")
    assert not (tmp_path / "store" / "corpus" / "projections").exists()


def test_tables_of_scores_are_written_once_and_hold_no_formulas(tmp_path):
    from ui.own_folder import own_folder

    folder = tmp_path / "results" / "m" / "r"
    (folder / "details").mkdir(parents=True)
    (folder / "details" / "run.json").write_text(json.dumps({"label": "m", "data": "bundled"}))
    evil = '=HYPERLINK("http://evil")'
    facts = {"category": evil, "metric": evil, "interval_95": [0.5, 0.7]}
    values = {"task_name": evil, "scores": {"test": [{"main_score": 0.6}]}, "instructor_search": facts}
    (folder / "evil.json").write_text(json.dumps(values))
    odd = {**values, "instructor_search": {**facts, "interval_95": ["a", "b"]}}
    (folder / "odd.json").write_text(json.dumps(odd))
    session = Session(AppConfig(store=str(tmp_path / "store"), runs=tmp_path))
    paths = {evaluation.download(session, None) for _ in range(5)}
    (path,) = paths
    assert own_folder() in Path(path).parents
    head, row = csv.reader(Path(path).read_text().splitlines())
    assert row[3] == f"'{evil}" and not [cell for cell in row if cell[:1] in ("=", "+", "@")]


def test_the_login_page_describes_nothing(corpus_store, tmp_path):
    from fastapi.testclient import TestClient

    from ui.server import build_server

    for users in ({"ann": "secret"}, None):
        config = AppConfig(store=str(corpus_store), runs=tmp_path, read_only=True, auth=Path("x") if users else None)
        client = TestClient(build_server(Session(config), users), base_url="http://localhost")
        page = client.get("/").text
        assert ("/judge" in page or "/search" in page) == (users is None) and "<gradio-app" in page
        client.close()


def test_filters_take_no_infinity(session):
    from instructor_search.errors import InstructorSearchError
    from ui.asking import Asked

    for where in ("page = " + "1" * 400, "stars > " + "9" * 350):
        with pytest.raises(InstructorSearchError, match="is a number; expected one"):
            session.search(Asked("corpus", "x", "", where=where))
    with pytest.raises(AppError, match="where has half a character"):
        session.search(Asked("corpus", "x", "", where='title = "\ud800"'))
