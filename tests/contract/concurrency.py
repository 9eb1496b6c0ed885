"""Many actors on one driver at once, in threads and in processes, and a judge of what they saw.

Time is real here: claims are short and end while others work. Every run draws its own random numbers
and shows their seed if it fails; QUEUESERVICE_TEST_SEED repeats it, as far as the scheduling of threads
can be repeated, and QUEUESERVICE_TEST_SCALE makes the runs that many times longer.
"""

import collections
import functools
import itertools
import multiprocessing
import os
import random
import sys
import threading
import time
import traceback

import msgspec
import testtools.content

from queueservice.model import messages
from queueservice.storage import errors, records, tables
from queueservice.storage import messages as ports
from tests.fixtures import drivers

SCALE = float(os.environ.get('QUEUESERVICE_TEST_SCALE', 1))
#: For how long actors act, in seconds.
SECONDS = 1.2 * SCALE

# What actors did and saw. `start` and `end` are instants on the clock that all processes share; `now` is
# what the actor took for the time.


class Posted(msgspec.Struct):
    start: float
    end: float
    bodies: list[bytes]
    positions: list[int]


class Read(msgspec.Struct):
    start: float
    end: float
    after: int
    reached: int
    found: list[tuple[int, bytes]]


class Leased(msgspec.Struct):
    start: float
    end: float
    claim_id: str
    ends_at: float
    found: list[tuple[int, bytes, int]]  # position, body, claim count


class Renewed(msgspec.Struct):
    start: float
    end: float
    now: float
    claim_id: str
    ends_at: float
    positions: list[int]


class Ended(msgspec.Struct):
    """Deleted or released under a claim."""

    start: float
    end: float
    now: float
    claim_id: str
    positions: list[int]
    deleted: bool


# The actors. Each is called with the driver and returns a list of the above.


class Actor:
    """Does something over and over, with its own random numbers, as long as the others do."""

    def __init__(self, queue, name, seed, seconds, lag):
        self.queue = queue
        self.name = name
        self.pick = random.Random(f'{seed} {name}')
        self.seconds = seconds
        self.lag = lag  # s that this actor's clock is behind

    def now(self):
        return time.time() - self.lag

    def __call__(self, driver):
        self.history = []
        stop_at = time.time() + self.seconds
        while time.time() < stop_at:
            self.act(driver.messages)
        return self.history


class Poster(Actor):
    """Posts small batches; every body is different and can be made again from its first words."""

    pauses = [0, 0.001, 0.003]

    def act(self, store):
        size = self.pick.choice([1, 1, 2, 5, 10])
        bodies = [make_body(f'{self.name}-{len(self.history)}-{number}') for number in range(size)]
        start, now = time.time(), self.now()
        drafts = [messages.Draft(body, expires_at=now + 3600) for body in bodies]
        appended = store.append(self.queue, drafts, now)
        self.history.append(Posted(start, time.time(), bodies, [each.position for each in appended]))
        time.sleep(self.pick.choice(self.pauses))


class SlowPoster(Poster):
    """Leaves claimers so little that they get in each other's way."""

    pauses = [0.01, 0.02, 0.03]


def make_body(words: str) -> bytes:
    """A body that is not confused with another one and shows if it was cut or mixed up."""
    length = sum(words.encode()) % 300
    return f'"{words} {(words * 30)[:length]}"'.encode()


def is_whole(body: bytes) -> bool:
    return body == make_body(body[1:].split(b' ')[0].decode())


class Reader(Actor):
    """Goes from page to page behind the posters."""

    reached = 0

    def act(self, store):
        selection = ports.Selection(
            after=self.reached, limit=self.pick.choice([1, 7, 100]), include_claimed=True, include_delayed=True
        )
        start = time.time()
        page = store.select(self.queue, selection, self.now())
        found = [(message.position, message.body) for message in page.messages]
        self.history.append(Read(start, time.time(), self.reached, page.reached, found))
        self.reached = page.reached
        if not found:
            time.sleep(0.002)


class Sweeper(Actor):
    """Frees what is gone and counts, as housekeeping does."""

    def act(self, store):
        store.sweep(self.now(), 20)
        stats = store.stats(self.queue, self.now())
        assert min(stats.free, stats.claimed, stats.delayed) >= 0, stats
        time.sleep(0.005)


