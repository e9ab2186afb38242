"""Prepare, then run: a plan writes nothing, says what the run then does, and is made anew where others wrote meanwhile."""

import json
import os

import pytest

from ingest import IngestConfig, changes, prepare, run_plan
from ingest.cli import main
from instructor_search import Collection
from instructor_search.engines import LocalEngine
from instructor_search.errors import ReaderError
from tests.toy import HashEncoder


@pytest.fixture
def encoder():
    return HashEncoder()


@pytest.fixture
def folder(tmp_path, store):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("alpha is the first. " * 200)
    (docs / "b.md").write_text("# Beta\n\nbeta")
    (docs / "c.csv").write_text("id,text\n1,gamma\n2,delta\n")
    (docs / "empty.txt").write_text("")
    (docs / "picture.png").write_bytes(b"\x89PNG")
    return docs


def config(folder, **options):
    return IngestConfig(paths=(folder,), instruction="doc: ", **options)


def everything_below(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def change(folder):
    """Add, change, touch, remove and break a file each."""
    (folder / "new.txt").write_text("new")
    (folder / "b.md").write_text("# Beta\n\nother")
    os.utime(folder / "c.csv", (1, 1))
    (folder / "a.txt").unlink()
    (folder / "broken.json").write_text("{")


def test_a_plan_writes_nothing(folder, store, encoder):
    plan = prepare(config(folder), encoder)
    assert not any(store.glob("*")) and plan.as_json()["is_new"]
    run_plan(plan)
    change(folder)
    before = everything_below(store)
    assert prepare(config(folder, prune=True), encoder).as_json()["to_remove"] == 1
    assert everything_below(store) == before


def test_the_run_does_what_the_plan_says(folder, encoder):
    for step in range(3):
        plan = prepare(config(folder, prune=True), encoder)
        told = plan.as_json()
        report = run_plan(plan)
        broken = ["docs/broken.json"] if step else []
        assert [source for source, _ in report.failed] == broken
        assert told["to_add"] == report.added + len(broken)
        assert (told["to_change"], told["unchanged"], told["to_remove"]) == (
            report.changed,
            report.unchanged,
            report.removed,
        )
        assert told["skipped"] == report.skipped and (told["view"], told["model"]) == (report.view, report.model)
        assert (told["is_new"], told["view_is_new"]) == (step == 0, step == 0)
        expected = [(3, 0, 0, 0), (2, 1, 1, 1), (1, 0, 3, 0)][step]
        assert (told["to_add"], told["to_change"], told["unchanged"], told["to_remove"]) == expected
        if step == 0:
            change(folder)


def test_what_another_wrote_since_is_planned_anew(folder, encoder):
    run_plan(prepare(config(folder), encoder))
    (folder / "b.md").write_text("second")
    (folder / "new.txt").write_text("new")
    late = prepare(config(folder), encoder)
    assert run_plan(prepare(config(folder), encoder)).added == 1
    (folder / "b.md").write_text("third")
    report = run_plan(late)
    assert (report.added, report.changed, report.unchanged) == (0, 1, 3)
    texts = Collection.open("docs").chunks.search().select(["text"]).to_arrow()["text"].to_pylist()
    assert texts.count("new") == 1 and texts.count("third") == 1 and "second" not in texts


def rows_of(collection):
    columns = ["id", "source", "text", "start", "title", "row", "ordinal", "metadata", "vector_default"]
    return sorted(map(repr, collection.chunks.search().select(columns).limit(None).to_arrow().to_pylist()))


@pytest.mark.parametrize("processes", [1, 2])
def test_other_processes_read_and_cut_alike(folder, encoder, processes):
    (folder / "broken.json").write_text("{")
    here, elsewhere = config(folder, collection="here"), config(folder, collection="elsewhere")
    for step in range(2):
        first = run_plan(prepare(here, encoder))
        second = run_plan(prepare(elsewhere, encoder), engine=LocalEngine(processes))
        told = [report.as_json() | {"collection": "", "seconds": {}} for report in (first, second)]
        assert told[0] == told[1] and len(first.failed) == 1
        rows = [rows_of(Collection.open(name)) for name in ("here", "elsewhere")]
        assert rows[0] == rows[1] and len(rows[0]) > (4 if step == 0 else 3)
        if step == 0:
            change(folder)


def test_strict_refuses_before_anything_is_made(folder, store, encoder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(changes, "file_hash", refused)
    with pytest.raises(ReaderError, match=r"a.txt: Permission denied \(--strict stops at the first such file\)"):
        prepare(config(folder, strict=True), encoder)
    assert not any(store.glob("*"))
    assert len(prepare(config(folder), encoder).as_json()["failed"]) == 4


def test_dry_run_of_the_command(folder, store, capsys):
    arguments = [str(folder), "--instruction", "@legal", "--dry-run"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "document instruction: 'Represent the legal document for retrieval: '"
    assert printed[1].startswith("collection docs (new), view default (new): instructor-minilm, documents under 'Repr")
    assert printed[3] == "files: 3 to add, 0 to read again, 0 unchanged; 1 .txt; 1 .md; 1 .csv"
    assert printed[-1] == "nothing was written (--dry-run)" and not any(store.glob("*"))
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["docs/a.txt", "docs/b.md", "docs/c.csv"] and told["is_new"]
    assert main([*arguments[:-1], "--quiet"]) == 0
    assert main(arguments) == 0
    assert "0 to add, 0 to read again, 3 unchanged" in capsys.readouterr().out


def test_processes_of_the_command(folder, store, capsys):
    arguments = [str(folder), "--instruction", "@legal", "--quiet", "--json"]
    assert main([*arguments, "--processes", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["added"], report["documents"]) == (3, 4)
    with pytest.raises(SystemExit) as refused:
        main([*arguments, "--processes", "-1"])
    assert refused.value.code == 2 and "expected 0 to 256" in capsys.readouterr().err
