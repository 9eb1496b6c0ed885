"""The head of a queue: it gives out positions, and knows whose messages are still on their way.

A post reserves positions in the head, inserts its messages there, and lets go of the reservation. Nothing is read or
consumed at or behind a position that is reserved, so nothing ever becomes visible in front of a place that a reader
was told to go on from. A writer that does not come back is fenced: somebody else takes the positions that it has not
filled, for good, so that its insert fails should it still arrive. What stands at a position is thus never in doubt
as long as the reservation is there, and no clock decides over right and wrong: the lease only says when a writer is
worth waiting for no longer.
"""

import heapq
import math
import time
import typing

from bson import objectid

from queueservice.storage import errors
from queueservice.storage.drivers.mongodb import database as databases

#: After this time, in seconds, somebody looks whether a writer has filled its positions and only failed to say so ...
LATE = 0.25
#: ... and after this time its positions are taken from it.
LEASE = 2
#: How many reservations a queue may have at once: its head is to stay small.
PENDING_LIMIT = 200
#: How often, in seconds, somebody who waits for another looks again.
PAUSE = 0.02
#: How often a reader resolves old reservations before it leaves the rest to others.
ROUNDS = 5
#: How many queues a process remembers something about.
MEMORY_LIMIT = 10_000
#: How many instants at which messages come back a process remembers for each queue.
DEADLINES = 1000

FIELDS = {'revision': 1, 'head': 1}


class Head(typing.NamedTuple):
    revision: int
    last: int  # the highest position given out
    expires: float  # before this instant (s, UTC) nothing expires
    floor: int  # nothing is there any more at or below it
    bound: int  # nothing at or below it is still on its way
    messages: int  # visible up to the bound, or expired; but for what a tally has not told yet
    bytes: int
    purges: int


class Reservation(typing.NamedTuple):
    id: objectid.ObjectId
    first: int
    count: int
    purges: int


class Memory:
    """What this process knows about a queue. All of it may be forgotten: it saves work, and nothing rests on it."""

    def __init__(self):
        self.done = {}  # reservation id -> when this process was through with it (monotonic, s)
        self.seen = {}  # reservation id -> when it was first met (monotonic, s)
        self.taken = 0  # up to about here everything was claimed
        self.deadlines = []  # a heap of instants (s, UTC) at which messages come back
        self.looked_at = 0  # the instant (s, UTC) until which all that came back is free again

    def expect(self, instant: float) -> None:
        """Messages come back at `instant`."""
        if len(self.deadlines) < DEADLINES:
            heapq.heappush(self.deadlines, instant)

    def is_due(self, now: float, interval: float) -> bool:
        """Whether messages may have come back: this process knows that some have, or others may have taken some."""
        if self.deadlines and self.deadlines[0] <= now:
            return True
        return not 0 <= now - self.looked_at < interval

    def look(self, now: float) -> None:
        self.looked_at = now
        while self.deadlines and self.deadlines[0] <= now:
            heapq.heappop(self.deadlines)


