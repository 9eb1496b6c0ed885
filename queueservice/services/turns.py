"""Turns: one worker at a time delivers what waits in a lane, and says what has become of it."""

import collections.abc
import logging
import time

import msgspec

from queueservice.model import deliveries as model
from queueservice.model import lanes as lanes_model
from queueservice.model import messages
from queueservice.services import attempts, deliveries, evidence, lanes, queues, sealing, subscriptions
from queueservice.storage import base
from queueservice.storage import messages as store

_LOG = logging.getLogger(__name__)

#: How many entries a turn takes before other lanes get theirs.
BATCH = 50
#: How many bytes of what was posted a turn has in hand at a time, but for a single message that is larger. Each of them
#: may lie there three times: as it was stored, as it was sent, and as it is kept where that was in vain.
MOST_BYTES = 1024 * 1024

_ENTRY = msgspec.json.Decoder(model.Entry)
_PROGRESS = msgspec.json.Decoder(model.Progress)
_NO_PROGRESS = model.Progress()


class Turns:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues.Queues,
        subscriptions: subscriptions.Subscriptions,
        lanes: lanes.Lanes,
        attempts: attempts.Attempts,
        deliveries: deliveries.Deliveries,
        evidence: evidence.Evidence,
        sealing: sealing.Sealing,
        rules: model.Rules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._store = driver.messages
        self._queues = queues
        self._subscriptions = subscriptions
        self._lanes = lanes
        self._attempts = attempts
        self._deliveries = deliveries
        self._evidence = evidence
        self._sealing = sealing
        self._timeout = rules.timeout
        self._clock = clock
        #: Seconds for which a lane is taken. No attempt begins after one timeout, and each ends within one.
        self.lease = 2 * rules.timeout + 5

    def take(self, due: collections.abc.Sequence[lanes_model.Lane]) -> list[lanes_model.Lane]:
        """Take lanes that are due for a turn each; return those that nobody else took."""
        return self._lanes.take(due, self._clock(), self.lease)

    def run(
        self,
        lane: lanes_model.Lane,
        is_stopping: collections.abc.Callable[[], bool] = lambda: False,
        lend: attempts.Lend = lambda work: None,
    ) -> None:
        """Deliver what waits in a lane that was taken, and give it back.

        :param is_stopping: when it says so no attempt is begun any more, and what is held is handed back.
        :param lend: for subscribers who are slow.
        :raises StorageError: the store failed. When the lease is over, what was not noted is sent again.
        """
        until = lane.due_at - self.lease + self._timeout

        def is_over():
            return self._clock() >= until or is_stopping()

        taken = 0
        while taken < BATCH and lane.rests_until is None and not is_over():
            claim = messages.Claim(messages.new_id(), self.lease, lane.due_at)
            claimed = self._claim(lane, claim, 1 if lane.is_open else BATCH - taken)
            if not claimed.messages:
                lane = self._lanes.park(lane, claimed.next_at)
                if lane is None:
                    return
                continue
            # After the claim: what was claimed may be there by a confirmation, or for another subscriber, of just now.
            subscription = self._subscriptions.find(lane.id)
            queue = subscription and self._queues.load(subscription.queue)
            if not queue or queue.id != subscription.queue_id:
                # It is cleared away by whoever ends the subscription; if it has not ended after all, nothing is lost.
                self._settle(lane, claim, [_read_entry(message) for message in claimed.messages])
                self._lanes.park(lane, None)
                return
            lane = msgspec.structs.replace(lane, site=self._lanes.site(subscription))
            taken += len(claimed.messages)
            waiting = [_read_entry(message) for message in claimed.messages]
            while waiting:
                jobs, waiting = _cut(waiting)
                self._read(queue, jobs)
                lane = self._attempts.make(
                    [job for job in jobs if not job.is_done], lane, subscription, queue, is_over, lend
                )
                if lane.rests_until is not None or is_over():
                    jobs, waiting = jobs + waiting, []  # the others are handed back
                self._settle(lane, claim, jobs)
                self._evidence.note(queue, lane.id, jobs, self._clock())
        self._lanes.leave(lane, self._clock())

    # Inside

    def _claim(self, lane, claim, limit):
        now = self._clock()
        return self._queues.use(
            model.lane_key(lane.project, lane.id),
            lambda queue: self._store.claim(queue, claim, limit, now, keep_until=0),
            missing=lambda: store.Claimed([], []),
        )

    def _read(self, queue, jobs):
        """Give each job what was posted, as far as it is still there."""
        places = {}
        for job in jobs:
            if job.entry.kind == model.MESSAGE and not job.is_done:
                places[job] = messages.decode_position(queue.id, job.entry.message_id)
        found = self._find(queue, places)
        sealed = {position: message.body for position, message in found.items()}
        _, shut = self._sealing.open(queue, list(found.values()))
        for job, position in places.items():
            job.posted = found.get(position)
            job.sealed = sealed.get(position, b'')
            if shut is not None and position in shut.positions:
                job.shut = shut.error

    def _find(self, queue, places):
        """What was posted, by its position; what is gone and asked for again as its delivery has kept it."""
        positions = tuple({position for position in places.values() if position is not None})
        if not positions:
            return {}
        page = self._store.select(queue, store.Selection(positions), self._clock())
        found = {message.position: message for message in page.messages}
        lost = [job.entry.delivery_id for job, position in places.items() if job.entry.again and position not in found]
        for message in self._deliveries.find_messages(lost).values():
            found[message.position] = message
        return found

    def _settle(self, lane, claim, jobs):
        """Store what has become of them. In this order: cut off anywhere, an entry comes back rather than vanishes."""
        now = self._clock()
        ended = [job.ended for job in jobs if job.ended is not None]
        if ended:
            self._deliveries.record(ended, now)
            self._evidence.tell(lane.project, jobs, now)
        done = [job.position for job in jobs if job.is_done]
        changes = [job.change for job in jobs if job.change is not None]
        untouched = tuple(job.position for job in jobs if not job.is_done and job.change is None)
        if untouched:
            changes.append(messages.Change(untouched))

        def put_away(queue):
            if done:
                self._store.delete(queue, done, now, claim_ids=(claim.id,))
            if changes:
                self._store.renew(queue, claim.id, changes, now)

        self._queues.use(model.lane_key(lane.project, lane.id), put_away, missing=lambda: None)
        given_up = [one.delivery for one in ended if one.delivery.outcome in (model.FAILED, model.REFUSED)]
        if given_up:
            self._report(given_up)

    def _report(self, given_up):
        """Tell of deliveries that nobody tries any more."""
        last = given_up[-1]
        _LOG.warning(
            '%d deliveries of subscription %s were given up; %s after %d attempts (%s, status %s)',
            len(given_up),
            last.subscription_id,
            last.id,
            last.attempts,
            last.error,
            last.status,
        )


def _cut(jobs):
    """The first of `jobs`, as many as may be in hand at a time, and the others."""
    size = 0
    for number, job in enumerate(jobs):
        size += job.entry.size
        if number and size > MOST_BYTES:
            return jobs[:number], jobs[number:]
    return jobs, []


def _read_entry(message):
    try:
        entry = _ENTRY.decode(message.body)
        progress = _PROGRESS.decode(message.state) if message.state else _NO_PROGRESS
    except msgspec.DecodeError:
        _LOG.error('Message %d of a lane cannot be read and is dropped.', message.position)
        return attempts.Job(message.position, message.created_at, model.Entry(''), _NO_PROGRESS, is_done=True)
    return attempts.Job(message.position, message.created_at, entry, progress)
