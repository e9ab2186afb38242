"""Models and folders that many tests share. The tiny T5 checkpoints are random; the default model is real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
PARITY = DATA / "parity"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_folder() -> Path:
    return PARITY / "instructor-tiny"


@pytest.fixture(scope="session")
def gated_folder(tmp_path_factory) -> Path:
    """The gated checkpoint shares the tokenizer files of the other one."""
    folder = tmp_path_factory.mktemp("models") / "instructor-tiny-gated"
    shutil.copytree(PARITY / "instructor-tiny-gated", folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "spiece.model"):
        shutil.copy(PARITY / "instructor-tiny" / name, folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    from instructor_search import load_encoder

    return load_encoder(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def minilm():
    from instructor_search import load_encoder

    return load_encoder(device="cpu")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv("INSTRUCTOR_SEARCH_STORE", str(folder))
    return folder


@pytest.fixture
def corpus() -> Path:
    return ROOT / "corpus"


@pytest.fixture(scope="session")
def corpus_store(tmp_path_factory) -> Path:
    """The shipped corpus, ingested once with the default model, as the README does."""
    from ingest.cli import main

    folder = tmp_path_factory.mktemp("corpus_store")
    assert main([str(ROOT / "corpus"), "--instruction", "--store", str(folder), "--quiet", "--json"]) == 0
    return folder
