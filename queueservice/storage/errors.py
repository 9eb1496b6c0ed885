"""What a driver may raise or return, beside answers.

A driver translates every error of its client library into `Unavailable`, in one place, and lets none
of its own escape.
"""


class StorageError(Exception):
    pass


class Stale(StorageError):
    """The queue or record that the caller holds is not the present one: changed, deleted, or both.

    Nothing was written. The caller reads again and repeats.
    """


class KeyReused(StorageError):
    """A draft's key is remembered with another digest. Nothing was written."""


class Unavailable(StorageError):
    """The store did not answer, or answered with a fault of its own.

    What the call was to write may or may not be stored; nothing of it was acknowledged.
    """


class Duplicate:
    """Stands in an answer where a record was not inserted: its key or a unique set is taken."""

    def __eq__(self, other):
        return isinstance(other, Duplicate)

    __hash__ = None

    def __repr__(self):
        return 'Duplicate()'
