"""Deliveries: what became of them is remembered, shown, and asked for again."""

import collections.abc
import re
import time
import typing

import msgspec

from queueservice.model import deliveries, errors, messages, queues
from queueservice.model import limits as limits_module
from queueservice.services import lanes
from queueservice.services import queues as queues_service
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store

#: How often a process tries again when a record changes under its hands.
_ATTEMPTS = 20
#: How many deliveries are sent again at once, with what was posted, and how many of those that are left are counted.
_BATCH = 50
MOST_COUNTED = 10_000
#: Outcomes that need somebody to act; the message is kept, and may be sent again.
_KEPT = (deliveries.FAILED, deliveries.REFUSED)
#: As an index lies backwards.
_LAST_FIRST = (('ended_at', True), ('id', True))
#: Fields of a record without the message.
_SHOWN = tuple(name for name in tables.DELIVERIES.fields if name != 'message')

_OPEN_PLACE = re.compile(r'open\.([0-9]{1,15})')
_ENDED_PLACE = re.compile(r'ended\.([0-9]{1,12}\.[0-9]{1,9})\.([A-Za-z0-9_.:-]{1,128})')


class Listed(msgspec.Struct):
    """One page of deliveries."""

    deliveries: list[deliveries.Delivery]
    marker: str | None  # go on from here; None: nothing is left


class Redelivered(msgspec.Struct):
    redelivered: int
    left: int  # others that were asked for; MOST_COUNTED stands for as many or more


class _Place(typing.NamedTuple):
    """What a marker says: begin behind the open delivery at `position`, or behind the ended one."""

    position: int = 0
    ended: tuple[float, str] | None = None  # when, and its id


