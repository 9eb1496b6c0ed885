"""Queues of messages in MongoDB: any number of hosts, no transactions.

Each verb is a handful of commands, and only a change of one document is a step that nobody can come between; so every
change repeats, in its filter, what it rests on. How positions are given out and writers that died are dealt with
stands in `heads`; how a repeated post is recognised, in `keys`.
"""

import collections
import math

import msgspec
import pymongo
from pymongo import errors as pymongo_errors

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.mongodb import database as databases
from queueservice.storage.drivers.mongodb import documents, heads, keys, log, sweep, tally

#: How long messages may be back, in seconds, before a claim notices that another process had them.
INTERVAL = 0.5
#: How many slices of messages that came back a claim lets go before it takes what there is.
PATIENCE = 20
#: How often a claim tries again where others were quicker.
ATTEMPTS = 20

COUNT_IN_FLIGHT = {
    '$group': {'_id': None, 'all': {'$sum': 1}, 'claimed': {'$sum': {'$cond': [{'$ifNull': ['$claim', False]}, 1, 0]}}}
}


#: Why an append is not taken back: some of it is there.
HALFWAY = 'The queue changed when a part of the post was stored.'


class Part(msgspec.Struct):
    """What one reservation is for."""

    queue: object
    reservation: heads.Reservation
    size: int  # of all bodies it was made for
    keyed: bool
    placed: list[keys.Placed]  # what is to be stored
    repeated: dict[int, ports.Appended]  # answers, by index


