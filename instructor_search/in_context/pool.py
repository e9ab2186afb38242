"""A pool of examples: a collection whose chunks are inputs, with their outputs in the metadata.

Made by ``python -m ingest FILE --examples``; searched, filtered, indexed and kept up to date as any collection.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_search.encoder.protocol import Encoder, to_unit_length
from instructor_search.errors import StoreError
from instructor_search.in_context.choices import Selector
from instructor_search.in_context.guard import normal_form
from instructor_search.in_context.selection import Candidates, check_selector, choose, num_candidates
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.instructions import InstructedText
from instructor_search.records import Demonstration, Hit
from instructor_search.search.filters import compile_filter
from instructor_search.search.ranking import MAX_TOP_K, Mode
from instructor_search.search.searcher import Searcher
from instructor_search.store.collection import Collection

OUTPUT, TASK, INPUT = "output", "task", "input"  # metadata of an example; the input only where it is not the chunk
BOTH = "input+output"  # what is embedded, if it is not the input alone
MAX_COSINE = 0.99  # from which an example counts as a copy of the input
MAX_LABELS = 50  # outputs that are searched one by one for a balanced choice; more are balanced among the candidates
_LABEL_CHARACTERS = 500  # of an output that is searched for by a filter, at most
_SPARE = 8  # candidates beyond those asked for, as some may not be shown
_MODES: dict[str, Mode] = {Selector.HYBRID: Mode.HYBRID, Selector.TEXT: Mode.TEXT}


class ExamplePool:
    """Demonstrations out of a collection, for an input and under an instruction."""

    def __init__(
        self,
        collection: Collection | str,
        store: str | Path | None = None,
        *,
        encoder: Encoder | None = None,
        view: str | None = None,
    ) -> None:
        """Open a pool by its name, or over an open collection; ``encoder`` and ``view`` as for ``Searcher``.

        Raises:
            StoreError: there is none of that name, or the collection is no example pool.
        """
        self.collection = collection if isinstance(collection, Collection) else Collection.open(collection, store)
        if not self.collection.manifest.examples:
            raise StoreError(
                f"collection {self.collection.name!r} is no example pool: its rows have no outputs; make one: "
                "python -m ingest FILE --examples --input-field COLUMN --output-field COLUMN --collection NAME"
            )
        self.searcher = Searcher(self.collection, encoder, view)
        self.view = self.searcher.view
        self._read: dict[tuple[int, str, str | None], list[str]] = {}  # (version, what, filter) -> what the rows have

    def __len__(self) -> int:
        """Number of examples."""
        return self.collection.num_chunks()

    def select(
        self,
        text: str,
        *,
        instruction: GivenInstruction = None,
        k: int = 8,
        selector: str = Selector.NEAREST,
        where: str | None = None,
        diversity: float = 0.3,
        seed: int = 0,
        max_cosine: float | None = MAX_COSINE,
        exclude: Container[str] = (),
    ) -> list[Demonstration]:
        """Return up to ``k`` examples for ``text`` in the order chosen, with their cosines to it under ``instruction``.

        (Of ``hybrid`` the score is the fused rank's, of ``text`` BM25; ``random`` and ``fixed`` have none.) It never
        returns the input itself: neither an example that is equal to it after normalisation, nor one whose cosine
        with it, both under the pool's own instruction, reaches ``max_cosine``.

        Args:
            text: the input asked about.
            k: number of examples; fewer are returned where the pool has no more.
            instruction: of the input, see ``instruction_rule.resolve``; but None: the pool's own, as an input is
                compared with inputs.
            selector: of ``Selector``.
            where: a filter, as for search; the example's output and task are the fields ``output`` and ``task``.
            diversity: of mmr and dpp, 0 to 1.
            seed: of random, fixed and kmeans.
            max_cosine: from which an example is a copy of the input; None: only an equal one is.
            exclude: ids of examples that must not be returned.

        Raises:
            ValueError: the input is empty, the selector unknown, or a number not allowed.
            FilterError: ``where`` cannot be understood.
            StoreError: the pool is empty.
        """
        check_selector(selector)
        self._check(text, k, diversity, seed)
        document_instruction = self.view.document_instruction
        asked = _Asked(text, document_instruction if instruction is None else resolve(instruction), where, selector)
        guard = _Guard(self, text, max_cosine, exclude)
        if selector in (Selector.RANDOM, Selector.FIXED):
            return self._drawn(asked, k, seed, guard)
        candidates = self._candidates(asked, num_candidates(selector, k), guard)
        if selector == Selector.LABEL_BALANCED:
            candidates = self._with_all_outputs(asked, candidates, k, guard)
        vectors = self._vectors(candidates)
        scores = np.array([d.score for d in candidates], dtype=np.float32)
        order = choose(
            selector, Candidates(scores, vectors, [d.output for d in candidates]), k, diversity=diversity, seed=seed
        )
        return [candidates[i] for i in order]

    def _check(self, text: str, k: int, diversity: float, seed: int) -> None:
        """Refuse an empty input, a number that is not allowed, and an empty pool; see ``select``."""
        if not 0 <= diversity <= 1:
            raise ValueError(f"diversity is {diversity}; expected 0 to 1")
        if not 1 <= k <= MAX_TOP_K // 10:
            raise ValueError(f"k is {k}; expected 1 to {MAX_TOP_K // 10}")
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected 0 or more")
        if not text.strip():
            raise ValueError("the input is empty; expected a text to find examples for")
        if not len(self):
            raise StoreError(f"the pool {self.collection.name!r} has no examples; ingest a file that has some")

    # -- candidates ------------------------------------------------------------------------------------------------

    def _candidates(self, asked: _Asked, count: int, guard: _Guard) -> list[Demonstration]:
        """Return the best ``count`` examples that may be shown, best first; more are looked at where some may not."""
        depth = min(count + _SPARE, MAX_TOP_K)
        while True:
            hits = self.searcher.search(
                asked.text,
                instruction=asked.instruction,
                where=asked.where,
                top_k=depth,
                snippets="none",
                mode=_MODES.get(asked.selector, Mode.DENSE),
            )
            kept = guard.sift([self._of_hit(hit) for hit in hits])
            if len(kept) >= count or len(hits) < depth or depth == MAX_TOP_K:
                return kept[:count]
            depth = min(4 * depth, MAX_TOP_K)

    def _with_all_outputs(
        self, asked: _Asked, candidates: list[Demonstration], k: int, guard: _Guard
    ) -> list[Demonstration]:
        """Add the nearest examples of outputs that are not among the candidates as often as a balanced choice needs."""
        outputs = self.outputs(asked.where)
        if len(outputs) > MAX_LABELS:
            return candidates
        have = Counter(d.output for d in candidates)
        share = -(-k // len(outputs))
        for output in outputs:
            if have[output] < share and len(output) <= _LABEL_CHARACTERS:
                quoted = output.replace("\\", "\\\\").replace('"', '\\"')
                only = f'metadata.{OUTPUT} = "{quoted}"' + (f" and ({asked.where})" if asked.where else "")
                candidates = candidates + self._candidates(asked._replace(where=only), share, guard)
        distinct = {d.example_id: d for d in candidates}
        return sorted(distinct.values(), key=lambda d: (-d.score, d.example_id))

    def outputs(self, where: str | None = None) -> list[str]:
        """Return the distinct outputs of the pool, sorted; reads all its rows, once a version."""
        rows = self._column("metadata", where)
        return sorted({str(json.loads(row).get(OUTPUT, "")) for row in rows})

    def ids(self, where: str | None = None) -> list[str]:
        """Return the ids of the examples, sorted."""
        return sorted(self._column("id", where))

    def _column(self, name: str, where: str | None) -> list[str]:
        """Return a column's values of all rows, without repetitions."""
        table = self.collection.chunks
        key = (table.version, name, where)
        if key not in self._read:
            compiled = compile_filter(where, self.collection.manifest.fields) if where else None
            query = table.search().select([name]).limit(table.count_rows() or 1)
            column = (query.where(compiled) if compiled else query).to_arrow().column(name)
            self._read = {k: v for k, v in self._read.items() if k[0] == key[0]} | {key: list(set(column.to_pylist()))}
        return self._read[key]

    def _drawn(self, asked: _Asked, k: int, seed: int, guard: _Guard) -> list[Demonstration]:
        """Return examples drawn without looking at the input, or at its text for the seed alone."""
        ids = self.ids(asked.where)
        salt = asked.text if asked.selector == Selector.RANDOM else ""
        digest = hashlib.blake2b(f"{seed}\0{salt}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        order = np.random.default_rng(int.from_bytes(digest, "little")).permutation(len(ids))
        kept: list[Demonstration] = []
        for start in range(0, len(ids), k + _SPARE):
            kept += guard.sift(self.examples([ids[i] for i in order[start : start + k + _SPARE]]))
            if len(kept) >= k:
                break
        return kept[:k]

    def examples(self, ids: Sequence[str]) -> list[Demonstration]:
        """Return examples by their ids, in that order; one that is no more there is left out."""
        table = self.collection.rows_by_id(list(ids), ["id", "document_id", "text", "metadata"])
        rows = {row["id"]: row for row in table.to_pylist()}
        return [
            self._example(rows[i]["text"], json.loads(rows[i]["metadata"]), i, rows[i]["document_id"], 0.0)
            for i in ids
            if i in rows
        ]

    def _of_hit(self, hit: Hit) -> Demonstration:
        fields = {k: v for k, v in hit.metadata.items() if k in self.collection.manifest.fields}
        return self._example(hit.text, fields, hit.chunk_id, hit.document_id, hit.score)

    def _example(self, text: str, fields: dict[str, Any], example_id: str, source: str, score: float) -> Demonstration:
        both = self.collection.manifest.examples.get("embed") == BOTH
        shown = str(fields.get(INPUT, text)) if both else text
        rest = {k: v for k, v in fields.items() if k not in (INPUT, OUTPUT, TASK)}
        output, task = str(fields.get(OUTPUT, "")), str(fields.get(TASK, ""))
        return Demonstration(shown, output, score, task, example_id, source, rest)

    def _vectors(self, examples: Sequence[Demonstration]) -> np.ndarray:
        """Return the examples' unit vectors, (n, dim)."""
        stored = self.collection.vectors_of(self.view, [d.example_id for d in examples]) if examples else {}
        none = np.zeros(self.view.dim, np.float32)  # one that is not embedded yet is like no other
        rows = [stored.get(d.example_id, none) for d in examples]
        return to_unit_length(np.array(rows, dtype=np.float32).reshape(-1, self.view.dim))


class _Asked(NamedTuple):
    text: str
    instruction: str
    where: str | None
    selector: str


class _Guard:
    """Keeps the input and its near-copies out of what is returned."""

    def __init__(self, pool: ExamplePool, text: str, max_cosine: float | None, exclude: Container[str]) -> None:
        self._pool, self._exclude, self._max_cosine = pool, exclude, max_cosine
        self._text, self._normal = text, normal_form(text)
        self._vector: np.ndarray | None = None

    def sift(self, examples: list[Demonstration]) -> list[Demonstration]:
        """Return those that may be shown."""
        kept = [d for d in examples if d.example_id not in self._exclude and normal_form(d.input) != self._normal]
        if self._max_cosine is None or not kept:
            return kept
        near = self._pool._vectors(kept) @ self._own_vector()
        return [d for d, cosine in zip(kept, near.tolist(), strict=True) if cosine < self._max_cosine]

    def _own_vector(self) -> np.ndarray:
        """Return the input's vector as the pool would embed it, unit, (dim,)."""
        if self._vector is None:
            instructed = InstructedText(self._pool.view.document_instruction, self._text)
            self._vector = to_unit_length(np.asarray(self._pool.searcher.encoder.encode([instructed])))[0]
        return self._vector
