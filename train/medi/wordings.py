"""Texts under two wordings of one instruction: what an embedding is asked for decides, not the words that ask.

A row of wordings_NAME is a text under an instruction and, as its positive, the same text under other words for it; the
trainer draws both embeddings to the mean of what the reference model finds of them (``train.loss.wordings_loss``),
which over many rows is the mean over all wordings. ``own`` words a task's own instructions anew
(``train.wording.vary``), and ``of_purpose`` asks texts of many tasks for what ``train.medi.purposes`` lists,
``of_area`` for criteria that are spelled out (``train.medi.criteria``). Where an embedding is to hold all that a text
says (open purposes: retrieval of documents), part of the rows are of similarity: see ``train.medi.similarity``.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from instructor_search.instructions import InstructedText, Instruction
from train.examples import TrainingExample
from train.medi.contamination import EvaluationTexts
from train.medi.criteria import AREAS, Area, asking
from train.medi.purposes import PURPOSES, TEXTS, Purpose
from train.medi.sources import RawTask
from train.wording import ENDINGS, FORMS, class_names, filled, vary

OWN_ROWS, PURPOSE_ROWS = 300, 600
OPEN_SHARE = 0.3  # of an open purpose's rows, drawn to the text under no instruction
MAX_WORDS = 45  # of a text: an instruction is to be understood, not a document
_MIN_ROWS = 128
_TEXTS_A_TASK = 200  # that purposes are asked of


def with_wordings(tasks: Iterable[RawTask], seed: int, against: EvaluationTexts | None = None) -> Iterator[RawTask]:
    """Yield ``tasks``, after each of pairs or classes wordings_NAME, and at the end those of each purpose.

    ``against``: no part is taken of rows that hold an evaluation text.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, list[RawTask]] = defaultdict(list)
    for task in tasks:
        yield task
        if task.kind not in ("pairs", "classification") or task.instructions:
            continue
        clean = task if against is None else against.without(task)
        if (derived := own(clean, seed)) is not None:
            yield derived
        for name, texts_called_so in _called(clean, seed):
            texts[name] += texts_called_so
            sources[name].append(task)
    for number, purpose in enumerate(PURPOSES):
        yield from of_purpose(purpose, number, texts[purpose.texts], sources[purpose.texts], seed)
    for area in AREAS:
        if (derived := of_area(area, texts[area.texts], sources[area.texts], seed)) is not None:
            yield derived


def own(task: RawTask, seed: int) -> RawTask | None:
    """Return the task's texts under its own instructions and under other words for them; None for few."""
    chance = random.Random(f"{seed} wordings {task.name}")
    classes = class_names({str(row[1]) for row in task.rows}) if task.kind == "classification" else ()
    sides = [(0, task.query_instruction)]
    if task.kind == "pairs":
        sides.append((1, task.document_instruction))
    asked = [
        (row[side], given) for side, given in sides if given.strip() for row in task.rows if isinstance(row[side], str)
    ]
    rows = []
    for text, given in chance.sample(asked, min(len(asked), OWN_ROWS)):
        first = given if chance.random() < 0.25 else vary(given, chance, classes)  # noqa: PLR2004
        rows.append((text, first, vary(given, chance, classes)))
    return _made(f"wordings_{task.name}", rows, task.licence, task.source)


def of_purpose(
    purpose: Purpose, number: int, texts: Sequence[str], sources: Sequence[RawTask], seed: int
) -> Iterator[RawTask]:
    """Yield texts asked for a purpose in two wordings, and those of an open purpose in one and in none; none for few.

    ``sources``: the tasks that the texts are of.
    """
    chance = random.Random(f"{seed} purpose {number}")
    distinct = list(dict.fromkeys(texts))
    chosen = chance.sample(distinct, min(len(distinct), PURPOSE_ROWS))
    apart = round(OPEN_SHARE * len(chosen)) if purpose.is_open else 0
    if apart < _MIN_ROWS:
        apart = 0
    bare = [(text, _asking(purpose, chance), "") for text in chosen[:apart]]
    worded = [(text, _asking(purpose, chance), _asking(purpose, chance)) for text in chosen[apart:]]
    licence, source = _of(sources)
    for kind, rows in (("wordings", worded), ("likeness", bare)):
        if (purpose_task := _made(f"{kind}_of_{purpose.texts}_{number}", rows, licence, source)) is not None:
            yield purpose_task


def of_area(area: Area, texts: Sequence[str], sources: Sequence[RawTask], seed: int) -> RawTask | None:
    """Return texts asked for a criterion that is spelled out, in two wordings; None for few."""
    chance = random.Random(f"{seed} criteria {area.texts}")
    distinct = list(dict.fromkeys(texts))
    rows = [(text, *asking(area, chance)) for text in chance.sample(distinct, min(len(distinct), PURPOSE_ROWS))]
    return _made(f"wordings_of_{area.texts}_criteria", rows, *_of(sources))


def _of(sources: Sequence[RawTask]) -> tuple[str, str]:
    """Return the licences and the sources of tasks."""
    licences, places = ({getattr(task, fact) for task in sources} for fact in ("licence", "source"))
    return "; ".join(sorted(licences)), "; ".join(sorted(places))


def _asking(purpose: Purpose, chance: random.Random) -> str:
    kind, goal = chance.choice(purpose.kinds), chance.choice(purpose.goals)
    return filled(chance.choice(FORMS), kind, goal) + chance.choice(ENDINGS)


def _made(name: str, rows: Iterable[tuple[str, str, str]], licence: str, source: str) -> RawTask | None:
    """Return the task of rows (text, instruction, instruction) without those whose instructions came out alike."""
    cut = ((" ".join(text.split()[:MAX_WORDS]), first, second) for text, first, second in rows)
    kept = [
        (TrainingExample(InstructedText(first, text), InstructedText(second, text)),)
        for text, first, second in cut
        if text and first != second
    ]
    if len(kept) < _MIN_ROWS:
        return None
    notes = "one instruction in two wordings, or in one and none"
    return RawTask(name, "ready", kept, "", "", licence, source, symmetric=True, notes=notes)


def _called(task: RawTask, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yield (a key of ``TEXTS``, texts of the task that its instruction calls so)."""
    sides = [task.query_instruction]
    if task.kind == "pairs":
        sides.append(task.document_instruction)
    for side, given in enumerate(sides):
        parsed = Instruction.parse(given)
        called = " ".join(filter(None, (parsed.domain, parsed.text_type)))
        for name, pattern in TEXTS.items():
            if re.search(pattern, called):
                chance = random.Random(f"{seed} texts {name} {task.name} {side}")
                texts = [row[side] for row in task.rows if isinstance(row[side], str)]
                yield name, chance.sample(texts, min(len(texts), _TEXTS_A_TASK))
