"""What is remembered of deliveries."""

import tempfile

import msgspec
import testtools

from queueservice.model import deliveries
from queueservice.storage import errors as storage_errors
from queueservice.storage import records, tables
from tests.fixtures import deliveries as fixtures
from tests.fixtures import drivers, faulty, mongodb, services

NOW = fixtures.NOW
RETENTION = 3600

MESSAGE = fixtures.MESSAGE


def end(place=1, outcome=deliveries.DELIVERED, message=None, subscription_id='subscription', **fields):
    """An `Ended` of the delivery of message number `place`."""
    return fixtures.end(subscription_id, f'{place:024x}', outcome, message is not None, **fields)


class TestPacking(testtools.TestCase):
    def test_what_was_posted_comes_back_as_it_lay(self):
        self.assertEqual(MESSAGE, deliveries.unpack_message(deliveries.pack_message(MESSAGE)))

    def test_a_claim_is_not_kept(self):
        claimed = msgspec.structs.replace(MESSAGE, claim_id='a' * 24, claim_ttl=60, available_at=NOW + 60)
        self.assertEqual(MESSAGE, deliveries.unpack_message(deliveries.pack_message(claimed)))


class TestRecord(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.driver = faulty.Driver(self.make_inner())
        self.addCleanup(self.driver.close)
        self.deliveries = services.Service(
            self.driver, delivery=deliveries.Rules(retention=RETENTION)
        ).services.deliveries

    def make_inner(self):
        return drivers.build_memory()

    def stored(self):
        return self.driver.records.find(tables.DELIVERIES, records.Query(limit=100)).records

    def test_what_needs_nobody_goes_after_the_retention(self):
        self.deliveries.record([end(1), end(2, deliveries.EXPIRED), end(3, deliveries.DELETED)], NOW)
        self.assertEqual([NOW + RETENTION] * 3, [record['expires_at'] for record in self.stored()])

    def test_failed_and_refused_ones_stay_with_what_was_posted(self):
        self.deliveries.record(
            [end(1, deliveries.FAILED, MESSAGE), end(2, deliveries.REFUSED, MESSAGE)],
            NOW,
        )
        ids = [record['id'] for record in self.stored()]
        self.assertEqual([None] * 2, [record['expires_at'] for record in self.stored()])
        self.assertEqual(dict.fromkeys(ids, MESSAGE), self.deliveries.find_messages([*ids, 'other']))

    def test_nothing_is_kept_of_what_cannot_be_sent_again(self):
        self.deliveries.record([end(1), end(2, deliveries.FAILED)], NOW)
        self.assertEqual([NOW + RETENTION] * 2, [record['expires_at'] for record in self.stored()])
        self.assertEqual({}, self.deliveries.find_messages([record['id'] for record in self.stored()]))

    def test_a_later_end_replaces_an_earlier_one(self):
        self.deliveries.record([end(1, deliveries.FAILED, MESSAGE), end(2)], NOW)
        self.deliveries.record([end(0), end(1, attempts=5), end(3)], NOW + 1)
        found = {record['message_id'][-1]: record for record in self.stored()}
        self.assertEqual(set('0123'), set(found))
        self.assertEqual(5, found['1']['attempts'])
        self.assertEqual(deliveries.DELIVERED, found['1']['outcome'])
        self.assertEqual(NOW + 1 + RETENTION, found['1']['expires_at'])
        self.assertIsNone(found['1']['message'])

    def test_new_ones_are_one_call(self):
        self.driver.calls.clear()
        self.deliveries.record([end(place) for place in range(50)], NOW)
        self.assertEqual(['records.insert'], self.driver.calls)
        self.deliveries.record([], NOW)
        self.assertEqual(['records.insert'], self.driver.calls)

    def test_repeating_it_does_no_harm_wherever_it_was_cut_off(self):
        ended = [end(place, deliveries.FAILED, MESSAGE) for place in range(3)]
        self.deliveries.record(ended[:1], NOW)
        for verb in ('records.insert', 'records.find', 'records.replace'):
            for late in (False, True):
                self.driver.fail(verb, late=late)
                self.assertRaises(storage_errors.Unavailable, self.deliveries.record, ended, NOW)
                self.driver.heal()
        self.deliveries.record(ended, NOW)
        self.assertEqual(3, len(self.stored()))

    def test_one_that_goes_while_it_is_replaced_is_stored_anew(self):
        self.deliveries.record([end(1, deliveries.FAILED, MESSAGE)], NOW)
        find = self.driver.records.find

        def find_and_delete(table, query):
            found = find(table, query)
            self.deliveries.clear('subscription', 10)
            return found

        self.driver.records.find = find_and_delete
        self.deliveries.record([end(1)], NOW)
        del self.driver.records.find
        self.assertEqual([deliveries.DELIVERED], [record['outcome'] for record in self.stored()])

    def test_records_that_never_come_to_rest_are_unavailable(self):
        self.deliveries.record([end(1)], NOW)
        self.driver.records.replace = lambda table, records: [storage_errors.Stale()]
        self.assertRaises(storage_errors.Unavailable, self.deliveries.record, [end(1)], NOW)

    def test_what_belongs_to_a_subscription_is_cleared_in_slices(self):
        self.deliveries.record([end(place) for place in range(5)], NOW)
        self.deliveries.record([end(9, subscription_id='other')], NOW)
        self.assertEqual([3, 2, 0], [self.deliveries.clear('subscription', 3) for _ in range(3)])
        self.assertEqual(['other'], [record['subscription_id'] for record in self.stored()])


class TestRecordOnSqlite(TestRecord):
    def make_inner(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name)


class TestRecordOnMongodb(TestRecord):
    def make_inner(self):
        return mongodb.build_driver(self)
