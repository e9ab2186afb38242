"""The commands collections and delete: what a store holds, and taking away of it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from instructor_search.commands.flags import STORE_HELP, collection_flags, open_collection
from instructor_search.commands.parser import counted
from instructor_search.errors import CollectionNotFoundError, StoreError


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    collections = commands.add_parser("collections", help="list the collections of a store")
    collections.add_argument("--store", metavar="DIR", help=STORE_HELP)
    collections.add_argument("--json", action="store_true", help="print JSON")
    collections.set_defaults(run=_collections)

    delete = commands.add_parser("delete", help="delete a collection, one of its views, or some of its chunks")
    collection_flags(delete)
    what = delete.add_mutually_exclusive_group()
    what.add_argument("--view", metavar="NAME", help="delete only this view and its vectors")
    what.add_argument(
        "--where",
        metavar="FILTER",
        help="delete only the chunks that match; the next ingest brings those of existing files back",
    )
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(run=_delete)


def _collections(args: argparse.Namespace) -> int:
    from instructor_search.store.collection import Collection
    from instructor_search.store.folders import list_collections, store_folder

    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for name in list_collections(args.store):
        try:
            collection = Collection.open(name, args.store)
        except StoreError as error:
            broken.append(str(error))
            continue
        rows.append(
            {
                "name": name,
                "sources": collection.sources_table.count_rows(),
                "chunks": collection.num_chunks(),
                "views": list(collection.manifest.views),
                "created": collection.manifest.created,
            }
        )
    if args.json:
        print(json.dumps({"store": str(store_folder(args.store)), "collections": rows, "damaged": broken}))
    elif not rows and not broken:
        print(f"no collections in {store_folder(args.store)}; make one: python -m ingest FOLDER --instruction")
    else:
        for row in rows:
            print(
                f"{row['name']}: {counted(row['sources'], 'file')}, {counted(row['chunks'], 'chunk')}, "
                f"views: {', '.join(row['views'])}"
            )
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 1 if broken else 0


def _delete(args: argparse.Namespace) -> int:
    for flag, given in (("--view", args.view), ("--where", args.where)):
        if given is not None and not given.strip():
            raise ValueError(f"{flag} is {given!r}; expected what to delete; without {flag} the whole collection goes")
    is_whole = args.view is None and args.where is None
    try:
        collection = open_collection(args)
    except StoreError as error:
        if isinstance(error, CollectionNotFoundError) or not is_whole or not args.collection:
            raise
        return _delete_damaged(args, error)
    from instructor_search.search.filters import compile_filter
    from instructor_search.store import maintenance

    where = compile_filter(args.where, collection.manifest.fields) if args.where is not None else None
    if args.view is not None:
        what = f"view {collection.view(args.view).name!r} of {collection.name!r}"
    elif where is not None:
        what = f"{counted(collection.num_chunks(where), 'chunk')} of {collection.name!r} where {args.where}"
    else:
        what = f"collection {collection.name!r} with {counted(collection.num_chunks(), 'chunk')}"
    _confirm(what, args.yes)
    if is_whole:
        collection.drop()
    else:
        with collection.writing():
            if args.view is not None:
                maintenance.drop_view(collection, args.view)
            elif where is not None:
                collection.delete_where(where)
    print(f"deleted {what}")
    return 0


def _delete_damaged(args: argparse.Namespace, error: StoreError) -> int:
    import shutil

    from instructor_search.store.folders import store_folder

    folder = store_folder(args.store) / args.collection
    print(f"damaged: {error}", file=sys.stderr)
    _confirm(f"the damaged collection in {folder}", args.yes)
    shutil.rmtree(folder)
    print(f"deleted {folder}")
    return 0


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StoreError(f"would delete {what}; pass --yes to do it")
    if input(f"delete {what}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise StoreError("nothing was deleted")
