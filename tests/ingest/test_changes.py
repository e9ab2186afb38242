"""What happens to a collection when its files, folders, views and runs change in awkward ways."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ingest import IngestConfig, ingest
from ingest.cli import main as ingest_command
from instructor_search import Collection, Searcher
from instructor_search.errors import ReaderError, StoreError
from instructor_search.store import maintenance
from instructor_search.store.verify import verify
from tests.conftest import ROOT
from tests.toy import HashEncoder, interrupt_at


@pytest.fixture
def encoder():
    return HashEncoder()


@pytest.fixture
def folder(tmp_path, store):
    (tmp_path / "docs/sub").mkdir(parents=True)
    (tmp_path / "docs/a.txt").write_text("alpha")
    (tmp_path / "docs/b.md").write_text("beta")
    (tmp_path / "docs/sub/c.txt").write_text("gamma")
    return tmp_path / "docs"


@pytest.fixture
def run(folder, encoder):
    def run(*paths, instruction="doc: ", **options):
        return ingest(IngestConfig(paths=paths or (folder,), instruction=instruction, **options), encoder=encoder)

    return run


def texts(name="docs"):
    return sorted(r["text"] for r in Collection.open(name).chunks.search().select(["text"]).to_list())


def right_vectors(encoder, view):
    """Whether every vector of a view is that of its text under the view's instruction."""
    collection = Collection.open("docs")
    view = collection.view(view)
    rows = collection.chunks.search().select(["text", view.column]).to_list()
    expected = encoder.encode([(view.document_instruction, r["text"]) for r in rows])
    return np.allclose([r[view.column] for r in rows], expected, atol=1e-6)


def test_views_whose_names_read_alike_have_columns_of_their_own(run, encoder):
    run(view="a b", instruction="I1: ")
    run(view="a-b", instruction="I2: ")
    columns = {v.column for v in Collection.open("docs").manifest.views.values()}
    assert len(columns) == 2 and right_vectors(encoder, "a b") and right_vectors(encoder, "a-b")
    for instruction in ("为检索表示文档", "Представить документ"):
        view = run(instruction=instruction).view
        assert right_vectors(encoder, view)
    collection = Collection.open("docs")
    with collection.writing():
        maintenance.drop_view(collection, "a b")
    assert right_vectors(encoder, "a-b") and verify(Collection.open("docs")).sound


def test_a_left_over_column_is_not_taken_for_another_view_s(run, encoder):
    run()
    run(view="v", instruction="I2: ")
    collection = Collection.open("docs")
    with collection.writing():  # what a kill inside drop_view leaves
        collection.save_manifest(collection.manifest.without_view("v"))
    report = run(view="v", instruction="I3: ")
    assert report.chunks_embedded == 3 and right_vectors(encoder, "v")


@pytest.mark.parametrize("content", ["", "   \n \n"])
def test_a_file_that_becomes_empty_is_searchable_no_more(run, folder, content):
    run()
    (folder / "a.txt").write_text(content)
    report = run()
    assert texts() == ["beta", "gamma"] and report.chunks_deleted == 1 and len(report.skipped) == 1
    assert verify(Collection.open("docs")).sound and run().nothing_changed


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


def test_a_file_that_changes_while_it_is_read_is_not_acknowledged(run, folder, monkeypatch):
    from ingest import cutting

    real = cutting.read_file

    def read(path, source, options):
        if path.name == "a.txt":
            path.write_text("written meanwhile")
        yield from real(path, source, options)

    with monkeypatch.context() as patched:
        patched.setattr(cutting, "read_file", read)
        report = run()
    assert report.failed == [("docs/a.txt", "changed while it was read; the next run reads it again")]
    (folder / "a.txt").write_text("alpha")  # as it was when it was looked at first
    run()
    assert texts() == ["alpha", "beta", "gamma"]


