"""Group commit: one thread writes for all threads of the process, and one process at a time for all processes.

What waits together is committed together, so that it shares one flush to the disk. Writers of several
processes take turns at a gate, a lock on a file beside the database: SQLite's own way of waiting is to try again
now and then, and whoever is busiest wins every time. The gate opens before the group is gathered, so
that what arrives meanwhile comes along. The kernel opens it when its holder is killed.
"""

import collections.abc
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import typing

LOG = logging.getLogger(__name__)

#: How long anything waits before it counts as failed, in seconds.
TIMEOUT = 5
#: What one transaction takes at the most: operations, and bytes that they bring along.
GROUP_LIMIT = 64
GROUP_BYTES = 4 * 1024 * 1024
#: How long a group waits to become as large as the last one, in seconds.
COMPANY_PATIENCE = 0.002
#: After so long without work, in seconds, the writer looks whether there is something to tidy up.
IDLE = 1
#: A write-ahead log longer than this, in bytes, is cut off when there is nothing else to do.
LOG_SIZE = 4 * 1024 * 1024

#: Called with the connection and its arguments. An operation may have an attribute `together`: a function of the
#: connection and of a list of arguments, which carries out several calls at once and returns a result, or the
#: exception to raise, for each.
Operation = collections.abc.Callable[..., typing.Any]


