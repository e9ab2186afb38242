"""Examples with long documents, made of pairs that have some: a sentence and its passage, a fact and its page.

A model that is trained on short texts alone, or on the first words of long ones, loses what its base found in the rest
of a window. ``sentences`` takes a sentence out of a passage and has it find the passage (the inverse cloze task, Lee et
al., arXiv 1906.00300, section 4): sometimes the sentence is left in, so that words that match still count. ``pages``
joins short documents on one subject, which queries of the form "subject: aspect" name, into a page, and has a question
after one aspect find it; hard negatives are another page of the subject, and the same aspect of another subject.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from instructor_search.instructions import Instruction
from train.medi.contamination import EvaluationTexts
from train.medi.sources import RawTask

MIN_WORDS, MIN_SENTENCES = 70, 4  # of a passage
_QUERY_WORDS = range(5, 41)
KEPT_SHARE = 0.3  # of the passages that keep the sentence
_MIN_PASSAGES, _MAX_ROWS = 128, 3000
_MIN_SUBJECTS, _MIN_ASPECTS = 20, 8
_ASPECTS_A_PAGE = (5, 9)
_MAX_PAGES = 6000
_END = re.compile(r"(?<=[.!?])\s+|\n+")
_SUBJECT = re.compile(r"(?P<subject>[^:]{2,60}): (?P<aspect>[^:]{2,80})")
_FORMS = (
    "{subject}: {aspect}",
    "What is the {aspect} of {subject}?",
    "{aspect} of {subject}",
    "What do the records of {subject} say about {aspect}?",
    "Give the {aspect} for {subject}.",
)


def with_passages(tasks: Iterable[RawTask], seed: int, against: EvaluationTexts | None = None) -> Iterator[RawTask]:
    """Yield ``tasks``, and after each of pairs that allows it sentences_NAME and pages_NAME.

    ``against``: no part is taken of documents that hold an evaluation text; what is left would not be known again.
    """
    for task in tasks:
        yield task
        if task.kind == "pairs":
            clean = task if against is None else against.without(task)
            yield from (derived for derived in (sentences(clean, seed), pages(clean, seed)) if derived is not None)


def sentences(task: RawTask, seed: int) -> RawTask | None:
    """Return (sentence, its passage) for the task's long documents; None where there are few."""
    chance = random.Random(f"{seed} sentences {task.name}")
    rows = []
    for passage in dict.fromkeys(row[1] for row in task.rows if isinstance(row[1], str)):
        parts = [part for part in _END.split(passage) if part.strip()]
        if len(passage.split()) < MIN_WORDS or len(parts) < MIN_SENTENCES:
            continue
        place = chance.randrange(len(parts))
        if len(parts[place].split()) not in _QUERY_WORDS:
            continue
        rest = parts if chance.random() < KEPT_SHARE else parts[:place] + parts[place + 1 :]
        rows.append((parts[place].strip(), " ".join(rest), ()))
    if len(rows) < _MIN_PASSAGES:
        return None
    chance.shuffle(rows)
    domain = _domain(task)
    return _made(
        task,
        "sentences",
        rows[:_MAX_ROWS],
        f"Represent the {domain}sentence for retrieving the passage that it belongs to: ",
        f"Represent the {domain}passage for retrieval: ",
        "a sentence of a document finds the rest of it",
    )


def pages(task: RawTask, seed: int) -> RawTask | None:
    """Return (question after an aspect of a subject, a page on the subject); None where queries name no subjects."""
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for query, document, _ in task.rows:
        match = _SUBJECT.fullmatch(str(query or ""))
        if match and isinstance(document, str):
            known[match["subject"]][match["aspect"]] = document
    known = {subject: aspects for subject, aspects in known.items() if len(aspects) >= _MIN_ASPECTS}
    if len(known) < _MIN_SUBJECTS:
        return None
    chance, subjects = random.Random(f"{seed} pages {task.name}"), sorted(known)
    rows = []
    for _ in range(min(_MAX_PAGES, sum(map(len, known.values())))):
        subject = chance.choice(subjects)
        aspects = chance.sample(sorted(known[subject]), len(known[subject]))
        count = min(chance.randint(*_ASPECTS_A_PAGE), len(aspects) - 1)
        aspect = chance.choice(aspects[:count])
        wrong = [_page(subject, aspects[count:][:count], known, chance)]
        others = [other for other in subjects if other != subject and aspect in known[other]]
        if others:
            wrong.insert(0, _page_with(aspect, chance.choice(others), count, known, chance))
        query = chance.choice(_FORMS).format(subject=subject, aspect=aspect)
        rows.append((query, _page(subject, aspects[:count], known, chance), tuple(wrong)))
    domain = _domain(task)
    return _made(
        task,
        "pages",
        rows,
        f"Represent the {domain}question for retrieving the page that has the answer: ",
        f"Represent the {domain}page for retrieval: ",
        "short documents on one subject joined into a page",
    )


def _page_with(aspect: str, subject: str, count: int, known: dict[str, dict[str, str]], chance: random.Random) -> str:
    """Return a page of ``count`` aspects of the subject, this one among them."""
    beside = [other for other in sorted(known[subject]) if other != aspect]
    chosen = [aspect, *chance.sample(beside, min(count - 1, len(beside)))]
    return _page(subject, chance.sample(chosen, len(chosen)), known, chance)


def _page(subject: str, aspects: Sequence[str], known: dict[str, dict[str, str]], chance: random.Random) -> str:
    heading = f"{subject} page {chance.randint(1, 99)}"
    return "\n".join([heading, *(f"{aspect}\n{known[subject][aspect]}" for aspect in aspects)])


def _domain(task: RawTask) -> str:
    """Return what the documents are of by their instruction, with a space behind it; empty for none.

    "code of an algorithm" is of algorithms: what follows "of" names the subject.
    """
    instruction = Instruction.parse(task.document_instruction)
    called = " ".join(filter(None, (instruction.domain, instruction.text_type)))
    domain = re.sub(r"^.* of (an? |the )?", "", called) if " of " in called else instruction.domain
    return f"{domain} " if domain else ""


def _made(
    task: RawTask, kind: str, rows: Sequence[tuple[str, str, tuple[str, ...]]], query: str, document: str, notes: str
) -> RawTask:
    return RawTask(
        f"{kind}_{task.name}", "pairs", rows, query, document, task.licence, task.source, symmetric=False, notes=notes
    )
