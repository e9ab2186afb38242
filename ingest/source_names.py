"""Names of files that stay the same: "corpus/reviews/one.md" wherever the folder lies, whichever part is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from instructor_search.errors import ReaderError, StoreError


class SourceNames:
    """Folders by name. A file is named by the innermost of them that it lies in."""

    def __init__(self, known: Mapping[str, str], paths: Sequence[Path], collection: str) -> None:
        """Name the folders of ``paths`` that lie in no named one: a folder itself, of a file its folder.

        Raises:
            StoreError: two different folders of one name, which would mix their files.
        """
        self.folders = {name: Path(folder) for name, folder in known.items()}
        starts = sorted(
            {p.resolve() if p.is_dir() else p.resolve().parent for p in paths if p.exists()}, key=lambda p: len(p.parts)
        )
        for start in starts:
            if self._find(start) is None:
                self._add(start, collection)

    def _add(self, folder: Path, collection: str) -> None:
        name = folder.name or "root"
        known = self.folders.get(name)
        if known is not None and known != folder and known.is_dir():
            raise StoreError(
                f"collection {collection!r} holds files of another folder called {name!r} ({known}); use "
                f"--collection NAME for {folder}, or rename it"
            )
        if known is not None:  # moved here, and with it those inside it
            for inner, place in self.folders.items():
                if known in place.parents and not place.is_dir():
                    self.folders[inner] = folder / place.relative_to(known)
        self.folders[name] = folder

    def _find(self, path: Path) -> str | None:
        inside = [(len(f.parts), name) for name, f in self.folders.items() if path == f or f in path.parents]
        return max(inside)[1] if inside else None

    def source_of(self, path: Path) -> str:
        """Return the name of a file or folder (resolved path)."""
        name = self._find(path)
        if name is None:
            raise ValueError(f"{path} lies in no named folder")
        below = path.relative_to(self.folders[name]).as_posix()
        return name if below == "." else f"{name}/{below}"

    def below(self, paths: Sequence[Path], stored: Iterable[str]) -> dict[str, Path]:
        """Return the stored sources that lie at or below the given paths, and where they lie now.

        Raises:
            ReaderError: a path is not there, and nothing stored lies below it that could be pruned.
        """
        starts = {path: path.resolve() for path in paths}
        places = {source: self._path_of(source) for source in stored}
        inside = {
            start: [s for s, p in places.items() if p == start or start in p.parents] for start in starts.values()
        }
        unknown = [str(path) for path, start in starts.items() if not path.exists() and not inside[start]]
        if unknown:
            raise ReaderError(f"no such file or folder, and nothing stored of it: {', '.join(unknown)}")
        return {source: places[source] for sources in inside.values() for source in sources}

    def _path_of(self, source: str) -> Path:
        name, _, below = source.partition("/")
        return self.folders.get(name, Path(name)) / below

    def as_dict(self) -> dict[str, str]:
        """Return the named folders, for the manifest."""
        return {name: str(folder) for name, folder in self.folders.items()}
