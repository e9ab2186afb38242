"""Flags that several commands have: where collections are, which one, and how a model runs; each said in one place."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor_search.store.collection import Collection

STORE_HELP = "folder of all collections (default: INSTRUCTOR_SEARCH_STORE or ./instructor_store)"
DEVICE_HELP = "torch's: cpu, cuda, cuda:1, mps (default: the best that is there)"
PICKLE_HELP = "also load pytorch_model.bin where there is no safetensors file"


def collection_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a collection."""
    parser.add_argument("--collection", metavar="NAME", help="collection (default: the only one in the store)")
    parser.add_argument("--store", metavar="DIR", help=STORE_HELP)


def open_collection(args: argparse.Namespace) -> Collection:
    """Open the collection that the flags name, or the only one."""
    from instructor_search.store.collection import Collection
    from instructor_search.store.folders import find_collection

    return Collection.open(find_collection(args.collection, args.store).name, args.store)
