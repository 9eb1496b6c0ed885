"""How gunicorn's threads meet connections: each waits for them itself, and a client that says nothing takes none."""

import collections.abc
import contextlib
import errno
import os
import select
import socket
import struct
import threading
import time

from gunicorn.http import errors
from gunicorn.workers import gthread

#: How long the kernel lets a thread wait for the next bytes of a request that has begun, or for a client to take its
#: answer: 10 seconds and no microseconds.
_STALL = struct.pack('ll', 10, 0)
#: Bytes of a body that is refused which are read away for the sake of the connection, and the seconds for that.
_READ_AWAY = 1024 * 1024
_READING_AWAY = 5
#: Seconds between looks at the connections that are left when the worker ends.
_LAST_LOOKS = 0.1
#: Seconds to wait for connections to end where there is no file descriptor for another one.
_NO_DESCRIPTOR = 1


class ThreadWorker(gthread.ThreadWorker):
    """gunicorn's worker with threads, where the threads wait for requests themselves.

    In gunicorn the main thread waits for all connections, hands each request to a thread and is told when that has
    answered. Here a request wakes the thread that answers it and nobody else: going from thread to thread costs as
    much as many a request. The main thread accepts connections, and closes those that are silent for too long.

    A new connection waits for its first byte like one that has had an answer. gunicorn gives every new one a thread
    for up to 5 seconds: a few hundred that never send a byte would keep everybody else out. One that stays silent is
    closed after `keepalive` seconds. And gunicorn waits for ever for the rest of a request: a client that has
    gone without a word would keep its thread.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.method_queue = _MethodQueue()

    def get_thread_pool(self):
        return _Threads(self.cfg.threads, self._serve)

    def run(self):
        # gunicorn looks up two dozen settings a request, each by way of two calls. From now on none of them changes.
        vars(self.cfg).update({name: setting.get() for name, setting in self.cfg.settings.items()})
        self.tpool.start()
        try:
            super().run()
        finally:
            self.tpool.shutdown()

    def wait_for_and_dispatch_events(self, timeout):
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, _LAST_LOOKS))

    def accept(self, listener):
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.log.warning('Too many files are open to accept another connection')
            time.sleep(_NO_DESCRIPTOR)

    def enqueue_req(self, conn):
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, _STALL)
        conn.sock = _Socket(conn.sock)
        conn.data_ready = True  # as soon as a thread gets to see it
        conn.timeout = self._silent_until()
        self.tpool.add(conn)

    def murder_keepalived(self, force=False):
        self.nr_conns -= self.tpool.close_all() if force else self.tpool.close_silent(self._silent_until())

    def _cap_keepalive(self, deadline):
        self.tpool.let_wait_until(deadline)

    def _silent_until(self):
        return time.monotonic() + (self.cfg.keepalive if self.alive else gthread.STOP_KEEPALIVE_LINGER)

    def _serve(self, conn):
        """Answer the request that `conn` has, in one of the threads."""
        try:
            if self.handle(conn):
                conn.timeout = self._silent_until()
                self.tpool.watch(conn)
                return
            conn.close(graceful=True)
        except BaseException:  # not even SystemExit may end the thread
            self.log.exception('A request ended outside the application')
            conn.close()
        self.method_queue.defer(self._forget)

    def _forget(self):
        self.nr_conns -= 1

    def handle_request(self, req, conn):
        if self.tpool.count() >= self.max_keepalived:
            req.force_close()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn, keepalive):
        if not keepalive:
            return False
        try:
            # A proxy hands on the whole of a body that it has, whatever the answer. gunicorn would read 64 KiB of it
            # and close the connection, and the proxy would take that for a fault of the server.
            return conn.parser.finish_body(time.monotonic() + _READING_AWAY, _READ_AWAY)
        except (errors.ParseException, OSError):
            return False  # the answer is out: to say what is wrong with the rest would be a second one


class _MethodQueue(gthread.PollableMethodQueue):
    def close(self):
        """Leave it open until the process ends.

        A thread that still answers when the worker has ended writes into it. Its descriptor would by then be that of
        another file, such as the store.
        """


class _Threads:
    """Threads that wait for connections, and call `serve` with one that has something to say.

    Of all threads that wait, the kernel wakes one for each such connection. Nobody else hears of that connection until
    it is watched again.
    """

    def __init__(self, count: int, serve: collections.abc.Callable[[gthread.TConn], None]):
        self._threads = [threading.Thread(target=self._work, name=f'request-{number}') for number in range(count)]
        self._serve = serve
        self._poll = select.epoll()
        self._end = os.eventfd(0)
        self._poll.register(self._end, select.EPOLLIN)
        # What is watched, by file descriptor, in the order of timeouts. A connection is whose who takes it out.
        self._watched: dict[int, gthread.TConn] = {}

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def shutdown(self, wait: bool = False) -> None:
        """Let the threads end, each when it has answered what it is at."""
        os.eventfd_write(self._end, 1)

    def add(self, conn: gthread.TConn) -> None:
        """Watch a connection for the first time."""
        file = conn.sock.fileno()
        self._watched[file] = conn
        self._poll.register(file, select.EPOLLIN | select.EPOLLONESHOT)

    def watch(self, conn: gthread.TConn) -> None:
        """Watch a connection again."""
        file, event = conn.sock.fileno(), _event(conn)
        self._watched[file] = conn
        with contextlib.suppress(OSError):  # it was closed at this very moment
            self._poll.modify(file, event | select.EPOLLONESHOT)

    def count(self) -> int:
        """How many connections are watched."""
        return len(self._watched)

    def let_wait_until(self, deadline: float) -> None:
        """Let nothing that is watched now be silent for longer than `deadline`."""
        for conn in self._watched.copy().values():
            conn.timeout = min(conn.timeout, deadline)

    def close_silent(self, until: float) -> int:
        """Close what has said nothing in time; say how many.

        Where all threads are busy, others wait that did speak. They are looked at again after `until`.
        """
        now = time.monotonic()
        closed = 0
        for file, conn in self._watched.copy().items():
            if conn.timeout > now:
                break
            if self._watched.pop(file, None) is None:  # a thread has it now
                continue
            if conn.timeout > now or _is_ready(conn):  # a thread had it, or will have it
                conn.timeout = until
                self.watch(conn)
            else:
                conn.close()
                closed += 1
        return closed

    def close_all(self) -> int:
        """Close what is watched; say how many."""
        closed = 0
        for file in self._watched.copy():
            conn = self._watched.pop(file, None)
            if conn is not None:
                conn.close()
                closed += 1
        return closed

    def _work(self):
        while True:
            for file, _ in self._poll.poll(None, 1):
                if file == self._end:
                    return
                conn = self._watched.pop(file, None)
                if conn is not None:  # else it is closed at this very moment, or watched again
                    self._serve(conn)


def _event(conn):
    """What happens where a connection has something to say."""
    # What was read ahead makes nothing readable any more. The next request is there, and has its turn after all others
    # that are, as soon as its client takes answers.
    is_ahead = conn.parser is not None and conn.parser.unreader.buf.getvalue()
    return select.EPOLLOUT if is_ahead else select.EPOLLIN


def _is_ready(conn):
    poll = select.poll()
    poll.register(conn.sock, _event(conn))
    return bool(poll.poll(0))


class _Socket(socket.socket):
    """A socket that waits without limit, unless it is to read or write after another timeout was set.

    gunicorn sets one, and takes it back, beside each request, mostly for nothing. It is a call of the kernel, for which
    the interpreter's lock is given away.
    """

    def __init__(self, accepted: socket.socket):
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(True)
        self._timeout = self._kernel_timeout = None

    def gettimeout(self):
        return self._timeout

    def settimeout(self, value):
        self._timeout = value

    def setblocking(self, flag):
        self._timeout = None if flag else 0.0

    def recv(self, *arguments):
        return self._call(super().recv, arguments)

    def send(self, *arguments):
        return self._call(super().send, arguments)

    def sendall(self, *arguments):
        return self._call(super().sendall, arguments)

    def _call(self, method, arguments):
        if self._timeout != self._kernel_timeout:
            super().settimeout(self._timeout)
            self._kernel_timeout = self._timeout
        try:
            return method(*arguments)
        except BlockingIOError:
            if self._timeout is not None:
                raise
            # The kernel has waited for as long as it was told to. gunicorn would log a traceback for each such client.
            raise ConnectionResetError(errno.ECONNRESET, 'The client has gone without a word') from None
