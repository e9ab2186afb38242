"""The local engine: order, laziness, bounds and errors are the same here and in other processes."""

import os
import time

import pytest

from instructor_search.engines import Engine, LocalEngine

ENGINES = [LocalEngine(), LocalEngine(1), LocalEngine(2)]


def squared(number):
    time.sleep(0.05 * (number % 2))
    if number == 7:
        raise ArithmeticError("seven")
    return number * number, os.getpid()


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_results_come_in_the_order_of_the_items(engine: Engine):
    results = list(engine.map(squared, range(6)))
    assert [value for value, _ in results] == [0, 1, 4, 9, 16, 25]
    processes = {process for _, process in results}
    assert (os.getpid() in processes) == (engine.processes == 0) and len(processes) <= max(engine.processes, 1)


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_an_error_stands_where_its_result_would(engine):
    got = []
    with pytest.raises(ArithmeticError, match="seven"):
        for value, _ in engine.map(squared, range(5, 10)):
            got.append(value)
    assert got == [25, 36]


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_items_are_taken_a_bounded_number_ahead(engine):
    taken = []
    results = engine.map(squared, (taken.append(n) or n for n in range(0, 10_000, 2)))
    assert next(results)[0] == 0 and next(results)[0] == 4
    assert len(taken) <= 2 + 2 * engine.processes
    if engine.processes:
        results.close()


def test_a_negative_number_of_processes_is_refused():
    with pytest.raises(ValueError, match="processes is -1; expected 0"):
        LocalEngine(-1)


class Heavy:
    """A function whose way to another process is seen in a file."""

    def __init__(self, log):
        self.log = log

    def __reduce__(self):
        with open(self.log, "a") as log:
            log.write("sent\n")
        return Heavy, (self.log,)

    def __call__(self, number):
        return number + 1


def test_the_function_goes_to_each_process_once(tmp_path):
    assert list(LocalEngine(2).map(Heavy(str(tmp_path / "log")), range(40))) == list(range(1, 41))
    assert 1 <= len((tmp_path / "log").read_text().splitlines()) <= 2
