"""Ingest end to end on the tiny checkpoint: what a second run, a change, a deletion and a second instruction do."""

import json

import numpy as np
import pytest

from ingest import IngestConfig, ingest
from ingest.cli import main
from instructor_search import Collection, Searcher, load_encoder
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, InstructedText
from instructor_search.store.verify import verify


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "docs"
    root.mkdir()
    (root / "one.md").write_text(
        "# One\n\nThe first value is returned.\n\n# Two\n\nThe second value is kept here.\n" * 2
    )
    (root / "two.txt").write_text("Nothing is here. The committee met twice that spring.\n")
    (root / "rows.csv").write_text("text,year,kind\nthe object,2001,a\nthe value,2002,b\nthe cost,2003,a\n")
    return root


@pytest.fixture
def run(folder, store, tiny_folder, capsys):
    def run(*flags, code=0):
        capsys.readouterr()
        assert (
            main([str(folder), "--model", str(tiny_folder), "--precision", "fp32", "--quiet", "--json", *flags]) == code
        )
        return json.loads(capsys.readouterr().out)

    return run


def rows(collection, *columns):
    found = collection.chunks.search().select(["id", "source", "text", *columns]).to_list()
    return {r["id"]: r for r in found}


def test_every_chunk_has_the_vector_of_its_text_under_the_instruction(run, store, tiny):
    report = run("--instruction")
    assert (report["added"], report["documents"], report["failed"]) == (3, 5, [])
    collection = Collection.open("docs")
    stored = rows(collection, "vector_default")
    assert len(stored) == report["chunks_embedded"] == report["chunks_total"]
    expected = tiny.encode([InstructedText(DEFAULT_DOCUMENT_INSTRUCTION, r["text"]) for r in stored.values()])
    np.testing.assert_allclose([r["vector_default"] for r in stored.values()], expected, atol=1e-5)
    assert verify(collection).sound


