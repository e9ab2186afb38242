"""The OpenVINO runtime against torch and against the official package's numbers, in each precision."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from instructor_search import load_encoder
from tests.conftest import PARITY, ROOT

PAIRS = [
    ("Represent the Science title: ", "3D ActionSLAM: wearable person tracking in multi-floor environments"),
    ("", "A text without an instruction"),
    ("Represent the question for retrieving supporting documents: ", "who?"),
    ("Represent the document for retrieval: ", "the cat sat on the mat and looked at the rain " * 8),
    ("Represent the review for classification: ", "fine"),
]


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(params=["relu", "gated"])
def case(request, tiny_folder, gated_folder):
    folder, name = {"relu": (tiny_folder, "expected.json"), "gated": (gated_folder, "expected_gated.json")}[
        request.param
    ]
    pairs = json.loads((PARITY / name).read_text(encoding="utf-8"))["pairs"]
    return str(folder), [(p["instruction"], p["text"]) for p in pairs], np.array([p["embedding"] for p in pairs])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.02), ("int8", 0.1)])
def test_t5_vectors_equal_the_official_ones(case, precision, tolerance):
    folder, pairs, expected = case
    options = {"instruction_overflow": "official", "runtime": "openvino", "precision": precision}
    vectors = load_encoder(folder, **options).encode(pairs)
    assert np.abs(vectors - expected).max() < tolerance
    assert cosines(vectors, expected).mean() > {"fp32": 0.999999, "bf16": 0.9999, "int8": 0.998}[precision]


def test_t5_reads_more_than_512_tokens_as_torch_does(tiny_folder):
    texts = [("Represent the text: ", " ".join(f"word{i % 97}" for i in range(count))) for count in (100, 400)]
    models = [load_encoder(str(tiny_folder), max_seq_length=2000, device=d, precision="fp32") for d in ("cpu", None)]
    assert models[1].runtime == "openvino" and len(models[1].tokenizer.encode_batch(texts)[1].ids) > 700
    expected, found = (model.encode(texts) for model in models)
    np.testing.assert_allclose(found, expected, atol=1e-5)


FAMILY = {
    "bert": {"hidden_act": "gelu"},
    "roberta": {"pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "distilbert": {},
    "electra": {"embedding_size": 48},
    "mpnet": {"pad_token_id": 1},
}


@pytest.fixture(scope="module", params=FAMILY)
def family_folder(request, tmp_path_factory):
    """A small random model of each kind with the default model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModel

    from instructor_search.encoder.checkpoint import resolve_folder

    folder = tmp_path_factory.mktemp(request.param)
    common = {"vocab_size": 30522, "max_position_embeddings": 80, "initializer_range": 0.1}
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    if request.param == "distilbert":
        sizes = {"dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 96}
    torch.manual_seed(1)
    config = AutoConfig.for_model(request.param, **common, **sizes, **FAMILY[request.param])
    model = AutoModel.from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # norms and biases that are not one and zero, so that forgetting one shows
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.2)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((resolve_folder(None)[0] / "tokenizer.json").read_bytes())
    return folder


def test_the_bert_family_equals_torch(family_folder):
    kind = json.loads((family_folder / "config.json").read_text())["model_type"]
    padded = kind in ("roberta", "xlm-roberta", "mpnet")
    assert load_encoder(str(family_folder)).max_tokens == 80 - 2 * padded  # positions that texts may have
    texts = [(i, t[:200]) for i, t in PAIRS]
    expected = load_encoder(str(family_folder), device="cpu", max_seq_length=64).encode(texts)
    for precision, bound in (("fp32", 1e-4), ("bf16", 0.1)):
        ours = load_encoder(str(family_folder), precision=precision, max_seq_length=64)
        assert (ours.runtime, ours.precision) == ("openvino", precision)
        assert np.abs(ours.encode(texts) - expected).max() < bound * np.abs(expected).max()
    int8 = load_encoder(str(family_folder), precision="int8", max_seq_length=64).encode(texts)
    assert cosines(int8, expected).min() > 0.99