class MessageStore:
    def __init__(self, database):
        self._database = database
        self._tally = tally.Tally(database)
        self._log = log.Log(database, self._tally)
        self._heads = heads.Heads(database, self._log, self._tally)
        self._keys = keys.Keys(database, self._heads)
        self._sweeper = sweep.Sweeper(database, self._log, self._heads, self._tally)

    def close(self) -> None:
        self._tally.close()

    # Append

    @databases.verb
    def append(self, queue, drafts, now, *, derive=None):
        if not drafts:
            self._heads.read_current(queue)
        answers = {}
        try:
            rest, repeated = keys.fold(drafts, now)
        except errors.KeyReused:
            self._heads.read_current(queue)  # a stale queue goes first
            raise
        is_stored = False
        while rest:
            try:
                part, derived = self._reserve_all(queue, rest, now, derive)
            except errors.StorageError as error:
                if is_stored:
                    raise errors.Unavailable(HALFWAY) from error
                raise
            for each in derived:
                self._store_wholly(each, now)
            rest = self._store(part, now)
            stored = part.placed[: len(part.placed) - len(rest)]
            is_stored = is_stored or bool(stored)
            answers.update(part.repeated)
            answers.update({each.index: ports.Appended(each.position) for each in stored})
        for index, first in repeated.items():
            answers[index] = ports.Appended(answers[first].position, repeated=True)
        return [answers[index] for index in range(len(drafts))]

    def _reserve_all(self, queue, numbered, now, derive):
        """Reserve for the drafts, and for what is derived from those that are new. Either all of it or nothing."""
        parts = [self._reserve(queue, numbered, now)]
        if derive is not None and parts[0].placed:
            try:
                new = [messages.store(each.draft, each.position, now) for each in parts[0].placed]
                for other, drafts in derive(new):
                    if drafts:
                        parts.append(self._reserve(other, keys.fold(drafts, now)[0], now))
                    else:
                        self._heads.read_current(other)
            except pymongo_errors.PyMongoError:
                raise  # nobody knows what was written; readers will find out
            except BaseException:
                for part in parts:
                    self._give_back(part)
                raise
        return parts[0], parts[1:]

    def _reserve(self, queue, numbered, now):
        """Keep positions for drafts that are new, and the answers for repetitions.

        :param numbered: (index, draft) each.
        """
        size = sum(len(draft.body) for _, draft in numbered)
        keyed = any(draft.key is not None for _, draft in numbered)
        expires_at = min(draft.expires_at for _, draft in numbered)
        reservation = self._heads.reserve(queue, len(numbered), size, expires_at, keyed)
        placed = [
            keys.Placed(index, position, draft) for position, (index, draft) in enumerate(numbered, reservation.first)
        ]
        part = Part(queue, reservation, size, keyed, placed, {})
        if keyed:
            try:
                part.placed, part.repeated = self._keys.recognise(queue, reservation, placed, now)
            except errors.StorageError:
                self._give_back(part)
                raise
        return part

    def _give_back(self, part):
        if part.keyed:
            self._keys.forget(part.reservation)
        self._heads.give_back(part.queue.id, part.reservation, part.size)

    def _store_wholly(self, part, now):
        while rest := self._store(part, now):
            try:
                part = self._reserve(part.queue, rest, now)
            except errors.StorageError as error:
                raise errors.Unavailable(HALFWAY) from error

    def _store(self, part, now):
        """Insert messages; return those drafts, numbered as before, whose positions somebody else took."""
        if not part.placed:
            self._give_back(part)
            return []
        life = documents.life_of(part.queue)
        try:
            self._database.messages.insert_many(
                [documents.write(life, each.position, each.draft, now) for each in part.placed]
            )
        except pymongo_errors.BulkWriteError as error:
            [first] = log.find_duplicates(error)
            if not self._log.is_fenced(life, part.placed[first].position):
                raise  # a repetition of this very insert: what became of the first one, nobody knows
            # This writer was taken for dead. What came before is stored, and what comes behind never will be: to look
            # would be wrong, as it may have been consumed meanwhile. Who took the positions sees to the reservation.
            return [(each.index, each.draft) for each in part.placed[first:]]
        if part.keyed:
            self._keys.settle(part.queue, part.reservation, part.placed)
        self._heads.finish(part.queue.id, part.reservation)
        size = sum(len(each.draft.body) for each in part.placed)
        empty = part.reservation.count - len(part.placed)
        self._tally.add(part.queue.id, part.reservation.purges, empty, part.size - size)
        delays = [each.draft.available_at for each in part.placed if each.draft.available_at > now]
        if delays:
            self._heads.remember(part.queue.id).expect(min(delays))
        return []

    # Select

    @databases.verb
    def select(self, queue, selection, now):
        head = self._heads.read(queue.id)
        if selection.positions is not None:
            found = self._find_places(queue, head, selection.positions, now)
        elif selection.keys is not None:
            found = self._find_places(queue, head, self._keys.find(queue, selection.keys), now)
        elif selection.claim_id is not None:
            held = self._database.messages.find(_held_by([selection.claim_id], queue, now))
            found = [each for each in held if head.floor < each['position']]
        else:
            return self._list(queue, head, selection, now)
        found.sort(key=_position)
        return _page(found, selection, now)

    def _find_places(self, queue, head, positions, now, fields=None):
        life = documents.life_of(queue)
        places = documents.places(life, {each for each in positions if head.floor < each <= head.bound})
        found = []
        for some in log.slices(places):
            condition = {'_id': {'$in': some}, 'queue': life, **log.ALIVE, 'expires': {'$gt': now}}
            found += self._database.messages.find(condition, fields)
        return found

    def _list(self, queue, head, selection, now):
        life = documents.life_of(queue)
        condition = _shown(selection, now)
        found, passed = [], 0
        place, step = max(selection.after, head.floor), log.WINDOW * selection.limit
        while place < head.bound and len(found) < selection.limit:
            end = min(place + step, head.bound)
            more = self._log.walk(life, place, end, condition, selection.limit - len(found))
            found += more
            passed += end - place - len(more)
            place, step = end, step * log.GROWTH
            if passed >= ports.SCAN_BUDGET and place < head.bound and len(found) < selection.limit:
                # That was far. But where nothing is any more, nothing was passed over.
                begin = found[-1]['position'] if found else selection.after
                first = self._log.find_end(life, begin, head.bound, log.ALIVE)
                if first is None:
                    break
                if first['position'] <= place:
                    return _page(found, selection, now, end=place)
                place, step, passed = first['position'] - 1, log.WINDOW * selection.limit, 0
        return _page(found, selection, now)

    # Claim

    @databases.verb
    def claim(self, queue, claim, limit, now, *, keep_until, max_claims=None, in_flight=None, take=False):
        head = self._heads.read_current(queue)
        if in_flight is None:
            return self._claim(queue, head, claim, limit, now, keep_until, max_claims, take)
        turn = self._heads.take_turn(queue.id)
        try:
            limit = min(limit, in_flight - self._count_in_flight(queue, head, now)[0])
            return self._claim(queue, head, claim, limit, now, keep_until, max_claims, take)
        finally:
            self._heads.end_turn(queue.id, turn)

    def _claim(self, queue, head, claim, limit, now, keep_until, max_claims, take):
        memory = self._heads.remember(queue.id)
        looked = memory.is_due(now, INTERVAL)
        if looked:
            self._let_go(queue, memory, now)
        for _ in range(ATTEMPTS):
            found, dead = self._find_free(queue, head, memory, now, limit, max_claims)
            if len(found) < limit and not looked:
                looked = True
                if self._let_go(queue, memory, now):
                    continue
            if not found and not dead:
                return ports.Claimed([], [], next_at=self._find_next_at(queue, head, now, is_full=limit <= 0))
            won = self._win(queue, found, claim, claim.ends_at, keep_until, 1)
            buried = self._win(queue, dead, claim, now + ports.DEAD_LEASE, keep_until, 0)
            if won or buried:
                break
        else:
            return ports.Claimed([], [], next_at=now + INTERVAL)
        for each in (won, buried):
            if each:
                memory.expect(each[0]['available'])
        if take and won:
            self._log.remove(queue.id, head.purges, won, {'claim': claim.id})
        return ports.Claimed(*([documents.read(each, now) for each in some] for some in (won, buried)))

    def _find_free(self, queue, head, memory, now, limit, max_claims):
        """The oldest free messages, and apart from them those that were claimed too often."""
        if limit <= 0:
            return [], []
        alive = {'expires': {'$gt': now}}
        found = self._walk_free(queue, head, memory, alive, limit)
        if max_claims is None or all(each['claims'] < max_claims for each in found):
            return found, []
        good = self._walk_free(queue, head, memory, {**alive, 'claims': {'$lt': max_claims}}, limit)
        dead = self._walk_free(queue, head, memory, {**alive, 'claims': {'$gte': max_claims}}, ports.DEAD_LIMIT)
        if len(good) == limit:
            dead = [each for each in dead if each['position'] < good[-1]['position']]
        return good, dead

    def _walk_free(self, queue, head, memory, condition, limit):
        """The first free messages that meet `condition`.

        The search begins at the front, since messages may have come back, and ends a little behind the place up to
        which this process found everything taken: a server may read all of a range although the first are enough.
        """
        place, step = max(memory.taken, head.floor), log.WINDOW * limit
        while True:
            place = min(place + step, head.bound)
            found = self._log.walk_free(documents.life_of(queue), head.floor, place, condition, limit)
            if len(found) == limit or place == head.bound:
                memory.taken = found[0]['position'] if found else head.bound
                return found
            step *= log.GROWTH

    def _win(self, queue, found, claim, ends_at, keep_until, counted):
        """Claim those of `found` that are still free; return them as they are then."""
        held = {'claim': claim.id, 'claim_ttl': claim.ttl, 'available': ends_at}
        change = {'$set': held, '$inc': {'claims': counted}, '$max': {'expires': keep_until}}
        won = []
        for part in log.slices(found):
            ids = {'_id': {'$in': [each['_id'] for each in part]}, 'queue': documents.life_of(queue)}
            if self._compare_and_set(ids['queue'], part, change) < len(part):
                mine = {each['_id'] for each in self._database.messages.find({**ids, 'claim': claim.id}, {'_id': 1})}
                part = [each for each in part if each['_id'] in mine]
            won += part
        for each in won:
            each.update(held, claims=each['claims'] + counted, expires=max(each['expires'], keep_until))
        return won

    def _compare_and_set(self, life, found, change):
        """Change those of `found` that nobody claimed since, not even for a while; say how many. One command."""
        groups = collections.defaultdict(list)
        for each in found:
            groups[each['claims']].append(each['_id'])
        updates = [
            pymongo.UpdateMany({'_id': {'$in': ids}, 'queue': life, 'available': 0, 'claims': claims}, change)
            for claims, ids in groups.items()
        ]
        return self._database.messages.bulk_write(updates, ordered=False).modified_count

    def _let_go(self, queue, memory, now):
        """Make free again what is not claimed or delayed any more; say whether there was anything."""
        scope = {'queue': documents.life_of(queue)}
        past = {'available': {'$gte': 1, '$lt': math.nextafter(now, math.inf)}}  # the test server gets $lte wrong here
        change = {'$set': {'available': 0}, '$unset': {'claim': 1, 'claim_ttl': 1}}
        for count in range(PATIENCE):
            ids = [each['_id'] for each in self._database.messages.find({**scope, **past}, {'_id': 1}).limit(log.SLICE)]
            if ids:
                self._database.messages.update_many({'_id': {'$in': ids}, **scope, **past}, change)
            if len(ids) < log.SLICE:
                memory.look(now)
                return bool(count or ids)
        return True

    def _find_next_at(self, queue, head, now, is_full):
        """When a message comes back next; or, where no more may be claimed, when a claimed one ends in any way."""
        scope = {'$match': {'queue': documents.life_of(queue), 'available': {'$gt': now}}}
        alive = {'$match': {'position': {'$gt': head.floor}, 'expires': {'$gt': now}}}
        if is_full:
            stages = [scope, alive, {'$group': {'_id': None, 'at': {'$min': {'$min': ['$available', '$expires']}}}}]
        else:
            stages = [scope, alive, {'$sort': {'available': 1}}, {'$limit': 1}, {'$project': {'at': '$available'}}]
        for each in self._database.messages.aggregate(stages):
            return each['at']
        return None

    # Renew

    @databases.verb
    def renew(self, queue, claim_id, changes, now):
        memory = self._heads.remember(queue.id)
        changed = 0
        for change in changes:
            condition = _held_by([claim_id], queue, now)
            if change.positions is not None:
                places = documents.places(documents.life_of(queue), {each for each in change.positions if each > 0})
                condition = {'_id': {'$in': places}, **condition}
            changed += self._database.messages.update_many(condition, _as_update(change, now)).matched_count
            back_at = change.available_at if change.ends_at is None else change.ends_at
            if back_at > now:
                memory.expect(back_at)
        if not changed:
            self._heads.read(queue.id)
        return changed

    # Delete

    @databases.verb
    def delete(self, queue, positions, now, *, claim_ids=(), unclaimed=True, all_or_none=False):
        head = self._heads.read(queue.id)
        free = {'available': {'$gte': 0, '$lte': now}}
        held = _held_by(claim_ids, queue, now)
        if len(positions) == 1 and not (claim_ids and unclaimed):
            guard = free if unclaimed else held
            if self._delete_one(queue, head, positions[0], {**guard, 'expires': {'$gt': now}}):
                return ports.Deleted(list(positions), [])
        # (messages, what must hold still when they are deleted): a free message may be claimed a moment later
        groups = {'free': ([], free), 'delayed': ([], {'claim': {'$exists': False}, **log.ALIVE}), 'held': ([], held)}
        deleted, refused = [], set()
        for each in self._find_places(queue, head, positions, now, {'body': 0}):
            state = _state(each, now)
            may = each['claim'] in claim_ids if state == 'held' else unclaimed
            if may:
                groups[state][0].append(each)
            else:
                refused.add(each['position'])
        if not (refused and all_or_none):
            for found, guard in groups.values():
                found_positions = {each['position'] for each in found}
                refused |= found_positions - set(gone := self._log.remove(queue.id, head.purges, found, guard))
                deleted += gone
        return ports.Deleted(deleted, sorted(refused))

    def _delete_one(self, queue, head, position, guard):
        if not head.floor < position <= head.bound:
            return False
        life = documents.life_of(queue)
        gone = self._database.messages.find_one_and_delete(
            {'_id': documents.place(life, position), 'queue': life, **guard}, {'_id': 0, 'size': 1}
        )
        if gone is None:
            return False
        self._tally.add(queue.id, head.purges, 1, gone['size'])
        return True

    @databases.verb
    def clear(self, queue, now):
        change = {
            'head.floor': '$head.last',
            'head.messages': 0,
            'head.bytes': 0,
            'head.purges': {'$add': ['$head.purges', 1]},
            'head.unswept': True,
        }
        document = self._database.queues.find_one_and_update(
            {'_id': queue.id}, [{'$set': change}], projection={'_id': 0, 'head.floor': 1}, return_document=True
        )
        if document is None:
            raise errors.Stale
        # Claims end with it, so that nobody has to ask for the floor to renew or release one. What is still on its
        # way must stay: that it is there says that it was stored.
        end = min(document['head']['floor'], self._heads.read(queue.id).bound)
        life = documents.life_of(queue)
        stages = [
            {'$match': {'queue': life, 'available': {'$gte': 1}}},
            {'$match': {'position': {'$lte': end}}},
            {'$project': {'_id': 1}},
        ]
        self._log.discard(life, self._database.messages.aggregate(stages))

    # Counts

    @databases.verb
    def stats(self, queue, now):
        with self._tally.steady():
            head = self._heads.read(queue.id)
            gone, gone_size = self._tally.untold(queue.id, head.purges)
        life = documents.life_of(queue)
        alive = {**log.ALIVE, 'expires': {'$gt': now}}
        oldest, newest = (self._log.find_end(life, head.floor, head.bound, alive, order) for order in (1, -1))
        if oldest is None or newest is None:
            return ports.Stats(0, 0, 0, 0, None, None)
        expired, expired_size = self._count_expired(queue, head, now) if head.expires <= now else (0, 0)
        claimed, delayed = self._count_in_flight(queue, head, now)
        free = head.messages - gone - expired - claimed - delayed
        # Each command sees another instant; what happens between them must not show as a number below zero.
        return ports.Stats(
            free=max(0, free),
            claimed=claimed,
            delayed=delayed,
            bytes=max(0, head.bytes - gone_size - expired_size),
            oldest=(oldest['position'], oldest['created']),
            newest=(newest['position'], newest['created']),
        )

    def _count_expired(self, queue, head, now):
        stages = [
            {'$match': {'queue': documents.life_of(queue), 'expires': {'$lte': now}}},
            {'$match': {'position': {'$gt': head.floor, '$lte': head.bound}, **log.ALIVE}},
            {'$group': {'_id': None, 'all': {'$sum': 1}, 'size': {'$sum': '$size'}}},
        ]
        for sums in self._database.messages.aggregate(stages):
            return sums['all'], sums['size']
        return 0, 0

    def _count_in_flight(self, queue, head, now):
        """How many messages are claimed, and how many delayed."""
        stages = [
            {'$match': {'queue': documents.life_of(queue), 'available': {'$gt': now}}},
            {'$match': {'position': {'$gt': head.floor, '$lte': head.bound}, 'expires': {'$gt': now}}},
            COUNT_IN_FLIGHT,
        ]
        for sums in self._database.messages.aggregate(stages):
            return sums['claimed'], sums['all'] - sums['claimed']
        return 0, 0

    @databases.verb
    def usage(self, namespace, project, now):
        usage = ports.Usage()
        owned = {'namespace': {'$eq': namespace}, 'project': {'$eq': project}}
        with self._tally.steady():
            for some in log.slices(self._database.queues.find(owned, {'head': 1})):
                for each in some:
                    head = each['head']
                    gone, gone_size = self._tally.untold(each['_id'], head['purges'])
                    usage.queues += 1
                    usage.messages += max(0, head['messages'] - gone)
                    usage.bytes += max(0, head['bytes'] - gone_size)
                lives = [bytes.fromhex(each['_id']) for each in some]
                stages = [{'$match': {'queue': {'$in': lives}, 'available': {'$gt': now}}}, COUNT_IN_FLIGHT]
                for sums in self._database.messages.aggregate(stages):
                    usage.claimed += sums['claimed']
                    usage.delayed += sums['all'] - sums['claimed']
        return usage

    @databases.verb
    def sweep(self, now, limit):
        return self._sweeper.sweep(now, limit)


