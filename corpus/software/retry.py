"""Calls a function again when it fails for a reason that may pass."""

import random
import time


def retry(call, attempts=5, first_wait=0.2, errors=(ConnectionError, TimeoutError)):
    """Return call(); wait longer after each failure, with jitter, and raise the last error at the end."""
    for attempt in range(attempts):
        try:
            return call()
        except errors:
            if attempt == attempts - 1:
                raise
            time.sleep(first_wait * 2**attempt * random.uniform(0.5, 1.5))


class RateLimiter:
    """Lets through a number of calls a second; later ones wait for their turn."""

    def __init__(self, per_second):
        self.interval = 1.0 / per_second
        self.next_call = time.monotonic()

    def wait(self):
        """Sleep until the next call may start."""
        now = time.monotonic()
        if self.next_call > now:
            time.sleep(self.next_call - now)
        self.next_call = max(now, self.next_call) + self.interval
