"""Subscriptions: made, confirmed, changed, ended and cleared away.

The record of a subscription is written first, the record of its queue, which names those that are confirmed, second;
then it is answered. So what was cut off shows as not done: a subscription is confirmed if both records say so. Doing it
again completes it, and what has ended is cleared away by `finish`, wherever it was left.
"""

import collections.abc
import hashlib

import msgspec

from queueservice.model import deliveries, errors, lanes, messages, queues, subscribers, subscriptions
from queueservice.model import limits as limits_module
from queueservice.services import deliveries as deliveries_service
from queueservice.services import lanes as lanes_service
from queueservice.services import queues as queues_service
from queueservice.services import quotas as quotas_service
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: How often a process tries again when a record changes under its hands.
_ATTEMPTS = 20
#: How many records are ended, or cleared away, at a time.
_SLICE = 100

#: Ended: long ago by every clock.
_ENDED = {'expires_at': 0.0, 'address': None}


class Made(msgspec.Struct, frozen=True):
    id: str
    secret: str | None  # as receivers are given it; None: the subscription was there already


class Shown(msgspec.Struct, frozen=True):
    """A subscription as its owner sees it."""

    subscription: subscriptions.Subscription
    lane: lanes.Lane | None  # None: there is none yet
    now: float  # s, UTC; when it was looked at


