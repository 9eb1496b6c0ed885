"""A model of how posts, reads and claims meet in the documents of the MongoDB driver.

Only a change of one document is atomic there. So every actor (a writer, a reader, a claimer and so on) is a generator
that yields before each such step, and what stands between two yields happens at once. A scheduler picks the
actor that goes on, at random; now and then it holds one up for seconds, lets time pass, or kills one.
A command may get no answer: it took effect, or never will, or does so in part and long after its sender gave up.

The documents are a queue's head (`last`, `pending`, `floor`, `revision`), its messages by position and its keys.
A post reserves positions in the head, takes its keys, inserts its messages, settles its keys and pulls its reservation;
nothing exists for anybody at or behind the first reservation that is still pending. Whoever finds an old one
fences it with tombstones, settles its keys and pulls it.

What must hold is checked where it would break, and once more after everything has come to an end: nothing
acknowledged is lost, nothing is stored twice, what a reader has passed stays as it was, positions follow
the order of the posts, no message is in two claims, and nothing stays hidden behind a reservation.

`RULES` names what the driver must heed; the model can be told to break one of them, which must be noticed::

    python -m tests.model.mongodb_protocol --histories 100000 --seed 1
    python -m tests.model.mongodb_protocol --broken each
    python -m tests.model.mongodb_protocol --broken 'claims heed the bound' --replay 70
"""

import argparse
import collections
import heapq
import random
import sys
import time

GLANCE = 0.25  # s: how old a pending entry is when a reader looks whether it is only a lost pull
LEASE = 2.0  # s: how old a pending entry is when a reader fences it
DAY = 86_400.0  # s: how long a tombstone stands
ON_THE_WIRE = 0.9 * DAY  # s: no command takes effect later than this after it was sent
PAUSES = (None, None, 0.3, 1.0, 2.2, 4.0)  # s: what a client does between two calls
STEPS = 20_000  # no history is longer, unless its actors wait for each other for ever

#: Rule -> what the model does when it is told to break it.
RULES = {
    'claims heed the bound': 'Claims take messages whose reservation is still pending.',
    'deletes heed the bound': 'Deletes by position remove messages whose reservation is still pending.',
    'head first': 'A list reads the messages before the head.',
    'fence what is old': 'An entry older than the lease is ignored instead of fenced.',
    'fence wholly': 'A fence is taken for complete after its first tombstone was sent.',
    'fence acknowledged': 'A fence is taken for complete although its outcome is unknown.',
    'keys after the fence': 'Keys of a reservation are decided before its tombstones are in.',
    'keys listed after the fence': 'Keys of a reservation are looked up before its tombstones are in.',
    'reader settles before pull': 'A reader pulls the entry, then settles its keys.',
    'settled for certain': 'A reader pulls the entry although the outcome for a key is unknown.',
    'settle looks at the message': 'All keys of a reservation are settled, whether their messages are stored or not.',
    'settle counts expired messages': 'A key is forgotten when its message is stored but expired.',
    'forget only keys of the reservation': 'A reader forgets a key without a look at whose it is by then.',
    'writer settles before pull': 'A writer pulls its entry, then settles its keys.',
    'settle before remembering': 'A process ignores its own entry before the keys are settled.',
    'an unknown insert stays pending': 'A writer whose insert has an unknown outcome pulls its entry.',
    'an unknown insert is not remembered': 'A process ignores the entry of an insert with an unknown outcome.',
    'an unknown insert is not repeated': 'A writer whose insert has an unknown outcome posts it once more.',
    'insert in order': 'The messages of a batch are inserted in any order.',
    'a fenced draft is not stored': 'A writer takes a tombstone for its own message.',
    'a missing message may be consumed': 'A fenced writer takes for stored what is there up to the first gap.',
    'a tombstone may be late': 'A fenced writer takes for stored what stands before the first tombstone.',
    'stale means nothing is stored': 'A writer with a part stored raises Stale when the queue was changed.',
    'refused means nothing is stored': 'A writer with a part stored raises KeyReused for another part.',
    'a repetition follows the first': 'A key twice in a post is answered with the position reserved first.',
    'move keys before settling': 'A fenced writer settles the keys of the rest with those of the stored part.',
    'move only own keys': 'A fenced writer moves its keys to the new reservation without a look at whose they are.',
    'an open key proves nothing': 'A key that is open is taken for a repetition.',
    'an open key in pending is waited for': 'A key is taken over although its reservation is pending.',
    'take over what was seen': 'A key whose reservation is gone is taken over without a condition.',
    'look twice or compare': 'As above, and without reading the key once more before.',
    'take over only what is over': 'A key past its time is taken over without a condition.',
    'undo only own keys': 'A refused writer deletes its keys without a look at whose they are.',
    'sweep only keys that are over': 'A sweeper deletes keys without a look at whether they are still over.',
    'sweep heeds the bound': 'A sweeper removes messages whose reservation is still pending.',
    'tombstones outlive purges': 'A sweeper removes tombstones below the floor.',
    'tombstones outlive inserts': 'Tombstones are swept after ten seconds.',
    'tombstones are not deleted': 'A delete of unclaimed messages removes tombstones.',
    'the floor heeds the bound': 'The floor of an empty queue is raised to the last position.',
    'claim what is free': 'A claim takes a message without a look at whether it is still free.',
    'free what has lapsed': 'A lapsed claim is ended without a look at whether it is still that claim.',
    'pop what was deleted': 'A pop returns what it claimed, whether it could delete it or not.',
    'delete what is held': 'A message is deleted by a claim that may have ended.',
    # Not needed: the condition of the takeover sees what a second look would.
    'look twice': 'A key whose reservation is gone is taken over without reading it once more.',
}
#: Rules that nothing depends on, because another rule covers them.
COVERED = {'look twice'}