class Heads:
    def __init__(self, database, log, tally):
        self._database = database
        self._log = log
        self._tally = tally
        database.in_child(self._forget)
        self._forget()

    def _forget(self):
        self._memories = {}

    def remember(self, queue_id: str) -> Memory:
        memory = self._memories.get(queue_id)
        if memory is None:
            while len(self._memories) >= MEMORY_LIMIT:
                self._memories.pop(next(iter(self._memories)), None)
            memory = self._memories.setdefault(queue_id, Memory())
        return memory

    def read(self, queue_id: str) -> Head:
        """The head as it is now. Writers that are late are dealt with first.

        :raises Stale: the queue is gone.
        """
        memory = self.remember(queue_id)
        for _ in range(ROUNDS):
            document = self._find(queue_id)
            waiting = self._sort_out(memory, document['head']['pending'])
            if not self._may_be_late(memory, waiting) or not self._resolve_late(queue_id):
                break
        head = document['head']
        floor, count, size = head['floor'], head['messages'], head['bytes']
        bound = head['last']
        for entry in waiting:
            bound = min(bound, entry['first'] - 1)
            if entry['first'] > floor:  # a purge has set the counts to zero
                count -= entry['count']
                size -= entry['bytes']
        expires = head.get('expires', math.inf)
        return Head(document['revision'], head['last'], expires, floor, bound, count, size, head['purges'])

    def read_current(self, queue) -> Head:
        """:raises Stale: the queue is gone, or its revision moved on."""
        head = self.read(queue.id)
        if head.revision != queue.revision:
            raise errors.Stale
        return head

    def _find(self, queue_id):
        document = self._database.heads.find_one({'_id': queue_id}, FIELDS)
        if document is None:
            raise errors.Stale
        return document

    def _sort_out(self, memory, pending):
        """The reservations that others may still be filling; those of this process that are done are not."""
        if not pending:
            memory.seen = {}
            if memory.done:
                self._forget_done(memory, ())
            return []
        waiting = [entry for entry in pending if entry['id'] not in memory.done]
        now = time.monotonic()
        memory.seen = {entry['id']: memory.seen.get(entry['id'], now) for entry in waiting}
        self._forget_done(memory, {entry['id'] for entry in pending})
        return waiting

    def _forget_done(self, memory, pending):
        # A head that was read before the reservation does not show it yet.
        old = time.monotonic() - self._database.patience - LEASE
        for id, done_at in list(memory.done.items()):
            if done_at < old and id not in pending:
                memory.done.pop(id, None)

    def _may_be_late(self, memory, waiting):
        """Whether it is worth asking the server, whose clock decides."""
        now, here = time.time(), time.monotonic()
        seen = memory.seen
        return any(now - entry['at'] / 1000 > LATE or here - seen.get(entry['id'], here) > LATE for entry in waiting)

    # Post

    def reserve(self, queue, count: int, size: int, expires_at: float, keyed: bool) -> Reservation:
        """Take the next `count` positions.

        :param size: of all bodies, in bytes.
        :param expires_at: the instant (s, UTC) at which the first of the messages expires.
        :raises Stale: the queue is gone, or its revision moved on.
        :raises Unavailable: too many others are posting, or have died posting, a moment ago.
        """
        id = objectid.ObjectId()
        entry = {
            'id': id,
            'first': {'$add': ['$head.last', 1]},
            'count': count,
            'bytes': size,
            'expires': expires_at,
            'keyed': keyed,
            'at': {'$toLong': '$$NOW'},
        }
        change = {
            'head.last': {'$add': ['$head.last', count]},
            'head.messages': {'$add': ['$head.messages', count]},
            'head.bytes': {'$add': ['$head.bytes', size]},
            'head.expires': {'$min': ['$head.expires', expires_at]},
            'head.pending': {'$concatArrays': ['$head.pending', [entry]]},
        }
        document = self._database.queues.find_one_and_update(
            {'_id': queue.id, 'revision': queue.revision, f'head.pending.{PENDING_LIMIT - 1}': {'$exists': False}},
            [{'$set': change}],
            projection={'_id': 0, 'head.last': 1, 'head.purges': 1},
            return_document=True,
        )
        if document is None:
            self.read_current(queue)  # and make room
            raise errors.Unavailable(f'{PENDING_LIMIT} posts to this queue are under way.')
        head = document['head']
        return Reservation(id, head['last'] - count + 1, count, head['purges'])

    def finish(self, queue_id: str, reservation: Reservation) -> None:
        """All is stored where it was to be, and its keys are settled. Should the word get lost, readers find out."""
        self.remember(queue_id).done[reservation.id] = time.monotonic()
        self._database.queues.with_options(write_concern=databases.UNAWAITED).update_one(
            {'_id': queue_id}, {'$pull': {'head.pending': {'id': reservation.id, 'first': reservation.first}}}
        )

    def give_back(self, queue_id: str, reservation: Reservation, size: int) -> None:
        """Nothing was stored under the reservation, and no key is open under it: let its positions stay empty."""
        self._pull(queue_id, reservation.id, reservation.first)
        self._tally.add(queue_id, reservation.purges, reservation.count, size)

    def _pull(self, queue_id, id, first):
        entry = {'head.pending': {'id': id, 'first': first}}
        return self._database.queues.update_one({'_id': queue_id}, {'$pull': entry}).modified_count

    # Turns

    def take_turn(self, queue_id: str) -> objectid.ObjectId:
        """Wait until nobody else has a turn at this queue. A turn ends by itself when its lease is over.

        :raises Stale: the queue is gone.
        """
        id = objectid.ObjectId()
        here = {'$toLong': '$$NOW'}
        mine = {'id': id, 'until': {'$add': [here, LEASE * 1000]}}
        is_free = {'$lt': [{'$ifNull': ['$head.turn.until', 0]}, here]}
        while True:
            document = self._database.queues.find_one_and_update(
                {'_id': queue_id},
                [{'$set': {'head.turn': {'$cond': [is_free, mine, '$head.turn']}}}],
                projection={'_id': 0, 'head.turn': 1},
                return_document=True,
            )
            if document is None:
                raise errors.Stale
            if document['head']['turn']['id'] == id:
                return id
            time.sleep(PAUSE)

    def end_turn(self, queue_id: str, id: objectid.ObjectId) -> None:
        self._database.queues.update_one({'_id': queue_id, 'head.turn.id': id}, {'$unset': {'head.turn': 1}})

    # What late writers leave behind

    def is_pending(self, queue_id: str, id) -> bool:
        return any(entry['id'] == id for entry in self._find(queue_id)['head']['pending'])

    def resolve(self, queue_id: str, id) -> bool:
        """Deal with one reservation at once if it is filled or its lease is over; False if it must be waited for."""
        return all(
            self._resolve(queue_id, head, entry, age) for head, entry, age in self._ages(queue_id) if entry['id'] == id
        )

    def _resolve_late(self, queue_id):
        """Deal with what is late by the server's clock; whether there was anything to deal with."""
        late = [(head, entry, age) for head, entry, age in self._ages(queue_id) if age > LATE]
        return sum(self._resolve(queue_id, *each) for each in late) > 0

    def _ages(self, queue_id):
        """The pending reservations, and for how many seconds each has been there."""
        for document in self._database.queues.aggregate(
            [{'$match': {'_id': queue_id}}, {'$project': {'head': 1, 'now': {'$toLong': '$$NOW'}}}]
        ):
            head = document['head']
            return [(head, entry, (document['now'] - entry['at']) / 1000) for entry in head['pending']]
        raise errors.Stale

    def _resolve(self, queue_id, head, entry, age):
        """Make certain what is stored under a reservation, then end it. Any number may do this at the same time.

        The order of these steps is what the protocol rests on: first every position is taken, then every key is
        settled, and only then may the messages be consumed.
        """
        life = bytes.fromhex(queue_id)
        positions = range(entry['first'], entry['first'] + entry['count'])
        found = self._log.look(life, positions)
        if len(found) < entry['count']:
            if age < LEASE:
                return False
            self._log.fence(life, [position for position in positions if position not in found])
            found = self._log.look(life, positions)
        if entry['keyed']:
            self._settle_keys(entry['id'], found)
        if self._pull(queue_id, entry['id'], entry['first']) and entry['first'] > head['floor']:
            stored = [size for size, is_stored in found.values() if is_stored]
            self._tally.add(queue_id, head['purges'], entry['count'] - len(stored), entry['bytes'] - sum(stored))
        return True

    def _settle_keys(self, id, found):
        for key in list(self._database.keys.find({'reservation': id}, {'position': 1})):
            condition = {'_id': key['_id'], 'reservation': id}
            _, is_stored = found.get(key['position'], (0, False))
            if is_stored:
                self._database.keys.update_one(condition, {'$unset': {'reservation': 1}})
            else:
                self._database.keys.delete_one(condition)
