"""Instructions in other words: what a model that should not depend on their wording is trained with."""

from __future__ import annotations

import random

from instructor_search.instructions import Instruction

_ENDINGS = (": ", ": ", ":", "; ", " ")
_FORMS = (
    "Represent the {what} for {goal}",
    "Represent the {what} for {goal}",
    "Represent a {what} for {goal}",
    "Represent this {what}, to be used for {goal}",
    "Encode the {what} for {goal}",
    "Embed this {what} for {goal}",
    "Compute a vector of the {what} for {goal}",
    "Make an embedding of the {what} with a view to {goal}",
    "For {goal}, represent the {what}",
    "Given a {what}, represent it for {goal}",
)
_FORMS_WITHOUT_GOAL = (
    "Represent the {what}",
    "Represent the {what}",
    "Represent a {what}",
    "Encode the {what}",
    "Embed this {what}",
)


def vary(instruction: str, chance: random.Random) -> str:
    """Return an instruction in another form, a slot left out at times; free text: with another ending."""
    ending = chance.choice(_ENDINGS)
    found = Instruction.parse(instruction)
    if not found.is_template:
        return instruction.rstrip().rstrip(":;") + ending
    what = found.text_type or "text"
    if found.domain and chance.random() < 0.7:
        what = f"{found.domain} {what}"
    with_goal = found.task_objective and chance.random() < 0.85
    form = chance.choice(_FORMS if with_goal else _FORMS_WITHOUT_GOAL)
    return form.format(what=what, goal=found.task_objective) + ending
