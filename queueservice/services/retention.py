"""Which exchanges stay in their buckets, and which go.

An exchange stays as long as its bucket has room, or a collection holds it. Whatever order keeps that true when
something is interrupted is said where it is done; `sweep` finds what was left behind.
"""

import collections.abc
import typing

from queueservice.model import captures
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: Records that are dropped in one step.
_SLICE = 100
#: How many buckets a process remembers to have trimmed lately.
_REMEMBERED = 16384
#: Seconds for which whoever stores an exchange may have its bodies stored alone.
_IN_THE_MAKING = 600
_ATTEMPTS = 20


class Retention:
    """:param most: how many exchanges that no collection holds a bucket has room for."""

    def __init__(self, driver: base.Driver, most: int, clock: collections.abc.Callable[[], float]):
        self._records = driver.records
        self._most = most
        self._clock = clock
        self._untrimmed: dict[str, int] = {}  # bucket -> how many were stored since it was last looked at
        self._swept: tuple[str, str] = '', ''  # how far this process has swept: bucket, exchange

    def find(self, key: str, exchange_id: str) -> records.Record | None:
        """The record of an exchange."""
        if not captures.is_id(exchange_id):
            return None
        where = (records.Condition('bucket', '=', key), records.Condition('id', '=', exchange_id))
        found = self._records.find(tables.EXCHANGES, records.Query(where=where, limit=1)).records
        return found[0] if found else None

    # What goes

    def trim(self, key: str, added: int) -> None:
        """Drop the oldest of too many exchanges, when `added` were stored. The work for one write is bounded, however
        many there are too many.
        """
        room = self._most
        # To count costs as much as there is: where that is much, it is done for every thousandth part only.
        pending = self._untrimmed.get(key, room) + added
        if pending < max(1, room // 1000) and added:
            self._untrimmed[key] = pending
            return
        if len(self._untrimmed) >= _REMEMBERED:
            self._untrimmed.clear()
        self._untrimmed[key] = 0
        free = (records.Condition('bucket', '=', key), records.Condition('held', '=', False))
        most = max(2 * pending if pending < room else 0, 2 * added, _SLICE)
        surplus = self._records.count(tables.EXCHANGES, free, room + most) - room
        while surplus > 0:
            self.drop(key, free[1:], limit=min(surplus, _SLICE))
            surplus -= _SLICE

    def drop(self, key: str, where: collections.abc.Sequence[records.Condition], limit: int) -> list[str]:
        """Drop the oldest exchanges of a bucket that meet conditions; return the ids of those that were found.

        Cut off in the middle, it leaves bodies without an exchange.
        """
        where = (records.Condition('bucket', '=', key), *where)
        order = tuple((field, False) for field in ('bucket', 'held', 'stored_at', 'at', 'id'))
        query = records.Query(where=where, order=order, limit=limit, fields=())
        ids = [record['id'] for record in self._records.find(tables.EXCHANGES, query).records]
        if not ids:
            return ids
        named = (records.Condition('bucket', '=', key), _is_one_of('id', ids))
        # The conditions hold again, or do not: meanwhile a collection may have taken one.
        dropped = self._records.delete(tables.EXCHANGES, (*named, *where[1:]), limit=len(ids))
        gone = set(ids)
        if dropped < len(ids):
            left = records.Query(where=named, limit=len(ids), fields=())
            gone -= {record['id'] for record in self._records.find(tables.EXCHANGES, left).records}
        if gone:
            alone = (records.Condition('bucket', '=', key), _is_one_of('id', sorted(gone)))
            self._records.delete(tables.EXCHANGE_BODIES, alone, limit=len(gone))
        return ids

    def clear(self, key: str, *where: records.Condition) -> None:
        """Drop all exchanges of a bucket that meet conditions; collections lose them."""
        while ids := self.drop(key, where, limit=_SLICE):
            self._delete(tables.COLLECTION_ITEMS, key, _is_one_of('exchange', ids))

    def empty(self, key: str) -> None:
        """Drop all that is in a bucket, collections too."""
        for table in (tables.COLLECTIONS, tables.COLLECTION_ITEMS):
            self._delete(table, key)
        self.clear(key)
        self._delete(tables.EXCHANGE_BODIES, key)

    # What stays

    def hold(self, key: str, exchange_id: str) -> bool:
        """Let the exchange stay, whatever comes into its bucket; False if there is none.

        Always raises its revision, so that whoever is about to let go of it notices.
        """
        return self._set_held(key, exchange_id, lambda: True)

    def let_go(self, key: str, exchange_ids: collections.abc.Iterable[str]) -> None:
        """Let those exchanges go with time that no collection holds any more."""
        for exchange_id in exchange_ids:
            where = (records.Condition('bucket', '=', key), records.Condition('exchange', '=', exchange_id))
            self._set_held(
                key, exchange_id, lambda where=where: self._records.count(tables.COLLECTION_ITEMS, where, 1) > 0
            )

    # In the background

    def sweep(self) -> None:
        """Look at one bucket, or one stretch of a large one: trim it, and repair what was interrupted there."""
        key, exchange_id = self._swept
        op = '>=' if exchange_id else '>'
        query = records.Query(where=(records.Condition('id', op, key),), order=(('id', False),), limit=1)
        found = self._records.find(tables.BUCKETS, query).records
        if not found:
            self._swept = '', ''
            return
        if found[0]['id'] != key:
            key, exchange_id = found[0]['id'], ''
            self._untrimmed.pop(key, None)
            self.trim(key, 0)
            self._repair_holds(key)
        self._swept = key, self._drop_lone_bodies(key, exchange_id)

    # Inside

    def _delete(self, table, key, *where):
        where = (records.Condition('bucket', '=', key), *where)
        while self._records.delete(table, where, limit=_SLICE) >= _SLICE:
            pass

    def _set_held(self, key, exchange_id, is_held):
        """Whether there is the exchange; and `is_held()` was true, or not, until its revision was raised."""
        for _ in range(_ATTEMPTS):
            record = self.find(key, exchange_id)
            if record is None:
                return False
            (replaced,) = self._records.replace(tables.EXCHANGES, [record | {'held': is_held()}])
            if not isinstance(replaced, storage_errors.Stale):
                return True
        raise storage_errors.Unavailable(f'The exchange {exchange_id} kept being changed by others.')

    def _repair_holds(self, key):
        """Let go of what collections hold no more, and of items whose collection is gone."""
        of_bucket = records.Condition('bucket', '=', key)
        held = (of_bucket, records.Condition('held', '=', True))
        query = records.Query(where=held, limit=2 * captures.MOST_HELD, fields=())
        ids = [record['id'] for record in self._records.find(tables.EXCHANGES, query).records]
        for start in range(0, len(ids), _SLICE):
            part = ids[start : start + _SLICE]
            where = (of_bucket, _is_one_of('exchange', part))
            query = records.Query(where=where, limit=_SLICE * captures.MOST_COLLECTIONS, fields=())
            items = self._records.find(tables.COLLECTION_ITEMS, query).records
            wanted = {item['collection'] for item in items}
            where = (of_bucket, _is_one_of('id', sorted(wanted)))
            query = records.Query(where=where, limit=len(wanted), fields=())
            there = {record['id'] for record in self._records.find(tables.COLLECTIONS, query).records}
            for lost in wanted - there:
                self._delete(tables.COLLECTION_ITEMS, key, records.Condition('collection', '=', lost))
            needed = {item['exchange'] for item in items if item['collection'] in there}
            self.let_go(key, [exchange_id for exchange_id in part if exchange_id not in needed])

    def _drop_lone_bodies(self, key, exchange_id):
        """Drop bodies whose exchange was never stored or is gone, of one stretch; return its end, '' for the last."""
        where = [records.Condition('bucket', '=', key), records.Condition('id', '>', exchange_id)]
        query = records.Query(
            where=tuple(where), order=(('bucket', False), ('id', False)), limit=_SLICE, fields=('stored_at',)
        )
        bodies = self._records.find(tables.EXCHANGE_BODIES, query).records
        old = [one['id'] for one in bodies if one['stored_at'] < self._clock() - _IN_THE_MAKING]
        if old:
            named = (where[0], _is_one_of('id', old))
            there = self._records.find(tables.EXCHANGES, records.Query(where=named, limit=len(old), fields=())).records
            lone = sorted(set(old) - {record['id'] for record in there})
            if lone:
                self._records.delete(tables.EXCHANGE_BODIES, (where[0], _is_one_of('id', lone)), limit=len(lone))
        return bodies[-1]['id'] if len(bodies) == _SLICE else ''


def _is_one_of(field: str, values: typing.Sequence[str]) -> records.Condition:
    return records.Condition(field, 'in', values)
