"""The message port in memory: every queue is a log of positions in chunks, under one lock for all.

What makes each verb cost the same in a queue of ten and of ten million:

* A message lies at its position: chunk `position >> BITS`, slot `position & MASK`. A chunk in which
  nothing lives any more is dropped, so walks jump over what was consumed.
* `Log.fresh` is the first position that no claim ever came to. Below it only those messages are free
  that came back (released, claim or delay over), and each chunk lists them in `Chunk.back`. So neither
  a claim nor a list walks over what is claimed.
* Deadlines are kept for each chunk, not for each message: the earliest expiry and the earliest return in
  it. When one is due, the chunk is looked through once.

A slot holds a `model.messages.Message`, or None. Its position is its place in the log and written only into the
copies that readers get: here it would take a sixth of the memory. It is free if `available_at` is 0, otherwise
claimed if there is a `claim_id`, else delayed. Every slot carries its own deadlines, so a claim or delay that is
over stands there until the slot is settled. A verb whose answer depends on the whole queue settles what is due
before it answers (`Log.settle`); the others look at the deadlines of the slots that they touch.
What may take long is done in slices, so that the lock is never held for more than about two milliseconds.
"""

import bisect
import heapq
import itertools
import math
import sys
import threading
import time

import msgspec

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports

#: A chunk has 2 ** BITS positions. Larger ones take less memory and take longer to look through.
BITS = 7
CHUNK = 1 << BITS
MASK = CHUNK - 1

#: How many slots are settled or freed while the lock is held once.
SLICE = 2048
#: How many slots a walk takes in hand at once. To take one is to touch its memory, so not a whole chunk.
STRETCH = 16
#: How many delayed and dead messages a claim passes over while the lock is held once.
PASSES = 8192
#: How many chunks an empty claim looks through to say exactly when to come back.
LOOKS = 16
#: How many clients are remembered, so that equal ones share one object.
CLIENTS = 65536

_copy = messages.Message.__copy__


def _discard(ordered, value):
    """Take `value` out of a sorted list; whether it was there."""
    at = bisect.bisect_left(ordered, value)
    if at == len(ordered) or ordered[at] != value:
        return False
    del ordered[at]
    return True


def _move(agenda, old, new, number):
    """Move the entry of chunk `number` from one instant to another; at infinity there is none."""
    if old < math.inf:
        _discard(agenda, (old, number))
    if new < math.inf:
        bisect.insort(agenda, (new, number))


class Chunk:
    __slots__ = ('back', 'expires_at', 'live', 'number', 'returns_at', 'slots', 'worn')

    def __init__(self, number, skipped):
        self.number = number
        self.slots = [None] * skipped  # None: nothing is there (any more)
        self.live = 0
        self.back = []  # the positions below Log.fresh that are free, in order
        self.worn = 0  # all that are back were claimed this often or oftener
        # Before these instants no message in here expires, or becomes free by itself.
        self.expires_at = math.inf
        self.returns_at = math.inf


class Tally:
    """What a project keeps: see Usage."""

    __slots__ = ('bytes', 'claimed', 'delayed', 'messages', 'queues')

    def __init__(self):
        self.queues = self.messages = self.claimed = self.delayed = self.bytes = 0


