"""Each test makes its accelerator anew: the state that accelerate keeps in a process allows one precision only."""

import pytest


@pytest.fixture(autouse=True)
def fresh_accelerator():
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
