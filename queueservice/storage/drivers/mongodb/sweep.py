"""What nobody sees any more is removed, and heads are told the truth where they have lost it."""

import contextlib
import time
import typing

from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.mongodb import documents, log

#: For how long a queue must have rested, in seconds, before its messages are counted: so long that every process has
#: told the head what it deleted.
REST = 5
#: How often the messages of a queue that is in use are counted, in seconds, ...
COUNT_EVERY = 3600
#: ... unless it is longer than this.
COUNT_LIMIT = 100_000
#: How far ahead, in seconds, the next expiry is looked for at first, and from where on that is as good as never.
SPAN = 3600
FOREVER = SPAN * log.GROWTH**4
#: Of how many queues a process remembers when they were counted.
MEMORY_LIMIT = 10_000
#: How many queues a process looks after for each call of `sweep`.
AT_ONCE = 10


class Check(typing.NamedTuple):
    """When a queue was counted, what its head said then, and what was found. Without a head: when it was first met."""

    at: float  # monotonic, s
    head: dict | None = None
    messages: int = 0
    bytes: int = 0


class Sweeper:
    def __init__(self, database, all_log, heads, tally):
        self._database = database
        self._log = all_log
        self._heads = heads
        self._tally = tally
        database.in_child(self._forget)
        self._forget()

    def _forget(self):
        self._checks = {}  # queue id -> Check

    def sweep(self, now: float, limit: int) -> int:
        self._tally.tell()
        done = 0
        for step in (self._sweep_expired, self._sweep_purged, self._sweep_deleted, self._sweep_keys):
            if done < limit:
                done += step(now, limit - done)
        for queue_id in self._tally.take_touched(AT_ONCE):
            with contextlib.suppress(errors.Stale):
                self._look_after(queue_id)
        return done

    def _sweep_expired(self, now, limit):
        done = 0
        for each in list(self._database.heads.find({'head.expires': {'$lte': now}}, {'head': 1}).limit(limit)):
            queue_id, head = each['_id'], each['head']
            life = bytes.fromhex(queue_id)
            past = {'queue': life, 'expires': {'$lte': now}}
            fields = {'position': 1, 'size': 1, 'available': 1}
            found = list(self._database.messages.find(past, fields).limit(limit - done))
            done += len(found)
            found = [each for each in found if each['position'] <= _bound(head)]
            counted = [each for each in found if each['available'] >= 0 and each['position'] > head['floor']]
            self._log.remove(queue_id, head['purges'], counted, past)
            self._log.discard(life, [each for each in found if each not in counted])
            if done >= limit:
                return done
            self._expect(queue_id, life, head, now)
        return done

    def _expect(self, queue_id, life, head, now):
        """Note when the next message of a queue expires, unless there are new ones."""
        coming = [entry['expires'] for entry in head['pending']]
        first = self._find_next_expiry(life, now)
        if first is not None:
            coming.append(first)
        change = {'$set': {'head.expires': min(coming)}} if coming else {'$unset': {'head.expires': 1}}
        self._database.queues.update_one({'_id': queue_id, 'head.last': head['last']}, change)

    def _find_next_expiry(self, life, after):
        step = SPAN
        while True:  # further and further, like Log.find_end
            span = {'$gt': after, '$lte': after + step} if step < FOREVER else {'$gt': after}
            expiries = self._database.messages.find({'queue': life, 'expires': span}, {'_id': 0, 'expires': 1})
            for each in expiries.sort('expires', 1).limit(1):
                return each['expires']
            if step >= FOREVER:
                return None
            step *= log.GROWTH

    def _sweep_purged(self, now, limit):
        done = 0
        for each in list(self._database.heads.find({'head.unswept': True}, {'head': 1}).limit(AT_ONCE)):
            life, head = bytes.fromhex(each['_id']), each['head']
            end = min(head['floor'], _bound(head))
            scope = {'queue': life, 'position': {'$gt': 0, '$lte': end}}
            # Positions that were taken from writers stay so until their time is over.
            stages = [{'$match': scope}, {'$match': log.ALIVE}, {'$limit': limit - done}, {'$project': {'_id': 1}}]
            done += self._log.discard(life, self._database.messages.aggregate(stages))
            if done >= limit:
                return done
            if end == head['floor']:
                swept = {'_id': each['_id'], 'head.floor': head['floor']}
                self._database.queues.update_one(swept, {'$unset': {'head.unswept': 1}})
        return done

    def _sweep_deleted(self, now, limit):
        done = 0
        here = time.time()
        for grave in list(self._database.graves.find({'due': {'$lte': here}}).limit(AT_ONCE)):
            queue_id = grave['_id']
            if self._database.queues.find_one({'_id': queue_id}, {'_id': 1}) is None:
                life = bytes.fromhex(queue_id)
                found = self._database.messages.find({'queue': life}, {'_id': 1}).limit(limit - done)
                done += self._log.discard(life, found)
                if done < limit:
                    done += self._forget_keys({'queue': queue_id}, limit - done)
                if done >= limit:
                    return done
            if grave['due']:
                self._database.graves.delete_one(grave)
            else:  # look again when nothing can be on its way any more
                self._database.graves.update_one(grave, {'$set': {'due': here + log.FENCE}})
        return done

    def _sweep_keys(self, now, limit):
        """Forget keys that are past their time. Those whose messages are still there are kept for these."""
        past = {'until': {'$lte': now}}
        due = list(self._database.keys.find(past, {'queue': 1, 'position': 1}).sort('until', 1).limit(limit))
        for some in log.slices(due):
            lives = [bytes.fromhex(each['queue']) for each in some]
            places = [documents.place(life, each['position']) for life, each in zip(lives, some, strict=True)]
            there = {'_id': {'$in': places}, 'queue': {'$in': lives}, **log.ALIVE, 'expires': {'$gt': now}}
            alive = {each['_id'] for each in self._database.messages.find(there, {'_id': 1})}
            kept = [each['_id'] for each, place in zip(some, places, strict=True) if place in alive]
            gone = [each['_id'] for each, place in zip(some, places, strict=True) if place not in alive]
            later = {'$set': {'until': now + ports.KEY_INTERVAL, 'over': True}}
            self._database.keys.update_many({'_id': {'$in': kept}, **past}, later)
            self._database.keys.delete_many({'_id': {'$in': gone}, **past})
        return len(due)

    def _forget_keys(self, condition, limit):
        ids = [each['_id'] for each in self._database.keys.find(condition, {'_id': 1}).limit(limit)]
        for some in log.slices(ids):
            self._database.keys.delete_many({'_id': {'$in': some}, **condition})
        return len(ids)

    # Heads

    def _look_after(self, queue_id):
        """Raise the floor of a queue from which this process deleted, and see that its counts are right."""
        head = self._heads.read(queue_id)
        life = bytes.fromhex(queue_id)
        first = self._log.find_end(life, head.floor, head.bound, log.ALIVE)
        floor = first['position'] - 1 if first else head.bound
        if floor > head.floor:
            self._database.queues.update_one(
                {'_id': queue_id, 'head.purges': head.purges}, {'$max': {'head.floor': floor}}
            )
        self._check(queue_id, life)

    def _check(self, queue_id, life):
        """Count a queue each hour; if it rests a while then, correct what its head says.

        A process that was killed took with it what it had deleted in its last second and not told the head.
        """
        now = time.monotonic()
        document = self._database.heads.find_one({'_id': queue_id}, {'head': 1})
        if document is None:
            raise errors.Stale
        head = document['head']
        if head['pending'] or head['last'] - head['floor'] > COUNT_LIMIT:
            return
        if len(self._checks) >= MEMORY_LIMIT:
            self._checks.clear()
        check = self._checks.setdefault(queue_id, Check(now))
        if check.head == head:
            if now - check.at >= REST:
                self._correct(queue_id, head, check)
                self._checks[queue_id] = Check(now)
                return
        elif now - check.at >= COUNT_EVERY:
            self._checks[queue_id] = Check(now, head, *self._count(life, head))
        else:
            return
        self._tally.touch(queue_id)  # come back

    def _count(self, life, head):
        stages = [
            {'$match': {'queue': life, 'position': {'$gt': head['floor'], '$lte': head['last']}}},
            {'$match': log.ALIVE},
            {'$group': {'_id': None, 'all': {'$sum': 1}, 'size': {'$sum': '$size'}}},
        ]
        for sums in self._database.messages.aggregate(stages):
            return sums['all'], sums['size']
        return 0, 0

    def _correct(self, queue_id, head, check):
        same = {f'head.{name}': head[name] for name in ('last', 'purges', 'messages', 'bytes', 'pending')}
        self._database.queues.update_one(
            {'_id': queue_id, **same}, {'$set': {'head.messages': check.messages, 'head.bytes': check.bytes}}
        )


def _bound(head):
    """Behind this position something may still be on its way. What is, must neither be read nor removed."""
    return min((entry['first'] for entry in head['pending']), default=head['last'] + 1) - 1
