"""Prompt retrieval: examples fetched under an instruction, and what they are good for.

Without a language model the retrieved examples are judged by themselves, and the measures say so in their names:
label agreement (share of the k nearest with the right label), ROUGE-L of retrieved and gold outputs, similarity of
retrieved and gold programs. With one, a prompt is built (nearest last, within a token budget), the model answers, and
the task's own metric is the score; ROUGE-L, which the paper reports for all tasks (section 2.3), stands beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eval.example_selection import select_examples
from eval.local_data import TEXT, find, read_rows
from eval.records import Context, EvalDataError, Outcome, TaskInfo
from eval.tasks.base import EvalTask
from eval.units import Units, means
from instructor_search.in_context.answers import answer, normal
from instructor_search.in_context.prompt import PromptTemplate, build_prompt
from instructor_search.instructions import InstructionPair
from instructor_search.records import Demonstration

if TYPE_CHECKING:
    from eval.systems import System


class Output(StrEnum):
    """What the examples' outputs are."""

    LABEL = "label"
    TEXT = "text"
    PROGRAM = "program"


RETRIEVAL_MEASURES = {
    Output.LABEL: "label_agreement",
    Output.TEXT: "retrieved_rouge_l",
    Output.PROGRAM: "program_similarity",
}
LLM_MEASURES = {Output.LABEL: "llm_accuracy", Output.TEXT: "llm_rouge_l", Output.PROGRAM: "llm_exact_match"}
_ANSWER_TOKENS = {Output.LABEL: 16, Output.TEXT: 64, Output.PROGRAM: 200}


class Examples(NamedTuple):
    """A pool and the inputs asked about. ``task``: what to do, in a sentence; ``origin``: where they are from."""

    pool: list[Demonstration]
    test: list[Demonstration]
    task: str = ""
    origin: str = ""


