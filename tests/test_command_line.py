"""What all commands share."""

import pytest

from instructor_search.command_line import failing_with_one_line


def test_an_interrupt_while_a_compiled_module_starts_is_an_interrupt(capsys):
    """Its start then fails with an ImportError, of which the interrupt is the cause."""
    with failing_with_one_line() as outcome:
        raise ImportError("initialization failed") from KeyboardInterrupt()
    assert outcome.code == 130 and capsys.readouterr().err == "interrupted\n"
    with pytest.raises(ImportError, match="no module"), failing_with_one_line():
        raise ImportError("no module")