def test_a_second_run_changes_nothing_and_says_so(run, folder, store, tiny_folder, capsys):
    run("--instruction")
    before = Collection.open("docs").chunks.version
    report = run("--instruction")
    assert report["nothing_changed"] and report["unchanged"] == 3 and report["chunks_embedded"] == 0
    assert Collection.open("docs").chunks.version == before
    (folder / "two.txt").touch()  # another time, the same bytes
    assert run("--instruction")["nothing_changed"]
    main([str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"])
    assert "nothing changed: all 3 files are stored as they are" in capsys.readouterr().out


def test_a_changed_file_embeds_only_its_changed_chunks(run, folder, store):
    run("--instruction", "--chunk-tokens", "24", "--chunk-overlap", "0")
    before = rows(Collection.open("docs"), "vector_default")
    table = (folder / "rows.csv").read_text().replace("the value,2002,b", "the new value,2002,b")
    (folder / "rows.csv").write_text(table + "the committee,2004,c\n")
    report = run("--instruction", "--chunk-tokens", "24", "--chunk-overlap", "0")
    assert (report["changed"], report["unchanged"], report["added"]) == (1, 2, 0)
    assert (report["chunks_embedded"], report["chunks_kept"], report["chunks_deleted"]) == (2, 2, 1)
    after = rows(Collection.open("docs"), "vector_default")
    kept = set(before) & set(after)
    assert len(kept) == len(before) - 1
    for key in kept:
        assert before[key]["vector_default"] == after[key]["vector_default"]
    assert {r["text"] for r in after.values() if r["source"] == "docs/rows.csv"} == {
        "the object",
        "the new value",
        "the cost",
        "the committee",
    }


def test_rows_that_move_keep_their_vectors_and_learn_their_new_place(run, folder, store):
    run("--instruction")
    text = (folder / "rows.csv").read_text().replace("text,year,kind\n", "text,year,kind\nfirst now,1999,z\n")
    (folder / "rows.csv").write_text(text)
    report = run("--instruction")
    assert (report["chunks_embedded"], report["chunks_kept"]) == (1, 3)
    moved = [r for r in rows(Collection.open("docs"), "row").values() if r["text"] == "the object"]
    assert [r["row"] for r in moved] == [2]


def test_equal_chunks_are_all_kept(run, folder, store):
    (folder / "rows.csv").write_text("text,year\n" + "the same,1\n" * 7)
    report = run("--instruction")
    same = [r for r in rows(Collection.open("docs")).values() if r["text"] == "the same"]
    assert len(same) == 7 and report["failed"] == []


def test_a_deleted_file_is_reported_and_goes_with_prune(run, folder, store):
    run("--instruction")
    (folder / "two.txt").unlink()
    report = run("--instruction")
    assert report["missing"] == ["docs/two.txt"] and report["removed"] == 0
    assert any(r["source"] == "docs/two.txt" for r in rows(Collection.open("docs")).values())
    report = run("--instruction", "--prune")
    assert (report["removed"], report["chunks_deleted"]) == (1, 1)
    assert not any(r["source"] == "docs/two.txt" for r in rows(Collection.open("docs")).values())
    assert verify(Collection.open("docs")).sound


def test_prune_of_a_subfolder_leaves_the_rest(run, folder, store, tiny_folder, capsys):
    (folder / "sub").mkdir()
    (folder / "sub/a.txt").write_text("the object")
    run("--instruction")
    (folder / "sub/a.txt").unlink()
    (folder / "two.txt").unlink()
    (folder / "sub/b.txt").write_text("the value")
    # the folder's parent is not given: only files under the path are looked at
    flags = [
        "--collection",
        "docs",
        "--model",
        str(tiny_folder),
        "--precision",
        "fp32",
        "--quiet",
        "--json",
        "--instruction",
        "--prune",
    ]
    capsys.readouterr()
    assert main([str(folder / "two.txt".replace("two", "one").replace(".txt", ".md")), *flags]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == 0


def test_a_second_instruction_makes_a_second_view_and_leaves_the_first(run, folder, store, tiny):
    run("--instruction")
    before = rows(Collection.open("docs"), "vector_default")
    other = "Represent the sentence for classifying its topic: "
    report = run("--instruction", other)
    assert report["view"] == "classifying-its-topic" and report["chunks_embedded"] == len(before)
    collection = Collection.open("docs")
    column = collection.view("classifying-its-topic").column
    after = rows(collection, "vector_default", column)
    assert {k: r["vector_default"] for k, r in after.items()} == {k: r["vector_default"] for k, r in before.items()}
    expected = tiny.encode([r["text"] for r in after.values()], instruction=other)
    np.testing.assert_allclose([r[column] for r in after.values()], expected, atol=1e-5)
    (folder / "three.txt").write_text("The engineers returned.")
    assert run("--instruction")["chunks_embedded"] == 2  # one new chunk, in both views
    assert all(collection.missing_vectors(v) == 0 for v in Collection.open("docs").manifest.views.values())
    assert run()["nothing_changed"]  # without the flag: every view is brought up to date


def test_named_instructions_name_their_view(run, store):
    run("--instruction")
    assert run("--instruction", "@legal")["view"] == "legal"
    assert run("--instruction", "@medical", "--view", "doctor")["view"] == "doctor"
    assert list(Collection.open("docs").manifest.views) == ["default", "legal", "doctor"]


def test_no_flag_embeds_without_an_instruction(run, store, tiny):
    report = run()
    assert report["document_instruction"] == ""
    stored = rows(Collection.open("docs"), "vector_default")
    expected = tiny.encode([r["text"] for r in stored.values()])
    np.testing.assert_allclose([r["vector_default"] for r in stored.values()], expected, atol=1e-5)


def test_metadata_can_be_filtered(run, store):
    run("--instruction")
    searcher = Searcher(Collection.open("docs"))
    hits = searcher.search("value", where="year >= 2002 and kind != c")
    assert sorted(h.metadata["year"] for h in hits) == [2002, 2003]
    assert {h.source for h in searcher.search("value", where="mime contains markdown")} == {"docs/one.md"}


def test_a_file_that_cannot_be_read_is_reported_and_the_rest_goes_on(run, folder, store, tiny_folder, capsys):
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 no")
    (folder / "junk.txt").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n\n ")
    report = run("--instruction", code=3)
    assert [source for source, _ in report["failed"]] == ["docs/bad.pdf", "docs/junk.txt"]
    assert sorted(map(tuple, report["skipped"])) == [
        ("docs/blank.txt", "no text in it"),
        ("docs/empty.txt", "empty file"),
    ]
    assert report["added"] == 3
    capsys.readouterr()
    assert main([str(folder), "--model", str(tiny_folder), "--collection", "s", "--instruction", "--strict"]) == 1
    assert "bad.pdf" in capsys.readouterr().err
    (folder / "bad.pdf").unlink(), (folder / "junk.txt").unlink()
    assert run("--instruction")["unchanged"] == 3


def test_a_file_that_becomes_unreadable_keeps_what_was_stored(run, folder, store):
    run("--instruction")
    before = rows(Collection.open("docs"))
    (folder / "rows.csv").write_bytes(b"\x00\x01" * 500)
    report = run("--instruction", code=3)
    assert [s for s, _ in report["failed"]] == ["docs/rows.csv"] and rows(Collection.open("docs")) == before


def test_text_longer_than_a_later_view_s_window_is_counted(run, folder, store):
    (folder / "long.txt").write_text("the value of the object is returned and " * 200)
    run("--instruction")
    long = "Represent the sentence " + "and the value " * 60 + ": "
    report = run("--instruction", long, "--view", "long")
    assert report["texts_cut"] >= 1


def test_two_folders_of_one_name_are_not_mixed(run, folder, store, tmp_path, tiny_folder, capsys):
    run("--instruction")
    other = tmp_path / "elsewhere" / "docs"
    other.mkdir(parents=True)
    (other / "one.md").write_text("another file")
    assert main([str(other), "--model", str(tiny_folder), "--instruction", "--quiet"]) == 1
    assert "holds files of another folder called 'docs'" in capsys.readouterr().err
    folder.rename(tmp_path / "gone")  # moved: the same files under a new path are the same sources
    other.rename(tmp_path / "unused")
    (tmp_path / "gone").rename(tmp_path / "elsewhere" / "docs")
    report = ingest(IngestConfig(paths=(tmp_path / "elsewhere" / "docs",), instruction=DEFAULT_DOCUMENT_INSTRUCTION))
    assert report.unchanged == 3 and report.nothing_changed


def test_an_encoder_of_one_s_own(folder, store, tiny_folder):
    encoder = load_encoder(str(tiny_folder), dialect="head")
    report = ingest(IngestConfig(paths=(folder,), instruction="title: "), encoder=encoder)
    collection = Collection.open("docs")
    assert report.chunks_embedded > 0 and collection.view().dialect == "head"
    assert len(Searcher(collection, encoder).search("value", instruction="title: ")) > 0


def test_a_collection_is_not_left_behind_by_a_run_that_is_refused(folder, store, tiny_folder, capsys):
    assert main([str(folder), "--model", str(tiny_folder), "--instruction", "--chunk-tokens", "9999"]) == 1
    assert "leaves 505 for text" in capsys.readouterr().err
    assert not store.exists()


def test_a_view_keeps_its_precision(folder, store, tiny_folder, capsys):
    def run(*flags, code=0):
        assert main([str(folder), "--quiet", "--instruction", *flags]) == code
        return capsys.readouterr().err

    run("--model", str(tiny_folder), "--precision", "int8")
    collection = Collection.open("docs")
    view = collection.view()
    assert (view.runtime, view.precision) == ("openvino", "int8")
    (folder / "three.txt").write_text("A third file is read in the precision of the others.\n")
    for flags in ((), ("--model", str(tiny_folder))):  # the default would be bf16
        run(*flags)
    stored = rows(Collection.open("docs"), "vector_default")
    int8 = load_encoder(str(tiny_folder), precision="int8")
    expected = int8.encode([InstructedText(view.document_instruction, r["text"]) for r in stored.values()])
    np.testing.assert_allclose([r["vector_default"] for r in stored.values()], expected, atol=0.02)
    assert Searcher(collection).encoder.precision == "int8"
    for flags in (("--precision", "fp32"), ("--precision", "fp32", "--model", str(tiny_folder))):
        error = run(*flags, code=1)
        assert error.count("\n") == 1 and "are in int8; those in fp32 are not mixed with them" in error


def test_a_view_made_on_a_gpu_is_searched_on_a_cpu(tiny_folder):
    from dataclasses import replace

    from instructor_search.store.manifest import View
    from instructor_search.store.view_encoder import load_view_encoder

    view = View("default", "vector_default", str(tiny_folder), "f", "pypi", 64, 24, "", "torch", "fp16", "now")
    encoder = load_view_encoder(view)
    assert (encoder.runtime, encoder.precision, encoder.max_tokens) == ("openvino", "fp32", 64)
    assert load_view_encoder(replace(view, precision="fp32", runtime="torch")).runtime == "openvino"
    assert load_view_encoder(view, device="cpu").precision == "fp16"
    assert load_view_encoder(replace(view, precision="int8"), device="cpu").precision == "fp32"
