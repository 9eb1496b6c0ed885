"""The file, as the stores see it: somewhere to read, and somewhere to write."""

import contextlib
import functools
import logging
import os
import pathlib
import sqlite3
import urllib.parse
import weakref

from queueservice.storage import errors
from queueservice.storage.drivers.sqlite import schema, writer

LOG = logging.getLogger(__name__)

#: What a connection keeps of the file in memory, in KiB. There is one writing connection in a process,
#: and as many reading ones as have ever read at the same time.
_WRITER_CACHE = 64 * 1024
_READER_CACHE = 2 * 1024
#: How many pages the write-ahead log has when it is worked into the file.
_CHECKPOINT = 4000

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _translating(method):
    """Turn every error of SQLite and of the file system into `Unavailable`."""

    @functools.wraps(method)
    def translated(self, *arguments, **options):
        try:
            return method(self, *arguments, **options)
        except (sqlite3.Error, OSError) as error:
            if getattr(error, 'sqlite_errorcode', 0) & 0xFF in _DAMAGED:
                LOG.critical('%s is damaged (%s). Stop the service and restore the file.', self.location, error)
            raise errors.Unavailable(f'{self.location}: {error}') from error

    return translated


class Database:
    """One SQLite file. Opens nothing before it is used; each process has connections of its own."""

    def __init__(self, path: pathlib.Path, synchronous: str):
        self._path = pathlib.Path(path).absolute()
        self.location = f'sqlite:///{self._path}'
        self._synchronous = synchronous
        self._sessions: dict[int, _Session] = {}  # by process id
        _DATABASES.add(self)

    @_translating
    def read(self, operation: writer.Operation, *arguments):
        """Return `operation(connection, *arguments)`.

        Each statement sees the state of its own moment. An operation whose statements must all see the same
        executes BEGIN first; it need not end what it began.

        :raises Unavailable: SQLite or the file system failed.
        """
        readers = self._session().readers
        try:
            connection = readers.pop()
        except IndexError:
            connection = self._connect(_READER_CACHE, 'query_only = ON')
        try:
            return operation(connection, *arguments)
        finally:
            if connection.in_transaction:
                connection.execute('COMMIT')
            readers.append(connection)

    @_translating
    def write(self, operation: writer.Operation, *arguments, size: int = 0):
        """Return `operation(connection, *arguments)`, called in a transaction, once that is committed.

        If the operation raises, nothing of it was written. It must be quick and repeatable.

        :param size: about how many bytes it writes.
        :raises Unavailable: SQLite or the file system failed, or did not answer in time.
        """
        return self._session().writer.run(operation, arguments, size)

    def ping(self) -> None:
        """Make the smallest of all writes, which changes nothing.

        :raises Unavailable: it failed.
        """
        self.write(schema.touch)

    @_translating
    def prepare(self) -> None:
        """Create or upgrade the file; check it if nobody closed it properly.

        :raises Unavailable: it cannot be used; the text says why.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(writer.Gate(f'{self._path}.lock')) as gate, gate:
            if self._was_left_open():
                LOG.warning('%s was not closed properly. It is checked now.', self.location)
                with contextlib.closing(self._connect(_WRITER_CACHE)) as connection:
                    schema.check(connection)
            with contextlib.closing(self._connect(_WRITER_CACHE)) as connection:
                schema.prepare(connection)

    @_translating
    def close(self) -> None:
        session = self._sessions.get(os.getpid())
        if session is not None:
            session.close()

    def _session(self) -> '_Session':
        # Keyed by process, as connections do not survive a fork. No lock is needed, which might be held at the
        # fork: making a session opens nothing, and all threads get the same.
        process = os.getpid()
        return self._sessions.get(process) or self._sessions.setdefault(process, _Session(self._path, self._connect))

    def _connect(self, cache: int = _WRITER_CACHE, *pragmas: str) -> sqlite3.Connection:
        # With mode=rw a file that is missing is an error, and not an empty one.
        connection = sqlite3.connect(
            f'file:{urllib.parse.quote(os.fsencode(self._path))}?mode=rw',
            uri=True,
            timeout=writer.TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in (
            *pragmas,
            f'synchronous = {self._synchronous}',
            f'cache_size = -{cache}',
            f'wal_autocheckpoint = {_CHECKPOINT}',
            'temp_store = MEMORY',
            'secure_delete = FAST',
        ):
            connection.execute(f'PRAGMA {pragma}')
        return connection

    def _was_left_open(self) -> bool:
        """Whether the last process to use the file was killed, and no other uses it now.

        As long as the file is open it has a write-ahead log beside it, which whoever closes it last removes.
        """
        log = pathlib.Path(f'{self._path}-wal')
        if not log.exists() or log.stat().st_size == 0:
            return False
        try:
            connection = self._connect(_READER_CACHE, 'busy_timeout = 0', 'locking_mode = EXCLUSIVE')
            with contextlib.closing(connection):
                connection.execute('SELECT 1 FROM sqlite_schema')
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True


class _Session:
    """What one process has open."""

    def __init__(self, path, connect):
        self.readers: list[sqlite3.Connection] = []  # those that nobody reads from at the moment
        self.writer = writer.Writer(str(path), connect)

    def close(self):
        while self.readers:
            self.readers.pop().close()
        self.writer.close()


def _close_before_fork():
    # SQLite's locks belong to the process; to carry an open file over a fork is the way to damage it (source:
    # sqlite.org/howtocorrupt.html, 2.6). Whoever needs the file afterwards opens it again. A process must not
    # fork while other threads of it use the driver.
    for database in list(_DATABASES):
        database.close()


_DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()
os.register_at_fork(before=_close_before_fork)
