"""Explanations: their parts sum to the score, for every kind of model; the oracle is the encoder's own cosine."""

import json
import shutil

import numpy as np
import pytest

from instructor_search import Collection, Searcher, load_encoder
from instructor_search.errors import StoreError
from instructor_search.instructions import InstructedText
from instructor_search.search.explain import Explainer, explain_hit
from instructor_search.search.snippets import sentence_spans
from tests.toy import HashEncoder

QUERY = InstructedText("Represent the astronomy question for retrieval: ", "Which planet is nearest to the Sun?")
TEXT = InstructedText(
    "Represent the document for retrieval: ",
    "  Mercury is the smallest planet.\n\nIt is nearest to the Sun! Venus is hotter, though.",
)


def cosine(encoder, one, other):
    a, b = encoder.encode([one, other]).astype(np.float64)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def check_sums(explanation, score):
    for parts in (explanation.tokens, explanation.sentences, explanation.query_tokens):
        assert sum(p.contribution for p in parts) == pytest.approx(score, abs=1e-4)
    assert explanation.score == pytest.approx(score, abs=1e-4)


@pytest.fixture(scope="module")
def tanh_folder(tiny_folder, tmp_path_factory):
    """The T5-type model with a bias and a tanh in its dense layer, as sentence-transformers saves some."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "tanh"
    shutil.copytree(tiny_folder, folder)
    dense = next(p.parent for p in folder.rglob("config.json") if "in_features" in p.read_text())
    config = json.loads((dense / "config.json").read_text())
    config |= {"bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
    (dense / "config.json").write_text(json.dumps(config))
    weights = {name: 4 * value for name, value in load_file(dense / "model.safetensors").items()}
    bias = np.linspace(-0.3, 0.3, config["out_features"], dtype=np.float32)
    save_file(weights | {"linear.bias": bias}, dense / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["t5", "t5-gated", "t5-tanh", "minilm"])
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize("instruction", [QUERY.instruction, ""])
def test_parts_sum_to_the_score(kind, runtime, instruction, tiny_folder, gated_folder, tanh_folder):
    folder = {"t5": str(tiny_folder), "t5-gated": str(gated_folder), "t5-tanh": str(tanh_folder), "minilm": None}[kind]
    encoder = load_encoder(folder, runtime=runtime, precision="fp32")
    assert bool(encoder.checkpoint.dense) == (kind != "minilm")  # the dense layer is what makes T5 a test of its own
    query = QUERY._replace(instruction=instruction)
    explanation = Explainer(encoder).explain(query, TEXT)
    check_sums(explanation, cosine(encoder, query, TEXT))


def test_an_int8_score_is_explained_in_float32():
    encoder = load_encoder(precision="int8")
    explanation = Explainer(encoder).explain(QUERY, TEXT)
    check_sums(explanation, cosine(load_encoder(precision="fp32"), QUERY, TEXT))
    assert explanation.score == pytest.approx(cosine(encoder, QUERY, TEXT), abs=0.015)  # what int8 rounds


def test_tokens_stand_where_they_are_in_the_text(minilm):
    explanation = Explainer(minilm).explain(QUERY, TEXT)
    named = [t for t in explanation.tokens if t.end > t.start]
    assert all(TEXT.text[t.start : t.end] == t.text for t in named)
    assert [t.text for t in named][:5] == ["Mercury", "is", "the", "smallest", "planet"]
    assert "".join(t.text for t in named) == "".join(TEXT.text.split())
    asked = [t.text for t in explanation.query_tokens if t.end > t.start]
    assert asked == ["Which", "planet", "is", "nearest", "to", "the", "Sun", "?"]  # not the instruction's words


def test_the_sentence_that_answers_adds_most(minilm):
    text = TEXT._replace(text="My bicycle has a flat tyre. Mercury is the planet nearest to the Sun.")
    first, second, _ = Explainer(minilm).explain(QUERY, text).sentences
    assert second.contribution > 2 * first.contribution


def test_spans_of_sentences_cover_a_text():
    text = "One. Two!\n\nThree (so.) four"
    spans = sentence_spans(text)
    assert "".join(text[a:b] for a, b in spans) == text and len(spans) == 4
    assert sentence_spans("") == [] and sentence_spans("x") == [(0, 1)]


def test_a_hit_under_two_instructions(corpus_store, minilm):
    searcher = Searcher(Collection.open("corpus", corpus_store))
    instructions = [f"Represent the {d} question for retrieving documents: " for d in ("astronomy", "chemistry")]
    hit = searcher.search("mercury", instruction=instructions[0], top_k=1)[0]
    both = explain_hit(searcher, hit.chunk_id, "mercury", instructions)
    assert both[0].stored_score == pytest.approx(hit.score, abs=1e-4)  # what the search showed
    assert both[0].score == pytest.approx(hit.score, abs=0.006)  # int8 or bf16 vectors against float32
    assert [t.text for t in both[0].tokens] == [t.text for t in both[1].tokens]
    assert both[0].score > both[1].score + 0.02
    for found in both:
        check_sums(found, found.score)


def test_what_cannot_be_explained(corpus_store):
    searcher = Searcher(Collection.open("corpus", corpus_store))
    with pytest.raises(StoreError, match="no chunk 'nothing'"):
        explain_hit(searcher, "nothing", "mercury", [""])
    with pytest.raises(ValueError, match="the query is empty"):
        explain_hit(searcher, "nothing", " ", [""])
    with pytest.raises(Exception, match="no tokens to look into"):
        Explainer(HashEncoder())