def test_a_model_that_no_graph_is_built_of_runs_on_torch(tmp_path):
    from transformers import AlbertConfig, AlbertModel

    from instructor_search.encoder.checkpoint import resolve_folder
    from instructor_search.errors import ModelError

    sizes = {"hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    AlbertModel(AlbertConfig(vocab_size=30522, **sizes)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((resolve_folder(None)[0] / "tokenizer.json").read_bytes())
    encoder = load_encoder(str(tmp_path))
    assert (encoder.runtime, encoder.precision) == ("torch", "fp32")
    assert encoder.encode(PAIRS).shape == (5, 32)
    with pytest.raises(ModelError, match="no graph is built of this 'albert' model; use --runtime torch"):
        load_encoder(str(tmp_path), runtime="openvino")


@pytest.fixture(scope="module")
def default():
    """The default model in int8."""
    encoder = load_encoder(precision="int8")
    assert (encoder.runtime, encoder.precision) == ("openvino", "int8")
    return encoder


def test_int8_and_bf16_of_the_default_model_are_near_fp32(default, minilm, corpus_texts):
    pairs = [("Represent the document for retrieval: ", text) for text in corpus_texts]
    exact = minilm.encode(pairs)
    int8, bf16 = default.encode(pairs), load_encoder(precision="bf16").encode(pairs)
    assert cosines(int8, exact).mean() > 0.998 and cosines(bf16, exact).mean() > 0.9999
    assert np.abs(load_encoder(precision="fp32").encode(pairs) - exact).max() < 1e-5
    assert overlap(int8, exact) > 0.94 and overlap(bf16, exact) > 0.98


def overlap(ours, exact, top_k=10):
    """Mean share of the ten nearest of each text that both agree on."""
    nearest = [np.argsort(-(v @ v.T - 2 * np.eye(len(v))), axis=1)[:, :top_k] for v in (ours, exact)]
    return np.mean([len(set(a) & set(b)) / top_k for a, b in zip(*nearest, strict=True)])


@pytest.fixture(scope="module")
def corpus_texts():
    import inspect
    import statistics
    import textwrap
    import typing

    members = [getattr(m, n) for m in (statistics, textwrap, typing, subprocess, threading) for n in dir(m)]
    return sorted({inspect.getdoc(m) for m in members if callable(m) and len(inspect.getdoc(m) or "") > 40})


def test_order_length_and_batches_do_not_matter(default):
    mixed = [("Represent: ", "word " * n) for n in (3, 90, 1, 40, 250, 7, 40)]
    together = default.encode(mixed)
    for row, pair in enumerate(mixed):
        alone = default.encode([pair, pair])[0]
        assert cosines(together[[row]], alone[None]).min() > 0.9995
    assert default.encode([]).shape == (0, 384)
    assert cosines(default.encode(mixed, batch_size=2), together).min() > 0.9995


def test_a_single_text_is_remembered(default):
    pair = [("Represent the question: ", "what is remembered?")]
    first = default.encode(pair)
    before = default._runtime
    default._loaded = None  # a second run would load the model again
    try:
        np.testing.assert_array_equal(default.encode(pair), first)
        assert default._loaded is None
    finally:
        default._loaded = before
    for _ in range(5):  # the graph for single texts gives the same vector
        default._recent.clear()
        assert cosines(default.encode(pair), first).min() > 0.998


def test_single_texts_of_all_lengths_share_one_graph():
    encoder = load_encoder(precision="fp32")
    pairs = [("Represent the text: ", " ".join(["word"] * n)) for n in range(1, 125, 4)]
    together = encoder.encode(pairs)
    requests = set()
    for _ in range(4):
        encoder._recent.clear()
        for pair, expected in zip(pairs, together, strict=True):
            np.testing.assert_allclose(encoder.encode([pair])[0], expected, atol=2e-5)
            requests.add(encoder._runtime._single)
    assert len(requests) == 2  # a stream of the graph for many at first, then one graph with all threads


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_lengths_of_single_texts():
    def megabytes():
        return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024

    encoder = load_encoder(precision="fp32")
    for number in range(4):
        encoder.encode([("Represent the text: ", f"word {number}")])
    before = megabytes()
    for length in range(1, 121, 8):
        for number in range(4):
            encoder.encode([("Represent the text: ", f"{number} " + "word " * length)])
    assert megabytes() - before < 60  # 350 with a graph a length


def test_a_stream_is_read_one_window_ahead(default):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield ("Represent: ", f"text number {taken}")

    stream = default.encode_stream(endless(), window=50)
    windows = [next(stream) for _ in range(3)]
    assert [w.shape for w in windows] == [(50, 384)] * 3 and taken <= 250
    expected = default.encode([("Represent: ", f"text number {n}") for n in range(1, 151)])
    assert cosines(np.concatenate(windows), expected).min() > 0.9995
    stream.close()


def test_threads_share_one_encoder(default):
    texts = [[("Represent: ", f"thread {t} text {n} " * (n + 1)) for n in range(20)] for t in range(4)]
    expected = [default.encode(part) for part in texts]
    found = [None] * 4
    threads = [threading.Thread(target=lambda t=t: found.__setitem__(t, default.encode(texts[t]))) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(found, expected, strict=True):
        assert cosines(ours, theirs).min() > 0.9999


@pytest.fixture
def without_torch(tmp_path):
    """An environment whose packages are all but torch and what needs it."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(np.__file__).parents[1].iterdir():
        if not path.name.startswith(("torch", "functorch", "transformers", "sentence_transformers", "__editable__")):
            (packages / path.name).symlink_to(path)
    return os.environ | {"PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_ingest_and_search_need_no_torch_and_send_nothing(precision, tmp_path, default, without_torch):
    default.load()  # its graph is there
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Mercury is the planet nearest to the sun.")
    (tmp_path / "docs" / "b.txt").write_text("The recipe needs butter and flour.")
    docs, store = str(tmp_path / "docs"), str(tmp_path / "store")
    code = f"""
import importlib.util, os, socket, sys
def refuse(*_):
    raise AssertionError("the network, or a fork after threads were started")
from ingest.cli import main as ingest
from instructor_search.commands.main import main as command
assert ingest([{docs!r}, "--instruction", "--precision", {precision!r}, "--store", {store!r}]) == 0
socket.socket.connect = os.fork = refuse
assert command(["search", "planets", "--store", {store!r}, "--explain"]) == 0
assert importlib.util.find_spec("torch") is None and sys.modules["openvino_telemetry"] is None
"""
    arguments = [sys.executable, "-S", "-c", code]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=without_torch)
    assert done.returncode == 0, done.stderr
    assert "Mercury" in done.stdout and f"openvino, {precision}" in done.stdout


def test_openvino_is_imported_from_one_place():
    """Its telemetry is switched off there."""
    importing = [
        str(path.relative_to(ROOT))
        for room in ("instructor_search", "ingest", "eval", "train", "ui")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"^ *(import|from) openvino", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert importing == ["instructor_search/encoder/runtimes/openvino_runtime/_openvino.py"]


def test_the_first_inferences_of_a_process_may_be_in_many_threads():
    """Three of four processes waited for ever when NumPy was first looked up in threads."""
    code = """
import sys, threading
import numpy as np
from instructor_search.encoder.runtimes.openvino_runtime._openvino import op, ov
sys.setswitchinterval(1e-7)
given = op.parameter([-1, 3], np.float32)
model = ov.Core().compile_model(ov.Model([op.relu(given)], [given], "relu"), "CPU")
together = threading.Barrier(9)
def infer(request):
    together.wait()
    request.infer([np.array([[-1, 0, 2]], dtype=np.float32)], share_inputs=True)
    assert request.get_output_tensor(0).data.tolist() == [[0, 0, 2]]
threads = [threading.Thread(target=infer, args=(model.create_infer_request(),)) for _ in range(9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stderr == ""