def test_prune_only_takes_what_is_gone(run, folder):
    run()
    assert run(include=("*.md",), prune=True).removed == 0 and len(texts()) == 3
    (folder / "sub/c.txt").unlink()
    (folder / "sub").rmdir()
    assert (
        run(folder / "sub", prune=True, collection="docs").removed == 1
    )  # a path that is gone may be named to prune it
    assert texts() == ["alpha", "beta"]
    with pytest.raises(ReaderError, match="no such file or folder"):
        run(folder / "sub", collection="docs")


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
    from instructor_search.store import table as module

    def killed(*args, **options):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(module, "write_manifest", killed)
        run()
    assert run().added == 3
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(module.shutil, "rmtree", killed)
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


def test_a_folder_and_a_part_of_it_are_the_same_files(run, folder):
    run()
    assert run(folder / "sub", collection="docs").nothing_changed
    assert run(folder / "a.txt", folder, collection="docs").nothing_changed
    (folder / "sub/c.txt").unlink()
    assert run(prune=True).removed == 1
    assert {r["source"] for r in Collection.open("docs").chunks.search().select(["source"]).to_list()} == {
        "docs/a.txt",
        "docs/b.md",
    }


def test_a_part_first_and_the_whole_later(run, folder):
    run(folder / "sub", collection="all")
    report = run(collection="all")
    assert (report.added, report.unchanged) == (2, 1) and texts("all") == ["alpha", "beta", "gamma"]


def test_a_store_inside_the_folder_is_not_read(run, folder):
    run(store=str(folder / "db"))
    again = run(store=str(folder / "db"))
    assert again.nothing_changed and again.unchanged == 3 and not again.failed


def test_text_fields_are_remembered_and_concern_tables_only(run, folder):
    (folder / "t.csv").write_text("body,note\nthe body,the note\n")
    run(text_fields=("note",))
    assert "the note" in texts() and run().nothing_changed
    report = run(text_fields=("body",))
    assert (report.changed, report.unchanged) == (1, 3) and "the body" in texts()


def test_another_time_is_learnt(run, folder):
    run()
    os.utime(folder / "a.txt", (1_700_000_000, 1_700_000_000))
    assert run().nothing_changed
    collection = Collection.open("docs")
    (row,) = collection.chunks.search().where("source = 'docs/a.txt'").select(["mtime"]).to_list()
    assert row["mtime"] == 1_700_000_000 and collection.sources()["docs/a.txt"].mtime_ns == 1_700_000_000 * 10**9


