"""Dead letters go back to the queues that they came from."""

import collections
import tempfile
import threading
import time

import msgspec
import testtools

from queueservice.model import messages, queues
from queueservice.services import sealing
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store
from queueservice.storage import records
from queueservice.storage import tables as tables_of_storage
from tests.api import base, test_dead_letters
from tests.fixtures import deliveries as fixtures
from tests.fixtures import drivers, faulty, mongodb, services, subscriptions, tables

_METADATA = {'_max_claim_count': 1, '_dead_letter_queue': 'dead', '_dead_letter_queue_messages_ttl': 900}
_KEY = sealing.Key('key', bytes(range(32)))
_NOTHING = {'no_dead_letter': 0, 'queue_gone': 0, 'encryption': 0}


class RedriveTestCase(test_dead_letters.DeadLetterTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue(metadata=_METADATA)

    def kill(self, *bodies, queue='demo', **options):
        """Let messages with these bodies become dead letters."""
        self.post_messages(*bodies, queue=queue, **options)
        self.die(queue)

    def die(self, queue='demo'):
        self.fail(1, queue, limit=20)
        self.assertEqual((None, []), self.claim(queue=queue))

    def redrive(self, queue='dead', status=200, **wanted):
        return self.post(f'/queues/{queue}/redrive', wanted, status=status).json

    def assert_redriven(self, moved, left, **stayed):
        self.assertEqual({'moved': moved, 'left': left, 'stayed': _NOTHING | stayed}, self.redrive())


class TestMove(RedriveTestCase):
    def test_they_are_back_in_their_order_as_they_were(self):
        self.kill({'a': 1}, [2], 'three')
        self.assertEqual((0, 0, 0), self.counts())
        self.assert_redriven(3, 0)
        self.assertEqual((0, 0, 0), self.counts('dead'))
        self.assertEqual([{'a': 1}, [2], 'three'], self.list_bodies(echo=True))

    def test_they_count_as_never_claimed(self):
        self.kill('poison')
        self.redrive()
        [message] = self.pop()
        self.assertEqual(0, message['claim_count'])
        self.assertNotIn('dead_letter', message)

    def test_they_live_as_long_as_they_were_posted_for_from_now_on(self):
        self.kill('poison', ttl=400)
        self.clock.advance(800)
        self.redrive()
        [message] = self.message_page(params={'echo': 'true'})[0]
        self.assertEqual((400, 0), (message['ttl'], message['age']))

    def test_those_of_an_earlier_release_live_as_long_as_they_did_last(self):
        dead = self.service.services.queues.ensure(fixtures.queue_key('dead'))
        append_dead(self.service.driver, dead, [b'1'], self.clock())
        self.redrive()
        [message] = self.message_page(params={'echo': 'true'})[0]
        self.assertEqual(600, message['ttl'])

    def test_they_keep_whoever_posted_them(self):
        self.kill('poison', client=base.PRODUCER)
        self.redrive()
        self.assertEqual([], self.message_page(client=base.PRODUCER)[0])
        self.assertEqual(1, len(self.message_page(client=base.CONSUMER)[0]))

    def test_they_may_die_again_and_go_back_again(self):
        self.post_messages('poison')
        for _ in range(3):
            self.die()
            self.assertEqual((0, 1, 1), self.counts('dead'))
            self.assert_redriven(1, 0)
            self.assertEqual((0, 1, 1), self.counts())

    def test_each_goes_where_it_came_from(self):
        self.make_queue('other', _METADATA)
        self.kill('a')
        self.kill('b', queue='other')
        self.kill('c')
        self.assert_redriven(3, 0)
        self.assertEqual(['a', 'c'], self.list_bodies(echo=True))
        self.assertEqual(['b'], self.list_bodies('other', echo=True))

    def test_no_more_go_than_are_wanted(self):
        self.kill(*range(5))
        self.assertEqual({'moved': 2, 'left': 3, 'stayed': _NOTHING}, self.redrive(limit=2))
        self.assertEqual([0, 1], self.list_bodies(echo=True))
        self.assertEqual((0, 3, 3), self.counts('dead'))
        self.assertEqual(3, self.redrive(limit=1000)['moved'])

    def test_without_a_body_as_many_go_as_one_call_moves(self):
        dead = self.service.services.queues.ensure(fixtures.queue_key('dead'))
        append_dead(self.service.driver, dead, [b'%d' % number for number in range(1030)], self.clock())
        self.assertEqual(1000, self.post('/queues/dead/redrive', status=200).json['moved'])
        self.assertEqual((0, 30, 30), self.counts('dead'))
        self.assert_redriven(30, 0)
        stored = self.service.driver.messages.select(
            self.service.services.queues.find(fixtures.queue_key()), store.Selection(limit=2000), self.clock()
        ).messages
        self.assertEqual([b'%d' % number for number in range(1030)], [message.body for message in stored])

    def test_a_queue_may_be_its_own_dead_letter_queue(self):
        dead = self.service.services.queues.ensure(fixtures.queue_key('dead'))
        append_dead(self.service.driver, dead, [b'1', b'2'], self.clock(), origin='dead')
        self.assertEqual(2, self.redrive()['moved'])
        self.assertEqual({'moved': 0, 'left': 2, 'stayed': {**_NOTHING, 'no_dead_letter': 2}}, self.redrive())

    def test_quotas_do_not_count_what_the_project_has_already(self):
        self.kill('a', 'b')
        self.service.services.quotas.change(base.PROJECT, {'messages': 2, 'bytes': 6})
        self.assert_redriven(2, 0)

    def test_subscribers_are_told(self):
        self.kill('poison')
        key = fixtures.queue_key()
        subscription = subscriptions.build(queue=key, queue_id=self.service.services.queues.get(key).id)
        self.service.services.lanes.open(subscription, self.clock())
        subscribe(self.service, key, subscription.id)
        self.redrive()
        for shard in range(16):
            self.service.services.notifications.dispatch(shard, self.clock())
        self.assertEqual([subscription.id], [lane.id for lane in self.service.services.lanes.find_due(self.clock(), 9)])

    def test_it_is_written_in_the_audit_log(self):
        self.kill('poison')
        with self.assertLogs('queueservice.audit') as logs:
            self.redrive()
        self.assertIn('"queue.redrive"', logs.output[0])
        self.assertIn('"moved": 1', logs.output[0])

    def test_readers_cannot_ask(self):
        self.post('/queues/dead/redrive', {}, headers={'X-Roles': 'reader'}, status=403)

    def test_there_must_be_such_a_queue(self):
        self.assert_refused(self.post('/queues/none/redrive', {}, status=404), 'none')
        self.make_queue('dead')
        self.assert_redriven(0, 0)

    def test_it_is_for_v2_alone(self):
        for version in ('1', '1.1'):
            self.version = version
            self.post('/queues/dead/redrive', {}, status=404)

    @tables.each(
        ('a list', b'[]', 'must be a dict'),
        ('malformed', b'{', 'could not be parsed'),
        ('an unknown field', b'{"queue":"demo"}', '"queue"'),
        ('a limit of zero', b'{"limit":0}', 'Limit'),
        ('a limit that is too high', b'{"limit":1001}', 'Limit'),
        ('a limit beyond numbers', b'{"limit":99999999999999999999}', 'Limit'),
        ('a text for a limit', b'{"limit":"1"}', '"limit"'),
        ('a fraction for a limit', b'{"limit":1.5}', '"limit"'),
    )
    def test_it_cannot_be_asked_with(self, raw, words):
        self.kill('poison')
        self.assert_refused(self.post('/queues/dead/redrive', raw, status=400), words)
        self.assertEqual((0, 1, 1), self.counts('dead'))


class TestStay(RedriveTestCase):
    def test_messages_that_are_no_dead_letters_do(self):
        self.make_queue('dead')
        self.post_messages('front', queue='dead')
        self.kill('a')
        self.post_messages('between', queue='dead')
        self.kill('b')
        self.post_messages('back', queue='dead')
        self.assert_redriven(2, 3, no_dead_letter=3)
        self.assertEqual((0, 3, 3), self.counts('dead'))
        self.assertEqual(['front', 'between', 'back'], base.bodies(self.claim(queue='dead')[1]))

    def test_those_that_stand_in_nobody_s_way_are_not_touched(self):
        self.make_queue('dead')
        self.post_messages('a', 'b', queue='dead')
        self.assert_redriven(0, 2, no_dead_letter=2)
        self.kill('dead')
        self.post_messages('c', queue='dead')
        self.assert_redriven(1, 3, no_dead_letter=3)
        self.assertEqual([1, 1, 0], [message['claim_count'] for message in self.pop(queue='dead')])

    def test_many_of_them_do_not_hide_what_stands_behind(self):
        driver, clock = self.service.driver, self.clock
        dead = self.service.services.queues.ensure(fixtures.queue_key('dead'))
        driver.messages.append(dead, [messages.Draft(b'0', clock() + 600)] * 400, clock())
        append_dead(driver, dead, [b'1'] * 60, clock())
        self.assert_redriven(60, 400, no_dead_letter=400)
        self.assertEqual((0, 400, 400), self.counts('dead'))

    def test_those_whose_queue_is_gone_do(self):
        self.make_queue('other', _METADATA)
        self.kill('a', queue='other')
        self.kill('b')
        self.delete('/queues/other', status=204)
        self.assert_redriven(1, 1, queue_gone=1)
        self.assertEqual((0, 1, 1), self.counts('dead'))
        self.get('/queues/other/stats', status=200)
        self.assertNotIn('other', [queue['name'] for queue in self.queue_page()[0]])
        self.make_queue('other', _METADATA)
        self.assert_redriven(1, 0)

    def test_one_whose_queue_goes_meanwhile_does(self):
        self.kill('a')
        driver = self.service.driver
        claim = driver.messages.claim

        def claim_late(*arguments, **options):
            self.service.services.queues.delete(fixtures.queue_key())
            return claim(*arguments, **options)

        driver.messages.claim = claim_late
        self.assert_redriven(0, 1, queue_gone=1)
        self.assertEqual((0, 1, 1), self.counts('dead'))

    def test_those_that_somebody_works_on_do(self):
        self.kill('a', 'b')
        claim, _ = self.claim(queue='dead', limit=1)
        self.assert_redriven(1, 1)
        self.assertEqual(['a'], base.bodies(self.held(claim)['messages']))
        self.release(claim)
        self.assert_redriven(1, 0)

    def test_what_arrives_meanwhile_is_not_lost(self):
        self.kill('a')
        driver = self.service.driver
        delete = driver.messages.delete

        def delete_late(*arguments, **options):
            driver.messages.delete = delete
            append_dead(driver, self.service.services.queues.find(fixtures.queue_key('dead')), [b'"b"'], self.clock())
            return delete(*arguments, **options)

        driver.messages.delete = delete_late
        moved = self.redrive()['moved'] + self.redrive()['moved']
        self.assertEqual(2, moved)
        self.assertEqual({'a', 'b'}, set(self.list_bodies(echo=True)))

    def test_a_call_that_takes_long_ends(self):
        driver = self.service.driver
        dead = self.service.services.queues.ensure(fixtures.queue_key('dead'))
        append_dead(driver, dead, [b'1'] * 99, self.clock())
        append = driver.messages.append

        def append_slowly(*arguments, **options):
            self.clock.advance(25)
            return append(*arguments, **options)

        driver.messages.append = append_slowly
        moved = self.redrive()['moved']
        self.assertEqual(50, moved)
        self.assertEqual((0, 49, 49), self.counts('dead'))


class TestEncrypted(RedriveTestCase):
    def setUp(self):
        super().setUp()
        self.serve(_KEY)
        self.change(('add', '_enable_encrypt_messages', True))

    def serve(self, *keys):
        self.service = services.Service(self.service.driver, keys=keys, clock=self.clock)
        self.app.app = self.service.app

    def stored(self, queue):
        found = self.service.services.queues.find(fixtures.queue_key(queue))
        return self.service.driver.messages.select(found, store.Selection(), self.clock()).messages

    def test_they_are_sealed_for_the_queue_that_they_go_to(self):
        self.kill('secret')
        self.assert_redriven(1, 0)
        [message] = self.stored('demo')
        self.assertNotIn(b'secret', message.body)
        self.assertEqual(['secret'], self.list_bodies(echo=True))

    def test_a_queue_that_is_plain_gets_them_plain(self):
        self.kill('secret')
        self.change(('replace', '_enable_encrypt_messages', False))
        self.assert_redriven(1, 0)
        self.assertEqual([b'"secret"'], [message.body for message in self.stored('demo')])

    def test_without_the_key_they_stay(self):
        self.kill('secret')
        self.serve()
        self.assert_redriven(0, 1, encryption=1)
        self.serve(_KEY)
        self.assert_redriven(1, 0)

    def test_without_a_key_for_the_queue_plain_ones_stay(self):
        self.change(('replace', '_enable_encrypt_messages', False))
        self.kill('plain')
        self.change(('replace', '_enable_encrypt_messages', True))
        self.serve()
        self.assert_redriven(0, 1, encryption=1)
        self.assertEqual((0, 1, 1), self.counts('dead'))


class TestCrashes(testtools.TestCase):
    """Cut off at whatever call of the store, nothing is lost and nothing is doubled."""

    MESSAGES = 60
    VERBS = ()  # of the store that fail; none named: all
    LATE = (False, True)

    def setUp(self):
        super().setUp()
        self.driver = faulty.Driver(self.make_inner())
        self.addCleanup(self.driver.close)
        self.service = services.Service(self.driver)
        self.redrive = self.service.services.redrive

    def make_inner(self):
        return drivers.build_memory()

    def fill(self, name):
        """A dead-letter queue with messages from two queues, and some of its own."""
        ensure = self.service.services.queues.ensure
        now = self.service.clock()
        dead = ensure(fixtures.queue_key(f'{name}-dead'))
        for place, origin in enumerate((f'{name}-a', f'{name}-b')):
            ensure(fixtures.queue_key(origin))
            bodies = [b'%d' % number for number in range(place, self.MESSAGES, 2)]
            self.driver.messages.append(dead, [messages.Draft(b'own', now + 600)], now)
            append_dead(self.driver, dead, bodies, now, origin)
        return dead.key

    def bodies(self, name):
        queue = self.service.services.queues.find(fixtures.queue_key(name))
        selection = store.Selection(limit=200, include_claimed=True, include_delayed=True)
        return [one.body for one in self.driver.messages.select(queue, selection, self.service.clock()).messages]

    def test_everything_arrives_once(self):
        self.driver.calls.clear()
        key = self.fill('count')
        filled = len(self.driver.calls)
        self.redrive.move(key)
        calls = sum(not self.VERBS or verb in self.VERBS for verb in self.driver.calls[filled:])
        for late in self.LATE:
            for number in range(1, calls + 1):
                name = f'{number}-{late}'
                key = self.fill(name)
                self.driver.fail(*self.VERBS, on_call=number, late=late)
                self.assertRaises(storage_errors.Unavailable, self.redrive.move, key)
                self.driver.heal()
                arrived = self.bodies(f'{name}-a') + self.bodies(f'{name}-b') + self.bodies(f'{name}-dead')
                self.assertEqual({b'%d' % place for place in range(self.MESSAGES)}, set(arrived) - {b'own'})
                self.service.clock.advance(60)
                self.redrive.move(key)
                self.assertEqual([b'%d' % place for place in range(0, self.MESSAGES, 2)], self.bodies(f'{name}-a'))
                self.assertEqual([b'%d' % place for place in range(1, self.MESSAGES, 2)], self.bodies(f'{name}-b'))
                self.assertEqual([b'own'] * 2, self.bodies(f'{name}-dead'))
                stats = self.driver.messages.stats(self.service.services.queues.find(key), self.service.clock())
                self.assertEqual(2, stats.free)


class TestCrashesOnSqlite(TestCrashes):
    def make_inner(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, synchronous='normal')


class TestCrashesOnMongodb(TestCrashes):
    MESSAGES = 4
    VERBS = ('messages.append', 'messages.delete')

    def make_inner(self):
        return mongodb.build_driver(self)


class TestTogether(testtools.TestCase):
    """Messages die, go back, and are worked on in both queues at once: each is done by exactly one of them."""

    MESSAGES = 300

    def setUp(self):
        super().setUp()
        self.service = services.Service(self.make_driver(), clock=time.time)
        self.driver = self.service.driver
        self.addCleanup(self.driver.close)
        ensure = self.service.services.queues.ensure
        self.origin, self.dead = ensure(fixtures.queue_key()), ensure(fixtures.queue_key('dead'))
        self.seen = collections.Counter()
        self.counting = threading.Lock()
        self.stop = threading.Event()
        self.errors = []

    def make_driver(self):
        return drivers.build_memory()

    def bury(self):
        for start in range(0, self.MESSAGES, 10):
            bodies = [b'%d' % number for number in range(start, start + 10)]
            append_dead(self.driver, self.dead, bodies, time.time())

    def work(self, queue):
        while not self.stop.is_set():
            now = time.time()
            claim = messages.Claim(messages.new_id(), 60, now + 60)
            claimed = self.driver.messages.claim(queue, claim, 3, now, keep_until=now + 60).messages
            positions = [message.position for message in claimed]
            deleted = self.driver.messages.delete(queue, positions, now, claim_ids=[claim.id]) if positions else None
            with self.counting:
                self.seen.update(message.body for message in claimed)
            if deleted:
                assert deleted.positions == positions, (deleted, positions)

    def redrive(self):
        while not self.stop.is_set():
            self.service.services.redrive.move(self.dead.key, 7)

    def run_one(self, action, *arguments):
        try:
            action(*arguments)
        except Exception as error:
            self.errors.append(error)

    def test_nothing_is_lost_or_done_twice(self):
        actions = [(self.work, self.origin), (self.work, self.dead), (self.redrive,), (self.redrive,), (self.bury,)]
        threads = [threading.Thread(target=self.run_one, args=action) for action in actions]
        for thread in threads:
            thread.start()
        give_up_at = time.monotonic() + 20
        while len(self.seen) < self.MESSAGES and time.monotonic() < give_up_at and not self.errors:
            time.sleep(0.02)
        self.stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual([], self.errors)
        self.assertEqual(collections.Counter(b'%d' % number for number in range(self.MESSAGES)), self.seen)


class TestTogetherOnSqlite(TestTogether):
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, synchronous='normal')


class TestTogetherOnMongodb(TestTogether):
    MESSAGES = 100

    def make_driver(self):
        return mongodb.build_driver(self)


def append_dead(driver, dead, bodies, now, origin='demo'):
    """Store messages in the queue `dead` that came from another one, as an earlier release did it."""
    letter = messages.DeadLetter(origin, 'f' * 24, 'max_claim_count', 3, messages.timestamp(now))
    state = msgspec.json.encode(messages.State(dead_letter=letter))
    driver.messages.append(dead, [messages.Draft(body, now + 600, state=state) for body in bodies], now)


def subscribe(service, key: queues.QueueKey, subscription_id: str) -> None:
    """Let the queue know a confirmed subscription."""
    where = tuple(records.Condition(name, '=', getattr(key, name)) for name in key._fields)
    [record] = service.driver.records.find(tables_of_storage.QUEUES, records.Query(where=where)).records
    service.driver.records.replace(tables_of_storage.QUEUES, [record | {'subscribers': [subscription_id]}])
