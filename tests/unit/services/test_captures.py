"""What is kept of deliveries, for how long, and what becomes of what was interrupted."""

import tempfile

import testtools

from queueservice.delivery import base as delivery
from queueservice.model import captures, errors
from queueservice.services import captures as service
from queueservice.services import collections
from queueservice.storage import records, tables
from tests.fixtures import clock, drivers, faulty

PROJECT, QUEUE = 'project-1', 'orders'
KEY = captures.bucket_key(PROJECT, QUEUE)
ALL = (
    tables.BUCKETS,
    tables.EXCHANGES,
    tables.EXCHANGE_BODIES,
    tables.COLLECTIONS,
    tables.COLLECTION_ITEMS,
)


class CapturesTestCase(testtools.TestCase):
    rules = captures.Rules(retention=5)

    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = self.make_driver()
        self.addCleanup(self.driver.close)
        self.captures = service.Captures(self.driver, self.rules, self.clock)
        self.collections = collections.Collections(self.driver, self.captures, self.clock)

    def make_driver(self):
        return drivers.build_memory()

    def attempt(self, number, status=200, attempt=1, options=None, **exchange):
        sent = {
            'method': 'POST',
            'url': 'https://a.example/hook',
            'request_headers': (('Content-Type', 'application/json'),),
            'request_body': b'{"n": 1}',
            'started_at': self.clock() + number / 1000,
            'seconds': 0.25,
            'status': status,
            'response_body': b'thanks',
            **exchange,
        }
        return service.Captured(
            f'delivery-{number}', 'subscription', attempt, delivery.Exchange(**sent), **(options or {})
        )

    def capture(self, *attempts, project=PROJECT, queue=QUEUE):
        self.captures.capture(project, queue, attempts, self.clock())

    def page(self, **options):
        return self.captures.page(PROJECT, KEY, count=1000, **options)

    def numbers(self, **options):
        return [int(one.identifier.rpartition('-')[2]) for one in self.page(**options)]

    def whole(self, number=0):
        return self.captures.show(PROJECT, KEY, captures.attempt_id(f'delivery-{number}', 1))

    def count(self, table, *where):
        return self.driver.records.count(table, where, 1000)


