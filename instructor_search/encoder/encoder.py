"""The encoder: instructed texts in, float32 vectors out, batched by length.

Opening one reads the folder's description and its tokenizer only; the weights (and torch, or OpenVINO) load with the
first text that is embedded, so that counting tokens and comparing fingerprints stay cheap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.encoder.batching import batches
from instructor_search.encoder.checkpoint import Checkpoint, check_window, read_checkpoint, resolve_folder
from instructor_search.encoder.fingerprint import fingerprint
from instructor_search.encoder.inputs import Instructions, TextItem, Texts, to_instructed_texts
from instructor_search.encoder.progress import progress
from instructor_search.encoder.runtimes.choose import Runtime, choose
from instructor_search.encoder.runtimes.load import load_openvino, load_torch
from instructor_search.encoder.runtimes.openvino_runtime.cache import ships_graph
from instructor_search.encoder.tokenization import InstructedTokenizer, TokenizedText
from instructor_search.instructions import InstructedText, Instruction

if TYPE_CHECKING:
    import torch

    from instructor_search.encoder.modeling import InstructorModel
    from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime
    from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime

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
        window = self.checkpoint.max_seq_length if max_seq_length is None else max_seq_length
        check_window(self.checkpoint, window, name)
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
                self._loaded = load_openvino(self, self.precision)
        return self._loaded

    @property
    def _torch(self) -> TorchRuntime:
        """The torch model: what runs on GPUs, gives token embeddings, is saved and trained."""
        with self._loading:
            if self._torch_loaded is None:
                chosen = (self._device, self.precision) if self.runtime == Runtime.TORCH else ("cpu", "fp32")
                self._torch_loaded = self._load_torch(*chosen)
        return self._torch_loaded

    def _load_torch(self, device: str | None, precision: str) -> TorchRuntime:
        folder, pickle = self.checkpoint, self.allow_pickle
        return load_torch(folder, device=device, precision=precision, pad_id=self.pad_id, allow_pickle=pickle)

    def load(self) -> None:
        """Load the weights now instead of with the first text."""
        _ = self._runtime

    @property
    def model(self) -> InstructorModel:
        """The torch module; loads the weights."""
        return self._torch.model

    @property
    def device(self) -> torch.device | str:
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
        check_window(self.checkpoint, value, self.name)
        self.tokenizer.max_tokens = value
        self._recent.clear()
        self.fingerprint = self._fingerprint()

    def to(self, device: str) -> InstructorEncoder:
        """Move the model to another device of torch, which then computes.

        Raises:
            ModelError: the device cannot be used; the encoder stays as it was.
        """
        if self.runtime == Runtime.TORCH:
            self._torch.move(device)
        elif str(device) != "cpu":
            with self._loading:
                moved = self._torch_loaded or self._load_torch(str(device), "fp32")
                moved.move(str(device))
                self._torch_loaded, self._device = moved, str(device)
                self.runtime, self.precision = str(Runtime.TORCH), "fp32"
            self._recent.clear()
        return self

    def encode(
        self,
        sentences: Texts,
        batch_size: int | None = None,
        *,
        instruction: Instructions = None,
        normalize_embeddings: bool = False,
        show_progress_bar: bool | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return embeddings, float32 (n, dim), in input order; (dim,) for a single text.

        Args:
            sentences: Strings, (instruction, text) pairs or mappings with "text" and "instruction"; or a single one.
            batch_size: Texts of a forward pass at most; None: as many as fit a number of tokens. Texts of similar
                length go together.
            instruction: One for all texts, or one a text.
            normalize_embeddings: Unit length also for a model that does not end in Normalize.
            show_progress_bar: A bar on stderr; None shows none.
            on_batch: Called with the number of texts done after each forward pass.

        Raises:
            ValueError: the input is of another form, or brings instructions beside ``instruction``.
            InstructionTooLongError: an instruction fills the window.
        """
        texts, single = to_instructed_texts(sentences, instruction)
        with progress(len(texts), show_progress_bar, on_batch) as tell:
            vectors = _to_array(self.embed(texts, batch_size, normalize_embeddings=normalize_embeddings, on_batch=tell))
        return vectors[0] if single else vectors

    def encode_stream(
        self, sentences: Iterable[TextItem], *, instruction: str | Instruction | None = None, window: int = _WINDOW
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
                plan = batches(tokenized, None, self._runtime.batch_tokens)
                yield _to_array(self._runtime.embed(tokenized, plan))

    def _tokenize(self, texts: Sequence[InstructedText]) -> list[TokenizedText]:
        tokenized = self.tokenizer.encode_batch(texts)
        self.num_cut_texts += sum(t.num_cut > 0 for t in tokenized)
        return tokenized

    def embed(
        self,
        texts: Sequence[InstructedText],
        batch_size: int | None = None,
        *,
        normalize_embeddings: bool = False,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray | torch.Tensor:
        """Return embeddings, float32 (n, dim), as the runtime has them: an array, or a tensor on torch's device.

        A recent single text is not run again.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        if len(texts) == 1 and not normalize_embeddings and self.runtime != Runtime.TORCH:
            return self._embed_one(texts[0], on_batch)[None]
        runtime, parts = self._runtime, []
        for start in range(0, len(texts), _WINDOW):
            tokenized = self._tokenize(texts[start : start + _WINDOW])
            plan = batches(tokenized, batch_size, runtime.batch_tokens)
            parts.append(runtime.embed(tokenized, plan, normalize=normalize_embeddings, on_batch=on_batch))
        return _joined(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    def _embed_one(self, text: InstructedText, on_batch: Callable[[int], None] | None) -> np.ndarray:
        known: np.ndarray | None = self._recent.get(text)
        if known is None:
            known = np.asarray(self._runtime.embed(self._tokenize([text]), [[0]])[0])
            self._recent[text] = known
            if len(self._recent) > _NUM_RECENT:
                self._recent.popitem(last=False)
        if on_batch:
            on_batch(1)
        return known.copy()

    def token_features(
        self,
        texts: Sequence[InstructedText],
        batch_size: int | None = None,
        *,
        normalize_embeddings: bool = False,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Return for each text what the torch model makes of it, as tensors.

        "input_ids" and "attention_mask" (length,), "context_masks" (how many leading tokens are not pooled),
        "token_embeddings" (length, hidden), the instruction's tokens included, and "sentence_embedding" (dim,).
        """
        tokenized, runtime = self._tokenize(texts), self._torch
        results: list[dict[str, Any]] = [{} for _ in texts]
        for rows in batches(tokenized, batch_size, runtime.batch_tokens):
            values = runtime.features([tokenized[row] for row in rows], normalize=normalize_embeddings)
            for row, value in zip(rows, values, strict=True):
                results[row] = value
            if on_batch:
                on_batch(len(rows))
        return results

    def save(self, path: str | Path) -> None:
        """Write a folder that this loader and sentence-transformers >= 5 load, with the same vectors."""
        from instructor_search.encoder.saving import save_checkpoint

        save_checkpoint(self, Path(path))


def _joined(parts: list[Any]) -> np.ndarray | torch.Tensor:
    if len(parts) == 1:
        only: np.ndarray | torch.Tensor = parts[0]
        return only
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


def _to_array(vectors: np.ndarray | torch.Tensor) -> np.ndarray:
    return vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()
