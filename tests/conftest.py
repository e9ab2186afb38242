"""Models and folders that many tests share. The tiny T5 checkpoints are random; the default model and its base are real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# Before torch is loaded: threads that spin while they wait take the cores that another worker's threads are to run on.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

DATA = Path(__file__).parent / "data"
PARITY = DATA / "parity"
ROOT = Path(__file__).parents[1]


def pytest_configure(config):
    """Keep int8 graphs in the checkout and not in the user's cache; a second run finds those of the first.

    What is started in the background of a script ignores Ctrl-C, and so would all that the tests start and interrupt.
    """
    os.environ["INSTRUCTOR_SEARCH_CACHE"] = str(config.cache.mkdir("instructor-search"))
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def base():
    """What the default model was trained from."""
    from instructor_search import load_encoder
    from instructor_search.encoder.checkpoint import BASE_MODEL

    return load_encoder(BASE_MODEL, device="cpu")


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


@pytest.fixture
def endpoint():
    """A chat endpoint that answers with the output of the last demonstration of the prompt; it may fail first."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            server.requests.append(
                (
                    self.path,
                    self.headers.get("Authorization"),
                    json.loads(self.rfile.read(int(self.headers["Content-Length"]))),
                )
            )
            status = server.failures.pop(0) if server.failures else 200
            asked = server.requests[-1][2]
            if "prompt" in asked:  # completions: likelihoods, where this server gives them
                body = server.score(asked["prompt"]) if server.score else {"error": {"message": "no completions here"}}
                status = status if server.score else 404
            else:
                said = asked["messages"][-1]["content"].split("Output: ")[-1].split("\n")[0]
                body = {
                    "choices": [{"message": {"content": said}}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
                }
            with server.busy:
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            time.sleep(server.seconds)
            with server.busy:
                server.at_once -= 1
            answer = json.dumps(server.body if server.body is not None else body).encode()
            answer = answer if server.raw is None else server.raw
            self.send_response(status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.failures, server.body, server.raw, server.headers = [], [], None, None, {}
    server.seconds, server.at_once, server.most_at_once, server.busy = 0.0, 0, 0, threading.Lock()
    server.score = None  # text -> the body of an answer to completions
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory):
    """A random two-layer BERT with one output, with the default model's vocabulary."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from instructor_search.encoder.checkpoint import resolve_folder

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("cross_encoder")
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_folder(None)[0]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory):
    """A GPT-2 of two layers over a few words, taught four sentences until it continues them."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    sentences = ["red is a colour . end", "cat is an animal . end", "oak is a tree . end", "june is a month . end"]
    vocabulary = {w: i for i, w in enumerate(["[UNK]", "[EOS]", *sorted({w for s in sentences for w in s.split()})])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[EOS]")
    torch.manual_seed(0)
    network = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(vocabulary), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
        )
    )
    ids = tokenizer(sentences, return_tensors="pt")["input_ids"]  # six words each
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(80):
        loss = network(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("tiny_llm")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
