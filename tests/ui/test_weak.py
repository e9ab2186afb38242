"""A search whose hits do not stand out is shown with a note; the sentence that is marked is chosen by meaning."""

from dataclasses import replace

from tests.ui.conftest import ASTRONOMY
from ui.asking import Asked
from ui.render import cards

NOTE = "These scores are like those of random words in this view."


def test_a_meaningless_query_is_said_to_be_weak(session):
    asked = Asked("corpus", "qwxzv blorf", ASTRONOMY)
    found = session.search(asked)
    html = cards.answer(found)
    assert found.weak and html.count('<article class="card"') == 10
    assert NOTE in html and html.index(NOTE) < html.index("<article") and 'class="panel note" role="status"' in html
    sensible = session.search(replace(asked, query="mercury"))
    assert not sensible.weak and NOTE not in cards.answer(sensible)


def test_words_that_match_are_not_weak(session):
    asked = Asked("corpus", "qwxzv blorf", "", mode="hybrid")
    assert session.search(asked).weak
    assert not session.search(replace(asked, query="qwxzv blorf tortoise")).weak
    assert not session.search(replace(asked, query="tortoise", mode="text")).weak


def test_a_filter_has_a_background_of_its_own(session):
    asked = Asked("corpus", "qwxzv blorf", "")
    assert session.search(replace(asked, where='source contains "reviews"')).weak
    few = session.search(replace(asked, where='source contains "health"'))  # too few chunks to judge by
    assert 0 < len(few.hits) < 20 and not few.weak


def test_the_sentence_about_cough_is_marked(session):
    instruction = session.default_instruction("corpus")
    html = cards.answer(session.search(Asked("corpus", "which medicine makes me cough", instruction)))
    assert "<mark>A dry cough under ACE inhibitors is harmless but a reason to change.</mark>" in html
