"""What users get wrong: one clear line, an exit code, nothing half-written."""

import json
import os
import subprocess
import sys

import pytest

from ingest.cli import main as ingest
from ingest.config import IngestConfig
from instructor_search.commands.main import main as command
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# One\n\nThe value is returned.")
    return tmp_path / "docs"


@pytest.fixture
def made(folder, store, tiny_folder):
    assert ingest([str(folder), "--model", str(tiny_folder), "--instruction", "--quiet", "--json"]) == 0
    return store


def failed(capsys, call, arguments):
    """Run a command that must fail; return its exit code and its one line."""
    capsys.readouterr()
    try:
        code = call(arguments)
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert code not in (0, None) and len(lines) == 1 and lines[0].startswith("error: "), captured
    return code, lines[0]


def test_empty_folder(tmp_path, store, capsys):
    (tmp_path / "empty").mkdir()
    code, line = failed(capsys, ingest, [str(tmp_path / "empty"), "--instruction"])
    assert code == 1 and "nothing to read in" in line and not store.exists()


def test_missing_folder(tmp_path, store, capsys):
    code, line = failed(capsys, ingest, [str(tmp_path / "nowhere"), "--instruction"])
    assert code == 1 and "no such file or folder" in line and not store.exists()


def test_no_path_at_all(store, capsys):
    assert failed(capsys, ingest, [])[1].startswith("error: no file or folder was given; expected")
    assert "was taken as the instruction" in failed(capsys, ingest, ["--instruction", "no/such/folder"])[1]


