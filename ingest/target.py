"""What a run writes into: which collection, which view, which encoders."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ingest.config import IngestConfig
from instructor_search.encoder.options import EncoderOptions
from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import CollectionNotFoundError, StoreError
from instructor_search.instruction_rule import GivenInstruction, name_of, resolve
from instructor_search.instructions import Instruction
from instructor_search.store.collection import Collection
from instructor_search.store.manifest import DEFAULT_VIEW, View
from instructor_search.store.table import CollectionTable
from instructor_search.store.view_encoder import load_view_encoder


class Encoders:
    """The encoders of a run by fingerprint: the target's, and those of the collection's other views."""

    def __init__(
        self, options: EncoderOptions, given: Encoder | None, existing: Collection | None, view: str | None
    ) -> None:
        """Open the target's encoder (its weights load later): given, named by the options, or the collection's own."""
        self.options = options
        self.seconds = 0.0  # spent on loading weights
        self.by_fingerprint: dict[str, Encoder] = {}
        self._load_view = partial(load_view_encoder, device=options.device, runtime=options.runtime)
        self.target = given or (self._own(existing, view) if options.model is None else None) or self._named(existing)
        if given is None and options.precision not in (None, self.target.precision):
            raise StoreError(
                f"the vectors of {self.target.name} in this collection are in {self.target.precision}; those in "
                f"{options.precision} are not mixed with them: leave --precision out, or use another --collection"
            )
        self.by_fingerprint[self.target.fingerprint] = self.target

    def _own(self, existing: Collection | None, name: str | None) -> Encoder | None:
        """Return the encoder of the collection's view, if it has one."""
        if not (existing and existing.manifest.views):
            return None
        view = _view_of(existing, name)
        if self.options.dialect not in (None, view.dialect):
            raise StoreError(
                f"collection {existing.name!r} joins instruction and text by dialect {view.dialect!r}, not "
                f"{self.options.dialect!r}; give --model and --view NAME for a second view, or another --collection"
            )
        return self.of_view(view)

    def _named(self, existing: Collection | None) -> Encoder:
        """Return the encoder that the options name; the model's other views say in which precision it runs here."""
        opened = self.options.open()
        views = existing.manifest.views.values() if existing else ()
        same = next((view for view in views if view.fingerprint == opened.fingerprint), None)
        return self.of_view(same) if same else opened

    def of_view(self, view: View) -> Encoder:
        """Return the encoder that made a view.

        Raises:
            StoreError: the model is another one now.
        """
        if view.fingerprint not in self.by_fingerprint:
            encoder = self._load_view(view)
            if encoder.fingerprint != view.fingerprint:
                raise StoreError(
                    f"view {view.name!r} was made by {view.model} (fingerprint {view.fingerprint}), and {view.model} "
                    f"now has {encoder.fingerprint}: the model changed; restore it, or ingest into a new --collection"
                )
            self.by_fingerprint[encoder.fingerprint] = encoder
        return self.by_fingerprint[view.fingerprint]

    def load(self, encoder: Encoder) -> None:
        """Load an encoder's weights; the time is kept, so that it does not count as embedding."""
        started = time.perf_counter()
        encoder.load()
        self.seconds += time.perf_counter() - started

    def load_all(self) -> None:
        """Load the weights of every encoder of the run."""
        for encoder in self.by_fingerprint.values():
            self.load(encoder)


def choose_instruction(given: GivenInstruction, existing: Collection | None, view: str | None) -> str:
    """Return the document instruction: the one given, else the existing view's, else none."""
    if given is not None:
        return resolve(given, "document")
    if existing and existing.manifest.views:
        return _view_of(existing, view).document_instruction
    return ""


def _view_of(collection: Collection, name: str | None) -> View:
    """Return the view of a name, or the first."""
    views = collection.manifest.views
    return views.get(name or DEFAULT_VIEW) or next(iter(views.values()))


