"""Instructions that spell a criterion out: "Represent the review, be it angry or happy, for finding the same item: ".

A model drawn to the mean over wordings alone follows such instructions less (docs/lab/runs_14_to_17.md), so that
they are among the wordings (``train.medi.wordings``): the criterion and the values that are named stay, the other words
change. What texts are like is of two kinds, what they are about and how they say it: an instruction asks for one of
them and names values of the other.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from train.medi.purposes import cells_of
from train.wording import ENDINGS, FORMS, filled, listed, plural

NAMED_SHARE = 0.8  # of instructions; the others name no values
_SUBJECT_FORMS = ("{kind} on {values}", "{kind} about {values}", "{kind} on {values},", "{kind} concerning {values}")
_MANNER_FORMS = ("{kind}, be it {values},", "{kind}, be it {values},", "{kind}, whether {values},")
_ENDS = (
    "retrieving others of the same {goal}",
    "retrieving {kinds} of the same {goal}",
    "classifying its {goal}",
    "retrieving {kinds} with the same {goal}",
    "finding others of the same {goal}",
    "grouping {kinds} by {goal}",
    "clustering by {goal}",
    "telling the {goal}",
)


class Area(NamedTuple):
    """Texts (a key of ``train.medi.purposes.TEXTS``), what they are called, and the two kinds of criteria."""

    texts: str
    kinds: tuple[str, ...]
    subjects: tuple[str, ...]
    subject_goals: tuple[str, ...]
    manners: tuple[str, ...]
    manner_goals: tuple[str, ...]


_TABLE = """
tweet | tweet, post, message | football, elections, the weather, a phone, music, work, school, traffic, a film, food,
    family, a game, politics, money, travel, health | topic, event, subject | happy, angry, sad, grateful, afraid,
    surprised, rude, ironic, proud, bored | emotion, mood, sentiment, tone
sentence | sentence, statement, text | history, geography, science, sport, religion, cooking, animals, war,
    literature, law, cities, medicine, music, plants, machines | topic, subject, field | long, short, formal, plain, a
    question, an opinion, a fact, poetic, old-fashioned, simple | style, register, kind of statement, reading level
review | review, customer review, product review | headphones, a coffee maker, a camera, shoes, a hotel, a book, a
    toaster, a tent, a laptop, a restaurant, a film, a vacuum cleaner, a printer, a jacket | product, product
    category, kind of article | happy, wonderful, terrible, disappointed, satisfied, a waste of money, excellent,
    angry, mixed, enthusiastic | sentiment, rating, opinion, satisfaction
report | bug report, issue, security advisory, ticket | login, password, search, export, a parser, payment, memory,
    certificates, a web server, file upload, a database, threads, cookies, an index, sessions | component, part of the
    software, cause, feature | a crash, data loss, a breach, a typing mistake, a slow page, critical, minor, cosmetic,
    urgent, harmless, a denial of service | severity, impact, seriousness, urgency, kind of harm
science | research paper, abstract, study, paper | cancer, diabetes, floods, schools, bees, heart disease, climate,
    language models, surgery, infants, vaccines, traffic, sleep, neurons, robots, pain | topic, disease or subject,
    field, research area | a randomised trial, interviews, a neural network, a survey, a case report, a review, a
    cohort study, simulation, a questionnaire, an experiment, statistics | method, study design, kind of study,
    approach
request | customer message, request, utterance | a card, a transfer, a booking, a room, breakfast, parking, an
    account, fees, trains, a bus, a course, software | product or service, subject | polite, angry, short, a
    complaint, a question, a thank-you, urgent, a confirmation | tone, kind of request, intent, urgency
question | question, query | history, geography, science, sport, films, music, food, animals, medicine, religion,
    space, books | subject, area of knowledge | a person, a place, a number, a date, a choice, a definition, a
    reason, a list | expected answer, kind of answer, answer type, question type
plot | plot, story, film description | war, school, a family, crime, space, a village, love, money, revenge, a journey
    | setting, subject, theme | funny, sad, frightening, romantic, violent, slow, exciting, dark | mood, tone, genre,
    atmosphere
claim | claim, argument | schools, guns, drugs, animals, religion, the media, taxes, sport, privacy, medicine | issue,
    topic | for, against, cautious, strong, moral, economic, scientific, legal | stance, kind of argument, side, tone
"""


def asking(area: Area, chance: random.Random) -> tuple[str, str]:
    """Return an instruction in two wordings; it asks for a text's subject or manner and names values of the other."""
    kind = chance.choice(area.kinds)
    of_subject = chance.random() < 0.5  # noqa: PLR2004
    goal = chance.choice(area.subject_goals if of_subject else area.manner_goals)
    head = kind
    if chance.random() < NAMED_SHARE:
        form = chance.choice(_MANNER_FORMS if of_subject else _SUBJECT_FORMS)
        named = chance.sample(area.manners if of_subject else area.subjects, chance.randint(3, 6))
        head = form.format(kind=kind, values=listed(named))
    end = chance.choice(_ENDS).format(kinds=plural(kind.split()[-1]), goal=goal)
    forms = (FORMS[0], chance.choice(FORMS))
    first, second = (
        filled(form, head, end).replace(",,", ",").removesuffix(",") + chance.choice(ENDINGS) for form in forms
    )
    return first, second


AREAS = tuple(Area(texts, *(tuple(cell.split(", ")) for cell in others)) for texts, *others in cells_of(_TABLE))