COUNTS = (
    'histories',
    'histories with keys',
    'keys and crashes',
    'steps',
    'appends',
    'appends with keys',
    'acknowledged',
    'repeated',
    'unknown',
    'stale',
    'key reused',
    'fenced writers',
    'fences',
    'settled by readers',
    'open keys taken over',
    'old keys taken over',
    'waits for a key',
    'crashes',
    'commands without answer',
    'commands that came late',
    'pages',
    'claims',
    'claims lapsed',
    'deleted',
    'swept',
    'purges',
)

#: What can be wrong, as the messages of Broken begin.
FAULTS = (
    'lost',
    'twice',
    'keyed twice',
    'moved',
    'refused',
    'skip',
    'order',
    'prefix',
    'two claims',
    'hidden',
    'never ends',
)


class Broken(Exception):
    """Something that must hold does not."""


class Unknown(Exception):
    """Whether the command took effect or will is not known: 503."""


class Stale(Exception):
    """The queue was changed since it was read; nothing was written."""


class KeyReused(Exception):
    pass


class Draft:
    __slots__ = ('digest', 'key', 'number')

    def __init__(self, number, key=None, digest=0):
        self.number = number  # within its append
        self.key = key
        self.digest = digest


class Append:
    """One call of append: what its caller knows, and what became of it in truth."""

    __slots__ = ('drafts', 'expires', 'keyed', 'known', 'low', 'name', 'now', 'numbers', 'position', 'refused', 'until')

    def __init__(self, name, drafts, now, until, expires, low):
        self.name = name
        self.drafts = drafts
        self.keyed = any(draft.key for draft in drafts)
        self.now = now
        self.until = until  # of its keys
        self.expires = expires
        self.low = low  # the highest position that was acknowledged before
        self.known = {}  # key -> (position, until) that was acknowledged before
        self.refused = False  # its caller was told that nothing of it is stored
        self.numbers = []  # which drafts were stored
        self.position = 0  # the last one that was stored at


class Message:
    __slots__ = ('append', 'available', 'claim', 'draft', 'ends', 'expires')

    def __init__(self, append, draft, available, expires):
        self.append = append  # None: a tombstone
        self.draft = draft
        self.available = available
        self.expires = expires
        self.claim = None
        self.ends = 0  # in truth: until when the last claim that took it holds it


Entry = collections.namedtuple('Entry', 'first count keyed at')
Key = collections.namedtuple('Key', 'position digest until reservation')


