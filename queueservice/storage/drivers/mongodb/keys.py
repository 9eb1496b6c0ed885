"""Keys of drafts: that a post is stored once, however often it is repeated.

A key is open from its insert until it is certain that its message is stored; then it is settled, and stays known
whatever becomes of the message. Who meets an open key finds out what became of it (`heads`).

One that is `over` is past its time and kept because its message is still there; that is looked at again at `until`.
"""

import collections.abc
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

    def find(self, queue, keys: collections.abc.Iterable[str]) -> list[int]:
        """The positions that were given to drafts with these keys. Whether something is there is another question."""
        ids = [_id(queue, key) for key in keys]
        return [each['position'] for each in self._database.keys.find({'_id': {'$in': ids}}, {'position': 1})]

    def recognise(
        self, queue, reservation: heads.Reservation, placed: list[Placed], now: float
    ) -> tuple[list[Placed], dict[int, ports.Appended]]:
        """Open the keys of new drafts under `reservation`; tell what is to be stored from repetitions, by index.

        :param placed: no two with one key.
        :raises KeyReused: a key is known with another digest.
        """
        # All in one order: two posts that have two keys in common must not wait for each other.
        keyed = sorted((each for each in placed if each.draft.key is not None), key=lambda each: each.draft.key)
        keys = [_write(queue, reservation, each) for each in keyed]
        positions = self._open(queue, keys, now)
        answers = {
            each.index: ports.Appended(positions[key['_id']], repeated=True)
            for each, key in zip(keyed, keys, strict=True)
            if key['_id'] in positions
        }
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
        """Insert the keys, in their order; return the positions of those that are known already, by id."""
        collection = self._database.keys
        known = {}
        while keys:
            try:
                collection.insert_many(keys)
                break
            except pymongo_errors.BulkWriteError as error:
                [there] = log.find_duplicates(error)
            keys = keys[there:]
            settled = {'_id': {'$in': [key['_id'] for key in keys]}, 'until': {'$gt': now}}
            for key in collection.find({**settled, 'reservation': {'$exists': False}, 'over': {'$exists': False}}):
                known[key['_id']] = key
            for key in keys:
                if key['_id'] in known and known[key['_id']]['digest'] != key['digest']:
                    raise errors.KeyReused
            keys = [key for key in keys if key['_id'] not in known]
            if keys:
                position = self._meet(queue, keys[0], now)
                if position is not None:
                    known[keys[0]['_id']] = {'position': position}
                keys = keys[1:]
        return {id: key['position'] for id, key in known.items()}

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
                if there['until'] > now and 'over' not in there:
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


def fold(drafts, now: float) -> tuple[list[tuple[int, messages.Draft]], dict[int, int]]:
    """The drafts of an append with their indexes, but for those whose key stood before; and for these, where.

    :raises KeyReused: it stood there with another digest.
    """
    kept, first, repeated = [], {}, {}
    for index, draft in enumerate(drafts):
        if draft.key in first:
            if drafts[first[draft.key]].key_digest != draft.key_digest:
                raise errors.KeyReused
            repeated[index] = first[draft.key]
            continue
        if draft.key is not None and draft.key_until > now:
            first[draft.key] = index
        kept.append((index, draft))
    return kept, repeated


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
