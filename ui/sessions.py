"""What Gradio remembers of each page and each call, bounded: a page's state while it is open, the rest for a while."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from copy import copy
from itertools import islice
from typing import Any

from fastapi import HTTPException
from gradio.state_holder import SessionState, StateHolder

from ui.gates.asgi import App, Receive, Scope, Send, refuse
from ui.queueing import SESSION

MAX_CLOSED = 500  # sessions without an open page: every call of a program makes one
MAX_OPEN = 2_000  # pages
MAX_UNTAKEN = 2_000  # messages that wait to be taken, of all sessions
_HEARTBEAT = re.compile(r"/gradio_api/heartbeat/([\w-]+)/?", re.ASCII)


class _Nowhere(dict[Any, Any]):
    """A dictionary that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class SmallSession(SessionState):
    """A session without the copy of the page's configuration (0.4 MB), which only Gradio's own links would need."""

    def __init__(self, blocks: Any) -> None:
        """Set what ``SessionState`` sets."""
        self.blocks_config = copy(blocks.default_config)
        self.config_values = _Nowhere()
        self.state_data = {}
        self._state_ttl = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class Sessions(StateHolder):
    """The sessions of an application. Of those without an open page or work the ones longest unused are forgotten."""

    def __init__(self, blocks: Any) -> None:
        """Take the place of the sessions that ``blocks`` has; its queue is an ``OwnQueue``."""
        super().__init__()
        self.open: Counter[str] = Counter()
        blocks.state_session_capacity = MAX_CLOSED
        self.set_blocks(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        """Return a session; an unknown one is made.

        Raises:
            HTTPException: its name has another form than a page gives.
        """
        if not isinstance(session_id, str) or not SESSION.fullmatch(session_id):
            raise HTTPException(400, "session_hash has another form; expected letters, digits, _ and -, 64 at most")
        with self.lock:
            if session_id not in self.session_data:
                self.session_data[session_id] = SmallSession(self.blocks)
            state = self.session_data[session_id]
            self.time_last_used[session_id] = datetime.datetime.now()
        self.update(session_id)
        return state

    def update(self, session_id: str) -> None:
        """Make a session the last one used, and forget those that are too many."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            queue: Any = self.blocks._queue
            too_many = len(self.session_data) - len(self.open) - self.capacity
            if queue.num_untaken() > MAX_UNTAKEN:
                too_many = max(too_many, 1)
            if too_many > 0:
                closed = (name for name in list(self.session_data) if name not in self.open and name != session_id)
                for old in islice((name for name in closed if not queue.is_busy(name)), too_many):
                    self._forget(old)

    def _forget(self, session_id: str) -> None:
        """Forget a session and the answers in it that nobody took."""
        self.session_data.pop(session_id, None)
        self.time_last_used.pop(session_id, None)
        queue = self.blocks._queue
        queue.pending_messages_per_session.pop(session_id, None)
        queue.pending_event_ids_session.pop(session_id, None)


class OpenPages:
    """Tells the sessions which pages are open: each keeps one connection, its heartbeat."""

    def __init__(self, app: App, sessions: Sessions) -> None:
        """Wrap ``app``."""
        self.app, self.sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503 where too many pages are open."""
        match = _HEARTBEAT.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if not match:
            await self.app(scope, receive, send)
            return
        opened, name = self.sessions.open, match[1]
        if len(opened) >= MAX_OPEN and name not in opened:
            await refuse(scope, send, 503, "too many pages are open; close some\n")
            return
        opened[name] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            opened[name] -= 1
            if not opened[name]:
                del opened[name]
