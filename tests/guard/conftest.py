"""Small data for every command, and a guard of its own for each."""

import base64
import json
import shutil

import pytest

from tests.conftest import ROOT
from tests.guard.guarded import Guard

POOL = [("red is a", "colour"), ("cat is an", "animal"), ("oak is a", "tree"), ("june is a", "month")]


@pytest.fixture
def guard(tmp_path):
    """Returns the guard of one command; at the end nothing may have been tried."""
    made = Guard(tmp_path / "guarded")
    yield made
    made.check()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Collections "here", "spare" and "pool", made by guarded commands, and a chunk of the first."""
    guard = Guard(tmp_path_factory.mktemp("guarded_store"))
    files, made = guard.folder / "files", guard.folder / "store"
    files.mkdir()
    for name in ("encyclopedia/mercury-planet.md", "legal/lease.docx", "reviews/reviews.csv"):
        shutil.copy(ROOT / "corpus" / name, files)
    guard.module("ingest", files, "--instruction", "--store", made, "--collection", "here", "--quiet")
    yield guard, made
    guard.check()


@pytest.fixture(scope="session")
def chunk(store):
    guard, made = store
    done = guard.module("instructor_search", "search", "mercury", "--store", made, "--json")
    return json.loads(done.stdout)["hits"][0]["chunk_id"]


@pytest.fixture(scope="session")
def small_places(store, chunk):
    return {"store": store[1], "chunk": chunk}


@pytest.fixture(scope="session")
def places(small_places, store, tiny_folder, tiny_llm, cross_encoder):
    """All that the tour needs."""
    guard, made = store
    reviews, rows, pool = ROOT / "corpus/reviews", guard.folder / "rows.jsonl", guard.folder / "pool.jsonl"
    rows.write_text(json.dumps(_medi_rows()))
    pool.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in POOL))
    fields = ["--examples", "--input-field", "q", "--output-field", "a"]
    guard.module("ingest", reviews, "--instruction", "--store", made, "--collection", "spare", "--model", tiny_folder)
    guard.module("ingest", pool, *fields, "--store", made, "--collection", "pool", "--model", tiny_folder)
    guard.module("train.medi", "build", "--examples", f"medi:{rows}", "--output", guard.folder / "mixture")
    models = f"{tiny_folder},{tiny_folder}@none"
    guard.module("eval", "--suite", "sts", "--data", "bundled", "--models", models, "--output", guard.folder / "runs")
    return {**small_places, "corpus": ROOT / "corpus", "reviews": reviews, "rows": rows, "tiny": tiny_folder,
            "mixture": guard.folder / "mixture", "runs": guard.folder / "runs", "llm": tiny_llm,
            "cross_encoder": cross_encoder, "tiktoken": _tiktoken(guard.folder)}  # fmt: skip


def _medi_rows():
    return [
        {"query": ["Represent the number: ", f"number {i} of many"], "pos": ["Represent the word: ", f"word {i} of many"],
         "neg": ["Represent the word: ", f"word {i + 1} of few"], "task_name": "numbers"}
        for i in range(60)
    ]  # fmt: skip


def _tiktoken(folder):
    path = folder / "cl100k_base.tiktoken"
    path.write_bytes(b"\n".join(base64.b64encode(bytes([b])) + b" " + str(b).encode() for b in range(256)))
    return path
