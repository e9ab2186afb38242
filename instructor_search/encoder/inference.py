"""The encoder: instructed texts in, float32 vectors out, batched by length.

Opening one reads the folder's description and its tokenizer only; the weights (and torch, or OpenVINO) load with the
first text that is embedded, so that counting tokens and comparing fingerprints stay cheap.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.encoder.batching import batches
from instructor_search.encoder.checkpoint import Checkpoint, max_positions, read_checkpoint, resolve_folder
from instructor_search.encoder.fingerprint import fingerprint
from instructor_search.encoder.inputs import to_instructed_texts
from instructor_search.encoder.runtimes.choose import Runtime, choose
from instructor_search.encoder.runtimes.cpu import has_int8_products
from instructor_search.encoder.runtimes.openvino_runtime.cache import ships_graph
from instructor_search.encoder.tokenization import InstructedTokenizer, TokenizedText
from instructor_search.errors import MissingExtraError
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION, InstructedText

if TYPE_CHECKING:
    from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime
    from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime

_OUTPUTS = ("sentence_embedding", "token_embeddings", None)
_WINDOW = 8192  # texts that are tokenised and sorted by length together
_NUM_RECENT = 1024  # single texts whose vectors are remembered


class InstructorEncoder:
    """An instruction-aware text encoder (INSTRUCTOR, GTR-T5, Sentence-T5, MiniLM-type models)."""

    def __init__(
        self,
        name_or_path: str | None = None,
        device: str | None = None,
        cache_folder: str | None = None,
        *,
        dialect: str = "pypi",
        max_seq_length: int | None = None,
        allow_pickle: bool = False,
        instruction_overflow: str = "error",
        revision: str | None = None,
        runtime: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Open a folder or hub id; None is the default model.

        Args:
            name_or_path: Folder or hub id.
            device: torch's: "cpu", "cuda", "cuda:1", "mps". None: a GPU if there is one, else the CPU by OpenVINO.
            cache_folder: Where hub models are kept; None is the hub's default cache.
            dialect: "pypi" (the released package) or "head" (its repository): how instruction and text are joined.
            max_seq_length: Window in tokens; None takes the checkpoint's.
            allow_pickle: Also load ``pytorch_model.bin`` (with ``weights_only``), where there is no safetensors file.
            instruction_overflow: "error", or "official": an instruction as long as the window eats the text.
            revision: Commit, branch or tag of a hub model.
            runtime: "torch" or "openvino"; None chooses (see ``runtimes.choose.choose``).
            precision: "fp32", "bf16", "int8" (openvino), "fp16" (torch); None chooses.

        Raises:
            ModelError: the folder or hub id is no model that can be loaded.
            ValueError: an unknown runtime or precision, or one that the other does not go with.
        """
        folder, name = resolve_folder(
            name_or_path, allow_pickle=allow_pickle, revision=revision, cache_folder=cache_folder
        )
        self.checkpoint: Checkpoint = read_checkpoint(folder, name)
        self.name = name
        self.allow_pickle = allow_pickle
        self.num_cut_texts = 0  # texts that did not fit into the window, over the life of this encoder
        self.pad_id: int = self.checkpoint.config.get("pad_token_id") or 0
        self._device = device
        self._loaded: TorchRuntime | OpenVinoRuntime | None = None
        self._torch_loaded: TorchRuntime | None = None
        self._loading = Lock()
        self._recent: OrderedDict[InstructedText, np.ndarray] = OrderedDict()
        window = self._check_window(self.checkpoint.max_seq_length if max_seq_length is None else max_seq_length)
        self.tokenizer = InstructedTokenizer.from_folder(
            self.checkpoint.transformer_folder,
            window,
            dialect=dialect,
            lower_case=self.checkpoint.lower_case,
            instruction_overflow=instruction_overflow,
        )
        self.fingerprint = self._fingerprint()
        chosen = choose(runtime, precision, device, self.checkpoint.config, ships_int8=ships_graph(self))
        self.runtime, self.precision = map(str, chosen)

    def _check_window(self, window: int) -> int:
        limit = max_positions(self.checkpoint)
        if window < 4 or (limit is not None and window > limit):
            raise ValueError(
                f"max_seq_length is {window}; expected 4 to {limit or 'any number'} tokens for {self.name}"
            )
        return window

    def _fingerprint(self) -> str:
        return fingerprint(
            self.checkpoint,
            dialect=self.tokenizer.dialect,
            max_tokens=self.tokenizer.max_tokens,
            allow_pickle=self.allow_pickle,
        )

    @property
    def _runtime(self) -> TorchRuntime | OpenVinoRuntime:
        if self.runtime == Runtime.TORCH:
            return self._torch
        with self._loading:  # two threads must not load the weights twice
            if self._loaded is None:
                from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime

                longest = max_positions(self.checkpoint)
                graph = self._graph(quantised=self.precision == "int8" and has_int8_products())
                self._loaded = OpenVinoRuntime(graph, self.precision, self.pad_id, longest)
        return self._loaded

    def _graph(self, *, quantised: bool) -> Any:
        if quantised:
            from instructor_search.encoder.runtimes.openvino_runtime.cache import int8_graph

            return int8_graph(self)
        from instructor_search.encoder.runtimes.openvino_runtime.graph import GraphBuilder

        return GraphBuilder(self.checkpoint, allow_pickle=self.allow_pickle).build()

    @property
    def _torch(self) -> TorchRuntime:
        """The torch model: what runs on GPUs, gives token embeddings, is saved and trained."""
        with self._loading:
            if self._torch_loaded is None:
                try:
                    from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime
                except ImportError as error:
                    raise MissingExtraError("torch and transformers", "torch", "the runtime torch") from error
                is_main = self.runtime == Runtime.TORCH
                self._torch_loaded = TorchRuntime(
                    self.checkpoint,
                    device=self._device if is_main else "cpu",
                    allow_pickle=self.allow_pickle,
                    precision=self.precision if is_main else "fp32",
                    pad_id=self.pad_id,
                )
        return self._torch_loaded

    def load(self) -> None:
        """Load the weights now instead of with the first text."""
        _ = self._runtime

    @property
    def model(self) -> Any:
        """The torch module; loads the weights."""
        return self._torch.model

    @property
    def device(self) -> Any:
        """The device that computes; loads the weights."""
        return self._runtime.device

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.checkpoint.dim

    @property
    def max_tokens(self) -> int:
        """Tokens of the window, special tokens included."""
        return self.tokenizer.max_tokens

    @property
    def max_seq_length(self) -> int:
        """The window under the name that sentence-transformers uses; may be set, within the model's positions."""
        return self.tokenizer.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.tokenizer.max_tokens = self._check_window(value)
        self._recent.clear()
        self.fingerprint = self._fingerprint()

    def get_sentence_embedding_dimension(self) -> int:
        """Return ``dim``, under the name that sentence-transformers uses."""
        return self.dim

    def to(self, device: str) -> InstructorEncoder:
        """Move the model to another device of torch, which then computes."""
        if self.runtime != Runtime.TORCH:
            if str(device) == "cpu":
                return self
            self.runtime, self.precision = str(Runtime.TORCH), "fp32"
            self._device = str(device)
            self._recent.clear()
        self._torch.move(device)
        return self

    def encode(
        self,
        sentences: Any,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        *,
        instruction: Any = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Any:
        """Return embeddings, float32 (n, dim), in input order; (dim,) for a single text.

        Args:
            sentences: Strings, (instruction, text) pairs or mappings with "text" and "instruction"; or a single one.
            batch_size: Texts of a forward pass at most; None: as many as fit a number of tokens. Texts of similar
                length go together.
            show_progress_bar: A bar on stderr; None shows none.
            output_value: "sentence_embedding"; "token_embeddings" (a list of (length, hidden), the instruction's tokens
                included); None (a list of mappings with all of it).
            convert_to_numpy: False gives a list of tensors.
            convert_to_tensor: One tensor (n, dim).
            device: Move the model there first.
            normalize_embeddings: Unit length also for a model that does not end in Normalize.
            instruction: One for all texts, or one a text.
            prompt: The same, under the name that sentence-transformers uses.
            prompt_name: A prompt of the checkpoint, or "NAME/query" or "NAME/document" of the instruction library.
            on_batch: Called with the number of texts done after each forward pass.

        Raises:
            ValueError: the input is of another form; two of instruction, prompt, prompt_name were given.
            InstructionTooLongError: an instruction fills the window.
        """
        texts, single = to_instructed_texts(sentences, self._choose_instruction(instruction, prompt, prompt_name))
        if output_value not in _OUTPUTS:
            raise ValueError(f"output_value is {output_value!r}; expected one of {_OUTPUTS}")
        if device is not None:
            self.to(device)
        with _progress(len(texts), show_progress_bar) as bar:

            def tell(count: int) -> None:
                bar.update(count)
                if on_batch:
                    on_batch(count)

            if output_value != "sentence_embedding":
                results = self._features(texts, batch_size, normalize_embeddings, output_value, tell)
                return results[0] if single else results
            vectors = self._embed(texts, batch_size, normalize_embeddings, tell)
        if convert_to_tensor or not convert_to_numpy:
            import torch

            tensor = torch.from_numpy(vectors) if isinstance(vectors, np.ndarray) else vectors
            if not convert_to_tensor:
                return tensor[0] if single else list(tensor)
            return tensor[0] if single else tensor
        array = vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()
        return array[0] if single else array

    def encode_stream(
        self, sentences: Iterable[Any], *, instruction: str | None = None, window: int = _WINDOW
    ) -> Iterator[np.ndarray]:
        """Yield vectors, float32 (up to ``window``, dim), of texts without end, in input order and in bounded memory.

        The next window is read and tokenised while one is computed. Arguments are as of ``encode``.
        """
        from concurrent.futures import ThreadPoolExecutor

        source = iter(sentences)

        def take() -> list[TokenizedText]:
            texts, _ = to_instructed_texts(list(islice(source, window)), instruction)
            return self._tokenize(texts)

        with ThreadPoolExecutor(1) as reader:
            upcoming = reader.submit(take)
            while tokenized := upcoming.result():
                upcoming = reader.submit(take)
                vectors = self._runtime.embed(tokenized, batches(tokenized, None, self._runtime.batch_tokens))
                yield vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()

    def _tokenize(self, texts: Sequence[InstructedText]) -> list[TokenizedText]:
        tokenized = self.tokenizer.encode_batch(texts)
        self.num_cut_texts += sum(t.num_cut > 0 for t in tokenized)
        return tokenized

    def _embed(
        self, texts: Sequence[InstructedText], batch_size: int | None, normalize: bool, tell: Callable[[int], None]
    ) -> Any:
        """Return vectors, (n, dim): an array, or torch's tensor; a recent single text is not run again."""
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        if len(texts) == 1 and not normalize and self.runtime != Runtime.TORCH:
            return self._embed_one(texts[0], tell)[None]
        runtime, parts = self._runtime, []
        for start in range(0, len(texts), _WINDOW):
            tokenized = self._tokenize(texts[start : start + _WINDOW])
            plan = batches(tokenized, batch_size, runtime.batch_tokens)
            parts.append(runtime.embed(tokenized, plan, normalize=normalize, on_batch=tell))
        if not parts:
            return np.empty((0, self.dim), dtype=np.float32)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else _concatenate(parts)

    def _embed_one(self, text: InstructedText, tell: Callable[[int], None]) -> np.ndarray:
        known: np.ndarray | None = self._recent.get(text)
        if known is None:
            known = np.asarray(self._runtime.embed(self._tokenize([text]), [[0]])[0])
            self._recent[text] = known
            if len(self._recent) > _NUM_RECENT:
                self._recent.popitem(last=False)
        tell(1)
        return known.copy()

    def _features(
        self,
        texts: Sequence[InstructedText],
        batch_size: int | None,
        normalize: bool,
        output_value: str | None,
        tell: Callable[[int], None],
    ) -> list[Any]:
        """Return token embeddings, or all there is, a text; torch computes it."""
        tokenized, runtime = self._tokenize(texts), self._torch
        results: list[Any] = [None] * len(texts)
        for rows in batches(tokenized, batch_size, runtime.batch_tokens):
            values = runtime.features([tokenized[row] for row in rows], normalize=normalize)
            for row, value in zip(rows, values, strict=True):
                results[row] = value if output_value is None else value[output_value]
            tell(len(rows))
        return results

    def encode_query(self, sentences: Any, *, instruction: Any = None, **options: Any) -> Any:
        """Return ``encode`` under a query instruction: the checkpoint's "query" prompt, or the default one."""
        return self._encode_side(sentences, "query", DEFAULT_QUERY_INSTRUCTION, instruction, options)

    def encode_document(self, sentences: Any, *, instruction: Any = None, **options: Any) -> Any:
        """Return ``encode`` under a document instruction: the checkpoint's "document" prompt, or the default one."""
        return self._encode_side(sentences, "document", DEFAULT_DOCUMENT_INSTRUCTION, instruction, options)

    def _encode_side(self, sentences: Any, side: str, default: str, instruction: Any, options: dict[str, Any]) -> Any:
        """Texts that bring an instruction of their own keep it; the others get the side's."""
        named = options.get("prompt") is not None or options.get("prompt_name") is not None
        if instruction is not None or named:
            return self.encode(sentences, instruction=instruction, **options)
        texts, single = to_instructed_texts(sentences)
        fallback = self.checkpoint.prompts.get(side, default)
        results = self.encode([(t.instruction or fallback, t.text) for t in texts], **options)
        return results[0] if single else results

    def _choose_instruction(self, instruction: Any, prompt: str | None, prompt_name: str | None) -> Any:
        given = [v for v in (instruction, prompt, prompt_name) if v is not None]
        if len(given) > 1:
            raise ValueError("give one of instruction, prompt and prompt_name, not several")
        if prompt_name is None:
            return given[0] if given else None
        if prompt_name in self.checkpoint.prompts:
            return self.checkpoint.prompts[prompt_name]
        from instructor_search.instruction_library import find_instruction

        return find_instruction(prompt_name)

    def similarity(self, first: Any, second: Any) -> Any:
        """Return cosine similarities, (n, m), of two sets of embeddings."""
        a, b = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (first, second))
        return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T

    def save(self, path: str | Path) -> None:
        """Write a folder that this loader and sentence-transformers >= 5 load, with the same vectors."""
        from instructor_search.encoder.saving import save_checkpoint

        save_checkpoint(self, Path(path))


def _concatenate(tensors: list[Any]) -> Any:
    import torch

    return torch.cat(tensors)


def _progress(total: int, show: bool | None) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="encode", unit=" texts", disable=not show, file=sys.stderr)
