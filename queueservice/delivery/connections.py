"""Connections to addresses that were checked, with a deadline that nothing the other side does can move.

Timeouts of sockets begin anew with every byte. So these ask the clock before each call, and count what they receive.
TLS goes by the trust store of the system, which is what operators know how to extend.
"""

import functools
import http.client
import select
import socket
import ssl
import threading
import time

from queueservice.delivery import guard
from queueservice.model import subscribers

#: Seconds in which a connection must be made, over all addresses of a host.
CONNECT_TIMEOUT = 3
#: The most bytes of one answer that are read, headers and all.
MAX_ANSWER = 64 * 1024
#: The most addresses of one host that are tried.
_MAX_TRIED = 4
#: Seconds after which a connection that nobody used is closed; most receivers wait longer.
_IDLE = 30


class TooLong(http.client.HTTPException):
    """The answer is longer than what is read of it."""


class _Timed:
    """What plain sockets and those of TLS have in common: they keep to `deadline`, by the monotonic clock."""

    deadline = 0.0
    allowance = 0  # bytes that may still be received

    def restrict(self, deadline):
        """For one exchange."""
        self.deadline = deadline
        self.allowance = MAX_ANSWER

    @property
    def is_untouched(self):
        """Whether nothing of the answer has come yet."""
        return self.allowance == MAX_ANSWER

    def recv_into(self, buffer, *arguments):
        if not self.allowance:
            raise TooLong
        self.settimeout(remaining(self.deadline))
        count = super().recv_into(memoryview(buffer)[: self.allowance], *arguments)
        self.allowance -= count
        return count

    def send(self, *arguments):
        self.settimeout(remaining(self.deadline))
        return super().send(*arguments)


class _Socket(_Timed, socket.socket):
    def sendall(self, *arguments):
        # Unlike that of TLS, which calls send(), it keeps to one timeout as a whole.
        self.settimeout(remaining(self.deadline))
        return super().sendall(*arguments)

    def pending(self):
        return 0


class _SecureSocket(_Timed, ssl.SSLSocket):
    pass


class Connections:
    """The connections of one sender, which threads share: each is used by one at a time.

    One that was left open is used again by whoever wants the same host and finds it at the same address.
    """

    def __init__(self, most: int, context: ssl.SSLContext | None = None):
        """
        :param most: how many are kept while nobody uses them.
        :param context: what certificates are verified with; by default the trust store of the system.
        """
        self._most = most
        self._given = context
        self._idle = []  # (key, socket, since), the one used last at the end
        self._lock = threading.Lock()

    @functools.cached_property
    def _context(self):
        # Reading the store takes a while, and most processes that have a sender send nothing.
        context = self._given or ssl.create_default_context()
        context.sslsocket_class = _SecureSocket
        return context

    def take(self, url: subscribers.Url, place: guard.Place) -> socket.socket | None:
        """One that was left open, if there is one. It is the caller's now: to be given back or closed."""
        keys = {_key(url, address) for _, address in place.addresses}
        while True:
            with self._lock:
                self._close_old()
                for number in reversed(range(len(self._idle))):
                    if self._idle[number][0] in keys:
                        _, connection, _ = self._idle.pop(number)
                        break
                else:
                    return None
            if _is_open(connection):
                return connection
            connection.close()

    def open(self, url: subscribers.Url, place: guard.Place, deadline: float) -> socket.socket:
        """A new one.

        :raises OSError: none could be made. TimeoutError and ssl.SSLError are among them.
        """
        connection = self._connect(place, deadline)
        if url.scheme == 'https':
            try:
                # The handshake as a whole keeps to one timeout.
                connection.settimeout(remaining(deadline))
                connection = self._context.wrap_socket(connection, server_hostname=url.host)
            except BaseException:
                connection.close()
                raise
        return connection

    def give_back(self, url: subscribers.Url, connection: socket.socket) -> None:
        """Keep one on which an exchange has ended well."""
        try:
            key = _key(url, connection.getpeername())
        except OSError:
            connection.close()
            return
        with self._lock:
            self._idle.append((key, connection, time.monotonic()))
            if len(self._idle) > self._most:
                self._idle.pop(0)[1].close()

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    def _close_old(self):
        since = time.monotonic() - _IDLE
        while self._idle and self._idle[0][2] < since:
            self._idle.pop(0)[1].close()

    def _connect(self, place, deadline):
        deadline = min(deadline, time.monotonic() + CONNECT_TIMEOUT)
        addresses = place.addresses[:_MAX_TRIED]
        for number, (family, address) in enumerate(addresses, 1):
            connection = _Socket(family, socket.SOCK_STREAM)
            try:
                # Each gets its share of the time, so that one that never answers leaves some to the next.
                connection.settimeout(remaining(deadline) / (len(addresses) - number + 1))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError:
                connection.close()
                if number == len(addresses):
                    raise
        raise OSError('The host has no address.')


def remaining(deadline: float) -> float:
    """Seconds until then.

    :raises TimeoutError: there are none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _key(url, address):
    return (url.scheme, url.host, address[0], address[1])


def _is_open(connection):
    """Whether the other side has neither closed it nor sent anything that nobody asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0) and not connection.pending()
