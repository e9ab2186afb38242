"""The texts that ``train.experiments.mean_shift`` trains on, sorted by what their instructions ask for."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from instructor_search.instructions import InstructedText, Instruction
from train.examples import Mixture, are_of_one_text
from train.medi.similarity import GOALS
from train.wording import ENDINGS, FORMS, filled, plural

KINDS = ("similarity", "documents", "rest", "none")
ROWS = {"similarity": 8000, "documents": 6000, "rest": 19_000, "none": 4000}  # texts that are trained on at most
_ROWS_A_TASK = 60  # of tasks in which something is to be found
_EXAMPLES = re.compile(r"example|demonstration|few-shot|in-context|solved", re.IGNORECASE)
_LIKENESS = re.compile(
    r"similarity|comparing (its )?meanings?|comparing it with other|comparing its|equivalence|close two|meaning is to|"
    r"two (sentences|statements) have|how (close|similar|alike|much two)",
    re.IGNORECASE,
)
_NO_LIKENESS = re.compile(r"quality|reference|evaluat|duplicate|question|translation|generated", re.IGNORECASE)
_DOCUMENTS = re.compile(
    r"retriev|search|locat|looking up|supporting|"
    r"finding (documents|medical|relevant|passages|the paragraph|an answer|articles|sources|evidence)",
    re.IGNORECASE,
)
_NO_DOCUMENTS = re.compile(r"duplicate|similar|same|classif|cluster|code|command|program|function", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\b(sentence|statement|text|caption|headline|comment|answer|description|title|argument|claim|summary)\b"
)
_WORDS = (4, 45)  # of a text that is compared with another
_TYPES = ("sentence", "statement", "text", "short text")
_DOMAINS = ("", "", "general ", "news ", "forum ", "image caption ", "everyday ", "headline ", "answer ", "web ")
_GOALS = (
    *(g for g in GOALS if "reference" not in g and "people wrote" not in g),
    "semantic textual similarity",
    "comparing meanings",
    "measuring how close its meaning is to that of another",
    "scoring the similarity of two {kinds}",
    "judging semantic equivalence",
    "estimating the degree of similarity",
    "telling how much two {kinds} have in common",
)
_OF_QUALITY = (  # near in words, and something else
    "comparing it with a reference {kind}",
    "scoring it against a reference",
    "judging its quality",
    "comparing it with {kinds} that people wrote",
    "evaluating generated text",
    "judging how good the {kind} is",
    "measuring how well it matches a human {kind}",
)


def kind_of(instruction: str) -> str:
    """Return which of KINDS an instruction is of."""
    if not instruction.strip():
        return "none"
    if _EXAMPLES.search(instruction):
        return "rest"
    if _LIKENESS.search(instruction) and not _NO_LIKENESS.search(instruction):
        return "similarity"
    return "documents" if _DOCUMENTS.search(instruction) and not _NO_DOCUMENTS.search(instruction) else "rest"


def texts_by_kind(mixture: Mixture, seed: int = 0) -> dict[str, list[InstructedText]]:
    """Return texts of a mixture under instructions of each kind, at most ROWS of it, in a random order.

    Most of "similarity", and some of "rest" that are near to it in words, are sentences under instructions made here.
    """
    chance = random.Random(f"{seed} lean")
    by_kind: dict[str, list[InstructedText]] = {kind: [] for kind in KINDS}
    sentences: list[tuple[str, str]] = []  # what the text is, text
    for text in _texts(mixture, chance):
        by_kind[kind_of(text.instruction)].append(text)
        parsed = Instruction.parse(text.instruction)
        what = " ".join(filter(None, (parsed.domain, parsed.text_type)))
        if _SENTENCE.search(what) and _WORDS[0] <= len(text.text.split()) <= _WORDS[1]:
            sentences.append((what, text.text))
    by_kind["none"] += [InstructedText("", text.text) for text in by_kind["rest"]]
    goals_by_kind = {"similarity": (_GOALS, 0.8), "rest": (_OF_QUALITY, 0.15)}
    for kind, texts in by_kind.items():
        chance.shuffle(texts)
        goals, share = goals_by_kind.get(kind, ((), 0.0))
        count = round(share * ROWS[kind]) if sentences else 0
        del texts[ROWS[kind] - count :]
        texts += [_asked(*chance.choice(sentences), goals, chance) for _ in range(count)]
        chance.shuffle(texts)
    return by_kind


def _texts(mixture: Mixture, chance: random.Random) -> list[InstructedText]:
    texts = []
    for rows in mixture.tasks.values():
        chosen = rows if are_of_one_text(rows) else chance.sample(rows, min(_ROWS_A_TASK, len(rows)))
        texts += [side for row in chosen for side in (row.query, row.positive) if side.text.strip()]
    chance.shuffle(texts)
    return texts


def _asked(what: str, text: str, goals: Sequence[str], chance: random.Random) -> InstructedText:
    kind = chance.choice(_TYPES)
    what = chance.choice(_DOMAINS) + kind if chance.random() < 0.7 else what  # noqa: PLR2004
    goal = chance.choice(goals).format(kind=kind, kinds=plural(kind))
    form = chance.choice(FORMS) if chance.random() < 0.5 else FORMS[0]  # noqa: PLR2004
    return InstructedText(filled(form, what, goal) + chance.choice(ENDINGS), text)
