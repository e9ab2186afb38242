"""No command opens a connection that nobody asked for: the quick ones, and that no command is left out."""

import sys

import pytest

from tests.guard.application import application, asked, opened
from tests.guard.tour import ASTRONOMY, CHILDREN, QUICK, TOUR, programs, subcommands


def test_the_tour_leaves_no_command_out():
    assert programs() - CHILDREN - {"ui.app"} == {words[0] for words in TOUR.values()}
    assert set(subcommands()) <= {(words[0], words[1]) for words in TOUR.values()}


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_command(name, guard, filled):
    guard.module(*filled(QUICK[name]))  # which the fixture asserts to have tried nothing


def test_imports(guard):
    done = guard.run(sys.executable, "-c", "import instructor_search, ingest, train, eval, ui")
    assert done.returncode == 0, done.stderr


def test_the_application(guard, store):
    with application(guard, "--store", store) as address:
        assert "instructor-search" in opened(address)
        (hits,) = asked(address, "search", "mercury", ASTRONOMY, "here", "", "dense", "", 2)
        assert hits[0]["title"] == "Mercury (planet)"
