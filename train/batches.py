"""The batches of a run, tokenised: which examples a step sees, and their tokens, made one pass ahead in a thread."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from instructor_search.encoder.tokenization import InstructedTokenizer
from train.collator import Collator, TextBatch, kind_of
from train.config import TrainConfig
from train.examples import Mixture
from train.sampler import Batch, TaskBatchSampler

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


class Batches:
    """Gives each rank its slice of the same global batch of one task; all of it follows from seed and number."""

    def __init__(
        self,
        config: TrainConfig,
        mixture: Mixture,
        encoder: InstructorEncoder,
        *,
        rank: int,
        num_ranks: int,
        with_plain: bool,
        with_reference: bool,
    ) -> None:
        """``encoder``: whose tokenizer is used. ``with_plain``, ``with_reference``: see ``Collator``.

        Raises:
            InstructionTooLongError: an instruction leaves no room for a text.
        """
        self.config, self.mixture, self.rank, self.num_ranks = config, mixture, rank, num_ranks
        self.sampler = TaskBatchSampler(
            {name: len(rows) for name, rows in mixture.tasks.items()},
            config.per_device_train_batch_size * num_ranks,
            config.max_steps * config.gradient_accumulation_steps,
            alpha=config.sampling_alpha,
            cap=config.sampling_cap,
            seed=config.seed,
        )
        self.collator = Collator(
            _tokenizer(encoder, config.max_source_length, mixture),
            max_negatives=config.max_negatives,
            drop_instruction=config.drop_instruction,
            vary_instruction=config.vary_instruction,
            paraphrase_per_example=config.paraphrase_per_example,
            with_plain=with_plain,
            with_reference=with_reference,
        )
        self._ahead = ThreadPoolExecutor(1, "batches")
        self._next: dict[int, Future[tuple[Batch, TextBatch]]] = {}

    def prepared(self, number: int) -> tuple[Batch, TextBatch]:
        """Return a global batch and this rank's tokens of it; those of the next pass are made beside this one."""
        for ahead in range(number, min(number + 1 + self.config.batches_per_pass, self.sampler.num_steps)):
            if ahead not in self._next:
                self._next[ahead] = self._ahead.submit(self._texts, self.rank, ahead)
        return self._next.pop(number).result()

    def digest_of(self, step: int) -> str:
        """Return a hash of the first rank's tokens of an optimiser step: a resumed run is to go on with the same."""
        digest, count = hashlib.blake2b(digest_size=16), self.config.gradient_accumulation_steps
        for number in range(step * count, min((step + 1) * count, self.sampler.num_steps)):
            for text in self._texts(0, number)[1].texts:
                digest.update(repr(list(text.ids)).encode())
        return digest.hexdigest()

    def _texts(self, rank: int, number: int) -> tuple[Batch, TextBatch]:
        batch = self.sampler.batch(number)
        examples = [self.mixture.tasks[batch.task][row] for row in batch.rows]
        num_negatives = self.collator.num_negatives(examples)
        rank_slice = batch.slice_of(rank, self.num_ranks)
        seed = self.config.seed, batch.step, rank_slice.start
        return batch, self.collator(examples[rank_slice], num_negatives, seed, kind_of(examples))


def _tokenizer(encoder: InstructorEncoder, max_tokens: int, mixture: Mixture) -> InstructedTokenizer:
    """Return the encoder's tokenizer with a window for training; every instruction leaves room for a text.

    Raises:
        InstructionTooLongError: one does not.
    """
    tokenizer = InstructedTokenizer.from_folder(
        encoder.checkpoint.transformer_folder,
        min(max_tokens, encoder.max_tokens),
        dialect=encoder.tokenizer.dialect,
        lower_case=encoder.checkpoint.lower_case,
    )
    sides = (t for rows in mixture.tasks.values() for e in rows for t in (e.query, e.positive, *e.negatives))
    for instruction in {text.instruction for text in sides}:
        tokenizer.text_budget(instruction)
    return tokenizer
