"""A prompt as it will be sent, and the examples in it."""

from __future__ import annotations

from instructor_search.commands.parser import counted
from instructor_search.in_context.prompt import Prompt
from ui.render.parts import panel, table, text

EMPTY = panel(
    "empty",
    "Examples for a language model",
    "Choose a pool and write an input: the examples that are nearest to it under your instruction make the prompt.",
)
NO_POOL = panel("empty", "No pool of examples yet", "Make one below, of a table with inputs and outputs.")


def prompt(made: Prompt) -> str:
    """Return the prompt, its tokens, its examples, and what was left out."""
    left = f" · {made.num_left_out} left out" if made.left_out else ""
    head = (
        f'<div class="found" role="status"><span class="under">{counted(len(made.demonstrations), "example")} · '
        f'<b>{counted(made.num_tokens, "token")}</b>{left}</span><span class="grow"></span>'
        '<button class="act" data-action="copy">Copy</button></div>'
    )
    notes = "".join(f"<p>{text(note)}</p>" for note in made.notes)
    said = f'<div class="panel note" style="margin:10px 0">{notes}</div>' if notes else ""
    rows = [(f"{d.score:.3f}", d.input[:240], d.output[:120], d.source) for d in reversed(made.demonstrations)]
    shown = table(
        ("score", "input", "output", "from"), rows, numbers=(0,), name="Examples, the last in the prompt first"
    )
    dropped = [(d.reason, d.demonstration.input[:200]) for d in made.left_out]
    rest = table(("left out because", "input"), dropped, name="Left out") if dropped else ""
    return f'{head}<pre class="prompt" tabindex="0">{text(made.text)}</pre>{said}<h4>Examples</h4>{shown}{rest}'


def answer(said: str) -> str:
    """Return what the language model said."""
    return f'<div class="panel good"><h3>The model says</h3><p style="white-space:pre-wrap">{text(said)}</p></div>'
