"""Rounded layers against the int8 form in NumPy, and a model of them against its int8 graph."""

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from instructor_search.encoder.runtimes.openvino_runtime.layers import InputCodes
from instructor_search.encoder.runtimes.openvino_runtime.quantization import _rounded
from instructor_search.errors import ModelError
from tests.conftest import ROOT
from train.config import TrainConfig
from train.quantized import _Levels, make_quantization_aware, rounded_linear


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 5)


CODES = InputCodes(  # channel 2 is read in two windows
    np.array([0, 1, 2, 2, 3, 4, 5]),
    np.array([-2, -3, -1, 4, -2, -2, -2], np.float32),
    np.array([1, 1.5, 1, 1, 0.5, 1, 2], np.float32),
    5.0,
)


def test_a_rounded_layer_is_the_int8_form(layer):
    x = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    x[::7, 2] = 7.3
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    rounded, steps = _rounded(weight[:, CODES.channel] * CODES.channel_steps)
    base = np.array([-2, -3, -1, -2, -2, -2], np.float32)
    expected = CODES.apply(x) @ (rounded * steps).T + weight @ base + bias
    mean = CODES.apply(x).mean(0)
    expected += (weight[:, CODES.channel] * CODES.channel_steps - rounded * steps) @ mean
    got = rounded_linear(layer, _Levels(CODES, mean, "cpu"), torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(got, expected, atol=2e-5)
    plain = x @ weight.T + bias
    assert 1e-4 < np.median(np.abs(got - plain)) < 0.02  # rounded, and near


def test_gradients_pass_straight_through_and_stop_at_the_ends(layer):
    x = torch.tensor([[0.3, 0.2, 7.3, 0.1, 50.0, -0.4]], requires_grad=True)  # channel 4 is beyond its range
    rounded_linear(layer, _Levels(CODES, np.zeros(7, np.float32), "cpu"), x).sum().backward()
    slope, of_weight = x.grad[0], layer.weight.grad[0]
    plain = layer.weight.detach().sum(0)
    inside = torch.tensor([0, 1, 2, 3, 5])
    torch.testing.assert_close(slope[inside], plain[inside], atol=0.02, rtol=0)
    assert slope[4] == 0
    torch.testing.assert_close(of_weight[inside], x.detach()[0][inside], atol=0.02, rtol=0)


@pytest.mark.slow
def test_a_model_computes_as_its_int8_graph_does(minilm):
    texts = [" ".join(p.read_text(encoding="utf-8").split()[:90]) for p in sorted((ROOT / "corpus").rglob("*.md"))[:40]]
    pairs = [("Represent the text: ", text) for text in texts]
    exact, graph = minilm.encode(pairs), load_encoder(precision="int8").encode(pairs)
    aware = load_encoder(device="cpu")
    assert make_quantization_aware(aware) == 36  # six in each of six layers
    vectors = aware.encode(pairs)
    near = np.sum(vectors * exact, 1)
    assert 0.998 < near.mean() < 0.9999
    assert np.sum(graph * exact, 1).mean() > near.mean()  # the graph's weights are rounded better


def test_all_layers_of_a_model_round(tiny_folder):
    pairs = [("Represent the text: ", f"The river is {n} metres deep, and cold.") for n in range(20)]
    exact, aware = (load_encoder(str(tiny_folder), device="cpu") for _ in range(2))
    linear = [m for m in aware.model.backbone.modules() if isinstance(m, torch.nn.Linear)]
    assert make_quantization_aware(aware) == len(linear) > 5
    assert all("forward" in vars(layer) for layer in linear)
    plain, vectors = (e.encode(pairs) for e in (exact, aware))
    near = np.sum(plain * vectors, 1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(vectors, axis=1)
    assert 0.99 < near.mean() < 0.999999


def test_it_is_refused_where_there_is_no_graph(tiny, monkeypatch):
    for more in ({"fsdp": True}, {"lora_rank": 4}):
        with pytest.raises(ValueError, match="without fsdp and lora_rank"):
            TrainConfig(quantization_aware=True, **more)
    monkeypatch.setitem(tiny.checkpoint.config, "model_type", "albert")
    with pytest.raises(ModelError, match="no int8 graph is built of this 'albert' model"):
        make_quantization_aware(tiny)
