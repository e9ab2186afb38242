"""The vectors of an index on NVIDIA GPUs, where each of them is compared: in half precision, candidates again exactly.

FAISS's GPU code has no form of the codes that we use on a CPU (fast scan, RaBitQ, graphs of bytes), and needs none:
half a million vectors of 384 dimensions are 0.4 GB there, which a card reads in under a millisecond. So the saved index
stays what it is, and its vectors are what goes to the cards.
"""

from __future__ import annotations

from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from instructor_search.errors import StoreError

if TYPE_CHECKING:
    import faiss

MAX_DEPTH = 2048  # candidates of a query that FAISS's GPU code returns at most
_BLOCK = 100_000  # rows that are copied to a card at a time
_SCRATCH = 256 * 2**20  # bytes of a card's memory that FAISS works in


class Spread(StrEnum):
    """How vectors lie on the cards."""

    NONE = "none"  # on none: the CPU searches
    REPLICATE = "replicate"  # all on each: queries are dealt out
    SHARD = "shard"  # a part on each: for what one card cannot hold


class GpuVectors:
    """Finds candidates among vectors on one or several cards. One thread at a time may use it."""

    def __init__(self, module: ModuleType, vectors: np.ndarray, spread: Spread) -> None:
        """Copy ``vectors``, float32 (n, dim), to all cards that this process sees.

        Raises:
            StoreError: this FAISS is not made for GPUs, there is none, or they cannot hold or compare the vectors.
        """
        cards = num_cards(module)
        try:
            if spread is Spread.SHARD:
                edges = np.linspace(0, len(vectors), cards + 1).astype(int)
                parts = [on_card(module, n, vectors[edges[n] : edges[n + 1]]) for n in range(cards)]
                self.index = module.IndexShards(vectors.shape[1], True, True)  # threads; ids follow one another
                for part in parts:
                    self.index.add_shard(part)
            else:
                parts = [on_card(module, n, vectors) for n in range(cards)]
                self.index = module.IndexReplicas(vectors.shape[1], True)
                for part in parts:
                    self.index.addIndex(part)
            self.parts, self.count = parts, len(vectors)
            self.candidates(np.zeros((1, vectors.shape[1]), np.float32), 1)  # kernels that a card lacks fail here
        except RuntimeError as error:
            raise StoreError(f"the GPUs cannot take {vectors.shape} vectors ({_last_line(error)})") from error

    def candidates(self, queries: np.ndarray, depth: int) -> np.ndarray:
        """Return the positions of the nearest vectors, (q, depth) or fewer where there are fewer; -1 for none."""
        positions: np.ndarray = self.index.search(queries, min(depth, self.count, MAX_DEPTH))[1]
        return positions


def num_cards(module: ModuleType) -> int:
    """Return how many cards FAISS can use.

    Raises:
        StoreError: none, and why.
    """
    if not hasattr(module, "StandardGpuResources"):
        raise StoreError(
            "the FAISS that is installed works on CPUs only: pip uninstall faiss-cpu, then pip install '.[faiss-gpu]'"
        )
    cards = int(module.get_num_gpus())
    if not cards:
        raise StoreError("FAISS finds no NVIDIA GPU that it can use")
    return cards


def on_card(module: ModuleType, card: int, vectors: np.ndarray) -> faiss.GpuIndexFlatIP:
    """Return an index on one card that compares all of ``vectors``, kept in half precision."""
    resources = module.StandardGpuResources()
    resources.setTempMemory(_SCRATCH)
    config = module.GpuIndexFlatConfig()
    config.device, config.useFloat16 = card, True
    index: faiss.GpuIndexFlatIP = module.GpuIndexFlatIP(resources, vectors.shape[1], config)
    for start in range(0, len(vectors), _BLOCK):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
    return index


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][-160:] if str(error).strip() else type(error).__name__
