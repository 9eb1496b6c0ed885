"""Lanes: what is to be delivered to one subscriber waits in one, and turns of workers take it from there.

No wake-up is lost: whoever puts something into a lane replaces its record afterwards, always; and a turn that found
the lane empty parks it only by replacing the record that it had read before it looked.
"""

import collections.abc

import msgspec

from queueservice.delivery import base as delivery
from queueservice.model import deliveries, lanes, messages, subscriptions
from queueservice.services import queues
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: Seconds for which a lane knows what was put into it: longer than an interrupted dispatch takes to be done again.
KEY_WINDOW = 3600
#: How often a process tries again when a record changes under its hands, and how many it reads at once.
_ATTEMPTS = 100
_PAGE = 500


class Lanes:
    """:param senders: those that tell which site a subscriber is at."""

    def __init__(self, driver: base.Driver, queues: queues.Queues, senders: delivery.Senders):
        self._records = driver.records
        self._messages = driver.messages
        self._queues = queues
        self._senders = senders

    # For subscriptions

    def open(self, subscription: subscriptions.Subscription, now: float) -> None:
        """Make the lane of a subscription, parked.

        One that there is stays as it is, or begins anew if the subscriber is another one by now: nothing is known of
        him, and what waits is for him to be sent at once.
        If interrupted: it may be there half, and is no lane yet. To be repeated.
        """
        project = subscription.queue.project
        self._queues.ensure(deliveries.lane_key(project, subscription.id))
        fresh = lanes.Lane(subscription.id, project, self.site(subscription), revision=0, nonce=subscription.nonce)
        (inserted,) = self._records.insert(tables.LANES, [_pack(fresh)])
        if isinstance(inserted, storage_errors.Duplicate):
            self._begin_anew(fresh, now)

    def close(self, subscription_id: str, project: str) -> None:
        """Remove a lane with everything in it. Nothing happens if there is none.

        If interrupted: nothing is delivered from it any more. To be repeated.
        """
        self._queues.delete(deliveries.lane_key(project, subscription_id))
        self._records.delete(tables.LANES, [records.Condition('id', '=', subscription_id)], limit=1)

    def find(self, subscription_ids: collections.abc.Iterable[str]) -> dict[str, lanes.Lane]:
        """The lanes that there are, by id."""
        ids = tuple(subscription_ids)
        found = {}
        for start in range(0, len(ids), _PAGE):
            some = ids[start : start + _PAGE]
            query = records.Query(where=(records.Condition('id', 'in', some),), limit=len(some))
            found |= {record['id']: _unpack(record) for record in self._records.find(tables.LANES, query).records}
        return found

    def site(self, subscription: subscriptions.Subscription) -> str:
        """What is loaded by attempts to reach this subscriber."""
        sender = self._senders.get(subscription.scheme)
        return subscription.scheme if sender is None else sender.site(subscription.subscriber)

    # What is put in

    def put(
        self, project: str, subscription_id: str, entries: collections.abc.Sequence[deliveries.Entry], now: float
    ) -> bool:
        """Let `entries` be delivered; False if there is no such lane (any more).

        An entry is stored once within KEY_WINDOW, however often it is put.
        If interrupted: to be repeated; the lane may not know yet that there is something in it.
        """
        if not self._append(project, subscription_id, entries, now):
            return False
        self._wake([subscription_id], now)
        return True

    def put_all(self, entries: collections.abc.Mapping[str, collections.abc.Sequence[deliveries.Entry]], now: float):
        """Let the entries for each subscription, by id, be delivered. Those whose lanes are gone are dropped.

        If interrupted: to be repeated, as `put`.
        """
        woken = []
        for lane in self.find(entries).values():
            if self._append(lane.project, lane.id, entries[lane.id], now):
                woken.append(lane.id)
        self._wake(woken, now)

    def wake(self, subscription_id: str, now: float) -> None:
        """Let a lane be looked at, unless it rests. Nothing happens if there is none."""
        self._wake([subscription_id], now)

    # Turns

    def find_due(self, now: float, limit: int, after: tuple | None = None) -> list[lanes.Lane]:
        """Lanes that want to be looked at, the one that has waited longest first, from behind the place `after`."""
        query = records.Query(
            where=(records.Condition('due_at', '<=', now),), order=(('due_at', False),), after=after, limit=limit
        )
        return [_unpack(record) for record in self._records.find(tables.LANES, query).records]

    def take(self, due: collections.abc.Sequence[lanes.Lane], now: float, lease: float) -> list[lanes.Lane]:
        """Lease lanes for `lease` seconds; return those that nobody else took or changed meanwhile."""
        wanted = [
            msgspec.structs.replace(lane, leased_by=messages.new_id(), due_at=now + lease, rests_until=None)
            for lane in due
        ]
        stored = self._records.replace(tables.LANES, [_pack(lane) for lane in wanted])
        return [_unpack(record) for record in stored if isinstance(record, dict)]

    def park(self, lane: lanes.Lane, next_at: float | None) -> lanes.Lane | None:
        """Give back a leased lane in which nothing is to be done before `next_at`; None: until something is put in.

        :param lane: as it was read *before* the claim that found nothing, with what else has changed.
        :returns: the lane, still leased, if something may have been put in since: to be claimed from again. None if
            it is given back, or another turn has it because its lease had ended.
        """
        parked = msgspec.structs.replace(lane, leased_by=None, due_at=next_at)
        (stored,) = self._records.replace(tables.LANES, [_pack(parked)])
        return self._find_again(lane) if isinstance(stored, storage_errors.Stale) else None

    def leave(self, lane: lanes.Lane, now: float) -> None:
        """Give back a leased lane in which there is more to do, at once or when it has rested."""
        for _ in range(_ATTEMPTS):
            left = msgspec.structs.replace(lane, leased_by=None, due_at=max(now, lane.rests_until or 0))
            (stored,) = self._records.replace(tables.LANES, [_pack(left)])
            if not isinstance(stored, storage_errors.Stale):
                return
            lane = self._find_again(lane)
            if lane is None:
                return
        raise storage_errors.Unavailable('A lane kept being changed by others.')

    # Inside

    def _append(self, project, subscription_id, entries, now):
        drafts = [
            messages.Draft(
                msgspec.json.encode(entry),
                now + deliveries.LIFE,
                entry.available_at,
                state=msgspec.json.encode(entry.before) if entry.before else b'',
                key=entry.key,
                key_until=now + KEY_WINDOW,
            )
            for entry in entries
        ]

        def append(queue):
            self._messages.append(queue, drafts, now)
            return True

        return self._queues.use(deliveries.lane_key(project, subscription_id), append, missing=lambda: False)

    def _wake(self, subscription_ids, now):
        """Let lanes be looked at, and let every turn that has looked already look again: each record gets a revision.

        That is why the record is replaced even where nothing changes in it.
        """
        for _ in range(_ATTEMPTS):
            if not subscription_ids:
                return
            found = [_woken(lane, now) for lane in self.find(subscription_ids).values()]
            stored = self._records.replace(tables.LANES, [_pack(lane) for lane in found])
            subscription_ids = [
                lane.id for lane, answer in zip(found, stored, strict=True) if isinstance(answer, storage_errors.Stale)
            ]
        raise storage_errors.Unavailable('Lanes kept being changed by others.')

    def _begin_anew(self, fresh, now):
        for _ in range(_ATTEMPTS):
            stored = self.find([fresh.id]).get(fresh.id)
            if stored is None or stored.nonce == fresh.nonce:
                return
            due_at = now if stored.leased_by is None else stored.due_at
            anew = msgspec.structs.replace(fresh, revision=stored.revision, leased_by=stored.leased_by, due_at=due_at)
            (answer,) = self._records.replace(tables.LANES, [_pack(anew)])
            if not isinstance(answer, storage_errors.Stale):
                return
        raise storage_errors.Unavailable('A lane kept being changed by others.')

    def _find_again(self, lane):
        """`lane` under the revision that it has now; None if it is gone, or another turn has it.

        As it is stored if it has begun anew: what this turn has learned is about somebody else.
        """
        stored = self.find([lane.id]).get(lane.id)
        if stored is None or stored.leased_by != lane.leased_by:
            return None
        if stored.nonce != lane.nonce:
            return stored
        return msgspec.structs.replace(lane, revision=stored.revision)


def _woken(lane, now):
    if lane.leased_by is not None:
        return lane  # whoever has it looks again before he parks it, or his lease ends
    due_at = max(now, lane.rests_until or 0)
    return lane if lane.due_at is not None and lane.due_at <= due_at else msgspec.structs.replace(lane, due_at=due_at)


def _pack(lane):
    return msgspec.structs.asdict(lane)


def _unpack(record):
    return lanes.Lane(**record)
