"""Goes on from a checkpoint: whether it is of the same run, and its weights and optimiser state in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from train import checkpoints, sharding
from train.batches import Batches
from train.config import TrainConfig
from train.lora import ADAPTER

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


def check_same_run(
    folder: Path, state: Mapping[str, Any], config: TrainConfig, batches: Batches, *, processes: int, data: str
) -> None:
    """Refuse a checkpoint from which this run would not go on as if it had never stopped.

    ``state``: what the checkpoint in ``folder`` says of its run. ``data``: the mixture's digest now.

    Raises:
        CheckpointError: it is of another run; the message says what differs.
    """
    differ = config.differences(state["config"])
    if state["world_size"] != processes:
        differ.append(f"{state['world_size']} processes, now {processes}")
    if state["data"] != data:
        split = bool(state["config"]["eval_tasks"]) != bool(config.eval_tasks)
        differ.append("the training data has changed" + " (eval_tasks: with them nothing is held out)" * split)
    if not differ and state.get("next_step") not in (None, batches.digest_of(state["step"])):
        differ.append("this version draws or words the next examples otherwise")
    if differ:
        raise checkpoints.CheckpointError(
            f"{folder} is of another run: {'; '.join(differ[:4])}; give the same values, another --output_dir, or "
            "--overwrite_output_dir to train anew"
        )


def load(folder: Path, config: TrainConfig, encoder: InstructorEncoder, model: Any, optimizer: Any) -> None:
    """Put a checkpoint's weights and optimiser state into those that train, in place; all ranks call it.

    ``model``: the encoder's, as the ranks train it.
    """
    from safetensors.torch import load_file

    from instructor_search.encoder import load_encoder

    if config.lora_rank:
        encoder.model.backbone.load_state_dict(load_file(folder / ADAPTER), strict=False)
    trained = load_encoder(str(folder), runtime="torch", precision="fp32", device="cpu").model.state_dict()
    if config.lora_rank:  # the backbone's there are with the adapters added in
        trained = {k: v for k, v in trained.items() if not k.startswith("backbone.")}
    state = torch.load(folder / checkpoints.OPTIMIZER, map_location="cpu", weights_only=True)
    if config.fsdp:
        sharding.spread(model, optimizer, trained, state)
        return
    encoder.model.load_state_dict(trained, strict=not config.lora_rank)
    optimizer.load_state_dict(state)
