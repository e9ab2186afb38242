"""What training does to a model before it begins: dropout."""

import numpy as np
import pytest
import torch
from torch import nn

from instructor_search import load_encoder
from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime
from train.backbone import Dropout, prepare_backbone
from train.config import TrainConfig


@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_dropout_is_set_where_it_acts(kind, tiny_folder, minilm):
    """The spread of repeated forward passes: none without dropout, some with either kind of it."""
    encoder = minilm if kind == "bert" else load_encoder(str(tiny_folder), device="cpu")
    model = TorchRuntime(encoder.checkpoint, device="cpu").model.train()
    ids = torch.randint(5, 50, (4, 12))
    spread = {}
    for name, hidden, attention in (("none", 0.0, 0.0), ("hidden", 0.3, 0.0), ("attention", 0.0, 0.3)):
        prepare_backbone(model.backbone, TrainConfig(dropout=hidden, attention_dropout=attention))
        first, second = (model(ids, torch.ones_like(ids), torch.ones_like(ids)) for _ in range(2))
        spread[name] = float((first - second).abs().max().detach())
    assert spread["none"] == 0 and spread["hidden"] > 1e-3 and spread["attention"] > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_what_dropout_keeps_is_a_coin_for_each_value(dtype, probability):
    """Against the binomial distribution: the share, of rows, columns and neighbours too, within five deviations."""
    torch.manual_seed(3)
    values = torch.full((501, 383), 2.0, dtype=dtype, requires_grad=True)  # no multiple of four
    found = Dropout(probability)(values)
    kept = (found != 0).double()
    expected, deviation = 1 - probability, np.sqrt(probability * (1 - probability))
    both = kept[:, 1:] * kept[:, :-1]
    assert abs(kept.mean() - expected) < 5 * deviation / np.sqrt(kept.numel())
    assert (kept.mean(0) - expected).abs().max() < 5 * deviation / np.sqrt(501)
    assert (kept.mean(1) - expected).abs().max() < 5 * deviation / np.sqrt(383)
    assert abs(both.mean() - expected**2) < 5 * np.sqrt(3 * expected**2 * (1 - expected**2) / both.numel())
    scaled = torch.tensor(2 / expected, dtype=dtype)
    torch.testing.assert_close(found[found != 0], scaled.expand(int(kept.sum())), rtol=2**-7, atol=0)
    found.sum().backward()
    torch.testing.assert_close(values.grad, found.detach() / 2, rtol=2**-7, atol=0)


def test_dropout_draws_by_torchs_seed_and_rests_in_evaluation():
    layer, values = Dropout(0.25), torch.randn(7, 13).T  # not contiguous
    torch.manual_seed(1)
    first, second = layer(values), layer(values)
    torch.manual_seed(1)
    assert torch.equal(layer(values), first) and not torch.equal(second, first)
    assert torch.equal(layer.eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values) and torch.equal(Dropout(1.0)(values), torch.zeros(13, 7))


def test_a_prepared_model_draws_its_dropout_so(minilm):
    model = TorchRuntime(minilm.checkpoint, device="cpu").model
    before = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    prepare_backbone(model.backbone, TrainConfig())
    after = [module for module in model.backbone.modules() if isinstance(module, nn.Dropout)]
    assert len(after) == len(before) > 6 and all(type(module) is Dropout for module in after)