class Log:
    """The messages of one queue between two clearings.

    The methods that say "settled" expect that nothing is due at the instant of the call.
    """

    __slots__ = (
        'bytes',
        'chunks',
        'claimed',
        'claims',
        'delayed',
        'due',
        'expiries',
        'first',
        'fresh',
        'messages',
        'next',
        'numbers',
        'returned',
        'returns',
        'tail',
        'usage',
    )

    def __init__(self, start, usage):
        self.next = start  # the position of the next message
        self.fresh = start
        self.first = start  # no message lies before
        self.chunks = {}  # number -> Chunk
        self.numbers = []  # of all chunks, in order
        self.returned = []  # of those chunks where some messages are back, in order
        self.tail = None  # the chunk that is being filled; it stays even if nothing lives in it
        self.claims = {}  # claim id -> the positions of the slots that carry it, in order
        self.expiries = []  # (Chunk.expires_at, number) of the chunks that have one, in order
        self.returns = []  # (Chunk.returns_at, number) likewise
        self.due = math.inf  # the first instant in `expiries` and `returns`
        self.messages = 0
        self.claimed = 0
        self.delayed = 0
        self.bytes = 0
        self.usage = usage  # of the project; counts along

    # Chunks

    def _grow(self, position):
        if self.tail is not None and not self.tail.live:
            self._drop(self.tail)
        self.tail = chunk = Chunk(position >> BITS, position & MASK)
        self.chunks[chunk.number] = chunk
        self.numbers.append(chunk.number)
        return chunk

    def _drop(self, chunk):
        self._expire_at(chunk, math.inf)
        self._return_at(chunk, math.inf)
        del self.chunks[chunk.number]
        _discard(self.numbers, chunk.number)

    def _expire_at(self, chunk, instant):
        _move(self.expiries, chunk.expires_at, instant, chunk.number)
        chunk.expires_at = instant
        if instant < self.due:
            self.due = instant

    def _return_at(self, chunk, instant):
        _move(self.returns, chunk.returns_at, instant, chunk.number)
        chunk.returns_at = instant
        if instant < self.due:
            self.due = instant

    def _slot(self, position):
        chunk = self.chunks.get(position >> BITS)
        index = position & MASK
        return chunk.slots[index] if chunk is not None and index < len(chunk.slots) else None

    def _walk(self, position):
        """Iterate over (position, slot or None) from `position` on."""
        return itertools.chain.from_iterable(self._stretches(position))

    def _stretches(self, position):
        numbers = self.numbers
        for at in range(bisect.bisect_left(numbers, position >> BITS), len(numbers)):
            first = numbers[at] << BITS
            slots = self.chunks[numbers[at]].slots
            for start in range(position - first if position > first else 0, len(slots), STRETCH):
                yield enumerate(slots[start : start + STRETCH], first + start)

    def _walk_back(self, position):
        """The same of what is back."""
        returned = self.returned
        for at in range(bisect.bisect_left(returned, position >> BITS), len(returned)):
            chunk = self.chunks[returned[at]]
            for index in range(bisect.bisect_left(chunk.back, position), len(chunk.back)):
                place = chunk.back[index]
                yield place, chunk.slots[place & MASK]

    # What becomes of a slot

    def _remove(self, chunk, position, slot):
        chunk.slots[position & MASK] = None
        chunk.live -= 1
        size = len(slot.body)
        usage = self.usage
        self.messages -= 1
        self.bytes -= size
        usage.messages -= 1
        usage.bytes -= size
        if slot.claim_id is not None:
            self._leave_claim(position, slot)
        elif slot.available_at:
            self.delayed -= 1
            usage.delayed -= 1
        elif chunk.back and _discard(chunk.back, position) and not chunk.back:
            _discard(self.returned, chunk.number)
        if not chunk.live and chunk is not self.tail:
            self._drop(chunk)

    def _leave_claim(self, position, slot):
        held = self.claims[slot.claim_id]
        if len(held) == 1:
            del self.claims[slot.claim_id]
        else:
            del held[bisect.bisect_left(held, position)]
        self.claimed -= 1
        self.usage.claimed -= 1

    def _come_back(self, positions):
        number = None
        for position in positions:
            if position >> BITS != number:
                number = position >> BITS
                chunk = self.chunks[number]
                chunk.worn = 0
                if not chunk.back:
                    bisect.insort(self.returned, number)
            back = chunk.back
            if not back or position > back[-1]:
                back.append(position)
            else:
                bisect.insort(back, position)

    # Time

    def settle(self, now, budget):
        """Remove what expired and free what is free again at `now`.

        :param budget: stop after looking at about this many slots. While `due` <= `now`, more is to do.
        :returns: how many slots were looked at.
        """
        done = 0
        while done < budget and self.due <= now:
            if self.expiries and self.expiries[0][0] <= now:
                done += self._expire(self.chunks[self.expiries[0][1]], now)
            elif self.returns and self.returns[0][0] <= now:
                done += self._return(self.chunks[self.returns[0][1]], now)
            else:
                self.due = min(agenda[0][0] if agenda else math.inf for agenda in (self.expiries, self.returns))
        return done

    def _expire(self, chunk, now):
        earliest = math.inf
        for position, slot in enumerate(chunk.slots, chunk.number << BITS):
            if slot is None:
                continue
            if slot.expires_at <= now:
                self._remove(chunk, position, slot)
            elif slot.expires_at < earliest:
                earliest = slot.expires_at
        self._expire_at(chunk, earliest)
        return len(chunk.slots)

    def _return(self, chunk, now):
        earliest = math.inf
        back = []
        for position, slot in enumerate(chunk.slots, chunk.number << BITS):
            if slot is None or not slot.available_at:
                continue
            if slot.available_at > now:
                earliest = min(earliest, slot.available_at)
                continue
            if slot.claim_id is None:
                self.delayed -= 1
                self.usage.delayed -= 1
            else:
                self._leave_claim(position, slot)
                slot.claim_id = None
                slot.claim_ttl = 0
            slot.available_at = 0
            if position < self.fresh:
                back.append(position)
        if back:
            self._come_back(back)
        self._return_at(chunk, earliest)
        return len(chunk.slots)

    def _next_return(self):
        """The instant at which a message may become free by itself, or one before; None if none will."""
        for _ in range(LOOKS):
            if not self.returns:
                return None
            instant, number = self.returns[0]
            chunk = self.chunks[number]
            # What was renewed or deleted since may have been the earliest.
            waiting = (slot.available_at for slot in chunk.slots if slot is not None and slot.available_at)
            earliest = min(waiting, default=math.inf)
            if earliest == instant:
                break
            self._return_at(chunk, earliest)
        return self.returns[0][0] if self.returns else None

    # The verbs

    def append(self, drafts, now, clients):
        """Store `drafts`; `clients` holds the one object for each client."""
        tail = self.tail
        position = self.next
        delayed = size = 0
        client = expires_at = None
        for draft in drafts:
            if tail is None or len(tail.slots) == CHUNK:
                tail = self._grow(position)
            body = draft.body
            size += len(body)
            # Equal values share an object: apart they would take as much as the rest of the slot.
            if draft.client != client:
                client = clients.setdefault(draft.client, draft.client)
            if draft.expires_at != expires_at:
                expires_at = draft.expires_at
            if expires_at < tail.expires_at:
                self._expire_at(tail, expires_at)
            available_at = draft.available_at
            if available_at <= now:
                available_at = 0
            else:
                delayed += 1
                if available_at < tail.returns_at:
                    self._return_at(tail, available_at)
            tail.slots.append(
                messages.Message(
                    0,
                    body,
                    client,
                    now,
                    expires_at,
                    available_at,
                    None,
                    0,
                    draft.claim_count,
                    draft.checksum,
                    draft.state,
                )
            )
            tail.live += 1
            position += 1
        count = position - self.next
        usage = self.usage
        self.next = position
        self.messages += count
        self.bytes += size
        usage.messages += count
        usage.bytes += size
        if delayed:
            self.delayed += delayed
            usage.delayed += delayed

    def page(self, selection):
        """The messages that `selection` lists, as a Page. Settled."""
        after = selection.after
        limit = selection.limit
        not_from = selection.not_from
        hides_claimed = not selection.include_claimed
        hides_delayed = not selection.include_delayed
        if not self.messages or limit <= 0:
            return ports.Page([], after)
        start = after + 1
        if hides_claimed and hides_delayed and start < self.fresh:
            start = self.fresh
        if start > after + 1 and self.returned:
            found = []
            walk = itertools.chain(self._walk_back(after + 1), self._walk(start))
        else:
            found = self._run(start, limit, not_from)
            if len(found) == limit:
                return ports.Page(found, found[-1].position)
            walk = self._walk(start + len(found))
        passed = 0
        for position, slot in walk:
            if slot is None:
                continue
            if (slot.available_at and (hides_delayed if slot.claim_id is None else hides_claimed)) or (
                not_from is not None and slot.client == not_from
            ):
                passed += 1
                if passed == ports.SCAN_BUDGET:
                    return ports.Page(found, position)
                continue
            message = _copy(slot)
            message.position = position
            found.append(message)
            if len(found) == limit:
                return ports.Page(found, position)
        return ports.Page(found, found[-1].position if found else after)

    def _run(self, start, limit, not_from):
        """The messages from `start` on that lie side by side in one chunk, free and to be shown, up to `limit`.

        Mostly that is all of a page, and this takes two thirds of the time of a walk.
        """
        chunk = self.chunks.get(start >> BITS)
        slots = () if chunk is None else chunk.slots[start & MASK : (start & MASK) + limit]
        found = []
        for position, slot in enumerate(slots, start):
            if slot is None or slot.available_at or slot.client == not_from:
                break
            message = _copy(slot)
            message.position = position
            found.append(message)
        return found

    def read(self, positions, claim_id, now):
        """The messages at `positions`, or of the claim, or at those positions of the claim; in order."""
        if positions is None:
            positions = self.claims.get(claim_id, ())
        found = []
        for position in positions if len(positions) == 1 else sorted(set(positions)):
            slot = self._slot(position)
            if slot is None or slot.expires_at <= now:
                continue
            waits = slot.available_at > now
            if claim_id is not None and not (waits and slot.claim_id == claim_id):
                continue
            message = _copy(slot)
            message.position = position
            if not waits:
                message.available_at, message.claim_id, message.claim_ttl = 0, None, 0
            found.append(message)
        return found

    def claim(self, claim, limit, now, keep_until, max_claims, take):
        """Lease or take the oldest free messages. Settled.

        :returns: a Claimed; None if so many messages were passed over that others should have their turn.
            Then nothing was leased, and the next call gets further.
        """
        if limit <= 0:
            # Room comes back when a claimed message does, or when it expires.
            return ports.Claimed([], [], self.due if self.claimed else None)
        most = sys.maxsize if max_claims is None else max_claims
        # The next call looks again through the chunks of what this one chose, hence the second part.
        budget = PASSES + CHUNK * (limit + ports.DEAD_LIMIT)
        chosen = []
        dead = []
        if self.returned:
            budget = self._choose_back(chosen, dead, limit, most, budget)
        if len(chosen) < limit and budget > 0:
            budget = self._choose_fresh(chosen, dead, limit, most, budget)
        if budget <= 0:
            self._come_back([position for position, _ in chosen + dead])
            return None
        if not chosen and not dead:
            return ports.Claimed([], [], self._next_return())
        leased = self._lease(chosen, 1, claim, claim.ends_at, keep_until)
        held = self._lease(dead, 0, claim, now + ports.DEAD_LEASE, keep_until) if dead else []
        if take:
            for position, slot in chosen:
                self._remove(self.chunks[position >> BITS], position, slot)
        return ports.Claimed(leased, held)

    def _choose_back(self, chosen, dead, limit, most, budget):
        """Move (position, slot) of what is back to `chosen` and `dead`; the budget that is left."""
        at = 0
        while at < len(self.returned) and len(chosen) < limit and budget > 0:
            chunk = self.chunks[self.returned[at]]
            if chunk.worn >= most and len(dead) == ports.DEAD_LIMIT:
                at += 1
                continue
            looked = 0
            left = []
            for position in chunk.back:
                slot = chunk.slots[position & MASK]
                looked += 1
                if slot.claim_count < most:
                    chosen.append((position, slot))
                    if len(chosen) == limit:
                        break
                elif len(dead) < ports.DEAD_LIMIT:
                    dead.append((position, slot))
                else:
                    left.append(position)
            if looked == len(chunk.back):
                chunk.worn = most
            chunk.back[:looked] = left
            budget -= len(left)
            if chunk.back:
                at += 1
            else:
                del self.returned[at]
        return budget

    def _choose_fresh(self, chosen, dead, limit, most, budget):
        """Add what no claim came to yet, and move `fresh` behind it; the budget that is left."""
        for item in self._walk(self.fresh):
            position, slot = item
            if slot is None:
                continue
            if slot.available_at:
                budget -= 1
            elif slot.claim_count < most:
                chosen.append(item)
            elif len(dead) < ports.DEAD_LIMIT:
                dead.append(item)
            else:
                self._come_back([position])
                budget -= 1
            if len(chosen) == limit or not budget:
                self.fresh = position + 1
                return budget
        self.fresh = self.next
        return budget

    def _lease(self, items, raised, claim, ends_at, keep_until):
        """Lease the (position, slot) of `items`, and raise their counts by `raised`; the messages."""
        claim_id = claim.id
        ttl = claim.ttl
        last = -1
        held = []
        leased = []
        for position, slot in items:
            if position > last:
                chunk = self.chunks[position >> BITS]
                last = position | MASK
                if ends_at < chunk.returns_at:
                    self._return_at(chunk, ends_at)
            slot.available_at = ends_at
            slot.claim_id = claim_id
            slot.claim_ttl = ttl
            slot.claim_count += raised
            if slot.expires_at < keep_until:
                slot.expires_at = keep_until
            held.append(position)
            message = _copy(slot)
            message.position = position
            leased.append(message)
        if held:
            self.claimed += len(held)
            self.usage.claimed += len(held)
            self.claims[claim_id] = sorted(self.claims[claim_id] + held) if claim_id in self.claims else held
        return leased

    def renew(self, claim_id, changes, now):
        """Apply `changes` to what the claim holds, and return to how many messages, for each change anew."""
        changed = 0
        for change in changes:
            held = self.claims.get(claim_id)
            if held is None:
                break
            keep_until = change.keep_until
            goes_on = change.ends_at is not None
            available_at = change.ends_at if goes_on else change.available_at
            if available_at <= now:
                goes_on = False
                available_at = 0
            holder, ttl = (claim_id, change.ttl) if goes_on else (None, 0)
            reached = []
            number = None
            for position in held if change.positions is None else sorted(set(change.positions)):
                if position >> BITS != number:
                    number = position >> BITS
                    chunk = self.chunks.get(number)
                    slots = () if chunk is None else chunk.slots
                index = position & MASK
                slot = slots[index] if index < len(slots) else None
                if slot is None or slot.claim_id != claim_id or slot.available_at <= now or slot.expires_at <= now:
                    continue
                slot.available_at = available_at
                slot.claim_id = holder
                slot.claim_ttl = ttl
                if slot.expires_at < keep_until:
                    slot.expires_at = keep_until
                if change.state is not None:
                    slot.state = change.state
                if 0 < available_at < chunk.returns_at:
                    self._return_at(chunk, available_at)
                reached.append(position)
            if not goes_on and reached:
                self._let_go(claim_id, held, reached)
                if available_at:
                    self.delayed += len(reached)
                    self.usage.delayed += len(reached)
                else:
                    self._come_back(reached)
            changed += len(reached)
        return changed

    def _let_go(self, claim_id, held, positions):
        self.claimed -= len(positions)
        self.usage.claimed -= len(positions)
        if len(positions) == len(held):
            del self.claims[claim_id]
        else:
            for position in positions:
                _discard(held, position)

    def delete(self, positions, now, claim_ids, unclaimed, all_or_none):
        going = []
        refused = []
        for position in positions if len(positions) == 1 else dict.fromkeys(positions):
            chunk = self.chunks.get(position >> BITS)
            index = position & MASK
            slot = chunk.slots[index] if chunk is not None and index < len(chunk.slots) else None
            if slot is None or slot.expires_at <= now:
                continue
            claimed = slot.claim_id is not None and slot.available_at > now
            if slot.claim_id in claim_ids if claimed else unclaimed:
                going.append(position)
                if not all_or_none:
                    self._remove(chunk, position, slot)
            else:
                refused.append(position)
        if all_or_none:
            if refused:
                return ports.Deleted([], refused)
            for position in going:
                chunk = self.chunks[position >> BITS]
                self._remove(chunk, position, chunk.slots[position & MASK])
        return ports.Deleted(going, refused)

    def stats(self):
        """Settled."""
        if not self.messages:
            return ports.Stats(0, 0, 0, 0, None, None)
        oldest = self._slot(self.first)
        if oldest is None:
            self.first, oldest = next(item for item in self._walk(self.first) if item[1] is not None)
        last, newest = self.next - 1, self.tail.slots[-1]
        if newest is None:
            last, newest = self._newest()
        return ports.Stats(
            self.messages - self.claimed - self.delayed,
            self.claimed,
            self.delayed,
            self.bytes,
            (self.first, oldest.created_at),
            (last, newest.created_at),
        )

    def _newest(self):
        """(position, slot) of the last message."""
        number = self.numbers[-1] if self.tail.live else self.numbers[-2]
        slots = self.chunks[number].slots
        index = len(slots) - 1
        while slots[index] is None:
            index -= 1
        return number << BITS | index, slots[index]


