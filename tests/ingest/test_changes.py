"""What happens to a collection when its files and folders change, go away, move, or are named in another way."""

import os

import pytest

from ingest import IngestConfig, ingest
from instructor_search import Collection
from instructor_search.errors import ReaderError
from instructor_search.store.verify import verify
from tests.ingest.changing import texts


@pytest.mark.parametrize("content", ["", "   \n \n"])
def test_a_file_that_becomes_empty_is_searchable_no_more(run, folder, content):
    run()
    (folder / "a.txt").write_text(content)
    report = run()
    assert texts() == ["beta", "gamma"] and report.chunks_deleted == 1 and len(report.skipped) == 1
    assert verify(Collection.open("docs")).sound and run().nothing_changed


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


def test_a_folder_with_a_space_in_its_name(tmp_path, store, encoder):
    folder = tmp_path / "My Docs (2024)"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha")
    assert ingest(IngestConfig(paths=(folder,), instruction=""), encoder=encoder).collection == "My-Docs-2024"


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


def test_prune_by_the_path_of_a_file_that_is_gone(run, folder):
    run()
    (folder / "a.txt").unlink()
    assert run(folder / "a.txt", prune=True).removed == 1
    with pytest.raises(ReaderError, match="nothing stored of it"):
        run(folder / "typo.txt", prune=True)
    assert list(Collection.open("docs").manifest.source_names) == ["docs"]


def test_a_file_that_becomes_a_folder_is_gone(run, folder):
    run()
    (folder / "a.txt").unlink()
    (folder / "a.txt").mkdir()
    (folder / "a.txt/in.txt").write_text("inside")
    assert run(prune=True).removed == 1 and texts() == ["beta", "gamma", "inside"]


def test_named_folders_inside_a_folder_move_with_it(run, folder, tmp_path):
    run(folder / "sub", collection="docs")
    run()
    (tmp_path / "new").mkdir()
    folder.rename(tmp_path / "new/docs")
    report = run(tmp_path / "new/docs", prune=True)
    assert (report.unchanged, report.added, report.removed) == (3, 0, 0) and len(texts()) == 3
