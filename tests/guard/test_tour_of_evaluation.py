"""No command opens a connection that nobody asked for: evaluation."""

import sys

import pytest

from tests.guard.guarded import Guard
from tests.guard.tour import EVALUATION

pytestmark = [pytest.mark.slow, pytest.mark.trust]


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation(name, guard, filled):
    guard.module(*filled(EVALUATION[name]))


def test_the_hub_is_asked_once_where_the_data_may_be_its_own(tmp_path):
    """``--data auto`` takes the hub's data sets where it answers; here it does not."""
    guard = Guard(tmp_path)
    done = guard.run(sys.executable, "-m", "eval", "--list")
    assert done.returncode == 0 and "data: bundled (the hub (https://huggingface.co) cannot be reached" in done.stderr
    (attempt,) = guard.attempts()
    assert attempt.address == "'huggingface.co'" and "eval --list" in attempt.detail
