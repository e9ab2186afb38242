"""The example selector in LangChain's own prompt templates."""

import asyncio

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed: pip install '.[langchain]'")

from langchain_core.example_selectors.base import BaseExampleSelector  # noqa: E402
from langchain_core.prompts import (  # noqa: E402
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    PromptTemplate,
)

from instructor_search.integrations.langchain import InstructedExampleSelector  # noqa: E402
from tests.in_context.conftest import pool, words  # noqa: E402, F401


def test_it_fills_langchain_s_prompts(pool):  # noqa: F811
    selector = InstructedExampleSelector(pool, k=2, input_key="question", output_key="answer")
    assert isinstance(selector, BaseExampleSelector)
    prompt = FewShotPromptTemplate(
        example_selector=selector,
        example_prompt=PromptTemplate.from_template("Q: {question}\nA: {answer}"),
        suffix="Q: {question}\nA:",
        input_variables=["question"],
        example_separator="\n",
    )
    text = prompt.format(question="cat oak")
    near = pool.select("cat oak", k=2)
    assert text == "".join(f"Q: {d.input}\nA: {d.output}\n" for d in reversed(near)) + "Q: cat oak\nA:"
    pair = ChatPromptTemplate.from_messages([("human", "{question}"), ("ai", "{answer}")])
    chat = FewShotChatMessagePromptTemplate(
        example_selector=selector, example_prompt=pair, input_variables=["question"]
    )
    assert [m.content for m in chat.format_messages(question="cat oak")][-2:] == [near[0].input, near[0].output]


def test_selectors_filters_and_the_input_itself(pool):  # noqa: F811
    selector = InstructedExampleSelector(
        pool, k=3, selector="label-balanced", where="output != tree", nearest_last=False
    )
    found = selector.select_examples({"input": "a cat"})
    assert [e["output"] for e in found] == ["animal", "colour", "animal"] and "a cat" not in [e["input"] for e in found]
    assert found == asyncio.run(selector.aselect_examples({"input": "a cat"}))
    assert found[0]["length"] == 3


def test_examples_can_be_added(pool):  # noqa: F811
    selector = InstructedExampleSelector(pool, k=1, input_key="q", output_key="a", max_cosine=None)
    selector.add_example({"q": "cat fox", "a": "animals", "level": "1"})
    assert selector.select_examples({"q": "the fox of a cat"}) == [{"q": "cat fox", "a": "animals", "level": "1"}]
    with pytest.raises(ValueError, match="the example has no a; it has: q"):
        selector.add_example({"q": "x"})
    with pytest.raises(ValueError, match="no variable 'q' among: question; set input_variable"):
        selector.select_examples({"question": "x"})
    with pytest.raises(ValueError, match="selector is 'best'"):
        InstructedExampleSelector(pool, selector="best")
