"""Choosing demonstrations, and prompts within a budget."""

import numpy as np
import pytest

from instructor_search.in_context.prompt import PromptTemplate, approximate_tokens, build_prompt
from instructor_search.in_context.selection import nearest
from instructor_search.records import Demonstration


def test_nearest_equals_a_double_loop():
    rng = np.random.default_rng(0)
    queries, pool = rng.normal(size=(700, 6)), rng.normal(size=(40, 6))
    positions, scores = nearest(queries, pool, 5)
    for q in range(0, 700, 97):
        cosines = [queries[q] @ p / np.linalg.norm(queries[q]) / np.linalg.norm(p) for p in pool]
        expected = sorted(range(40), key=lambda i: -cosines[i])[:5]
        assert positions[q].tolist() == expected
        assert scores[q] == pytest.approx([cosines[i] for i in expected], abs=1e-6)


def test_equal_examples_come_in_their_order_and_forbidden_ones_not_at_all():
    pool = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]])
    assert nearest(np.array([[1.0, 0]]), pool, 3)[0].tolist() == [[0, 2, 3]]
    assert nearest(np.array([[1.0, 0]]), pool, 3, forbidden=[{2}])[0].tolist() == [[0, 3, 1]]
    positions, scores = nearest(np.array([[1.0, 0]]), pool, 4, forbidden=[{2, 3}])
    assert positions.tolist() == [[0, 1, -1, -1]] and scores[0, 2] == -np.inf
    with pytest.raises(ValueError, match="k is 5 and the pool has 4 examples"):
        nearest(np.array([[1.0, 0]]), pool, 5)


EXAMPLES = [Demonstration(f"input {i}", f"output {i}", 1.0 - i / 10) for i in range(5)]


def words(text):
    return len(text.split())


def test_the_nearest_stands_last_and_the_budget_holds():
    prompt = build_prompt(EXAMPLES, "the question", budget=28, count_tokens=words, template=PromptTemplate("Do it."))
    # header 2 words, each demonstration 6, the question 4: three demonstrations make 24, four 30
    assert prompt.num_tokens == words(prompt.text) == 24 and prompt.num_left_out == 2
    assert [d.input for d in prompt.demonstrations] == ["input 2", "input 1", "input 0"]
    assert prompt.text == (
        "Do it.\n\nInput: input 2\nOutput: output 2\n\nInput: input 1\nOutput: output 1\n\n"
        "Input: input 0\nOutput: output 0\n\nInput: the question\nOutput:"
    )


def test_a_nearer_example_that_does_not_fit_is_not_skipped_for_a_farther_one():
    long_first = [Demonstration("word " * 50, "x"), *EXAMPLES]
    prompt = build_prompt(long_first, "q", budget=30, count_tokens=words)
    assert prompt.demonstrations == () and prompt.num_left_out == 6


def test_an_input_over_the_budget_is_an_error():
    with pytest.raises(ValueError, match="the input has 102 tokens with its template and the budget is 50"):
        build_prompt(EXAMPLES, "word " * 100, budget=50, count_tokens=words)


def test_slots_in_a_text_are_not_filled():
    prompt = build_prompt([Demonstration("{output} and {input}", "o")], "{input}", budget=100)
    assert prompt.text == "Input: {output} and {input}\nOutput: o\n\nInput: {input}\nOutput:"


def test_tokens_are_guessed_from_characters():
    assert [approximate_tokens("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
