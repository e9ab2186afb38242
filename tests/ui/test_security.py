"""What a request may do at most, what it is told, and all gates around the real page."""

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from tests.ui.sending import send
from tests.ui.waiting import wait_for
from ui.asking import AppError, Asked
from ui.collections import add_folder, allowed_folder, allowed_folders, create
from ui.config import AppConfig, Limits
from ui.handling import as_panel, message_of
from ui.render import cards, drawer
from ui.session import Session
from ui.uploads import UploadError


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