class Key(msgspec.Struct, gc=False):
    """What a queue remembers of a keyed draft."""

    position: int
    until: float
    digest: bytes


class Life:
    """One life of a queue."""

    __slots__ = ('forgetting', 'keys', 'log', 'revision', 'scheduled_at', 'usage')

    def __init__(self, revision, usage):
        self.revision = revision
        self.usage = usage  # of its project
        self.log = Log(1, usage)
        self.keys = {}  # key -> Key
        self.forgetting = []  # heap of (when to look whether it can be forgotten, key)
        self.scheduled_at = math.inf  # the instant of the entry in MessageStore._agenda that holds

    def due(self):
        return min(self.log.due, self.forgetting[0][0]) if self.forgetting else self.log.due

    def places(self, keys):
        """The positions of what was stored with these keys, whether or not it is still there."""
        return [self.keys[key].position for key in keys if key in self.keys]

    def settle(self, now, budget):
        done = self.log.settle(now, budget)
        while done < budget and self.forgetting and self.forgetting[0][0] <= now:
            _, key = heapq.heappop(self.forgetting)
            known = self.keys.get(key)
            if known is not None and known.until <= now:
                if self.log.read((known.position,), None, now):
                    heapq.heappush(self.forgetting, (now + ports.KEY_INTERVAL, key))
                else:
                    del self.keys[key]
            done += 1
        return done


