"""What a run of ingest will do, resolved and checked before anything is written: ``python -m ingest ... --dry-run``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ingest.changes import Changes, find_changes
from ingest.config import IngestConfig
from ingest.cutting import Cutting, choose_cutting
from ingest.discovery import find_files
from ingest.report import grouped, some
from ingest.target import Target, choose_target
from instructor_search.commands.parser import counted
from instructor_search.encoder.protocol import Encoder


@dataclass(frozen=True)
class Plan:
    """A run: what it writes into, how files are cut, and which files; all of it resolved."""

    target: Target
    cutting: Cutting
    changes: Changes
    prune: bool
    strict: bool
    anew: Callable[[], Plan]  # plans the same run again, after another process wrote
    started: float = field(default_factory=time.perf_counter)

    def as_json(self) -> dict[str, Any]:
        """Return the plan for programs."""
        target, changes, added = self.target, self.changes, sum(not file.is_known for file in self.changes.to_read)
        chunker, options = self.cutting.chunker, self.cutting.options
        return {
            "collection": target.name,
            "is_new": target.existing is None,
            "view": target.view.name,
            "view_is_new": target.view.is_new,
            "model": target.view.model,
            "document_instruction": target.view.instruction,
            "chunk_tokens": chunker.max_tokens,
            "chunk_overlap": chunker.overlap,
            "text_fields": list(options.text_fields),
            "examples": None if options.examples is None else vars(options.examples),
            "to_add": added,
            "to_change": len(changes.to_read) - added,
            "unchanged": changes.unchanged,
            "files": [file.record.source for file in changes.to_read],
            "skipped": changes.skipped,
            "failed": [(source, reason) for _, source, reason in changes.failed],
            "gone": changes.gone,
            "to_remove": len(changes.gone) if self.prune else 0,
        }

    def as_text(self) -> str:
        """Return the plan for a person."""
        plan, chunker = self.as_json(), self.cutting.chunker
        state = {True: "new", False: "there is"}
        size = "each example whole" if plan["examples"] else f"chunks of {chunker.max_tokens} tokens"
        shared = "" if plan["examples"] else f", {chunker.overlap} shared with the next"
        kinds = Counter(file.path.suffix.lower() or "no suffix" for file in self.changes.to_read)
        lines = [
            f"collection {plan['collection']} ({state[plan['is_new']]}), view {plan['view']} "
            f"({state[plan['view_is_new']]}): {plan['model']}, documents under {plan['document_instruction']!r}",
            f"cut: {size}{shared}",
            f"files: {plan['to_add']} to add, {plan['to_change']} to read again, {plan['unchanged']} unchanged"
            + "".join(f"; {count} {kind}" for kind, count in kinds.most_common()),
        ]
        lines += grouped("would be skipped", plan["skipped"]) + grouped("cannot be read", plan["failed"])
        if plan["gone"]:
            fate = "their chunks would be removed" if self.prune else "--prune would remove their chunks"
            lines.append(f"gone: {counted(len(plan['gone']), 'file')} ({some(plan['gone'])}); {fate}")
        return "\n".join([*lines, "nothing was written (--dry-run)"])


def prepare(config: IngestConfig, encoder: Encoder | None = None) -> Plan:
    """Return what a run of ``config`` will do; nothing is written. ``encoder`` replaces the one of ``config.model``.

    Raises:
        ReaderError: there is nothing to read, or (``strict``) a file that cannot be looked at.
        StoreError: the collection refuses: another model, another folder of the same name.
    """
    started = time.perf_counter()
    target = choose_target(config, encoder)
    files = find_files(config, may_be_none=config.prune and target.existing is not None)
    cutting = choose_cutting(config, target)
    changes = find_changes(config, files, target, cutting)
    return Plan(target, cutting, changes, config.prune, config.strict, partial(prepare, config, encoder), started)
