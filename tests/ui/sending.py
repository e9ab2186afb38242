"""Files as a page sends them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator


def send(session, files, batch=None):
    """Upload files, bytes by relative name, and return the id of their batch."""
    batch = batch or str(uuid.uuid4())
    for name, content in files.items():
        asyncio.run(session.uploads.receive(batch, name, pieces(content)))
    return batch


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """Yield a body in pieces, as a server receives it."""
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]
