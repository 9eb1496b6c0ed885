"""What is particular to the memory driver: how it uses memory, its slices, its chunks, its one process."""

import os
import threading
import tracemalloc

import hypothesis
import testtools

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.memory import messages as memory
from queueservice.storage.drivers.memory import records as memory_records
from tests.contract import machine, message_store, record_store
from tests.fixtures import clock, drivers

MINUTE = 60
HOUR = 3600
#: How many random histories, where there is no other word: a part of those in `test_memory`.
EXAMPLES = int(os.environ.get('HYPOTHESIS_MAX_EXAMPLES', 30))


class MemoryTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = drivers.build_memory()
        self.addCleanup(self.driver.close)
        self.store = self.driver.messages
        self.queue = drivers.make_queue(self.driver)

    def post(self, count=1, ttl=HOUR, delay=0, queue=None, **fields):
        now = self.clock()
        drafts = [
            messages.Draft(b'1', now + ttl, available_at=now + delay if delay else 0, **fields) for _ in range(count)
        ]
        return [appended.position for appended in self.store.append(queue or self.queue, drafts, now)]

    def claim(self, limit=10, ttl=MINUTE, **options):
        claim = messages.Claim(messages.new_id(), ttl, self.clock() + ttl)
        return self.store.claim(self.queue, claim, limit, self.clock(), keep_until=0, **options)

    def listed(self, limit=10, **selection):
        page = self.store.select(self.queue, ports.Selection(limit=limit, **selection), self.clock())
        return _positions(page.messages)


def _positions(found):
    return [message.position for message in found]


class TinyParts:
    """The contract again, with parts so small that every test crosses their borders."""

    def setUp(self):
        for name, value in {
            'BITS': 1,
            'CHUNK': 2,
            'MASK': 1,
            'SLICE': 2,
            'STRETCH': 1,
            'PASSES': 1,
            'LOOKS': 1,
            'CLIENTS': 1,
        }.items():
            self.patch(memory, name, value)
        self.patch(memory_records, 'FIRST_SLICE', 1)
        self.patch(memory_records, 'SLICE', 2)
        self.patch(machine, 'SETTINGS', hypothesis.settings(machine.SETTINGS, max_examples=EXAMPLES))
        super().setUp()

    def make_driver(self):
        return drivers.build_memory()


class TinyMessageStoreTest(TinyParts, message_store.MessageStoreContract, testtools.TestCase):
    pass


class TinyRecordStoreTest(TinyParts, record_store.RecordStoreContract, testtools.TestCase):
    pass


class TinyMachineTest(TinyParts, machine.MachineContract, testtools.TestCase):
    pass


