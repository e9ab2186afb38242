"""A batch in pieces, with and without GradCache, is the batch."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from instructor_search import load_encoder
from instructor_search.encoder.tokenization import TokenizedText
from train import embedding
from train.embedding import cached_backward, embed, pieces, plain_attention, plain_backward
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
        cached_backward(
            made, parts, loss_of, lambda v: calls.append(silent[0]) or v.backward(), no_sync=no_sync, sync_last=last
        )
        assert calls == [True] * (len(parts) - 1) + [expected]


@pytest.mark.parametrize(("length", "bf16", "fused"), [(17, True, False), (18, True, True), (17, False, True)])
def test_attention_in_bf16_is_fused_for_long_texts_alone(monkeypatch, length, bf16, fused):
    """What runs is what PyTorch's own profiler saw; what comes out is the same attention."""
    monkeypatch.setattr(embedding, "PLAIN_ATTENTION_LENGTH", 17)
    parts = pieces([TokenizedText(list(range(n)), 0, 0) for n in (3, length)], 10, 0, "cpu")
    q, k, v = torch.randn(3, 2, 4, length, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kind = torch.bfloat16 if bf16 else torch.float32
    sides = [side.to(kind).requires_grad_() for side in (q, k, v)]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.profiler.profile() as seen, plain_attention(parts):
        found = scaled_dot_product_attention(*sides)
        found.float().square().sum().backward()
    assert any("flash" in event.name for event in seen.events()) is fused
    assert not torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    expected = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1) @ v
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.02 if bf16 else 1e-5)
    assert all(side.grad is not None and side.grad.isfinite().all() for side in sides)
