"""The loop of a worker, in threads, on the memory driver."""

import collections
import threading
import time

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.delivery import base, identities
from queueservice.model import deliveries, messages, queues
from queueservice.services import sequences
from queueservice.storage import messages as store
from queueservice.worker import loop
from tests.fixtures import drivers, faulty, subscribers

#: Those that use the store while there is nothing to do: beside these a taker, a scheduler and a stepper.
THREADS = loop.DISPATCHERS + loop.INQUIRERS + 3
NAMES = 5
KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')


class TestWorker(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.driver = faulty.Driver()
        self.arrived = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.sender = subscribers.Sender(self.answer)
        settings = bootstrap.Settings(delivery=deliveries.Rules(timeout=1))
        self.services = bootstrap.build_services(self.driver, settings, senders={'http': self.sender})
        self.services.queues.create(KEY, {})
        self.subscription = subscribers.subscribe(self.services, KEY, time.time())
        self.worker = bootstrap.build_worker(self.services)
        self.addCleanup(self.worker.stop)
        self.addCleanup(self.go_on.set)

    def answer(self, push):
        self.arrived.release()
        self.go_on.wait(30)
        return base.Result(ok=True, status=200)

    def post(self, *bodies):
        posted = [messages.Posted(msgspec.Raw(body), 300) for body in bodies]
        self.services.messages.post(KEY, posted, b'', size=10)

    def assert_arrives(self):
        self.assertTrue(self.arrived.acquire(timeout=30))

    def test_what_is_posted_is_delivered(self):
        self.worker.start()
        for _ in range(3):
            self.post(b'1')
            self.assert_arrives()
        self.assertTrue(self.worker.is_alive())

    def test_it_outlives_an_outage_of_the_store(self):
        self.worker.start()
        self.driver.fail()
        self.assertTrue(_wait_for(lambda: len(self.driver.calls) > 5))
        self.driver.heal()
        self.post(b'1')
        self.assert_arrives()

    def test_an_outage_is_told_once_in_a_while_and_keeps_nobody_busy(self):
        with self.assertLogs('queueservice.worker.loop', 'WARNING') as logs:
            self.worker.start()
            self.driver.fail()
            time.sleep(1)
            self.driver.calls.clear()
            time.sleep(1)
            looks = len(self.driver.calls)
            self.driver.heal()
            self.post(b'1')
            began = time.monotonic()
            self.assert_arrives()
        self.assertLess(time.monotonic() - began, 4)
        self.assertLessEqual(looks, 2 * THREADS)
        told = [record for record in logs.records if 'storage' in record.getMessage()]
        self.assertLessEqual(len(told), NAMES)
        self.assertTrue(told)

    def test_it_outlives_what_nobody_expects(self):
        healthy = self.services.notifications.dispatch
        has_failed = threading.Event()

        def dispatch(shard, now):
            self.services.notifications.dispatch = healthy
            has_failed.set()
            raise ZeroDivisionError

        self.services.notifications.dispatch = dispatch
        self.worker.start()
        self.assertTrue(has_failed.wait(30))
        self.post(b'1')
        self.assert_arrives()
        self.assertTrue(self.worker.is_alive())

    def test_it_hands_back_what_it_holds_when_it_stops(self):
        self.go_on.clear()
        self.post(b'1', b'2', b'3')
        self.worker.start()
        self.assert_arrives()
        threading.Timer(0.1, self.go_on.set).start()
        self.assertTrue(self.worker.stop())
        self.assertEqual(1, len(self.sender.pushes))
        queue = self.services.queues.find(deliveries.lane_key('project-1', self.subscription.id))
        page = self.driver.messages.select(queue, store.Selection(), time.time())
        self.assertEqual([b'', b''], [message.state for message in page.messages])
        self.assertIsNone(self.services.lanes.find([self.subscription.id])[self.subscription.id].leased_by)

    def test_an_attempt_that_does_not_end_does_not_keep_it(self):
        self.go_on.clear()
        self.worker.grace = 0.1
        self.post(b'1')
        self.worker.start()
        self.assert_arrives()
        self.assertFalse(self.worker.stop())

    def test_it_knows_that_a_thread_has_died(self):
        def die(shard, now):
            raise SystemExit

        self.services.notifications.dispatch = die
        self.worker.start()
        self.assertTrue(_wait_for(lambda: not self.worker.is_alive()))

    def test_idle_looks_become_rarer(self):
        self.worker.start()
        time.sleep(0.2)
        self.driver.calls.clear()
        time.sleep(0.2)
        looks = self.driver.calls.count('records.find') // (deliveries.OUTBOXES + len(sequences.LOOK_UPS))
        self.assertLessEqual(looks, 0.2 / loop.LEAST_PAUSE)

    def test_idle_looks_are_rarest_where_nobody_waits_for_half_a_second(self):
        self.worker._is_stopping = pauses = Pauses()
        self.worker.start()
        self.assertTrue(_wait_for(lambda: min(map(len, list(pauses.taken.values())), default=0) > 100))
        longest = {name: max(taken) for name, taken in pauses.taken.items()}
        self.assertLess(longest['dispatcher'], 0.7)
        self.assertGreater(longest['inquirer'], 1.4)


class Pauses(threading.Event):
    """Is waited for in no time, and knows for how long it was to be, by the names of threads."""

    def __init__(self):
        super().__init__()
        self.taken = collections.defaultdict(list)

    def wait(self, timeout=None):
        self.taken[threading.current_thread().name].append(timeout)
        return super().wait(0.001)


class Store:
    """Knows the address of everybody, but for some says it only when it is told to."""

    def __init__(self):
        self.go_on = threading.Event()

    def find(self, identity, now):
        if identity == 'slow':
            self.go_on.wait(30)
        return identities.Found('+1', None, '', None)


class TestInquiries(testtools.TestCase):
    def setUp(self):
        super().setUp()
        rules = sequences.Rules(identity_url='http://identities.example.org/api/v1')
        self.services = bootstrap.build_services(drivers.build_memory(), bootstrap.Settings(staged=rules))
        self.store = Store()
        self.services.steps._identities = lambda url: self.store
        self.worker = bootstrap.build_worker(self.services)
        self.addCleanup(self.worker.stop)
        self.addCleanup(self.store.go_on.set)

    def test_a_slow_identity_store_holds_up_nobody_else(self):
        self.send('project-1', 10, {'identity': 'slow'})
        self.send('project-1', 3, {'identity': 'slow', 'metadata': b'{"to_addr":"+2"}'})
        self.send('project-2', 3, {'identity': 'quick'})
        self.worker.start()
        self.assertTrue(_wait_for(lambda: self.count('project-1') == self.count('project-2') == 3))
        self.store.go_on.set()
        self.assertTrue(_wait_for(lambda: self.count('project-1') == 13))

    def send(self, project, times, fields):
        """Let so many recipients be sent a message."""
        schedule = self.services.schedules.create(project, {'hour': '8', 'minute': '0'}).id
        course = {'short_name': f'course-{times}', 'default_schedule': schedule}
        course = self.services.message_sets.create(project, course).id
        message = {'messageset': course, 'sequence_number': 1, 'lang': 'eng', 'text_content': 't'}
        self.services.set_messages.create(project, message)
        for _ in range(times):
            enrolled = fields | {'messageset': course, 'lang': 'eng', 'schedule': schedule}
            self.services.enrolments.send(project, self.services.enrolments.create(project, enrolled).id)

    def count(self, project):
        queue = self.services.queues.find(queues.QueueKey(queues.PROJECT, project, 'outbound'))
        return 0 if queue is None else self.services.driver.messages.stats(queue, time.time()).total


def _wait_for(condition):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False
