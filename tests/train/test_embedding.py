"""A batch in pieces, with and without GradCache, is the batch."""

import copy

import pytest
import torch
from torch import nn

from instructor_search import load_encoder
from train.embedding import cached_backward, embed, pieces, plain_backward
from train.loss import official_loss


@pytest.fixture
def model(tiny_folder):
    encoder = load_encoder(str(tiny_folder), device="cpu")
    made = copy.deepcopy(encoder.model)
    for module in made.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3
    return encoder.tokenizer, made.train()


TEXTS = [(f"Represent number {i}: ", "word " * (1 + 7 * i % 23)) for i in range(12)]


def loss_of(vectors):
    return official_loss(vectors[:4], vectors[4:8], vectors[8:], 0.1)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_the_order_of_texts_is_kept(model):
    tokenizer, made = model
    made.eval()
    texts = tokenizer.encode_batch(TEXTS)
    with torch.no_grad():
        whole = embed(made, pieces(texts, 100_000, 0, "cpu"))
        cut = embed(made, pieces(texts, 40, 0, "cpu"))
        single = torch.cat([embed(made, pieces([t], 40, 0, "cpu")) for t in texts])
    assert len(pieces(texts, 40, 0, "cpu")) > 3
    torch.testing.assert_close(whole, single, rtol=0, atol=1e-5)
    torch.testing.assert_close(cut, single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_grad_cache_gives_the_plain_loss_and_gradients(model, scale):
    tokenizer, made = model
    parts = pieces(tokenizer.encode_batch(TEXTS), 60, 0, "cpu")
    results = []
    for backward in (plain_backward, cached_backward):
        made.zero_grad()
        torch.manual_seed(5)  # dropout is on: both must draw the same
        loss = backward(made, parts, loss_of, lambda value: value.backward(), scale=scale)
        results.append((loss, gradients(made)))
    (plain, expected), (cached, found) = results
    assert cached.item() == pytest.approx(plain.item(), rel=1e-6)
    assert found.keys() == expected.keys() and len(found) > 10
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6 * scale)


def test_only_the_last_piece_is_synchronised(model):
    from contextlib import contextmanager

    tokenizer, made = model
    parts = pieces(tokenizer.encode_batch(TEXTS), 60, 0, "cpu")
    silent, calls = [False], []

    @contextmanager
    def no_sync():
        silent[0] = True
        yield
        silent[0] = False

    for last, expected in ((True, False), (False, True)):
        calls.clear()
        cached_backward(made, parts, loss_of, lambda v: calls.append(silent[0]) or v.backward(), no_sync=no_sync, sync_last=last)  # fmt: skip
        assert calls == [True] * (len(parts) - 1) + [expected]