class Subscriptions:
    def __init__(
        self,
        driver: base.Driver,
        all_queues: queues_service.Queues,
        quotas: quotas_service.Quotas,
        all_lanes: lanes_service.Lanes,
        all_deliveries: deliveries_service.Deliveries,
        limits: limits_module.Limits,
        rules: deliveries.Rules,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._queues = all_queues
        self._quotas = quotas
        self._lanes = all_lanes
        self._deliveries = all_deliveries
        self._limits = limits
        self._rules = rules
        self._clock = clock
        #: The id up to which `admit` has looked.
        self._looked_at = ''

    # For the worker

    def find(self, subscription_id: str) -> subscriptions.Subscription | None:
        """The subscription as it is stored now; None if there is none (any more)."""
        record = self._find_record(subscription_id)
        return _unpack(record) if record and record['expires_at'] > self._clock() else None

    # Use cases

    def create(self, key: queues.QueueKey, wanted: subscriptions.Wanted) -> Made | None:
        """Subscribe to a queue, which is made if there is none; None if the subscriber has confirmed it already.

        Where he has not, he is asked again, and everything else stays as it is.

        :raises BodyInvalid, LimitExceeded: it cannot be; nothing is made then.
        :raises QuotaExceeded: the queue has as many subscriptions, or the project as many queues, as it may have.
        """
        address = self._check_subscriber(key, wanted.subscriber)
        ttl = self._limits.default_subscription_ttl if wanted.ttl is None else wanted.ttl
        self._limits.check_subscription_ttl(ttl)
        for _ in range(_ATTEMPTS):
            queue = self._queues.load(key)
            if queue is None:
                self._quotas.check_queue(key, self._clock())
                queue = self._queues.ensure(key)
            now = self._clock()
            found = self._find_address(queue.id, address, now)
            if found is not None:
                if found['confirmed'] and found['id'] in queue.subscribers:
                    return None
                if self._welcome(found):
                    return Made(found['id'], None)
                continue
            self._quotas.check_subscription(queue, now)
            secret = subscriptions.new_secret()
            (made,) = self._records.insert(
                tables.SUBSCRIPTIONS,
                [
                    {
                        'id': subscriptions.new_id(now),
                        'namespace': key.namespace,
                        'project': key.project,
                        'queue': key.name,
                        'queue_id': queue.id,
                        'subscriber': wanted.subscriber,
                        'address': address,
                        'options': msgspec.json.encode(wanted.options or {}),
                        'ttl': ttl,
                        'created_at': now,
                        'renewed_at': now,
                        'expires_at': now + ttl,
                        'confirmed': not self._is_asked(address),
                        'declined': False,
                        'nonce': subscriptions.new_nonce(),
                        'secret': secret,
                        'old_secret': None,
                        'old_secret_until': 0.0,
                    }
                ],
            )
            if isinstance(made, dict) and self._settle(made, ask=True):
                return Made(made['id'], subscriptions.show_secret(secret))
        raise storage_errors.Unavailable(f'Queue {key.name} kept being changed by others.')

    def get(self, key: queues.QueueKey, subscription_id: str) -> Shown:
        """One subscription to the queue.

        :raises SubscriptionNotFound: there is none of that id.
        """
        now = self._clock()
        queue, record = self._get(key, subscription_id, now)
        return self._show(queue, [record], now)[0]

    def locate(self, namespace: str, project: str, subscription_id: str) -> Shown:
        """One subscription to any queue of a project: by its id alone, as user messages name it.

        :raises NotFound: the project has none of that id.
        """
        record = self._find_record(subscription_id)
        if record is None or (record['namespace'], record['project']) != (namespace, project):
            raise errors.NotFound(description='There is no such subscription in this project, or it has ended.')
        return self.get(queues.QueueKey(namespace, project, record['queue']), subscription_id)

    def page(self, key: queues.QueueKey, *, marker: str | None = None, limit: int | None = None) -> list[Shown]:
        """List the subscriptions to the queue in the order in which they were made, behind the id `marker`."""
        limit = self._limits.check_subscription_page(limit)
        queue = self._queues.load(key)
        if queue is None:
            return []
        now = self._clock()
        where = [records.Condition('queue_id', '=', queue.id), records.Condition('expires_at', '>', now)]
        if marker:
            where.append(records.Condition('id', '>', marker))
        query = records.Query(where=tuple(where), order=(('id', False),), limit=limit)
        return self._show(queue, self._records.find(tables.SUBSCRIPTIONS, query).records, now)

    def update(self, key: queues.QueueKey, subscription_id: str, wanted: subscriptions.Wanted) -> None:
        """Change a subscription. Another subscriber has to confirm it anew; a ttl counts from now.

        :raises SubscriptionNotFound: there is none of that id.
        :raises SubscriptionExists: another one to the queue has this subscriber.
        """
        changes = {}
        if wanted.ttl is not None:
            changes['ttl'] = self._limits.check_subscription_ttl(wanted.ttl)
        if wanted.options is not None:
            changes['options'] = msgspec.json.encode(wanted.options)
        if wanted.subscriber is not None:
            changes |= {
                'subscriber': wanted.subscriber,
                'address': self._check_subscriber(key, wanted.subscriber),
            }

        def change(record, now):
            changed = record | changes
            if wanted.ttl is not None:
                changed |= {'renewed_at': now, 'expires_at': now + wanted.ttl}
            if changed['address'] != record['address']:
                changed |= {
                    'confirmed': not self._is_asked(changed['address']),
                    'declined': False,
                    'nonce': subscriptions.new_nonce(),
                }
            return changed

        _, _, after = self._change(key, subscription_id, change)
        if wanted.ttl is not None:
            # A worker whose clock is ahead may have found its life over, and left alone what waits for it.
            self._lanes.wake(subscription_id, self._clock())
        if wanted.subscriber is not None:  # it need not be another one: what was cut off is done again
            self._settle(after, ask=True)

    def confirm(self, key: queues.QueueKey, subscription_id: str, confirmed: bool, by_subscriber: bool) -> None:
        """Note that the subscriber wants messages, or that he wants no more; the record stays.

        :param by_subscriber: whether he says so himself, by the link that he was sent.
        :raises SubscriptionNotFound: there is none of that id.
        :raises ConfirmationNeeded: he has to say so himself.
        """

        def change(record, now):
            if confirmed and not by_subscriber and not record['confirmed'] and self._is_asked(record['address']):
                raise errors.ConfirmationNeeded()
            return record | {'confirmed': confirmed, 'declined': not confirmed}

        queue, before, after = self._change(key, subscription_id, change)
        took_part = before['confirmed'] or subscription_id in queue.subscribers
        if took_part and not confirmed and self._is_asked(after['address']):
            self._ask(after, deliveries.FAREWELL)
        self._settle(after)

    def new_secret(self, key: queues.QueueKey, subscription_id: str) -> str:
        """Give the subscription another secret, and return it. The one before signs, too, for another day.

        :raises SubscriptionNotFound: there is none of that id.
        """
        secret = subscriptions.new_secret()

        def change(record, now):
            return record | {
                'secret': secret,
                'old_secret': record['secret'],
                'old_secret_until': now + subscriptions.OLD_SECRET_LIFE,
            }

        self._change(key, subscription_id, change)
        return subscriptions.show_secret(secret)

    def delete(self, key: queues.QueueKey, subscription_id: str) -> None:
        """End a subscription. Nothing happens if there is none.

        From now on nobody sees it, and nothing is delivered. What belongs to it goes by `finish`.
        """
        for _ in range(_ATTEMPTS):
            record = self._find_record(subscription_id)
            if record is None or not _is_of(record, key):
                return
            if record['expires_at'] > 0:
                (stored,) = self._records.replace(tables.SUBSCRIPTIONS, [record | _ENDED])
                if isinstance(stored, storage_errors.Stale):
                    continue
            self._leave(record)
            return
        raise _kept_changing()

    def end_all(self, key: queues.QueueKey) -> None:
        """End all subscriptions to a queue, which stays.

        If interrupted: those that are left get nothing any more, or all are as they were. To be repeated.
        """
        queue = self._queues.load(key)
        if queue is not None:
            self._queues.change_subscribers(queue.id, lambda ids: ())
            self._end_all(queue.id)

    def delete_queue(self, key: queues.QueueKey) -> None:
        """End the life of the queue, with everything in it and all subscriptions to it. Nothing happens if it has none.

        If interrupted: the queue may have lost subscriptions. To be repeated.
        """
        queue = self._queues.load(key)
        if queue is None:
            return
        # Before the queue goes: afterwards, nobody who repeats this would know of them.
        self._end_all(queue.id)
        self._queues.delete(key, queue.id)
        self._end_all(queue.id)  # those that came meanwhile; nobody can come any more

    # In the background

    def admit(self) -> int:
        """Where nobody is asked, let those take part who were to be asked before the operator turned that off, unless
        they have declined. Goes once over all subscriptions, a slice a call; say how many were looked at.

        If interrupted: the next process begins at the beginning.
        """
        if self._rules.require_confirmation:
            return 0
        where = (records.Condition('id', '>', self._looked_at),)
        query = records.Query(where=where, order=(('id', False),), limit=_SLICE)
        found = self._records.find(tables.SUBSCRIPTIONS, query).records
        for record in found:
            while record and self._waits(record) and not self._welcome(record):
                record = self._find_record(record['id'])
        if found:
            self._looked_at = found[-1]['id']
        return len(found)

    def finish(self, now: float, limit: int) -> int:
        """Clear away what belongs to subscriptions that have ended, up to `limit` records; say how many. 0: all of it,
        but for those that a turn is delivering to.

        Any number of processes may do so at the same time, and be cut off anywhere.
        """
        query = records.Query(
            where=(records.Condition('expires_at', '<=', now),),
            order=(('expires_at', False),),
            limit=min(limit, _SLICE),
        )
        gone = self._records.find(tables.SUBSCRIPTIONS, query).records
        if not gone:
            return 0
        # Those whose life has run out end like all others first: then nobody renews them while they are cleared away.
        ended = [record for record in gone if record['address'] is None]
        lapsed = self._records.replace(
            tables.SUBSCRIPTIONS, [record | _ENDED for record in gone if record['address'] is not None]
        )
        ended += [record for record in lapsed if isinstance(record, dict)]
        # A turn that began before goes on for as long as its lease, and what it remembers is to be forgotten, too.
        leased = {
            lane.id for lane in self._lanes.find(record['id'] for record in ended).values() if lane.is_leased(now)
        }
        by_queue = {}
        for record in ended:
            by_queue.setdefault(record['queue_id'], set()).add(record['id'])
        for queue_id, ids in by_queue.items():
            self._queues.change_subscribers(queue_id, lambda named, ids=ids: [one for one in named if one not in ids])
        done = 0
        for record in ended:
            if done >= limit:
                break
            if record['id'] in leased:
                continue
            self._lanes.close(record['id'], record['project'])
            cleared = self._deliveries.clear(record['id'], limit - done)
            done += cleared
            if done < limit:  # then none of its deliveries is left
                self._records.delete(tables.SUBSCRIPTIONS, [records.Condition('id', '=', record['id'])], limit=1)
                done += 1
        return done

    # Inside

    def _waits(self, record):
        return not record['confirmed'] and not record['declined'] and record['expires_at'] > self._clock()

    def _check_subscriber(self, key, uri):
        """The subscriber, normalised."""
        address = subscribers.check(uri, self._rules)
        if address == f'queue:{key.name}':
            raise errors.BodyInvalid(description='The value of "subscriber" must name another queue than this one.')
        return address

    def _is_asked(self, address):
        return self._rules.require_confirmation and subscriptions.is_asked(address.partition(':')[0])

    def _find_record(self, subscription_id):
        if not messages.is_id(subscription_id):
            return None
        query = records.Query(where=(records.Condition('id', '=', subscription_id),), limit=1)
        found = self._records.find(tables.SUBSCRIPTIONS, query).records
        return found[0] if found else None

    def _find_address(self, queue_id, address, now):
        """The record of the subscription that has this address; None if there is none, or none any more."""
        where = (records.Condition('queue_id', '=', queue_id), records.Condition('address', '=', address))
        found = self._records.find(tables.SUBSCRIPTIONS, records.Query(where=where, limit=1)).records
        if not found or found[0]['expires_at'] > now:
            return found[0] if found else None
        # Its life has run out. If somebody changes it at this moment, the address is found to be taken later.
        self._records.replace(tables.SUBSCRIPTIONS, [found[0] | _ENDED])
        return None

    def _get(self, key, subscription_id, now):
        """(the queue, the record), if there is such a subscription now."""
        record = self._find_record(subscription_id)
        queue = self._queues.load(key) if record and _is_of(record, key) and record['expires_at'] > now else None
        if queue is None or queue.id != record['queue_id']:
            raise errors.SubscriptionNotFound(subscription_id=subscription_id, queue=key.name)
        return queue, record

    def _change(self, key, subscription_id, change):
        """(the queue, the record before, the record after)."""
        for _ in range(_ATTEMPTS):
            now = self._clock()
            queue, record = self._get(key, subscription_id, now)
            changed = change(record, now)
            (stored,) = self._records.replace(tables.SUBSCRIPTIONS, [changed])
            if isinstance(stored, dict):
                return queue, record, stored
            if isinstance(stored, storage_errors.Duplicate) and self._find_address(queue.id, changed['address'], now):
                raise errors.SubscriptionExists(queue=key.name)
        raise _kept_changing()

    def _welcome(self, record):
        """Let the subscriber of a record that is there be asked again, or take part where nobody is asked.

        :returns: whether it is still there.
        """
        if not record['confirmed'] and not self._is_asked(record['address']):
            (record,) = self._records.replace(tables.SUBSCRIPTIONS, [record | {'confirmed': True, 'declined': False}])
            if not isinstance(record, dict):
                return False
        return self._settle(record, ask=True)

    def _settle(self, record, ask=False):
        """Do what follows from a record, and from what others make of it meanwhile. False: its queue is gone.

        :param ask: let the subscriber be asked if he has not confirmed.
        """
        for _ in range(_ATTEMPTS):
            self._lanes.open(_unpack(record), self._clock())  # it is there before anybody can put something into it
            if not (self._join(record) if record['confirmed'] else self._leave(record)):
                self._records.replace(tables.SUBSCRIPTIONS, [record | _ENDED])
                self._lanes.close(record['id'], record['project'])
                return False
            if ask and not record['confirmed']:
                self._ask(record, deliveries.CONFIRMATION)
            present = self._find_record(record['id'])
            if present is None or present['address'] is None:
                # It may have been cleared away before it was opened and named again.
                self._leave(record)
                self._lanes.close(record['id'], record['project'])
                return True
            if present['revision'] == record['revision']:
                return True
            record = present
        raise _kept_changing()

    def _join(self, record):
        """Let the queue's record name it. False if the queue is gone."""

        def add(ids):
            return ids if record['id'] in ids else [*ids, record['id']]

        return self._queues.change_subscribers(record['queue_id'], add)

    def _leave(self, record):
        """Let the queue's record not name it any more. False if the queue is gone."""
        return self._queues.change_subscribers(
            record['queue_id'], lambda ids: [one for one in ids if one != record['id']]
        )

    def _ask(self, record, kind):
        """Let the subscriber be sent a confirmation or a farewell: once a minute, however often it is wanted."""
        now = self._clock()
        once = hashlib.sha256(f'{kind}/{record["nonce"]}/{now // 60:.0f}'.encode()).hexdigest()[:24]
        entry = deliveries.Entry(deliveries.delivery_id(record['id'], once), kind)
        self._lanes.put(record['project'], record['id'], [entry], now)

    def _end_all(self, queue_id):
        where = (records.Condition('queue_id', '=', queue_id), records.Condition('expires_at', '>', 0.0))
        query = records.Query(where=where, order=(('id', False),), limit=_SLICE)
        # Each round ends at least one, unless somebody changes every one of them at this moment.
        while found := self._records.find(tables.SUBSCRIPTIONS, query).records:
            self._records.replace(tables.SUBSCRIPTIONS, [record | _ENDED for record in found])

    def _show(self, queue, found, now):
        shown = [_unpack(record) for record in found]
        known = self._lanes.find([one.id for one in shown])
        named = frozenset(queue.subscribers)
        return [
            Shown(msgspec.structs.replace(one, confirmed=one.confirmed and one.id in named), known.get(one.id), now)
            for one in shown
        ]


def _is_of(record, key):
    return (record['namespace'], record['project'], record['queue']) == key


def _unpack(record):
    values = {name: record[name] for name in subscriptions.Subscription.__struct_fields__ if name in record}
    key = queues.QueueKey(record['namespace'], record['project'], record['queue'])
    return subscriptions.Subscription(**(values | {'queue': key, 'options': msgspec.json.decode(record['options'])}))


def _kept_changing():
    return storage_errors.Unavailable('A subscription kept being changed by others.')
