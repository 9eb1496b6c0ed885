"""Whether the service can do its work, tried rather than asked."""

import collections.abc
import math
import time

import msgspec

from queueservice.model import messages
from queueservice.model import queues as queues_model
from queueservice.services import queues
from queueservice.storage import base
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store

#: How many messages the report posts to its throw-away queue.
_BATCH = 10
_TTL = 60
#: Seconds for which a good answer of the store is believed.
_FRESH = 1.0


class Operation(msgspec.Struct):
    succeeded: bool
    seconds: float
    ref: str | None = None  # what to look for in the log


class Report(msgspec.Struct):
    storage_reachable: bool
    operation_status: dict[str, Operation]


class Health:
    def __init__(
        self, driver: base.Driver, queues: queues.Queues, clock: collections.abc.Callable[[], float] = time.time
    ):
        self._driver = driver
        self._queues = queues
        self._clock = clock
        self._answered_at = -math.inf

    def ping(self) -> None:
        """Return if the store would take a write, or would have a moment ago.

        :raises storage.errors.Unavailable: it would not.
        """
        now = self._clock()
        # Many load balancers ask often; a store that took a write within the last second is asked once for all.
        if not 0 <= now - self._answered_at < _FRESH:
            self._driver.ping()
            self._answered_at = now

    def report(self) -> Report:
        """Do what clients do, on a queue of the service's own, and say how long each step took."""
        try:
            self._driver.ping()
        except storage_errors.Unavailable:
            return Report(False, {})
        status = {}

        def attempt(name, action):
            began = time.perf_counter()
            try:
                answer = action()
            except storage_errors.StorageError:
                status[name] = Operation(False, time.perf_counter() - began)
                return None
            status[name] = Operation(True, time.perf_counter() - began)
            return answer

        key = queues_model.QueueKey(queues_model.INTERNAL, '', f'health-{messages.new_id()}')
        now = self._clock()
        claim = messages.Claim(messages.new_id(), _TTL, now + _TTL)
        drafts = [messages.Draft(b'"health"', now + _TTL) for _ in range(_BATCH)]
        queue = attempt('create_queue', lambda: self._queues.ensure(key))
        if queue is not None:
            verbs = self._driver.messages
            posted = attempt('post_messages', lambda: verbs.append(queue, drafts, now)) or []
            positions = tuple(one.position for one in posted)
            attempt('list_messages', lambda: verbs.select(queue, store.Selection(limit=_BATCH), now))
            attempt('claim_messages', lambda: verbs.claim(queue, claim, _BATCH // 2, now, keep_until=0))
            attempt('delete_claim', lambda: verbs.renew(queue, claim.id, (messages.Change(),), now))
            attempt('delete_messages', lambda: verbs.delete(queue, positions[:1], now))
            attempt('bulk_delete_messages', lambda: verbs.delete(queue, positions[1:], now))
            attempt('delete_queue', lambda: self._queues.delete(key))
        return Report(True, status)