def test_empty_names_are_no_names(folder, store, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    code, line = failed(capsys, ingest, [""])
    assert code == 2 and "a path is empty" in line and not store.exists()
    code, line = failed(capsys, ingest, [str(folder), "--collection", ""])
    assert code == 2 and "--collection is empty; expected a name" in line and not store.exists()


@pytest.mark.parametrize(("name", "made"), [("ünïcode", "unicode"), ("Ｆｕｌｌ", "Full"), ("新 docs", "docs")])
def test_a_collection_is_called_like_its_folder_without_accents(tmp_path, name, made):
    (tmp_path / name).mkdir()
    assert IngestConfig(paths=(tmp_path / name,)).collection_name == made


def test_a_folder_whose_name_no_collection_can_have(tmp_path, store, capsys):
    (tmp_path / "日本語").mkdir()
    (tmp_path / "日本語" / "a.md").write_text("text")
    line = failed(capsys, ingest, [str(tmp_path / "日本語")])[1]
    assert "no collection can be called '日本語' (expected letters (A-Z, a-z)" in line and "--collection NAME" in line


@pytest.mark.parametrize("more", [[], ["--strict"]])
def test_a_run_that_can_read_nothing_leaves_no_collection(tmp_path, store, tiny_folder, capsys, more):
    table = tmp_path / "reviews.csv"
    table.write_text("text\nfine\n")
    arguments = [str(table), "--model", str(tiny_folder), "--collection", "new", "--quiet"]
    assert ingest([*arguments, "--text-field", "nope", *more]) == (1 if more else 3)
    assert ("collection new: not made" in capsys.readouterr().out) is not bool(more)
    assert list(store.iterdir()) == []
    assert ingest(arguments) == 0 and "collection new: 1 chunk, view default" in capsys.readouterr().out
    assert ingest([*arguments, "--text-field", "nope"]) == 3 and (store / "new").is_dir()


def test_the_instruction_does_not_swallow_the_path(folder, store, capsys):
    code, line = failed(capsys, ingest, ["--instruction", str(folder)])
    assert code == 2 and f"put the paths first: python -m ingest {folder} --instruction" in line and not store.exists()


def test_an_unreadable_file(folder, store, tiny_folder, capsys):
    (folder / "locked.txt").write_text("secret")
    (folder / "locked.txt").chmod(0)
    if os.access(folder / "locked.txt", os.R_OK):
        pytest.skip("this user may read every file, so that none is unreadable")
    assert ingest([str(folder), "--model", str(tiny_folder), "--instruction", "--quiet"]) == 3
    assert "could not read: 1 x Permission denied" in capsys.readouterr().out


def test_a_file_that_fails_while_it_is_read(folder, store, tiny_folder, capsys, monkeypatch):
    """What a disk error or a missing right looks like, also for a user who may read everything."""
    from ingest.readers import text

    def broken(path):
        raise PermissionError(13, "Permission denied", str(path))

    (folder / "b.txt").write_text("fine")
    monkeypatch.setattr(text, "open_text", broken)
    assert ingest([str(folder), "--model", str(tiny_folder), "--instruction", "--quiet", "--exclude", "*.md"]) == 3
    assert "could not read: 1 x Permission denied (docs/b.txt)" in capsys.readouterr().out


def test_an_instruction_longer_than_the_window(folder, store, tiny_folder, capsys):
    arguments = [str(folder), "--model", str(tiny_folder), "--instruction", "word " * 600]
    code, line = failed(capsys, ingest, arguments)
    assert code == 1 and "no text would be seen" in line and not store.exists()


def test_search_with_an_instruction_longer_than_the_window(made, capsys):
    assert "no text would be seen" in failed(capsys, command, ["search", "x", "--instruction", "word " * 600])[1]


def test_unknown_named_instruction(folder, store, capsys):
    assert "did you mean legal" in failed(capsys, ingest, [str(folder), "--instruction", "@legall"])[1]


def test_a_collection_of_another_model(made, folder, capsys, gated_folder):
    """Both fingerprints are in the message, for searching and for adding to it."""
    from instructor_search import Collection, load_encoder

    wanted = Collection.open("docs").view().fingerprint
    other = load_encoder(str(gated_folder)).fingerprint
    for call, arguments in (
        (command, ["search", "x", "--model", str(gated_folder)]),
        (ingest, [str(folder), "--instruction", "--model", str(gated_folder)]),
    ):
        line = failed(capsys, call, arguments)[1]
        assert wanted in line and other in line


def test_another_model_may_make_a_view_of_its_own(made, folder, capsys, gated_folder):
    arguments = [str(folder), "--instruction", "--model", str(gated_folder), "--view", "gated", "--quiet"]
    assert ingest(arguments) == 0
    assert command(["search", "value", "--view", "gated"]) == 0
    assert command(["search", "value"]) == 0


def test_a_model_folder_that_changed_is_noticed(folder, store, tiny_folder, tmp_path, capsys):
    import shutil

    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    assert ingest([str(folder), "--model", str(model), "--instruction", "--quiet"]) == 0
    data = bytearray((model / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (model / "model.safetensors").write_bytes(bytes(data))
    assert "was made by" in failed(capsys, command, ["search", "x"])[1]
    (folder / "b.md").write_text("new")
    assert "the model changed" in failed(capsys, ingest, [str(folder), "--instruction"])[1]


@pytest.mark.parametrize("damage", ["", "{", '{"format_version": 99}', '{"format_version": 1}', "[]"])
def test_a_corrupt_manifest(made, folder, capsys, damage):
    (made / "docs/manifest.json").write_text(damage)
    for call, arguments in ((command, ["search", "x"]), (ingest, [str(folder), "--instruction"])):
        line = failed(capsys, call, arguments)[1]
        assert "manifest.json" in line and ("damaged" in line or "format 99" in line)
    assert command(["collections"]) == 1
    for part in ("--view", "--where"):
        failed(capsys, command, ["delete", "--collection", "docs", part, "", "--yes"])
    assert (made / "docs").exists()
    assert command(["delete", "--collection", "docs", "--yes"]) == 0 and not (made / "docs").exists()


def test_unknown_filter_field(made, capsys):
    line = failed(capsys, command, ["search", "x", "--where", "yeer > 3"])[1]
    assert "unknown filter field 'yeer'" in line and "source" in line


@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_top_k_that_is_no_number_of_hits(made, capsys, value):
    code, line = failed(capsys, command, ["search", "x", "--top-k", value])
    assert code == 2 and "not a whole number of at least 1" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "  "], "the query is empty"),
        (["search", "x", "--top-k", "99999999"], "expected 1 to 10000"),
        (["search", "x", "--view", "nothing"], "has no view 'nothing'; there is: default"),
        (["search", "x", "--collection", "nothing"], "no collection 'nothing'"),
        (["search", "x", "--collection", "../docs"], "no collection '../docs'"),
        (["search", "x", "--store", "/no/such"], "no collections in /no/such; make one: python -m ingest"),
        (["search", "x", "--mode", "magic"], "invalid choice: 'magic'"),
        (["search", "x", "--model", "./nowhere"], "no model folder"),
        (["delete", "--view", "default", "--yes"], "is the only view"),
        (["delete", "--collection", "docs"], "pass --yes"),
        (["delete", "--collection", "docs", "--where", "", "--yes"], "--where is ''; expected what to delete"),
        (["delete", "--collection", "docs", "--view", " ", "--yes"], "--view is ' '; expected what to delete"),
        (["views", "--collection", "x y"], "no collection 'x y'"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "the following arguments are required: COMMAND"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_commands_that_cannot_be_done(made, capsys, arguments, message):
    assert message in failed(capsys, command, arguments)[1]
    assert command(["search", "value", "--json"]) == 0  # and the collection is as it was


def test_several_collections_ask_which(made, folder, tiny_folder, capsys):
    arguments = [str(folder), "--model", str(tiny_folder), "--collection", "second", "--instruction", "--quiet"]
    assert ingest(arguments) == 0
    assert "which collection? --collection NAME; there is: docs, second" in failed(capsys, command, ["search", "x"])[1]


def test_a_second_writer_is_told_who_holds_the_lock(made, folder, capsys):
    from instructor_search import Collection

    with Collection.open("docs").writing():
        code = "import sys; from ingest.cli import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), "--store", str(made), "--quiet"],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
    assert done.returncode == 1 and f"is being written to by process {os.getpid()} on" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_is_one_line(folder, tiny_folder, tmp_path):
    """A real full disk, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        (folder / "big.txt").write_text("\n\n".join(f"The value number {i} is returned." * 8 for i in range(2000)))
        arguments = [str(folder), "--store", str(disk), "--model", str(tiny_folder), "--instruction", "--quiet"]
        done = subprocess.run([sys.executable, "-m", "ingest", *arguments], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 1 and "No space left on device" in done.stderr, done
        assert (
            len([x for x in done.stderr.splitlines() if x.startswith("error:")]) == 1 and "Traceback" not in done.stderr
        )
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_json_is_json_and_nothing_else(folder, store, tiny_folder, capsys):
    capsys.readouterr()
    assert ingest([str(folder), "--model", str(tiny_folder), "--instruction", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 1
    for arguments in (["search", "x"], ["views"], ["collections"], ["verify"]):
        assert command([*arguments, "--json"]) == 0
        json.loads(capsys.readouterr().out)
