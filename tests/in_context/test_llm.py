"""Language models: a real endpoint on loopback, and a tiny causal model from a folder."""

import pytest

from instructor_search.errors import ModelError
from instructor_search.in_context.llm import EndpointModel, LanguageModelError, LocalModel


def model(endpoint, **options):
    return EndpointModel(endpoint.url, "tiny", wait_seconds=0.01, **options)


def test_an_endpoint_answers_with_the_key_of_the_environment(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    asked = model(endpoint)
    assert asked.generate("Input: a\nOutput: yes\n\nInput: b\nOutput:", max_tokens=5) == "yes"
    path, key, body = endpoint.requests[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret-1")
    assert body["model"] == "tiny" and body["max_tokens"] == 5 and body["temperature"] == 0
    assert (asked.num_prompt_tokens, asked.num_answer_tokens) == (7, 2)


def test_passing_failures_are_tried_again(endpoint):
    endpoint.failures = [503, 429]
    assert model(endpoint).generate("Output: x") == "x"
    assert len(endpoint.requests) == 3


def test_lasting_failures_are_one_line_without_the_key(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-2")
    endpoint.failures = [401]
    with pytest.raises(LanguageModelError, match="HTTP 401") as caught:
        model(endpoint).generate("Output: x")
    assert len(endpoint.requests) == 1 and "secret" not in str(caught.value)
    endpoint.failures = [500] * 9
    with pytest.raises(LanguageModelError, match="did not answer .HTTP 500."):
        model(endpoint, num_retries=2).generate("Output: x")
    endpoint.body = {"nothing": 1}
    endpoint.failures = []
    with pytest.raises(LanguageModelError, match="without choices"):
        model(endpoint).generate("Output: x")


def test_nobody_listens():
    with pytest.raises(LanguageModelError, match="did not answer"):
        EndpointModel("http://127.0.0.1:9/v1", "tiny", num_retries=0).generate("x")
    with pytest.raises(ValueError, match="expected an address such as http"):
        EndpointModel("localhost:8000", "tiny")


def test_a_local_model_continues_and_chooses(tiny_llm):
    local = LocalModel(str(tiny_llm), device="cpu")
    assert local.generate("cat is an", max_tokens=5, stop=(".",)).strip() == "animal"
    options = ["colour", "animal", "tree", "month"]
    assert [local.choose(p, options) for p in ("red is a", "cat is an", "oak is a", "june is a")] == [0, 1, 2, 3]
    assert local.count_tokens("oak is a tree .") == 5


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="no model folder"):
        LocalModel(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="no causal language model that can be loaded"):
        LocalModel(str(tmp_path))
