"""Asking the store whether it works."""

import testtools

from queueservice.model import limits
from queueservice.services import health, queues, quotas
from queueservice.storage import errors
from tests.fixtures import clock, faulty


class PingTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver()
        bounds = limits.Limits()
        all_quotas = quotas.Quotas(self.driver, bounds.project, self.clock)
        all_queues = queues.Queues(self.driver, bounds, all_quotas, self.clock)
        self.health = health.Health(self.driver, all_queues, self.clock)

    def test_a_good_answer_is_believed_for_a_second(self):
        self.health.ping()
        self.driver.fail('ping')
        self.clock.advance(0.9)
        self.health.ping()
        self.clock.advance(0.1)
        self.assertRaises(errors.Unavailable, self.health.ping)

    def test_a_bad_answer_is_not_remembered(self):
        self.driver.fail('ping')
        self.assertRaises(errors.Unavailable, self.health.ping)
        self.driver.heal()
        self.health.ping()

    def test_a_clock_that_was_set_back_keeps_nobody_from_asking(self):
        self.health.ping()
        self.clock.advance(-3600)
        self.driver.fail('ping')
        self.assertRaises(errors.Unavailable, self.health.ping)
