"""The fixed words of a prompt: plain text, chat messages, or a Jinja template. What texts bring along is escaped."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from instructor_search.errors import MissingExtraError
from instructor_search.in_context.escaping import Escape
from instructor_search.records import Demonstration

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_SLOT = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")  # {{word}} is the literal {word}
_IN_DEMONSTRATION, _IN_QUESTION = ("input", "output", "task"), ("input", "task")


class Message(NamedTuple):
    """One message of a chat. ``role``: system, user or assistant."""

    role: str
    content: str


class Rendered(NamedTuple):
    """A prompt's text, and its messages where it is a chat."""

    text: str
    messages: tuple[Message, ...] = ()


class Template(Protocol):
    """Makes a prompt of demonstrations, in the order of the text, and of the input asked about."""

    @property
    def escape(self) -> Escape:
        """What keeps texts in their slots."""

    def render(self, demonstrations: Sequence[Demonstration], text: str) -> Rendered:
        """Return the prompt."""


@dataclass(frozen=True)
class PromptTemplate:
    """Plain text: the task, the demonstrations, the question. Slots: {input}, {output}, {task} of an example."""

    task: str = ""  # what to do, in a sentence; stands first
    demonstration: str = "Input: {input}\nOutput: {output}\n\n"
    question: str = "Input: {input}\nOutput:"
    control_tokens: tuple[str, ...] = ()  # of the target model

    def __post_init__(self) -> None:
        """Refuse slots that nothing fills.

        Raises:
            ValueError: a slot is unknown, or there is none for the input.
        """
        _check_slots("demonstration", self.demonstration, _IN_DEMONSTRATION, needed=("input", "output"))
        _check_slots("question", self.question, _IN_QUESTION, needed=("input",))

    @cached_property
    def escape(self) -> Escape:
        """The delimiters: the template's own words, by where they stand."""
        starts: list[str] = []
        inside: list[str] = []
        for form in (self.demonstration, f"{self.question}\n"):  # nothing follows the question
            for number, literal in enumerate(_literals(form)):
                first, *others = _lines(literal)
                (starts if number == 0 else inside).append(first)
                starts += others
        blank = re.search(r"\n[^\S\n]*\n[^\S\n]*\Z", self.demonstration) is not None
        bare = not _literals(self.demonstration)[0].strip()  # an example begins with its text: a line tells it apart
        return Escape(starts, inside, blank_lines=blank, one_line=bare, control_tokens=self.control_tokens)

    def header(self) -> str:
        """Return what stands before the demonstrations."""
        return f"{self.task}\n\n" if self.task else ""

    def render(self, demonstrations: Sequence[Demonstration], text: str) -> Rendered:
        """Return the prompt."""
        shown = [_fill(self.demonstration, _slots(d, self.escape)) for d in demonstrations]
        question = _fill(self.question, {"input": self.escape(text), "task": self.task})
        return Rendered(self.header() + "".join(shown) + question)


@dataclass(frozen=True)
class ChatTemplate:
    """Chat messages: the task for the system, each example a question of the user and its answer, then the input."""

    task: str = ""
    user: str = "{input}"
    assistant: str = "{output}"
    control_tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse slots that nothing fills.

        Raises:
            ValueError: a slot is unknown, or there is none for the input or the output.
        """
        _check_slots("user", self.user, _IN_QUESTION, needed=("input",))
        _check_slots("assistant", self.assistant, _IN_DEMONSTRATION, needed=("output",))

    @cached_property
    def escape(self) -> Escape:
        """Messages are told apart by the model's control tokens."""
        inside = [w for form in (self.user, self.assistant) for w in _literals(form)[1:]]
        return Escape((), inside, control_tokens=self.control_tokens)

    def render(self, demonstrations: Sequence[Demonstration], text: str) -> Rendered:
        """Return the messages; their text shows one after the other, for people."""
        messages = [Message("system", self.task)] if self.task else []
        for example in demonstrations:
            slots = _slots(example, self.escape)
            messages += [Message("user", _fill(self.user, slots)), Message("assistant", _fill(self.assistant, slots))]
        messages.append(Message("user", _fill(self.user, {"input": self.escape(text), "task": self.task})))
        return Rendered("\n\n".join(f"[{m.role}]\n{m.content}" for m in messages), tuple(messages))


