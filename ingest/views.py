"""Which encoder and which view a run is about."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ingest.config import IngestConfig
from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import StoreError
from instructor_search.instruction_rule import name_of, resolve
from instructor_search.instructions import Instruction
from instructor_search.store.collection import Collection
from instructor_search.store.manifest import DEFAULT_VIEW, View
from instructor_search.store.table import CollectionTable
from instructor_search.store.view_encoder import load_view_encoder


class Encoders:
    """The encoders of a run by fingerprint: the target's, and those of the collection's other views."""

    def __init__(self, config: IngestConfig, given: Encoder | None, existing: Collection | None) -> None:
        """Open the target's encoder (its weights load later): given, named by the config, or the collection's own."""
        self.config = config
        self.seconds = 0.0  # spent on loading weights
        self.by_fingerprint: dict[str, Encoder] = {}
        if given is not None:
            self.target = given
        elif existing and existing.manifest.views and config.model is None:
            views = existing.manifest.views
            view = views.get(config.view or DEFAULT_VIEW) or next(iter(views.values()))
            if config.dialect not in (None, view.dialect):
                raise StoreError(
                    f"collection {existing.name!r} joins instruction and text by dialect {view.dialect!r}, not "
                    f"{config.dialect!r}; give --model and --view NAME for a second view, or another --collection"
                )
            self.target = self.of_view(view)
        else:
            self.target = self._open(config.precision)
            views = existing.manifest.views if existing else {}
            same = [v for v in views.values() if v.fingerprint == self.target.fingerprint]
            if same:  # the model's other views say in which precision it runs here
                self.target = self.of_view(same[0])
        if given is None and config.precision not in (None, self.target.precision):
            raise StoreError(
                f"the vectors of {self.target.name} in this collection are in {self.target.precision}; those in "
                f"{config.precision} are not mixed with them: leave --precision out, or use another --collection"
            )
        self.by_fingerprint[self.target.fingerprint] = self.target

    def _open(self, precision: str | None) -> Encoder:
        config = self.config
        return load_encoder(
            config.model,
            device=config.device,
            runtime=config.runtime,
            precision=precision,
            dialect=config.dialect or "pypi",
            allow_pickle=config.allow_pickle,
        )

    def of_view(self, view: View) -> Encoder:
        """Return the encoder that made a view.

        Raises:
            StoreError: the model is another one now.
        """
        if view.fingerprint not in self.by_fingerprint:
            encoder = load_view_encoder(view, device=self.config.device, runtime=self.config.runtime)
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


def choose_instruction(config: IngestConfig, existing: Collection | None) -> str:
    """Return the document instruction: the one given, else the existing view's, else none."""
    if config.instruction is not None:
        return resolve(config.instruction, "document")
    if existing and existing.manifest.views:
        views = existing.manifest.views
        return (views.get(config.view or DEFAULT_VIEW) or next(iter(views.values()))).document_instruction
    return ""


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
            encoders.target, self.instruction, self.name, model=self.model, allow_pickle=encoders.config.allow_pickle
        )


def plan_view(existing: Collection | None, encoders: Encoders, instruction: str) -> PlannedView:
    """Return the view of the target encoder and this instruction, or the one that has to be made.

    Raises:
        StoreError: the name is taken by another instruction or model, or another model needs a name of its own.
    """
    config, encoder = encoders.config, encoders.target
    views = existing.manifest.views if existing else {}
    found = existing.find_view(encoder.fingerprint, instruction) if existing else None
    if found and config.view in (None, found.name):
        return PlannedView(found.name, instruction, found.model, is_new=False)
    name = config.view or (DEFAULT_VIEW if not views else _new_name(views, instruction, config))
    if existing and name in views:
        other = views[name]
        raise StoreError(
            f"view {name!r} of {existing.name!r} has the instruction {other.document_instruction!r} and the "
            f"model {other.model} (fingerprint {other.fingerprint}), not {instruction!r} and {encoder.name} "
            f"({encoder.fingerprint}); give a new --view name"
        )
    if existing and views and config.view is None and all(v.fingerprint != encoder.fingerprint for v in views.values()):
        first = next(iter(views.values()))
        raise StoreError(
            f"collection {existing.name!r} was made with {first.model} (fingerprint {first.fingerprint}), not "
            f"with {encoder.name} ({encoder.fingerprint}); add --view NAME, or use another --collection"
        )
    return PlannedView(name, instruction, _model_name(views, encoder, config), is_new=True)


def _model_name(views: dict[str, View], encoder: Encoder, config: IngestConfig) -> str:
    """Return what will load this encoder again: a folder's absolute path, or a hub id."""
    if config.model is None:
        known = {v.fingerprint: v.model for v in views.values()}
        return known.get(encoder.fingerprint, encoder.name)
    folder = Path(config.model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else config.model


def _new_name(views: dict[str, View], instruction: str, config: IngestConfig) -> str:
    """Return a name made of the library's name or of the instruction's objective."""
    words = name_of(config.instruction) or Instruction.parse(instruction).task_objective or instruction or "plain"
    base = "-".join("".join(c if c.isalnum() else " " for c in words).lower().split()[:4]) or "view"
    name, number = base, 2
    while name in views:
        name, number = f"{base}-{number}", number + 1
    return name
