"""Turns what goes wrong in a handler into something a person can read; no traceback reaches the page."""

from __future__ import annotations

import functools
import logging
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import gradio as gr

from instructor_search.commands.parser import is_ours
from instructor_search.errors import InstructorSearchError
from ui.render.drawer import failure
from ui.render.parts import error as error_panel
from ui.render.parts import without_paths

log = logging.getLogger("ui")

# How the page's events run: without a sign, and with one. always_last: who asks again before the answer is there gets
# the later answer. No queue: a search is shorter than the two requests that a place in it takes, and an answer is lost
# where the page's one stream of the queue closes (after its first events, say) just as another event joins it. But
# Gradio shows toasts of events in the queue alone.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = QUIET | {"queue": False}
ASKING: dict[str, Any] = AT_ONCE | {"show_progress": "minimal", "trigger_mode": "always_last"}


def message_of(problem: Exception) -> str:
    """Return what to say of an error: its own sentence if it is one of ours, else where to look."""
    if isinstance(problem, InstructorSearchError) or (isinstance(problem, ValueError) and is_ours(problem)):
        return without_paths(str(problem))
    number = uuid.uuid4().hex[:8]
    where = "".join(traceback.format_tb(problem.__traceback__)[-4:])
    # The message may hold what somebody typed: its kind and place are enough to find the slip.
    log.error("error %s: %s\n%s", number, type(problem).__name__, where)
    return f"something unexpected went wrong (number {number} in the server's log); please try again"


def as_panel(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler that returns HTML return a panel where it fails."""
    return _guarded(handler, error_panel)


def as_drawer(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler that fills the drawer say in it that it failed."""
    return _guarded(handler, failure)


def as_click(open_hit: Callable[[Any, str, str, str], str], session: Any) -> Callable[..., Any]:
    """Return the handler of clicks on hits: ``open_hit`` (session, action, chunk, what was asked) fills the drawer."""

    def clicked(event: gr.EventData) -> str:
        return open_hit(session, event.action, event.chunk, event.asked)

    return as_drawer(clicked)


def as_toast(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler say in the page's corner that it failed; nothing on the page changes."""

    def tell(message: str) -> Any:
        raise gr.Error(message, print_exception=False, title="That did not work")

    return _guarded(handler, tell)


def as_values(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Let a function that the page's own scripts call answer {"error": ...} where it fails."""
    return _guarded(handler, lambda message: {"error": message})


def _guarded(handler: Callable[..., Any], failed: Callable[[str], Any]) -> Callable[..., Any]:
    """Return the handler; where it fails, what ``failed`` makes of the message, in which no traceback stands."""

    @functools.wraps(handler)
    def run(*values: Any, **named: Any) -> Any:
        try:
            return handler(*values, **named)
        except gr.Error:  # said already
            raise
        except Exception as problem:  # the last line of defence of the page
            message = message_of(problem)
        return failed(message)

    return run
