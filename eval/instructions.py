"""Instructions of evaluation tasks and their variants: none, less detail, paraphrases, or those of a file.

Variants are what the paper's studies compare: five paraphrases (section 4.2), four steps of detail (section 4.3),
with and without (section 4.1). A set's meta.json brings its own; otherwise they are made from the template's slots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.records import Category, EvalDataError
from instructor_search.instructions import Instruction, InstructionPair

PARAPHRASES = tuple(f"paraphrase-{n}" for n in range(1, 6))
LADDER = ("none", "tag", "short", "detailed")
VARIANTS = ("default", *LADDER, *PARAPHRASES)

# For a set that brings no instruction of its own.
CATEGORY_INSTRUCTIONS = {
    Category.RETRIEVAL: InstructionPair(
        "Represent the question for retrieving supporting documents: ", "Represent the document for retrieval: "
    ),
    Category.RERANKING: InstructionPair(
        "Represent the question for ranking passages that answer it: ", "Represent the passage for ranking: "
    ),
    Category.CLUSTERING: InstructionPair(*["Represent the text for clustering by topic: "] * 2),
    Category.PAIR_CLASSIFICATION: InstructionPair(*["Represent the sentence for detecting paraphrases: "] * 2),
    Category.CLASSIFICATION: InstructionPair(*["Represent the text for classification: "] * 2),
    Category.STS: InstructionPair(*["Represent the sentence for measuring semantic similarity: "] * 2),
    Category.SUMMARIZATION: InstructionPair(*["Represent the summary for comparing it with human summaries: "] * 2),
    Category.PROMPT_RETRIEVAL: InstructionPair(*["Represent the example for retrieving similar examples: "] * 2),
    Category.BILLBOARD: InstructionPair(*["Represent the sentence for comparing it with reference sentences: "] * 2),
}
# Domains whose texts have a language of their own; the others are news, encyclopedias, reviews, talk.
SPECIALISED_DOMAINS = frozenset(
    {
        "aerodynamics",
        "astronomy",
        "banking",
        "biology",
        "biomedical",
        "chemistry",
        "civil engineering",
        "command-line",
        "computational linguistics",
        "COVID-19",
        "electronics and physics",
        "engineering",
        "financial",
        "geography",
        "information science",
        "law",
        "legal",
        "mathematics",
        "medical",
        "physics",
        "programming",
        "scientific",
        "software",
    }
)
_FRAMES = (
    "Encode the {what} for {objective}: ",
    "Produce an embedding of the {what} that is useful for {objective}: ",
    "For {objective}, represent this {what}: ",
    "Represent the {what} in the way that best serves {objective}: ",
    "Turn the {what} into a vector for {objective}: ",
)


def derived_variants(name: str, instruction: InstructionPair) -> dict[str, InstructionPair]:
    """Return ladder and paraphrases made from the slots of both instructions."""
    ladder = {
        "none": InstructionPair("", ""),
        "tag": InstructionPair(*[f"{name}: "] * 2),
        "short": InstructionPair(*(f"{_what(text)}: " for text in instruction)),
        "detailed": instruction,
    }
    paraphrased = {
        variant: InstructionPair(*(_paraphrase(frame, text) for text in instruction))
        for variant, frame in zip(PARAPHRASES, _FRAMES, strict=True)
    }
    return ladder | paraphrased


def _what(text: str) -> str:
    slots = Instruction.parse(text)
    return " ".join(part for part in (slots.domain, slots.text_type) if part) or "text"


def _paraphrase(frame: str, text: str) -> str:
    objective = Instruction.parse(text).task_objective or "comparing it with others"
    return frame.format(what=_what(text), objective=objective)


def read_sides(value: Any, where: str) -> InstructionPair:
    """Return the instructions of {"text"} or {"query", "doc"}, as meta.json has them.

    Raises:
        EvalDataError: it is of another form.
    """
    if isinstance(value, str):
        return InstructionPair(value, value)
    if isinstance(value, Mapping):
        document = value.get("doc", value.get("document", value.get("corpus")))
        if isinstance(value.get("text"), str):
            return InstructionPair(value["text"], value["text"])
        if isinstance(value.get("query"), str) and isinstance(document, str):
            return InstructionPair(value["query"], document)
    raise EvalDataError(f'{where}: {json.dumps(value)[:80]}; expected {{"text": ...}} or {{"query": ..., "doc": ...}}')


def from_meta(
    name: str, category: Category, meta: Mapping[str, Any], where: str
) -> tuple[InstructionPair, dict[str, InstructionPair]]:
    """Return instruction and variants of a set; what its meta.json does not say is derived.

    Raises:
        EvalDataError: an instruction or a step is of another form.
    """
    given = meta.get("instruction")
    instruction = CATEGORY_INSTRUCTIONS[category] if given is None else read_sides(given, f"{where}, instruction")
    variants = derived_variants(name, instruction)
    for key in ("ladder", "paraphrases"):
        given = meta.get(key, [])
        if not isinstance(given, list) or not all(isinstance(item, Mapping | str) for item in given):
            raise EvalDataError(f"{where}: {key} is {json.dumps(given)[:60]}; expected a list of instructions")
    for step in meta.get("ladder", []):
        if not isinstance(step, Mapping) or step.get("name") not in LADDER:
            given = step.get("name") if isinstance(step, Mapping) else step
            raise EvalDataError(
                f"{where}: a ladder step is {json.dumps(given)[:60]}; expected objects with a name of "
                f"{', '.join(LADDER)}"
            )
        variants[step["name"]] = read_sides(step, f"{where}, ladder step {step['name']}")
    for variant, paraphrase in zip(PARAPHRASES, meta.get("paraphrases", []), strict=False):
        variants[variant] = read_sides(paraphrase, f"{where}, {variant}")
    return instruction, variants


def read_instruction_file(path: Path, size: str | None = None) -> dict[str, InstructionPair]:
    """Return task name -> instructions of a JSON file.

    Two forms: {TASK: {"text"} or {"query", "doc"}}, or the nested one of recorded instructions per model size, where
    "datasets" hold TASK -> "instructions" -> "base", "large" or "xl"; ``size`` chooses, "large" if None.

    Raises:
        EvalDataError: the file cannot be read or is of another form.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvalDataError(f"{path} cannot be read as instructions ({error}); expected a JSON object") from error
    pairs: dict[str, InstructionPair] = {}
    _collect(values, size or "large", str(path), pairs)
    if not pairs:
        raise EvalDataError(f"{path} names no task with an instruction")
    return pairs


def _collect(values: Any, size: str, where: str, pairs: dict[str, InstructionPair]) -> None:
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(value.get("instructions"), Mapping):
            by_size = value["instructions"]
            if size in by_size:
                pairs[name] = read_sides(by_size[size], f"{where}, {name}")
        elif isinstance(value, Mapping) and (isinstance(value.get("text"), str) or isinstance(value.get("query"), str)):
            pairs[name] = read_sides(value, f"{where}, {name}")
        else:
            _collect(value, size, where, pairs)