class Deliveries:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues_service.Queues,
        lanes: lanes.Lanes,
        limits: limits_module.Limits,
        rules: deliveries.Rules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._records = driver.records
        self._store = driver.messages
        self._queues = queues
        self._lanes = lanes
        self._limits = limits
        self._rules = rules
        self._clock = clock

    # For the worker

    def record(self, ended: collections.abc.Sequence[deliveries.Ended], now: float) -> None:
        """Remember how deliveries ended. What was remembered of the same delivery before is replaced.

        Failed and refused ones that keep their message stay; the others go after `[delivery] retention`.
        If interrupted: any of them may be remembered; repeating it does no harm.
        """
        rows = [_pack(one, now + self._rules.retention) for one in ended]
        for _ in range(_ATTEMPTS):
            if not rows:
                return
            inserted = self._records.insert(tables.DELIVERIES, rows)
            rows = self._replace([row for row, answer in zip(rows, inserted, strict=True) if _is_refused(answer)])
        raise storage_errors.Unavailable('Deliveries kept being changed by others.')

    def find_messages(self, delivery_ids: collections.abc.Sequence[str]) -> dict[str, messages.Message]:
        """What was posted, by the id of the delivery, where it is kept with its record. It is not opened."""
        found = self._find_records(delivery_ids, ('message',))
        return {one['id']: deliveries.unpack_message(one['message']) for one in found if one['message'] is not None}

    def clear(self, subscription_id: str, limit: int) -> int:
        """Forget up to `limit` deliveries of a subscription that has ended; say how many."""
        return self._records.delete(tables.DELIVERIES, (_of(subscription_id),), limit=limit)

    # Use cases

    def page(
        self,
        key: queues.QueueKey,
        subscription_id: str,
        *,
        outcome: str | None = None,
        since: float | None = None,
        message_id: str | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> Listed:
        """List deliveries to a subscriber behind `marker`: first the open ones in the order in which they came, then
        the others, the one that ended last first.

        :param outcome: only those that ended so, or the open ones (OPEN).
        :param since: of those that have ended, only those that did at this instant (s, UTC) or after.
        :param message_id: only that of this message.
        :raises SubscriptionNotFound: the queue has none of that id.
        """
        limit = self._limits.check_delivery_page(limit)
        if outcome is not None and outcome not in (*deliveries.OUTCOMES, deliveries.OPEN):
            allowed = ', '.join((deliveries.OPEN, *deliveries.OUTCOMES))
            raise errors.ParameterInvalid(description=f'The "outcome" parameter must be one of: {allowed}.')
        place = _read_marker(marker)
        self._check_subscription(key, subscription_id)
        if message_id is not None:
            one = self._find(key, subscription_id, deliveries.delivery_id(subscription_id, message_id))
            if one is None or outcome not in (None, one.outcome) or (since and one.ended_at and one.ended_at < since):
                return Listed([], None)
            return Listed([one], None)
        found = []
        if place.ended is None and outcome in (None, deliveries.OPEN):
            found, reached = self._page_open(key, subscription_id, place.position, limit)
            if reached is not None:
                return Listed(found, _write_marker(_Place(reached)))
        if outcome == deliveries.OPEN:
            return Listed(found, None)
        room = limit - len(found)
        ended = self._page_ended(subscription_id, outcome, since, place.ended, room)
        reached = _Place(ended=(ended[-1].ended_at, ended[-1].id)) if len(ended) == room else None
        return Listed(found + ended, reached and _write_marker(reached))

    def get(self, key: queues.QueueKey, subscription_id: str, delivery_id: str) -> deliveries.Delivery:
        """One delivery.

        :raises SubscriptionNotFound, DeliveryNotFound: there is none of that id.
        """
        self._check_subscription(key, subscription_id)
        found = self._find(key, subscription_id, delivery_id)
        if found is None:
            raise errors.DeliveryNotFound(delivery_id=delivery_id, subscription_id=subscription_id)
        return found

    def drop(self, key: queues.QueueKey, subscription_id: str, delivery_id: str) -> None:
        """Forget a delivery that has ended, with what was posted. Nothing happens if there is none.

        :raises SubscriptionNotFound: the queue has none of that id.
        :raises DeliveryOpen: it has not ended.
        """
        self._check_subscription(key, subscription_id)
        where = (
            records.Condition('id', '=', delivery_id),
            _of(subscription_id),
            records.Condition('outcome', 'in', deliveries.OUTCOMES),
        )
        if not self._records.delete(tables.DELIVERIES, where, limit=1) and self._find(
            key, subscription_id, delivery_id
        ):
            raise errors.DeliveryOpen(delivery_id=delivery_id)

    def redeliver(
        self, key: queues.QueueKey, subscription_id: str, *, delivery_id: str | None = None, since: float | None = None
    ) -> Redelivered:
        """Let failed and refused deliveries be tried again, all the attempts of the retry policy anew: one, or as many
        as one call does of all of them, those that ended first first. They are open from then on.

        What is open already stays so and is not counted.
        If interrupted: some are on their way. Repeating it sends none of them twice.

        :param since: only those that ended at this instant (s, UTC) or after.
        :raises SubscriptionNotFound: the queue has none of that id.
        :raises DeliveryNotFound: nothing is known of `delivery_id`.
        :raises NotSentAgain: it ended in another way, or what was posted is not kept.
        """
        self._check_subscription(key, subscription_id)
        if delivery_id is not None:
            return self._redeliver_one(key, subscription_id, delivery_id)
        done = 0
        conditions = [self._failed(subscription_id, outcome, since) for outcome in _KEPT]
        for where in conditions:
            after = None
            while done < limits_module.MOST_AGAIN:
                limit = min(_BATCH, limits_module.MOST_AGAIN - done)
                query = records.Query(where=where, order=(('ended_at', False),), after=after, limit=limit)
                found = self._records.find(tables.DELIVERIES, query).records
                if not found:
                    break
                self._send_again(key, subscription_id, found)
                done += len(found)
                after = found[-1]['ended_at'], found[-1]['id']
        left = sum(self._records.count(tables.DELIVERIES, where, MOST_COUNTED) for where in conditions)
        return Redelivered(done, min(left, MOST_COUNTED))

    # Inside

    def _redeliver_one(self, key, subscription_id, delivery_id):
        found = self._find_records([delivery_id], None)
        if found and found[0]['subscription_id'] == subscription_id and found[0]['message'] is not None:
            if found[0]['outcome'] == deliveries.OPEN:
                return Redelivered(0, 0)
            self._send_again(key, subscription_id, found)
            return Redelivered(1, 0)
        known = self._find(key, subscription_id, delivery_id)
        if known is None:
            raise errors.DeliveryNotFound(delivery_id=delivery_id, subscription_id=subscription_id)
        if known.outcome == deliveries.OPEN:
            return Redelivered(0, 0)
        raise errors.NotSentAgain(
            description=f'Delivery {delivery_id} cannot be sent again: its outcome is "{known.outcome}". What was '
            f'posted is kept with {" and ".join(_KEPT)} deliveries of messages only.'
        )

    def _failed(self, subscription_id, outcome, since):
        """What those are that can be sent again: they do not expire."""
        return (
            _of(subscription_id),
            records.Condition('outcome', '=', outcome),
            records.Condition('ended_at', '>=', since or 0.0),
            records.Condition('expires_at', '=', None),
        )

    def _send_again(self, key, subscription_id, found):
        entries = [
            deliveries.Entry(
                record['id'],
                record['kind'],
                record['message_id'],
                record['request_id'],
                size=len(record['message']),
                again=record['revision'],
                before=_progress_of(record),
            )
            for record in found
        ]
        if not self._lanes.put(key.project, subscription_id, entries, self._clock()):
            raise errors.SubscriptionNotFound(subscription_id=subscription_id, queue=key.name)
        # If this is left undone they end as before, once more. What has ended again meanwhile is stale and stays.
        self._records.replace(
            tables.DELIVERIES, [record | {'outcome': deliveries.OPEN, 'ended_at': None} for record in found]
        )

    def _check_subscription(self, key, subscription_id):
        where = (records.Condition('id', '=', subscription_id), records.Condition('expires_at', '>', self._clock()))
        names = ('namespace', 'project', 'queue', 'queue_id')
        found = self._records.find(tables.SUBSCRIPTIONS, records.Query(where=where, limit=1, fields=names)).records
        queue = self._queues.load(key) if found else None
        if queue is None or tuple(found[0][name] for name in names) != (*key, queue.id):
            raise errors.SubscriptionNotFound(subscription_id=subscription_id, queue=key.name)

    def _find_records(self, delivery_ids, fields=_SHOWN):
        if not delivery_ids:
            return []
        where = (records.Condition('id', 'in', tuple(delivery_ids)),)
        query = records.Query(where=where, limit=len(delivery_ids), fields=fields)
        return self._records.find(tables.DELIVERIES, query).records

    def _find(self, key, subscription_id, delivery_id):
        """The delivery, or None. What has a record of its end has ended, even if its entry still lies in the lane."""
        for _ in range(2):  # between the two looks it may have ended
            again = 0
            for record in self._find_records([delivery_id]):
                if record['subscription_id'] != subscription_id:
                    continue
                if record['outcome'] != deliveries.OPEN:
                    return _unpack(record)
                again = record['revision'] - 1  # what it was when it was asked for again
            entries = [deliveries.Entry(delivery_id, kind, again=again) for kind in deliveries.KINDS]
            selection = store.Selection(keys=tuple(entry.key for entry in entries))
            for entry, message in self._select(key, subscription_id, selection)[0]:
                return _show(subscription_id, entry, message, self._clock())
        return None

    def _page_open(self, key, subscription_id, after, limit):
        """(open deliveries behind the position `after`, where to go on; None: nothing is left)."""
        selection = store.Selection(after=after, limit=limit, include_claimed=True, include_delayed=True)
        page, reached = self._select(key, subscription_id, selection)
        ended = self._find_records([entry.delivery_id for entry, _ in page], ('outcome',))
        ended = {record['id'] for record in ended if record['outcome'] != deliveries.OPEN}
        now = self._clock()
        return [
            _show(subscription_id, entry, message, now) for entry, message in page if entry.delivery_id not in ended
        ], reached

    def _select(self, key, subscription_id, selection):
        """([(entry, message)] of the lane, where a list goes on; None: nothing is left)."""
        page = self._queues.use(
            deliveries.lane_key(key.project, subscription_id),
            lambda lane: self._store.select(lane, selection, self._clock()),
            missing=lambda: store.Page([], selection.after),
        )
        listed = [(msgspec.json.decode(one.body, type=deliveries.Entry), one) for one in page.messages]
        return listed, page.reached if len(listed) == selection.limit else None

    def _page_ended(self, subscription_id, outcome, since, after, limit):
        # Those that are sent again have no `ended_at`, and so are not here.
        where = [_of(subscription_id), records.Condition('ended_at', '>=', since or 0.0)]
        if after is not None:
            where.append(records.Condition('ended_at', '<=', after[0]))  # lets an index begin there
            after = (*after, after[1])
        if outcome is not None:
            where.append(records.Condition('outcome', '=', outcome))
        query = records.Query(where=tuple(where), order=_LAST_FIRST, after=after, limit=limit, fields=_SHOWN)
        return [_unpack(record) for record in self._records.find(tables.DELIVERIES, query).records]

    def _replace(self, rows):
        """Store `rows` over the records with the same keys; return those for which there was none any more."""
        revisions = {one['id']: one['revision'] for one in self._find_records([row['id'] for row in rows], ('id',))}
        known = [row | {'revision': revisions[row['id']]} for row in rows if row['id'] in revisions]
        replaced = self._records.replace(tables.DELIVERIES, known) if known else []
        stored = {answer['id'] for answer in replaced if not _is_refused(answer)}
        return [row for row in rows if row['id'] not in stored]


def _of(subscription_id):
    return records.Condition('subscription_id', '=', subscription_id)


def _is_refused(answer):
    return isinstance(answer, storage_errors.Duplicate | storage_errors.Stale)


def _pack(ended, expires_at):
    delivery = ended.delivery
    stays = delivery.outcome in _KEPT and ended.message is not None
    return {
        'id': delivery.id,
        'subscription_id': delivery.subscription_id,
        'message_id': delivery.message_id,
        'kind': delivery.kind,
        'outcome': delivery.outcome,
        'request_id': delivery.request_id,
        'attempts': delivery.attempts,
        'first_at': delivery.first_at,
        'last_at': delivery.last_at,
        'status': delivery.status,
        'error': delivery.error,
        'ended_at': delivery.ended_at,
        'expires_at': None if stays else expires_at,
        'message': ended.message if stays else None,
    }


def _unpack(record):
    return deliveries.Delivery(**{name: record[name] for name in _SHOWN if name != 'expires_at'})


def _show(subscription_id, entry, message, now):
    """The delivery that `message` of a lane, with the body `entry`, stands for."""
    progress = msgspec.json.decode(message.state or b'{}', type=deliveries.Progress)
    waits = message.claim_id is None and message.available_at > now
    return deliveries.Delivery(
        id=entry.delivery_id,
        subscription_id=subscription_id,
        message_id=entry.message_id,
        kind=entry.kind,
        outcome=deliveries.OPEN,
        request_id=entry.request_id,
        attempts=progress.total,
        first_at=progress.first_at or None,
        last_at=progress.last_at or None,
        status=progress.status,
        error=progress.error,
        next_at=message.available_at if waits else None,
    )


def _progress_of(record):
    """The attempts that were made before it is sent again; None if there were none."""
    if not record['attempts']:
        return None
    names = ('first_at', 'last_at', 'status', 'error')
    return deliveries.Progress(total=record['attempts'], **{name: record[name] for name in names})


def _read_marker(marker):
    if marker is None:
        return _Place()
    if match := _OPEN_PLACE.fullmatch(marker):
        return _Place(int(match[1]))
    if match := _ENDED_PLACE.fullmatch(marker):
        return _Place(ended=(float(match[1]), match[2]))
    raise errors.ParameterInvalid(
        description='The "marker" parameter is invalid. Take it from the link "next" of an earlier page.'
    )


def _write_marker(place):
    return f'open.{place.position}' if place.ended is None else f'ended.{place.ended[0]!r}.{place.ended[1]}'
