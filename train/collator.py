"""Examples -> token ids, in the order query, positive, negatives; and what tells false negatives."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch

from instructor_search.encoder.tokenization import InstructedTokenizer, TokenizedText
from instructor_search.instructions import InstructedText
from train.examples import TrainingExample, are_similarity, are_wordings
from train.loss import Identities
from train.wording import class_names, vary


class TextBatch(NamedTuple):
    """A rank's part of a batch: (2 + negatives) * batch texts, queries first, then positives, then negatives."""

    texts: list[TokenizedText]
    identities: Identities
    num_negatives: int  # of each example
    plain: list[TokenizedText] | None = None  # the same texts without instructions, for a teacher
    reference: list[TokenizedText] | None = None  # the same texts under their instructions in the words they had
    similarity: bool = False  # queries and positives are the same texts, the latter under no instruction
    wordings: bool = False  # queries and positives are the same texts under other words

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.identities.query)


class Collator:
    """Makes batches of examples; what is random in it follows from the seed of the call."""

    def __init__(
        self,
        tokenizer: InstructedTokenizer,
        *,
        max_negatives: int = 1,
        drop_instruction: float = 0.0,
        vary_instruction: float = 0.0,
        paraphrase_per_example: bool = False,
        with_plain: bool = False,
        with_reference: bool = False,
    ) -> None:
        """``drop_instruction``, ``vary_instruction``: share of batches without instructions, and with other words.

        ``paraphrase_per_example``: each text of such a batch has its own words, which then tell no texts apart.
        ``with_plain``: batches whose texts alone say how near they are (no labels, no instructions that decide) come
        with these texts without instructions too. ``with_reference``: all come with the texts before words changed,
        those         whose instruction is to change nothing without it.
        """
        self.tokenizer = tokenizer
        self.max_negatives = max_negatives
        self.drop_instruction, self.vary_instruction = drop_instruction, vary_instruction
        self.paraphrase_per_example, self.with_plain, self.with_reference = (
            paraphrase_per_example,
            with_plain,
            with_reference,
        )

    def num_negatives(self, examples: Sequence[TrainingExample]) -> int:
        """Return how many negatives each example of a global batch gets: all ranks must agree."""
        return min(max((len(e.negatives) for e in examples), default=0), self.max_negatives)

    def __call__(
        self,
        examples: Sequence[TrainingExample],
        num_negatives: int,
        seed: Sequence[int],
        kind: BatchKind | None = None,
    ) -> TextBatch:
        """Return the batch. An example with fewer negatives is filled with its positive, which is then not used.

        ``seed``: of the global batch and the place of the first example in it. Instructions change alike for all, and
        stay where they decide. ``kind``: of the global batch; None: of these examples.
        """
        chance = random.Random(str(tuple(seed[:-1])))
        kind = kind or kind_of(examples)
        change = _Change("keep", 0) if kind.decided else self._change(chance, kind)
        negatives: list[InstructedText] = []
        used: list[bool] = []
        for place, example in enumerate(examples):
            generator = random.Random(str((*seed[:-1], seed[-1] + place)))
            chosen = generator.sample(example.negatives, min(num_negatives, len(example.negatives)))
            negatives += chosen + [example.positive] * (num_negatives - len(chosen))
            used += [True] * len(chosen) + [False] * (num_negatives - len(chosen))
        texts = [e.query for e in examples] + [e.positive for e in examples] + negatives
        changed = [InstructedText(self._fitting(change, t), t.text) for t in texts]
        count = len(examples)
        hashes = [_hash(t.text) for t in texts]
        identities = Identities(
            query=torch.tensor(hashes[:count]),
            positive=torch.tensor(hashes[count : 2 * count]),
            negative=torch.tensor(hashes[2 * count :], dtype=torch.int64),
            asked=torch.tensor([_hash("\0".join(e.query)) for e in examples]),
            label=torch.tensor([0 if e.label is None else _hash(e.label) for e in examples]),
            used=torch.tensor(used, dtype=torch.bool),
        )
        plain = None
        if self.with_plain and not (kind.decided or kind.similarity or kind.labelled):
            plain = self.tokenizer.encode_batch([InstructedText("", t.text) for t in texts])
        reference = None
        if self.with_reference:
            bare = kind.similarity or change.kind == "drop"
            before = [InstructedText("" if bare else t.instruction, t.text) for t in texts]
            reference = self.tokenizer.encode_batch(before)
        ids = self.tokenizer.encode_batch(changed)
        return TextBatch(ids, identities, num_negatives, plain, reference, kind.similarity, kind.wordings)

    def _fitting(self, change: _Change, text: InstructedText) -> str:
        """Return the instruction in other words; as it was, where those would leave less than half of the window."""
        new = change(text.instruction, text.text if self.paraphrase_per_example else "")
        length, most = self.tokenizer.num_instruction_tokens, self.tokenizer.max_tokens // 2
        return new if length(new) <= max(most, length(text.instruction)) else text.instruction

    def _change(self, chance: random.Random, kind: BatchKind) -> _Change:
        drawn, seed = chance.random(), chance.getrandbits(32)
        if not kind.similarity and drawn < self.drop_instruction:
            return _Change("drop", seed)
        varies = drawn < self.drop_instruction + self.vary_instruction
        return _Change("vary" if varies else "keep", seed, kind.classes)


class BatchKind(NamedTuple):
    """What holds of a global batch: all ranks must agree on it."""

    decided: bool  # queries have instructions of their own, or in words of their own, which are to stay
    labelled: bool
    similarity: bool  # positives are the queries' own texts under no instruction
    wordings: bool = False  # positives are the queries' own texts under other words
    classes: tuple[str, ...] = ()  # names of its labels, where they are words


def kind_of(examples: Sequence[TrainingExample]) -> BatchKind:
    """Return the kind of a global batch."""
    similarity, wordings = are_similarity(examples), are_wordings(examples)
    decided = wordings or (not similarity and len({e.query.instruction for e in examples}) > 1)
    labels = {e.label for e in examples if e.label is not None}
    return BatchKind(decided, bool(labels), similarity, wordings, class_names(labels))


class _Change(NamedTuple):
    """What happens to the instructions of a batch: the same one changes the same way, of one ``whose``."""

    kind: str
    seed: int
    classes: tuple[str, ...] = ()

    def __call__(self, instruction: str, whose: str) -> str:
        if self.kind == "drop":
            return ""
        if self.kind == "keep":
            return instruction
        return vary(instruction, random.Random(f"{self.seed}{instruction}{whose}"), self.classes)


def _hash(text: str) -> int:
    """Return a number, not 0, that stands for a text: 63 bits of its hash."""
    digest = hashlib.blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 1) or 1
