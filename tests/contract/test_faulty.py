"""The faulty driver fails when it is told to, and only then."""

import testtools

from queueservice.model import messages
from queueservice.storage import errors, tables
from queueservice.storage import messages as ports
from tests.contract import model
from tests.fixtures import drivers, faulty


class FaultyTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.driver = faulty.Driver(model.Driver())
        self.queue = drivers.make_queue(self.driver)

    def append(self):
        return self.driver.messages.append(self.queue, [messages.Draft(b'1', expires_at=100)], now=0)

    def count(self):
        return self.driver.messages.stats(self.queue, now=0).total

    def test_it_works_until_it_is_told_to_fail(self):
        self.append()
        self.driver.ping()

        self.assertEqual(1, self.count())

    def test_it_fails_in_every_verb_until_it_is_healed(self):
        self.driver.fail()
        self.assertRaises(errors.Unavailable, self.append)
        self.assertRaises(errors.Unavailable, self.count)
        self.assertRaises(errors.Unavailable, self.driver.ping)
        self.assertRaises(errors.Unavailable, self.driver.records.count, tables.QUEUES, [], 1)

        self.driver.heal()
        self.assertEqual(0, self.count())

    def test_it_fails_in_the_verbs_that_are_named(self):
        self.driver.fail('messages.append', 'ping')
        self.assertRaises(errors.Unavailable, self.append)
        self.assertRaises(errors.Unavailable, self.driver.ping)

        self.assertEqual(0, self.count())

    def test_it_fails_in_one_call(self):
        self.driver.fail('messages.append', on_call=2)
        self.append()
        self.assertRaises(errors.Unavailable, self.append)
        self.append()

        self.assertEqual(2, self.count())

    def test_it_loses_an_answer(self):
        self.driver.fail('messages.append', late=True)
        self.assertRaises(errors.Unavailable, self.append)

        self.assertEqual(1, self.count())

    def test_it_tells_which_verbs_were_called(self):
        self.append()
        self.driver.messages.select(self.queue, ports.Selection(), 0)

        self.assertEqual(['records.insert', 'messages.append', 'messages.select'], self.driver.calls)
