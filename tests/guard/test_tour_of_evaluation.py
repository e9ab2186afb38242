"""No command opens a connection that nobody asked for: evaluation."""

import sys

import pytest

from tests.guard.guarded import Guard
from tests.guard.tour import EVALUATION

pytestmark = [pytest.mark.slow, pytest.mark.trust]


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation(name, guard, filled):
    guard.module(*filled(EVALUATION[name]))  # which the fixture asserts to have tried nothing


def test_the_hub_is_asked_where_it_is_named(tmp_path):
    guard = Guard(tmp_path)
    assert guard.run(sys.executable, "-m", "eval", "--list").returncode == 0
    assert guard.attempts() == []
    guard.run(sys.executable, "-m", "eval", "--list", "--data", "hub")
    assert {attempt.address for attempt in guard.attempts()} >= {"'huggingface.co'"}