class TestCapture(CapturesTestCase):
    def test_what_the_subscription_adds_is_not_kept(self):
        added = (('X-Shop', 'a-password'), ('x-api', 'another'), ('Authorization', 'Bearer a-third'))
        self.capture(self.attempt(0, request_headers=(('Content-Type', 'text/plain'), ('webhook-id', '1'), *added)))
        request = self.whole().request
        self.assertEqual({'Content-Type': ['text/plain'], 'webhook-id': ['1']}, request.headers)
        self.assertEqual({name for name, _ in added}, set(request.stripped))

    def test_an_attempt_is_in_the_bucket_of_its_queue(self):
        self.capture(self.attempt(7, status=503))
        [bucket] = self.captures.buckets(PROJECT, count=10)
        self.assertEqual((KEY, QUEUE, QUEUE), (bucket.key, bucket.name, bucket.queue))
        found = self.whole(7)
        self.assertEqual(('delivery-7', 'subscription', 1), (found.identifier, found.subscription_id, found.attempt))
        self.assertEqual((b'{"n": 1}', b'thanks'), (found.request.body, found.response.body))
        self.assertEqual((503, 0.25), (found.response.status, found.response.seconds))
        self.assertEqual(found.request.at + 0.25, found.response.at)

    def test_it_is_there_once_however_often_it_is_captured(self):
        self.capture(self.attempt(1), self.attempt(1))
        self.capture(self.attempt(1))
        self.capture(self.attempt(1, attempt=2))
        self.assertEqual([1, 1], self.numbers())

    def test_those_of_one_delivery_are_found_by_its_id(self):
        self.capture(self.attempt(1), self.attempt(2), self.attempt(1, attempt=2))
        self.assertEqual([1, 1], self.numbers(identifier='delivery-1'))

    def test_those_that_failed_are_found(self):
        self.capture(
            self.attempt(1),
            self.attempt(2, status=400),
            self.attempt(3, status=None, options={'error': 'timeout'}),
            self.attempt(4, status=302),
        )
        self.assertEqual([3, 2], self.numbers(failed=True))
        self.assertEqual(('timeout', None), (self.page(failed=True)[0].error, self.page(failed=True)[0].response))
        self.assertEqual([2], self.numbers(failed=True, identifier='delivery-2'))

    def test_responses_from_inside_have_no_body(self):
        self.capture(self.attempt(1, internal=True))
        found = self.whole(1)
        self.assertEqual(
            (b'{"n": 1}', None, 'internal'), (found.request.body, found.response.body, found.response.left_out)
        )

    def test_neither_has_a_body_where_the_queue_is_encrypted(self):
        self.capture(self.attempt(1, options={'encrypted': True}))
        found = self.whole(1)
        self.assertEqual((None, None), (found.request.body, found.response.body))
        self.assertEqual(0, self.count(tables.EXCHANGE_BODIES))

    def test_requests_for_confirmation_have_none_either(self):
        self.capture(self.attempt(1, options={'kind': 'confirmation'}))
        found = self.whole(1)
        self.assertEqual((None, None), (found.request.body, found.response.body))

    def test_a_store_that_fails_is_nobody_s_failure(self):
        broken = faulty.Driver(self.driver)
        self.captures = service.Captures(broken, self.rules, self.clock)
        broken.fail()
        self.capture(self.attempt(1))
        broken.heal()
        self.assertEqual(0, self.count(tables.BUCKETS))

    def test_a_bucket_that_is_somebody_else_s_gets_nothing(self):
        self.driver.records.insert(
            tables.BUCKETS,
            [{'id': KEY, 'project': 'project-2', 'name': 'x', 'queue': None, 'created_at': self.clock()}],
        )
        self.capture(self.attempt(1))
        self.assertEqual(0, self.count(tables.EXCHANGES))

    def test_a_bucket_that_was_deleted_comes_back(self):
        self.capture(self.attempt(1))
        self.captures.delete(PROJECT, KEY)
        self.capture(self.attempt(2))
        self.assertEqual([2], self.numbers())


class TestCameBack(CapturesTestCase):
    """A push to a bucket is an exchange there: the attempt is not captured again."""

    def push(self, key, identifier):
        intake = self.captures.open(PROJECT, key)
        request = captures.build_request('POST', 'https://a.example/', {}, intake.now, b'', intake.rules)
        exchange = captures.Exchange(
            bucket=key, id=captures.new_id(), request=request, response=None, identifier=identifier
        )
        self.captures.post(intake, [exchange])
        return ((service.CAPTURED_HEADER.lower(), f'{key}/{exchange.id}'),)

    def test_what_came_to_a_bucket_is_not_captured(self):
        bucket = self.captures.create(PROJECT, 'own')
        answer = self.push(bucket.key, 'delivery-1')
        self.capture(self.attempt(1, response_headers=answer), self.attempt(2))
        self.assertEqual([2], self.numbers())

    def test_a_header_that_leads_to_something_else_is_not_believed(self):
        bucket = self.captures.create(PROJECT, 'own')
        answer = self.push(bucket.key, 'delivery-1')
        self.capture(self.attempt(2, response_headers=answer))
        for number, value in enumerate(('', '/', 'x/y', f'{bucket.key}/{captures.new_id()}'), 3):
            self.capture(self.attempt(number, response_headers=((service.CAPTURED_HEADER, value),)))
        self.assertEqual(5, len(self.page()))

    def test_nor_one_that_leads_to_another_project(self):
        bucket = self.captures.create(PROJECT, 'own')
        attempt = self.attempt(1, response_headers=self.push(bucket.key, 'delivery-1'))
        self.assertTrue(self.captures.came_back(PROJECT, attempt))
        self.assertFalse(self.captures.came_back('project-2', attempt))


