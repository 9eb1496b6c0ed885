"""User messages on each driver that needs no server of its own: told once, kept for a time, listed at a flat cost."""

import tempfile
import time
from unittest import mock

import testtools

from queueservice import bootstrap
from queueservice.conf import opts
from queueservice.model import errors, limits
from queueservice.services import user_messages
from queueservice.storage import errors as storage_errors
from queueservice.storage import records, tables
from tests.fixtures import drivers, services

_TTL = 1000


class UserMessagesTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.driver = self.build_driver()
        self.addCleanup(self.driver.close)
        self.service = services.Service(self.driver)
        self.clock = self.service.clock
        self.told = user_messages.UserMessages(self.driver, limits.Limits(), _TTL, self.clock)

    def build_driver(self):
        return drivers.build_memory()

    def write(self, name='delivery', project='p', detail='timeout', subscription='s', request_id='req', at=None):
        now = self.clock() if at is None else at
        self.told.write(project, 'message', detail, 'SUBSCRIPTION', subscription, request_id, now, name)

    def ids(self, project='p', **options):
        return [one.id for one in self.told.page(project, **options)]


class TestWriting(UserMessagesTestCase):
    def test_what_is_told_can_be_read(self):
        self.write()
        [one] = self.told.page('p')
        self.assertEqual(one, self.told.get('p', one.id))
        self.assertEqual(('QUEUE_SUBSCRIPTION_001_003', 'ERROR'), (one.event_id, one.message_level))
        self.assertEqual(('SUBSCRIPTION', 's', 'req'), (one.resource_type, one.resource_uuid, one.request_id))
        self.assertEqual((self.clock(), self.clock() + _TTL), (one.created_at, one.expires_at))

    def test_it_is_told_once_however_often(self):
        self.write()
        [first] = self.told.page('p')
        self.clock.advance(5)
        self.write(detail='dns')
        self.assertEqual([first], self.told.page('p'))

    def test_the_same_name_in_another_project_is_another(self):
        self.write()
        self.write(project='q')
        self.assertNotEqual(self.ids('p'), self.ids('q'))

    def test_no_request_is_none(self):
        self.write(request_id='')
        self.assertIsNone(self.told.page('p')[0].request_id)

    def test_what_was_deleted_is_not_told_again(self):
        self.write()
        [message_id] = self.ids()
        self.told.delete('p', message_id)
        self.write()
        self.assertEqual([], self.ids())
        self.assertRaises(errors.NotFound, self.told.get, 'p', message_id)
        self.assertRaises(errors.NotFound, self.told.delete, 'p', message_id)

    def test_of_two_who_delete_it_at_once_one_is_told_that_it_is_gone(self):
        self.write()
        [message_id] = self.ids()
        with mock.patch.object(self.driver.records, 'replace', return_value=[storage_errors.Stale()]):
            self.assertRaises(errors.NotFound, self.told.delete, 'p', message_id)
        self.told.delete('p', message_id)


class TestTtl(testtools.TestCase):
    def test_the_operator_says_for_how_long(self):
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
            file.write('[user_messages]\nttl = 77\n')
            file.flush()
            told = bootstrap.load_services(opts.load([file.name]), drivers.build_memory()).user_messages
        now = time.time()
        told.write('p', 'message', 'timeout', 'SUBSCRIPTION', 's', None, now, 'delivery')
        self.assertEqual(now + 77, told.page('p')[0].expires_at)


class TestEnd(UserMessagesTestCase):
    def test_it_is_gone_when_its_time_is_over_and_its_space_after_a_sweep(self):
        self.write()
        [message_id] = self.ids()
        self.clock.advance(_TTL - 1)
        self.assertEqual([message_id], self.ids())
        self.clock.advance(1)
        self.assertEqual([], self.ids())
        self.assertRaises(errors.NotFound, self.told.get, 'p', message_id)
        self.assertRaises(errors.NotFound, self.told.delete, 'p', message_id)
        self.assertRaises(errors.NotFound, self.ids, marker=message_id)
        self.service.services.housekeeping.sweep()
        self.assertEqual(0, self.driver.records.count(tables.USER_MESSAGES, (), 10))

    def test_what_was_deleted_is_swept_too(self):
        self.write()
        self.told.delete('p', self.ids()[0])
        self.clock.advance(_TTL)
        self.service.services.housekeeping.sweep()
        self.assertEqual(0, self.driver.records.count(tables.USER_MESSAGES, (), 10))


