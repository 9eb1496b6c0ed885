"""Deliveries: what became of them is remembered, shown, and asked for again."""

import collections.abc

from queueservice.model import deliveries, messages
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: How often a process tries again when a record changes under its hands.
_ATTEMPTS = 20
#: Outcomes that need somebody to act; the message is kept, and may be sent again.
_KEPT = (deliveries.FAILED, deliveries.REFUSED)


class Deliveries:
    def __init__(self, driver: base.Driver, rules: deliveries.Rules):
        self._records = driver.records
        self._rules = rules

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
        if not delivery_ids:
            return {}
        where = (records.Condition('id', 'in', tuple(delivery_ids)),)
        query = records.Query(where=where, limit=len(delivery_ids), fields=('message',))
        found = self._records.find(tables.DELIVERIES, query).records
        return {one['id']: deliveries.unpack_message(one['message']) for one in found if one['message'] is not None}

    def clear(self, subscription_id: str, limit: int) -> int:
        """Forget up to `limit` deliveries of a subscription that has ended; say how many."""
        return self._records.delete(
            tables.DELIVERIES, (records.Condition('subscription_id', '=', subscription_id),), limit=limit
        )

    # Inside

    def _replace(self, rows):
        """Store `rows` over the records with the same keys; return those for which there was none any more."""
        if not rows:
            return []
        where = (records.Condition('id', 'in', tuple({row['id'] for row in rows})),)
        query = records.Query(where=where, limit=len(rows), fields=('id',))
        revisions = {one['id']: one['revision'] for one in self._records.find(tables.DELIVERIES, query).records}
        known = [row | {'revision': revisions[row['id']]} for row in rows if row['id'] in revisions]
        replaced = self._records.replace(tables.DELIVERIES, known)
        stored = {answer['id'] for answer in replaced if not _is_refused(answer)}
        return [row for row in rows if row['id'] not in stored]


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
