"""The messages of a queue, as statements: where something stands, and how it is removed.

Statements name the queue first, which is what a sharded cluster finds them by, and ranges are bounded on both sides.
What only narrows a range is a stage of its own behind it: MongoDB makes one query of the two.
"""

import collections.abc
import itertools
import time

from pymongo import errors as pymongo_errors

from queueservice.storage.drivers.mongodb import documents

#: How many messages one statement changes or removes.
SLICE = 500
#: How far a search looks at first, for each message that it needs, and how many times further if that was too little.
WINDOW = 4
GROWTH = 8
#: For how long a position that was taken from a writer stays taken, in seconds: longer than any insert is on its way.
FENCE = 24 * 3600
#: A duplicate key in a unique index. Source: MongoDB's error codes, 11000 DuplicateKey.
DUPLICATE = 11000

ALIVE = {'available': {'$gte': 0}}


class Log:
    def __init__(self, database, tally):
        self._database = database
        self._tally = tally

    def look(self, life: bytes, positions) -> dict[int, tuple[int, bool]]:
        """Where something stands of `positions`: the size of its body, and whether it is a message."""
        return {
            document['position']: (document['size'], document['available'] != documents.DEAD)
            for document in self._database.messages.find(
                {'_id': {'$in': documents.places(life, positions)}, 'queue': life},
                {'_id': 0, 'position': 1, 'size': 1, 'available': 1},
            )
        }

    def is_fenced(self, life: bytes, position: int) -> bool:
        """Whether somebody took `position` from whoever was to fill it."""
        _, is_message = self.look(life, [position]).get(position, (0, True))
        return not is_message

    def fence(self, life: bytes, positions) -> None:
        """Take `positions` from whoever has not filled them yet."""
        expires_at = time.time() + FENCE
        dead = [documents.write_dead(life, position, expires_at) for position in positions]
        try:
            self._database.messages.insert_many(dead, ordered=False)
        except pymongo_errors.BulkWriteError as error:
            find_duplicates(error)

    def walk(self, life: bytes, after: int, end: int, condition: dict, limit: int, order: int = 1) -> list[dict]:
        """The first messages, or with `order` -1 the last, behind `after` and up to `end` that meet `condition`."""
        return self._walk({'queue': life, 'position': {'$gt': after, '$lte': end}}, condition, limit, order)

    def walk_free(self, life: bytes, after: int, end: int, condition: dict, limit: int) -> list[dict]:
        """The same, among those that nobody claims and that are not delayed."""
        return self._walk({'queue': life, 'available': 0, 'position': {'$gt': after, '$lte': end}}, condition, limit, 1)

    def _walk(self, scope, condition, limit, order):
        stages = [{'$match': scope}, {'$match': condition}, {'$sort': {'position': order}}, {'$limit': limit}]
        return list(self._database.messages.aggregate(stages))

    def find_end(self, life: bytes, after: int, end: int, condition: dict, order: int = 1) -> dict | None:
        """The first message, or with `order` -1 the last, behind `after` and up to `end` that meets `condition`.

        It looks further and further: a server may read all of a range although the first message is enough.
        """
        step = WINDOW
        while after < end:
            reach = min(step, end - after)
            low, high = (after, after + reach) if order == 1 else (end - reach, end)
            found = self.walk(life, low, high, condition, 1, order)
            if found:
                return found[0]
            after, end = (high, end) if order == 1 else (after, low)
            step *= GROWTH
        return None

    def remove(self, queue_id: str, purges: int, found: list[dict], guard: dict) -> list[int]:
        """Delete those of the messages `found` that meet `guard` now; return their positions.

        :param purges: how often the queue had been purged when they were found.
        """
        life = bytes.fromhex(queue_id)
        gone = []
        for part in slices(found):
            ids = {'_id': {'$in': [each['_id'] for each in part]}, 'queue': life}
            count = self._database.messages.delete_many({**ids, **guard}).deleted_count
            if count < len(part):
                left = {each['_id'] for each in self._database.messages.find(ids, {'_id': 1})}
                part = [each for each in part if each['_id'] not in left]
            size = sum(each['size'] for each in part)
            if count != len(part):  # others deleted some of them at the same time: it is not known which
                size = size * count // max(1, len(part))
            self._tally.add(queue_id, purges, count, size)
            gone += [each['position'] for each in part]
        return gone

    def discard(self, life: bytes, found: collections.abc.Iterable[dict]) -> int:
        """Delete documents that no head counts; return how many there were."""
        count = 0
        for part in slices(found):
            self._database.messages.delete_many({'_id': {'$in': [each['_id'] for each in part]}, 'queue': life})
            count += len(part)
        return count


def slices(found: collections.abc.Iterable) -> collections.abc.Iterator[list]:
    found = iter(found)
    while part := list(itertools.islice(found, SLICE)):
        yield part


def find_duplicates(error: pymongo_errors.BulkWriteError) -> list[int]:
    """The indexes of what was not inserted because it was there already. Any other error is raised again."""
    details = error.details
    if details['writeConcernErrors'] or any(each['code'] != DUPLICATE for each in details['writeErrors']):
        raise error
    return sorted(each['index'] for each in details['writeErrors'])
