"""Pools in DSPy's own modules."""

import pytest

dspy = pytest.importorskip("dspy", reason="dspy is not installed (it wants other versions than ours): pip install dspy")

from instructor_search.integrations.dspy import InstructedExamples, PoolRetriever  # noqa: E402
from tests.in_context.conftest import pool, words  # noqa: E402, F401


def test_demonstrations_are_dspy_examples_nearest_first(pool):  # noqa: F811
    found = InstructedExamples(pool, k=2)(question="cat oak")
    near = pool.select("cat oak", k=2)
    assert [(e.question, e.answer) for e in found] == [(d.input, d.output) for d in near]
    assert all(isinstance(e, dspy.Example) and e.inputs().keys() == ["question"] for e in found)
    with pytest.raises(ValueError, match="no input 'question' among: text; set input_field"):
        InstructedExamples(pool)(text="x")


def test_a_predictor_is_shown_the_demonstrations(pool):  # noqa: F811
    class Repeats(dspy.utils.DummyLM):
        pass

    module = dspy.Predict("question -> answer")
    shown = InstructedExamples(pool, k=2).compile(module, question="cat oak")
    assert [d.answer for d in shown.demos] == [d.output for d in pool.select("cat oak", k=2)] and module.demos == []
    lm = Repeats([{"answer": "x"}])
    with dspy.context(lm=lm):
        assert shown(question="cat oak").answer == "x"
    sent = "".join(str(m["content"]) for m in lm.history[0]["messages"])
    assert all(d.input in sent for d in pool.select("cat oak", k=2))


def test_dspy_s_retrieve_gives_passages_of_the_pool(pool):  # noqa: F811
    with dspy.context(rm=PoolRetriever(pool, k=2)):
        passages = dspy.Retrieve(k=3)("cat oak").passages
    assert passages == [f"Input: {d.input}\nOutput: {d.output}" for d in pool.select("cat oak", k=3)]
