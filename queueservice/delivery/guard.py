"""Where requests may go: names are looked up once for each attempt, and what was checked is what is connected to.

A name is its owner's to point wherever he likes, and to point elsewhere a moment later. So no name is ever handed to
anything that would look it up by itself, and an answer with one forbidden address is refused as a whole.
"""

import concurrent.futures
import ipaddress
import queue
import socket
import threading
import time
import typing

from queueservice.model import deliveries, networks, subscribers


class Refused(Exception):
    """There is an address to which this service does not deliver."""


class NotFound(Exception):
    """The name could not be looked up, or not in time."""


class Place(typing.NamedTuple):
    """Where a host is."""

    addresses: tuple[tuple[int, tuple], ...]  # family, and what sockets connect to; in order of preference
    internal: bool  # only the operator's `allowed_networks` opens it


class Guard:
    def __init__(self, rules: deliveries.Rules, look_up=socket.getaddrinfo):
        self._allowed = networks.read(rules.allowed_networks)
        self._look_up = look_up
        # A name server that does not answer holds a thread for longer than the attempt waits.
        self._threads = Threads(4 * rules.workers)

    def find(self, url: subscribers.Url, deadline: float) -> Place:
        """Where `url` is now.

        :param deadline: by the monotonic clock.
        :raises Refused: one of its addresses is neither public nor in `allowed_networks`.
        :raises NotFound: it has none, or none that could be found before the deadline.
        """
        if url.address is not None:
            family = socket.AF_INET if url.address.version == 4 else socket.AF_INET6
            found = [(family, (url.host, url.port))]
        else:
            found = self._find_name(url, deadline)
        internal = False
        for _, place in found:
            address = ipaddress.ip_address(place[0])
            if not networks.is_public(address):
                if not networks.is_within(address, self._allowed):
                    raise Refused(url.host)
                internal = True
        return Place(tuple(found), internal)

    def _find_name(self, url, deadline):
        try:
            answers = self._threads.run(
                deadline - time.monotonic(), self._look_up, url.host, url.port, 0, socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise NotFound(url.host) from error
        return [(family, place) for family, *_, place in answers]


class Threads:
    """Runs calls that cannot be interrupted, so that their callers need not wait for their end, nor the process."""

    def __init__(self, most: int):
        self._most = most
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._calls = queue.SimpleQueue()

    def run(self, seconds: float, function: typing.Callable, *arguments):
        """What `function` returns or raises.

        :raises TimeoutError: it takes longer, or all threads are taken.
        """
        future = concurrent.futures.Future()
        self._calls.put((future, function, arguments))
        if not self._idle.acquire(blocking=False):
            self._add()
        try:
            return future.result(max(seconds, 0))
        finally:
            future.cancel()  # nobody wants it any more, if it has not begun

    def _add(self):
        with self._lock:
            if self._count == self._most:
                return
            self._count += 1
        threading.Thread(target=self._work, name='look-up', daemon=True).start()

    def _work(self):
        while True:
            future, function, arguments = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments))
                except Exception as error:  # the caller's to judge
                    future.set_exception(error)
            self._idle.release()