@dataclass(frozen=True)
class JinjaTemplate:
    """A Jinja template in a sandbox, over ``task``, ``demonstrations`` (input, output, task, score) and ``input``.

    Its texts are escaped before it sees them. ``name`` is for messages.
    """

    source: str
    task: str = ""
    name: str = "the template"
    control_tokens: tuple[str, ...] = ()
    _environment: Any = field(init=False, repr=False, compare=False)
    _template: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile it.

        Raises:
            ValueError: it is no Jinja template.
            MissingExtraError: Jinja2 is not installed.
        """
        environment = sandbox(keep_trailing_newline=True)
        from jinja2 import TemplateSyntaxError

        try:
            compiled = environment.from_string(self.source)
        except TemplateSyntaxError as error:
            raise ValueError(f"{self.name}, line {error.lineno}: {error.message}") from error
        object.__setattr__(self, "_environment", environment)
        object.__setattr__(self, "_template", compiled)

    @cached_property
    def escape(self) -> Escape:
        """The delimiters: every piece of fixed text of the template."""
        from jinja2 import nodes

        starts: list[str] = []
        inside: list[str] = []
        for data in self._environment.parse(self.source).find_all(nodes.TemplateData):
            first, *others = _lines(data.data)
            starts += [first, *others]
            inside += [first] if re.search(r"\w", first) is None or others == [] else []
        return Escape(starts, inside, blank_lines="\n\n" in self.source, control_tokens=self.control_tokens)

    def render(self, demonstrations: Sequence[Demonstration], text: str) -> Rendered:
        """Return the prompt.

        Raises:
            ValueError: the template asks for what there is not, or for what the sandbox does not give.
        """
        shown = [_slots(d, self.escape) | {"score": d.score} for d in demonstrations]
        try:
            return Rendered(self._template.render(demonstrations=shown, input=self.escape(text), task=self.task))
        except Exception as error:  # a template can fail in any way that Python can
            raise ValueError(
                f"{self.name} cannot be filled ({' '.join(str(error).split())[:200]}); it has: task, input, "
                "demonstrations, each with input, output, task, score"
            ) from error


def sandbox(**options: Any) -> ImmutableSandboxedEnvironment:
    """Return a Jinja environment in which a template can change nothing, and an unknown name is an error.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise MissingExtraError("Jinja2", "prompts", "a Jinja template") from error
    undefined = options.pop("undefined", StrictUndefined)
    return ImmutableSandboxedEnvironment(undefined=undefined, autoescape=False, **options)


def _lines(text: str) -> list[str]:
    """Return the lines of a text with their ends; the last one has none."""
    return re.split(r"(?<=\n)", text)


def _literals(form: str) -> list[str]:
    """Return the fixed words before, between and behind the slots of a form."""
    pieces, start = [], 0
    literal = ""
    for match in _SLOT.finditer(form):
        literal += form[start : match.start()]
        start = match.end()
        if match[2]:
            pieces.append(literal)
            literal = ""
        else:
            literal += f"{{{match[1]}}}"
    return [*pieces, literal + form[start:]]


def _fill(form: str, slots: dict[str, str]) -> str:
    """Return ``form`` with its slots filled in one pass: what a text brings along is not a slot."""
    return _SLOT.sub(lambda match: f"{{{match[1]}}}" if match[1] else slots[match[2]], form)


def _slots(example: Demonstration, escape: Escape) -> dict[str, Any]:
    return {"input": escape(example.input), "output": escape(example.output), "task": escape(example.task)}


def _check_slots(name: str, form: str, allowed: Collection[str], *, needed: Collection[str]) -> None:
    used = {match[2] for match in _SLOT.finditer(form) if match[2]}
    if unknown := sorted(used - set(allowed)):
        have = ", ".join(f"{{{slot}}}" for slot in allowed)
        shown = ", ".join(f"{{{slot}}}" for slot in unknown)
        raise ValueError(f"the {name} template has the slot {shown}; there is: {have} (a literal one: {{{{word}}}})")
    if missing := [slot for slot in needed if slot not in used]:
        raise ValueError(f"the {name} template has no slot {{{missing[0]}}}; it is {form!r}")