class SpaceTest(MemoryTest):
    #: What a message may take beside its body.
    BYTES = 250

    def _measure(self, batch=1, count=20_000, **fields):
        """Bytes for each message posted beside the bodies, as long as it stays."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        size = 0
        for number in range(count // batch):
            self.clock.advance(1 / 1024)
            now = self.clock()
            drafts = []
            for place in range(batch):
                given = {name: value(number) if callable(value) else value for name, value in fields.items()}
                drafts.append(
                    messages.Draft(
                        b'%0200d' % (number * batch + place),
                        now + given.get('ttl', HOUR),
                        available_at=now + given['delay'] if 'delay' in given else 0,
                        client=b'client-%029d' % (number % 3),
                    )
                )
                size += len(drafts[-1].body)
            self.store.append(self.queue, drafts, now)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return (after - before - size) / count

    def test_messages_that_are_posted_one_by_one_take_little_beside_their_bodies(self):
        self.assertLess(self._measure(), self.BYTES)

    def test_messages_that_are_posted_together_take_less(self):
        self.assertLess(self._measure(batch=10), self.BYTES - 50)

    def test_messages_whose_deadlines_all_differ_take_little_beside_their_bodies(self):
        mixed = self._measure(ttl=lambda number: 60 + number * 7919 % 1_209_600, delay=lambda number: number % 900)

        self.assertLess(mixed, self.BYTES)

    def test_a_queue_that_goes_on_for_ever_behind_one_old_message_takes_no_more(self):
        self.post(ttl=14 * 24 * HOUR)
        sizes = []
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(3):
            for _ in range(200):
                self.post(50)
                self.claim(50, take=True)
                self.clock.advance(1)
            sizes.append(tracemalloc.get_traced_memory()[0])

        self.assertLess(sizes[2] - sizes[0], 20_000)

    def test_what_was_cleared_is_freed_by_sweeps_and_not_at_once(self):
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        empty, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            self.post(200)
        full, _ = tracemalloc.get_traced_memory()

        self.store.clear(self.queue, self.clock())
        cleared, _ = tracemalloc.get_traced_memory()
        swept = 0
        while (step := self.store.sweep(self.clock(), 500)) >= 500:
            self.assertLess(step, 1000)
            swept += step

        self.assertGreater(cleared, full - 10_000)
        self.assertGreaterEqual(swept + step, 10_000)
        self.assertLess(tracemalloc.get_traced_memory()[0] - empty, 50_000)

    def test_sweeps_free_the_messages_of_deleted_queues(self):
        other = drivers.make_queue(self.driver, 'other')
        self.post(1000, queue=other)
        drivers.delete_queue(self.driver, other)

        self.assertGreaterEqual(self.store.sweep(self.clock(), 10_000), 1000)
        self.assertEqual(0, self.store.sweep(self.clock(), 10_000))


class CountingLock:
    """A lock that counts how often it is taken."""

    def __init__(self):
        self.taken = 0
        self._lock = threading.Lock()

    def __enter__(self):
        self.taken += 1
        self._lock.acquire()

    def __exit__(self, *error):
        self._lock.release()


class SlicesTest(MemoryTest):
    """However much is due or in the way, the lock is let go of again and again, and the answer is exact."""

    def setUp(self):
        super().setUp()
        self.store.lock = self.lock = CountingLock()

    def _assert_sliced(self, call, slots):
        self.lock.taken = 0
        answer = call()
        self.assertGreaterEqual(self.lock.taken, slots // (2 * memory.SLICE))
        return answer

    def _assert_at_once(self, call):
        self.lock.taken = 0
        answer = call()
        self.assertEqual(1, self.lock.taken)
        return answer

    def test_verbs_that_find_very_much_expired(self):
        for verb, expected in (
            (lambda: self.listed(limit=3), lambda kept: kept),
            (lambda: _positions(self.claim(3).messages), lambda kept: kept),
            (lambda: self.store.stats(self.queue, self.clock()).free, len),
        ):
            self.post(20_000, ttl=10)
            kept = self.post(3)
            self.clock.advance(10)

            self.assertEqual(expected(kept), self._assert_sliced(verb, 20_000))
            self._assert_at_once(verb)
            self.store.clear(self.queue, self.clock())

    def test_verbs_that_find_very_many_delays_and_claims_over(self):
        for verb, expected in (
            (lambda: self.listed(limit=3), lambda positions: positions[:3]),
            (lambda: _positions(self.claim(3).messages), lambda positions: positions[:3]),
            (lambda: self.store.stats(self.queue, self.clock()).free, len),
        ):
            positions = self.post(10_000, delay=10) + self.post(10_000)
            self.claim(10_000, ttl=10)
            self.clock.advance(10)

            self.assertEqual(expected(positions), self._assert_sliced(verb, 20_000))
            self._assert_at_once(verb)
            self.store.clear(self.queue, self.clock())

    def test_a_claim_that_passes_over_very_many_delayed_messages(self):
        self.patch(memory, 'PASSES', 100)
        self.post(20_000, delay=MINUTE)
        [free] = self.post()

        claimed = self._assert_sliced(lambda: self.claim(1), 20_000)

        self.assertEqual([free], _positions(claimed.messages))
        self.post()
        self._assert_at_once(lambda: self.claim(1))

    def test_a_claim_that_passes_over_very_many_dead_messages(self):
        self.patch(memory, 'PASSES', 100)
        poison = self.post(20_000, claim_count=5)
        good = self.post(5)

        claimed = self._assert_sliced(lambda: self.claim(5, max_claims=5), 20_000)

        self.assertEqual((good, poison[:20]), (_positions(claimed.messages), _positions(claimed.dead)))
        # They are remembered as worn until one of them comes back.
        good = self.post(5)
        claimed = self._assert_at_once(lambda: self.claim(5, max_claims=5))
        self.assertEqual((good, poison[20:40]), (_positions(claimed.messages), _positions(claimed.dead)))
        claimed = self.claim(10, max_claims=6)
        self.assertEqual(poison[40:50], _positions(claimed.messages))

    def test_good_messages_among_very_many_dead_ones(self):
        self.patch(memory, 'PASSES', 100)
        good = [self.post(400, claim_count=5) and self.post()[0] for _ in range(50)]
        claim = messages.Claim(messages.new_id(), MINUTE, self.clock() + MINUTE)
        self.store.claim(self.queue, claim, 100_000, self.clock(), keep_until=0)
        self.store.renew(self.queue, claim.id, (messages.Change(),), self.clock())

        claimed = self.claim(40, max_claims=5)

        self.assertEqual((good[:40], 20), (_positions(claimed.messages), len(claimed.dead)))
        self.assertEqual(good[40:], _positions(self.claim(40, max_claims=5).messages))

    def test_lists_jump_over_what_is_claimed(self):
        self.patch(ports, 'SCAN_BUDGET', 10)
        positions = self.post(5000)
        self.claim(4990)

        page = self.store.select(self.queue, ports.Selection(), self.clock())

        self.assertEqual((positions[4990:], positions[-1]), (_positions(page.messages), page.reached))


class StepTest(MemoryTest):
    def test_a_derivation_that_fails_leaves_nothing_behind(self):
        drafts = [messages.Draft(b'1', self.clock() + HOUR, key='a', key_until=self.clock() + HOUR)]

        def derive(stored):
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.store.append, self.queue, drafts, self.clock(), derive=derive)

        self.assertEqual([], self.listed(include_claimed=True, include_delayed=True))
        [appended] = self.store.append(self.queue, drafts, self.clock())
        self.assertEqual(ports.Appended(1, repeated=False), appended)

    def test_messages_can_be_derived_for_the_queue_itself(self):
        draft = messages.Draft(b'1', self.clock() + HOUR)
        derived = messages.Draft(b'2', self.clock() + HOUR)

        answers = self.store.append(self.queue, [draft], self.clock(), derive=lambda stored: [(self.queue, [derived])])

        self.assertEqual([ports.Appended(1)], answers)
        self.assertEqual([1, 2], self.listed())


class ProcessTest(testtools.TestCase):
    """The store belongs to the process that uses it."""

    def setUp(self):
        super().setUp()
        self.driver = drivers.build_memory()
        self.addCleanup(self.driver.close)

    def _in_child(self, call):
        """What `call` answers in a forked process, as text; None if it raised Unavailable."""
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writable, str(call()).encode())
            except errors.Unavailable:
                os.write(writable, b'unavailable')
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writable)
        with open(readable, 'rb') as answer:
            return answer.read().decode()

    def test_a_child_does_not_work_on_a_copy(self):
        queue = drivers.make_queue(self.driver)
        store = self.driver.messages
        draft = messages.Draft(b'1', 2_000_000_000.0)
        claim = messages.Claim(messages.new_id(), MINUTE, 1_700_000_060.0)
        store.append(queue, [draft], 1_700_000_000.0)

        for call in (
            lambda: store.append(queue, [draft], 1_700_000_000.0),
            lambda: store.select(queue, ports.Selection(), 1_700_000_000.0),
            lambda: store.select(queue, ports.Selection(positions=(1,)), 1_700_000_000.0),
            lambda: store.claim(queue, claim, 1, 1_700_000_000.0, keep_until=0),
            lambda: store.renew(queue, claim.id, (messages.Change(),), 1_700_000_000.0),
            lambda: store.delete(queue, (1,), 1_700_000_000.0),
            lambda: store.clear(queue, 1_700_000_000.0),
            lambda: store.stats(queue, 1_700_000_000.0),
            lambda: store.usage('project', 'project-1', 1_700_000_000.0),
            lambda: store.sweep(1_700_000_000.0, 10),
            lambda: drivers.make_queue(self.driver, 'other'),
            lambda: drivers.change_queue(self.driver, queue),
            lambda: drivers.delete_queue(self.driver, queue),
            self.driver.ping,
            self.driver.prepare,
        ):
            self.assertEqual('unavailable', self._in_child(call))
        self.assertEqual(1, store.stats(queue, 1_700_000_000.0).free)

    def test_the_refusal_says_what_to_do(self):
        drivers.make_queue(self.driver)

        def ping():
            try:
                self.driver.ping()
            except errors.Unavailable as error:
                return error

        self.assertIn('[storage] driver', self._in_child(ping))

    def test_a_driver_that_was_not_used_may_be_used_by_a_child(self):
        self.driver.ping()

        with self.driver.messages.lock, self.driver.records.lock:
            queue_id = self._in_child(lambda: drivers.make_queue(self.driver).id)

        self.assertEqual(24, len(queue_id))

    def test_a_closed_driver_refuses(self):
        queue = drivers.make_queue(self.driver)
        self.driver.close()
        self.driver.close()

        self.assertRaises(errors.Unavailable, self.driver.ping)
        self.assertRaises(errors.Unavailable, self.driver.messages.stats, queue, 0.0)
        self.assertRaises(errors.Unavailable, drivers.make_queue, self.driver, 'other')

    def test_one_process_only_and_it_says_so(self):
        self.assertFalse(self.driver.shared)
        self.assertIn('memory', self.driver.location)