@dataclass(frozen=True)
class PlannedView:
    """The view that a run is about: one that there is, or one to be made."""

    name: str
    instruction: str
    model: str
    is_new: bool

    def made_in(self, collection: CollectionTable, encoders: Encoders) -> View:
        """Return the view; it is made where there is none, once its model could be loaded."""
        if not self.is_new:
            return collection.view(self.name)
        encoders.load(encoders.target)  # a model or device that fails does so before the view is made
        return collection.add_view(
            encoders.target, self.instruction, self.name, model=self.model, allow_pickle=encoders.options.allow_pickle
        )


@dataclass(frozen=True)
class Target:
    """What a run writes into: the collection, if there is one, its view, and the encoders of all its views."""

    name: str
    store: str | None
    existing: Collection | None
    encoders: Encoders
    view: PlannedView
    seen: tuple[Any, ...]  # the collection as it was: another process may write before the run does


def choose_target(config: IngestConfig, given: Encoder | None) -> Target:
    """Return what a run writes into; ``given`` replaces the configuration's encoder. Nothing is written.

    Raises:
        StoreError: the collection refuses: another model, or the name of the view is taken.
    """
    existing = _open(config.collection_name, config.store)
    instruction = choose_instruction(config.instruction, existing, config.view)
    words = name_of(config.instruction)
    encoders = Encoders(config.encoder_options, given, existing, config.view)
    view = plan_view(existing, encoders, instruction, config.view, words)
    for other in existing.manifest.views.values() if existing else ():
        encoders.of_view(other)
    return Target(config.collection_name, config.store, existing, encoders, view, seen_of(existing))


def seen_of(collection: CollectionTable | None) -> tuple[Any, ...]:
    """Return what changes with every write to a collection."""
    return (collection.manifest, collection.chunks.version, collection.sources_table.version) if collection else ()


def _open(name: str, store: str | None) -> Collection | None:
    try:
        return Collection.open(name, store)
    except CollectionNotFoundError:
        return None


def plan_view(
    existing: Collection | None, encoders: Encoders, instruction: str, asked: str | None, words: str | None
) -> PlannedView:
    """Return the view of the target encoder and this instruction, or the one that has to be made.

    ``asked``: the name that it must have; ``words``: what to call it otherwise, None: its objective.

    Raises:
        StoreError: the name is taken by another instruction or model, or another model needs a name of its own.
    """
    encoder = encoders.target
    views = existing.manifest.views if existing else {}
    view = existing.find_view(encoder.fingerprint, instruction) if existing else None
    if view and asked in (None, view.name):
        return PlannedView(view.name, instruction, view.model, is_new=False)
    name = asked or (DEFAULT_VIEW if not views else _new_name(views, instruction, words))
    if existing and name in views:
        other = views[name]
        raise StoreError(
            f"view {name!r} of {existing.name!r} has the instruction {other.document_instruction!r} and the "
            f"model {other.model} (fingerprint {other.fingerprint}), not {instruction!r} and {encoder.name} "
            f"({encoder.fingerprint}); give a new --view name"
        )
    if existing and views and asked is None and all(v.fingerprint != encoder.fingerprint for v in views.values()):
        first = next(iter(views.values()))
        raise StoreError(
            f"collection {existing.name!r} was made with {first.model} (fingerprint {first.fingerprint}), not "
            f"with {encoder.name} ({encoder.fingerprint}); add --view NAME, or use another --collection"
        )
    return PlannedView(name, instruction, _model_name(views, encoders), is_new=True)


def _model_name(views: dict[str, View], encoders: Encoders) -> str:
    """Return what will load the target's encoder again: a folder's absolute path, or a hub id."""
    model, encoder = encoders.options.model, encoders.target
    if model is None:
        known = {v.fingerprint: v.model for v in views.values()}
        return known.get(encoder.fingerprint, encoder.name)
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _new_name(views: dict[str, View], instruction: str, words: str | None) -> str:
    """Return a name made of the library's name or of the instruction's objective."""
    words = words or Instruction.parse(instruction).task_objective or instruction or "plain"
    base = "-".join("".join(c if c.isalnum() else " " for c in words).lower().split()[:4]) or "view"
    name, number = base, 2
    while name in views:
        name, number = f"{base}-{number}", number + 1
    return name
