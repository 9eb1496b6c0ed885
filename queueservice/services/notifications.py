"""Notifications: whatever comes into a queue goes to those who have subscribed to it.

With what is appended one message goes into an outbox, an internal queue; workers take it from there to the lanes of
the subscriptions that it names.
"""

import collections
import collections.abc
import logging
import zlib

import msgspec

from queueservice.model import deliveries, messages
from queueservice.model import queues as queues_model
from queueservice.services import lanes, queues
from queueservice.storage import base
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store

_LOG = logging.getLogger(__name__)

#: How many messages of an outbox are dispatched together, and the seconds after which it is done again by somebody
#: else where that is cut off.
_BATCH = 100
_CLAIM_TTL = 30
#: About how many entries one call puts into lanes: whoever has thousands of subscribers does not hold up the others.
_MOST_ENTRIES = 1000

_FANOUT = msgspec.json.Decoder(deliveries.Fanout)


class Notifications:
    def __init__(self, driver: base.Driver, queues: queues.Queues, lanes: lanes.Lanes):
        self._store = driver.messages
        self._queues = queues
        self._lanes = lanes

    def append(
        self,
        queue: queues_model.Queue,
        drafts: collections.abc.Sequence[messages.Draft],
        now: float,
        request_id: str = '',
    ) -> list[store.Appended]:
        """Append to a queue of a project, and let its subscribers be told of what is new in it.

        As `MessageStore.append`, which says what it raises and when it stores what.

        :param request_id: of the request that has posted it; empty where none has.
        """
        if not queue.subscribers:
            return self._store.append(queue, drafts, now)
        outbox = self._queues.ensure(outbox_of(queue.key.project))

        def derive(stored):
            places = tuple(
                deliveries.Place(one.position, one.expires_at, one.available_at, len(one.body)) for one in stored
            )
            fanout = deliveries.Fanout(queue.id, queue.subscribers, places, request_id)
            return [(outbox, [messages.Draft(msgspec.json.encode(fanout), now + deliveries.LIFE)])]

        try:
            return self._store.append(queue, drafts, now, derive=derive)
        except storage_errors.Stale:
            self._queues.forget(outbox.key)  # it may be this one that is
            raise

    def dispatch(self, shard: int, now: float) -> int:
        """Take what lies in an outbox to the lanes, or a part of it; return how many messages of it were looked at.

        If interrupted: it is done again, which stores nothing twice.
        """
        return self._queues.use(
            deliveries.outbox_key(shard), lambda outbox: self._dispatch(outbox, now), missing=lambda: 0
        )

    def _dispatch(self, outbox, now):
        # To look costs nothing, and mostly there is nothing.
        if not self._store.select(outbox, store.Selection(limit=1), now).messages:
            return 0
        claim = messages.Claim(messages.new_id(), _CLAIM_TTL, now + _CLAIM_TTL)
        claimed = self._store.claim(outbox, claim, _BATCH, now, keep_until=0).messages
        entries = collections.defaultdict(list)
        room = _MOST_ENTRIES
        done, changes = [], []
        for message in claimed:
            if room <= 0:
                changes.append(messages.Change((message.position,)))
                continue
            try:
                fanout = _FANOUT.decode(message.body)
            except msgspec.DecodeError:
                _LOG.error('Message %d of %s cannot be read and is dropped.', message.position, outbox.key.name)
                done.append(message.position)
                continue
            # Its state says how many of those whom it names have it already.
            start = int(message.state or 0)
            end = start + max(room // max(len(fanout.places), 1), 1)
            room -= _add(entries, fanout, fanout.subscriptions[start:end])
            if end < len(fanout.subscriptions):
                changes.append(messages.Change((message.position,), state=b'%d' % end))
                room = 0
            else:
                done.append(message.position)
        if entries:
            self._lanes.put_all(entries, now)
        if done:
            self._store.delete(outbox, done, now, claim_ids=(claim.id,))
        if changes:
            self._store.renew(outbox, claim.id, changes, now)
        return len(claimed)


def _add(entries, fanout, subscription_ids):
    """Add what subscribers are to get to the entries for each; say how many those are."""
    for place in fanout.places:
        message_id = messages.encode_position(fanout.queue_id, place.position)
        for subscription_id in subscription_ids:
            entries[subscription_id].append(
                deliveries.Entry(
                    deliveries.delivery_id(subscription_id, message_id),
                    message_id=message_id,
                    request_id=fanout.request_id,
                    expires_at=place.expires_at,
                    available_at=place.available_at,
                    size=place.size,
                )
            )
    return len(fanout.places) * len(subscription_ids)


def outbox_of(project: str) -> queues_model.QueueKey:
    """The outbox through which everything goes that is posted in a project."""
    return deliveries.outbox_key(zlib.crc32(project.encode()) % deliveries.OUTBOXES)
