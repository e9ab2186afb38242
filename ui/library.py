"""Keeps what is slow to open: collections, their searchers, and one encoder for each model. Shared by all users."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any

from instructor_search.errors import CollectionNotFoundError
from instructor_search.store.folders import find_collection, list_collections
from instructor_search.store.manifest import Manifest, View, read_manifest

if TYPE_CHECKING:
    from instructor_search.search.background import Background, RandomQueries
    from instructor_search.search.explain import Explainer
    from instructor_search.search.searcher import Searcher
    from instructor_search.store.collection import Collection


class Library:
    """The collections of one store, opened when they are first asked for, and again when they have changed."""

    def __init__(self, store: str | None, model: str | None = None, gpus: str = "none") -> None:
        """``model``: loads in place of the one that a view names; refused where it did not make the view.

        ``gpus``: see ``Searcher``.
        """
        self.store, self.model, self.gpus = store, model, gpus
        self._lock = RLock()
        self._collections: dict[str, Collection] = {}
        self._searchers: dict[tuple[str, str, str], Searcher] = {}  # collection, view, when it was made
        self._encoders: dict[tuple[str, str], Any] = {}  # fingerprint, precision
        self._random_queries: dict[tuple[str, str], RandomQueries] = {}  # as the encoders
        self._backgrounds: dict[tuple[str, str, str], Background] = {}  # as the searchers
        self._explainers: dict[str, Explainer] = {}  # fingerprint

    def names(self) -> list[str]:
        """Return the names of the collections that there are."""
        return list_collections(self.store)

    def manifest(self, name: str) -> Manifest:
        """Return the newest facts of a collection.

        Raises:
            CollectionNotFoundError: there is none of that name.
        """
        if name not in self.names():  # which are told to whom the list is shown, not to whom guesses
            raise CollectionNotFoundError(f"there is no collection {name!r:.80}; choose one at the top of the page")
        return read_manifest(find_collection(name, self.store))

    def collection(self, name: str) -> Collection:
        """Return an open collection, with its newest manifest."""
        from instructor_search.store.collection import Collection

        manifest = self.manifest(name)
        with self._lock:
            known = self._collections.get(name)
            if known is None or known.manifest != manifest:
                known = self._collections[name] = Collection.open(name, self.store)
            return known

    def searcher(self, name: str, view: str | None = None) -> Searcher:
        """Return what searches a view; its model loads with the first query."""
        from instructor_search.search.searcher import Searcher

        collection = self.collection(name)
        stored_view = collection.view(view)
        key = (name, stored_view.name, stored_view.created)
        with self._lock:
            known = self._searchers.get(key)
            if known is None or known.collection is not collection:
                known = self._searchers[key] = Searcher(
                    collection, self.encoder(stored_view), stored_view.name, gpus=self.gpus
                )
            return known

    def encoder(self, view: View) -> Any:
        """Return the encoder of a view; its weights load with the first text."""
        from instructor_search.store.view_encoder import load_view_encoder

        with self._lock:
            key = (view.fingerprint, view.precision)
            if key not in self._encoders:
                self._encoders[key] = load_view_encoder(view, model=self.model)
            return self._encoders[key]

    def background(self, name: str, view: str | None = None) -> Background:
        """Return what random words score in a view; views of one encoder share the random words' vectors."""
        from instructor_search.search.background import Background, RandomQueries

        searcher = self.searcher(name, view)
        opened = searcher.view
        with self._lock:
            model = (opened.fingerprint, opened.precision)
            if model not in self._random_queries:
                self._random_queries[model] = RandomQueries(self.encoder(opened))
            key = (name, opened.name, opened.created)
            known = self._backgrounds.get(key)
            if known is None or known.searcher is not searcher:
                known = self._backgrounds[key] = Background(searcher, self._random_queries[model])
            return known

    def explainer(self, name: str, view: str | None = None) -> Explainer:
        """Return what takes scores of a view apart."""
        from instructor_search.search.explain import Explainer

        searcher = self.searcher(name, view)
        with self._lock:
            key = searcher.view.fingerprint
            if key not in self._explainers:
                self._explainers[key] = Explainer(searcher.encoder)
            return self._explainers[key]

    def forget(self, name: str) -> None:
        """Close a collection that is about to be deleted."""
        with self._lock:
            self._collections.pop(name, None)
            for key in [key for key in self._searchers if key[0] == name]:
                del self._searchers[key]
                self._backgrounds.pop(key, None)
