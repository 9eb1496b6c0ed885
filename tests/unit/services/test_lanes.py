"""Lanes: entries wait in them, and turns look there when there is something."""

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.model import deliveries, queues
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store
from queueservice.storage import records, tables
from tests.fixtures import clock, faulty, subscribers

KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')
LEASE = 25


class TestLanes(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver()
        self.services = bootstrap.build_services(self.driver, clock=self.clock, senders={'http': subscribers.Sender()})
        self.lanes = self.services.lanes
        self.services.queues.create(KEY, {})
        self.subscription = subscribers.subscribe(self.services, KEY, self.clock())
        self.lane_id = self.subscription.id

    def lane(self):
        return self.lanes.find([self.lane_id])[self.lane_id]

    def put(self, *ids, **fields):
        entries = [deliveries.Entry(one, **fields) for one in ids]
        return self.lanes.put('project-1', self.lane_id, entries, self.clock())

    def take(self):
        [lane] = self.lanes.take(self.lanes.find_due(self.clock(), 10), self.clock(), LEASE)
        return lane

    def entries(self):
        queue = self.services.queues.find(deliveries.lane_key('project-1', self.lane_id))
        page = self.driver.messages.select(queue, store.Selection(include_delayed=True, limit=100), self.clock())
        return [msgspec.json.decode(one.body, type=deliveries.Entry).delivery_id for one in page.messages]

    def test_a_new_lane_is_parked(self):
        lane = self.lane()
        self.assertIsNone(lane.due_at)
        self.assertEqual(('project-1', 'receiver.example'), (lane.project, lane.site))
        self.assertEqual([], self.lanes.find_due(self.clock(), 10))

    def test_opening_a_lane_again_changes_nothing(self):
        self.put('d1')
        before = self.lane()
        self.lanes.open(self.subscription, self.clock())
        self.assertEqual(before, self.lane())

    def test_what_is_put_in_wakes_the_lane(self):
        self.assertTrue(self.put('d1'))
        self.assertEqual(self.clock(), self.lane().due_at)
        self.assertEqual([self.lane_id], [lane.id for lane in self.lanes.find_due(self.clock(), 10)])

    def test_an_entry_is_stored_once(self):
        self.put('d1')
        self.put('d1', 'd2')
        self.assertEqual(['d1', 'd2'], self.entries())

    def test_an_entry_that_is_asked_for_again_is_stored_once_for_each_end(self):
        for again in (0, 1, 1, 3, 3):
            self.put('d1', again=again)
        self.assertEqual(['d1'] * 3, self.entries())

    def test_a_confirmation_is_not_taken_for_a_message(self):
        self.put('d1')
        self.put('d1', kind=deliveries.CONFIRMATION)
        self.assertEqual(['d1', 'd1'], self.entries())

    def test_an_entry_waits_as_long_as_its_message(self):
        self.put('d1', available_at=self.clock() + 10)
        self.assertEqual(['d1'], self.entries())
        queue = self.services.queues.find(deliveries.lane_key('project-1', self.lane_id))
        self.assertEqual(1, self.driver.messages.stats(queue, self.clock()).delayed)

    def test_a_lane_that_is_gone_takes_nothing(self):
        self.lanes.close(self.lane_id, 'project-1')
        self.assertFalse(self.put('d1'))
        self.lanes.put_all({self.lane_id: [deliveries.Entry('d1')]}, self.clock())
        self.assertEqual({}, self.lanes.find([self.lane_id]))
        self.assertIsNone(self.services.queues.load(deliveries.lane_key('project-1', self.lane_id)))
        self.lanes.close(self.lane_id, 'project-1')

    def test_entries_for_one_that_is_gone_do_not_hold_up_the_others(self):
        other = subscribers.subscribe(self.services, KEY, self.clock(), 'http://other.example/')
        self.lanes.close(other.id, 'project-1')
        entries = {other.id: [deliveries.Entry('d1')], self.lane_id: [deliveries.Entry('d2')]}
        self.lanes.put_all(entries, self.clock())
        self.assertEqual(['d2'], self.entries())

    def test_a_lane_is_taken_by_one(self):
        self.put('d1')
        due = self.lanes.find_due(self.clock(), 10)
        [taken] = self.lanes.take(due, self.clock(), LEASE)
        self.assertEqual([], self.lanes.take(due, self.clock(), LEASE))
        self.assertEqual([], self.lanes.find_due(self.clock(), 10))
        self.assertEqual(self.clock() + LEASE, taken.due_at)

    def test_a_lane_comes_back_when_its_lease_ends(self):
        self.put('d1')
        first = self.take()
        self.clock.advance(LEASE)
        second = self.take()
        self.assertNotEqual(first.leased_by, second.leased_by)
        self.lanes.leave(first, self.clock())
        self.assertIsNone(self.lanes.park(first, None))
        self.assertEqual(second, self.lane())

    def test_an_empty_lane_is_parked(self):
        self.put('d1')
        self.assertIsNone(self.lanes.park(self.take(), None))
        self.assertIsNone(self.lane().due_at)
        self.assertIsNone(self.lane().leased_by)

    def test_a_lane_is_not_parked_if_something_came_since_it_was_read(self):
        self.put('d1')
        lane = self.take()
        self.put('d2')
        again = self.lanes.park(lane, None)
        self.assertEqual(lane.leased_by, again.leased_by)
        self.assertEqual(lane.due_at, self.lane().due_at)
        self.assertIsNone(self.lanes.park(again, None))
        self.assertIsNone(self.lane().due_at)

    def test_a_lane_that_waits_for_what_is_delayed_is_woken_by_what_is_not(self):
        self.put('d1')
        self.lanes.park(self.take(), self.clock() + 900)
        self.assertEqual(self.clock() + 900, self.lane().due_at)
        self.put('d2')
        self.assertEqual(self.clock(), self.lane().due_at)

    def test_a_lane_that_rests_is_not_woken(self):
        self.put('d1')
        lane = msgspec.structs.replace(self.take(), rests_until=self.clock() + 300, failures=5)
        self.put('d2')
        self.lanes.leave(lane, self.clock())
        self.put('d3')
        self.assertEqual(self.clock() + 300, self.lane().due_at)
        self.clock.advance(300)
        self.assertEqual((5, None), (self.take().failures, self.lane().rests_until))

    def test_a_lane_that_is_left_can_be_taken_at_once(self):
        self.put('d1')
        self.lanes.leave(self.take(), self.clock())
        self.assertNotIn(None, [self.take()])

    def test_lanes_that_are_due_are_found_in_pages(self):
        ids = [self.lane_id]
        for number in range(4):
            ids.append(subscribers.subscribe(self.services, KEY, self.clock(), f'http://host-{number}/').id)
            self.clock.advance(1)
        for each in ids:
            self.lanes.put('project-1', each, [deliveries.Entry('d1')], self.clock())
        found, after = [], None
        while page := self.lanes.find_due(self.clock(), 2, after):
            found += [lane.id for lane in page]
            after = (page[-1].due_at, page[-1].id)
        self.assertEqual(sorted(ids), sorted(found))

    def test_an_internal_queue_belongs_to_no_project_that_is_listed_or_counted(self):
        self.put('d1')
        self.assertEqual(['project-1'], self.services.projects.page())
        self.assertEqual(1, self.services.projects.usage(queues.PROJECT, 'project-1').queues)
        internal = (records.Condition('namespace', '=', queues.INTERNAL),)
        self.assertEqual(0, self.driver.records.count(tables.PROJECTS, internal, 10))

    def test_lanes_that_never_come_to_rest_are_unavailable(self):
        self.driver.records.replace = lambda table, records: [storage_errors.Stale() for _ in records]
        self.assertRaises(storage_errors.Unavailable, self.put, 'd1')
