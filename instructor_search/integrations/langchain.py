"""An example selector of LangChain over a pool: for ``FewShotPromptTemplate`` and ``FewShotChatMessagePromptTemplate``.

selector = InstructedExampleSelector(ExamplePool("questions"), k=4, instruction="Represent the question ...: ")
FewShotPromptTemplate(example_selector=selector, example_prompt=..., suffix="Q: {question}", ...)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instructor_search.errors import MissingExtraError
from instructor_search.in_context.filling import add_examples
from instructor_search.in_context.pool import ExamplePool
from instructor_search.in_context.selection import check_selector
from instructor_search.records import Demonstration

try:
    from langchain_core.example_selectors.base import BaseExampleSelector
except ImportError as error:
    raise MissingExtraError("langchain-core", "langchain", "a LangChain example selector") from error


class InstructedExampleSelector(BaseExampleSelector):
    """Selects the examples of a pool that are near to the input, under an instruction of one's own."""

    def __init__(
        self,
        pool: ExamplePool,
        *,
        k: int = 4,
        selector: str = "nearest",
        instruction: str | None = None,
        where: str | None = None,
        input_key: str = "input",
        output_key: str = "output",
        input_variable: str | None = None,
        nearest_last: bool = True,
        **options: Any,
    ) -> None:
        """Choose how examples are selected.

        Args:
            pool: the examples.
            k: examples for an input.
            selector: of ``selection.Selector``.
            instruction: of the inputs; None: the pool's own.
            where: a filter, as for search.
            input_key: name of the input in the examples given back, and of the variable that is asked about.
            output_key: name of the output in the examples given back.
            input_variable: the variable that is asked about, if it is called otherwise than ``input_key``.
            nearest_last: the best example stands last, next to the question.
            options: more of ``ExamplePool.select``.

        Raises:
            ValueError: the selector is unknown.
        """
        check_selector(selector)
        self.pool, self.input_key, self.output_key = pool, input_key, output_key
        self.input_variable, self.nearest_last = input_variable or input_key, nearest_last
        self.options = {"k": k, "selector": selector, "instruction": instruction, "where": where, **options}

    def select_examples(self, input_variables: dict[str, str]) -> list[dict[str, Any]]:
        """Return the examples for the input among the variables, with their other columns.

        Raises:
            ValueError: the variable is not among them.
        """
        if self.input_variable not in input_variables:
            given = ", ".join(input_variables) or "none"
            raise ValueError(f"no variable {self.input_variable!r} among: {given}; set input_variable")
        examples = self.pool.select(str(input_variables[self.input_variable]), **self.options)
        return self._as_dicts(examples[::-1] if self.nearest_last else examples)

    def add_example(self, example: dict[str, str]) -> str:
        """Store an example in the pool; return its input. Its other keys become metadata.

        Raises:
            ValueError: it lacks the key of the input or of the output.
        """
        missing = [key for key in (self.input_key, self.output_key) if key not in example]
        if missing:
            raise ValueError(f"the example has no {', '.join(missing)}; it has: {', '.join(example)}")
        rest = {k: v for k, v in example.items() if k not in (self.input_key, self.output_key)}
        add_examples(self.pool, [Demonstration(example[self.input_key], example[self.output_key], metadata=rest)])
        return example[self.input_key]

    def _as_dicts(self, examples: Sequence[Demonstration]) -> list[dict[str, Any]]:
        return [{**d.metadata, self.input_key: d.input, self.output_key: d.output} for d in examples]
