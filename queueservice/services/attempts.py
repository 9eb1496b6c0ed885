"""Attempts: what is due in a lane is sent, in its order, and what comes of that is judged."""

import collections
import collections.abc
import concurrent.futures
import logging
import threading
import time

import msgspec

from queueservice.delivery import base as delivery
from queueservice.model import deliveries, errors, messages, notifications, queues, retry, subscriptions
from queueservice.model import lanes as lanes_model
from queueservice.services import confirmations
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: Seconds after which a subscriber is called slow, and how many senders may then help the first.
SLOW = 0.05
HELPERS = 3
#: A store that takes a post in several steps may show what tells of a message before the message itself. Before one is
#: taken for deleted it is looked for again, when what tells of it is so many seconds old.
LOOK_AGAIN = (1, 5)

#: Has a function called by another thread; None if there is none to spare.
Lend = collections.abc.Callable[[collections.abc.Callable[[], None]], concurrent.futures.Future | None]


class Job(msgspec.Struct, eq=False):
    """An entry of a lane, and what becomes of it. If nothing is said, it is handed back as it was."""

    position: int  # in the lane
    created_at: float  # s, UTC
    entry: deliveries.Entry
    progress: deliveries.Progress
    posted: messages.Message | None = None  # decrypted; None where it is gone
    sealed: bytes = b''  # its body as it lay in its queue
    shut: errors.EncryptionFailed | None = None  # why it could not be decrypted
    is_done: bool = False  # to be deleted
    ended: deliveries.Ended | None = None  # to be remembered
    change: messages.Change | None = None  # to be tried again
    exchange: delivery.Exchange | None = None  # of the attempt that was made, where it was one of HTTP

    def end(self, subscription_id: str, outcome: str, error: str | None, now: float) -> None:
        """It has ended so, and is remembered."""
        kept = None
        if outcome in (deliveries.FAILED, deliveries.REFUSED) and self.posted is not None:
            kept = deliveries.pack_message(msgspec.structs.replace(self.posted, body=self.sealed))
        ended = deliveries.Delivery(
            id=self.entry.delivery_id,
            subscription_id=subscription_id,
            message_id=self.entry.message_id,
            kind=self.entry.kind,
            outcome=outcome,
            request_id=self.entry.request_id,
            attempts=self.progress.total,
            first_at=self.progress.first_at or None,
            last_at=self.progress.last_at or None,
            status=self.progress.status,
            error=error,
            ended_at=now,
        )
        self.ended = deliveries.Ended(ended, kept)
        self.is_done = True

    def wait(self, at: float) -> None:
        """It is to be looked at again at the instant `at`."""
        state = msgspec.json.encode(self.progress) if self.progress.total else None
        self.change = messages.Change((self.position,), available_at=at, state=state)


