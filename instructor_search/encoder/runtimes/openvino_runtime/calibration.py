"""Runs a model over texts with instructions and finds its int8 form.

The texts are this project's own (``calibration.txt``) and docstrings of the Python library, which every machine has:
short ones as queries are, long ones up to the window, under many instructions and under none.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from instructor_search.encoder.checkpoint import Checkpoint
from instructor_search.encoder.runtimes.openvino_runtime._openvino import ov
from instructor_search.encoder.runtimes.openvino_runtime.graph import GraphBuilder
from instructor_search.encoder.runtimes.openvino_runtime.layers import InputCodes, Quantization, groups_of
from instructor_search.encoder.runtimes.openvino_runtime.quantization import GroupSample, choose_codes, quantize
from instructor_search.encoder.tokenization import TokenizedText, pad
from instructor_search.instruction_library import LIBRARY
from instructor_search.instructions import InstructedText

NUM_TEXTS = 360
_BATCH_TOKENS = 1024
_MODULES = (
    "argparse",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email.message",
    "fractions",
    "heapq",
    "http.client",
    "json",
    "logging",
    "mailbox",
    "os",
    "pathlib",
    "pickle",
    "random",
    "re",
    "shutil",
    "sqlite3",
    "statistics",
    "string",
    "subprocess",
    "tarfile",
    "textwrap",
    "threading",
    "typing",
    "unittest.mock",
    "urllib.parse",
    "zipfile",
)


def calibration_texts(passages: Sequence[str] | None = None, seed: int = 0) -> list[InstructedText]:
    """Return texts under instructions, the same ones for the same ``passages`` (None: those described above)."""
    chance = random.Random(seed)
    source = list(passages) if passages is not None else [*_own_passages() * 5, *_docstrings()]
    instructions = [text for pair in LIBRARY for text in (pair.query, pair.document)]
    texts = []
    for _ in range(NUM_TEXTS):
        words = chance.choice(source).split()
        if chance.random() < 0.3:  # like a query
            start = chance.randrange(max(len(words) - 8, 1))
            words = words[start : start + chance.randint(3, 14)]
        elif chance.random() < 0.5:  # like a long chunk
            for more in chance.choices(source, k=4):
                words += more.split()
        instruction = chance.choice(instructions) if chance.random() < 0.75 else ""
        texts.append(InstructedText(instruction, " ".join(words)))
    return texts


def _own_passages() -> list[str]:
    return Path(__file__).with_name("calibration.txt").read_text(encoding="utf-8").splitlines()


def _docstrings() -> Iterator[str]:
    for name in _MODULES:
        module = importlib.import_module(name)
        for member in [module, *(getattr(module, n) for n in sorted(dir(module)) if n[0] != "_")]:
            text = " ".join((inspect.getdoc(member) or "").split()) if callable(member) or member is module else ""
            if len(text) >= 60:
                yield text[:2000]


def calibrate(
    checkpoint: Checkpoint, tokenized: Sequence[TokenizedText], pad_id: int, *, allow_pickle: bool = False
) -> Quantization:
    """Return the int8 form of a model that changes its layers' outputs on these texts least."""
    builder, samples = _sampled(checkpoint, tokenized, pad_id, allow_pickle=allow_pickle)
    return quantize(builder.layers, samples, list(builder.follows))


def input_codes(
    checkpoint: Checkpoint, tokenized: Sequence[TokenizedText], pad_id: int, *, allow_pickle: bool = False
) -> dict[str, tuple[InputCodes, np.ndarray]]:
    """Return the levels that the int8 form reads the input of each linear layer in, by the layer's checkpoint name.

    With them their mean values on the texts, (channels and copies,), about which weights are rounded.
    """
    builder, samples = _sampled(checkpoint, tokenized, pad_id, allow_pickle=allow_pickle)
    codes_by_name: dict[str, tuple[InputCodes, np.ndarray]] = {}
    for group, names in groups_of(builder.layers).items():
        codes = choose_codes(builder.layers, names, samples[group], split=group in builder.follows)
        mean = codes.apply(samples[group].rows).mean(0)
        codes_by_name |= {builder.layers[name].tensor: (codes, mean) for name in names}
    return codes_by_name


def _sampled(
    checkpoint: Checkpoint, tokenized: Sequence[TokenizedText], pad_id: int, *, allow_pickle: bool
) -> tuple[GraphBuilder, dict[str, GroupSample]]:
    """Run the model over the texts and return its graph's builder with the inputs of each group of layers."""
    builder = GraphBuilder(checkpoint, allow_pickle=allow_pickle)
    graph = builder.build(with_inputs=True)
    request = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    samples = {group: GroupSample() for group in builder.inputs}
    order = sorted(tokenized, key=lambda t: -len(t.ids))
    while order:
        size = max(_BATCH_TOKENS // len(order[0].ids), 1)
        batch, order = order[:size], order[size:]
        ids, attention, pooling = pad(batch, pad_id)
        request.infer([ids.astype(np.int32), attention.astype(np.float32), pooling.astype(np.float32)])
        real = attention.reshape(-1).astype(bool)
        for number, group in enumerate(builder.inputs, 1):
            samples[group].add(request.get_output_tensor(number).data[real])
    return builder, samples
