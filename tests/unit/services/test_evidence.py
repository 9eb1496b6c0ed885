"""Attempts wait to be kept, and nobody waits for them."""

import testtools

from queueservice import bootstrap
from queueservice.delivery import base
from queueservice.model import captures, deliveries, queues
from queueservice.services import attempts, evidence
from tests.fixtures import clock, faulty

_KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')


class TestWaiting(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.driver = faulty.Driver()
        self.clock = clock.Clock()
        self.services = bootstrap.build_services(self.driver, clock=self.clock)
        self.queue = self.services.queues.ensure(_KEY)
        self.evidence = self.services.evidence

    def note(self, *ids, body=b'{}'):
        self.evidence.note(self.queue, 'subscription', [self.job(id, body) for id in ids], self.clock())

    def job(self, id, body):
        exchange = base.Exchange('POST', 'http://receiver.example/', (), body, self.clock(), 0.1, status=200)
        progress = deliveries.Progress(attempts=1, total=1)
        return attempts.Job(1, self.clock(), deliveries.Entry(id), progress, exchange=exchange)

    def kept(self):
        key = captures.bucket_key(_KEY.project, _KEY.name)
        return sorted(one.identifier for one in self.services.captures.page(_KEY.project, key, count=1000))

    def test_what_was_noted_is_kept_when_somebody_has_time(self):
        self.note('a', 'b')
        self.assertTrue(self.evidence.keep())
        self.assertEqual(['a', 'b'], self.kept())
        self.assertFalse(self.evidence.keep())

    def test_an_attempt_is_kept_once(self):
        self.note('a')
        self.evidence.keep()
        self.note('a')
        self.evidence.keep()
        self.assertEqual(['a'], self.kept())

    def test_what_is_large_is_kept_in_several_goes(self):
        self.note('a', 'b', 'c', body=b'x' * evidence._BATCH_BYTES)
        for ids in (['a'], ['a', 'b'], ['a', 'b', 'c']):
            self.assertTrue(self.evidence.keep())
            self.assertEqual(ids, self.kept())
        self.assertFalse(self.evidence.keep())

    def test_what_is_being_kept_takes_room_yet(self):
        body = b'x' * (evidence._MOST_WAITING // 2)
        capture = self.services.captures.capture

        def note_more(*arguments):
            self.note('b', 'c', body=body)
            capture(*arguments)

        self.services.captures.capture = note_more
        self.note('a', body=body)
        self.evidence.keep()
        self.services.captures.capture = capture
        while self.evidence.keep():
            pass
        self.assertEqual(['a'], self.kept())
        self.note('d')
        self.evidence.keep()
        self.assertEqual(['a', 'd'], self.kept())

    def test_what_is_too_much_to_wait_is_not_kept(self):
        body = b'x' * (evidence._MOST_WAITING // 4)
        self.note('a', 'b', 'c', 'd', 'e', body=body)
        while self.evidence.keep():
            pass
        self.assertEqual(['a', 'b', 'c'], self.kept())
        self.note('f')
        self.evidence.keep()
        self.assertEqual(['a', 'b', 'c', 'f'], self.kept())

    def test_a_store_that_fails_is_nobody_else_s_failure(self):
        self.note('a')
        self.driver.fail()
        self.assertTrue(self.evidence.keep())
        self.driver.heal()
        self.note('b')
        self.evidence.keep()
        self.assertEqual(['b'], self.kept())
