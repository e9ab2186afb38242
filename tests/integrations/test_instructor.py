"""INSTRUCTOR: the arguments of the old package and of sentence-transformers. Its vectors: tests/encoder/test_parity.py."""

import inspect

import numpy as np
import pytest

from instructor_search import INSTRUCTOR
from instructor_search.encoder.encoder import InstructorEncoder
from instructor_search.instruction_library import find_instruction
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION, InstructedText

I1, I2 = "Represent the Science title: ", "Represent the review: "
T1, T2 = "Parton energy loss", "The value of the object"
PAIRS = [[I1, T1], [I2, T2]]
# Of InstructorEmbedding 1.0.1, in this order.
OLD = [
    "self",
    "sentences",
    "batch_size",
    "show_progress_bar",
    "output_value",
    "convert_to_numpy",
    "convert_to_tensor",
    "device",
    "normalize_embeddings",
]


@pytest.fixture(scope="module")
def model(tiny_folder):
    return INSTRUCTOR(str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def expected(tiny):
    return tiny.encode(PAIRS)


def test_the_old_signature_stands_here_and_the_encoder_has_its_own():
    ours = inspect.signature(INSTRUCTOR.encode).parameters
    assert [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == OLD
    encoder = inspect.signature(InstructorEncoder.encode).parameters
    assert set(encoder) < set(ours) and len(encoder) == 7


def test_old_calls_by_position(model, expected):
    vectors = model.encode(PAIRS, 1, False, "sentence_embedding", True, False, "cpu", True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_other_names_of_an_instruction(model, expected):
    np.testing.assert_allclose(model.encode(T1, instruction=I1), expected[0], atol=1e-6)
    np.testing.assert_allclose(model.encode(T1, prompt=I1), expected[0], atol=1e-6)
    named = model.encode(T1, prompt_name="legal/document")
    np.testing.assert_allclose(named, model.encode([[find_instruction("legal/document"), T1]])[0], atol=1e-6)


def test_query_and_document_sides(model):
    query, document = (model.encode(T1, prompt=i) for i in (DEFAULT_QUERY_INSTRUCTION, DEFAULT_DOCUMENT_INSTRUCTION))
    np.testing.assert_allclose(model.encode_query([T1]), query[None], atol=1e-6)
    np.testing.assert_allclose(model.encode_document(T1), document, atol=1e-6)
    np.testing.assert_allclose(model.encode_query([[I1, T1]]), model.encode([[I1, T1]]), atol=1e-6)
    np.testing.assert_allclose(model.encode_document([T1], instruction=I2), model.encode([[I2, T1]]), atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", None], ids=["torch", "chosen"])
def test_output_kinds(device, tiny_folder, expected):
    import torch

    model = INSTRUCTOR(str(tiny_folder), device=device, precision="fp32")
    tensor = model.encode(PAIRS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (2, 48)
    np.testing.assert_allclose(tensor.cpu().numpy(), expected, atol=1e-5)
    rows = model.encode(PAIRS, convert_to_numpy=False)
    assert isinstance(rows, list) and torch.equal(rows[1], tensor[1])
    alone = model.encode(PAIRS[:1], convert_to_tensor=True)
    assert alone.shape == (1, 48) and torch.allclose(alone[0], tensor[0], atol=1e-5)
    tokens = model.encode(PAIRS, output_value="token_embeddings")
    lengths = [len(t.ids) for t in model.tokenizer.encode_batch([InstructedText(*p) for p in PAIRS])]
    assert [tuple(t.shape) for t in tokens] == [(n, 64) for n in lengths]
    features = model.encode(PAIRS, output_value=None)[0]
    pooled = features["token_embeddings"][int(features["context_masks"]) :].mean(0)
    by_hand = torch.nn.functional.normalize(model.model.dense[0](pooled), dim=-1)
    np.testing.assert_allclose(by_hand.detach().cpu().numpy(), expected[0], atol=1e-5)  # the documented formula
    single = model.encode(T1, instruction=I1, output_value="token_embeddings")
    assert torch.allclose(single, tokens[0], atol=1e-5)


def test_names_of_sentence_transformers(model, expected):
    assert model.get_sentence_embedding_dimension() == model.dim == 48
    np.testing.assert_allclose(model.similarity(expected, expected), expected @ expected.T, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruction": I1, "prompt": I2}, "one of instruction, prompt and prompt_name"),
        ({"prompt_name": "legl/query"}, "did you mean legal"),
        ({"output_value": "tokens"}, "output_value is 'tokens'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_arguments_say_what_was_expected(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.encode([T1], **options)
