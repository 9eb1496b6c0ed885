"""Evidence: what a tenant finds who asks why something did not arrive.

Attempts are kept as exchanges in the bucket of their queue, as far as that goes; whatever is given up is told in one
user message. The ids in both lead from one to the other.
"""

import collections
import collections.abc
import logging
import threading
import typing

from queueservice.model import deliveries
from queueservice.model import queues as queues_model
from queueservice.model import user_messages as model
from queueservice.services import attempts, captures, user_messages

_LOG = logging.getLogger(__name__)

#: Ends that nobody who posts has wished for. What was deleted meanwhile is.
_GIVEN_UP = (deliveries.FAILED, deliveries.REFUSED, deliveries.EXPIRED)

#: Bytes of attempts that this process has to keep yet; what comes while there are more is not kept.
_MOST_WAITING = 32 * 1024 * 1024
_OVERHEAD = 2048
#: How many attempts are kept in one go, and after how many bytes it ends.
_BATCH = 200
_BATCH_BYTES = 2 * 1024 * 1024


class Evidence:
    """:param captures: what keeps attempts; it raises nothing."""

    def __init__(self, captures: captures.Captures, user_messages: user_messages.UserMessages):
        self._captures = captures
        self._user_messages = user_messages
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._size = 0  # bytes
        self._dropped = 0
        self._lock = threading.Lock()

    def tell(self, project: str, jobs: collections.abc.Iterable[attempts.Job], now: float) -> None:
        """Tell the project of each delivery that is given up: once, however often this is repeated."""
        failures = []
        for job in jobs:
            if job.ended is None:
                continue
            delivery = job.ended.delivery
            if delivery.outcome in _GIVEN_UP:
                failures.append(
                    user_messages.Failure(
                        action=delivery.kind,
                        detail=delivery.error,
                        resource_type=model.SUBSCRIPTION,
                        resource_uuid=delivery.subscription_id,
                        request_id=delivery.request_id,
                        # Asked for again, it can be given up once more.
                        id_from=f'{delivery.id}/{job.entry.again}' if job.entry.again else delivery.id,
                    )
                )
        if failures:
            self._user_messages.write_all(project, failures, now)

    def note(
        self, queue: queues_model.Queue, subscription_id: str, jobs: collections.abc.Iterable[attempts.Job], now: float
    ) -> None:
        """Note the attempts that were made, for `keep`. No delivery waits for that, and none fails for it.

        What is noted lies in memory: a process that dies takes it along.
        """
        encrypted = queue.settings.enable_encrypt_messages is not None
        for job in jobs:
            exchange = job.exchange
            if exchange is None:
                continue
            size = len(exchange.request_body) + len(exchange.response_body) + _OVERHEAD
            captured = captures.Captured(
                delivery_id=job.entry.delivery_id,
                subscription_id=subscription_id,
                attempt=job.progress.total,
                exchange=exchange,
                error=job.progress.error,
                kind=job.entry.kind,
                encrypted=encrypted,
            )
            with self._lock:
                if self._size + size > _MOST_WAITING:
                    self._dropped += 1
                    continue
                self._size += size
                self._waiting.append(_Waiting(queue.key.project, queue.key.name, captured, size, now))

    def keep(self) -> bool:
        """Keep some of what was noted, the oldest first; False if there was nothing."""
        batches = collections.defaultdict(list)
        count = size = 0
        with self._lock:
            while self._waiting and count < _BATCH and size < _BATCH_BYTES:
                one = self._waiting.popleft()
                batches[one.project, one.queue].append(one)
                count += 1
                size += one.size
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _LOG.warning('%d attempts are not captured: the store is too slow for so many.', dropped)
        for (project, queue), batch in batches.items():
            self._captures.capture(project, queue, [one.captured for one in batch], batch[-1].now)
        with self._lock:
            self._size -= size
        return bool(batches)


class _Waiting(typing.NamedTuple):
    project: str
    queue: str
    captured: captures.Captured
    size: int  # bytes
    now: float  # s, UTC
