"""Waits for what another thread or process does."""


def wait_for(condition, seconds=120):
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
