"""The SQLite driver: one file on a local disk, for all processes of one host.

Acknowledged means committed: it survives the death of any process, and with `synchronous` "full" also a power
failure, as it was flushed to the disk before. An append that raised `Unavailable` is stored wholly or not at all.
"""

import pathlib

from queueservice.storage.drivers.sqlite import database, messages, records


class Driver:
    """Everything in the SQLite file at `path`; beside it lie its write-ahead log and a lock file."""

    shared = True

    def __init__(self, path: pathlib.Path, *, synchronous: str = 'full'):
        self._database = database.Database(path, synchronous)
        self.messages = messages.MessageStore(self._database)
        self.records = records.RecordStore(self._database)
        self.location = self._database.location

    def prepare(self) -> None:
        self._database.prepare()

    def ping(self) -> None:
        self._database.ping()

    def close(self) -> None:
        self._database.close()
