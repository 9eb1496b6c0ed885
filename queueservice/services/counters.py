"""Ids that are whole numbers: given out in blocks, so that most of them cost nothing."""

import threading

from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: How many ids a process takes at a time; what it has left when it ends is never used.
_BLOCK = 50
#: How often a process tries again where others take at the same moment.
_ATTEMPTS = 50


class Counters:
    def __init__(self, driver: base.Driver):
        self._records = driver.records
        self._lock = threading.Lock()
        self._left: dict[str, range] = {}

    def next(self, name: str) -> int:
        """An id that nobody else was given under this name; within a process, each is greater than the last."""
        with self._lock:
            left = self._left.get(name) or self._take(name)
            self._left[name] = left[1:]
            return left[0]

    def _take(self, name):
        query = records.Query(where=(records.Condition('name', '=', name),), limit=1)
        for _ in range(_ATTEMPTS):
            found = self._records.find(tables.COUNTERS, query).records
            last = found[0]['value'] if found else 0
            taken = {'name': name, 'value': last + _BLOCK}
            if found:
                (stored,) = self._records.replace(tables.COUNTERS, [found[0] | taken])
            else:
                (stored,) = self._records.insert(tables.COUNTERS, [taken])
            if isinstance(stored, dict):
                return range(last + 1, last + _BLOCK + 1)
        raise storage_errors.Unavailable('Ids kept being taken by others.')
