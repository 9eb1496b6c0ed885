"""The connection to MongoDB: made where it is first needed, bounded in time, its errors translated."""

import collections.abc
import functools
import os
import threading
import time
import weakref

import pymongo
from pymongo import errors as pymongo_errors
from pymongo import read_concern, write_concern

from queueservice.storage import errors

#: How long the verbs of one request may take together, in seconds: an outage is answered within five. Outside of
#: requests each verb may take so long.
PATIENCE = 4
#: The database where the URI names none.
NAME = 'queueservice'

#: What is acknowledged survives the loss of a minority of the servers, and of the power.
DURABLE = write_concern.WriteConcern('majority', j=True)
#: For what is repeated by whoever finds it missing.
UNAWAITED = write_concern.WriteConcern(0)


class Database:
    """Hands out the collections of one database; a child process gets connections of its own.

    :param unreliable: write as the URI says even if that is less than DURABLE.
    """

    def __init__(self, uri: str, *, unreliable: bool = False, patience: float = PATIENCE):
        self._uri = uri
        self.patience = patience  # s
        self.unreliable = unreliable
        parsed = pymongo.uri_parser.parse_uri(uri, validate=True, warn=True)
        options = parsed['options']
        #: What the URI says of writes that is not what DURABLE says: "w=1".
        self.weakness = '&'.join(
            f'{name}={options[name]}'.lower()
            for name, strong in (('w', DURABLE.document['w']), ('journal', DURABLE.document['j']))
            if options.get(name, strong) != strong
        )
        self._write_concern, level = DURABLE, 'majority'
        if unreliable and self.weakness:
            # A reader that waits for the majority would not see what was written without it.
            self._write_concern, level = write_concern.WriteConcern(options.get('w'), j=options.get('journal')), 'local'
        self._read_concern = read_concern.ReadConcern(level)
        self._name = parsed['database'] or NAME
        hosts = ','.join(f'{host}:{port}' if port else host for host, port in parsed['nodelist'])
        self.location = f'mongodb://{hosts}/{self._name}'
        self._children = []
        self._begin()
        _databases.add(self)

    def _begin(self):
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._client = None

    def in_child(self, begin: collections.abc.Callable[[], None]) -> None:
        """Call `begin` in every process that is forked from this one, before anything else happens there."""
        self._children.append(begin)

    def forget(self):
        """In a child process: leave the parent's connections alone."""
        self._begin()
        for begin in self._children:
            begin()

    def _open(self) -> pymongo.MongoClient:
        with self._lock:
            if self._client is None:
                self._client = pymongo.MongoClient(
                    self._uri,
                    appname='queueservice',
                    timeoutMS=round(self.patience * 1000),
                    serverSelectionTimeoutMS=round(self.patience * 1000),
                    connectTimeoutMS=round(self.patience * 500),
                )
                self.database = self._client.get_database(
                    self._name,
                    write_concern=self._write_concern,
                    read_concern=self._read_concern,
                    read_preference=pymongo.ReadPreference.PRIMARY,
                )
                self._queues = self.database['queues']
                self._heads = self._queues.with_options(read_concern=read_concern.ReadConcern('local'))
                self._messages = self.database['messages']
                self._keys = self.database['keys']
                self._graves = self.database['graves']
        return self._client

    @property
    def client(self):
        return self._client or self._open()

    def collection(self, name: str):
        self._client or self._open()
        return self.database[name]

    def begin_request(self) -> None:
        self._thread.deadline = time.monotonic() + self.patience

    def time_left(self) -> float:
        """How many seconds there are for the commands of a verb that begins now."""
        deadline = getattr(self._thread, 'deadline', None)
        return self.patience if deadline is None else max(0.001, deadline - time.monotonic())

    def hello(self) -> dict:
        """What the primary, or a router, says of itself."""
        return self.client.admin.command('hello', read_preference=pymongo.ReadPreference.PRIMARY)

    @property
    def queues(self):
        self._client or self._open()
        return self._queues

    @property
    def heads(self):
        """The queues, as the primary sees them now: what is read there may be undone with its loss."""
        self._client or self._open()
        return self._heads

    @property
    def messages(self):
        self._client or self._open()
        return self._messages

    @property
    def keys(self):
        self._client or self._open()
        return self._keys

    @property
    def graves(self):
        self._client or self._open()
        return self._graves

    def ping(self) -> None:
        """Return if there is a primary, or a router, that takes writes.

        :raises Unavailable: there is none.
        """
        try:
            with pymongo.timeout(self.time_left()):
                writable = self.hello()['isWritablePrimary']
        except pymongo_errors.PyMongoError as error:
            raise errors.Unavailable(f'{self.location}: {describe(error)}') from error
        if not writable:
            raise errors.Unavailable(f'{self.location} takes no writes.')

    def close(self):
        with self._lock:
            if self._client is not None:
                self._client.close()


_databases = weakref.WeakSet()


def _leave_all():
    for database in list(_databases):
        database.forget()


os.register_at_fork(after_in_child=_leave_all)


def describe(error: pymongo_errors.PyMongoError) -> str:
    """What an error says, without the documents that some of them repeat: those are the tenants'."""
    return str(error).partition(', full error:')[0]


def verb(method):
    """Make a method of a store one verb of its port: bounded in time as a whole, no error of pymongo escapes it."""

    @functools.wraps(method)
    def bounded(self, *arguments, **options):
        try:
            with pymongo.timeout(self._database.time_left()):
                return method(self, *arguments, **options)
        except pymongo_errors.PyMongoError as error:
            raise errors.Unavailable(f'MongoDB did not do it: {describe(error)}') from error

    return bounded
