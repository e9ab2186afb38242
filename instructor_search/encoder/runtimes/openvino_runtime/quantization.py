"""Int8 that keeps its quality: what stands in a linear layer's place, and how it is found from a calibration text.

A layer's input is cut into 256 levels a channel, its weights into 255 a row. Three things keep the embedding as it was:

- *One step a channel* on the input side costs nothing, as it is folded into the weights (SmoothQuant, arXiv 2211.10438;
  with a shift as well: Outlier Suppression+, arXiv 2304.09145).
- *Outlier channels are split*: in BERT-like models one token of each text has a value of twenty in a channel where all
  others are below three. Such a channel is read several times, each copy covering a window of its range (after outlier
  channel splitting, arXiv 1901.09504).
- *Weights are rounded in turn*, the error of each spread over those that come later, so that the layer's output changes
  least on the calibration text (GPTQ, arXiv 2210.17323). Rows of that text count by how small their output is, else the
  few outlier tokens would decide everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from instructor_search.encoder.runtimes.openvino_runtime.layers import (
    InputCodes,
    LinearLayer,
    Quantization,
    QuantizedLinear,
    groups_of,
)

MAX_ROWS = 4096  # tokens of the calibration text that are kept for each group of layers
_GRID_ROWS = 1000
_SMOOTHING = (0.5, 0.7, 0.8, 0.9, 1.0)  # how much of a channel's range goes into its step
_EXTRA_COPIES = 16  # of split channels, in a layer
_DAMPING = 0.003


class GroupSample:
    """The inputs of one group on a calibration text: each channel's range, and rows drawn from all of it."""

    def __init__(self, num_rows: int = MAX_ROWS, seed: int = 0) -> None:
        """Keep at most ``num_rows`` rows."""
        self.num_rows = num_rows
        self.random = np.random.default_rng(seed)
        self.parts: list[np.ndarray] = []
        self.keys: list[np.ndarray] = []
        self.low: np.ndarray | None = None
        self.high: np.ndarray | None = None

    def add(self, rows: np.ndarray) -> None:
        """Take the inputs (tokens, channels) of a batch."""
        low, high = rows.min(0), rows.max(0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        keys = self.random.random(len(rows))
        self.parts.append(rows[keys < self._bound])
        self.keys.append(keys[keys < self._bound])
        if sum(map(len, self.keys)) > 2 * self.num_rows:
            self.parts, self.keys = [self.rows], [self._kept_keys]

    @property
    def _bound(self) -> float:
        return float(np.max(self.keys[0])) if len(self.keys) and len(self.keys[0]) >= self.num_rows else 1.0

    @property
    def _order(self) -> np.ndarray:
        return np.argsort(np.concatenate(self.keys))[: self.num_rows]

    @property
    def _kept_keys(self) -> np.ndarray:
        keys: np.ndarray = np.concatenate(self.keys)[self._order]
        return keys

    @property
    def rows(self) -> np.ndarray:
        """The rows drawn, (n, channels): each token of the text has the same chance."""
        parts: np.ndarray = np.concatenate(self.parts)[self._order]
        return parts


def quantize(
    layers: Mapping[str, LinearLayer], samples: Mapping[str, GroupSample], can_split: Sequence[str]
) -> Quantization:
    """Return the int8 form of ``layers``; groups in ``can_split`` follow an activation and may have channels split."""
    inputs, quantized = {}, {}
    for group, names in groups_of(layers).items():
        codes = inputs[group] = choose_codes(layers, names, samples[group], split=group in can_split)
        weight = np.concatenate([layers[n].weight for n in names])
        whole, start = _round_weights(weight, samples[group].rows, codes), 0
        for name in names:
            part = slice(start, start := start + len(layers[name].weight))
            bias = whole.bias[part] + layers[name].bias
            quantized[name] = QuantizedLinear(whole.codes[part], whole.steps[part], bias.astype(np.float32))
    return Quantization(inputs, quantized)


def choose_codes(
    layers: Mapping[str, LinearLayer], names: Sequence[str], sample: GroupSample, *, split: bool
) -> InputCodes:
    """Return the levels of a group's input, on which the outputs of its layers ``names`` change least."""
    assert sample.low is not None and sample.high is not None
    weight = np.concatenate([layers[n].weight for n in names])
    return _choose_codes(weight, sample.rows[:_GRID_ROWS], sample.low, sample.high, split=split)


def _choose_codes(
    weight: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray, *, split: bool
) -> InputCodes:
    """Return the levels under which a plainly rounded layer's output changes least."""
    output = rows @ weight.T
    row_weight = _row_weights(output)
    strength = np.maximum(np.abs(weight).max(0), 1e-5)
    best, least = None, np.inf
    for top in (np.minimum(high, np.quantile(high, 0.95)), high) if split else (high,):
        reach = np.maximum((top - low) / 2, 1e-5)
        for smoothing in _SMOOTHING:
            steps = reach**smoothing / strength ** (1 - smoothing)
            steps = (steps / np.exp(np.log(steps).mean())).astype(np.float32)
            codes, scale = _rounded(weight * steps)
            rounded = codes * scale  # (out, channels)
            size = float((reach / steps).max() * 2)
            chosen = _windows((low + top) / 2 - size * steps / 2, low, high, steps, size, split)
            got = _values(chosen, rows) / steps @ rounded.T
            error = float((((got - output) ** 2) * row_weight).mean())
            if error < least:
                best, least = chosen, error
    assert best is not None
    return best


def _windows(
    centred: np.ndarray, low: np.ndarray, high: np.ndarray, steps: np.ndarray, size: float, split: bool
) -> InputCodes:
    """Return levels of one window a channel, and of several for the channels that reach farthest beyond one."""
    width = size * steps
    counts = np.ones(len(low), dtype=np.int64)
    if split:
        needed = np.ceil((high - low) * 1.02 / width).astype(np.int64)
        left = _EXTRA_COPIES
        for channel in np.argsort(-needed):
            if needed[channel] <= 1 or needed[channel] - 1 > left:
                break
            counts[channel] = needed[channel]
            left -= needed[channel] - 1
    base = np.where(counts > 1, low, centred)
    index = np.repeat(np.arange(len(low)), counts)
    copy = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    lows = (base[index] + copy * width[index]).astype(np.float32)
    return InputCodes(index, lows, steps[index].astype(np.float32), size)


def _values(codes: InputCodes, x: np.ndarray) -> np.ndarray:
    """Return the inputs as their levels give them back, (n, channels): a channel's copies add up."""
    first = np.flatnonzero(np.diff(codes.channel, prepend=-1))
    return codes.low[first] + np.add.reduceat(codes.apply(x) * codes.channel_steps, first, axis=1)


def _round_weights(weight: np.ndarray, rows: np.ndarray, codes: InputCodes) -> QuantizedLinear:
    """Return the layer on levels; its bias takes up what the levels' lower ends give and the mean of the error."""
    output = rows @ weight.T
    row_weight = _row_weights(output)
    levels = codes.apply(rows)
    scaled = weight[:, codes.channel] * codes.channel_steps
    centred = levels - (row_weight * levels).sum(0) / row_weight.sum()
    hessian = (centred * row_weight).T @ centred / len(rows)
    _, steps = _rounded(scaled)
    rounded = _gptq(scaled, steps, hessian)
    error = output - levels @ (rounded * steps).T
    bias = (row_weight * error).sum(0) / row_weight.sum()
    return QuantizedLinear(rounded.astype(np.int8), steps[:, 0].astype(np.float32), bias)


def _row_weights(output: np.ndarray) -> np.ndarray:
    """Return a weight a row, (n, 1), of mean 1: an error counts relative to the size of the row's output."""
    weights = 1 / np.maximum((output**2).mean(1, keepdims=True), 1e-12)
    relative: np.ndarray = weights / weights.mean()
    return relative


def _rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from -127 to 127 and the steps (out, 1), plainly rounded."""
    steps = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-8) / 127
    return np.clip(np.round(weight / steps), -127, 127), steps


def _gptq(weight: np.ndarray, steps: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return whole numbers that keep (weight - rounded) H (weight - rounded).T small: GPTQ, algorithm 1, by columns."""
    order = np.argsort(-np.diag(hessian))
    h = hessian[np.ix_(order, order)].astype(np.float64)
    h[np.diag_indices(len(h))] += _DAMPING * max(float(np.diag(h).mean()), 1e-12)
    spread = np.linalg.cholesky(np.linalg.inv(h)).T.astype(np.float32)  # upper triangular
    left = weight[:, order].astype(np.float32)
    rounded = np.zeros_like(left)
    block = 128
    for start in range(0, left.shape[1], block):
        end = min(start + block, left.shape[1])
        errors = np.zeros((len(left), end - start), dtype=np.float32)
        for column in range(start, end):
            whole = np.clip(np.round(left[:, column] / steps[:, 0]), -127, 127)
            rounded[:, column] = whole
            errors[:, column - start] = (left[:, column] - whole * steps[:, 0]) / spread[column, column]
            left[:, column + 1 : end] -= np.outer(errors[:, column - start], spread[column, column + 1 : end])
        left[:, end:] -= errors @ spread[start:end, end:]
    return rounded[:, np.argsort(order)]
