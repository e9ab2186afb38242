"""Pools for DSPy: a retriever of demonstrations (as ``dspy.KNN`` is), and a retrieval model for ``dspy.Retrieve``.

knn = InstructedExamples(ExamplePool("questions"), k=4, instruction="Represent the question ...: ")
knn(question="...")                                # dspy.Example of question and answer, nearest first
dspy.configure(rm=PoolRetriever(pool, k=4))        # passages for dspy.Retrieve
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from instructor_search.errors import MissingExtraError
from instructor_search.in_context.pool import ExamplePool
from instructor_search.in_context.selection import check_selector
from instructor_search.records import Demonstration

try:
    import dspy as dspy_package
except ImportError as error:
    raise MissingExtraError("dspy", "dspy", "a DSPy retriever") from error


class InstructedExamples:
    """Called with the inputs of a signature, gives its demonstrations, as ``dspy.KNN`` does."""

    def __init__(
        self,
        pool: ExamplePool,
        *,
        k: int = 4,
        selector: str = "nearest",
        instruction: str | None = None,
        where: str | None = None,
        input_field: str = "question",
        output_field: str = "answer",
        **options: Any,
    ) -> None:
        """``input_field``, ``output_field``: of the signature. ``options``: more of ``ExamplePool.select``.

        Raises:
            ValueError: the selector is unknown.
        """
        check_selector(selector)
        self.pool, self.input_field, self.output_field = pool, input_field, output_field
        self.options = {"k": k, "selector": selector, "instruction": instruction, "where": where, **options}

    def __call__(self, **inputs: Any) -> list[dspy_package.Example]:
        """Return examples for the inputs of a call, best first.

        Raises:
            ValueError: the input field is not among them.
        """
        if self.input_field not in inputs:
            raise ValueError(f"no input {self.input_field!r} among: {', '.join(inputs) or 'none'}; set input_field")
        examples = self.pool.select(str(inputs[self.input_field]), **self.options)
        return [self._example(d) for d in examples]

    def compile(self, student: dspy_package.Module, **inputs: Any) -> dspy_package.Module:
        """Return a copy of a module whose predictors are shown the examples for ``inputs``."""
        module = student.reset_copy()
        demos = self(**inputs)
        for predictor in module.predictors():
            predictor.demos = demos
        return module

    def _example(self, demonstration: Demonstration) -> dspy_package.Example:
        fields = {self.input_field: demonstration.input, self.output_field: demonstration.output}
        return dspy_package.Example(**fields).with_inputs(self.input_field)


class PoolRetriever:
    """A retrieval model: passages of a pool for ``dspy.Retrieve``, each an example in words."""

    def __init__(
        self, pool: ExamplePool, *, k: int = 4, show: Callable[[Demonstration], str] | None = None, **options: Any
    ) -> None:
        """``show``: an example as a passage; None: input and output on two lines."""
        self.pool, self.k, self.options = pool, k, options
        self.show = show or (lambda d: f"Input: {d.input}\nOutput: {d.output}")

    def __call__(self, query: str, k: int | None = None, **options: Any) -> list[dspy_package.Prediction]:
        """Return passages, best first; each has ``long_text``."""
        demonstrations: Sequence[Demonstration] = self.pool.select(query, k=k or self.k, **{**self.options, **options})
        return [dspy_package.Prediction(long_text=self.show(d), score=d.score) for d in demonstrations]
