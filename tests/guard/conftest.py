"""Small data for every command, and a guard of its own for each. Words in braces of ``tour`` are fixtures of here."""

import base64
import json
import re
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


@pytest.fixture
def filled(request):
    """Returns what puts fixtures into a command's words."""
    return lambda words: [re.sub(r"\{(\w+)\}", lambda m: str(request.getfixturevalue(m[1])), word) for word in words]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Returns a guard for what is made before the commands of the tour."""
    guard = Guard(tmp_path_factory.mktemp("prepared"))
    yield guard
    guard.check()


@pytest.fixture(scope="session")
def store(prepared):
    """Returns a store with the collection "here"."""
    files, made = prepared.folder / "files", prepared.folder / "store"
    files.mkdir()
    for name in ("encyclopedia/mercury-planet.md", "legal/lease.docx", "reviews/reviews.csv"):
        shutil.copy(ROOT / "corpus" / name, files)
    prepared.module("ingest", files, "--instruction", "--store", made, "--collection", "here", "--quiet")
    return made


@pytest.fixture(scope="session")
def chunk(store, prepared):
    done = prepared.module("instructor_search", "search", "mercury", "--store", store, "--collection", "here", "--json")
    return json.loads(done.stdout)["hits"][0]["chunk_id"]


@pytest.fixture(scope="session")
def spare(prepared, store, tiny_folder):
    """Returns the name of a collection that may be changed."""
    words = [
        ROOT / "corpus/reviews",
        "--instruction",
        "--store",
        store,
        "--collection",
        "spare",
        "--model",
        tiny_folder,
    ]
    prepared.module("ingest", *words)
    return "spare"


@pytest.fixture(scope="session")
def titled(prepared, store, tiny_folder):
    """Returns the name of a collection whose documents have titles enough to train on."""
    paths = [ROOT / "corpus" / name for name in ("encyclopedia", "recipes", "health", "legal", "software")]
    prepared.module("ingest", *paths, "--store", store, "--collection", "titled", "--model", tiny_folder)
    return "titled"


@pytest.fixture(scope="session")
def pool(prepared, store, tiny_folder):
    path = prepared.folder / "pool.jsonl"
    path.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in POOL))
    fields = ["--examples", "--input-field", "q", "--output-field", "a"]
    prepared.module("ingest", path, *fields, "--store", store, "--collection", "pool", "--model", tiny_folder)
    return "pool"


@pytest.fixture(scope="session")
def rows(prepared):
    """Returns a file in MEDI's form."""
    made = [
        {
            "query": ["Represent the number: ", f"number {i} of many"],
            "pos": ["Represent the word: ", f"word {i} of many"],
            "neg": ["Represent the word: ", f"word {i + 1} of few"],
            "task_name": "numbers",
        }
        for i in range(60)
    ]
    (prepared.folder / "rows.jsonl").write_text(json.dumps(made))
    return prepared.folder / "rows.jsonl"


@pytest.fixture(scope="session")
def mixture(prepared, rows):
    prepared.module("train.medi", "build", "--examples", f"medi:{rows}", "--output", prepared.folder / "mixture")
    return prepared.folder / "mixture"


@pytest.fixture(scope="session")
def runs(prepared, tiny_folder):
    """Returns the output of two studies and the runs that they made."""
    words = [
        "--suite",
        "robustness,annotation,EverydaySentences,FileCommands",
        "--data",
        "bundled",
        "--resamples",
        "100",
    ]
    prepared.module("eval", *words, "--models", tiny_folder, "--output", prepared.folder / "runs")
    return prepared.folder / "runs"


@pytest.fixture(scope="session")
def tiktoken(prepared):
    path = prepared.folder / "cl100k_base.tiktoken"
    path.write_bytes(b"\n".join(base64.b64encode(bytes([b])) + b" " + str(b).encode() for b in range(256)))
    return path


@pytest.fixture
def table(guard):
    """Returns a folder that datasets can read, as seen from where the command runs."""
    (guard.folder / "my-data").mkdir()
    lines = [{"q": f"number {i} of many", "p": f"word {i} of many"} for i in range(60)]
    (guard.folder / "my-data" / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "my-data"


def near(guard, folder, name):
    """Return a folder's path from where the command runs, which is also what an id of the hub looks like."""
    (guard.folder / "models").mkdir(exist_ok=True)
    shutil.copytree(folder, guard.folder / "models" / name, dirs_exist_ok=True)
    return f"models/{name}"


@pytest.fixture
def tiny_model(guard, tiny_folder):
    return near(guard, tiny_folder, "tiny")


@pytest.fixture
def llm(guard, tiny_llm):
    return near(guard, tiny_llm, "llm")


@pytest.fixture
def reranker(guard, cross_encoder):
    return near(guard, cross_encoder, "reranker")


@pytest.fixture
def output(guard):
    return guard.folder


@pytest.fixture
def reviews(corpus):
    return corpus / "reviews"


@pytest.fixture
def url(endpoint):
    return endpoint.url
