"""The parts of the int8 form against plain NumPy, and the making of graphs by several processes, some of them killed."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from instructor_search import load_encoder
from instructor_search.encoder.runtimes import choose as choosing
from instructor_search.encoder.runtimes import load
from instructor_search.encoder.runtimes.choose import choose
from instructor_search.encoder.runtimes.openvino_runtime import cache, calibration
from instructor_search.encoder.runtimes.openvino_runtime.cache import export, int8_graph, kept_folder
from instructor_search.encoder.runtimes.openvino_runtime.layers import InputCodes, LinearLayer
from instructor_search.encoder.runtimes.openvino_runtime.quantization import (
    GroupSample,
    _gptq,
    _rounded,
    _values,
    _windows,
    quantize,
)
from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime
from instructor_search.errors import ModelError
from tests.conftest import ROOT


@pytest.fixture
def activations():
    """Like those of a BERT model after its activation: small, with one row in fifty of twenty in one channel."""
    draw = np.random.default_rng(3)
    x = np.maximum(draw.normal(size=(3000, 32)), -0.17).astype(np.float32)
    x[::50, 5] = 20 + draw.normal(size=60) / 10
    return x


def test_windows_of_a_split_channel_add_up(activations):
    low, high = activations.min(0), activations.max(0)
    steps = np.ones(32, np.float32)
    codes = _windows(low, low, high, steps, size=6.0, split=True)
    counts = np.bincount(codes.channel)
    assert counts[5] == 4 and counts.sum() == 35  # 20.4 wide in windows of 6; no other channel needs a second one
    error = np.abs(_values(codes, activations) - activations)
    assert error.max() <= 0.5 * 6 / 255 + 1e-5  # half a step, for the twenties as well


def test_levels_are_those_of_a_plain_loop(activations):
    codes = InputCodes(
        np.array([0, 5, 5]), np.array([-0.2, -0.2, 9.8], np.float32), np.array([1, 2, 2], np.float32), 5.0
    )
    got = codes.apply(activations[:7])
    for i in range(7):
        for k, (channel, low, step) in enumerate(zip(codes.channel, codes.low, codes.channel_steps, strict=True)):
            level = min(max((activations[i, channel] - low) / step, 0), 5.0)
            assert got[i, k] == pytest.approx(round(level / (5 / 255)) * 5 / 255, abs=5 / 255 + 1e-6)
            assert abs(got[i, k] - level) <= 0.5 * 5 / 255 + 1e-6


def test_rounding_in_turn_beats_plain_rounding():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2000, 64)) @ draw.normal(size=(64, 64))  # correlated inputs
    weight = draw.normal(size=(16, 64)).astype(np.float32)
    plain, steps = _rounded(weight)
    ours = _gptq(weight, steps, (x.T @ x / len(x)).astype(np.float32))
    loss = [float((((w * steps - weight) @ x.T) ** 2).mean()) for w in (plain, ours)]
    assert np.abs(ours).max() <= 127 and loss[1] < 0.5 * loss[0]


def test_a_layer_in_int8_gives_nearly_the_same(activations):
    draw = np.random.default_rng(1)
    layer = LinearLayer("g", draw.normal(size=(24, 32)).astype(np.float32), draw.normal(size=24).astype(np.float32))
    sample = GroupSample(num_rows=500)
    for start in range(0, 3000, 300):
        sample.add(activations[start : start + 300])
    assert sample.rows.shape == (500, 32)
    found = quantize({"g.down": layer}, {"g": sample}, can_split=["g"])
    codes, own = found.inputs["g"], found.layers["g.down"]
    got = codes.apply(activations) @ (own.codes * own.steps[:, None]).T + own.bias
    exact = activations @ layer.weight.T + layer.bias
    usual = np.arange(3000) % 50 != 0
    for rows in (usual, ~usual):
        assert np.sqrt(((got - exact)[rows] ** 2).mean() / (exact[rows] ** 2).mean()) < 0.01


def test_a_sample_is_drawn_evenly():
    sample = GroupSample(num_rows=200)
    for start in range(0, 10_000, 100):
        sample.add(np.arange(start, start + 100, dtype=np.float32)[:, None])
    assert (sample.low[0], sample.high[0]) == (0, 9999)
    assert sample.rows.mean() == pytest.approx(4999.5, abs=600)  # three standard errors
    assert len(np.unique(sample.rows)) == 200


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INSTRUCTOR_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "NUM_TEXTS", 80)  # enough for a tiny model
    return tmp_path / "cache"


MAKE = (
    "import sys\nfrom instructor_search import load_encoder\n"
    "from instructor_search.encoder.runtimes.openvino_runtime.cache import int8_graph\n"
    "print(int8_graph(load_encoder(sys.argv[1], precision='int8')).read_bytes()[:99])"
)


@pytest.mark.slow
def test_two_processes_make_one_graph(tiny_folder, own_cache):
    runs = [
        subprocess.Popen([sys.executable, "-c", MAKE, str(tiny_folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    outputs = [run.communicate()[0] for run in runs]
    assert outputs[0] == outputs[1] != "" and all(run.returncode == 0 for run in runs)
    assert [p.name for p in (own_cache / "graphs").iterdir() if not p.name.startswith(".")] == [
        kept_folder(load_encoder(str(tiny_folder), precision="int8")).name
    ]


@pytest.mark.slow
def test_killed_while_it_is_made(tiny_folder, own_cache):
    chance = random.Random(5)
    for _ in range(5):
        run = subprocess.Popen([sys.executable, "-c", MAKE, str(tiny_folder)], stdout=subprocess.DEVNULL, cwd=ROOT)
        time.sleep(chance.uniform(0.3, 2.0))
        run.send_signal(signal.SIGKILL)
        run.wait()
    encoder = load_encoder(str(tiny_folder), precision="int8")
    graph = int8_graph(encoder)
    assert graph.is_relative_to(own_cache) and OpenVinoRuntime(graph, "int8", 0).dim == encoder.dim
    left = [p.name for p in (own_cache / "graphs").iterdir() if p.name.endswith(".part")]
    assert left == []


def test_a_graph_that_cannot_be_made_anew_leaves_the_old_one(tiny_folder, tmp_path, monkeypatch):
    folder = tmp_path / "graph"
    for place in (folder, tmp_path / ".graph.99999999.1.part", tmp_path / ".graph.99999999.1.old"):
        place.mkdir()  # the latter two: of processes that were killed
        for name in ("graph.xml", "graph.bin", "facts.json"):
            (place / name).write_text("old")

    def fails(source, part, texts):
        (part / "graph.xml").write_text("new")
        raise OSError("No space left")

    monkeypatch.setattr(cache, "_write", fails)
    with pytest.raises(ModelError, match="No space left"):
        export(load_encoder(str(tiny_folder), precision="int8"), folder, overwrite=True)
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"graph"}
    assert {p.read_text() for p in folder.iterdir()} == {"old"} and len(list(folder.iterdir())) == 3


def test_a_graph_that_a_folder_ships_is_used(tiny_folder, own_cache, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    encoder = load_encoder(str(folder), precision="int8")
    facts = export(encoder, folder / "openvino-int8")
    assert facts["mean_cosine_to_fp32"] > 0.99 and facts["fingerprint"] == encoder.fingerprint
    assert int8_graph(encoder) == folder.resolve() / "openvino-int8" / "graph.xml"
    assert not own_cache.exists()
    kept = (folder / "openvino-int8" / "facts.json").read_text()
    (folder / "openvino-int8" / "facts.json").write_text(kept.replace('"graph_version": ', '"graph_version": 1'))
    assert int8_graph(encoder).is_relative_to(own_cache)  # of another build
    (folder / "openvino-int8" / "facts.json").write_text(kept)
    encoder.max_seq_length = 64  # another window is another fingerprint: the graph is not this encoder's
    assert int8_graph(encoder).is_relative_to(own_cache)


def test_a_cpu_without_int8_products_computes_in_float32(tiny_folder, own_cache, monkeypatch):
    monkeypatch.setattr(load, "has_int8_products", lambda: False)
    pairs = [("a: ", "text"), ("", "b")]
    quantised, exact = (load_encoder(str(tiny_folder), precision=p).encode(pairs) for p in ("int8", "fp32"))
    assert np.abs(quantised - exact).max() < 0.02  # bf16 where the CPU has it
    assert not own_cache.exists()


def test_wrong_wishes_are_one_line(tiny_folder, tmp_path):
    encoder = load_encoder(str(tiny_folder), precision="int8")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="exists and holds no graph"):
        export(encoder, tmp_path / "x")
    config = {"model_type": "bert", "hidden_size": 8}
    for arguments, words in (
        (("tensorflow", None, None), "runtime is 'tensorflow'; expected one of torch, openvino"),
        ((None, "int4", None), "precision is 'int4'; expected one of fp32, bf16, fp16, int8"),
        (("torch", "int8", None), "torch has fp32, bf16, fp16; int8 runs on a CPU"),
        (("openvino", "fp16", None), "openvino has fp32, bf16, int8"),
        (("openvino", None, "cuda"), "runs on the CPU, not on 'cuda'"),
    ):
        with pytest.raises(ValueError, match=words):
            choose(*arguments, config)
    assert choose(None, None, "cpu", config) == ("torch", "fp32")
    assert choose(None, None, None, config) == ("openvino", "bf16")
    assert choose(None, "int8", None, config) == ("openvino", "int8")


@pytest.mark.parametrize(("products", "expected"), [(True, "int8"), (False, "bf16")])
def test_a_shipped_graph_is_the_default_where_the_cpu_has_its_products(products, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "has_int8_products", lambda: products)
    monkeypatch.setattr(load, "has_int8_products", lambda: products)
    monkeypatch.setenv("INSTRUCTOR_SEARCH_CACHE", str(tmp_path))
    assert (load_encoder().runtime, load_encoder().precision) == ("openvino", expected)
    assert load_encoder(max_seq_length=64).precision == "bf16"  # no graph is shipped for that window
    assert load_encoder(precision="bf16").precision == "bf16"
    assert load_encoder(device="cpu").precision == "fp32"
    config = {"model_type": "bert", "hidden_size": 8}
    assert choose(None, None, None, config, ships_int8=True) == ("openvino", expected)
    assert choose("torch", None, None, config, ships_int8=True) == ("torch", "fp32")


def test_the_export_command(tiny_folder, own_cache, tmp_path, capsys):
    from instructor_search.commands.main import main

    assert main(["export", "--model", str(tiny_folder)]) == 0
    assert "mean 0.9" in capsys.readouterr().out and len(list((own_cache / "graphs").glob("*/graph.bin"))) == 1
    few = tmp_path / "few.txt"
    few.write_text("one passage\n")
    assert main(["export", "--model", str(tiny_folder), "--texts", str(few)]) == 1
    assert "has 1 passages; expected at least 50" in capsys.readouterr().err
    few.write_text("".join(f"passage {n} of many that are about nothing at all\n" for n in range(60)))
    assert main(["export", "--model", str(tiny_folder), "--texts", str(few), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "facts.json").is_file()
