"""Instructions in other words: what a model that should not depend on their wording is trained with."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence

from instructor_search.instructions import Instruction

ENDINGS = (": ", ": ", ":", "; ", " ")
FORMS = (
    "Represent the {what} for {goal}",
    "Represent the {what} for {goal}",
    "Represent the {what} for {goal}",
    "Represent {a} {what} for {goal}",
    "Represent this {what}, to be used for {goal}",
    "Represent, for {goal}, the {what}",
    "Encode the {what} for {goal}",
    "Embed this {what} for {goal}",
    "Compute a vector of the {what} for {goal}",
    "Make an embedding of the {what} with a view to {goal}",
    "For {goal}, represent the {what}",
    "Given {a} {what}, represent it for {goal}",
    "Read the {what} and represent it for {goal}",
    "The {what} is to be represented for {goal}",
    "An embedding of the {what} is wanted for {goal}",
    "Map the {what} to a point, for {goal}",
    "Capture what matters in the {what} for {goal}",
    "Represent the {what} in a way that is good for {goal}",
    "Describe the {what} by a vector that serves {goal}",
    "Task: {goal}. Input: {what}",
)
_FORMS_WITHOUT_GOAL = (
    "Represent the {what}",
    "Represent the {what}",
    "Represent {a} {what}",
    "Encode the {what}",
    "Embed this {what}",
)
# Other ways to ask for a class: by what it is a class of ({of}, its first words {head}), or by the names of classes.
_CLASS_OF = re.compile(
    r"(?:classify|determin|predict|identify|detect)ing (?:(?P<whether>whether) |its |the |their )?(?P<of>.+)"
)
_WHETHER_GOALS = ("telling whether {of}", "deciding whether {of}", "predicting whether {of}", "judging whether {of}")
_CLASS_GOALS = (
    "recognizing the {of}",
    "telling the {of}",
    "telling which {of}",
    "sorting {whats} by {head}",
    "grouping {whats} by {head}",
    "separating {whats} by {head}",
    "finding {whats} of the same {head}",
    "finding {whats} that have the {head} in common",
)
_NAMED_CLASSES = (
    "telling apart {classes}",
    "recognizing {classes}",
    "telling whether it is {classes}",
    "sorting {whats} into {classes}",
    "predicting one of {classes}",
    "classifying it as {classes}",
)
# What a class is good for besides: a prompt's examples are best of the class that is asked for.
_CLASS_GOAL = re.compile(r"(?:classify|classification|determin|predict|identify|detect)")
_EXAMPLES = (
    "retrieving similar examples for {goal}",
    "retrieving examples for {goal}",
    "finding demonstrations for {goal}",
)
_DOMAINS = ("{domain} {kind}", "{domain} {kind}", "{domain} {kind}", "{kind} about {domain}", "{kind} ({domain})")
# Words that may stand for one another: text types, and what is done with them.
_LIKE = (
    ("question", "query", "request"),
    ("answer", "reply", "response"),
    ("sentence", "statement"),
    ("document", "text", "passage"),
    ("comment", "remark", "post"),
    ("title", "heading"),
    ("story", "narrative"),
    ("review", "critique"),
    ("tweet", "post", "short message"),
    ("utterance", "message", "line"),
    ("retrieving", "finding", "searching for", "looking up", "locating"),
    ("retrieval", "search", "lookup"),
    ("classifying", "determining", "predicting", "telling apart"),
    ("classification", "categorization"),
    ("comparing", "relating"),
    ("similar", "comparable", "related"),
    ("duplicate", "equivalent"),
    ("supporting", "relevant"),
    ("measuring", "scoring", "judging"),
    ("matching", "pairing"),
    ("examples", "demonstrations"),
)
_OTHERS = {word: [w for w in like if w != word] for like in _LIKE for word in like}
_WORD = re.compile(r"[a-z]+")
_CLASS_NAME = re.compile(r"[^\W\d_](?:[^\d:;_]{0,28}[^\W\d_])?")  # a few words, no numbers


def class_names(labels: Collection[str]) -> tuple[str, ...]:
    """Return labels, sorted, where they are words and there are two or more; else none."""
    return tuple(sorted(labels)) if len(labels) > 1 and all(map(_CLASS_NAME.fullmatch, labels)) else ()


def plural(noun: str) -> str:
    """Return a noun's regular plural; one that ends in s stays."""
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun if noun.endswith("s") else noun + "s"


def listed(names: Sequence[str]) -> str:
    """Return "a, b or c" of two or more names."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def filled(form: str, what: str, goal: str) -> str:
    """Return a form of instruction for a text type and what it is embedded for, with the article that it asks for."""
    article = "an" if re.match("[aeio]", what, re.IGNORECASE) else "a"
    return form.format(a=article, what=what, goal=goal)


def vary(instruction: str, chance: random.Random, classes: Sequence[str] = ()) -> str:
    """Return an instruction in another form and with words of like meaning, a slot left out at times.

    Free text stays but for its ending. ``classes``: names of two or more classes that the instruction asks for, which
    may be named instead of what they are classes of.
    """
    if not instruction:
        return ""
    ending = chance.choice(ENDINGS)
    parsed = Instruction.parse(instruction)
    if not parsed.is_template:
        return instruction.rstrip().rstrip(":;") + ending
    what = _in_other_words(parsed.text_type or "text", chance)
    if parsed.domain and chance.random() < 0.7:
        what = chance.choice(_DOMAINS).format(domain=parsed.domain, kind=what)
    with_goal = parsed.task_objective and chance.random() < 0.85
    form = chance.choice(FORMS if with_goal else _FORMS_WITHOUT_GOAL)
    goal = parsed.task_objective or ""
    if chance.random() < 0.5:  # noqa: PLR2004
        goal = _other_class_goal(goal, parsed.text_type or "text", chance, classes)
    if _CLASS_GOAL.match(goal) and chance.random() < 0.15:  # noqa: PLR2004
        goal = chance.choice(_EXAMPLES).format(goal=goal)
    return filled(form, what, _in_other_words(goal, chance)) + ending


def _other_class_goal(goal: str, what: str, chance: random.Random, classes: Sequence[str]) -> str:
    """Return what asks for the same classes: "grouping posts by mood" for "classifying its mood"."""
    match = _CLASS_OF.fullmatch(goal)
    if not match:
        return goal
    whats = plural(what)
    if classes and chance.random() < 0.4:  # noqa: PLR2004
        named = chance.sample(list(classes), min(len(classes), 5))
        return chance.choice(_NAMED_CLASSES).format(classes=listed(named), whats=whats)
    forms = _WHETHER_GOALS if match["whether"] else _CLASS_GOALS
    head = re.split(" (?:it|that|between|of the|studied|as) ?", match["of"])[0]
    return chance.choice(forms).format(of=match["of"], head=head, whats=whats)


def _in_other_words(text: str, chance: random.Random) -> str:
    """Return ``text`` with every third known word replaced by one of like meaning."""

    def other(match: re.Match[str]) -> str:
        likes = _OTHERS.get(match[0])
        return chance.choice(likes) if likes and chance.random() < 0.35 else match[0]  # noqa: PLR2004

    return _WORD.sub(other, text)