class TestRetention(CapturesTestCase):
    def test_the_oldest_make_room(self):
        for number in range(8):
            self.capture(self.attempt(number))
        self.assertEqual([7, 6, 5, 4, 3], self.numbers())
        self.assertEqual(5, self.count(tables.EXCHANGE_BODIES))

    def test_within_one_batch_too(self):
        self.capture(*map(self.attempt, range(8)))
        self.assertEqual([7, 6, 5, 4, 3], self.numbers())

    def test_what_a_collection_holds_stays(self):
        self.capture(*map(self.attempt, range(3)))
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, self.page()[-1].id)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(10, 20)))
        self.assertEqual([19, 18, 17, 16, 15, 0], self.numbers())
        [item] = self.collections.items(PROJECT, KEY, made.id)
        self.assertEqual(b'{"n": 1}', item.exchange.request.body)

    def test_what_no_collection_holds_any_more_goes(self):
        self.capture(*map(self.attempt, range(3)))
        kept = self.page()[-1].id
        one, other = (self.collections.create(PROJECT, KEY, name).id for name in 'ab')
        self.collections.put(PROJECT, KEY, one, kept)
        self.collections.put(PROJECT, KEY, other, kept)
        self.collections.remove(PROJECT, KEY, one, kept)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(10, 16)))
        self.assertIn(0, self.numbers())
        self.collections.delete(PROJECT, KEY, other)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(20, 26)))
        self.assertEqual([25, 24, 23, 22, 21], self.numbers())

    def test_where_it_was_lowered_much_goes_in_small_steps(self):
        self.captures = service.Captures(self.driver, captures.Rules(retention=1000), self.clock)
        self.capture(*map(self.attempt, range(300)))
        self.captures = service.Captures(self.driver, captures.Rules(retention=1), self.clock)
        self.clock.advance(1)
        self.capture(self.attempt(1000))
        self.assertEqual(201, len(self.page()))
        for _ in range(3):
            self.captures.sweep()
            self.captures.sweep()
        self.assertEqual([1000], self.numbers())

    def test_with_none_nothing_is_captured(self):
        self.captures = service.Captures(self.driver, captures.Rules(retention=0), self.clock)
        self.capture(self.attempt(1))
        self.assertEqual(0, self.count(tables.BUCKETS))


class TestRetentionOnSqlite(TestRetention):
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name)


class TestInterrupted(CapturesTestCase):
    def make_driver(self):
        return faulty.Driver()

    def interrupt(self, call, *arguments):
        """Make the call again and again, each time cut off one step later; whether it was done in between."""
        for late in (False, True):
            step = 0
            done = False
            while not done:
                step += 1
                self.driver.fail(on_call=step, late=late)
                try:
                    call(*arguments)
                    done = True
                except Exception as error:
                    self.assertIn('Unavailable', repr(error))
                self.driver.heal()
                yield done

    def sweep_all(self):
        self.clock.advance(3600)
        for _ in range(6):
            self.captures.sweep()

    def test_an_item_never_names_an_exchange_that_is_not_held(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        for _ in self.interrupt(self.collections.put, PROJECT, KEY, made.id, exchange):
            if self.count(tables.COLLECTION_ITEMS):
                self.assertTrue(self.captures.find(KEY, exchange)['held'])
            self.driver.records.delete(tables.COLLECTION_ITEMS, (), limit=10)

    def test_what_is_held_in_vain_is_let_go(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, exchange)
        self.driver.records.delete(tables.COLLECTIONS, (), limit=1)  # and no further
        self.sweep_all()
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))
        self.assertFalse(self.captures.find(KEY, exchange)['held'])

    def test_what_is_held_rightly_is_not(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, exchange)
        self.sweep_all()
        self.assertTrue(self.captures.find(KEY, exchange)['held'])
        self.assertEqual(1, self.count(tables.EXCHANGE_BODIES))

    def test_bodies_without_an_exchange_are_dropped(self):
        self.capture(self.attempt(1))
        self.driver.records.delete(tables.EXCHANGES, (), limit=1)
        self.captures.sweep()
        self.assertEqual(1, self.count(tables.EXCHANGE_BODIES))  # they might be about to get one
        self.sweep_all()
        self.assertEqual(0, self.count(tables.EXCHANGE_BODIES))

    def test_a_bucket_that_was_deleted_in_part_can_be_deleted(self):
        for done in self.interrupt(self.captures.delete, PROJECT, KEY):
            if done:
                self.assertEqual([0] * 5, [self.count(table) for table in ALL])
            if not self.count(tables.BUCKETS):
                self.capture(self.attempt(1))

    def setUp(self):
        super().setUp()
        self.capture(self.attempt(1))


