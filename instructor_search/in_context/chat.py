"""A model's chat format: the Jinja template of its folder, which says how messages become one text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from instructor_search.errors import ModelError
from instructor_search.in_context.template import Message, sandbox

_FILE, _CONFIG, _KEY = "chat_template.jinja", "tokenizer_config.json", "chat_template"


class ChatFormat:
    """Renders messages as the model reads them, and counts their tokens."""

    def __init__(self, source: str, names: dict[str, Any], count: Callable[[str], int]) -> None:
        """``names``: bos_token and the like; ``count``: tokens of a text without any that are put around it."""
        from jinja2 import Undefined  # chat templates ask for names that may not be there

        environment = sandbox(
            undefined=Undefined, trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        self._compiled = environment.from_string(source)
        self._names, self._count = names, count

    def render(self, messages: Sequence[Message]) -> str:
        """Return the text of a chat, up to where the answer begins.

        Raises:
            ModelError: the format does not allow these messages.
        """
        shown = [m._asdict() for m in messages]
        try:
            return str(self._compiled.render(messages=shown, add_generation_prompt=True, **self._names))
        except Exception as error:  # the template is the model's, and can fail in any way
            raise ModelError(f"the model's chat template refuses this chat ({str(error)[:160]})") from error

    def count(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a chat."""
        return self._count(self.render(messages))


def read_chat_format(folder: Path, count: Callable[[str], int]) -> ChatFormat | None:
    """Return the chat format of a model's folder; None where it has none.

    Raises:
        ModelError: its configuration is no JSON.
    """
    config = _read_config(folder / _CONFIG)
    file = folder / _FILE
    source = file.read_text(encoding="utf-8") if file.is_file() else config.get(_KEY)
    if isinstance(source, list):  # several, by name
        source = next((s["template"] for s in source if s.get("name") == "default"), None)
    if not isinstance(source, str):
        return None
    names = {k: v["content"] if isinstance(v, dict) else v for k, v in config.items() if k.endswith("_token")}
    return ChatFormat(source, names, count)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is no JSON ({error})") from error
    return values if isinstance(values, dict) else {}


def _refuse(message: str) -> None:
    raise ValueError(message)
