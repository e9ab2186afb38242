"""The few errors a caller may wish to catch. Each message says what was given, what was expected and what to do."""


class InstructorSearchError(Exception):
    """Base of all expected errors; the command line prints it as one line and exits with a non-zero code."""


class ModelError(InstructorSearchError):
    """A model folder or hub id cannot be loaded."""


class InstructionTooLongError(InstructorSearchError):
    """An instruction leaves no room for a single token of text in the model's window."""


class StoreError(InstructorSearchError):
    """A collection cannot be read or written as asked."""


class CollectionNotFoundError(StoreError):
    """No collection of that name in the store."""


class ViewMismatchError(StoreError):
    """Vectors of another encoder than the view's were about to be mixed with it or searched."""


class LockedError(StoreError):
    """Another process is writing to the collection."""


class FilterError(InstructorSearchError):
    """A ``--where`` expression cannot be understood or names an unknown field."""


class ReaderError(InstructorSearchError):
    """A file cannot be read as a document; the rest of the run goes on."""


class MissingExtraError(InstructorSearchError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Name the missing ``package``, the ``extra`` that brings it and the ``purpose`` it serves."""
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install '.[{extra}]'")