class History:
    """The documents of one queue, those who work on it, and what is true about it."""

    def __init__(self, seed, broken=None, trace=None):
        self.seed = seed
        self.broken = broken
        self.trace = trace
        generator = random.Random(seed)
        self.random = generator.random
        self.choice = generator.choice
        self.shuffle = generator.shuffle
        self.counts = collections.Counter(histories=1)

        self.last = 0
        self.pending = {}  # reservation -> Entry
        self.floor = 0
        self.revision = 0
        self.messages = {}  # position -> Message
        self.keys = {}  # key -> Key
        self.settled = [set(), set(), set(), set()]  # of each process: reservations that it knows to be over

        self.clock = 1_000.0
        self.serial = 0
        self.ready = []
        self.asleep = []  # heap of (when, number, task)
        self.dead = []  # a killed actor whose last command still runs must not be closed
        self.loss = 0.0  # how likely it is that a command gets no answer
        self.disturbance = 0.0  # how likely it is that something happens between two steps
        self.window = 0.0  # s: for how long a key is remembered

        self.used = {}  # position -> the key that was stored there, or None
        self.gone = set()  # positions consumed, or swept when they had expired
        self.delivered = set()  # positions that a pop returned
        self.purged = 0  # a purge emptied the queue up to here
        self.reached = 0  # the highest position that any reader was told to go on from
        self.acknowledged = set()  # positions
        self.high = 0  # the highest of them
        self.stored = collections.defaultdict(list)  # key -> [(position, Append)]
        self.taken = {}  # (key, position) -> when the key was given that position
        self.answers = {}  # key -> (position, until) acknowledged last

    # The scheduler.

    def run(self):
        self.begin()
        self.play()
        if self.counts['histories with keys'] and self.counts['crashes']:
            self.counts['keys and crashes'] += 1
        # All have come to an end. What has not arrived by now may still do so, within a day.
        self.loss = self.disturbance = 0.0
        self.finish()
        while self.asleep:
            when, _, task = heapq.heappop(self.asleep)
            self.clock = max(self.clock, when)
            if self.random() < 0.3:
                self.complete(self.sweeper(3))
            self.complete(task)
            if not self.asleep or self.random() < 0.3:
                self.finish()

    def play(self):
        ready = self.ready
        pick = self.random
        disturbance = self.disturbance
        steps = 0
        while True:
            if not ready:
                if not self.asleep or self.asleep[0][0] > self.clock + 1_000:
                    break
                self.pass_time(self.asleep[0][0] - self.clock)
            steps += 1
            index = int(pick() * len(ready))
            task = ready[index]
            if pick() < disturbance:
                chance = pick()
                if chance < 0.4:
                    ready[index] = ready[-1]
                    ready.pop()
                    self.sleep(task, self.choice((0.3, 0.6, 2.2, 2.5, 5, 9)))
                elif chance < 0.8:
                    self.pass_time(self.choice((0.1, 0.3, 0.6, 2.2, 2.5, 5)))
                elif chance < 0.95:
                    ready[index] = ready[-1]
                    ready.pop()
                    self.crash(task)
                else:  # a process starts anew
                    self.choice(self.settled).clear()
                continue
            try:
                nap = next(task)
            except (StopIteration, Unknown):  # nobody hears what became of the command of a killed actor
                ready[index] = ready[-1]
                ready.pop()
                continue
            if nap is not None:
                ready[index] = ready[-1]
                ready.pop()
                self.sleep(task, nap)
            if steps > STEPS:
                raise Broken('never ends: somebody waits for ever')
        self.counts['steps'] += steps

    def complete(self, task):
        """Run `task` to its end, alone."""
        for number, nap in enumerate(task):
            self.clock += nap or 0
            if number > STEPS:
                raise Broken('never ends: somebody waits for ever')

    def sleep(self, task, seconds):
        self.serial += 1
        heapq.heappush(self.asleep, (self.clock + seconds, self.serial, task))

    def pass_time(self, seconds):
        self.clock += seconds
        while self.asleep and self.asleep[0][0] <= self.clock:
            self.ready.append(heapq.heappop(self.asleep)[2])

    def crash(self, task):
        self.counts['crashes'] += 1
        self.say(f'killed a {task.__name__}')
        self.dead.append(task)
        if self.random() < 0.5:
            return
        # The command that was on its way goes on without its sender.
        while task is not None:
            if task.gi_code in COMMANDS:
                self.ready.append(task)
                return
            task = task.gi_yieldfrom

    def say(self, text):
        if self.trace is not None:
            self.trace.append(f'{self.clock - 1_000:12.2f}  {text}')

    # Commands: sent, and answered or not.

    def tell(self, step, *arguments):
        """Have one document changed. Raises Unknown."""
        if self.random() < self.loss:
            yield from self.lose(self.late(step, *arguments))
        yield
        return step(*arguments)

    def send(self, command):
        """Have `command`, a generator of steps, carried out. Raises Unknown."""
        if self.random() < self.loss:
            yield from self.lose(command)
        yield
        return (yield from command)

    def late(self, step, *arguments):
        yield
        step(*arguments)

    def lose(self, command):
        self.counts['commands without answer'] += 1
        chance = self.random()
        yield
        if chance < 0.3:
            yield from command
        elif chance < 0.8:
            self.counts['commands that came late'] += 1
            if chance < 0.4:
                next(command, None)
            nap = self.choice((0.1, 1, 2.5, 5, 9, 20, self.random() * ON_THE_WIRE))
            self.sleep(command, nap)
        yield
        raise Unknown

    # The head.

    def reserve(self, count, keyed, revision):
        if revision != self.revision:
            return None
        self.serial += 1
        first = self.last + 1
        self.last += count
        self.pending[self.serial] = Entry(first, count, keyed, self.clock)
        self.say(f'reservation {self.serial}: {count} at {first}')
        return self.serial, first

    def pull(self, reservation):
        self.say(f'reservation {reservation} pulled')
        self.pending.pop(reservation, None)

    def raise_floor(self, position):
        self.floor = max(self.floor, position)

    def purge(self):
        self.counts['purges'] += 1
        self.floor = self.purged = self.last

    def change(self):
        self.revision += 1

    def bound(self, process, last, pending):
        """The highest position that exists for `process`, by a head that it has read."""
        settled = self.settled[process]
        for reservation, entry in pending.items():
            if reservation not in settled:
                if self.broken == 'fence what is old' and self.clock - entry.at > LEASE:
                    continue
                return entry.first - 1
        return last

    # Messages.

    def insert(self, append, rows):
        """Insert in order until one is refused; the answer is how many were inserted."""
        if self.broken == 'insert in order':
            rows = list(rows)
            self.shuffle(rows)
        for number, (position, draft) in enumerate(rows):
            if number:
                yield
            if position in self.messages:
                return number
            self.store(append, position, draft)
        return len(rows)

    def store(self, append, position, draft):
        number = draft.number
        self.say(f'stored draft {number} of append {append.name} with key {draft.key} at {position}')
        if append.refused:
            raise Broken(f'refused: a draft of the append is stored at {position}')
        if position in self.used:
            raise Broken(f'twice: position {position} used again')
        if self.purged < position <= self.reached:
            raise Broken(f'skip: {position} appears after readers were told to go on from {self.reached}')
        if number in append.numbers:
            raise Broken(f'twice: a draft stored at {position} again')
        if position <= append.position or (append.numbers and number < append.numbers[-1]):
            raise Broken(f'order: draft {number} stored at {position} after {append.position}')
        if not append.keyed and number != len(append.numbers):
            raise Broken(f'prefix: draft {number} stored without the one before')
        if draft.key:
            taken = self.taken[draft.key, position]
            for other, before in self.stored[draft.key]:
                if taken < before.until and self.taken[draft.key, other] < append.until:
                    raise Broken(f'keyed twice: {draft.key} at {other} and {position}')
            self.stored[draft.key].append((position, append))
        append.numbers.append(number)
        append.position = position
        self.used[position] = draft.key
        self.messages[position] = Message(append, draft, 0, append.expires)

    def fence(self, positions):
        """Insert tombstones in any order, passing over what is there."""
        self.shuffle(positions)
        life = 10 if self.broken == 'tombstones outlive inserts' else DAY
        for number, position in enumerate(positions):
            if number:
                yield
            if position not in self.messages:
                self.say(f'tombstone at {position}')
                self.messages[position] = Message(None, None, -1, self.clock + life)
            if self.broken == 'fence wholly':
                return

    def real(self, position):
        message = self.messages.get(position)
        return message is not None and message.append is not None

    def dead_at(self, position):
        message = self.messages.get(position)
        return message is not None and message.append is None

    def visible(self, position):
        message = self.messages.get(position)
        return message is not None and message.append is not None and message.expires > self.clock

    def claim(self, position, claim, ends):
        message = self.messages.get(position)
        if message is None or (message.available != 0 and self.broken != 'claim what is free'):
            return False
        if message.ends > self.clock:
            raise Broken(f'two claims: {position} is held by another')
        message.claim = claim
        message.available = message.ends = ends
        self.say(f'claimed {position}')
        return True

    def free(self, position, now):
        """End a claim that has lapsed."""
        message = self.messages.get(position)
        if message is not None and (0 < message.available <= now or self.broken == 'free what has lapsed'):
            self.counts['claims lapsed'] += 1
            message.available = 0
            message.claim = None

    def release(self, position, claim, now):
        message = self.messages.get(position)
        if message is not None and message.claim == claim and message.available > now:
            message.available = message.ends = 0
            message.claim = None

    def delete(self, position, claim, now):
        """Delete what `claim` holds or, when it is None, what no live claim holds; whether it did."""
        message = self.messages.get(position)
        if message is None:
            return False
        if message.append is None:
            if claim is None and self.broken == 'tombstones are not deleted':
                del self.messages[position]
            return False
        if self.broken != 'delete what is held':
            if claim is None and message.available > now:
                return False
            if claim is not None and (message.claim != claim or message.available <= now):
                return False
        if message.ends > self.clock and message.claim != claim:
            raise Broken(f'two claims: {position} deleted while another holds it')
        self.counts['deleted'] += 1
        self.remove(position)
        return True

    def deliver(self, position):
        """A pop returns what is at `position`."""
        if position in self.delivered or position not in self.gone:
            raise Broken(f'two claims: {position} was popped, and others got it too')
        self.delivered.add(position)

    def remove(self, position):
        self.say(f'removed {position}')
        del self.messages[position]
        self.gone.add(position)

    # Keys.

    def insert_key(self, name, key):
        if name in self.keys:
            return False
        self.say(f'key {name}: {key}')
        self.taken[name, key.position] = self.clock
        self.keys[name] = key
        return True

    def insert_keys(self, keys):
        """Insert in any order; the answer is which were refused."""
        self.shuffle(keys)
        refused = set()
        for number, (name, key) in enumerate(keys):
            if number:
                yield
            if not self.insert_key(name, key):
                refused.add(name)
        return refused

    def take_key(self, name, seen, key, conditional=True):
        """Take a key over, if it is still as seen."""
        found = self.keys.get(name)
        if conditional and (found is None or found[:3:2] != seen[:3:2] or found.reservation != seen.reservation):
            return False
        self.say(f'key {name}: {key} instead of {seen}')
        self.taken[name, key.position] = self.clock
        self.keys[name] = key
        return True

    def move_key(self, name, reservation, key):
        found = self.keys.get(name)
        if found is None or (found.reservation != reservation and self.broken != 'move only own keys'):
            return False
        self.taken[name, key.position] = self.taken[name, found.position]
        self.keys[name] = key
        return True

    def settle_key(self, name, reservation):
        found = self.keys.get(name)
        if found is not None and found.reservation == reservation:
            self.say(f'key {name} settled')
            self.keys[name] = found._replace(reservation=None)

    def settle_keys(self, keys):
        for number, (name, reservation) in enumerate(keys):
            if number:
                yield
            self.settle_key(name, reservation)

    def forget_key(self, name, reservation):
        found = self.keys.get(name)
        if found is not None and (
            found.reservation == reservation or self.broken == 'forget only keys of the reservation'
        ):
            self.say(f'key {name} forgotten')
            del self.keys[name]

    def forget_keys(self, names, reservation):
        for number, name in enumerate(names):
            if number:
                yield
            found = self.keys.get(name)
            if found is not None and (found.reservation == reservation or self.broken == 'undo only own keys'):
                del self.keys[name]

    # Posting.

    def append(self, process, append, revision):
        """Carry out `append`. Raises Unknown, Stale, KeyReused.

        :returns: draft number -> (position, repeated)
        """
        todo = []
        same = {}  # number of a draft whose key is twice in this append -> number of the first
        firsts = {}
        for draft in append.drafts:
            first = draft if draft.key is None else firsts.setdefault(draft.key, draft)
            if first is draft:
                todo.append(draft)
            elif first.digest != draft.digest:
                raise KeyReused
            else:
                same[draft.number] = first.number
        places = {}
        reservations = []
        held = {}  # key -> the reservation that it is open with
        while todo:
            if len(reservations) == 5:
                raise Unknown
            keyed = append.keyed and any(draft.key for draft in todo)
            answer = yield from self.tell(self.reserve, len(todo), keyed, revision)
            if answer is None:
                if self.any_stored(places) and self.broken != 'stale means nothing is stored':
                    raise Unknown
                raise Stale
            reservation, first = answer
            reservations.append(reservation)
            if keyed:
                rows = yield from self.hold(process, append, reservation, first, todo, held, places)
            else:
                rows = [(first + number, draft) for number, draft in enumerate(todo)]
            if self.broken == 'a repetition follows the first' and len(reservations) == 1:
                reserved = {draft.number: position for position, draft in rows}
            done = 0
            if rows:
                try:
                    done = yield from self.send(self.insert(append, rows))
                except Unknown:
                    if self.broken == 'an unknown insert is not remembered':
                        self.settled[process].add(reservation)
                    if self.broken == 'an unknown insert stays pending':
                        yield
                        self.pull(reservation)
                    if self.broken != 'an unknown insert is not repeated':
                        raise
            if done < len(rows):
                self.counts['fenced writers'] += 1
                done = yield from self.count_stored(rows, done)
                if self.broken == 'move keys before settling':
                    yield from self.send(self.settle_keys([(draft.key, reservation) for _, draft in rows if draft.key]))
            for position, draft in rows[:done]:
                places[draft.number] = position, False
            todo = [draft for _, draft in rows[done:]]
        settled = self.settled[process]
        if self.broken == 'settle before remembering':
            settled.update(reservations)
        if self.broken == 'writer settles before pull':
            for reservation in reservations:
                yield
                self.pull(reservation)
        if held:
            yield from self.send(self.settle_keys(list(held.items())))
        settled.update(reservations)
        for number, first in same.items():
            places[number] = places[first][0], True
            if self.broken == 'a repetition follows the first':
                places[number] = reserved.get(first, places[first][0]), True
        for reservation in reservations:
            self.start_pull(reservation)
        return places

    def count_stored(self, rows, done):
        """How many of `rows` a fenced writer takes for stored: those before the one that was refused."""
        if self.broken == 'a fenced draft is not stored':
            return len(rows)
        if self.broken == 'a missing message may be consumed':
            yield
            return next((n for n, (position, _) in enumerate(rows) if not self.real(position)), len(rows))
        if self.broken == 'a tombstone may be late':
            yield
            return next((n for n, (position, _) in enumerate(rows) if self.dead_at(position)), len(rows))
        return done

    def any_stored(self, places):
        return any(not repeated for _, repeated in places.values())

    def start_pull(self, reservation):
        """Have the entry removed without waiting for it."""
        chance = self.random()
        if chance > 4 * self.loss:
            self.ready.append(self.late_pull(reservation))
        elif chance > 2 * self.loss:
            self.sleep(self.late_pull(reservation), self.choice((0.3, 1, 3, 9)))

    def late_pull(self, reservation):
        yield
        self.pull(reservation)

    def hold(self, process, append, reservation, first, todo, held, places):
        """Get the keys of `todo`; the answer is what is to be inserted, and where."""
        rows = []
        wanted = []
        for position, draft in enumerate(todo, first):
            if draft.key is None:
                continue
            key = Key(position, draft.digest, append.until, reservation)
            before = held.pop(draft.key, None)
            if before is None or not (yield from self.tell(self.move_key, draft.key, before, key)):
                wanted.append((draft.key, key))
        refused = yield from self.send(self.insert_keys(wanted))
        for position, draft in enumerate(todo, first):
            if draft.key in refused:
                key = Key(position, draft.digest, append.until, reservation)
                try:
                    known = yield from self.contend(process, append, draft.key, key)
                except KeyReused:
                    names = [draft.key for draft in todo if draft.key]
                    yield from self.send(self.forget_keys(names, reservation))
                    self.start_pull(reservation)
                    if self.any_stored(places) and self.broken != 'refused means nothing is stored':
                        raise Unknown from None
                    raise
                if known is not None:
                    places[draft.number] = known, True
                    continue
            if draft.key is not None:
                held[draft.key] = reservation
            rows.append((position, draft))
        return rows

    def contend(self, process, append, name, key):
        """Get a key that somebody has; the answer is None, or the position that it is settled with."""
        for _ in range(16):
            yield
            seen = self.keys.get(name)
            if seen is None:
                if (yield from self.tell(self.insert_key, name, key)):
                    return None
                continue
            if seen.reservation is None or self.broken == 'an open key proves nothing':
                if seen.until > append.now:
                    if seen.digest != key.digest:
                        raise KeyReused
                    return seen.position
                conditional = self.broken != 'take over only what is over'
                if (yield from self.tell(self.take_key, name, seen, key, conditional)):
                    self.counts['old keys taken over'] += 1
                    return None
                continue
            yield
            entry = self.pending.get(seen.reservation)
            if entry is not None and self.broken != 'an open key in pending is waited for':
                if self.clock - entry.at > LEASE:
                    yield from self.resolve(process, seen.reservation, entry)
                else:
                    self.counts['waits for a key'] += 1
                    yield 0.5
                continue
            if self.broken not in ('look twice', 'look twice or compare'):
                yield
                again = self.keys.get(name)
                if again is None or again.reservation != seen.reservation:
                    continue
            conditional = self.broken not in ('take over what was seen', 'look twice or compare')
            if (yield from self.tell(self.take_key, name, seen, key, conditional)):
                self.counts['open keys taken over'] += 1
                return None
        raise Unknown

    # Old entries.

    def resolve(self, process, reservation, entry):
        """Bring an old entry to its end, if it is old enough. Raises Unknown."""
        broken = self.broken
        first, count, keyed, at = entry
        if broken == 'keys listed after the fence' and keyed:
            yield
            early = self.keys_of(reservation)
        if broken == 'keys after the fence' and keyed and self.clock - at > LEASE:
            yield from self.settle(reservation, None)
        missing = []
        for position in range(first, first + count):
            yield
            if position not in self.messages:
                missing.append(position)
        if missing:
            if self.clock - at <= LEASE or broken == 'fence what is old':
                return
            self.counts['fences'] += 1
            try:
                yield from self.send(self.fence(missing))
            except Unknown:
                if broken != 'fence acknowledged':
                    raise
        if keyed and broken != 'keys after the fence':
            if broken == 'reader settles before pull':
                yield
                self.pull(reservation)
            yield from self.settle(reservation, early if broken == 'keys listed after the fence' else None)
        self.settled[process].add(reservation)
        self.counts['settled by readers'] += 1
        self.start_pull(reservation)

    def keys_of(self, reservation):
        return [(name, key.position) for name, key in self.keys.items() if key.reservation == reservation]

    def settle(self, reservation, keys):
        """Decide every open key of a reservation all of whose positions are taken. Raises Unknown."""
        broken = self.broken
        if keys is None:
            yield
            keys = self.keys_of(reservation)
        for name, position in keys:
            yield
            message = self.messages.get(position)
            if message is None:
                if broken != 'keys after the fence':
                    continue  # consumed by now: somebody else has settled the key
                stored = False
            else:
                stored = message.append is not None
            if broken == 'settle looks at the message':
                stored = True
            if broken == 'settle counts expired messages':
                stored = stored and message.expires > self.clock
            try:
                yield from self.tell(self.settle_key if stored else self.forget_key, name, reservation)
            except Unknown:
                if broken != 'settled for certain':
                    raise

    def resolve_all(self, process, pending):
        settled = self.settled[process]
        for reservation, entry in pending.items():
            if self.clock - entry.at > GLANCE and reservation not in settled:
                try:
                    yield from self.resolve(process, reservation, entry)
                except Unknown:
                    return

    # Actors.

    def post(self, process, drafts, expires):
        """A client's post, repeated by the service when it was stale; the answer is whether it was acknowledged."""
        self.counts['appends'] += 1
        now = self.clock
        append = Append(self.counts['appends'], drafts, now, now + self.window, expires, self.high)
        if append.keyed:
            self.counts['appends with keys'] += 1
            append.known = self.answers.copy()
        for _ in range(3):
            revision = self.revision
            yield
            try:
                places = yield from self.append(process, append, revision)
            except Stale:
                self.counts['stale'] += 1
                continue
            except KeyReused:
                self.counts['key reused'] += 1
                if append.numbers:
                    raise Broken('refused: a part of the append is stored') from None
                append.refused = True
                return True
            except Unknown:
                self.counts['unknown'] += 1
                return False
            self.acknowledge(append, places)
            return True
        return False

    def acknowledge(self, append, places):
        self.counts['acknowledged'] += 1
        self.say(f'acknowledged append {append.name}: {places}')
        before = append.low
        for draft in append.drafts:
            position, repeated = places[draft.number]
            if position not in self.used or self.used[position] != draft.key:
                raise Broken(f'lost: {position} acknowledged and not stored')
            if repeated:
                self.counts['repeated'] += 1
            elif position <= before:
                raise Broken(f'order: {position} acknowledged, {before} was before')
            else:
                before = position
                self.acknowledged.add(position)
            if draft.key:
                known = append.known.get(draft.key)
                if known is not None and known[0] != position and self.clock < known[1]:
                    raise Broken(f'moved: {draft.key} acknowledged at {known[0]}, then at {position}')
                until = next(by.until for at, by in self.stored[draft.key] if at == position)
                if until > self.answers.get(draft.key, (0, 0))[1]:
                    self.answers[draft.key] = position, until
        self.high = max(self.high, before)

    def writer(self, process, batches, start):
        if start:
            yield start
        for drafts, life in batches:
            for _ in range(3):
                known = yield from self.post(process, drafts, self.clock + life)
                if known or drafts[0].key is None:
                    break
                if self.random() < 0.3:
                    process = (process + 1) % 3

    def reader(self, process, pages, limit):
        after = 0
        for _ in range(pages):
            yield self.choice(PAUSES)
            if self.broken == 'head first':
                yield
                early = {position for position in self.messages if self.visible(position)}
            yield
            last, pending, floor = self.last, self.pending.copy(), self.floor
            if pending:
                yield from self.resolve_all(process, pending)
            bound = self.bound(process, last, pending)
            after = max(after, floor)
            page = []
            reached = bound
            for position in range(after + 1, bound + 1):
                if self.broken == 'head first':
                    if position not in early:
                        continue
                elif not self.visible(position):
                    continue
                page.append(position)
                if len(page) == limit:
                    reached = position
                    break
                yield
            self.turn_page(after, max(after, reached), page)
            after = max(after, reached)

    def turn_page(self, after, reached, page):
        self.counts['pages'] += 1
        self.say(f'page from {after}: {page}, reached {reached}')
        self.reached = max(self.reached, reached)
        for position in range(after + 1, reached + 1):
            if position not in page and self.visible(position):
                raise Broken(f'skip: {position} is not on the page from {after} to {reached}')

    def claimer(self, process, rounds, limit, take):
        for _ in range(rounds):
            yield self.choice(PAUSES)
            last, pending, floor = self.last, self.pending.copy(), self.floor
            bound = self.bound(process, last, pending)
            if self.broken == 'claims heed the bound':
                bound = last
            now = self.clock
            self.serial += 1
            claim = self.serial
            ends = now + self.choice((3, 6, 30))
            held = []
            try:
                lapsed = [
                    position
                    for position, message in self.messages.items()
                    if floor < position <= bound and 0 < message.available <= now
                ]
                for position in lapsed:
                    yield from self.tell(self.free, position, now)
                yield
                for position in range(floor + 1, bound + 1):
                    message = self.messages.get(position)
                    if message is None or message.available != 0 or message.expires <= now:
                        continue
                    if (yield from self.tell(self.claim, position, claim, ends)):
                        held.append(position)
                        if len(held) == limit:
                            break
                if held:
                    self.counts['claims'] += 1
                    if not take and self.random() < 0.2:
                        yield 4
                for position in held:
                    chance = self.random()
                    if take:
                        deleted = yield from self.tell(self.delete, position, claim, self.clock)
                        if deleted or self.broken == 'pop what was deleted':
                            self.deliver(position)
                    elif chance < 0.6:
                        yield from self.tell(self.delete, position, claim, self.clock)
                    elif chance < 0.8:
                        yield from self.tell(self.release, position, claim, self.clock)
            except Unknown:
                continue

    def deleter(self, process, rounds):
        """Delete by position, without a claim."""
        for _ in range(rounds):
            yield self.choice(PAUSES)
            last, pending, floor = self.last, self.pending.copy(), self.floor
            bound = self.bound(process, last, pending)
            if self.broken == 'deletes heed the bound':
                bound = last
            if bound > floor:
                position = floor + 1 + int(self.random() * (bound - floor))
                try:
                    yield from self.tell(self.delete, position, None, self.clock)
                except Unknown:
                    continue

    def sweeper(self, process, nap=None):
        yield nap
        last, pending, floor = self.last, self.pending.copy(), self.floor
        bound = self.bound(process, last, pending)
        if self.broken == 'sweep heeds the bound':
            bound = last
        now = self.clock
        for position, message in list(self.messages.items()):
            if message.append is None:
                over = message.expires <= now or (self.broken == 'tombstones outlive purges' and position <= floor)
            else:
                over = position <= bound and (message.expires <= now or position <= floor)
            if over:
                yield
                if self.messages.get(position) is message:
                    self.counts['swept'] += 1
                    self.remove(position)
        for name, key in list(self.keys.items()):
            if key.until <= now:
                yield
                key = self.keys.get(name)
                if key and (key.until <= now or self.broken == 'sweep only keys that are over'):
                    del self.keys[name]

    def raiser(self, process):
        """Raise the floor to where something is."""
        yield
        last, pending, floor = self.last, self.pending.copy(), self.floor
        bound = self.bound(process, last, pending)
        yield
        for position in range(floor + 1, bound + 1):
            if self.visible(position):
                bound = position - 1
                break
        else:
            if self.broken == 'the floor heeds the bound':
                bound = last
        yield
        self.raise_floor(bound)

    def changer(self, step, naps):
        for nap in naps:
            yield nap
            step()

    # Beginning and end.

    def begin(self):
        """Choose who takes part, and how much goes wrong."""
        chance, choice = self.random, self.choice
        crowded = chance() < 0.2  # few posts, and many who look at each and take it
        keyed = chance() < 0.6
        self.loss = choice((0.0, 0.01, 0.03, 0.08))
        self.disturbance = 0.25 if crowded else choice((0.02, 0.05, 0.1, 0.2))
        self.window = choice((1_000.0, 1_000.0, 6.0))
        names = 'abc'[: choice((1, 2, 3))] if keyed else ''
        lives = (10 * DAY,) if chance() < 0.8 else (10 * DAY, 4.0)
        if keyed:
            self.counts['histories with keys'] += 1

        def several(numbers, actor, *choices):
            for _ in range(choice(numbers)):
                self.ready.append(actor(choice((0, 1, 2)), *map(choice, choices)))

        batches = [[(self.batch(names), choice(lives)) for _ in range(choice((1, 1, 2)))] for _ in range(4)]
        starts = (0, 0, 0, 1, 3, 8)
        if crowded:
            several((1, 2), self.writer, batches, starts)
            several((4,), self.reader, (8,), (1, 3, 5))
            several((2,), self.claimer, (8,), (2, 4), (False, True, True))
        else:
            several((2, 3, 4), self.writer, batches, starts)
            several((1, 1, 2), self.reader, (2, 4), (1, 2, 3))
            several((0, 1, 1, 2), self.claimer, (1, 2, 3), (1, 2, 4), (False, False, True))
        several((0, 0, 0, 1), self.deleter, (3,))
        several((0, 0, 0, 1), self.raiser)
        if chance() < 0.15:
            self.ready.append(self.changer(self.change, (0.1, 2.5)))
        if chance() < 0.1:
            self.ready.append(self.changer(self.purge, (choice((0.1, 1, 3, 6)),)))
        if chance() < 0.3:
            several((3,), self.sweeper, (1, 5, 10))

    def batch(self, names):
        drafts = []
        for number in range(self.choice((1, 1, 2, 2, 3, 4))):
            key = None
            if names and self.random() < 0.8:
                key = self.choice(names)
            drafts.append(Draft(number, key, 1 if self.random() < 0.03 else 0))
        return drafts

    def finish(self):
        """Look at everything after all have come to an end and time has passed."""
        self.clock += 3 * LEASE
        self.look_at_all()
        for position in self.acknowledged:
            if (
                (not self.visible(position) or position <= self.floor)
                and position not in self.gone
                and position > self.purged
                and not self.expired(position)
            ):
                raise Broken(f'lost: {position} acknowledged and not to be seen')
        self.window = 6.0
        for name in sorted(self.stored.keys() | self.keys.keys()):
            self.complete(self.last_post(name))
        self.look_at_all()

    def last_post(self, name):
        digest = self.keys[name].digest if name in self.keys else 0
        if not (yield from self.post(3, [Draft(0, name, digest)], self.clock + 10 * DAY)):
            raise Broken(f'hidden: {name} cannot be posted')

    def look_at_all(self):
        self.settled[3].clear()
        for task in self.ready:
            self.complete(task)
        self.ready.clear()
        self.complete(self.reader(3, 1, sys.maxsize))
        for task in self.ready:
            self.complete(task)
        self.ready.clear()
        if self.pending:
            raise Broken(f'hidden: still pending are {self.pending}')
        if self.reached != self.last:
            raise Broken(f'hidden: all that is behind {self.reached} of {self.last}')

    def expired(self, position):
        message = self.messages.get(position)
        return message is not None and message.expires <= self.clock