class PromptRetrievalTask(EvalTask):
    """A pool of (input, output) examples and test inputs with gold outputs."""

    def __init__(self, info: TaskInfo, read: Callable[[], Examples], output: Output) -> None:
        """``read`` gives the examples; ``output`` says what the outputs are and so how they are compared."""
        self.info = info
        self._read = read
        self.output = output

    def read(self) -> Examples:
        """Return the pool and the test inputs."""
        return self._read()

    def evaluate(self, system: System, sides: InstructionPair, context: Context) -> Outcome:
        """Return the retrieval-only measure, or the language model's score where there is one."""
        examples = self.read()
        if len(examples.pool) < 2:
            raise EvalDataError(f"{self.info.name}: a pool of {len(examples.pool)} examples; expected at least 2")
        retrieved, notes = self._retrieve(examples, system, sides, context)
        scores, values = self.judge_retrieved(examples, retrieved)
        metric = RETRIEVAL_MEASURES[self.output]
        if context.llm is not None:
            metric = LLM_MEASURES[self.output]
            llm_scores, values, more = self._judge_answers(examples, retrieved, context)
            scores |= llm_scores
            notes += more
        scores |= {"main_score": float(np.mean(values)), "k": context.num_demonstrations}
        notes += [examples.origin] if examples.origin else []
        contents = [[tuple(e[:2]) for e in examples.pool], [tuple(e[:2]) for e in examples.test], examples.task]
        content = hashlib.sha256(repr(contents).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return Outcome(scores, Units((means(values),)), notes, metric=metric, facts={"content": content})

    def _retrieve(
        self, examples: Examples, system: System, sides: InstructionPair, context: Context
    ) -> tuple[list[list[Demonstration]], list[str]]:
        """Return for each test input its nearest examples, best first, and what must be said of them."""
        pool = system.embed([e.input for e in examples.pool], sides.document, context)
        asked = system.embed([e.input for e in examples.test], sides.query, context)
        copies = copies_of(examples)
        positions = select_examples(
            examples.pool,
            examples.test,
            pool,
            asked,
            copies,
            context.selector,
            context.num_demonstrations,
            context.seed,
        )
        retrieved = [[examples.pool[p] for p in places] for places in positions]
        notes = []
        if left_out := sum(map(bool, copies)):
            notes.append(f"{left_out} test inputs stand in the pool too; their copies are not retrieved")
        if fewer := sum(len(group) < context.num_demonstrations for group in retrieved):
            notes.append(f"the pool has fewer than {context.num_demonstrations} examples for {fewer} inputs")
        return retrieved, notes

    def judge_retrieved(
        self, examples: Examples, retrieved: list[list[Demonstration]]
    ) -> tuple[dict[str, Any], list[float]]:
        """Return the retrieval-only scores, and the main one's value for each test input."""
        compare = {Output.LABEL: _same, Output.TEXT: rouge_l, Output.PROGRAM: program_similarity}[self.output]
        values = [_each(compare, group, asked) for asked, group in zip(examples.test, retrieved, strict=True)]
        per_input = [float(np.mean(v)) for v in values]
        name = RETRIEVAL_MEASURES[self.output]
        scores: dict[str, Any] = {
            name: float(np.mean(per_input)),
            f"{name}_nearest": float(np.mean([v[0] for v in values])),
        }
        if self.output is Output.LABEL:
            votes = [_vote([d.output for d in group]) for group in retrieved]
            scores["knn_accuracy"] = float(np.mean([v == e.output for v, e in zip(votes, examples.test, strict=True)]))
        elif self.output is Output.PROGRAM:
            rouge = [np.mean(_each(rouge_l, g, e)) for e, g in zip(examples.test, retrieved, strict=True)]
            scores["retrieved_rouge_l"] = float(np.mean(rouge))
        return scores, per_input

    def _judge_answers(
        self, examples: Examples, retrieved: list[list[Demonstration]], context: Context
    ) -> tuple[dict[str, Any], list[float], list[str]]:
        """Return the scores of the model's answers, the main one for each input, and notes."""
        llm = context.llm
        assert llm is not None  # the caller looked
        labels = sorted({e.output for e in examples.pool}) if self.output is Output.LABEL else []
        num_answer_tokens = _ANSWER_TOKENS[self.output]
        room = llm.window - num_answer_tokens if llm.window else context.prompt_tokens
        budget = min(context.prompt_tokens, room)
        template = PromptTemplate(task=examples.task)
        answers, used, unasked = [], [], 0
        for asked, group in zip(examples.test, retrieved, strict=True):
            try:
                prompt = build_prompt(
                    group, asked.input, budget=budget, template=template, count_tokens=llm.count_tokens
                )
            except ValueError:  # the input alone is over the budget
                unasked += 1
                answers.append("")
                continue
            used.append(len(prompt.demonstrations))
            answers.append(answer(llm, prompt.text, labels, max_tokens=num_answer_tokens))
        gold = [e.output for e in examples.test]
        rouge = [rouge_l(a, g) for a, g in zip(answers, gold, strict=True)]
        exact = [
            _same(_normal_of[self.output](a), _normal_of[self.output](g)) for a, g in zip(answers, gold, strict=True)
        ]
        values = rouge if self.output is Output.TEXT else exact
        scores = {
            LLM_MEASURES[self.output]: float(np.mean(values)),
            "llm_rouge_l": float(np.mean(rouge)),
            "demonstrations_per_prompt": float(np.mean(used)) if used else 0.0,
        }
        notes = (
            [f"{unasked} inputs are over the budget of {budget} tokens and count as not answered"] if unasked else []
        )
        if budget < context.prompt_tokens:
            notes.append(f"the model's window leaves {budget} of {context.prompt_tokens} tokens to a prompt")
        return scores, values, notes


def _each(compare: Callable[[str, str], float], group: list[Demonstration], asked: Demonstration) -> list[float]:
    """Return how each retrieved output compares with the gold one; none retrieved compares as 0."""
    return [compare(retrieved.output, asked.output) for retrieved in group] or [0.0]


def copies_of(examples: Examples) -> list[set[int]]:
    """Return for each test input the positions of pool examples with the same input: they would give it away."""
    places: dict[str, set[int]] = {}
    for place, example in enumerate(examples.pool):
        places.setdefault(normal(example.input), set()).add(place)
    return [places.get(normal(e.input), set()) for e in examples.test]


def _same(first: str, second: str) -> float:
    return float(first == second)


def _normal_program(text: str) -> str:
    """Return a program in one line, without its last semicolon; case means something in it."""
    return " ".join(text.split()).rstrip("; ")


_normal_of = {Output.LABEL: normal, Output.TEXT: normal, Output.PROGRAM: _normal_program}


def _vote(labels: Sequence[str]) -> str:
    """Return the commonest label; of equally common ones the nearest; of none the empty one."""
    counts = Counter(labels)
    return max(labels, key=lambda label: (counts[label], -labels.index(label)), default="")


def rouge_l(prediction: str, target: str) -> float:
    """Return ROUGE-L F1 of stemmed words (Lin, 2004), 0 to 1, by the rouge-score package."""
    return float(_scorer().score(target, prediction)["rougeL"].fmeasure)


def _scorer() -> Any:
    if not _SCORERS:
        from rouge_score.rouge_scorer import RougeScorer

        _SCORERS.append(RougeScorer(["rougeL"], use_stemmer=True))
    return _SCORERS[0]


_SCORERS: list[Any] = []
_TOKEN = re.compile(r"\w+|[^\w\s]")


def program_similarity(first: str, second: str) -> float:
    """Return 1 - Levenshtein distance of two programs' tokens / the longer one's length."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(_TOKEN.findall(first), _TOKEN.findall(second)))


def read_folder(folder: Path, task: str) -> Examples:
    """Return the examples of a folder with train.jsonl and test.jsonl.

    Raises:
        EvalDataError: a file is missing or a row is malformed.
    """
    pool, test = (
        [
            Demonstration(row["input"], row["output"])
            for row in read_rows(find(folder, name), {"input": TEXT, "output": TEXT})
        ]
        for name in ("train.jsonl", "test.jsonl")
    )
    return Examples(pool, test, task)


def kind_of_output(meta: dict[str, Any], where: str) -> Output:
    """Return what the outputs of a set are, by its meta.json: "output_kind", or the metric that it names.

    Raises:
        EvalDataError: "output_kind" is none of the kinds.
    """
    kind = meta.get("output_kind")
    if kind is not None:
        if kind not in list(Output):
            raise EvalDataError(f"{where}: output_kind is {kind!r}; expected one of {', '.join(Output)}")
        return Output(kind)
    metric = str(meta.get("metric", "")).lower()
    if "exact match" in metric:
        return Output.PROGRAM
    return Output.LABEL if "accuracy" in metric else Output.TEXT