def test_a_dialect_the_collection_was_not_made_with_is_refused(folder, store, tiny_folder, capsys):
    arguments = [str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"]
    assert ingest_command(arguments) == 0
    assert ingest_command([str(folder), "--dialect", "head"]) == 1
    assert "joins instruction and text by dialect 'pypi', not 'head'" in capsys.readouterr().err


def test_a_folder_with_a_space_in_its_name(tmp_path, store, encoder):
    folder = tmp_path / "My Docs (2024)"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha")
    assert ingest(IngestConfig(paths=(folder,), instruction=""), encoder=encoder).collection == "My-Docs-2024"


@pytest.mark.parametrize("device", ["banana", "cuda:77"])
def test_a_device_that_is_not_there(folder, store, tiny_folder, capsys, device):
    arguments = [str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"]
    assert ingest_command(arguments) == 0
    assert ingest_command([*arguments[:3], "--instruction", "other: ", "--view", "q", "--device", device]) == 1
    assert f"device {device!r} cannot be used" in capsys.readouterr().err
    assert list(Collection.open("docs").manifest.views) == ["default"]


def test_a_failed_move_leaves_the_encoder_as_it_was(tiny_folder):
    from instructor_search import load_encoder
    from instructor_search.errors import ModelError

    encoder = load_encoder(str(tiny_folder), device="cpu")
    before = encoder.encode("x")
    with pytest.raises(ModelError):
        encoder.to("cuda:77")
    np.testing.assert_allclose(encoder.encode("x"), before)


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


def test_saving_over_a_model_keeps_other_files(tiny_folder, tmp_path):
    import shutil

    from instructor_search import load_encoder

    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model/README.md").write_text("mine")
    encoder = load_encoder(str(tmp_path / "model"), device="cpu")
    before = encoder.encode("x")
    encoder.save(tmp_path / "model")
    assert (tmp_path / "model/README.md").read_text() == "mine"
    np.testing.assert_allclose(load_encoder(str(tmp_path / "model"), device="cpu").encode("x"), before, atol=1e-6)


@pytest.mark.parametrize("window", [0, 3, 1024])
def test_a_window_the_model_does_not_have(minilm, window):
    from instructor_search import load_encoder

    with pytest.raises(ValueError, match="expected 4 to 512 tokens"):
        load_encoder(max_seq_length=window)
    with pytest.raises(ValueError, match="expected 4 to 512 tokens"):
        minilm.max_seq_length = window
    assert minilm.max_tokens == 256


def test_chunks_of_a_file_that_lost_its_acknowledgement_outlive_its_damage(run, folder):
    (folder / "t.csv").write_text("text\n" + "".join(f"row {i}\n" for i in range(50)))
    run()
    collection = Collection.open("docs")
    with collection.writing():
        collection.delete_where("text = 'row 3'")
    (folder / "t.csv").write_bytes(b"\0\1\2" * 100)
    report = run()
    assert len(report.failed) == 1 and sum(t.startswith("row") for t in texts()) == 49


def test_no_view_is_called_default(run, folder):
    run(view="first")
    run(view="second", instruction="other: ")
    (folder / "a.txt").write_text("changed")
    assert run(instruction=None).chunks_embedded == 2


def test_a_name_that_is_no_text_costs_its_file_only(run, folder):
    for name in (b"caf\xe9.txt", b"caf\xe9.png"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
            stream.write(b"x")
    report = run()
    assert report.added == 3 and {r for _, r in report.failed} == {"its name is not valid UTF-8"}
    report.as_text().encode()


def test_many_touched_files_are_learnt_at_once(run, folder):
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"text {number}")
    run()
    before = Collection.open("docs").chunks.version
    for number in range(300):
        os.utime(folder / f"{number}.txt", (1_700_000_000, 1_700_000_000))
    report = run()
    assert report.unchanged == 303 and report.nothing_changed
    collection = Collection.open("docs")
    assert collection.num_chunks("mtime = 1700000000.0") == 300 and verify(collection).sound
    assert collection.chunks.version - before < 10  # a few commits, not one a file


def test_a_wrong_text_field_is_not_remembered(run, folder):
    (folder / "t.csv").write_text("review,note\nthe review,the note\n")
    assert len(run(text_fields=("reveiw",)).failed) == 1
    assert run().added == 1 and "the review" in texts()


def test_strict_keeps_what_was_read_before(run, folder):
    (folder / "z.json").write_text("{broken")
    with pytest.raises(ReaderError, match="--strict stops"):
        run(strict=True)
    assert texts() == ["alpha", "beta"]  # the folder below comes after


def test_prune_by_the_path_of_a_file_that_is_gone(run, folder):
    run()
    (folder / "a.txt").unlink()
    assert run(folder / "a.txt", prune=True).removed == 1
    with pytest.raises(ReaderError, match="nothing stored of it"):
        run(folder / "typo.txt", prune=True)
    assert list(Collection.open("docs").manifest.roots) == ["docs"]


def test_a_file_that_becomes_a_folder_is_gone(run, folder):
    run()
    (folder / "a.txt").unlink()
    (folder / "a.txt").mkdir()
    (folder / "a.txt/in.txt").write_text("inside")
    assert run(prune=True).removed == 1 and texts() == ["beta", "gamma", "inside"]


def test_roots_inside_a_folder_move_with_it(run, folder, tmp_path):
    run(folder / "sub", collection="docs")
    run()
    (tmp_path / "new").mkdir()
    folder.rename(tmp_path / "new/docs")
    report = run(tmp_path / "new/docs", prune=True)
    assert (report.unchanged, report.added, report.removed) == (3, 0, 0) and len(texts()) == 3


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
