"""Runs that end early, run at once with others, or meet what is damaged or closed: what was stored before stays."""

import os
import subprocess
import sys

import pytest

from ingest.cli import main as ingest_command
from instructor_search import Collection, Searcher
from instructor_search.errors import ReaderError, StoreError
from instructor_search.store.verify import verify
from tests.conftest import ROOT
from tests.ingest.changing import texts
from tests.toy import interrupt_at


def test_a_large_file_that_breaks_in_the_middle_keeps_its_old_revision(run, folder):
    (folder / "t.jsonl").write_text("".join(f'{{"text": "old {i}"}}\n' for i in range(700)))
    run()
    before = texts()
    (folder / "t.jsonl").write_text("".join(f'{{"text": "new {i}"}}\n' for i in range(700)) + "{broken\n")
    report = run()
    assert [s for s, _ in report.failed] == ["docs/t.jsonl"] and texts() == before
    assert verify(Collection.open("docs")).notes == []
    (folder / "t.jsonl").write_text("".join(f'{{"text": "new {i}"}}\n' for i in range(5)))
    run()
    assert [t for t in texts() if t.startswith(("old", "new"))] == [f"new {i}" for i in range(5)]


def test_a_new_file_that_breaks_in_the_middle_leaves_nothing(run, folder):
    (folder / "t.jsonl").write_text("".join(f'{{"text": "new {i}"}}\n' for i in range(700)) + "{broken\n")
    assert [s for s, _ in run().failed] == ["docs/t.jsonl"]
    assert texts() == ["alpha", "beta", "gamma"] and verify(Collection.open("docs")).notes == []


def test_a_closed_folder_is_reported_and_not_pruned(folder, store):
    """As a user without rights: the root user may look everywhere."""
    if os.geteuid() != 0:
        pytest.skip("needs the root user, to become one without rights")
    code = """
import os, sys
from pathlib import Path
from ingest import IngestConfig, ingest
from tests.toy import HashEncoder
encoder, folder = HashEncoder(), Path(sys.argv[1])
config = lambda prune: IngestConfig(paths=(folder,), store=sys.argv[2], instruction="doc: ", prune=prune)
ingest(config(False), encoder=encoder)
(folder / "sub").chmod(0)
os.setuid(65534)
report = ingest(config(True), encoder=encoder)
print(report.removed, report.failed[0][1], report.chunks_total)
"""
    above = [p for p in folder.parents if any(part.startswith("pytest-of-") for part in p.parts)]
    for path in (*above, folder, folder / "sub"):
        path.chmod(0o777)
    os.umask(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(store)], cwd=ROOT, capture_output=True, text=True
        )
    finally:
        os.umask(0o022)
        (folder / "sub").chmod(0o777)
    assert done.stdout == "0 Permission denied 3\n", done.stderr[-500:]


def test_an_interrupted_run_counts_only_what_is_stored(run, folder, encoder):
    for number in range(600):
        (folder / f"{number}.txt").write_text(f"text {number}")
    interrupt_at(encoder, 2)
    report = run()
    collection = Collection.open("docs")
    assert report.interrupted and 0 < report.added < 600
    assert report.added == len(collection.sources()) == report.documents
    assert report.chunks_embedded == collection.num_chunks() == report.chunks_total


def test_a_kill_while_a_collection_is_made_or_dropped_does_not_block(run, store, folder, monkeypatch):
    from instructor_search import files
    from instructor_search.store import creation

    def killed(*args, **options):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(creation, "write_manifest", killed)
        run()
    assert run().added == 3
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(files.shutil, "rmtree", killed)
        Collection.open("docs").drop()
    assert run().added == 3 and texts() == ["alpha", "beta", "gamma"]


