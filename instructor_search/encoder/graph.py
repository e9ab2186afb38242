"""Builds the model as an OpenVINO graph, straight from its weights: T5 encoders and the BERT family.

Tokens of all texts of a batch are rows of one matrix (tokens, hidden): linear layers and norms see two dimensions, so
that quantisation can be done channel by channel; only attention knows texts. What is built is the chain of
``modeling``: backbone, mean over the text's tokens, dense layers, unit length. With a ``quantization`` its linear
layers are int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.encoder.layers import InputCodes, LinearLayer, Quantization
from instructor_search.encoder.openvino_quietly import op, ov
from instructor_search.encoder.runtimes import can_build_graph
from instructor_search.encoder.weights import backbone_tensors, read_tensors
from instructor_search.errors import ModelError

if TYPE_CHECKING:
    from instructor_search.encoder.checkpoint import Checkpoint

_MASKED = -10_000.0  # added to the scores of padding: its weight is exactly 0 in float32
_NARROW = 1e-3  # see ``GraphBuilder._codes``


_HIDDEN = "last_hidden_state"


def add_tokens(graph: ov.Model) -> None:
    """Let a graph, built here or read from a file, also return the last hidden states, (batch, length, hidden)."""
    graph.add_outputs(next(node for node in graph.get_ops() if node.get_friendly_name() == _HIDDEN).output(0))


class GraphBuilder:
    """One graph. Inputs: ids int32, attention and pooling float32 masks, each (batch, length)."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        allow_pickle: bool = False,
        quantization: Quantization | None = None,
    ) -> None:
        """Read the weights of ``checkpoint``.

        Raises:
            ModelError: no graph can be built of this kind of model.
        """
        if not can_build_graph(checkpoint.config):
            raise ModelError(
                f"no graph is built of this {checkpoint.config['model_type']!r} model; use --runtime torch"
            )
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.allow_pickle = allow_pickle
        self.tensors = backbone_tensors(checkpoint, allow_pickle=allow_pickle)
        self.quantization = quantization
        # What a calibration needs to know. Layers of one group share their input.
        self.layers: dict[str, LinearLayer] = {}
        self.inputs: dict[str, Any] = {}  # group -> node, (tokens, channels)
        self.follows: dict[str, list[str]] = {}  # group -> layers whose activated outputs are its input
        self._made: dict[str, Any] = {}

    def build(self, *, with_inputs: bool = False) -> ov.Model:
        """Return the graph: embeddings (batch, dim); ``with_inputs``: after them the inputs of all groups of layers."""
        ids = op.parameter([-1, -1], np.int32, name="ids")
        attention, pooling = (op.parameter([-1, -1], np.float32, name=n) for n in ("attention", "pooling"))
        self.shape = op.shape_of(ids, "i64")
        self.batch, self.length = (op.gather(self.shape, _ints(i), _int(0)) for i in (0, 1))
        x = self._t5(ids, attention) if self.config["model_type"] == "t5" else self._bert(ids, attention)
        hidden = op.reshape(x, self._dims(self.shape, self.checkpoint.hidden_size), False)
        hidden.set_friendly_name(_HIDDEN)
        total = op.squeeze(op.matmul(op.unsqueeze(pooling, _ints(1)), hidden, False, False), _ints(1))
        y = op.divide(total, op.maximum(op.reduce_sum(pooling, _ints(1), True), _floats(1e-9)))
        y = self._dense(y)
        results = [y, *(self.inputs.values() if with_inputs else [])]
        return ov.Model(results, [ids, attention, pooling], self.checkpoint.name)

    # -- backbones -------------------------------------------------------------------------------------------------

    def _bert(self, ids: Any, attention: Any) -> Any:
        c, kind = self.config, self.config["model_type"]
        names = _BERT_NAMES.get(kind, _BERT_NAMES["bert"])
        self.num_heads = c.get("num_attention_heads") or c["n_heads"]
        eps = c.get("layer_norm_eps", 1e-12)
        first = c.get("pad_token_id", 1) + 1 if kind in ("roberta", "xlm-roberta", "mpnet") else 0
        table = self._tensor("embeddings.position_embeddings.weight")[first:]
        if "embeddings.token_type_embeddings.weight" in self.tensors:
            table = table + self._tensor("embeddings.token_type_embeddings.weight")[0]
        words = self._rows("embeddings.word_embeddings.weight", ids)
        places = op.slice(_floats(table), _ints(0), self.length, _ints(1), _ints(0))
        x = op.reshape(op.add(words, op.unsqueeze(places, _int(0))), _ints(-1, table.shape[1]), False)
        bias = self._mask(attention)
        if kind == "mpnet":
            bias = op.add(bias, self._relative_bias("encoder.relative_attention_bias.weight", max_distance=128))
        normal, norm = self._standardise(x, eps), self._scale_of("embeddings.LayerNorm")
        for i in range(c.get("num_hidden_layers") or c["n_layers"]):
            p = names["layer"].format(i)
            residual = self._affine(normal, *norm)
            scale = 1 / np.sqrt(self.checkpoint.hidden_size // self.num_heads)
            q, k, v = (
                self._linear(f"{i}.qkv", n, p + names[n], (normal, *norm), scale=scale if n == "q" else 1.0)
                for n in "qkv"
            )
            a = self._linear(f"{i}.out", "o", p + names["o"], self._attend(q, k, v, bias))
            normal, norm = self._standardise(op.add(a, residual), eps), self._scale_of(p + names["norm1"])
            residual = self._affine(normal, *norm)
            h = self._linear(f"{i}.up", "up", p + names["up"], (normal, *norm), feeds=f"{i}.down")
            h = _activate(h, c.get("hidden_act") or c["activation"])
            h = self._linear(f"{i}.down", "down", p + names["down"], h)
            normal, norm = self._standardise(op.add(h, residual), eps), self._scale_of(p + names["norm2"])
        return self._affine(normal, *norm)

    def _t5(self, ids: Any, attention: Any) -> Any:
        c = self.config
        self.num_heads = c["num_heads"]
        eps = c.get("layer_norm_epsilon", 1e-6)
        shared = "shared.weight" if "shared.weight" in self.tensors else "encoder.embed_tokens.weight"
        x = op.reshape(self._rows(shared, ids), _ints(-1, c["d_model"]), False)
        table = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        bias = op.add(self._mask(attention), self._relative_bias(table, c.get("relative_attention_max_distance", 128)))
        gated = str(c.get("feed_forward_proj", "relu")).startswith("gated-")
        act = str(c.get("feed_forward_proj", "relu")).removeprefix("gated-")
        act = "gelu_new" if act == "gelu" and gated else act
        for i in range(c["num_layers"]):
            p = f"encoder.block.{i}.layer."
            normal = self._root_mean_square(x, eps)
            norm = (self._tensor(p + "0.layer_norm.weight"), None)
            q, k, v = (self._linear(f"{i}.qkv", n, f"{p}0.SelfAttention.{n}", (normal, *norm)) for n in "qkv")
            x = op.add(x, self._linear(f"{i}.out", "o", p + "0.SelfAttention.o", self._attend(q, k, v, bias)))
            normal = self._root_mean_square(x, eps)
            norm = (self._tensor(p + "1.layer_norm.weight"), None)
            if gated:
                gate = self._linear(f"{i}.up", "gate", p + "1.DenseReluDense.wi_0", (normal, *norm), feeds=f"{i}.down")
                h = self._linear(f"{i}.up", "up", p + "1.DenseReluDense.wi_1", (normal, *norm), feeds=f"{i}.down")
                h = op.multiply(_activate(gate, act), h)
            else:
                h = self._linear(f"{i}.up", "up", p + "1.DenseReluDense.wi", (normal, *norm), feeds=f"{i}.down")
                h = _activate(h, act)
            x = op.add(x, self._linear(f"{i}.down", "down", p + "1.DenseReluDense.wo", h))
        return self._affine(self._root_mean_square(x, eps), self._tensor("encoder.final_layer_norm.weight"), None)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _attend(self, q: Any, k: Any, v: Any, bias: Any) -> Any:
        """Return attention outputs, (tokens, inner); the scores' scale is in the query's weights."""
        size = int(q.output(0).get_partial_shape()[1].get_length()) // self.num_heads
        shape, turn = self._dims(self.shape, self.num_heads, size), _ints(0, 2, 1, 3)
        q, k, v = (op.transpose(op.reshape(t, shape, False), turn) for t in (q, k, v))
        weights = op.softmax(op.add(op.matmul(q, k, False, True), bias), -1)  # (batch, heads, length, length)
        a = op.transpose(op.matmul(weights, v, False, False), turn)
        return op.reshape(a, _ints(-1, self.num_heads * size), False)

    def _mask(self, attention: Any) -> Any:
        shape = op.concat([self.batch, _ints(1, 1, -1)], 0)
        return op.reshape(op.multiply(op.subtract(_floats(1.0), attention), _floats(_MASKED)), shape, False)

    def _relative_bias(self, name: str, max_distance: int) -> Any:
        """Return T5's position bias, (1, heads, length, length): one number a head for each bucket of distances.

        From ``max_distance`` on all are in one bucket.
        """
        table = self._tensor(name)  # (buckets, heads)
        buckets = _buckets(np.arange(-max_distance, max_distance + 1), len(table), max_distance)
        places = op.range(_int32(0), op.convert(op.squeeze(self.length, _ints(0)), np.int32), _int32(1), "i32")
        distance = op.subtract(op.unsqueeze(places, _int(0)), op.unsqueeze(places, _int(1)))  # memory - query
        near = op.maximum(op.minimum(distance, _int32(max_distance)), _int32(-max_distance))
        index = op.add(near, _int32(max_distance))
        bias = op.gather(_floats(table[buckets]), index, _int(0))  # (length, length, heads)
        return op.unsqueeze(op.transpose(bias, _ints(2, 0, 1)), _int(0))

    def _standardise(self, x: Any, eps: float) -> Any:
        return op.mvn(x, _ints(1), True, eps, "inside_sqrt")

    def _root_mean_square(self, x: Any, eps: float) -> Any:
        mean = op.reduce_mean(op.multiply(x, x), _ints(1), True)
        return op.divide(x, op.sqrt(op.add(mean, _floats(eps))))

    def _affine(self, x: Any, weight: np.ndarray, bias: np.ndarray | None) -> Any:
        y = op.multiply(x, _floats(weight[None]))
        return y if bias is None else self._shift(y, bias)

    def _shift(self, x: Any, bias: np.ndarray) -> Any:
        return op.add(x, _floats(bias[None])) if bias.any() else x

    def _linear(
        self, group: str, name: str, tensor: str, source: Any, *, scale: float = 1.0, feeds: str | None = None
    ) -> Any:
        """Return a linear layer, (tokens, out). ``source``: its input, or (normalised input, weight, bias of the norm).

        ``feeds``: the group that reads this layer's output through an activation, and may want columns of it twice.
        """
        weight = self._tensor(tensor + ".weight") * scale  # (out, in)
        bias = self.tensors.get(tensor + ".bias", np.zeros(len(weight), np.float32)) * scale
        name = f"{group}.{name}"
        if feeds:
            self.follows.setdefault(feeds, []).append(name)
        if self.quantization is not None:
            layer = self.quantization.layers[name]
            wanted = self.quantization.inputs[feeds].channel if feeds else slice(None)
            return _int8_linear(self._codes(group, source), *(values[wanted] for values in layer))
        if group not in self.inputs:
            self.inputs[group] = self._affine(*source) if isinstance(source, tuple) else source
        self.layers[name] = LinearLayer(group, weight, bias, tensor)
        y = op.matmul(self.inputs[group], _floats(weight), False, True)
        return self._shift(y, bias)

    def _codes(self, group: str, source: Any) -> Any:
        """Return a group's input as 256 levels from 0 to its range.

        After an activation the quantisation, channel by channel, joins the layer before it. Elsewhere the channels'
        steps are an affine map, and the whole tensor is quantised alike: the plugin does both, and a norm's own scale,
        in one pass. The clamp does nothing that the quantisation would not do; it is a little narrower so that it is
        not optimised away, as the map would then be folded into a slower kind of quantisation.
        """
        if group in self._made:
            return self._made[group]
        assert self.quantization is not None
        q: InputCodes = self.quantization.inputs[group]
        low, high = _floats([[0.0]]), _floats([[q.range]])
        if group in self.follows:
            top = q.low + q.range * q.channel_steps
            made = op.fake_quantize(source, _floats(q.low[None]), _floats(top[None]), low, high, 256)
        else:
            x, weight, bias = source if isinstance(source, tuple) else (source, np.float32(1), None)
            shift = ((0.0 if bias is None else bias) - q.low) / q.channel_steps
            y = self._shift(op.multiply(x, _floats((weight / q.channel_steps)[None])), shift)
            y = op.clamp(y, float(q.range * _NARROW), float(q.range * (1 - _NARROW)))
            made = op.fake_quantize(y, low, high, low, high, 256)
        self._made[group] = made
        return made

    def _dense(self, y: Any) -> Any:
        for layer in self.checkpoint.dense:
            tensors = {k.removeprefix("linear."): v for k, v in self._read(layer.folder).items()}
            try:
                y = op.matmul(y, _floats(tensors["weight"]), False, True)
                y = self._shift(y, tensors["bias"]) if layer.bias else y
            except KeyError as error:
                raise ModelError(f"{layer.folder}: its weights do not fit its config.json ({error})") from error
            y = op.tanh(y) if layer.activation == "Tanh" else y
        if self.checkpoint.normalize:
            y = op.divide(y, op.maximum(op.sqrt(op.reduce_sum(op.multiply(y, y), _ints(1), True)), _floats(1e-12)))
        return y

    def _read(self, folder: Any) -> dict[str, np.ndarray]:
        return read_tensors(folder, allow_pickle=self.allow_pickle)

    def _scale_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._tensor(name + ".weight"), self._tensor(name + ".bias")

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self.tensors:
            raise ModelError(f"{self.checkpoint.transformer_folder} lacks weights of its model: {name!r}")
        return self.tensors[name]

    def _rows(self, name: str, ids: Any) -> Any:
        """Return rows of an embedding table. Beside int8 layers it is of int8 too, with a step a row: a quarter."""
        table = self._tensor(name)
        if self.quantization is None:
            return op.gather(_floats(table), ids, _int(0))
        steps = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127
        codes = op.gather(op.constant(np.rint(table / steps).astype(np.int8)), ids, _int(0))
        return op.multiply(op.convert(codes, np.float32), op.gather(_floats(steps), ids, _int(0)))

    def _dims(self, shape: Any, *sizes: int) -> Any:
        return op.concat([shape, _ints(*sizes)], 0)


def _int8_linear(codes: Any, weight: np.ndarray, steps: np.ndarray, bias: np.ndarray) -> Any:
    """Return codes @ (weight * steps).T + bias: weight int8 (out, in), one step and one bias an output."""
    scaled = op.multiply(op.convert(op.constant(np.ascontiguousarray(weight)), np.float32), _floats(steps[:, None]))
    return op.add(op.matmul(codes, scaled, False, True), _floats(bias[None]))


def _activate(x: Any, name: str) -> Any:
    kinds = {
        "gelu": lambda: op.gelu(x, "erf"),
        "gelu_new": lambda: op.gelu(x, "tanh"),
        "gelu_pytorch_tanh": lambda: op.gelu(x, "tanh"),
        "relu": lambda: op.relu(x),
        "silu": lambda: op.swish(x),
    }
    if name not in kinds:
        raise ModelError(f"no graph is built with the activation {name!r}; use --runtime torch")
    return kinds[name]()


def _buckets(distance: np.ndarray, num_buckets: int, max_distance: int) -> np.ndarray:
    """Return the bucket of each distance (memory - query), bidirectional: T5 (arXiv 1910.10683), section 2.1."""
    half = num_buckets // 2
    exact = half // 2
    size = np.abs(distance)
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / exact) / np.log(np.float32(max_distance / exact))
    far = np.minimum(exact + (ratio * (half - exact)).astype(np.int64), half - 1)
    return np.where(distance > 0, half, 0) + np.where(size < exact, size, far)