class Gate:
    """Lets one writer through at a time, of whatever process. Enter it with `with`."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self):
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


class _Call:
    """An operation on its way to the writer, and its outcome on the way back."""

    __slots__ = ('abandoned', 'arguments', 'error', 'finished', 'operation', 'result', 'size')

    def __init__(self, operation, arguments, size):
        self.operation = operation
        self.arguments = arguments
        self.size = size
        self.result = None
        self.error = None
        self.abandoned = False
        self.finished = threading.Lock()
        self.finished.acquire()


class Writer:
    """The writing side of one process. Nothing is opened and no thread runs before the first operation."""

    def __init__(self, path: str, connect: collections.abc.Callable[[], sqlite3.Connection]):
        self._path = path
        self._connect = connect
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._bell = threading.Lock()  # who releases it wakes the writer
        self._bell.acquire()
        self._wanted = 1  # it is to be woken when so many calls wait
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._gate: Gate | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None  # what is open
        self._ending = False  # not before the group is done
        self._untidy = False
        self._company = 1  # how many operations the last group had

    def run(self, operation: Operation, arguments: tuple, size: int):
        """Call `operation(connection, *arguments)` in a transaction; return its result once that is committed.

        An operation that raises before it wrote anything fails alone, at no cost to its neighbours. One that raises
        later costs them a rollback, after which each is run anew by itself: it must be repeatable.

        :param size: about how many bytes the operation writes.
        :raises TimeoutError: no answer came in time; the operation may yet be carried out.
        """
        call = _Call(operation, arguments, size)
        self._put(call)
        if self._thread is None:
            self._start()
        if not call.finished.acquire(timeout=TIMEOUT):
            call.abandoned = True
            raise TimeoutError(f'no answer within {TIMEOUT} s')
        if call.error is not None:
            raise call.error
        return call.result

    def close(self) -> None:
        """Finish what waits, then end the thread and close its connection. The next `run` begins anew."""
        thread = self._thread
        if thread is not None:
            self._put(None)
            thread.join(TIMEOUT)
            if thread.is_alive():
                LOG.warning('The writer of %s does not end: another process does not let go of the file.', self._path)

    def _put(self, call: _Call | None):
        self._calls.put(call)
        if call is None or self._calls.qsize() >= self._wanted:
            with contextlib.suppress(RuntimeError):  # it has been rung already
                self._bell.release()

    def _start(self):
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name='sqlite-writer')
                thread.start()
                self._thread = thread

    def _work(self):
        try:
            while (call := self._next()) is not None:
                self._serve([call])
            self._disconnect()
            with self._starting:
                self._thread = None
            if not self._calls.empty():  # who called before that found a thread, and started none
                self._start()
        except BaseException:
            # Callers would wait for a thread that is no more: a new process is better than that.
            LOG.critical('The writer of %s failed; the process ends.', self._path, exc_info=True)
            os._exit(70)

    def _next(self) -> _Call | None:
        """Wait for the next call; None if it is time to end."""
        while not self._ending:
            with contextlib.suppress(queue.Empty):
                call = self._calls.get_nowait()
                if call is not None:
                    return call
                break
            if not self._bell.acquire(timeout=IDLE) and self._calls.empty():
                self._tidy_up()
                # A program that ends without closing the driver must not wait for this thread.
                self._ending = not threading.main_thread().is_alive()
        self._ending = False
        return None

    def _serve(self, group: list[_Call], gather: bool = True):
        """Carry out `group`, and with `gather` whatever waits beside it, and answer."""
        committed = True
        try:
            self._open()
            if gather:
                self._wait_for_company()
            with self._gate:
                if gather:
                    self._gather(group)
                    self._company = len(group)
                committed = self._commit(group)
            self._untidy = True
        except (sqlite3.Error, OSError) as error:
            for call in group:
                call.error = error
            self._disconnect()  # a new connection knows nothing of what this one failed at
        if committed or len(group) == 1:
            for call in group:
                call.finished.release()
        else:
            for call in group:
                self._serve([call], gather=False)

    def _open(self):
        """Have the file open that is at the path now: what is written to a deleted one is lost."""
        file = os.stat(self._path)
        if self._connection is not None and not os.path.samestat(file, self._file):
            self._disconnect()
        if self._connection is None:
            self._gate = Gate(f'{self._path}.lock')
            self._connection = self._connect()
            self._file = file

    def _wait_for_company(self):
        """Let as many calls arrive as the last group had: who was answered a moment ago may be about to come again.

        They do not wake this thread one by one; the last of them does.
        """
        self._wanted = self._company - 1
        while self._calls.qsize() < self._wanted and self._bell.acquire(timeout=COMPANY_PATIENCE):
            pass  # it had been rung before
        self._wanted = 1

    def _gather(self, group: list[_Call]):
        """Add what waits to `group`, up to the limits."""
        size = sum(call.size for call in group)
        while len(group) < GROUP_LIMIT and size < GROUP_BYTES and not self._ending:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is None:
                self._ending = True
                break
            group.append(call)
            size += call.size

    def _commit(self, group: list[_Call]) -> bool:
        """Carry out `group` in one transaction; False if that was rolled back for one that failed half-way."""
        connection = self._connection
        connection.execute('BEGIN IMMEDIATE')
        for calls in _by_operation(group):
            changes = connection.total_changes
            try:
                _carry_out(connection, calls)
            except Exception as error:
                for call in calls:
                    call.error = error
                # Without a transaction SQLite has rolled it back by itself, as it may where memory is short.
                is_whole = connection.in_transaction and connection.total_changes == changes
                if not is_whole or isinstance(error, sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute('ROLLBACK')
                    return False
        connection.commit()  # gives the interpreter's lock away once, where execute() would twice
        return True

    def _tidy_up(self):
        """Give back the space of a long write-ahead log, unless a reader is in the way."""
        if not self._untidy or self._connection is None:
            return
        self._untidy = False
        try:
            if os.stat(f'{self._path}-wal').st_size > LOG_SIZE:
                with self._gate:
                    self._connection.execute('PRAGMA busy_timeout = 0')
                    self._connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
                    self._connection.execute(f'PRAGMA busy_timeout = {TIMEOUT * 1000}')
        except (sqlite3.Error, OSError) as error:
            LOG.warning('The write-ahead log of %s was not cut off: %s', self._path, error)
            self._disconnect()

    def _disconnect(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None


def _by_operation(group):
    """Lists of the calls of `group` that are carried out at once. Nobody of a group waits for another, so any order is
    as good."""
    together = {}
    for call in group:
        if call.abandoned:
            continue
        call.error = None
        key = call.operation if hasattr(call.operation, 'together') else call
        together.setdefault(key, []).append(call)
    return together.values()


def _carry_out(connection, calls):
    operation = calls[0].operation
    if len(calls) == 1:
        calls[0].result = operation(connection, *calls[0].arguments)
        return
    outcomes = operation.together(connection, [call.arguments for call in calls])
    for call, outcome in zip(calls, outcomes, strict=True):
        if isinstance(outcome, Exception):
            call.error = outcome
        else:
            call.result = outcome
