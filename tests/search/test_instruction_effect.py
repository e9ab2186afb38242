"""The corpus is chosen so that the instruction visibly changes what is near: measured, both ways, on three sets."""

import pytest

from benchmarks.instruction_effect import SETS, measure


@pytest.mark.parametrize("name", SETS)
def test_what_is_asked_for_moves_up_and_the_other_down(minilm, name):
    """The two instructions of a set pull its two labels in opposite directions (README, How instructions work)."""
    first, second = SETS[name][2]
    shares = measure(minilm, name)
    assert shares[first][first] - shares[second][first] >= 0.1, shares
    assert shares[second][second] - shares[first][second] >= 0.05, shares
