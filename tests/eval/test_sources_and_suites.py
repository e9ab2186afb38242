"""Which data is used and why, within three seconds; and which tasks a name means."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from eval.hub import hub_problem
from eval.records import Category, EvalDataError
from eval.sources import DATA_VARIABLE, choose_source
from eval.suites import STUDIES, SUITES, select
from tests.conftest import ROOT


@pytest.fixture
def hub(monkeypatch):
    """A server in the hub's place; ``delay`` seconds pass before it answers with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            server.asked += 1
            time.sleep(server.delay)
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.delay, server.status, server.asked = 0, 200, 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", DATA_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_where_it_was_named_and_only_there(hub, data, monkeypatch):
    source = choose_source("auto")
    assert source.name == "bundled" and "--data hub takes the paper's sets" in source.reason
    monkeypatch.setenv(DATA_VARIABLE, str(data))
    chosen = choose_source("auto")
    assert chosen.name == "local" and chosen.folder == data and "INSTRUCTOR_SEARCH_EVAL_DATA names it" in chosen.reason
    assert hub.asked == 0
    assert choose_source("hub").reason == "asked for" and hub.asked == 1
    hub.status = 401  # it answers, if only to say who are you
    assert not choose_source("hub").is_offline


def test_a_hub_that_is_down_or_hangs_is_left_within_three_seconds(hub):
    hub.status = 503
    assert "answers HTTP 503" in choose_source("hub").reason
    hub.status, hub.delay = 200, 6
    started = time.perf_counter()
    assert choose_source("hub").is_offline and time.perf_counter() - started < 3


def test_no_hub_when_it_is_switched_off_or_nobody_listens(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_problem() == "the hub is switched off by HF_HUB_OFFLINE"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    assert "cannot be reached" in str(hub_problem()) and time.perf_counter() - started < 3
    asked_for = choose_source("hub")
    assert asked_for.is_offline and "only sets kept from before can run" in asked_for.reason
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "cannot be reached (unknown url type" in str(hub_problem())


def test_without_any_network_the_choice_is_quick():
    code = "import time; t = time.time(); from eval.sources import choose_source; s = choose_source('auto'); print(s.name, time.time() - t < 3)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "INSTRUCTOR_"))}
    command = ["unshare", "-n", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if "unshare" in done.stderr:
        pytest.skip("this user may not make a network namespace")
    assert done.stdout.split() == ["bundled", "True"], done.stderr


TASKS = choose_source("bundled").tasks


def names(*suites):
    return [task.info.name for task in select(suites, TASKS).tasks]


def test_suites():
    assert names("all") == [task.info.name for task in TASKS] and len(TASKS) == 10
    assert names("mteb") == [t.info.name for t in TASKS if t.info.category not in ("billboard", "prompt-retrieval")]
    for category in Category:
        assert names(category) == [t.info.name for t in TASKS if t.info.category is category]
    assert len(names("quick")) == 9  # the smallest of each category
    assert names("everydaysentences", "sts", "GardenAnswers") == ["GardenAnswers", "EverydaySentences"]
    assert set(STUDIES) < set(SUITES) and len(SUITES) == 18


def test_a_study_takes_the_tasks_that_are_named_with_it_or_all():
    chosen = select(["robustness", "sts"], TASKS)
    assert chosen.studies == ["robustness"] and [t.info.name for t in chosen.tasks] == ["EverydaySentences"]
    assert len(select(["robustness", "complexity"], TASKS).tasks) == 10


def test_unknown_names_list_the_known():
    with pytest.raises(EvalDataError) as caught:
        select(["retrieva", "sts"], TASKS)
    for part in ("unknown suite or task: retrieva", "did you mean retrieval", "domain-shift", "GardenAnswers"):
        assert part in str(caught.value)
    with pytest.raises(EvalDataError, match="this data has no task of summarization; it has: EverydaySentences"):
        select(["summarization"], [t for t in TASKS if t.info.name == "EverydaySentences"])
