"""The encoder against the numbers of the official package: vectors within 1e-5, token counts equal."""

import json

import numpy as np
import pytest

from instructor_search import INSTRUCTOR, load_encoder
from instructor_search.errors import InstructionTooLongError
from instructor_search.instructions import InstructedText
from tests.conftest import PARITY

TOLERANCE = 1e-5


def read(name):
    return json.loads((PARITY / name).read_text(encoding="utf-8"))


PAIRS = [(p["instruction"], p["text"]) for p in read("expected.json")["pairs"]]


@pytest.fixture(scope="module", params=["relu-cpu", "gated-cpu", "relu-cuda", "gated-cuda"])
def case(request, tiny_folder, gated_folder):
    kind, device = request.param.split("-")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")
    files = {"relu": (tiny_folder, "expected.json"), "gated": (gated_folder, "expected_gated.json")}
    folder, expected = files[kind]
    encoder = INSTRUCTOR(str(folder), device=device, instruction_overflow="official")
    return encoder, read(expected)["pairs"]


def test_there_are_65_pairs_of_each_kind():
    assert len(PAIRS) == 65 and len(read("expected_gated.json")["pairs"]) == 65


def test_vectors_equal_the_official_ones(case):
    encoder, expected = case
    vectors = encoder.encode([[p["instruction"], p["text"]] for p in expected])
    np.testing.assert_allclose(vectors, [p["embedding"] for p in expected], atol=TOLERANCE, rtol=0)


def test_token_counts_equal_the_official_ones(case):
    encoder, expected = case
    tokenized = encoder.tokenizer.encode_batch([InstructedText(p["instruction"], p["text"]) for p in expected])
    for item, p in zip(tokenized, expected, strict=True):
        assert (len(item.ids), item.num_pooled) == (p["n_tokens"], p["n_pooled"]), p["tag"]
        if p.get("input_ids"):
            assert item.ids == p["input_ids"], p["tag"]


def test_one_text_at_a_time_equals_the_batch(case):
    encoder, expected = case
    pairs = [[p["instruction"], p["text"]] for p in expected[::7]]
    alone = np.stack([encoder.encode([pair])[0] for pair in pairs])
    np.testing.assert_allclose(alone, encoder.encode(pairs, batch_size=3), atol=1e-6)


def test_head_dialect_equals_the_unreleased_repository(tiny_folder):
    encoder = load_encoder(str(tiny_folder), device="cpu", dialect="head", instruction_overflow="official")
    expected = read("expected_head.json")["pairs"]
    vectors = encoder.encode(PAIRS)
    np.testing.assert_allclose(vectors, [p["embedding"] for p in expected], atol=TOLERANCE, rtol=0)
    tokenized = encoder.tokenizer.encode_batch([InstructedText(*p) for p in PAIRS])
    assert [(len(t.ids), t.num_pooled) for t in tokenized] == [(p["n_tokens"], p["n_pooled"]) for p in expected]


def test_the_dialects_differ_on_45_pairs(tiny_folder):
    """The fixture's own count, so that a dialect that is silently ignored cannot pass."""
    options = {"device": "cpu", "instruction_overflow": "official"}
    pypi, head = (load_encoder(str(tiny_folder), dialect=d, **options).encode(PAIRS) for d in ("pypi", "head"))
    assert int((np.abs(pypi - head).max(axis=1) > 1e-4).sum()) == 45


def test_a_shorter_window(tiny_folder):
    expected = read("expected_window_32.json")
    encoder = load_encoder(str(tiny_folder), device="cpu")
    whole = encoder.fingerprint
    encoder.max_seq_length = 32
    np.testing.assert_allclose(encoder.encode(expected["pairs"]), expected["embeddings"], atol=TOLERANCE, rtol=0)
    assert encoder.fingerprint != whole  # another window is another vector space
    assert encoder.num_cut_texts > 0  # nothing is cut in silence


def test_merging_tokens_give_the_text_and_not_a_zero_vector(tiny):
    """The official code returns zeros or fails where the text's first letters merge with the instruction's last token."""
    for quirk in read("quirks.json")["boundary_merge"]:
        pair = InstructedText(quirk["instruction"], quirk["text"])
        (item,) = tiny.tokenizer.encode_batch([pair])
        assert item.num_pooled >= 2, quirk  # at least the merged token and the end token
        vector = tiny.encode([pair])[0]
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_an_instruction_that_fills_the_window_is_refused(tiny):
    long = "Represent the passage " + "and so on " * 300
    with pytest.raises(InstructionTooLongError, match=r"has \d+ tokens and the window is 512"):
        tiny.encode([[long, "never seen"]])
    with pytest.raises(InstructionTooLongError):
        tiny.encode([["short: ", "fine"], [long, "never seen"]])


def test_text_budget_is_exact_to_the_token(tiny):
    instruction = "Represent the document for retrieval: "
    budget = tiny.tokenizer.text_budget(instruction)
    word = "the "  # one token each
    for extra, cut in ((0, 0), (1, 1)):
        (item,) = tiny.tokenizer.encode_batch([InstructedText(instruction, word * (budget + extra))])
        assert (len(item.ids), item.num_cut) == (512, cut)
