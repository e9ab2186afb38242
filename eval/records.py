"""Records of the evaluation: what is known of a task, what running it needs, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.units import Units
from instructor_search.errors import InstructorSearchError
from instructor_search.instructions import InstructionPair

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel


class EvalDataError(InstructorSearchError):
    """Evaluation data is missing, malformed, or cannot give a score; the message names file and line."""


class Category(StrEnum):
    """The nine task categories of the INSTRUCTOR paper (section 2.3, table 1)."""

    RETRIEVAL = "retrieval"
    RERANKING = "reranking"
    CLUSTERING = "clustering"
    PAIR_CLASSIFICATION = "pair-classification"
    CLASSIFICATION = "classification"
    STS = "sts"
    SUMMARIZATION = "summarization"
    PROMPT_RETRIEVAL = "prompt-retrieval"
    BILLBOARD = "billboard"


MTEB_CATEGORIES = tuple(Category)[:7]


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What is known of a task before its data is read."""

    name: str
    category: Category
    metric: str  # name of the main score
    instruction: InstructionPair
    variants: Mapping[str, InstructionPair]  # "none", "tag", "short", "detailed", "paraphrase-1" ... "paraphrase-5"
    domain: str
    is_specialised: bool  # a domain with a language of its own; for the domain-shift study
    revision: str  # of the data: a hub revision, or a hash of the files
    source: str  # "hub", "local" or "bundled"
    num_bytes: int  # of the data on disk; 0: not known
    published_name: str | None = None  # the MTEB task that published scores are compared with
    task_description: str = ""  # what a language model is asked to do, of a local set

    @property
    def is_symmetric(self) -> bool:
        """Whether both sides have one instruction."""
        return self.instruction.query == self.instruction.document

    def sides(self, variant: str) -> InstructionPair:
        """Return the instructions under a variant: "default", or a name of ``variants``."""
        return self.instruction if variant == "default" else self.variants[variant]


@dataclass
class Outcome:
    """Scores of a task. ``scores`` has "main_score" and whatever else the task measures, all from 0 to 1."""

    scores: dict[str, Any]
    units: Units | None
    notes: list[str] = field(default_factory=list)  # what a reader of the score must know
    metric: str | None = None  # what the main score is, where it is not what TaskInfo says
    facts: dict[str, Any] = field(default_factory=dict)  # more of what made it
    split: str = "test"
    subset: str = "default"


@dataclass
class Context:
    """What tasks need beside the system that they evaluate."""

    folder: Path  # for temporary files
    seed: int = 42
    cluster_seeds: int = 1  # of k-means, over which a clustering score is a mean
    num_demonstrations: int = 8
    selector: str = "nearest"
    prompt_tokens: int = 1000
    llm: LanguageModel | None = None
    on_texts: Callable[[int], None] | None = None  # told of texts embedded
