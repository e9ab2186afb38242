"""What a person types reaches a job as the value of its own field, whatever it looks like."""

import io
import json
import sys

import pytest

from instructor_search.commands.parser import SETTINGS
from instructor_search.errors import StoreError
from tests.conftest import ROOT
from tests.ui.sending import send
from tests.ui.waiting import wait_for
from ui import collections, mapping, prompting, results
from ui.asking import AppError
from ui.config import AppConfig
from ui.job import State
from ui.jobs import Jobs
from ui.session import Session

OPTIONS = [
    "--store=/elsewhere",
    "--collection=other",
    "--model=/x",
    "--allow-pickle",
    "--prune",
    "-",
    "--",
    "--help",
    "@/etc/passwd",
    "/etc/passwd",
    "-x",
    "--json",
    "--settings",
    '{"prune": true}',
    "--instruction",
    "$(id)",
]


class Unlaunched(Jobs):
    """Jobs of which no process is made: what they were to be started with is looked at."""

    def _launch(self, job, ended):
        job.state = State.DONE


@pytest.fixture
def session(own_store, tmp_path):
    made = Session(AppConfig(store=str(own_store), runs=tmp_path / "runs", allow_folders=(ROOT / "corpus",)))
    made.jobs = Unlaunched(at_once=1, megabytes=1, hours=1)
    return made


def create(session, typed="plain"):
    return collections.create(session, "new", typed, send(session, {"a.txt": b"x"}))


def view_instruction(session, typed="plain"):
    return collections.add_view(session, "corpus", "v", typed)


def view_name(session, typed="plain"):
    return collections.add_view(session, "corpus", typed, "x")


def pool_instruction(session, typed="plain"):
    return prompting.make_pool(session, "pool", send(session, {"a.csv": b"a,b\n1,2\n"}), "a", "b", typed)


def pool_input(session, typed="plain"):
    return prompting.make_pool(session, "pool", send(session, {"a.csv": b"a,b\n1,2\n"}), typed, "b", "")


def pool_output(session, typed="plain"):
    return prompting.make_pool(session, "pool", send(session, {"a.csv": b"a,b\n1,2\n"}), "a", typed, "")


def folder_instruction(session, typed="plain"):
    return collections.add_folder(session, "new", "corpus", "", typed)


def map_instruction(session, typed="plain"):
    mapping.AT_ONCE, before = -1, mapping.AT_ONCE
    try:
        return mapping.lay_out(session, "corpus", ["default"], [typed], "tsne")
    finally:
        mapping.AT_ONCE = before


def map_view(session, typed="plain"):
    mapping.AT_ONCE, before = -1, mapping.AT_ONCE
    try:
        return mapping.lay_out(session, "corpus", [typed], ["x"], "tsne")
    finally:
        mapping.AT_ONCE = before


FIELDS = {
    create: "instruction",
    folder_instruction: "instruction",
    map_instruction: "instruction",
    view_instruction: "instruction",
    view_name: "view",
    pool_instruction: "instruction",
    pool_input: "input_field",
    pool_output: "output_field",
}


def understood(job, monkeypatch):
    """Return what the job's own program makes of its settings."""
    import eval.cli
    import ingest.cli
    import instructor_search.commands.main

    module, *command = job.module.split()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job.settings)))
    parsers = {"ingest": ingest.cli, "eval": eval.cli, "instructor_search": instructor_search.commands.main}
    return vars(parsers[module].build_parser().parse_args([*command, *SETTINGS]))


@pytest.mark.parametrize("typed", OPTIONS)
@pytest.mark.parametrize("start", FIELDS, ids=lambda f: f.__name__)
def test_a_text_is_the_value_of_its_field_and_of_nothing_else(session, monkeypatch, start, typed):
    usual = understood(start(session), monkeypatch)
    try:
        told = understood(start(session, typed), monkeypatch)
    except (AppError, ValueError) as error:  # "@/etc/passwd" is no instruction of the library
        assert typed.startswith("@") and "instruction" in FIELDS[start], error
        return
    field = FIELDS[start]
    assert told == {**usual, field: [typed] if isinstance(usual[field], list) else typed}


@pytest.mark.parametrize("typed", OPTIONS)
def test_names_and_folders_are_none_of_these(session, typed):
    batch = send(session, {"a.txt": b"x"})
    for start in (
        lambda: collections.create(session, typed, "x", batch),
        lambda: collections.add_folder(session, typed, "corpus", "", "x"),
        lambda: collections.add_folder(session, "new", typed, "", "x"),
        lambda: collections.add_folder(session, "new", "corpus", typed, "x"),
        lambda: prompting.make_pool(session, typed, batch, "a", "b", ""),
        lambda: results.start(session, typed, "default"),
    ):
        with pytest.raises(AppError):
            start()
    assert session.jobs.all() == []


@pytest.mark.parametrize("typed", OPTIONS)
def test_a_map_and_an_evaluation_take_no_other_names(session, typed):
    with pytest.raises(StoreError, match="has no view"):
        map_view(session, typed)
    with pytest.raises(AppError, match="cannot be evaluated here"):
        results.start(session, "quick", typed)


@pytest.mark.parametrize("models", ["st:/etc", "/etc/passwd", "default@/etc/x.json", "hub/name", "collection:dense=/x"])
def test_models_are_named_by_the_owner_of_the_machine(session, models):
    with pytest.raises(AppError, match="others: python -m eval --models"):
        results.start(session, "quick", f"default, {models}")


def test_settings_of_a_job_are_on_no_command_line(own_store, tmp_path):
    session = Session(AppConfig(store=str(own_store)))
    job = collections.create(session, "typed", "--collection=elsewhere", send(session, {"a.txt": b"Rain falls."}))
    child = session.jobs._children[job.id]
    with open(f"/proc/{child.pid}/cmdline") as stream:
        assert "elsewhere" not in stream.read()
    wait_for(lambda: not job.is_running)
    assert job.state is State.DONE and "elsewhere" not in session.collections()
    (view,) = session.views("typed")
    assert view.document_instruction == "--collection=elsewhere"
    collections.delete(session, "typed", "typed")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nonsense": 1}, "unknown setting 'nonsense'"),
        ({"prune": "yes"}, "expected true or false"),
        ({"paths": "a"}, "expected a list"),
        ({"view": ["a"]}, "expected a text or a number"),
        ({"chunk_tokens": 0}, "at least 1"),
        ({"precision": "fp8"}, "invalid choice"),
        ([], "expected a JSON object"),
    ],
)
def test_settings_are_checked_as_flags_are(settings, said, monkeypatch, capsys):
    from ingest.cli import build_parser

    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(settings)))
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(SETTINGS)
    assert ended.value.code == 2 and said in capsys.readouterr().err
