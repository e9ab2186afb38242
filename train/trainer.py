"""The training loop: one task a global batch, the loss over all ranks' embeddings, checkpoints that resume exactly."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from instructor_search.encoder.saving import save_checkpoint
from instructor_search.errors import InstructorSearchError
from train import checkpoints, sharding
from train.backbone import mixed, parameter_groups, prepare_backbone
from train.batches import Batches
from train.config import TrainConfig, batch_arithmetic, examples_a_step, learning_rate
from train.examples import Mixture
from train.lora import add_adapters, plain_state
from train.objective import Objective, check_reader
from train.quantized import make_quantization_aware
from train.resuming import check_same_run, load
from train.run_log import SCORES, RunLog, Totals

if TYPE_CHECKING:
    from accelerate import Accelerator

    from instructor_search.encoder.encoder import InstructorEncoder

Evaluate = Callable[["InstructorEncoder"], dict[str, float]]
_REMEDY = "lower --learning_rate or raise --cl_temperature"
CONFIG, MODEL = "train_config.json", "model"


class DivergedError(InstructorSearchError):
    """The loss, its gradient or the weights are not finite (NaN or Inf)."""


class Trainer:
    """Trains an encoder on a mixture. Use ``run``; ``step`` is one optimiser step."""

    def __init__(
        self,
        config: TrainConfig,
        encoder: InstructorEncoder,
        mixture: Mixture,
        accelerator: Accelerator,
        *,
        evaluate: Evaluate | None = None,
        guide: InstructorEncoder | None = None,
        teacher: InstructorEncoder | None = None,
        reference: InstructorEncoder | None = None,
    ) -> None:
        """``encoder``: loaded with torch, in float32. ``guide``, ``teacher``, ``reference``: see ``train.loss``."""
        self.config, self.encoder, self.mixture, self.accelerator = config, encoder, mixture, accelerator
        self.evaluate = evaluate
        self.objective = Objective(
            config, accelerator, encoder.pad_id, guide=guide, teacher=teacher, reference=reference
        )
        for role, other in (("guide", guide), ("teacher", teacher), ("reference", reference)):
            if other is not None:
                check_reader(role, other, encoder)
        if config.fsdp and accelerator.num_processes < 2:  # noqa: PLR2004
            raise ValueError("fsdp spreads the weights over processes; there is one (torchrun --nproc_per_node N)")
        if max(config.matryoshka_dims, default=0) > encoder.dim:
            raise ValueError(f"matryoshka_dims names {max(config.matryoshka_dims)}; {encoder.name} has {encoder.dim}")
        self.folder = Path(config.output_dir)
        self.log = RunLog(self.folder, config.report_to, silent=not accelerator.is_main_process)
        self.batches = Batches(
            config,
            mixture,
            encoder,
            rank=accelerator.process_index,
            num_ranks=accelerator.num_processes,
            with_plain=teacher is not None,
            with_reference=reference is not None,
        )
        self.base, self.base_dense = (
            {k: v.detach().cpu().clone() for k, v in part.state_dict().items()}
            for part in (encoder.model.backbone, encoder.model.dense)
        )
        self._prepare_model()
        self.step_number = 0
        self.best: dict[str, Any] = {}

    def _prepare_model(self) -> None:
        """Make the model ready to be trained (adapters, dropout, rounding, ranks), and its optimizer."""
        config, encoder = self.config, self.encoder
        if config.lora_rank:
            torch.manual_seed(hash_of(config.seed))  # adapters begin at random
            encoder.model.backbone = add_adapters(encoder.model.backbone, config.lora_rank, config.lora_alpha)
        prepare_backbone(encoder.model.backbone, config)
        if config.quantization_aware:
            make_quantization_aware(encoder)
        self.whole: Any = sharding.shard(encoder) if config.fsdp else encoder  # what is saved
        self.optimizer: Any = torch.optim.AdamW(
            parameter_groups(encoder.model, config.weight_decay),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            fused=True,
        )
        self.model = encoder.model
        if not config.fsdp:
            self.model, self.optimizer = self.accelerator.prepare(encoder.model, self.optimizer)

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Train to the last step and return what is known of it; the model lies in ``output_dir/model``.

        Raises:
            CheckpointError: it cannot go on from a checkpoint, or one cannot be written.
            DivergedError: the loss or its gradient is not finite; the checkpoints before are whole.
        """
        config = self.config
        self.resume()
        self.log.write_file(CONFIG, config.as_dict())
        if self.accelerator.is_main_process:
            sys.stderr.write(batch_arithmetic(config, self.accelerator.num_processes) + "\n")
        scores = self.log.known_scores() if self.step_number else {}
        if not self.step_number and self.evaluate:
            scores["before"] = self._evaluate()
            self.log.write_file(SCORES, scores)
        started, first = time.perf_counter(), self.step_number
        with self._bar() as bar, self.log:
            totals = Totals()
            while self.step_number < config.max_steps:
                totals.add(*self.step())
                bar.update(1)
                if self.step_number % config.logging_steps == 0 or self.step_number == config.max_steps:
                    line = totals.line(self.step_number, learning_rate(config, self.step_number - 1))
                    bar.set_postfix(loss=f"{line['loss']:.3f}", pairs_s=f"{line['pairs_per_second']:.0f}")
                    self.log.write(line)
                    totals = Totals()
                if config.eval_steps and self.step_number % config.eval_steps == 0 and self.evaluate:
                    scores[str(self.step_number)] = self._evaluate()
                    self.log.write({"step": self.step_number, "scores": scores[str(self.step_number)]})
                    self.log.write_file(SCORES, scores)
                    self._keep_if_best(scores[str(self.step_number)])
                if self.step_number % config.save_steps == 0:
                    self.save()
        if self.step_number % config.save_steps:
            self.save()
        return self._finish(scores, time.perf_counter() - started, self.step_number - first)

    def _finish(self, scores: dict[str, Any], seconds: float, steps: int) -> dict[str, Any]:
        self._save_model(self.folder / MODEL, self.config.average_with_base)
        if self.evaluate:
            scores["after"] = self._evaluate(saved=self.folder / MODEL)
            self.log.write_file(SCORES, scores)
        return {
            "model": str(self.folder / MODEL),
            "steps": self.step_number,
            "seconds": seconds,
            "resumed_at": self.step_number - steps,
            "pairs_per_second": steps * examples_a_step(self.config, self.accelerator.num_processes) / seconds
            if steps
            else 0.0,
            "scores": scores,
            "best": self.best,
        }

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, or the one that is named; from the start where there is none.

        Raises:
            CheckpointError: the one named is not whole, or a run of another configuration made it.
        """
        named = self.config.resume_from_checkpoint
        folder = Path(named) if named else checkpoints.newest(self.folder)
        if folder is None:
            self.log.cut(0)
            return
        state = checkpoints.read_state(folder)
        processes = self.accelerator.num_processes
        check_same_run(folder, state, self.config, self.batches, processes=processes, data=self.mixture.digest)
        load(folder, self.config, self.encoder, self.model, self.optimizer)
        same = folder.resolve().parent == self.folder.resolve()
        self.step_number, self.best = state["step"], state["best"] if same else {}  # the best model lies beside it
        self.log.cut(self.step_number)

    def save(self) -> None:
        """Write a checkpoint (the main process does) and delete those beyond ``save_total_limit``.

        Raises:
            DivergedError: weights are not finite; the checkpoints before stay.
        """
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise DivergedError(f"step {self.step_number}: weights are not finite (NaN or Inf); {_REMEDY}")
        optimizer = self._whole()
        if self.accelerator.is_main_process:
            state = {
                "config": self.config.as_dict(),
                "world_size": self.accelerator.num_processes,
                "data": self.mixture.digest,
                "next_step": self.batches.digest_of(self.step_number),
                "best": self.best,
            }
            checkpoints.save(self.folder, self.step_number, self.whole, optimizer, state)
            checkpoints.keep_newest(self.folder, self.config.save_total_limit, self.step_number)
        self.accelerator.wait_for_everyone()

    # -- a step ----------------------------------------------------------------------------------------------------

    def step(self) -> tuple[float, int, int]:
        """Do an optimiser step; return its mean loss, and the pairs and tokens of this rank.

        Raises:
            DivergedError: the loss or the gradient's norm is not finite; the weights are those of the step before.
        """
        config, count = self.config, self.config.gradient_accumulation_steps
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step_number)
        losses, pairs, tokens = [], 0, 0
        for first in range(0, count, config.batches_per_pass):
            numbers = range(first, min(first + config.batches_per_pass, count))
            prepared = [self.batches.prepared(self.step_number * count + number) for number in numbers]
            torch.manual_seed(hash_of(config.seed, prepared[0][0].step, self.accelerator.process_index))  # dropout
            texts = [batch_texts for _, batch_texts in prepared]
            losses.append(self.objective.backward(self.model, texts, 1.0 / count, last=numbers.stop == count))
            pairs += sum(batch_texts.size for batch_texts in texts)
            tokens += sum(len(t.ids) for batch_texts in texts for t in batch_texts.texts)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
        loss = float(torch.stack(losses).sum()) / count
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise DivergedError(
                f"step {self.step_number + 1}: the loss is {loss:.3g} and its gradient's norm "
                f"{float(norm):.3g}; {_REMEDY}"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_number += 1
        return loss, pairs, tokens

    def _whole(self) -> dict[str, Any]:
        """Make ``whole`` the model as it is; return the optimiser's state. All ranks call it."""
        if self.config.fsdp:
            sharding.gather_model(self.model, self.whole)
            return sharding.gather_optimizer(self.model, self.optimizer)
        state: dict[str, Any] = getattr(self.optimizer, "optimizer", self.optimizer).state_dict()
        return state

    # -- what is told ----------------------------------------------------------------------------------------------

    def _evaluate(self, saved: Path | None = None) -> dict[str, float]:
        """Return the scores of the model as it is, or of a saved one, on all ranks."""
        assert self.evaluate is not None
        scores: list[dict[str, float]] = [{}]
        spread = self.config.fsdp and not saved
        if spread:
            saved = self.folder / ".scored"
            self._save_model(saved)
        if self.accelerator.is_main_process:
            from instructor_search.encoder import load_encoder

            device = str(self.accelerator.device)
            encoder = (
                load_encoder(str(saved), runtime="torch", precision="fp32", device=device) if saved else self.encoder
            )
            encoder.model.eval()
            scores = [self.evaluate(encoder)]
            if spread and saved:
                shutil.rmtree(saved)
        if self.accelerator.num_processes > 1:
            torch.distributed.broadcast_object_list(scores)
        return scores[0]

    def _keep_if_best(self, scores: dict[str, float]) -> None:
        score = scores.get("average", 0.0)
        if score > self.best.get("score", -1.0):
            self.best = {"step": self.step_number, "score": score}
            self._save_model(self.folder / "best")

    def _save_model(self, folder: Path, base_share: float = 0.0) -> None:
        """Write the model as it is now. With ``base_share``, at the end, it is mixed with the first weights by that."""
        if self.config.fsdp:
            sharding.gather_model(self.model, self.whole)
        if not self.accelerator.is_main_process:
            return
        state = plain_state(self.whole.model.backbone)
        if base_share:
            state = mixed(state, self.base, base_share)
            dense = self.whole.model.dense
            dense.load_state_dict(mixed(dense.state_dict(), self.base_dense, base_share))
        save_checkpoint(self.whole, folder, backbone_state=state)

    def _bar(self) -> Any:
        from tqdm import tqdm

        shown = self.accelerator.is_main_process
        return tqdm(
            total=self.config.max_steps,
            initial=self.step_number,
            desc="train",
            unit=" steps",
            file=sys.stderr,
            disable=not shown,
        )


def hash_of(*numbers: int) -> int:
    """Return a seed made of numbers."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
