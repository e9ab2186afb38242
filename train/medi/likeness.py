"""Texts whose instruction is to change nothing: it asks how alike they are, what they are about, or for all they say.

Such an instruction adds nothing to the text, but a model that learns to follow instructions moves its embedding anyhow,
and finds similar sentences worse under an instruction than without one. A row of likeness_NAME is a text under such an
instruction and, as its positive, the same text under none; the trainer draws the former's embedding to the latter's
(``train.loss.likeness_loss``). ``prose`` and ``topics`` have instructions of the texts' domain and type and a goal of
GOALS and TOPIC_GOALS; ``documents`` has the task's own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from instructor_search.instructions import Instruction
from train.medi.contamination import EvaluationTexts
from train.medi.sources import RawTask

GOALS = (
    "measuring semantic similarity", "measuring how similar two {kinds} are", "comparing it with other {kinds}",
    "comparing it with a reference {kind}", "comparing it with {kinds} that people wrote",
    "judging how close two {kinds} are in meaning", "measuring similarity of meaning", "comparing its meaning",
    "scoring it against a reference", "textual similarity",
)  # fmt: skip
TOPIC_GOALS = (
    "clustering by topic", "clustering by subject", "clustering by event", "clustering {kinds} by what they are about",
    "grouping {kinds} that tell of the same thing", "clustering by story", "grouping {kinds} on the same subject",
    "clustering", "sorting {kinds} by theme", "clustering by field",
)  # fmt: skip
MIN_ROWS, MAX_ROWS = 128, 1500
LONG_WORDS = 70  # of a task's documents on average
# Not questions and commands: what they ask for is what an instruction may decide.
_PROSE = (
    r"abstract|argument|article|comment|description|directions|message|paragraph|post|reply|sentence|solution|"
    r"statement|story|summary|text"
)
_TOPICAL = rf"{_PROSE}|headline|question|review|title|tweet|utterance"


def with_likeness(tasks: Iterable[RawTask], seed: int, against: EvaluationTexts | None = None) -> Iterator[RawTask]:
    """Yield ``tasks``, and after each of pairs or classes that allows it likeness_NAME and topics_NAME.

    The former is of documents, or else of prose.
    ``against``: no part is taken of rows that hold an evaluation text.
    """
    for task in tasks:
        yield task
        if task.kind in ("pairs", "classification") and not task.instructions:
            clean = task if against is None else against.without(task)
            made = documents(clean, seed) or prose(clean, seed)
            yield from filter(None, (made, topics(clean, seed)))


def prose(task: RawTask, seed: int) -> RawTask | None:
    """Return the task's texts that are prose by their instruction, under others that ask for likeness; None for few."""
    return _asked(task, "likeness", _PROSE, GOALS, seed)


def topics(task: RawTask, seed: int) -> RawTask | None:
    """Return the task's texts, under instructions that ask what they are about; None for few."""
    return _asked(task, "topics", _TOPICAL, TOPIC_GOALS, seed)


def _asked(task: RawTask, name: str, kinds: str, goals: Sequence[str], seed: int) -> RawTask | None:
    """Return the texts whose instruction names one of the ``kinds`` (a pattern), each under one of the goals."""
    chance = random.Random(f"{seed} {name} {task.name}")
    sides = [task.query_instruction]
    if task.kind == "pairs":
        sides.append(task.document_instruction)
    asked: dict[str, str] = {}  # text -> instruction
    for side, instruction in enumerate(sides):
        found = Instruction.parse(instruction)
        what = " ".join(filter(None, (found.domain, found.text_type)))
        if (kind := re.search(rf"\b({kinds})\b", what)) is None:
            continue
        for text in dict.fromkeys(str(row[side]) for row in task.rows):
            goal = chance.choice(goals).format(kind=kind[0], kinds=_plural(kind[0]))
            asked.setdefault(text, f"Represent the {what} for {goal}: ")
    return _made(task, name, list(asked.items()), chance)


def documents(task: RawTask, seed: int) -> RawTask | None:
    """Return queries and documents of pairs with long documents, each under its own instruction; None for others."""
    if task.kind != "pairs" or not task.rows:
        return None
    if np.mean([len(str(row[1]).split()) for row in task.rows]) < LONG_WORDS:
        return None
    chance = random.Random(f"{seed} likeness of documents {task.name}")
    sides = {0: task.query_instruction, 1: task.document_instruction}
    asked = {str(row[side]): instruction for row in task.rows for side, instruction in sides.items()}
    return _made(task, "likeness", list(asked.items()), chance)


def _made(task: RawTask, name: str, asked: Sequence[tuple[str, str]], chance: random.Random) -> RawTask | None:
    asked = [(text, instruction) for text, instruction in asked if text.strip()]
    if len(asked) < MIN_ROWS:
        return None
    chosen = chance.sample(asked, min(len(asked), MAX_ROWS))
    return RawTask(
        f"{name}_{task.name}", "pairs", [(text, text, ()) for text, _ in chosen], chosen[0][1], "", task.licence,
        task.source, symmetric=True, notes="an instruction that is to change nothing",
        instructions=[instruction for _, instruction in chosen],
    )  # fmt: skip


def _plural(word: str) -> str:
    if word.endswith("s"):
        return word
    return word[:-1] + "ies" if word.endswith("y") else word + "s"
