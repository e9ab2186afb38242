"""Language models: a real endpoint on loopback, and a tiny causal model from a folder."""

import math
import re
import time

import pytest

from instructor_search.errors import ModelError
from instructor_search.in_context.endpoint import EndpointModel
from instructor_search.in_context.llm import LanguageModelError, LocalModel, Usage
from instructor_search.in_context.template import Message


def model(endpoint, **options):
    return EndpointModel(endpoint.url, "tiny", wait_seconds=0.01, **options)


def test_an_endpoint_answers_with_the_key_of_the_environment(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    asked = model(endpoint)
    assert asked.generate("Input: a\nOutput: yes\n\nInput: b\nOutput:", max_tokens=5) == "yes"
    path, key, body = endpoint.requests[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret-1")
    assert body["model"] == "tiny" and body["max_tokens"] == 5 and body["temperature"] == 0
    assert (asked.usage.num_prompt_tokens, asked.usage.num_answer_tokens) == (7, 2)


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


def test_counters_and_cost(endpoint):
    asked = model(endpoint, usage=Usage(price_prompt=2.0, price_answer=10.0))
    endpoint.failures = [500]
    asked.generate("Output: x")
    asked.generate([Message("system", "s"), Message("user", "Output: y")])
    assert endpoint.requests[-1][2]["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Output: y"},
    ]
    assert asked.usage.as_dict() == {
        "num_requests": 2,
        "num_failed_tries": 1,
        "num_prompt_tokens": 14,
        "num_answer_tokens": 4,
        "cost": pytest.approx((14 * 2 + 4 * 10) / 1e6),
    }


def test_no_more_requests_are_under_way_than_allowed(endpoint):
    endpoint.seconds = 0.05
    asked = model(endpoint, max_concurrent=3)
    assert asked.generate_many([f"Output: {n}" for n in range(12)]) == [str(n) for n in range(12)]
    assert endpoint.most_at_once == 3 and asked.usage.num_requests == 12


def test_a_failure_among_many_is_an_error(endpoint):
    endpoint.failures = [200, 403]
    with pytest.raises(LanguageModelError, match="HTTP 403"):
        model(endpoint, max_concurrent=1).generate_many(["Output: x"] * 40)
    assert len(endpoint.requests) < 40


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_asks_to_wait_is_waited_for(endpoint, code):
    endpoint.failures, endpoint.headers = [code], {"Retry-After": "0.4"}
    started = time.monotonic()
    assert model(endpoint).generate("Output: x") == "x"
    assert time.monotonic() - started >= 0.4 and len(endpoint.requests) == 2


def test_one_that_asks_for_too_long_is_not(endpoint):
    for value in ("3600", "Fri, 31 Dec 2199 23:59:59 GMT"):
        endpoint.requests.clear()
        endpoint.failures, endpoint.headers = [429], {"Retry-After": value}
        with pytest.raises(LanguageModelError, match=r"HTTP 429; it asks to wait \d+ s"):
            model(endpoint).generate("Output: x")
        assert len(endpoint.requests) == 1


def test_a_slow_answer_is_given_up(endpoint):
    endpoint.seconds = 0.6
    asked = model(endpoint, timeout_seconds=0.2, num_retries=1)
    with pytest.raises(LanguageModelError, match="did not answer .*timed out"):
        asked.generate("Output: x")
    assert asked.usage.num_failed_tries == 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"<html>busy</html>", "its answer is no JSON"),
        (b"[1]", "no JSON object"),
        (b"", "its answer is no JSON"),
        (b'{"choices": []}', "without choices"),
        (b'{"choices": [{"message": {"content": [1]}}]}', "list content"),
        (b'{"choices": 3}', "without choices"),
        (b"\xff\xfe", "its answer is no JSON"),
    ],
)
def test_malformed_answers_are_one_line(endpoint, raw, said):
    endpoint.raw = raw
    with pytest.raises(LanguageModelError, match=re.escape(said)) as caught:
        model(endpoint, num_retries=1).generate("Output: x")
    assert "\n" not in str(caught.value)


def test_the_server_s_own_words_are_shown_without_the_key(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    endpoint.failures, endpoint.body = [401], {"error": {"message": "Incorrect key:\nsk-very-secret"}}
    with pytest.raises(LanguageModelError, match=r"HTTP 401: Incorrect key: \*\*\*") as caught:
        model(endpoint).generate("Output: x")
    assert "secret" not in repr(caught.value) + repr(vars(model(endpoint)))


def test_redirects_are_not_followed(endpoint):
    endpoint.failures, endpoint.headers = [302], {"Location": f"{endpoint.url}/elsewhere"}
    with pytest.raises(LanguageModelError, match="HTTP 302"):
        model(endpoint).generate("Output: x")
    assert [path for path, _, _ in endpoint.requests] == ["/v1/chat/completions"]
    with pytest.raises(ValueError, match="num_retries -1, timeout_seconds 60.0; expected at least 1, at least 0"):
        model(endpoint, num_retries=-1)
    with pytest.raises(ValueError, match="holds a name or password"):
        EndpointModel("http://me:secret@localhost/v1", "tiny")


def echoed(text):
    """Score each character of a text: those of a vowel are likely."""
    values = [None, *(-0.1 if c in "aeiou" else -2.0 for c in text[1:]), -9.0]
    facts = {"tokens": [*text, "!"], "text_offset": list(range(len(text) + 1)), "token_logprobs": values}
    return {"choices": [{"text": f"{text}!", "logprobs": facts}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def test_options_are_scored_where_the_server_gives_likelihoods(endpoint):
    endpoint.score = echoed
    asked = model(endpoint)
    # " aaa" is a blank and three vowels, " bb" three others; what was generated behind them does not count
    assert asked.likelihoods("eee", ["aaa", "bb"]) == [pytest.approx((-2.0 - 0.3) / 4), pytest.approx(-2.0)]
    assert asked.choose("eee", ["bb", "aaa"]) == 1
    path, _, body = endpoint.requests[0]
    assert path == "/v1/completions" and body["echo"] and body["prompt"] == "eee aaa" and asked.usage.num_requests == 4


def test_a_server_without_likelihoods_is_asked_once(endpoint):
    asked = model(endpoint)
    assert asked.choose("p", ["a", "b"]) is None and asked.choose("p", ["a", "b"]) is None
    assert len(endpoint.requests) == 1
    endpoint.score = lambda text: {"choices": [{"text": text, "logprobs": None}]}
    assert model(endpoint).likelihoods("p", ["a", "b"]) is None


def test_likelihoods_of_a_local_model_are_those_of_its_tokens(tiny_llm):
    import torch

    local = LocalModel(str(tiny_llm), device="cpu")
    (found,) = local.likelihoods("cat is an", ["animal ."])
    ids = torch.tensor([local._tokenizer("cat is an animal .")["input_ids"]])
    logits = torch.log_softmax(local._model(ids).logits[0].double(), -1)
    assert found == pytest.approx((logits[2, ids[0, 3]] + logits[3, ids[0, 4]]).item() / 2, abs=1e-5)
    assert math.exp(found) > 0.5


def test_a_chat_is_answered_by_a_local_model_and_a_prompt_beyond_its_window_refused(tiny_llm):
    local = LocalModel(str(tiny_llm), device="cpu")
    assert local.generate([Message("user", "oak is a")], max_tokens=3, stop=(".",)).strip() == "tree"
    with pytest.raises(LanguageModelError, match="the prompt has 60 tokens and the answer may have 5; the window of"):
        local.generate("oak " * 60, max_tokens=5)
    assert local.usage.num_requests == 1 and local.usage.num_prompt_tokens == 3