def _position(document):
    return document['position']


def _held_by(claim_ids, queue, now):
    return {
        'claim': {'$in': list(claim_ids)},
        'queue': documents.life_of(queue),
        'available': {'$gt': now},
        'expires': {'$gt': now},
    }


def _shown(selection, now):
    """What a message must be like to be listed."""
    condition = {'expires': {'$gt': now}, **log.ALIVE}
    if not selection.include_claimed and not selection.include_delayed:
        condition['available'] = {'$gte': 0, '$lte': now}
    elif not (selection.include_claimed and selection.include_delayed):
        condition['$or'] = [{'available': {'$lte': now}}, {'claim': {'$exists': selection.include_claimed}}]
    if selection.not_from is not None:
        condition['client'] = {'$ne': selection.not_from} if selection.not_from else {'$exists': True}
    return condition


def _state(document, now):
    if document['available'] <= now:
        return 'free'
    return 'held' if 'claim' in document else 'delayed'


def _as_update(change, now):
    update = {'$max': {'expires': change.keep_until}}
    if change.ends_at is not None:
        update['$set'] = {'available': change.ends_at, 'claim_ttl': change.ttl}
    else:
        update['$set'] = {'available': change.available_at if change.available_at > now else 0}
        update['$unset'] = {'claim': 1, 'claim_ttl': 1}
    if change.state is not None:
        update['$set']['state'] = change.state
    return update


def _page(found, selection, now, end=None):
    """:param end: where a list ended early."""
    if end is None:
        end = found[-1]['position'] if found else selection.after
    return ports.Page([documents.read(each, now) for each in found], reached=end)