#: What goes on without its sender.
COMMANDS = {History.tell.__code__, History.send.__code__}


def find(broken, histories, seed=0):
    """Run histories with a rule broken until it is noticed; the answer is (how many, seed, what), or None."""
    for number in range(histories):
        history = History(seed + number, broken)
        try:
            history.run()
        except Broken as error:
            return number + 1, seed + number, str(error)
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Run random histories of the protocol of the MongoDB driver.')
    parser.add_argument('--histories', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=1, help='of the first history; the next ones follow')
    parser.add_argument('--broken', choices=['each', *RULES], help='say when it is noticed that this rule is broken')
    parser.add_argument('--replay', type=int, help='tell the history of this seed')
    options = parser.parse_args(arguments)
    if options.replay is not None:
        history = History(options.replay, options.broken, trace=[])
        try:
            history.run()
        except Broken as error:
            history.say(error)
        print('\n'.join(history.trace))
        return 0
    if options.broken:
        rules = RULES if options.broken == 'each' else [options.broken]
        for rule in rules:
            found = find(rule, options.histories, options.seed)
            said = 'not noticed' if found is None else 'noticed after {} histories, seed {}: {}'.format(*found)
            print(f'{rule:40}{said}')
        return 0
    counts = collections.Counter()
    wrong = collections.Counter(dict.fromkeys(FAULTS, 0))
    began = time.process_time()
    for seed in range(options.seed, options.seed + options.histories):
        history = History(seed)
        try:
            history.run()
        except Broken as error:
            print(f'seed {seed}: {error}')
            wrong[str(error).split(':')[0]] += 1
        counts.update(history.counts)
    for name in COUNTS:
        print(f'{name:26}{counts[name]:12}')
    for name in wrong:
        print(f'{name:26}{wrong[name]:12}')
    print(f'{options.histories / (time.process_time() - began):.0f} histories per second and core')
    return wrong.total() > 0


if __name__ == '__main__':
    sys.exit(main())
