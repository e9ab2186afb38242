"""Systems and a small data folder that the evaluation tests share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from eval.records import Context
from eval.sources import BUNDLED
from eval.specifications import SystemOptions, make_system
from instructor_search.encoder.options import EncoderOptions


@pytest.fixture(scope="session")
def embeddings(tmp_path_factory) -> Path:
    """Embeddings of the default model, made once for all tests."""
    folder = tmp_path_factory.mktemp("cache") / "embeddings"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def default_system(embeddings):
    return make_system(
        "default",
        "bundled",
        SystemOptions(encoder=EncoderOptions(device="cpu", precision="fp32"), cache_folder=embeddings),
    )


@pytest.fixture
def context(tmp_path) -> Context:
    return Context(tmp_path)


@pytest.fixture
def data(tmp_path) -> Path:
    """A copy of three bundled sets, to be changed and spoiled."""
    return copy_sets(tmp_path / "data")


@pytest.fixture(scope="session")
def cli(embeddings):
    """``python -m eval ARGUMENTS`` in this process; runs of suites share the embeddings of all tests."""
    from eval.cli import main

    def run(arguments: list) -> int:
        words = [str(argument) for argument in arguments]
        return main([*words, *(["--cache", str(embeddings.parent)] if "--suite" in words else [])])

    return run


def copy_sets(folder: Path) -> Path:
    for path in ("sts/EverydaySentences", "pairclassification/LibraryQuestions", "icl/FileCommands"):
        shutil.copytree(BUNDLED / path, folder / path)
    return folder


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
