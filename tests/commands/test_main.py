"""The whole command line: its version, the rooms that it starts, and the script that completes it."""

import json
import re
import subprocess
import sys
import tomllib

import pytest

from instructor_search import __version__
from instructor_search.commands import rooms
from instructor_search.commands.completion import SHELLS
from instructor_search.commands.main import build_parser, console, main
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def start(*arguments, **options):
    command = [sys.executable, "-m", "instructor_search", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def test_the_version_stands_in_one_place(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"instructor-search {__version__}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__) and "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "instructor_search.__version__"}


def test_the_console_command_is_the_same_program_under_its_own_name(monkeypatch, capsys):
    assert PYPROJECT["project"]["scripts"] == {"instructor-search": "instructor_search.commands.main:console"}
    monkeypatch.setattr(sys, "argv", ["/usr/bin/instructor-search", "instructions", "--json"])
    assert console() == 0 and json.loads(capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/instructor-search", "search", "--help"])
    with pytest.raises(SystemExit):
        console()
    assert capsys.readouterr().out.startswith("usage: instructor-search search ")


@pytest.mark.parametrize("name", rooms.ROOMS)
def test_a_room_is_started_with_its_own_arguments(name):
    done = start(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr
    assert f"-m {rooms.ROOMS[name].module} " in done.stdout.splitlines()[0]


def test_a_room_keeps_its_exit_code_and_its_line(tmp_path):
    done = start("ingest", "nowhere", "--instruction", "--store", str(tmp_path))
    alone = subprocess.run(
        [sys.executable, "-m", "ingest", "nowhere", "--instruction", "--store", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (alone.returncode, alone.stderr) and alone.returncode != 0


def test_a_room_reads_settings_from_standard_input(tmp_path):
    settings = {"paths": [str(tmp_path / "none")], "store": str(tmp_path), "chunk_tokens": 0}
    done = start("ingest", "--settings", "-", input=json.dumps(settings))
    assert done.returncode == 2 and "at least 1" in done.stderr


def test_a_room_that_is_not_installed_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(rooms.ROOMS, "ui", rooms.Room("no_such_room.app", "no_such_room.app", "nothing"))
    assert main(["ui", "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the command ui needs the package 'no_such_room'")
    assert "ui" not in dict(rooms.parsers())


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in ("search", "ingest", "train", "eval", "ui", "completion", "verify", "annotate"):
        assert f"\n    {name}" in shown


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_commands_and_flags(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    flags = ("top-k", "prune", "grad_cache", "allow-host")  # of the library and of the rooms
    for name in ("instructor-search", "search", "ingest", "verify", *flags):
        assert re.search(rf"(?<![\w-])(--)?{name}\b", script), name
    assert "python -m instructor_search search" not in script


def test_bash_completes_with_the_script(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)
    ask = (
        'source "$1"; COMP_WORDS=(instructor-search {0}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); '
        '_shtab_instructor_search; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    for words, completed in (("ver", "verify"), ("search --top", "--top-k"), ("ingest --pru", "--prune")):
        done = subprocess.run(["bash", "-c", ask.format(words), "bash", str(script)], capture_output=True, text=True)
        assert completed in done.stdout.split(), done.stderr


def test_the_parser_of_a_program_says_its_name():
    assert build_parser("instructor-search").prog == "instructor-search"
