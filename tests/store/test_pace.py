"""A reader follows a writer at once while that is rare, and within a stated time whatever happens."""

import time

import pytest

from instructor_search import Collection
from instructor_search.search.candidates import CandidateFinder
from instructor_search.store import pace
from instructor_search.store.pace import Pace
from tests.store.test_word_index import made, rows  # noqa: F401


def test_what_is_rare_is_done_at_once_and_what_is_not_once_a_second(monkeypatch):
    monkeypatch.setattr(pace, "BUDGET", 0.5)
    kept = Pace()
    now, done = 100.0, []
    for _ in range(1000):  # a hundred times a second, for 50 ms each
        if kept.is_due(now):
            kept.note(now, 0.05)
            done.append(now)
        now += 0.01
    assert done[:10] == pytest.approx([100.0 + n * 0.01 for n in range(10)])
    gaps = [later - earlier for earlier, later in zip(done, done[1:], strict=False)]
    assert max(gaps) <= pace.MAX_LAG + 0.011
    # The budget, and then what is forgotten of it: 0.5 ln 2 / 2 = 0.17 a second.
    assert 0.05 * len(done) == pytest.approx(0.5 + 0.173 * 10, rel=0.1)
    assert kept.is_due(now + 10)


def test_a_reader_lags_no_longer_than_that(made, monkeypatch):  # noqa: F811
    collection, view, _ = made
    monkeypatch.setattr(pace, "BUDGET", 0.0)
    monkeypatch.setattr(pace, "MAX_LAG", 0.5)
    finder = CandidateFinder(Collection.open("c"), view)

    def count():
        with finder.reading():
            return len(finder.matching("mercury planet orbit metal liquid", 10_000))

    first = count()
    collection.upsert(rows(view, range(300, 310)), may_exist=False)
    assert count() == first + 10  # nothing was spent yet
    collection.upsert(rows(view, range(310, 320)), may_exist=False)
    assert count() == first + 10
    time.sleep(0.55)
    assert count() == first + 20