_SHARED = 10_000  # numbers of a constant from which copying it is worth avoiding
_BERT_NAMES = {
    "bert": {
        "layer": "encoder.layer.{}.", "q": "attention.self.query", "k": "attention.self.key",
        "v": "attention.self.value", "o": "attention.output.dense", "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm",
    },
    "distilbert": {
        "layer": "transformer.layer.{}.", "q": "attention.q_lin", "k": "attention.k_lin", "v": "attention.v_lin",
        "o": "attention.out_lin", "norm1": "sa_layer_norm", "up": "ffn.lin1", "down": "ffn.lin2",
        "norm2": "output_layer_norm",
    },
    "mpnet": {
        "layer": "encoder.layer.{}.", "q": "attention.attn.q", "k": "attention.attn.k", "v": "attention.attn.v",
        "o": "attention.attn.o", "norm1": "attention.LayerNorm", "up": "intermediate.dense", "down": "output.dense",
        "norm2": "output.LayerNorm",
    },
}  # fmt: skip


def _floats(values: Any) -> Any:
    """Return a constant; large ones share the array's memory, which may be the mapped weight file."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    return op.constant(array, shared_memory=array.size > _SHARED)


def _ints(*values: int) -> Any:
    return op.constant(np.array(values, dtype=np.int64))


def _int(value: int) -> Any:
    return op.constant(np.int64(value))


def _int32(value: int) -> Any:
    return op.constant(np.int32(value))