def test_two_first_runs_at_once(folder, store):
    code = """
import sys
from pathlib import Path
from ingest import IngestConfig, ingest
from instructor_search.errors import StoreError
from tests.toy import HashEncoder
try:
    ingest(IngestConfig(paths=(Path(sys.argv[1]),), store=sys.argv[2], instruction="doc: "), encoder=HashEncoder())
except StoreError as error:
    print(error)
    sys.exit(1)
"""
    arguments = [sys.executable, "-c", code, str(folder), str(store)]
    children = [subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    results = [(c.communicate(timeout=120), c.returncode) for c in children]
    assert any(code == 0 for _, code in results) and all(code in (0, 1) for _, code in results), results
    assert texts() == ["alpha", "beta", "gamma"] and verify(Collection.open("docs")).sound


def test_one_bad_line_costs_its_file_only(folder, store, tiny_folder, capsys):
    (folder / "broken.jsonl").write_text('{"text": "tweet", "user": "x \\ud83d cut", "row": "abc"}\n')
    (folder / "deep.jsonl").write_text('{"a": ' * 100_000)
    code = ingest_command([str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"])
    out = capsys.readouterr().out
    assert code == 3 and "4 added" in out and "docs/deep.jsonl" in out
    hits = Searcher(Collection.open("docs")).search("tweet", where="row = 1 and metadata.row = abc")
    assert hits[0].metadata["user"] == "x \ufffd cut"


def test_damaged_tables_are_one_line(run, folder, capsys):
    from instructor_search.commands.main import main

    run()
    for path in Collection.open("docs").folder.glob("chunks.lance/data/*.lance"):
        path.write_bytes(path.read_bytes()[:100])
    capsys.readouterr()
    assert main(["verify"]) == 1 and "cannot be read to its end" in capsys.readouterr().out
    for arguments in (["search", "alpha", "--mode", "text"], ["delete", "--where", "text contains alpha", "--yes"]):
        assert main(arguments) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: the store failed") and err.count("\n") == 1
    with pytest.raises(StoreError, match="the store failed"):
        run()


def test_output_that_nobody_reads_is_no_error(corpus_store):
    command = f"{sys.executable} -m instructor_search instructions | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("default")


def test_queries_that_are_no_text_or_too_long(corpus_store, capsys):
    from instructor_search.commands.main import main

    assert main(["search", "a\udcff", "--store", str(corpus_store)]) == 1
    assert "not valid text" in capsys.readouterr().err
    assert main(["search", "word " * 5000, "--store", str(corpus_store), "--top-k", "1"]) == 0
    assert "tokens of the query beyond the window of 256: cut" in capsys.readouterr().err


def test_chunks_of_a_file_that_lost_its_acknowledgement_outlive_its_damage(run, folder):
    (folder / "t.csv").write_text("text\n" + "".join(f"row {i}\n" for i in range(50)))
    run()
    collection = Collection.open("docs")
    with collection.writing():
        collection.delete_where("text = 'row 3'")
    (folder / "t.csv").write_bytes(b"\0\1\2" * 100)
    report = run()
    assert len(report.failed) == 1 and sum(t.startswith("row") for t in texts()) == 49


def test_a_name_that_is_no_text_costs_its_file_only(run, folder):
    for name in (b"caf\xe9.txt", b"caf\xe9.png"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
            stream.write(b"x")
    report = run()
    assert report.added == 3 and {r for _, r in report.failed} == {"its name is not valid UTF-8"}
    report.as_text().encode()


def test_strict_keeps_what_was_read_before(run, folder):
    (folder / "z.json").write_text("{broken")
    with pytest.raises(ReaderError, match="--strict stops"):
        run(strict=True)
    assert texts() == ["alpha", "beta"]  # the folder below comes after


def test_limits_that_the_system_sets_lower(folder):
    """Under ulimit, as on shared machines, the parser's process takes what it may have."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1900 << 20,) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))\n"
        "from pathlib import Path; from ingest.readers import ReadOptions, read_file\n"
        "print(next(read_file(Path('corpus/legal/lease.docx'), 'x', ReadOptions())).title)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "Lease of a shop\n", done.stderr[-300:]
