"""Secrets that the service makes for itself where the operator gives none."""

import collections.abc
import os

from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

_LENGTH = 32  # bytes

#: Under this name the secret is kept that signs where the operator gives none.
_SIGNING = 'signed_url'


class Secrets:
    def __init__(self, driver: base.Driver, clock: collections.abc.Callable[[], float]):
        self._records = driver.records
        self._clock = clock
        self._known: dict[str, bytes] = {}

    def load(self, name: str) -> bytes:
        """The secret of this name: made at random by whoever asks first, and the same for all processes ever after."""
        secret = self._known.get(name)
        if secret is None:
            secret = self._known[name] = self._find(name) or self._make(name)
        return secret

    def _find(self, name):
        query = records.Query(where=(records.Condition('name', '=', name),), limit=1)
        found = self._records.find(tables.SECRETS, query).records
        return found[0]['value'] if found else None

    def _make(self, name):
        record = {'name': name, 'value': os.urandom(_LENGTH), 'created_at': self._clock()}
        (inserted,) = self._records.insert(tables.SECRETS, [record])
        if isinstance(inserted, storage_errors.Duplicate):  # another process was quicker: its secret is the one
            return self._find(name)
        return inserted['value']


class Signing:
    """What signs and verifies pre-signed URLs of either kind."""

    def __init__(self, own: Secrets, configured: collections.abc.Sequence[bytes]):
        """
        :param configured: the operator's secrets: the first signs, each of them verifies. None of them: the service's
            own does both.
        """
        self._own = own
        self._configured = tuple(configured)

    def load(self) -> tuple[bytes, ...]:
        """All that verify; the first one signs."""
        return self._configured or (self._own.load(_SIGNING),)