class Claimer(Actor):
    """Claims for a fraction of a second and then deletes, releases, extends, is late or never comes back."""

    def act(self, store):
        start, now = time.time(), self.now()
        claim = messages.Claim(messages.new_id(), 1, now + self.pick.choice([0.02, 0.05, 0.2]))
        claimed = store.claim(self.queue, claim, self.pick.choice([1, 3, 10]), now, keep_until=now + 3600)
        found = [(message.position, message.body, message.claim_count) for message in claimed.messages]
        if not found:
            time.sleep(0.002)
            return
        self.history.append(Leased(start, time.time(), claim.id, claim.ends_at, found))
        positions = [position for position, _, _ in found]
        self.pick.shuffle(positions)
        match self.pick.choice(['delete', 'delete', 'delete some', 'extend', 'release', 'late', 'abandon']):
            case 'delete':
                self.delete(store, claim, positions)
            case 'delete some':
                self.delete(store, claim, positions[:3])
                self.release(store, claim, positions[3:5])
            case 'extend':
                self.extend(store, claim, positions)
                time.sleep(self.pick.choice([0, 0.03]))
                self.delete(store, claim, positions[::2])
            case 'release':
                self.release(store, claim, positions)
            case 'late':
                time.sleep(max(0, claim.ends_at - self.now() + self.pick.choice([-0.01, 0, 0.01])))
                self.pick.choice([self.delete, self.release])(store, claim, positions)

    def delete(self, store, claim, positions):
        start, now = time.time(), self.now()
        answer = store.delete(self.queue, positions, now, claim_ids=[claim.id], unclaimed=False)
        self.history.append(Ended(start, time.time(), now, claim.id, answer.positions, True))

    def release(self, store, claim, positions):
        for position in positions:  # one by one: of several it is only known how many were released
            start, now = time.time(), self.now()
            if store.renew(self.queue, claim.id, [messages.Change((position,))], now):
                self.history.append(Ended(start, time.time(), now, claim.id, [position], False))

    def extend(self, store, claim, positions):
        for position in positions:
            start, now = time.time(), self.now()
            change = messages.Change((position,), ends_at=now + 0.05, ttl=1)
            if store.renew(self.queue, claim.id, [change], now):
                self.history.append(Renewed(start, time.time(), now, claim.id, change.ends_at, [position]))


# How they are set to work


