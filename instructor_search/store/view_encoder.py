"""Opens the encoder that made a view, and refuses another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.encoder.runtimes.choose import Precision, has_precision
from instructor_search.errors import ViewMismatchError
from instructor_search.store.manifest import View

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder
    from instructor_search.store.table import CollectionTable  # loads the database: a search loads the model meanwhile


def load_view_encoder(
    view: View,
    *,
    device: str | None = None,
    runtime: str | None = None,
    model: str | None = None,
    allow_pickle: bool = False,
) -> InstructorEncoder:
    """Return the encoder of ``view``, in the view's precision; ``model`` names it where the view's place is gone.

    Where the runtime lacks that precision (a view made on a GPU in fp16, searched on a CPU) it is fp32, whose vectors
    differ from those of bf16 and fp16 by a cosine of less than 0.0001, and of int8 by less than 0.01.
    """
    fits = has_precision(view.precision, device=device, runtime=runtime)
    return load_encoder(
        model or view.model,
        device=device,
        runtime=runtime,
        precision=view.precision if fits else Precision.FP32,
        dialect=view.dialect,
        max_seq_length=None if model else view.max_tokens,
        allow_pickle=allow_pickle or view.allow_pickle,
    )


def check_encoder(collection: CollectionTable, view: View, encoder: Encoder) -> None:
    """Refuse an encoder that did not make ``view``.

    Raises:
        ViewMismatchError: the fingerprints differ; both are in the message.
    """
    if encoder.fingerprint != view.fingerprint:
        raise ViewMismatchError(
            f"view {view.name!r} of collection {collection.name!r} was made by {view.model} (fingerprint "
            f"{view.fingerprint}), the encoder given is {encoder.name} (fingerprint {encoder.fingerprint}); search "
            f"with the view's model, or make a view of yours: python -m ingest ... --model ... --view NAME"
        )
