"""Says how far an encoder is: a bar on stderr, and a caller's own count."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int, show: bool | None, on_batch: Callable[[int], None] | None) -> Iterator[Callable[[int], None]]:
    """Give what is told of texts done: it moves a bar on stderr, if that is shown, and tells ``on_batch``."""
    from tqdm import tqdm

    with tqdm(total=total, desc="encode", unit=" texts", disable=not show, file=sys.stderr) as bar:

        def tell(count: int) -> None:
            bar.update(count)
            if on_batch:
                on_batch(count)

        yield tell