class Attempts:
    def __init__(
        self,
        confirmations: confirmations.Confirmations,
        senders: delivery.Senders,
        rules: deliveries.Rules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._confirmations = confirmations
        self._senders = senders
        self._rules = rules
        self._clock = clock

    def make(
        self,
        jobs: collections.abc.Sequence[Job],
        lane: lanes_model.Lane,
        subscription: subscriptions.Subscription,
        queue: queues.Queue,
        is_over: collections.abc.Callable[[], bool],
        lend: Lend,
    ) -> lanes_model.Lane:
        """Send what is due of `jobs`, one after the other, several at once where the subscriber is slow.

        Ends early where the subscriber is to be left alone for a while, and when `is_over` says so.

        :returns: the lane, as it is with the subscriber now.
        """
        batch = _Batch(self, jobs, lane, subscription, queue, is_over)
        helpers = []
        try:
            began = self._clock()
            while batch.work_once():
                ended = self._clock()
                if ended - began > SLOW and len(helpers) < HELPERS and batch.waiting:
                    helper = lend(batch.work)
                    if helper is not None:
                        helpers.append(helper)
                began = ended
        finally:
            batch.waiting.clear()
            concurrent.futures.wait(helpers)
        for helper in helpers:
            helper.result()
        return batch.lane

    def decide(self, job: Job, subscription: subscriptions.Subscription, now: float) -> bool:
        """Whether an attempt is to be made. If not, `job` says what becomes of it."""
        entry = job.entry
        if entry.kind != deliveries.MESSAGE:
            return self._may_ask(job, subscription, now)
        if not subscription.confirmed:
            job.end(subscription.id, deliveries.REFUSED, 'unconfirmed', now)
        elif job.posted is None:
            age = now - job.created_at
            if entry.expires_at and entry.expires_at <= now:
                job.end(subscription.id, deliveries.EXPIRED, 'expired', now)
            elif not entry.again and age < LOOK_AGAIN[-1]:
                job.wait(job.created_at + next(each for each in LOOK_AGAIN if age < each))
            else:
                job.end(subscription.id, deliveries.DELETED, 'deleted', now)
        elif job.posted.expires_at <= now and not entry.again:
            job.end(subscription.id, deliveries.EXPIRED, 'expired', now)
        else:
            return True
        return False

    def attempt(
        self, job: Job, subscription: subscriptions.Subscription, queue: queues.Queue, now: float
    ) -> delivery.Result:
        """Make one attempt, and say what came of it."""
        if job.shut is not None:
            # A key that is missing may be configured yet; what is damaged stays so.
            mendable = isinstance(job.shut, errors.EncryptionKeyMissing)
            return delivery.Result(ok=False, retry=mendable, sent=False, error='encryption')
        sender = self._senders.get(subscription.scheme)
        if sender is None:
            return delivery.Result(ok=False, sent=False, error='address')
        try:
            return sender.send(self._push(job, subscription, queue, now))
        except storage_errors.Unavailable:
            raise
        except Exception:
            # It may be what this one message is like: the others are not to wait for it for ever.
            _LOG.exception('An attempt to deliver %s ended in an unexpected way.', job.entry.delivery_id)
            return delivery.Result(ok=False, retry=True, error='connection')

    def judge(
        self,
        job: Job,
        result: delivery.Result,
        lane: lanes_model.Lane,
        subscription: subscriptions.Subscription,
        policy: retry.Policy,
        began_at: float,
    ) -> lanes_model.Lane:
        """Let `job` say what becomes of it after an attempt, and return the lane as it is then."""
        now = self._clock()
        job.exchange = result.exchange
        if result.sent or result.retry:  # what cannot be sent yet is not tried for ever either
            job.progress = deliveries.Progress(
                attempts=job.progress.attempts + 1,
                total=job.progress.total + 1,
                first_at=job.progress.first_at or began_at,
                last_at=began_at,
                status=result.status,
                error=result.error,
            )
        if result.ok:
            job.end(subscription.id, deliveries.DELIVERED, None, now)
            return lanes_model.note_success(lane, now, result.status)
        delay = retry.next_delay(policy, job.progress.attempts) if result.retry else None
        if delay is not None:
            job.wait(now + retry.jitter(delay, self._rules.max_wait))
        else:
            outcome = deliveries.FAILED if result.sent or result.retry else deliveries.REFUSED
            job.end(subscription.id, outcome, result.error, now)
        if not result.sent:
            return lane  # it says nothing about the subscriber
        return lanes_model.note_failure(
            lane,
            now,
            result.status,
            result.error,
            is_mendable=result.retry,
            retry_after=result.retry_after,
            most=self._rules.max_wait,
        )

    def now(self) -> float:
        return self._clock()

    # Inside

    def _may_ask(self, job, subscription, now):
        if subscription.confirmed:
            job.is_done = True  # there is nothing to ask any more
            return False
        wait = self._confirmations.may_ask(subscription, now)  # before it is tried again, too
        if wait is not None:
            job.wait(now + wait)
        return wait is None

    def _push(self, job, subscription, queue, now):
        entry, posted, text = job.entry, job.posted, None
        if entry.kind == deliveries.MESSAGE:
            body = notifications.build(
                posted,
                queue=queue.key.name,
                message_id=entry.message_id,
                subscription_id=subscription.id,
                delivery_id=entry.delivery_id,
                attempt=job.progress.total + 1,
                now=now,
                delay=round(entry.available_at - posted.created_at) if entry.available_at else None,
            )
        else:
            body, text = self._confirmations.build(subscription, entry.kind, now)
        return delivery.Push(
            target=subscription.subscriber,
            body=body,
            delivery_id=entry.delivery_id,
            sent_at=now,
            secrets=subscription.secrets(now),
            options=subscription.options,
            kind=entry.kind,
            text=text,
            queue=queue,
            message=posted,
        )


class _Batch:
    """What the threads share that work on one batch."""

    def __init__(self, attempts, jobs, lane, subscription, queue, is_over):
        self._attempts = attempts
        self._subscription = subscription
        self._queue = queue
        self._policy = retry.choose(subscription.options.get('_retry_policy'), queue.settings.retry_policy)
        self._is_over = is_over
        self._lock = threading.Lock()
        self.waiting = collections.deque(jobs)
        self.lane = lane

    def work(self) -> None:
        while self.work_once():
            pass

    def work_once(self) -> bool:
        """See to the next job; False if there is none, or none is to be begun."""
        # Rest is for the whole lane, whichever of the threads heard that it needs some.
        if self.lane.rests_until is not None or self._is_over():
            return False
        try:
            job = self.waiting.popleft()
        except IndexError:
            return False
        now = self._attempts.now()
        if self._attempts.decide(job, self._subscription, now):
            result = self._attempts.attempt(job, self._subscription, self._queue, now)
            with self._lock:
                self.lane = self._attempts.judge(job, result, self.lane, self._subscription, self._policy, now)
        return True
