"""Drop-in for the class of the old ``InstructorEmbedding`` package: ``from instructor_search import INSTRUCTOR``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from instructor_search.encoder.encoder import InstructorEncoder
from instructor_search.encoder.inputs import Instructions, to_instructed_texts
from instructor_search.encoder.progress import progress
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION

if TYPE_CHECKING:
    import torch

    # What ``encode`` gives by its arguments: vectors as an array or a tensor, one a text in a list, or token features.
    Encoded = np.ndarray | torch.Tensor | list[Any] | dict[str, Any]

_OUTPUTS = ("sentence_embedding", "token_embeddings", None)


class INSTRUCTOR(InstructorEncoder):
    """``INSTRUCTOR("hkunlp/instructor-large").encode([["Represent the Science title: ", "3D ActionSLAM ..."]])``.

    Same arguments, same vectors, and the names of sentence-transformers. Where the old class returned a zero vector or
    failed (tokens merging at the border of instruction and text), this one returns the text's embedding; an instruction
    as long as the window raises ``InstructionTooLongError``.
    """

    @overload
    def encode(
        self,
        sentences: Any,
        batch_size: int | None = ...,
        show_progress_bar: bool | None = ...,
        output_value: Literal["sentence_embedding"] = ...,
        convert_to_numpy: Literal[True] = ...,
        convert_to_tensor: Literal[False] = ...,
        device: str | None = ...,
        normalize_embeddings: bool = ...,
        *,
        instruction: Instructions = ...,
        prompt: Instructions = ...,
        prompt_name: str | None = ...,
        on_batch: Callable[[int], None] | None = ...,
    ) -> np.ndarray: ...

    @overload
    def encode(
        self,
        sentences: Any,
        batch_size: int | None = ...,
        show_progress_bar: bool | None = ...,
        output_value: Literal["sentence_embedding"] = ...,
        convert_to_numpy: bool = ...,
        *,
        convert_to_tensor: Literal[True],
        device: str | None = ...,
        normalize_embeddings: bool = ...,
        instruction: Instructions = ...,
        prompt: Instructions = ...,
        prompt_name: str | None = ...,
        on_batch: Callable[[int], None] | None = ...,
    ) -> torch.Tensor: ...

    @overload
    def encode(self, sentences: Any, *positional: Any, **options: Any) -> Encoded: ...

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
        instruction: Instructions = None,
        prompt: Instructions = None,
        prompt_name: str | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Encoded:
        """Return embeddings, float32 (n, dim), in input order; (dim,) for a single text.

        Args:
            sentences: As of ``InstructorEncoder.encode``.
            batch_size: Texts of a forward pass at most.
            show_progress_bar: A bar on stderr.
            output_value: "sentence_embedding"; "token_embeddings" (a list of (length, hidden), the instruction's tokens
                included); None (a list of mappings with all of it, see ``token_features``).
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
        options: dict[str, Any] = {"normalize_embeddings": normalize_embeddings}
        results: Any
        with progress(len(texts), show_progress_bar, on_batch) as tell:
            if output_value == "sentence_embedding":
                vectors = self.embed(texts, batch_size, on_batch=tell, **options)
                results = _converted(vectors, to_numpy=convert_to_numpy, to_tensor=convert_to_tensor)
            else:
                features = self.token_features(texts, batch_size, on_batch=tell, **options)
                results = [f[output_value] for f in features] if output_value else features
        encoded: Encoded = results[0] if single else results
        return encoded

    def encode_query(self, sentences: Any, *, instruction: Instructions = None, **options: Any) -> Encoded:
        """Return ``encode`` under a query instruction: the checkpoint's "query" prompt, or the default one."""
        return self._encode_side(sentences, "query", DEFAULT_QUERY_INSTRUCTION, instruction, options)

    def encode_document(self, sentences: Any, *, instruction: Instructions = None, **options: Any) -> Encoded:
        """Return ``encode`` under a document instruction: the checkpoint's "document" prompt, or the default one."""
        return self._encode_side(sentences, "document", DEFAULT_DOCUMENT_INSTRUCTION, instruction, options)

    def _encode_side(
        self, sentences: Any, side: str, default: str, instruction: Instructions, options: dict[str, Any]
    ) -> Encoded:
        """Texts that bring an instruction of their own keep it; the others get the side's."""
        named = options.get("prompt") is not None or options.get("prompt_name") is not None
        if instruction is not None or named:
            named_by_caller: Encoded = self.encode(sentences, instruction=instruction, **options)
            return named_by_caller
        texts, single = to_instructed_texts(sentences)
        fallback = self.checkpoint.prompts.get(side, default)
        results: Any = self.encode([(t.instruction or fallback, t.text) for t in texts], **options)
        encoded: Encoded = results[0] if single else results
        return encoded

    def _choose_instruction(
        self, instruction: Instructions, prompt: Instructions, prompt_name: str | None
    ) -> Instructions:
        given = [v for v in (instruction, prompt, prompt_name) if v is not None]
        if len(given) > 1:
            raise ValueError("give one of instruction, prompt and prompt_name, not several")
        if prompt_name is None:
            return given[0] if given else None
        if prompt_name in self.checkpoint.prompts:
            return self.checkpoint.prompts[prompt_name]
        from instructor_search.instruction_library import find_instruction

        return find_instruction(prompt_name)

    def get_sentence_embedding_dimension(self) -> int:
        """Return ``dim``, under the name that sentence-transformers uses."""
        return self.dim

    def similarity(self, first: Any, second: Any) -> np.ndarray:
        """Return cosine similarities, (n, m), of two sets of embeddings, (n, dim) and (m, dim)."""
        a, b = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (first, second))
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        cosines: np.ndarray = a @ b.T
        return cosines


def _converted(vectors: np.ndarray | torch.Tensor, *, to_numpy: bool, to_tensor: bool) -> Any:
    """Return embeddings, (n, dim), as an array, as one tensor, or as a list of tensors."""
    if to_numpy and not to_tensor:
        return vectors if isinstance(vectors, np.ndarray) else vectors.cpu().numpy()
    import torch

    tensor = torch.from_numpy(vectors) if isinstance(vectors, np.ndarray) else vectors
    return tensor if to_tensor else list(tensor)
