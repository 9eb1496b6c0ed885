"""Keys of drafts: that a post is stored once, however often it is repeated.

A key is open from its insert until it is certain that its message is stored; then it is settled, and stays known
whatever becomes of the message. Who meets an open key finds out what became of it (`heads`).
"""

import time
import typing

from pymongo import errors as pymongo_errors

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.mongodb import heads, log


class Placed(typing.NamedTuple):
    """A draft and the position that is kept for it; `index` is its place in the append."""

    index: int
    position: int
    draft: messages.Draft


class Keys:
    def __init__(self, database, all_heads):
        self._database = database
        self._heads = all_heads

    def recognise(
        self, queue, reservation: heads.Reservation, placed: list[Placed], now: float
    ) -> tuple[list[Placed], dict[int, ports.Appended]]:
        """Open the keys of new drafts under `reservation`; tell repetitions, by index, from what is to be stored.

        :raises KeyReused: a key is known with another digest.
        """
        own, repeated, keys = {}, {}, {}
        for each in placed:
            draft = each.draft
            if draft.key is None:
                continue
            first = own.get(draft.key)
            if first is None:
                keys[each.index] = _write(queue, reservation, each)
            elif first.draft.key_digest != draft.key_digest:
                raise errors.KeyReused
            else:
                repeated[each.index] = first.index
                continue
            if draft.key_until > now:
                own[draft.key] = each
        known = self._open(queue, keys, now)
        answers = {index: ports.Appended(position, repeated=True) for index, position in known.items()}
        positions = {each.index: known.get(each.index, each.position) for each in placed}
        for index, first in repeated.items():
            answers[index] = ports.Appended(positions[first], repeated=True)
        return [each for each in placed if each.index not in answers], answers

    def settle(self, queue, reservation: heads.Reservation, placed: list[Placed]) -> None:
        """What was opened under `reservation` is stored."""
        ids = [_id(queue, each.draft.key) for each in placed if each.draft.key is not None]
        if ids:
            self._database.keys.update_many(
                {'_id': {'$in': ids}, 'reservation': reservation.id}, {'$unset': {'reservation': 1}}
            )

    def forget(self, reservation: heads.Reservation) -> None:
        """Nothing was stored, nor will be, of what was opened under `reservation`."""
        self._database.keys.delete_many({'reservation': reservation.id})

    def _open(self, queue, keys, now):
        """Insert the keys, by index; return the positions of those that are known already."""
        if not keys:
            return {}
        indexes = list(keys)
        try:
            self._database.keys.insert_many(list(keys.values()), ordered=False)
            return {}
        except pymongo_errors.BulkWriteError as error:
            there = log.find_duplicates(error)
        known = {}
        for index in (indexes[each] for each in there):
            position = self._meet(queue, keys[index], now)
            if position is not None:
                known[index] = position
        return known

    def _meet(self, queue, key, now):
        """The position of the first one with this key; None if the key is the caller's now."""
        collection = self._database.keys
        while True:
            there = collection.find_one({'_id': key['_id']})
            if there is None:
                try:
                    collection.insert_one(key)
                    return None
                except pymongo_errors.DuplicateKeyError:
                    continue
            reservation = there.get('reservation')
            if reservation is None:
                if there['until'] > now:
                    if there['digest'] != key['digest']:
                        raise errors.KeyReused
                    return there['position']
            elif reservation == key['reservation']:
                return None  # inserted by an attempt whose answer was lost
            elif self._heads.is_pending(queue.id, reservation):
                if not self._heads.resolve(queue.id, reservation):
                    time.sleep(heads.PAUSE)
                continue
            # An open key whose reservation has ended belongs to a writer that was fenced before it came to its
            # messages: they will never be stored. Whether that is so is only certain if nothing changed since.
            condition = {name: there[name] for name in ('_id', 'position', 'until')}
            condition['reservation'] = reservation if reservation is not None else {'$exists': False}
            if collection.replace_one(condition, key).modified_count:
                return None


def _id(queue, key):
    return f'{queue.id}:{key}'


def _write(queue, reservation, placed):
    draft = placed.draft
    return {
        '_id': _id(queue, draft.key),
        'queue': queue.id,
        'position': placed.position,
        'digest': draft.key_digest,
        'until': draft.key_until,
        'reservation': reservation.id,
    }
