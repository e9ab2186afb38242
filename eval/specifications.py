"""Short specifications of systems.

- ``default``, a folder or a hub id: a model that this project loads, each task under its own instruction
- ``MODEL@VARIANT``: under other instructions: none, tag, short, detailed, paraphrase-1 ... paraphrase-5, FILE.json
- ``st:MODEL``: a sentence-transformers model with its own prompts or prefixes; ``st:MODEL@none`` without
- ``bm25``: words only (bm25s, stemmed); retrieval and reranking
- ``random``: a random vector for each text: the floor
- ``collection:MODE[+hnsw][+rerank][=MODEL[@VARIANT]]``: a real collection, MODE dense, text or hybrid; retrieval
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from eval.baselines import Bm25, RandomEncoder, SentenceTransformersEncoder, model_path
from eval.instructions import VARIANTS, read_instruction_file
from eval.local_data import revision_of
from eval.records import Category, TaskInfo
from eval.systems import ALL, SEARCH_CATEGORIES, System
from instructor_search.encoder.cache import CachedEncoder
from instructor_search.encoder.options import EncoderOptions
from instructor_search.instructions import InstructionPair
from instructor_search.integrations.mteb import InstructionFor, model_meta
from instructor_search.integrations.mteb_search import CollectionSearch
from instructor_search.search.ranking import Mode
from instructor_search.search.reranking import CrossEncoderReranker, Reranker, make_reranker

_FLAGS = ("hnsw", "rerank")


@dataclass(frozen=True)
class SystemOptions:
    """What the command line says once for all systems."""

    encoder: EncoderOptions = EncoderOptions(precision="fp32")
    instructions: str = "default"  # a variant, or a JSON file
    reranker: str | None = None  # folder or hub id of a cross-encoder, or "instruction:SENTENCE"
    cache_folder: Path | None = None  # where embeddings are kept; None: nowhere
    extras: Mapping[str, str] = field(
        default_factory=dict
    )  # what else makes the scores of all systems: a language model


def check_specification(specification: str, options: SystemOptions) -> None:
    """Refuse what can be refused without loading weights.

    Raises:
        ValueError: the specification cannot be understood.
        ModelError, EvalDataError: its model or its file of instructions is not there.
    """
    if specification.startswith("st:"):
        model_path(_split_variant(specification, options)[0].removeprefix("st:"))
    elif not specification.startswith("collection:") or "+rerank" not in specification:
        make_system(specification, "hub", replace(options, cache_folder=None))  # weights load with the first text


def make_system(specification: str, source: str, options: SystemOptions) -> System:
    """Return the system of a specification for data of ``source``; weights of our own load with the first text.

    Raises:
        ValueError: the specification cannot be understood.
        ModelError: there is no such model.
    """
    if specification.startswith("collection:"):
        return _collection(specification, source, options)
    name, variant = _split_variant(specification, options)
    experiment = ({} if source == "hub" else {"data": source}) | dict(options.extras)
    if name == "bm25":
        return _bm25(experiment, options)
    if name == "random":
        no_cache = replace(options, cache_folder=None)  # drawing is faster than looking up
        return _encoder_system(name, "none", RandomEncoder(), experiment, no_cache, prefixes=_no_prefixes)
    if name.startswith("st:"):
        return _sentence_transformers(name.removeprefix("st:"), variant, experiment, options)
    return _own_model(name, variant, experiment, options)


def _no_prefixes(_: TaskInfo) -> InstructionPair:
    return InstructionPair("", "")


def _bm25(experiment: dict[str, Any], options: SystemOptions) -> System:
    search = Bm25()
    system_facts = {
        "model": "bm25s (lucene, English stemmer and stop words)",
        "fingerprint": search.fingerprint,
        "runtime": "bm25s",
        "precision": "fp32",
    }
    return System(
        _label("bm25", options),
        "none",
        search.meta(experiment),
        make_search=lambda *_: Bm25(),
        categories=SEARCH_CATEGORIES,
        prefixes=_no_prefixes,
        facts=system_facts,
    )


def _own_model(name: str, variant: str, experiment: dict[str, Any], options: SystemOptions) -> System:
    encoder = replace(options.encoder, model=name).open()
    file_sides, shown = _file_sides(variant, encoder.name)
    if shown != "default":
        experiment["instructions"] = shown
    label = encoder.name if shown == "default" else f"{encoder.name}@{shown}"
    return _encoder_system(label, shown, encoder, experiment, options, file_sides=file_sides)


def _sentence_transformers(name: str, variant: str, experiment: dict[str, Any], options: SystemOptions) -> System:
    baseline = SentenceTransformersEncoder(name, device=options.encoder.device)
    if variant == "none" and baseline.has_prompts:
        experiment["prompts"] = "none"
        label = f"st:{baseline.name}@none"
        return _encoder_system(label, "none", baseline, experiment, options, prefixes=_no_prefixes)
    shown = "prompts" if baseline.has_prompts else "none"
    return _encoder_system(f"st:{baseline.name}", shown, baseline, experiment, options, prefixes=baseline.prompts_for)


def _encoder_system(
    label: str, variant: str, encoder: Any, experiment: dict[str, Any], options: SystemOptions, **fields: Any
) -> System:
    if encoder.precision != "fp32":
        experiment["precision"] = encoder.precision
    system_facts = {
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "runtime": encoder.runtime,
        "precision": encoder.precision,
        "max_tokens": encoder.max_tokens,
    }
    organisation = {"sentence-transformers": "sentence-transformers", "numpy": "baseline"}.get(encoder.runtime)
    meta = model_meta(encoder, experiment, organisation or "instructor-search")
    kept: Any = CachedEncoder(encoder, options.cache_folder) if options.cache_folder else encoder
    return System(_label(label, options), variant, meta, kept, categories=ALL, facts=system_facts, **fields)


def _label(label: str, options: SystemOptions) -> str:
    return "".join([label, *(f"+{name}={value}" for name, value in options.extras.items())])


def _collection(specification: str, source: str, options: SystemOptions) -> System:
    body, mode, flags, model = _split_collection(specification)
    system = make_system(model or "default", source, options)
    reranker = _reranker(options, system) if "rerank" in flags else None
    experiment = {**(system.meta.experiment_kwargs or {}), "collection": body.replace("+", "-")}
    if reranker:
        as_given = reranker.name == options.reranker
        experiment["reranker"] = Path(reranker.name).name if as_given else reranker.name
    meta = system.meta.model_copy(update={"experiment_kwargs": experiment})

    def make_search(instruction_for: InstructionFor, folder: Path) -> CollectionSearch:
        assert system.encoder is not None  # _split_collection looked
        return CollectionSearch(
            system.encoder,
            instruction_for,
            meta,
            mode=mode,
            quantised="hnsw" in flags,
            reranker=reranker,
            folder=folder,
        )

    return System(
        f"collection:{body}={system.label}",
        system.variant,
        meta,
        make_search=make_search,
        categories=frozenset({Category.RETRIEVAL}),
        file_sides=system.file_sides,
        facts={**system.facts, "collection": body, **_reranker_facts(reranker)},
    )


class _CollectionParts(NamedTuple):
    body: str  # MODE[+hnsw][+rerank]
    mode: str
    flags: Sequence[str]
    model: str  # MODEL[@VARIANT], or nothing


def _split_collection(specification: str) -> _CollectionParts:
    """Return the parts of "collection:MODE[+hnsw][+rerank][=MODEL[@VARIANT]]".

    Raises:
        ValueError: it has another form, or names a model without instructions.
    """
    body, _, model = specification.removeprefix("collection:").partition("=")
    mode, *flags = body.split("+")
    if mode not in list(Mode) or any(f not in _FLAGS for f in flags):
        raise ValueError(
            f"{specification!r} is no collection; expected collection:MODE[+hnsw][+rerank][=MODEL], MODE one of "
            f"{', '.join(Mode)}"
        )
    if model.startswith("collection:") or model.partition("@")[0] in ("bm25", "random") or model.startswith("st:"):
        raise ValueError(f"{specification!r}: {model!r} has no instructions; expected a model of this project")
    return _CollectionParts(body, mode, flags, model)


def _reranker(options: SystemOptions, system: System) -> Reranker:
    if options.reranker is None:
        raise ValueError("+rerank needs --reranker FOLDER (a cross-encoder) or --reranker 'instruction:SENTENCE'")
    return make_reranker(options.reranker, system.encoder, device=options.encoder.device)


def _reranker_facts(reranker: Reranker | None) -> dict[str, str | None]:
    reranker_facts = {"reranker": reranker.name if reranker else None}
    if isinstance(reranker, CrossEncoderReranker) and Path(reranker.name).is_dir():
        reranker_facts["reranker_files"] = revision_of(Path(reranker.name))
    return reranker_facts


def _split_variant(specification: str, options: SystemOptions) -> tuple[str, str]:
    """Return (model, variant) of "MODEL@VARIANT"; the variant is that of the options where none is given.

    Raises:
        ValueError: no model is named, or the variant is neither a known one nor a JSON file.
    """
    name, separator, variant = specification.rpartition("@")
    if not separator:
        name, variant = specification, options.instructions
    if not name or name == "st:":
        raise ValueError(f"{specification!r} names no model; expected MODEL or MODEL@VARIANT, e.g. default@none")
    if variant not in VARIANTS and not variant.endswith(".json"):
        raise ValueError(
            f"{specification!r}: no variant {variant!r}; expected one of {', '.join(VARIANTS)}, or a JSON file"
        )
    return name, variant


def _file_sides(variant: str, model: str) -> tuple[Mapping[str, InstructionPair] | None, str]:
    """Return the instructions of a JSON file and its short name; where it has several sizes, those of the model's.

    The name carries a hash of the contents: another file, or the same one edited, makes another run.
    """
    if not variant.endswith(".json"):
        return None, variant
    path = Path(variant).expanduser()
    size = next((s for s in ("base", "large", "xl") if model.endswith(f"-{s}")), None)
    pairs = read_instruction_file(path, size)
    return pairs, f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:6]}"
