"""Starts that are refused, each in one line: a host without a password, a model or folder that is not there, a port."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from ui.config import AppConfig


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-machine"])
def test_other_machines_need_a_password_or_an_explicit_flag(host):
    with pytest.raises(ValueError, match="--auth FILE"):
        AppConfig(host=host)
    assert AppConfig(host=host, no_auth=True).host == host and AppConfig(host=host, auth=Path("users")).auth
    assert all(AppConfig(host=own).is_loopback for own in ("127.0.0.1", "::1", "localhost", "127.9.9.9"))


@pytest.mark.parametrize("given", [{"llm": "/nope"}, {"llm": ""}, {"llm_tokenizer": Path("/nope")}])
def test_a_model_that_is_not_there_is_told_at_the_start(given):
    with pytest.raises(ValueError, match="--llm.* there is no"):
        AppConfig(**given)


def run_app(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "ui.app", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, **options
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "no password is asked for"),
        (["--port", "99999"], 2, "expected 0 to 65535"),
        (["--root-path", "x"], 2, "expected a path such as /search"),
        (["--allow-folder", "/nowhere"], 2, "there is no such folder"),
        (["--collection", "nothing"], 1, "no collection 'nothing'"),
        (["--auth", "/nowhere"], 1, "No such file"),
        (["--portt", "1"], 2, "unrecognized arguments"),
    ],
)
def test_wrong_starts_say_one_line(arguments, code, message, tmp_path):
    done = run_app(*arguments, "--store", str(tmp_path))
    assert done.returncode == code and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: ")


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_app("--port", str(taken.getsockname()[1]), "--store", str(tmp_path))
    assert done.returncode == 1 and "is taken; choose another" in done.stderr
    assert not any(Path(tmp_path).iterdir())  # nothing was begun
