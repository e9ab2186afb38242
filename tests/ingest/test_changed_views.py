"""Views and models of a collection that change: names that read alike, columns left over, other dialects, no device."""

import pytest

from ingest.cli import main as ingest_command
from instructor_search import Collection
from instructor_search.store import maintenance
from instructor_search.store.verify import verify
from tests.ingest.changing import right_vectors


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


def test_a_dialect_the_collection_was_not_made_with_is_refused(folder, store, tiny_folder, capsys):
    arguments = [str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"]
    assert ingest_command(arguments) == 0
    assert ingest_command([str(folder), "--dialect", "head"]) == 1
    assert "joins instruction and text by dialect 'pypi', not 'head'" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["banana", "cuda:77"])
def test_a_device_that_is_not_there(folder, store, tiny_folder, capsys, device):
    arguments = [str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"]
    assert ingest_command(arguments) == 0
    assert ingest_command([*arguments[:3], "--instruction", "other: ", "--view", "q", "--device", device]) == 1
    assert f"device {device!r} cannot be used" in capsys.readouterr().err
    assert list(Collection.open("docs").manifest.views) == ["default"]


def test_no_view_is_called_default(run, folder):
    run(view="first")
    run(view="second", instruction="other: ")
    (folder / "a.txt").write_text("changed")
    assert run(instruction=None).chunks_embedded == 2
