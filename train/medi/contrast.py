"""Examples whose query means nothing certain without its instruction: a word that several topics or senses share.

In a batch of one task all instructions are alike, so a model may learn to look past them. Here the query is one word,
the positive is a text of the topic (or sense) that the instruction names, and the hard negative is a text of another
topic with the same word. Made from classes that name topics, and from pairs (example sentence, sense of its word).
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from train.medi.contamination import EvaluationTexts
from train.medi.sources import RawTask

_TOPICS = re.compile(r"classifying its (?:topic|category|semantic field|genre|purpose)|condition (?:studied|of the)")
_LABEL = re.compile(r"(?:noun of |verb of )?([a-z][a-z ,&/-]{2,40})")
_WORD = re.compile(r"[a-z]{4,}")
_SENSE = re.compile(r"(?P<sentence>.+) \(word: (?P<word>[^)]+)\)", re.DOTALL)
_STOP = frozenset(
    "about above after again also another because been before being between both came come could does done down each "
    "even every first from good great have having here high himself into just known large last like long made make "
    "many more most much name need never next often only other over part same should since small some such take than "
    "that their them then there these they thing this those three through time under used using very want well were "
    "what when where which while will with without word work would year your".split()
)
DOCUMENT_INSTRUCTION = "Represent the document for retrieval: "
_FORMS = (
    "Represent the {} question for retrieving supporting documents: ",
    "Represent the {} query for retrieving passages: ",
    "Represent the {} topic for retrieving related texts: ",
    "Represent the search word about {} for retrieval: ",
    "Represent the term of {} for retrieving its meaning: ",
)
_SENSE_FORM = 'Represent the word, as it is used in "{}", for retrieving its meaning: '
_MAX_TEXT_SHARE = 0.02  # of a data set's texts that hold a word, above which it says nothing
_EXAMPLES_A_WORD = 4


def with_contrast(tasks: Iterable[RawTask], seed: int, against: EvaluationTexts | None = None) -> Iterator[RawTask]:
    """Yield ``tasks``, and after each that allows it a task made of it, named contrast_NAME.

    ``against``: no part is taken of rows that hold an evaluation text; one in an instruction would not be known again.
    """
    for task in tasks:
        yield task
        contrast = None
        if task.kind == "classification" and _TOPICS.search(task.query_instruction):
            contrast = shared_words(task if against is None else against.without(task), seed)
        elif task.kind == "pairs" and any(_SENSE.fullmatch(str(row[0])) for row in task.rows[:20]):
            contrast = word_senses(task if against is None else against.without(task), against)
        if contrast and contrast.rows:
            yield contrast


def shared_words(task: RawTask, seed: int) -> RawTask:
    """Return examples of words that texts of two topics share: (word, text of a topic, text of another one)."""
    places = _places(task)
    chance = random.Random(f"{seed} contrast {task.name}")
    rows, instructions = [], []
    for word in sorted(places):
        topics = sorted(places[word])
        if len(topics) < 2:  # noqa: PLR2004
            continue
        for topic in chance.sample(topics, min(_EXAMPLES_A_WORD, len(topics))):
            other = chance.choice([t for t in topics if t != topic])
            rows.append((word, chance.choice(places[word][topic]), (chance.choice(places[word][other]),)))
            instructions.append(chance.choice(_FORMS).format(topic))
    return _made(task, rows, instructions)


def _places(task: RawTask) -> dict[str, dict[str, list[str]]]:
    """Return word -> topic -> texts; a topic is a label that can be read."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, int] = defaultdict(int)
    for text, label in task.rows:
        topic = _LABEL.fullmatch(str(label).lower().replace("_", " "))
        if topic is None or not isinstance(text, str):
            continue
        for word in set(_WORD.findall(text.lower())) - _STOP - set(_WORD.findall(topic[1])):
            places[word][topic[1]].append(text)
            counts[word] += 1
    limit = max(20.0, _MAX_TEXT_SHARE * len(task.rows))
    return {word: dict(topics) for word, topics in places.items() if counts[word] <= limit}


def word_senses(task: RawTask, against: EvaluationTexts | None = None) -> RawTask:
    """Return examples of words with several senses: (word, sense, other senses), the sentence in the instruction.

    ``against``: sentences that are evaluation texts are left out.
    """
    rows, instructions = [], []
    for query, positive, negatives in task.rows:
        match = _SENSE.fullmatch(str(query or ""))
        if match is None or not negatives or (against is not None and match["sentence"] in against):
            continue
        rows.append((match["word"], positive, negatives))
        instructions.append(_SENSE_FORM.format(match["sentence"].strip()[:200]))
    return _made(task, rows, instructions)


def _made(task: RawTask, rows: Sequence[tuple[str, str, tuple[str, ...]]], instructions: list[str]) -> RawTask:
    return RawTask(
        f"contrast_{task.name}",
        "pairs",
        rows,
        instructions[0] if rows else "",
        DOCUMENT_INSTRUCTION,
        task.licence,
        task.source,
        symmetric=False,
        notes="one word under instructions that decide what it means",
        instructions=instructions,
    )
