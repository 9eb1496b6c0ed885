"""The connection to MongoDB: made where it is first needed, bounded in time, its errors translated."""

import functools
import os

import pymongo
from pymongo import errors as pymongo_errors
from pymongo import read_concern, write_concern

from queueservice.storage import errors

#: How long one verb of a port may take, all its commands together, in seconds: an outage is answered within five.
PATIENCE = 4
#: The database where the URI names none.
NAME = 'queueservice'

#: What is acknowledged survives the loss of a minority of the servers, and of the power.
DURABLE = write_concern.WriteConcern('majority', j=True)
#: For what is repeated by whoever finds it missing.
UNAWAITED = write_concern.WriteConcern(0)


class Database:
    """Hands out the collections of one database, to any process that was forked from the one that made it."""

    def __init__(self, uri: str, *, patience: float = PATIENCE):
        self._uri = uri
        self.patience = patience  # s
        self._opened_by = None  # process id
        parsed = pymongo.uri_parser.parse_uri(uri, validate=True, warn=True)
        self._name = parsed['database'] or NAME
        hosts = ','.join(f'{host}:{port}' if port else host for host, port in parsed['nodelist'])
        self.location = f'mongodb://{hosts}/{self._name}'

    @property
    def client(self) -> pymongo.MongoClient:
        self._open()
        return self._client

    @property
    def database(self):
        self._open()
        return self._database

    @property
    def queues(self):
        self._open()
        return self._queues

    @property
    def messages(self):
        self._open()
        return self._messages

    @property
    def keys(self):
        self._open()
        return self._keys

    @property
    def graves(self):
        self._open()
        return self._graves

    def _open(self):
        # A client must not be carried over a fork: its connections would have two owners, its threads none.
        if self._opened_by != os.getpid():
            self._client = pymongo.MongoClient(
                self._uri,
                appname='queueservice',
                timeoutMS=round(self.patience * 1000),
                serverSelectionTimeoutMS=round(self.patience * 1000),
                connectTimeoutMS=round(self.patience * 500),
                retryWrites=True,
                retryReads=True,
            )
            self._database = self._client.get_database(
                self._name,
                write_concern=DURABLE,
                read_concern=read_concern.ReadConcern('majority'),
                read_preference=pymongo.ReadPreference.PRIMARY,
            )
            self._queues = self._database.queues
            self._messages = self._database.messages
            self._keys = self._database['keys']
            self._graves = self._database.graves
            self._opened_by = os.getpid()

    def close(self):
        if self._opened_by == os.getpid():
            self._client.close()


def verb(method):
    """Make a method of a store one verb of its port: bounded in time as a whole, no error of pymongo escapes it."""

    @functools.wraps(method)
    def bounded(self, *arguments, **options):
        try:
            with pymongo.timeout(self._database.patience):
                return method(self, *arguments, **options)
        except pymongo_errors.PyMongoError as error:
            raise errors.Unavailable(f'MongoDB did not do it: {error}') from error

    return bounded
