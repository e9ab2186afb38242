"""What one run of ingest is asked to do."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ingest.readers import EMBED
from instructor_search.encoder.options import EncoderOptions
from instructor_search.errors import ReaderError
from instructor_search.instruction_rule import GivenInstruction
from instructor_search.store.folders import NAME_RULE


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """One run.

    ``instruction``: see ``instruction_rule.resolve``; but None: bring every view up to date, or plain embedding for a
    new collection.
    """

    paths: tuple[Path, ...]
    collection: str | None = None
    store: str | None = None
    instruction: GivenInstruction = None
    view: str | None = None
    model: str | None = None
    dialect: str | None = None
    device: str | None = None
    runtime: str | None = None
    precision: str | None = None
    allow_pickle: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    text_fields: tuple[str, ...] = ()
    examples: bool = False  # rows are examples for prompts; None of their fields: those of the pool that there is
    input_field: str | None = None
    output_field: str | None = None
    task_field: str | None = None
    embed: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prune: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything."""
        missing = [str(p) for p in self.paths if not p.exists()]
        if not self.paths or (missing and not self.prune):  # what is gone may be named to prune it
            what = f"no such file or folder: {', '.join(missing)}" if missing else "no file or folder was given"
            raise ReaderError(f"{what}; expected: python -m ingest FOLDER --instruction")
        self._check_examples()

    def _check_examples(self) -> None:
        given = next(iter(self.given_example_fields), None)
        if given and not self.examples:
            raise ReaderError(f"--{given.replace('_', '-')} is for a pool of examples; add --examples")
        if self.embed is not None and self.embed not in EMBED:
            raise ReaderError(f"--embed is {self.embed!r}; expected {' or '.join(EMBED)}")
        for flag, value in (
            ("--text-field", self.text_fields),
            ("--chunk-tokens", self.chunk_tokens),
            ("--chunk-overlap", self.chunk_overlap),
        ):
            if self.examples and value:
                raise ReaderError(f"{flag} does not go with --examples: an example is one row and is never cut")

    @property
    def encoder_options(self) -> EncoderOptions:
        """The model and how it runs."""
        return EncoderOptions(
            model=self.model,
            device=self.device,
            runtime=self.runtime,
            precision=self.precision,
            dialect=self.dialect,
            allow_pickle=self.allow_pickle,
        )

    @property
    def given_example_fields(self) -> dict[str, str]:
        """The columns of an example pool that were named."""
        names = ("input_field", "output_field", "task_field", "embed")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def collection_name(self) -> str:
        """The name asked for, or one made of the first folder's name, without accents.

        Raises:
            ReaderError: nothing of that folder's name can stand in a collection's.
        """
        if self.collection is not None:
            return self.collection
        first = self.paths[0].resolve()
        is_file = first.is_file() or (not first.exists() and bool(first.suffix))  # gone: its name tells
        folder = first.parent.name if is_file else first.name
        plain = "".join(c for c in unicodedata.normalize("NFKD", folder) if not unicodedata.combining(c))
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-._")[:64]
        if not name:
            raise ReaderError(f"no collection can be called {folder!r} (expected {NAME_RULE}); add --collection NAME")
        return name
