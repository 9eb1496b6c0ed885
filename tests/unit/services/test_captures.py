"""What is kept of deliveries."""

import testtools

from queueservice.delivery import base as delivery
from queueservice.model import captures
from queueservice.services import captures as service
from queueservice.services import collections, retention
from queueservice.storage import tables
from tests.fixtures import clock, drivers, faulty

PROJECT, QUEUE = 'project-1', 'orders'
KEY = captures.bucket_key(PROJECT, QUEUE)


class CapturesTestCase(testtools.TestCase):
    rules = captures.Rules(retention=5)

    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = self.make_driver()
        self.addCleanup(self.driver.close)
        self.serve(self.rules)

    def make_driver(self):
        return drivers.build_memory()

    def serve(self, rules):
        """Keep what comes as `rules` say from now on."""
        self.retention = retention.Retention(self.driver, rules.retention, self.clock)
        self.captures = service.Captures(self.driver, self.retention, rules, self.clock)
        self.collections = collections.Collections(self.driver, self.captures, self.retention, self.clock)

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
        self.captures = service.Captures(broken, self.retention, self.rules, self.clock)
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


class TestAnswers(CapturesTestCase):
    rules = captures.Rules(retention=1000, max_body=4 * 1024 * 1024)

    def test_one_holds_bodies_as_far_as_it_can(self):
        body = b'x' * (3 * 1024 * 1024)
        self.capture(*[self.attempt(number, response_body=body) for number in range(8)])
        whole = self.captures.with_bodies(self.page())
        self.assertEqual([None] * 6 + ['too much'] * 2, [one.response.left_out for one in whole])
        self.assertEqual([False] * 6 + [True] * 2, [one.response.body is None for one in whole])
