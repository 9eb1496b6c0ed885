"""Collections: exchanges that somebody wants to keep, in an order of his own.

An exchange is held as long as a collection has it. It is held before there is an item, and once more behind it: so
whoever let go of it in between has noticed, or did so in vain. Cut off anywhere, it is held in vain at the worst, and
`Retention.sweep` finds it.
"""

import collections.abc

import msgspec

from queueservice.model import captures, errors
from queueservice.services import captures as captures_service
from queueservice.services import retention
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

_SLICE = 100


class Collections:
    def __init__(
        self,
        driver: base.Driver,
        captures: captures_service.Captures,
        retention: retention.Retention,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._captures = captures
        self._retention = retention
        self._clock = clock

    def create(self, project: str, key: str, name: str, description: str = '') -> captures.Collection:
        """Make a collection in a bucket.

        :raises BodyInvalid: the name is empty, or it or the description too long.
        :raises Forbidden: the bucket has as many as it may.
        :raises NotFound: the project has no such bucket.
        """
        self._captures.get(project, key)
        captures.check_text(name, 'name of a collection', captures.MOST_NAME, least=1)
        captures.check_text(description, 'description of a collection', captures.MOST_DESCRIPTION)
        most = captures.MOST_COLLECTIONS
        if self._records.count(tables.COLLECTIONS, (_of(key),), most) >= most:
            raise errors.Forbidden(
                description=f'A bucket may have {most} collections. Delete those that are not needed.'
            )
        made = captures.Collection(captures.new_id(), key, name, description, self._clock())
        self._records.insert(tables.COLLECTIONS, [msgspec.structs.asdict(made)])
        return made

    def page(self, project: str, key: str) -> list[captures.Collection]:
        """The collections of a bucket, oldest first.

        :raises NotFound: the project has no such bucket.
        """
        self._captures.get(project, key)
        query = records.Query(
            where=(_of(key),), order=(('bucket', False), ('created_at', False)), limit=captures.MOST_COLLECTIONS
        )
        return [_unpack(record) for record in self._records.find(tables.COLLECTIONS, query).records]

    def get(self, project: str, key: str, collection_id: str) -> captures.Collection:
        """:raises NotFound: there is none in such a bucket of the project."""
        self._captures.get(project, key)
        found = self._find(key, collection_id)
        if found is None:
            raise errors.NotFound(description='There is no such collection in this bucket.')
        return found

    def items(self, project: str, key: str, collection_id: str) -> list[captures.Item]:
        """What is in a collection, with bodies, by rank; of the same rank, what was added first.

        :raises NotFound: there is none in such a bucket of the project.
        """
        self.get(project, key, collection_id)
        order = (('bucket', False), ('collection', False), ('rank', False), ('added_at', False))
        where = (_of(key), records.Condition('collection', '=', collection_id))
        query = records.Query(where=where, order=order, limit=2 * captures.MOST_HELD)
        items = self._records.find(tables.COLLECTION_ITEMS, query).records
        exchanges = self._captures.with_bodies(self._load(key, [item['exchange'] for item in items]))
        ranks = {item['exchange']: msgspec.json.decode(item['shown']) for item in items}
        return [captures.Item(ranks[exchange.id], exchange) for exchange in exchanges]

    def put(
        self, project: str, key: str, collection_id: str, exchange_id: str, rank: int | float | None = None
    ) -> None:
        """Add an exchange of the same bucket to a collection, or change its rank there.

        :param rank: None: now, as seconds since 1970.
        :raises NotFound: the collection or the exchange is not in such a bucket of the project.
        :raises Forbidden: the collections of the bucket hold as many exchanges as they may.
        """
        self.get(project, key, collection_id)
        now = self._clock()
        rank = now if rank is None else captures.check_rank(rank)
        self._check_room(key, exchange_id)
        if not self._retention.hold(key, exchange_id):
            raise _no_message()
        self._put_item(key, collection_id, exchange_id, rank, now)
        # A bucket may have been cleared meanwhile, or the collection deleted: nobody else knows of this item then.
        if not self._retention.hold(key, exchange_id) or self._find(key, collection_id) is None:
            self._delete_items(key, collection_id, [exchange_id])
            raise _no_message()

    def remove(self, project: str, key: str, collection_id: str, exchange_id: str) -> None:
        """Take an exchange out of a collection. It stays in its bucket.

        :raises NotFound: it is not in it.
        """
        self.get(project, key, collection_id)
        if not captures.is_id(exchange_id) or not self._delete_items(key, collection_id, [exchange_id]):
            raise errors.NotFound(description='There is no such message in this collection.')

    def delete(self, project: str, key: str, collection_id: str) -> None:
        """Delete a collection. What was in it stays in its bucket.

        :raises NotFound: there is none in such a bucket of the project.
        """
        self.get(project, key, collection_id)
        self._records.delete(tables.COLLECTIONS, (_of(key), records.Condition('id', '=', collection_id)), limit=1)
        where = (_of(key), records.Condition('collection', '=', collection_id))
        while True:
            query = records.Query(where=where, limit=_SLICE, fields=())
            items = self._records.find(tables.COLLECTION_ITEMS, query).records
            if not items:
                return
            self._delete_items(key, collection_id, [item['exchange'] for item in items])

    # Inside

    def _find(self, key, collection_id):
        if not captures.is_id(collection_id):
            return None
        query = records.Query(where=(_of(key), records.Condition('id', '=', collection_id)), limit=1)
        found = self._records.find(tables.COLLECTIONS, query).records
        return _unpack(found[0]) if found else None

    def _load(self, key, exchange_ids):
        """Exchanges in the order of their ids; those that are gone are passed over."""
        loaded = {}
        for start in range(0, len(exchange_ids), _SLICE):
            part = exchange_ids[start : start + _SLICE]
            query = records.Query(where=(_of(key), records.Condition('id', 'in', part)), limit=len(part))
            for record in self._records.find(tables.EXCHANGES, query).records:
                loaded[record['id']] = captures_service.unpack(record)
        return [loaded[exchange_id] for exchange_id in exchange_ids if exchange_id in loaded]

    def _check_room(self, key, exchange_id):
        held = (_of(key), records.Condition('held', '=', True))
        if self._records.count(tables.EXCHANGES, held, captures.MOST_HELD) < captures.MOST_HELD:
            return
        found = self._retention.find(key, exchange_id)
        if found is not None and not found['held']:
            raise errors.Forbidden(
                description=f'The collections of a bucket may hold {captures.MOST_HELD} messages. Remove those that '
                'are not needed.'
            )

    def _put_item(self, key, collection_id, exchange_id, rank, now):
        item = {
            'bucket': key,
            'collection': collection_id,
            'exchange': exchange_id,
            'rank': float(rank),
            'shown': msgspec.json.encode(rank).decode(),
            'added_at': now,
        }
        where = tuple(records.Condition(field, '=', item[field]) for field in tables.COLLECTION_ITEMS.key)
        while isinstance(self._records.insert(tables.COLLECTION_ITEMS, [item])[0], storage_errors.Duplicate):
            found = self._records.find(tables.COLLECTION_ITEMS, records.Query(where=where, limit=1)).records
            if found:
                changed = item | {'added_at': found[0]['added_at'], 'revision': found[0]['revision']}
                (replaced,) = self._records.replace(tables.COLLECTION_ITEMS, [changed])
                if not isinstance(replaced, storage_errors.Stale):
                    return

    def _delete_items(self, key, collection_id, exchange_ids):
        """How many of the exchanges were in the collection, and are not any more."""
        where = (
            _of(key),
            records.Condition('collection', '=', collection_id),
            records.Condition('exchange', 'in', exchange_ids),
        )
        deleted = self._records.delete(tables.COLLECTION_ITEMS, where, limit=len(exchange_ids))
        self._retention.let_go(key, exchange_ids)
        return deleted


def _of(key):
    return records.Condition('bucket', '=', key)


def _no_message():
    return errors.NotFound(description='There is no such message in this bucket, or no such collection any more.')


def _unpack(record):
    return captures.Collection(
        record['id'], record['bucket'], record['name'], record['description'], record['created_at']
    )
