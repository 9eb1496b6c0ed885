"""The MongoDB driver: a replica set or a sharded cluster, for any number of hosts.

Acknowledged means that a majority of the replica set has it in their journals: it survives the loss of a minority of
the servers, and a power failure of all. An append that raised `Unavailable` is stored wholly, partly (a prefix) or
not at all.
"""

import pymongo
from pymongo import errors as pymongo_errors

from queueservice.storage import base, errors
from queueservice.storage.drivers.mongodb import checks, database, messages, records, schema

#: How long the indexes of a large database may take to be built, in seconds.
_PREPARATION = 3600


class Driver:
    """Everything in the database that the URI names.

    :param unreliable: put up with a server, or a write concern in the URI, that may lose what was acknowledged.
    """

    shared = True

    def __init__(self, uri: str, *, unreliable: bool = False, patience: float = database.PATIENCE):
        self._database = database.Database(uri, unreliable=unreliable, patience=patience)
        self.messages = messages.MessageStore(self._database)
        self.records = records.RecordStore(self._database)
        self.location = self._database.location

    def prepare(self) -> None:
        for finding in checks.needs(self._database):
            if not finding.ok:
                raise errors.Unavailable(finding.sentence)
        try:
            with pymongo.timeout(_PREPARATION):
                schema.prepare(self._database)
        except pymongo_errors.PyMongoError as error:
            raise errors.Unavailable(f'{self.location} could not be prepared: {database.describe(error)}') from error

    def check(self) -> list[base.Finding]:
        """Look at the server and at what `prepare` makes, and change nothing."""
        return checks.everything(self._database)

    def begin_request(self) -> None:
        """From now on, all verbs that this thread calls together take no longer than one may."""
        self._database.begin_request()

    def ping(self) -> None:
        self._database.ping()

    def close(self) -> None:
        self.messages.close()
        self._database.close()