class TestPages(UserMessagesTestCase):
    def setUp(self):
        super().setUp()
        for number in range(9):
            # Three at each instant.
            self.write(
                f'delivery-{number}',
                detail=('timeout', 'dns', 'tls')[number % 3],
                subscription=f's{number % 2}',
                request_id=f'req-{number % 4}' if number else None,
                at=self.clock() - 100 + number // 3,
            )
            self.write(f'delivery-{number}', project='q')
        self.all = self.told.page('p')

    def sorted(self, *keys):
        """All of them, as `sorted` puts them in order: keys as (field, descending)."""
        found = self.all
        for field, descending in reversed(keys):
            found = sorted(found, key=lambda one: getattr(one, field) or '', reverse=descending)
        return [one.id for one in found]

    def test_the_newest_come_first(self):
        self.assertEqual(self.sorted(('created_at', True), ('id', True)), self.ids())

    def test_every_order_is_total_and_pages_follow_each_other(self):
        for field in user_messages.ORDERS:
            for descending in (False, True):
                expected = self.sorted((field, descending), ('created_at', descending), ('id', descending))
                order = ((field, descending),)
                self.assertEqual(expected, self.ids(order=order), order)
                seen, marker = [], None
                while page := self.ids(order=order, marker=marker, limit=2):
                    seen += page
                    marker = page[-1]
                self.assertEqual(expected, seen, order)

    def test_several_keys_may_go_different_ways(self):
        order = (('resource_uuid', True), ('event_id', False))
        expected = self.sorted(*order, ('created_at', True), ('id', True))
        self.assertEqual(expected, self.ids(order=order))
        self.assertEqual(expected[4:6], self.ids(order=order, marker=expected[3], limit=2))

    def test_nothing_stands_behind_an_id(self):
        self.assertEqual(self.sorted(('id', False)), self.ids(order=(('id', False), ('created_at', True))))

    def test_filters_join(self):
        expected = [one.id for one in self.all if one.resource_uuid == 's1' and one.event_id.endswith('006')]
        filters = {'resource_uuid': 's1', 'event_id': 'QUEUE_SUBSCRIPTION_001_006'}
        self.assertNotEqual([], expected)
        self.assertEqual(expected, self.ids(filters=filters))

    def test_a_filter_by_what_nothing_ever_is_finds_nothing(self):
        for field, value in (('resource_type', 'VOLUME'), ('message_level', 'WARNING'), ('request_id', 'x')):
            self.assertEqual([], self.ids(filters={field: value}))

    def test_an_offset_counts_behind_the_marker(self):
        everything = self.ids()
        self.assertEqual(everything[3:], self.ids(offset=3))
        self.assertEqual(everything[5:7], self.ids(marker=everything[2], offset=2, limit=2))
        self.assertEqual([], self.ids(offset=10))

    def test_the_marker_must_be_there(self):
        self.assertRaises(errors.NotFound, self.ids, marker='x')
        self.assertRaises(errors.NotFound, self.ids, marker=self.ids('q')[0])

    def test_bounds(self):
        self.assertEqual([], self.ids(limit=0))
        self.assertEqual(9, len(self.ids(limit=100_000)))
        self.assertRaises(errors.LimitExceeded, self.ids, limit=-1)
        self.assertRaises(errors.LimitExceeded, self.ids, offset=-1)
        self.assertRaises(errors.LimitExceeded, self.ids, offset=10_001)

    def test_too_many_are_sorted_by_an_index_only(self):
        self.told = user_messages.UserMessages(_Long(self.driver), limits.Limits(), _TTL, self.clock)
        for order in (
            (('resource_type', True),),
            (('event_id', True), ('created_at', False)),
            (('created_at', True), ('event_id', True)),
            (('created_at', True), ('id', False)),
        ):
            refusal = self.assertRaises(errors.ParameterInvalid, self.ids, order=order)
            self.assertIn('More than 10000 messages', str(refusal))
        for order in (
            (('created_at', False),),
            (('id', True),),
            (('created_at', True), ('id', True)),
            (('event_id', False),),
        ):
            self.assertEqual(9, len(self.ids(order=order)))


class TestPagesOnSqlite(TestPages):
    def build_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, synchronous='normal')

    def test_pages_are_read_in_the_order_of_an_index(self):
        """So a page costs the same however much is behind it."""
        indexed = ('created_at', 'id', 'resource_uuid', 'request_id', 'event_id')
        for field in indexed:
            for descending in (False, True):
                self.assertNotIn('TEMP B-TREE', self.explain(((field, descending),), {}), field)
        for field in indexed[2:]:
            self.assertNotIn('TEMP B-TREE', self.explain((('created_at', True),), {field: 'x'}), field)
        self.assertIn('TEMP B-TREE', self.explain((('resource_type', True),), {}))

    def explain(self, order, filters):
        """How SQLite goes about a page."""
        statements = []
        read = self.driver.records._database.read
        read(lambda connection: connection.set_trace_callback(statements.append))
        self.told.page('p', order=order, filters=filters)
        read(lambda connection: connection.set_trace_callback(None))
        [statement] = [one for one in statements if ' ORDER BY ' in one]
        return str(read(lambda connection: connection.execute(f'EXPLAIN QUERY PLAN {statement}').fetchall()))


class _Long:
    """A driver that counts more records than anybody wants to sort."""

    def __init__(self, driver):
        self._records = driver.records
        self.records = self

    def find(self, table, query: records.Query):
        return self._records.find(table, query)

    def count(self, table, where, cap):
        return cap