class TestRaces(CapturesTestCase):
    """What happens between two steps of another."""

    def setUp(self):
        super().setUp()
        self.capture(self.attempt(1))
        self.exchange = self.page()[0].id
        self.made = self.collections.create(PROJECT, KEY, 'kept')

    def during(self, verb, table, action):
        """Do `action` right behind the first call of `verb` on `table`."""
        port = self.driver.records
        original = getattr(port, verb)

        def call(on, *arguments, **options):
            answer = original(on, *arguments, **options)
            if on is table and hasattr(port, verb) and vars(port).pop(verb, None):
                action()
            return answer

        setattr(port, verb, call)

    def test_what_is_let_go_while_it_is_put_elsewhere_stays_held(self):
        self.collections.put(PROJECT, KEY, self.made.id, self.exchange)
        other = self.collections.create(PROJECT, KEY, 'other')
        # Seen: no collection holds it. Then one does.
        self.during(
            'count',
            tables.COLLECTION_ITEMS,
            lambda: self.collections.put(PROJECT, KEY, other.id, self.exchange),
        )
        self.collections.remove(PROJECT, KEY, self.made.id, self.exchange)
        self.assertTrue(self.captures.find(KEY, self.exchange)['held'])

    def test_what_is_put_while_its_bucket_is_cleared_is_not_found(self):
        self.during('replace', tables.EXCHANGES, lambda: self.captures.clear(PROJECT, KEY))
        self.assertRaises(errors.NotFound, self.collections.put, PROJECT, KEY, self.made.id, self.exchange)
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))

    def test_what_is_put_while_its_collection_is_deleted_is_let_go(self):
        self.during('replace', tables.EXCHANGES, lambda: self.collections.delete(PROJECT, KEY, self.made.id))
        self.assertRaises(errors.NotFound, self.collections.put, PROJECT, KEY, self.made.id, self.exchange)
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))
        self.assertFalse(self.captures.find(KEY, self.exchange)['held'])

    def test_what_is_put_while_it_makes_room_stays_whole(self):
        for number in range(2, 6):
            self.capture(self.attempt(number))
        self.during(
            'find',
            tables.EXCHANGES,
            lambda: self.collections.put(PROJECT, KEY, self.made.id, self.exchange),
        )
        self.capture(self.attempt(6))
        self.assertEqual(b'{"n": 1}', self.whole(1).request.body)

    def test_what_is_posted_while_its_bucket_is_deleted_is_gone(self):
        bucket = self.captures.create(PROJECT, 'own')
        intake = self.captures.open(PROJECT, bucket.key)
        response = captures.build_response(200, '', {}, intake.now, b'x', intake.rules)
        exchange = captures.Exchange(bucket=bucket.key, id=captures.new_id(), request=None, response=response)
        self.captures.delete(PROJECT, bucket.key)
        self.assertRaises(errors.NotFound, self.captures.post, intake, [exchange])
        where = records.Condition('bucket', '=', bucket.key)
        self.assertEqual([0, 0], [self.count(table, where) for table in (tables.EXCHANGES, tables.EXCHANGE_BODIES)])


class TestAnswers(CapturesTestCase):
    rules = captures.Rules(retention=1000, max_body=4 * 1024 * 1024)

    def test_one_holds_bodies_as_far_as_it_can(self):
        body = b'x' * (3 * 1024 * 1024)
        self.capture(*[self.attempt(number, response_body=body) for number in range(8)])
        whole = self.captures.with_bodies(self.page())
        self.assertEqual([None] * 6 + ['too much'] * 2, [one.response.left_out for one in whole])
        self.assertEqual([False] * 6 + [True] * 2, [one.response.body is None for one in whole])
