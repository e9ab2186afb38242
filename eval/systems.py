"""What is evaluated: our encoder, a collection, or a baseline, each named by a short specification.

all-MiniLM-L6-v2             the default model under each task's instruction
FOLDER or HUB-ID             any model that this project loads
MODEL@VARIANT                under other instructions: none, tag, short, detailed, paraphrase-1 ... paraphrase-5
st:MODEL                     a sentence-transformers model with its own prompts or prefixes; st:MODEL@none without
bm25                         words only (bm25s, stemmed); retrieval and reranking
random                       a random vector for each text: the floor
collection:MODE[+hnsw][+rerank][=MODEL[@VARIANT]]   a real collection; MODE is dense, text or hybrid; retrieval
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.baselines import Bm25, RandomEncoder, SentenceTransformersEncoder
from eval.instructions import VARIANTS, read_instruction_file
from eval.tasks.base import Category, Context, Sides, TaskInfo
from instructor_search.encoder import load_encoder
from instructor_search.encoder.cache import CachedEncoder
from instructor_search.encoder.checkpoint import DEFAULT_MODEL
from instructor_search.encoder.protocol import Encoder
from instructor_search.instructions import InstructedText
from instructor_search.integrations.mteb import CollectionSearch, MtebEncoder, model_meta
from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides
from instructor_search.search.reranking import CrossEncoderReranker, InstructionReranker, Reranker
from instructor_search.search.searcher import Mode

if TYPE_CHECKING:
    import numpy as np
    from mteb.models.model_meta import ModelMeta

ALL = frozenset(Category)
_SEARCH_ONLY = frozenset({Category.RETRIEVAL, Category.RERANKING})
_FLAGS = ("hnsw", "rerank")


@dataclass(frozen=True)
class SystemOptions:
    """What the command line says once for all systems."""

    device: str | None = None
    allow_pickle: bool = False
    instructions: str = "default"  # a variant, or a JSON file
    reranker: str | None = None  # folder or hub id of a cross-encoder, or "instruction:SENTENCE"
    cache_folder: Path | None = None  # where embeddings are kept; None: nowhere


@dataclass
class System:
    """Something that a task can be run on."""

    label: str
    variant: str  # of the instructions, or the name of the file that they are from
    meta: ModelMeta
    encoder: Encoder | None = None
    make_search: Callable[[Any], Any] | None = None  # (instruction_for) -> mteb's SearchProtocol
    categories: frozenset[Category] = ALL
    own_sides: Sides | None = None  # the same prefixes for every task, whatever its instruction
    file_sides: Mapping[str, Sides] | None = None  # by task, from a file
    facts: dict[str, Any] = field(default_factory=dict)

    def sides(self, info: TaskInfo) -> Sides:
        """Return the instructions that this system runs a task under.

        Raises:
            KeyError: the instructions are from a file, which does not name the task.
        """
        if self.own_sides is not None:
            symmetric = info.category not in _SEARCH_ONLY and info.is_symmetric
            return Sides(self.own_sides.query, self.own_sides.query if symmetric else self.own_sides.document)
        if self.file_sides is not None:
            return self.file_sides[info.name if info.name in self.file_sides else info.published_name or info.name]
        return info.sides(self.variant)

    def sides_of_part(self, info: TaskInfo, part: str) -> Sides:
        """Return the instructions of one part of an aggregate task: its own where it has one."""
        if self.own_sides is None and self.file_sides is not None and part in self.file_sides:
            return self.file_sides[part]
        if self.own_sides is None and self.variant == "default" and part in MTEB_INSTRUCTIONS:
            return Sides(*sides(part))
        return self.sides(info)

    def as_mteb(self, info: TaskInfo, chosen: Sides, context: Context) -> Any:
        """Return this system as an mteb model under the instructions of a task."""

        def instruction_for(_: str, side: str | None) -> str:
            return chosen.document if side == "document" else chosen.query

        if self.make_search is not None:
            return self.make_search(instruction_for)
        assert self.encoder is not None  # every system has one or the other
        return MtebEncoder(self.encoder, instruction_for, self.meta, on_texts=context.on_texts)

    def embed(self, texts: list[str], instruction: str, context: Context) -> np.ndarray:
        """Return float32 vectors, (n, dim)."""
        assert self.encoder is not None  # tasks that embed are not given to search-only systems
        return self.encoder.encode([InstructedText(instruction, t) for t in texts], on_batch=context.on_texts)


def make_system(specification: str, source: str, options: SystemOptions) -> System:
    """Return the system of a specification (see above) for data of ``source``; weights load with the first text.

    Raises:
        ValueError: the specification cannot be understood.
        ModelError: there is no such model.
    """
    if specification.startswith("collection:"):
        return _collection(specification, source, options)
    name, variant = _split_variant(specification, options)
    experiment = {} if source == "hub" else {"data": source}
    if name == "bm25":
        search = Bm25()
        facts = {"model": "bm25s (lucene, English stemmer and stop words)", "fingerprint": search.fingerprint,
                 "runtime": "bm25s", "precision": "fp32"}  # fmt: skip
        return System("bm25", "none", search.meta(experiment), make_search=lambda _: Bm25(),
                      categories=_SEARCH_ONLY, own_sides=Sides("", ""), facts=facts)  # fmt: skip
    if name == "random":
        no_cache = replace(options, cache_folder=None)  # drawing is faster than looking up
        return _encoder_system("random", "none", RandomEncoder(), experiment, no_cache, own_sides=Sides("", ""))
    if name.startswith("st:"):
        baseline = SentenceTransformersEncoder(name.removeprefix("st:"), device=options.device)
        own = Sides("", "") if variant == "none" else baseline.prompts
        label = f"{baseline.name}@none" if variant == "none" and any(baseline.prompts) else baseline.name
        shown = "none" if not any(own) else "prompts"
        experiment |= {} if shown == "prompts" else {"prompts": "none"}
        return _encoder_system(f"st:{label}", shown, baseline, experiment, options, own_sides=own)
    encoder = load_encoder(
        None if name in ("default", DEFAULT_MODEL) else name, device=options.device, allow_pickle=options.allow_pickle
    )
    file_sides = _file_sides(variant, encoder.name)
    shown = Path(variant).stem if file_sides else variant
    if shown != "default":
        experiment["instructions"] = shown
    label = encoder.name if shown == "default" else f"{encoder.name}@{shown}"
    return _encoder_system(label, shown, encoder, experiment, options, file_sides=file_sides)


def _encoder_system(
    label: str, variant: str, encoder: Any, experiment: dict[str, Any], options: SystemOptions, **fields: Any
) -> System:
    if encoder.precision != "fp32":
        experiment["precision"] = encoder.precision
    facts = {
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "runtime": encoder.runtime,
        "precision": encoder.precision,
        "max_tokens": encoder.max_tokens,
    }
    organisation = {"sentence-transformers": "sentence-transformers", "numpy": "baseline"}.get(encoder.runtime)
    meta = model_meta(encoder, experiment, organisation or "instructor-search")
    kept: Any = CachedEncoder(encoder, options.cache_folder) if options.cache_folder else encoder
    return System(label, variant, meta, kept, facts=facts, **fields)


def _collection(specification: str, source: str, options: SystemOptions) -> System:
    body, _, model = specification.removeprefix("collection:").partition("=")
    mode, *flags = body.split("+")
    if mode not in list(Mode) or any(f not in _FLAGS for f in flags):
        raise ValueError(
            f"{specification!r} is no collection; expected collection:MODE[+hnsw][+rerank][=MODEL], MODE one of "
            f"{', '.join(Mode)}"
        )
    system = make_system(model or "default", source, options)
    if system.own_sides is not None:
        raise ValueError(
            f"{specification!r}: {model!r} has no instructions; a collection takes a model of this project"
        )
    reranker = _reranker(options, system) if "rerank" in flags else None
    experiment = {**(system.meta.experiment_kwargs or {}), "collection": body.replace("+", "-")}
    if reranker:
        experiment["reranker"] = Path(reranker.name).name if reranker.name == options.reranker else reranker.name
    meta = system.meta.model_copy(update={"experiment_kwargs": experiment})
    folder = options.cache_folder.parent if options.cache_folder else None

    def make_search(instruction_for: Any) -> CollectionSearch:
        assert system.encoder is not None
        return CollectionSearch(
            system.encoder,
            instruction_for,
            meta,
            mode=mode,
            quantised="hnsw" in flags,
            reranker=reranker,
            folder=folder,
        )

    facts = {**system.facts, "collection": body, "reranker": reranker.name if reranker else None}
    return System(
        f"collection:{body}={system.label}", system.variant, meta, make_search=make_search,
        categories=frozenset({Category.RETRIEVAL}), file_sides=system.file_sides, facts=facts,
    )  # fmt: skip


def _reranker(options: SystemOptions, system: System) -> Reranker:
    if options.reranker is None:
        raise ValueError("+rerank needs --reranker FOLDER (a cross-encoder) or --reranker 'instruction:SENTENCE'")
    if options.reranker.startswith("instruction:"):
        assert system.encoder is not None
        sentence = options.reranker.removeprefix("instruction:").lstrip() or ""
        return InstructionReranker(system.encoder, sentence, sentence)
    return CrossEncoderReranker(options.reranker, device=options.device)


def _split_variant(specification: str, options: SystemOptions) -> tuple[str, str]:
    """Return (model, variant) of "MODEL@VARIANT"; the variant is that of the options where none is given."""
    name, separator, variant = specification.rpartition("@")
    if not separator:
        return specification, options.instructions
    if variant not in VARIANTS and not variant.endswith(".json"):
        raise ValueError(
            f"{specification!r}: no variant {variant!r}; expected one of {', '.join(VARIANTS)}, or a JSON file"
        )
    return name, variant


def _file_sides(variant: str, model: str) -> Mapping[str, Sides] | None:
    """Return the instructions of a JSON file; where it has them for several sizes, those of the model's size."""
    if not variant.endswith(".json"):
        return None
    size = next((s for s in ("base", "large", "xl") if model.endswith(f"-{s}")), None)
    return read_instruction_file(Path(variant).expanduser(), size)
