"""The SQLite driver: one file, for all processes of one host.

Acknowledged means flushed to the disk: it survives a power failure (`synchronous` "full"), or the death of any
process but perhaps not of the host ("normal").
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