class Plan(msgspec.Struct):
    """What a step is going to append to one queue."""

    drafts: list[messages.Draft]
    keys: dict[str, Key]


class MessageStore:
    def __init__(self):
        self.lock = threading.Lock()
        self._lives = {}  # queue id -> Life
        self._usages = {}  # (namespace, project) -> Tally
        self._clients = {}
        self._agenda = []  # heap of (instant, tie, Life) for the sweep: one for each life, and some that were
        self._ties = itertools.count()
        self._trash = []  # dicts and lists whose content is to be freed

    # The lives of queues, as their records say

    def begin(self, queue_id, namespace, project, revision):
        with self.lock:
            usage = self._usages.setdefault((namespace, project), Tally())
            usage.queues += 1
            self._lives[queue_id] = Life(revision, usage)

    def revise(self, queue_id, revision):
        with self.lock:
            self._lives[queue_id].revision = revision

    def end(self, queue_id, namespace, project):
        with self.lock:
            life = self._lives.pop(queue_id)
            self._clear(life)
            self._trash += (life.keys, life.forgetting)
            life.scheduled_at = math.nan
            life.usage.queues -= 1
            if not life.usage.queues:
                del self._usages[namespace, project]

    # The port

    def append(self, queue, drafts, now, *, derive=None):
        with self.lock:
            life = self._current(queue)
            if len(self._clients) > CLIENTS:
                self._clients.clear()
            if derive is not None:
                return self._append_in_one_step(life, drafts, now, derive)
            for draft in drafts:
                if draft.key is not None:
                    return self._append_in_one_step(life, drafts, now, derive)
            log = life.log
            start = log.next
            log.append(drafts, now, self._clients)
            if log.due < life.scheduled_at:
                self._schedule(life)
            return list(map(ports.Appended, range(start, log.next)))

    def select(self, queue, selection, now):
        if selection.positions is not None or selection.claim_id is not None or selection.keys is not None:
            with self.lock:
                life = self._existing(queue)
                positions = selection.positions if selection.keys is None else life.places(selection.keys)
                found = life.log.read(positions, selection.claim_id, now)
            return ports.Page(found, found[-1].position if found else selection.after)
        while True:
            with self.lock:
                log = self._existing(queue).log
                if log.due > now or self._settled(log, now):
                    return log.page(selection)
            time.sleep(0)  # lets other threads have the lock

    def claim(self, queue, claim, limit, now, *, keep_until, max_claims=None, in_flight=None, take=False):
        while True:
            with self.lock:
                life = self._current(queue)
                log = life.log
                if log.due > now or self._settled(log, now):
                    room = limit if in_flight is None else min(limit, in_flight - log.claimed)
                    claimed = log.claim(claim, room, now, keep_until, max_claims, take)
                    if log.due < life.scheduled_at:
                        self._schedule(life)
                    if claimed is not None:
                        return claimed
            time.sleep(0)  # lets other threads have the lock

    def renew(self, queue, claim_id, changes, now):
        with self.lock:
            life = self._existing(queue)
            changed = life.log.renew(claim_id, changes, now)
            if life.log.due < life.scheduled_at:
                self._schedule(life)
            return changed

    def delete(self, queue, positions, now, *, claim_ids=(), unclaimed=True, all_or_none=False):
        with self.lock:
            return self._existing(queue).log.delete(positions, now, claim_ids, unclaimed, all_or_none)

    def clear(self, queue, now):
        with self.lock:
            self._clear(self._existing(queue))

    def stats(self, queue, now):
        while True:
            with self.lock:
                log = self._existing(queue).log
                if log.due > now or self._settled(log, now):
                    return log.stats()
            time.sleep(0)  # lets other threads have the lock

    def usage(self, namespace, project, now):
        with self.lock:
            usage = self._usages.get((namespace, project))
            if usage is None:
                return ports.Usage()
            return ports.Usage(usage.queues, usage.messages, usage.claimed, usage.delayed, usage.bytes)

    def sweep(self, now, limit):
        done = 0
        while done < limit:
            with self.lock:
                swept = self._sweep(now, min(limit - done, SLICE))
            if not swept:
                break
            done += swept
        return done

    # Its parts, under the lock

    def _existing(self, queue):
        life = self._lives.get(queue.id)
        if life is None:
            raise errors.Stale
        return life

    def _current(self, queue):
        life = self._lives.get(queue.id)
        if life is None or life.revision != queue.revision:
            raise errors.Stale
        return life

    def _settled(self, log, now):
        """Settle a slice; whether that was all."""
        log.settle(now, SLICE)
        return log.due > now

    def _schedule(self, life):
        """Let the sweep look at the queue when something is due there."""
        life.scheduled_at = life.due()
        if life.scheduled_at < math.inf:
            heapq.heappush(self._agenda, (life.scheduled_at, next(self._ties), life))

    def _append_in_one_step(self, life, drafts, now, derive):
        plans = {}
        answers = self._plan(plans, life, drafts, now)
        new = plans[life].drafts
        if derive is not None and new:
            stored = [messages.store(draft, position, now) for position, draft in enumerate(new, life.log.next)]
            for queue, derived in derive(stored):
                self._plan(plans, self._current(queue), derived, now)
        for planned, plan in plans.items():
            for key, known in plan.keys.items():
                planned.keys[key] = known
                heapq.heappush(planned.forgetting, (known.until, key))
            planned.log.append(plan.drafts, now, self._clients)
            if planned.due() < planned.scheduled_at:
                self._schedule(planned)
        return answers

    def _plan(self, plans, life, drafts, now):
        """Add what is new of `drafts` to the plan for `life`, and say where each is going to be."""
        plan = plans.setdefault(life, Plan([], {}))
        answers = []
        for draft in drafts:
            position = life.log.next + len(plan.drafts)
            if draft.key is not None:
                known = plan.keys.get(draft.key) or life.keys.get(draft.key)
                if known is not None and known.until > now:
                    if known.digest != draft.key_digest:
                        raise errors.KeyReused
                    answers.append(ports.Appended(known.position, repeated=True))
                    continue
                if draft.key_until > now:
                    plan.keys[draft.key] = Key(position, draft.key_until, draft.key_digest)
            plan.drafts.append(draft)
            answers.append(ports.Appended(position))
        return answers

    def _clear(self, life):
        log = life.log
        usage = life.usage
        usage.messages -= log.messages
        usage.claimed -= log.claimed
        usage.delayed -= log.delayed
        usage.bytes -= log.bytes
        self._trash += (log.chunks, log.claims, log.expiries, log.returns)
        life.log = Log(log.next, usage)

    def _sweep(self, now, budget):
        done = 0
        while done < budget and self._trash:
            done += self._free(self._trash, budget - done)
        agenda = self._agenda
        while done < budget and agenda and agenda[0][0] <= now:
            instant, _, life = heapq.heappop(agenda)
            if instant == life.scheduled_at:
                done += life.settle(now, budget - done)
                self._schedule(life)
        return done

    def _free(self, trash, budget):
        """Free a part of the last thing in the trash; say how much that was."""
        container = trash[-1]
        if not container:
            trash.pop()
            return 0
        if isinstance(container, list):
            del container[-budget:]
            return 1
        _, value = container.popitem()
        return max(1, value.live) if isinstance(value, Chunk) else 1
