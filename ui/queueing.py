"""Gradio's queue, bounded by client and by untaken answers; a session that is gone does not stop it for the others."""

from __future__ import annotations

import re
from typing import Any

from gradio.queueing import Queue

from ui.gates.hosts import network_of

SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
MAX_UNTAKEN = 60  # messages of one session: an event has three or four
_SUMMARY: dict[str, Any] = {"functions": {}}


class OwnQueue(Queue):
    """The queue of the page and of programs."""

    per_client = 100  # events of one address that wait at once

    @classmethod
    def take_over(cls, queue: Any, per_client: int) -> None:
        """Make a queue that Gradio made one of this kind."""
        queue.__class__ = cls
        queue.per_client = per_client
        queue.ANALYTICS_MAX_EVENTS = 1

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """As of ``Queue``: (whether the event was taken, its id or why not, a word for that)."""
        session = body.session_hash
        if session is not None and not SESSION.fullmatch(session):
            return False, "session_hash has another form; expected letters, digits, _ and -, 64 at most", "error"
        untaken = self.pending_messages_per_session.get(session)
        if untaken is not None and untaken.qsize() > MAX_UNTAKEN:
            return False, "take the answers to what was asked before", "queue_full"
        if self._waiting(network_of(request.scope)) >= self.per_client:
            return False, f"{self.per_client} requests of yours wait already; wait for answers", "queue_full"
        return await super().push(body, request, username)

    def send_message(self, event: Any, event_message: Any) -> None:
        """As of ``Queue``, but a message to a session that is forgotten is dropped."""
        if event.session_hash in self.pending_messages_per_session:
            super().send_message(event, event_message)

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Count nothing: there is no page of statistics, and they would keep what clients send."""
        return _SUMMARY

    def is_busy(self, session: str) -> bool:
        """Whether an event of a session waits or runs."""
        return any(event in self.event_ids_to_events for event in self.pending_event_ids_session.get(session, ()))

    def num_untaken(self) -> int:
        """Return how many messages wait to be taken, of all sessions."""
        return sum(messages.qsize() for messages in list(self.pending_messages_per_session.values()))

    def _waiting(self, network: str) -> int:
        queues = self.event_queue_per_concurrency_id.values()
        return sum(network_of(event.request.scope) == network for queue in queues for event in queue.queue)
