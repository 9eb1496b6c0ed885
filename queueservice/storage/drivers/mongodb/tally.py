"""What this process deleted, until the heads of the queues know."""

import collections
import contextlib
import threading

import pymongo
from pymongo import errors as pymongo_errors

#: How long a deletion may be unknown to the head of its queue, in seconds.
DELAY = 1


class Tally:
    """Sums up what went, so that a deletion need not write to the head of its queue, and tells the heads each second.

    What a process that was killed had not told yet is missing, until a sweep counts the queue.
    """

    def __init__(self, database):
        self._database = database
        database.in_child(self._begin)
        self._begin()

    def _begin(self):
        self._touched = {}  # ids of queues that something was deleted from, in that order
        self._gone = collections.defaultdict(lambda: [0, 0])  # (queue id, purges) -> [messages, bytes]
        self._lock = threading.Lock()
        self._telling = threading.Lock()  # held while heads are being told
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = None

    def add(self, queue_id: str, purges: int, count: int, size: int) -> None:
        """`count` messages with bodies of `size` bytes are gone since the queue was purged for the `purges`th time."""
        if not count:
            return
        with self._lock:
            sums = self._gone[queue_id, purges]
            sums[0] += count
            sums[1] += size
            self._touched[queue_id] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='tally', daemon=True)
                self._thread.start()
        self._changed.set()

    @contextlib.contextmanager
    def steady(self):
        """While this lasts, what `untold` returns is not in any head yet, and everything else is."""
        with self._telling:
            yield

    def untold(self, queue_id: str, purges: int) -> tuple[int, int]:
        with self._lock:
            count, size = self._gone.get((queue_id, purges), (0, 0))
        return count, size

    def touch(self, queue_id: str) -> None:
        """Let `take_touched` name this queue."""
        with self._lock:
            self._touched[queue_id] = None

    def take_touched(self, limit: int) -> list[str]:
        """Queues that something was deleted from since they were named last."""
        with self._lock:
            return [self._touched.popitem()[0] for _ in range(min(limit, len(self._touched)))]

    def tell(self) -> None:
        """Bring the heads up to date now."""
        with self.steady():
            with self._lock:
                gone = {key: tuple(sums) for key, sums in self._gone.items()}
            if not gone:
                return
            self._database.queues.bulk_write(
                [
                    # Since a purge a head counts anew: what was deleted before does not concern it.
                    pymongo.UpdateOne(
                        {'_id': queue_id, 'head.purges': purges},
                        {'$inc': {'head.messages': -count, 'head.bytes': -size}},
                    )
                    for (queue_id, purges), (count, size) in gone.items()
                ],
                ordered=False,
            )
            with self._lock:
                for key, (count, size) in gone.items():
                    sums = self._gone[key]
                    sums[0] -= count
                    sums[1] -= size
                    if not sums[0]:
                        del self._gone[key]

    def close(self) -> None:
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(pymongo_errors.PyMongoError):
            self.tell()

    def _run(self):
        while not self._closed.is_set():
            self._changed.wait()
            self._closed.wait(DELAY)
            self._changed.clear()
            try:
                with pymongo.timeout(self._database.patience):
                    self.tell()
            except pymongo_errors.PyMongoError:
                self._changed.set()  # the server is away: the sums are kept