def in_threads(driver, actors):
    """Let all act at once; what each returned, or the first exception of any."""
    answers, failures = [None] * len(actors), []
    begin = threading.Barrier(len(actors))

    def run(index, actor):
        try:
            begin.wait()
            answers[index] = actor(driver)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=numbered) for numbered in enumerate(actors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return answers


def in_processes(driver, actors, processes=4):
    """Deal the actors out to forked children, where each has a thread of its own."""
    fork = multiprocessing.get_context('fork')
    children = []
    for number in range(processes):
        here, there = fork.Pipe(duplex=False)
        child = fork.Process(target=_work, args=(driver, actors[number::processes], there))
        child.start()
        there.close()
        children.append((child, here))
    answers = []
    for child, here in children:
        try:
            answers.append(here.recv())
        except EOFError:
            answers.append(['the child ended without an answer'])
        child.join()
    for failure in itertools.chain(*answers):
        if isinstance(failure, str):
            raise AssertionError(failure)
    dealt = [None] * len(actors)
    for number in range(processes):
        dealt[number::processes] = answers[number]
    return dealt


def _work(driver, actors, pipe):
    try:
        answers = in_threads(driver, actors) if actors else []
        driver.close()
        pipe.send(answers)
    except BaseException:
        pipe.send([traceback.format_exc()])


# How what they saw is judged


class Judge:
    """Knows the whole history of one queue. Each check raises AssertionError with the facts."""

    def __init__(self, histories, left: list[tuple[int, bytes]]):
        self.histories = histories
        events = list(itertools.chain(*histories))
        self.posts = sorted((event for event in events if isinstance(event, Posted)), key=lambda event: event.start)
        self.leases = [event for event in events if isinstance(event, Leased)]
        self.renewals = [event for event in events if isinstance(event, Renewed)]
        self.endings = [event for event in events if isinstance(event, Ended)]
        self.left = dict(left)  # position -> body of what was there in the end
        self.posted = {
            position: body for post in self.posts for position, body in zip(post.positions, post.bodies, strict=True)
        }

    def check_posts(self):
        """Batches are in order, and what was acknowledged before another began stands in front of it."""
        assert len(self.posted) == sum(len(post.positions) for post in self.posts), 'a position was given twice'
        acknowledged = sorted(self.posts, key=lambda post: post.end)
        highest, done = 0, 0
        for post in self.posts:
            assert post.positions == sorted(set(post.positions)), f'a batch out of order: {post}'
            while acknowledged[done].end < post.start:
                highest = max(highest, *acknowledged[done].positions)
                done += 1
            assert post.positions[0] > highest, f'{post} is not behind {highest}, which was acknowledged before'

    def check_nothing_lost_or_altered(self):
        deleted = collections.Counter(
            position for ending in self.endings if ending.deleted for position in ending.positions
        )
        assert all(count == 1 for count in deleted.values()), f'deleted twice: {deleted}'
        assert not set(deleted) & set(self.left), 'a deleted message is there again'
        missing = set(self.posted) - set(deleted) - set(self.left)
        assert not missing, f'{len(missing)} acknowledged messages are lost: {sorted(missing)[:10]}'
        strange = set(self.left) - set(self.posted)
        assert not strange, f'{len(strange)} messages that nobody posted: {sorted(strange)[:10]}'
        seen = [(position, body) for lease in self.leases for position, body, _ in lease.found]
        for position, body in [*self.left.items(), *seen, *self._read()]:
            assert is_whole(body), f'altered: {body}'
            assert self.posted[position] == body, f'{body} stands where {self.posted[position]} was posted'

    def _read(self):
        return [
            found for history in self.histories for event in history if isinstance(event, Read) for found in event.found
        ]

    def check_readers(self):
        """Nothing becomes visible in front of a place that a reader was given to go on from."""
        later = {}  # position -> the latest start of a call that still found the message
        for lease in self.leases:
            for position, _, _ in lease.found:
                later[position] = max(later.get(position, 0), lease.start)
        for position in self.left:
            later[position] = float('inf')
        known = sorted(later)
        for history in self.histories:
            pages = [event for event in history if isinstance(event, Read)]
            for page in pages:
                found = [position for position, _ in page.found]
                assert found == sorted(set(found)), f'a page out of order: {page}'
                assert not found or page.after < found[0] <= found[-1] <= page.reached, (
                    f'a page out of its range: {page}'
                )
            if not pages:
                continue
            seen = {position for page in pages for position, _ in page.found}
            assert len(seen) == sum(len(page.found) for page in pages), 'a message was read twice'
            passed = iter(pages)
            page = next(passed)
            for position in known:
                while page is not None and page.reached < position:
                    page = next(passed, None)
                if page is None:
                    break
                skipped = position not in seen and later[position] > page.end
                assert not skipped, f'{position} was skipped by {page} and found afterwards'

    def check_claims(self):
        """No message is in two live claims; nothing is done under a claim that does not hold it any more."""
        ends = {}  # (claim id, position) -> when the claim ended at the latest
        holders = collections.defaultdict(list)  # position -> leases in the order of their counts
        for lease in self.leases:
            for position, _, count in lease.found:
                holders[position].append((count, lease))
                ends[lease.claim_id, position] = lease.ends_at
        for renewal in sorted(self.renewals, key=lambda renewal: renewal.start):
            for position in renewal.positions:
                assert renewal.now < ends[renewal.claim_id, position], f'an ended claim was renewed: {renewal}'
                ends[renewal.claim_id, position] = renewal.ends_at
        given_back = {}  # (claim id, position) -> when it was begun to be deleted or released
        gone = {}  # position -> when its deletion was acknowledged
        for ending in self.endings:
            for position in ending.positions:
                assert ending.now < ends[ending.claim_id, position], f'an ended claim let go: {ending}'
                given_back[ending.claim_id, position] = ending.start
                if ending.deleted:
                    gone[position] = ending.end
        touched = collections.defaultdict(
            float
        )  # (claim id, position) -> when something was last begun under the claim
        for event in (*self.renewals, *self.endings):
            for position in event.positions:
                touched[event.claim_id, position] = max(touched[event.claim_id, position], event.start)
        for position, found in holders.items():
            found.sort(key=lambda numbered: numbered[0])
            counts = [count for count, _ in found]
            assert counts == sorted(set(counts)), f'claim counts of {position}: {counts}'
            leases = [lease for _, lease in found]
            for lease in leases:
                assert lease.start <= gone.get(position, lease.start), f'{position} was claimed after it was deleted'
            for first, second in itertools.pairwise(leases):
                free_at = min(ends[first.claim_id, position], given_back.get((first.claim_id, position), float('inf')))
                assert second.end >= free_at, f'{position} in two claims: {first} and {second}'
                late = touched[first.claim_id, position] > second.end
                assert not late, f'{first} still acted on {position} after {second}'


class _Contract:
    #: How many messages are very many for a driver.
    MANY = 6000
    #: How much less often than others it is asked the same again, because it is slow.
    SHARE = 1.0

    def at_once(self, driver, actors):
        """Let the actors act at once; what each returned."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.seed = os.environ.get('QUEUESERVICE_TEST_SEED') or str(random.randrange(10**9))
        self.addDetail('QUEUESERVICE_TEST_SEED', testtools.content.text_content(self.seed))
        self.driver = self.make_driver()
        self.addCleanup(self.driver.close)
        self.queue = drivers.make_queue(self.driver, created_at=time.time())

    def turns(self, count):
        return int(count * self.SHARE * SCALE)

    def act(self, *actors):
        """What the actors return after acting at once."""
        return self.at_once(self.driver, actors)

    def make(self, kind, count, seconds=SECONDS, lag=0):
        """Actors with clocks that are behind: the first by nothing, the last by `lag`."""
        return [
            kind(self.queue, f'{kind.__name__.lower()}{number}', self.seed, seconds, lag * number / max(1, count - 1))
            for number in range(count)
        ]

    def everything(self, after=0):
        """What is there, behind `after`, in whatever state: positions and bodies."""
        found = []
        while True:
            selection = ports.Selection(after=after, limit=1000, include_claimed=True, include_delayed=True)
            page = self.driver.messages.select(self.queue, selection, time.time())
            if page.reached == after:
                return found
            found += [(message.position, message.body) for message in page.messages]
            after = page.reached

    def judge(self, histories):
        left = self.everything()
        self.assertEqual(len(left), self.driver.messages.stats(self.queue, time.time()).total)
        return Judge(histories, left)

    def test_readers_that_follow_posters_miss_nothing(self):
        histories = self.act(*self.make(Poster, 4), *self.make(Reader, 4))

        judge = self.judge(histories)
        judge.check_posts()
        judge.check_nothing_lost_or_altered()
        judge.check_readers()
        # Going on from where each reader came to shows the rest and nothing else.
        for history in histories[4:]:
            seen = [found for page in history for found in page.found]
            self.assertEqual(judge.left, dict(seen + self.everything(history[-1].reached)))

    def test_claims_exclude_each_other_and_lose_nothing(self):
        histories = self.act(
            *self.make(SlowPoster, 2), *self.make(Claimer, 6), *self.make(Reader, 1), *self.make(Sweeper, 1)
        )

        judge = self.judge(histories)
        judge.check_posts()
        judge.check_nothing_lost_or_altered()
        judge.check_readers()
        judge.check_claims()

    def test_actors_whose_clocks_differ_by_less_than_a_second_lose_nothing_and_share_no_claims(self):
        seconds, lag = SECONDS / 2, 0.9
        histories = self.act(
            *self.make(SlowPoster, 2, seconds, lag),
            *self.make(Claimer, 6, seconds, lag),
            *self.make(Reader, 2, seconds, lag),
            *self.make(Sweeper, 2, seconds, lag),
        )

        judge = self.judge(histories)
        judge.check_posts()
        judge.check_nothing_lost_or_altered()
        judge.check_readers()
        judge.check_claims()

    def test_one_of_many_replacements_of_a_revision_wins(self):
        turns = self.turns(60)

        def count_up(driver):
            wins = []
            for _ in range(turns):
                [record] = driver.records.find(tables.QUEUES, records.Query(limit=1)).records
                [answer] = driver.records.replace(tables.QUEUES, [{**record, 'created_at': record['created_at'] + 1}])
                if not isinstance(answer, errors.Stale):
                    wins.append(answer['revision'])
            return wins

        wins = sorted(itertools.chain(*self.act(*[count_up] * 6)))

        self.assertEqual(list(range(2, 2 + len(wins))), wins)
        [record] = self.driver.records.find(tables.QUEUES, records.Query(limit=1)).records
        self.assertEqual(wins[-1], record['revision'])
        self.assertEqual(self.queue.created_at + len(wins), record['created_at'])

    def test_one_of_many_insertions_of_a_name_wins(self):
        turns = self.turns(40)

        def insert(driver):
            won = []
            for number in range(turns):
                record = {
                    'id': messages.new_id(),
                    'namespace': 'project',
                    'project': 'project-1',
                    'name': f'name-{number}',
                    'metadata': b'{}',
                    'facets': [],
                    'created_at': 0.0,
                    'subscribers': [],
                }
                [answer] = driver.records.insert(tables.QUEUES, [record])
                if not isinstance(answer, errors.Duplicate):
                    won.append(number)
            return won

        won = sorted(itertools.chain(*self.act(*[insert] * 6)))

        self.assertEqual(list(range(turns)), won)

    def test_a_keyed_message_that_many_post_at_once_is_stored_once(self):
        turns = self.turns(20)

        def post(driver):
            positions = []
            for turn in range(turns):
                now = time.time()
                drafts = [
                    messages.Draft(
                        make_body(f'{turn}-{number}'),
                        expires_at=now + 3600,
                        key=f'{turn}-{number}',
                        key_until=now + 3600,
                        key_digest=b'same',
                    )
                    for number in range(3)
                ]
                positions += [each.position for each in driver.messages.append(self.queue, drafts, now)]
            return positions

        answers = self.act(*[post] * 6)

        left = dict(self.everything())
        self.assertEqual(turns * 3, len(left))
        self.assertEqual([list(left)] * 6, answers)

    def test_what_many_take_at_once_is_taken_once(self):
        posted = self.fill(int(200 * SCALE))

        def take(driver):
            taken = []
            while True:
                claim = messages.Claim(messages.new_id(), 60, time.time() + 60)
                found = driver.messages.claim(self.queue, claim, 3, time.time(), keep_until=0, take=True).messages
                if not found:
                    return taken
                taken += [message.position for message in found]

        taken = self.act(*[take] * 6)

        self.assertEqual(posted, sorted(itertools.chain(*taken)))
        for positions in taken:
            self.assertEqual(sorted(positions), positions)
        self.assertEqual([], self.everything())

    def fill(self, count):
        now = time.time()
        drafts = [messages.Draft(b'1', expires_at=now + 3600)] * count
        return [appended.position for appended in self.driver.messages.append(self.queue, drafts, now)]

    def test_no_more_is_in_flight_than_may_be(self):
        posted = self.fill(100)

        def claim(driver):
            claim = messages.Claim(messages.new_id(), 60, time.time() + 60)
            claimed = driver.messages.claim(self.queue, claim, 4, time.time(), keep_until=0, in_flight=10)
            return [message.position for message in claimed.messages]

        leased = self.act(*[claim] * 8)

        self.assertEqual(posted[:10], sorted(itertools.chain(*leased)))

    def test_very_many_messages_whose_claims_lapse_at_once_are_claimed_once_each(self):
        posted = self.fill(self.MANY)
        start = time.time()
        for number in range(6):
            claim = messages.Claim(messages.new_id(), 1, start + 0.1 + number / 20)
            self.driver.messages.claim(self.queue, claim, self.MANY // 6, start, keep_until=0)

        def claim(driver):
            claimed = []
            while True:
                now = time.time()
                claim = messages.Claim(messages.new_id(), 60, now + 60)
                found = driver.messages.claim(self.queue, claim, 50, now, keep_until=0).messages
                claimed += [(message.position, message.claim_count) for message in found]
                if not found and now > start + 0.4:  # all have lapsed
                    return claimed
                time.sleep(0 if found else 0.005)

        def count(driver):
            totals, stop_at = set(), time.time() + 0.5
            while time.time() < stop_at:
                totals.add(driver.messages.stats(self.queue, time.time()).total)
            return totals

        [totals, *claimed] = self.act(count, *[claim] * 4)

        self.assertEqual({self.MANY}, totals)
        self.assertEqual([(position, 2) for position in posted], sorted(itertools.chain(*claimed)))
        self.assertEqual(self.MANY, self.driver.messages.stats(self.queue, time.time()).claimed)

    def test_what_is_derived_is_stored_once_with_its_cause(self):
        outbox = drivers.make_queue(self.driver, 'outbox')
        turns = self.turns(40)

        def post(name, driver):
            now = time.time()
            for turn in range(turns):
                drafts = [
                    messages.Draft(b'1', expires_at=now + 3600, key=f'{turn}', key_until=now + 3600),  # all post it
                    messages.Draft(b'1', expires_at=now + 3600, key=f'{turn} {name}', key_until=now + 3600),
                ]
                driver.messages.append(
                    self.queue,
                    drafts,
                    now,
                    derive=lambda stored: [
                        (outbox, [messages.Draft(b'%d' % each.position, expires_at=now + 3600) for each in stored])
                    ],
                )
            return []

        self.act(*(functools.partial(post, name) for name in 'abcd'))

        stored = [position for position, _ in self.everything()]
        selection = ports.Selection(limit=100_000)
        derived = self.driver.messages.select(outbox, selection, time.time()).messages
        self.assertEqual(turns * 5, len(stored))
        self.assertEqual(stored, sorted(int(message.body) for message in derived))

    def test_a_post_by_an_old_revision_leaves_no_trace(self):
        turns = self.turns(40)

        def change(driver):
            for _ in range(turns):
                drivers.change_queue(driver, self.queue)
                time.sleep(0.002)
            return []

        def post(name, driver):
            acknowledged, queue = [], self.queue
            for turn in range(turns * 3):
                now = time.time()
                body = make_body(f'{name}-{turn}')
                try:
                    driver.messages.append(queue, [messages.Draft(body, expires_at=now + 3600)], now)
                    acknowledged.append(body)
                except errors.Stale:
                    found = driver.records.find(tables.QUEUES, records.Query(limit=1)).records
                    queue = msgspec.structs.replace(queue, revision=found[0]['revision'])
            return acknowledged

        [_, *acknowledged] = self.act(change, *(functools.partial(post, name) for name in 'abcd'))

        stored = [body for _, body in self.everything()]
        self.assertEqual(sorted(itertools.chain(*acknowledged)), sorted(stored))

    def test_a_post_stands_before_a_clear_or_behind_it(self):
        seconds = 0.4 * SCALE

        def clear(driver):
            times, stop_at = [], time.time() + seconds - 0.05
            while time.time() < stop_at:
                time.sleep(0.003)
                start = time.time()
                driver.messages.clear(self.queue, start)
                times.append((start, time.time()))
            return times

        [clears, *histories] = self.act(clear, *self.make(Poster, 3, seconds))

        judge = self.judge(histories)
        judge.check_posts()
        last_start, last_end = clears[-1]
        for post in judge.posts:
            if post.end < last_start:
                self.assertFalse(set(post.positions) & set(judge.left), 'a message outlived a clear')
            if post.start > last_end:
                self.assertTrue(set(post.positions) <= set(judge.left), 'a clear took what was posted later')


class ThreadsContract(_Contract):
    """Mix it into a `testtools.TestCase` that says how to make a prepared, empty driver."""

    def at_once(self, driver, actors):
        """Let them take turns as often as can be."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            return in_threads(driver, actors)
        finally:
            sys.setswitchinterval(interval)

    def test_a_thread_that_computes_does_not_stop_the_posters(self):
        stop = threading.Event()

        def compute(driver):
            number = 0
            while not stop.is_set():
                number += 1
            return []

        def post(name, driver):
            done, stop_at = 0, time.time() + 1
            while time.time() < stop_at:
                now = time.time()
                driver.messages.append(self.queue, [messages.Draft(b'1', expires_at=now + 3600)], now)
                done += 1
            return done

        def post_and_stop(driver):
            done = in_threads(driver, [functools.partial(post, name) for name in 'abcd'])
            stop.set()
            return done

        [_, done] = in_threads(self.driver, [compute, post_and_stop])

        self.assertGreaterEqual(min(done), 5, done)


class ProcessesContract(_Contract):
    """The same in several processes, for drivers that may be shared by them."""

    def at_once(self, driver, actors):
        return in_processes(driver, actors)

    def test_a_child_uses_the_driver_of_its_parent_and_leaves_it_in_order(self):
        histories = in_threads(self.driver, self.make(Poster, 2, 0.1))
        histories += self.act(*self.make(Poster, 4, 0.1))
        histories += in_threads(self.driver, self.make(Poster, 2, 0.1))

        judge = self.judge(histories)
        judge.check_posts()
        judge.check_nothing_lost_or_altered()
