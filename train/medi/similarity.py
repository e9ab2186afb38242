"""Texts whose instruction is to change nothing: it asks how alike they are, or for documents by all that they say.

Such an instruction adds nothing to the text, but a model that learns to follow instructions moves its embedding anyhow,
and finds similar sentences worse under an instruction than without one. A row of likeness_NAME is a text under such an
instruction and, as its positive, the same text under none; the trainer draws the former's embedding to the latter's
(``train.loss.similarity_loss``). ``prose`` has instructions of the texts' domain and type and a goal of GOALS;
``documents`` has the task's own. (The names stay as they were stored: seeds are drawn from them.)
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from instructor_search.instructions import Instruction
from train.medi.contamination import EvaluationTexts
from train.medi.sources import RawTask
from train.wording import plural

GOALS = (
    "measuring semantic similarity",
    "measuring how similar two {kinds} are",
    "comparing it with other {kinds}",
    "comparing it with a reference {kind}",
    "comparing it with {kinds} that people wrote",
    "judging how close two {kinds} are in meaning",
    "measuring similarity of meaning",
    "comparing its meaning",
    "scoring it against a reference",
    "textual similarity",
)
MIN_ROWS, MAX_ROWS = 128, 1500
LONG_WORDS = 70  # of a task's documents on average
# Not questions and commands: what they ask for is what an instruction may decide.
_PROSE = re.compile(
    r"\b(abstract|argument|article|comment|description|directions|message|paragraph|post|reply|sentence|solution|"
    r"statement|story|summary|text)\b"
)


def with_similarity(tasks: Iterable[RawTask], seed: int, against: EvaluationTexts | None = None) -> Iterator[RawTask]:
    """Yield ``tasks``, and after each of pairs or classes that allows it likeness_NAME: documents, or else prose.

    ``against``: no part is taken of rows that hold an evaluation text.
    """
    for task in tasks:
        yield task
        if task.kind in ("pairs", "classification") and not task.instructions:
            clean = task if against is None else against.without(task)
            if (likeness := documents(clean, seed) or prose(clean, seed)) is not None:
                yield likeness


def prose(task: RawTask, seed: int) -> RawTask | None:
    """Return the task's texts that are prose by their instruction, asked how similar they are; None for few."""
    chance = random.Random(f"{seed} likeness {task.name}")
    sides = [task.query_instruction]
    if task.kind == "pairs":
        sides.append(task.document_instruction)
    asked: dict[str, str] = {}  # text -> instruction
    for side, instruction in enumerate(sides):
        parsed = Instruction.parse(instruction)
        what = " ".join(filter(None, (parsed.domain, parsed.text_type)))
        if (kind := _PROSE.search(what)) is None:
            continue
        for text in dict.fromkeys(row[side] for row in task.rows if isinstance(row[side], str)):
            goal = chance.choice(GOALS).format(kind=kind[0], kinds=plural(kind[0]))
            asked.setdefault(text, f"Represent the {what} for {goal}: ")
    return _made(task, list(asked.items()), chance)


def documents(task: RawTask, seed: int) -> RawTask | None:
    """Return queries and documents of pairs with long documents, each under its own instruction; None for others."""
    if task.kind != "pairs":
        return None
    lengths = [len(row[1].split()) for row in task.rows if isinstance(row[1], str)]
    if not lengths or np.mean(lengths) < LONG_WORDS:
        return None
    chance = random.Random(f"{seed} likeness of documents {task.name}")
    sides = {0: task.query_instruction, 1: task.document_instruction}
    asked = {
        row[side]: instruction for row in task.rows for side, instruction in sides.items() if isinstance(row[side], str)
    }
    return _made(task, list(asked.items()), chance)


def _made(task: RawTask, asked: Sequence[tuple[str, str]], chance: random.Random) -> RawTask | None:
    asked = [(text, instruction) for text, instruction in asked if text.strip()]
    if len(asked) < MIN_ROWS:
        return None
    chosen = chance.sample(asked, min(len(asked), MAX_ROWS))
    return RawTask(
        f"likeness_{task.name}",
        "pairs",
        [(text, text, ()) for text, _ in chosen],
        chosen[0][1],
        "",
        task.licence,
        task.source,
        symmetric=True,
        notes="an instruction that is to change nothing",
        instructions=[instruction for _, instruction in chosen],
    )
