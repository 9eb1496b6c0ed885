"""Turns: what waits in a lane is delivered, and what becomes of it is remembered."""

import base64
import concurrent.futures
import contextlib
import itertools
import tempfile
import threading

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.delivery import base
from queueservice.model import deliveries, messages, metadata, notifications, queues
from queueservice.model import subscriptions as subscriptions_model
from queueservice.services import attempts, sealing, turns
from queueservice.services import messages as messages_service
from queueservice.services import notifications as notifications_service
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store
from queueservice.storage import records, tables
from tests.fixtures import clock, drivers, faulty, mongodb, subscribers, subscriptions
from tests.fixtures import tables as tables_of_cases

KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')
RULES = deliveries.Rules()
POLICY = {
    'retries_with_no_delay': 1,
    'minimum_delay_retries': 1,
    'minimum_delay': 10,
    'maximum_delay': 20,
    'maximum_delay_retries': 1,
}

DOWN = base.Result(ok=False, retry=True, status=503, error='status')
GONE = base.Result(ok=False, status=410, error='status')
REFUSED = base.Result(ok=False, sent=False, error='address')


class TurnsTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver(self.make_driver())
        self.sender = subscribers.Sender()
        self.build()
        self.services.queues.create(KEY, {})

    def make_driver(self):
        return drivers.build_memory()

    def build(self, **options):
        options.setdefault('delivery', RULES)
        self.services = bootstrap.build_services(
            self.driver, bootstrap.Settings(**options), clock=self.clock, senders={'http': self.sender}
        )

    def subscribe(self, subscriber='http://receiver.example/', **options):
        return subscribers.subscribe(self.services, KEY, self.clock(), subscriber, **options)

    def post(self, *bodies, ttl=300, **fields):
        posted = [messages.Posted(msgspec.Raw(body), ttl, **fields) for body in bodies or [b'1']]
        return self.services.messages.post(KEY, posted, b'', size=10, request_id='req-1')

    def dispatch(self):
        return sum(self.services.notifications.dispatch(shard, self.clock()) for shard in range(deliveries.OUTBOXES))

    def turn(self, **options):
        """One turn of each lane that is due; how many those were."""
        due = self.services.lanes.find_due(self.clock(), 100)
        taken = self.services.turns.take(due) if due else []
        for lane in taken:
            self.services.turns.run(lane, **options)
        return len(taken)

    def work(self):
        """Go on until there is nothing to do at this instant."""
        while self.dispatch() + self.turn():
            pass

    def run_on(self, seconds):
        """Let time pass and do whatever comes due on the way."""
        until = self.clock() + seconds
        while True:
            self.work()
            due = [lane['due_at'] for lane in self.lanes() if lane['due_at'] is not None and lane['due_at'] <= until]
            if not due:
                self.clock.advance(max(until - self.clock(), 0))
                return
            self.clock.advance(max(min(due) - self.clock(), 0) + 0.001)

    def lanes(self):
        return self.driver.records.find(tables.LANES, records.Query(limit=100)).records

    def lane(self, subscription):
        return self.services.lanes.find([subscription.id])[subscription.id]

    def stats(self, subscription):
        queue = self.services.queues.find(deliveries.lane_key('project-1', subscription.id))
        return self.driver.messages.stats(queue, self.clock())

    def records(self):
        found = self.driver.records.find(tables.DELIVERIES, records.Query(limit=100)).records
        return {record['id']: record for record in found}

    def outcomes(self):
        return [record['outcome'] for record in self.records().values()]

    def sent(self):
        return [msgspec.json.decode(push.body) for push in self.sender.pushes]

    def bodies(self):
        return [document['body'] for document in self.sent()]


class Core:
    """What holds on every driver."""

    def test_what_is_posted_is_delivered_to_every_subscriber(self):
        first, second = self.subscribe(), self.subscribe('http://other.example/')
        ids = self.post(b'1', b'{"a": 2}')
        self.work()
        self.assertEqual(4, len(self.sender.pushes))
        expected = {deliveries.delivery_id(each.id, one) for each in (first, second) for one in ids}
        self.assertEqual(expected, {push.delivery_id for push in self.sender.pushes})
        self.assertEqual(expected, set(self.records()))
        self.assertEqual(['delivered'] * 4, self.outcomes())
        for each in (first, second):
            self.assertEqual(0, self.stats(each).total)
            self.assertIsNone(self.lane(each).due_at)
        self.assertEqual(0, self.dispatch())

    def test_a_subscriber_is_told_of_messages_in_their_order(self):
        self.subscribe()
        for first in range(0, 60, 10):
            self.post(*[b'%d' % number for number in range(first, first + 10)])
        self.work()
        self.assertEqual(list(range(60)), self.bodies())

    def test_a_delivery_that_fails_is_tried_again_and_given_up(self):
        subscription = self.subscribe(options={'_retry_policy': POLICY})
        (message_id,) = self.post()
        self.sender.results.extend([DOWN] * 100)
        self.run_on(600)
        (record,) = self.records().values()
        attempts_made = (
            1 + 1 + 1 + 2 + 1
        )  # once, at once again, after 10 s, growing from 10 to below 20 by 5, after 20 s
        self.assertEqual(attempts_made, len(self.sender.pushes))
        self.assertEqual(('failed', 503, 'status'), (record['outcome'], record['status'], record['error']))
        self.assertEqual(attempts_made, record['attempts'])
        self.assertEqual(list(range(1, attempts_made + 1)), [document['attempt'] for document in self.sent()])
        self.assertEqual('req-1', record['request_id'])
        self.assertEqual(message_id, record['message_id'])
        self.assertIsNotNone(record['message'])
        self.assertEqual(0, self.stats(subscription).total)

    def test_a_message_that_is_delayed_is_delivered_when_it_is_due(self):
        subscription = self.subscribe()
        self.post(b'1', delay=30)
        self.post(b'2')
        self.work()
        self.assertEqual([2], self.bodies())
        self.assertEqual(self.clock() + 30, self.lane(subscription).due_at)
        self.run_on(30)
        self.assertEqual([2, 1], self.bodies())
        self.assertEqual([None, 30], [document.get('delay') for document in self.sent()])

    def test_a_message_that_was_deleted_is_not_delivered(self):
        self.subscribe()
        (message_id,) = self.post()
        self.services.messages.delete(KEY, message_id)
        self.run_on(10)
        self.assertEqual([], self.sender.pushes)
        self.assertEqual(['deleted'], self.outcomes())

    def test_what_is_held_is_handed_back_untouched(self):
        subscription = self.subscribe()
        self.post(b'1', b'2', b'3')
        self.dispatch()
        stopping = threading.Event()
        self.sender.answer = lambda push: stopping.set() or base.Result(ok=True)
        self.turn(is_stopping=stopping.is_set)
        self.assertEqual([1], self.bodies())
        self.assertEqual(2, self.stats(subscription).free)
        stopping.clear()
        self.work()
        self.assertEqual([1, 2, 3], self.bodies())
        self.assertEqual([1, 1, 1], [document['attempt'] for document in self.sent()])

    def test_a_turn_that_was_cut_off_is_done_again_under_the_same_ids(self):
        subscription = self.subscribe()
        self.post(b'1', b'2')
        self.dispatch()
        self.driver.fail('messages.delete')
        self.assertRaises(storage_errors.Unavailable, self.turn)
        self.driver.heal()
        self.assertEqual(0, self.turn())
        self.clock.advance(self.services.turns.lease)
        self.work()
        self.assertEqual([1, 2, 1, 2], self.bodies())
        ids = [push.delivery_id for push in self.sender.pushes]
        self.assertEqual(ids[:2], ids[2:])
        self.assertEqual(0, self.stats(subscription).total)
        self.assertEqual(2, len(self.records()))


class TestOnMemory(Core, TurnsTestCase):
    pass


class TestOnSqlite(Core, TurnsTestCase):
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        driver = drivers.build_sqlite(folder.name)
        self.addCleanup(driver.close)
        return driver


class TestOnMongodb(Core, TurnsTestCase):
    def make_driver(self):
        return mongodb.build_driver(self)


class TestInterruptions(tables_of_cases.Tables, TurnsTestCase):
    @tables_of_cases.each(('before it is done', False), ('before its end is known', True))
    def test_whichever_call_of_the_store_is_cut_off(self, is_late):
        """The way of a message ends, and with one record, whatever is done again."""
        for number in itertools.count(1):
            self.begin_anew()
            subscription = self.subscribe()
            (message_id,) = self.post()
            self.driver.calls.clear()
            self.driver.fail(on_call=number, late=is_late)
            for _ in range(2):
                with contextlib.suppress(storage_errors.Unavailable):
                    self.work()
            calls = len(self.driver.calls)
            self.driver.heal()
            for _ in range(3):
                self.run_on(30)
            delivery_id = deliveries.delivery_id(subscription.id, message_id)
            self.assertEqual({delivery_id}, {push.delivery_id for push in self.sender.pushes}, f'call {number}')
            self.assertEqual([delivery_id], list(self.records()))
            self.assertEqual((0, None), (self.stats(subscription).total, self.lane(subscription).due_at))
            if number > calls:
                break
        self.assertGreater(number, 20)

    def begin_anew(self):
        self.driver = faulty.Driver(self.make_driver())
        self.sender = subscribers.Sender()
        self.build()
        self.services.queues.create(KEY, {})


class TestOutcomes(TurnsTestCase):
    def deliver(self, *results, seconds=0, options=None):
        """Post one message whose attempts have these results; the record of its delivery."""
        self.subscription = self.subscribe(options=options or {})
        self.sender.results.extend(results)
        self.post()
        self.run_on(seconds)
        records = list(self.records().values())
        self.assertLessEqual(len(records), 1)
        return records[0] if records else None

    def test_a_success_is_forgotten_after_a_while(self):
        record = self.deliver()
        self.assertEqual(('delivered', 200, None, 1), _end(record))
        self.assertEqual(self.clock() + RULES.retention, record['expires_at'])
        self.assertIsNone(record['message'])

    def test_what_trying_again_does_not_mend_is_tried_once(self):
        record = self.deliver(GONE)
        self.assertEqual(('failed', 410, 'status', 1), _end(record))
        self.assertIsNone(record['expires_at'])
        self.assertEqual(b'1', deliveries.unpack_message(record['message']).body)

    def test_what_may_not_be_sent_is_no_attempt(self):
        record = self.deliver(REFUSED)
        self.assertEqual(('refused', None, 'address', 0), _end(record))
        self.assertIsNone(record['first_at'])
        self.assertIsNone(self.lane(self.subscription).last_at)

    def test_a_retry_at_once_is_made_at_once(self):
        record = self.deliver(DOWN, options={'_retry_policy': POLICY})
        self.assertEqual(('delivered', 2), (record['outcome'], record['attempts']))
        self.assertEqual(record['first_at'], record['last_at'])

    def test_a_later_retry_waits_and_nothing_else_does(self):
        self.assertIsNone(self.deliver(DOWN, DOWN, options={'_retry_policy': POLICY}))
        self.assertEqual(2, len(self.sender.pushes))
        self.post(b'2')
        self.work()
        self.assertEqual([1, 1, 2], self.bodies())
        waits = self.lane(self.subscription).due_at - self.clock()
        self.assertTrue(10 <= waits <= 11, waits)
        self.run_on(12)
        self.assertEqual([1, 1, 2, 1], self.bodies())

    def test_the_queue_s_policy_holds_where_the_subscriber_has_none(self):
        self.services.queues.replace_metadata(KEY, {})
        self.services.queues.patch_metadata(KEY, [_set('_retry_policy', POLICY | {'retries_with_no_delay': 0})])
        self.deliver(DOWN)
        self.assertEqual(1, len(self.sender.pushes))

    def test_no_wait_is_longer_than_the_operator_says(self):
        self.build(delivery=msgspec.structs.replace(RULES, max_wait=3))
        self.deliver(DOWN, DOWN, options={'_retry_policy': POLICY})
        self.run_on(4)
        self.assertEqual(3, len(self.sender.pushes))

    def test_a_subscriber_who_asks_for_rest_gets_it(self):
        self.subscription = self.subscribe()
        self.sender.results.append(msgspec.structs.replace(DOWN, status=429, retry_after=60.0))
        self.post(b'1', b'2', b'3')
        self.work()
        self.post(b'4')
        self.work()
        self.assertEqual([1], self.bodies())
        self.assertEqual(self.clock() + 60, self.lane(self.subscription).due_at)
        self.run_on(61)
        self.assertEqual([1, 1, 2, 3, 4], self.bodies())

    def test_nobody_rests_longer_than_the_operator_says(self):
        self.deliver(msgspec.structs.replace(DOWN, retry_after=10.0**9))
        self.assertEqual(self.clock() + RULES.max_wait, self.lane(self.subscription).due_at)

    def test_a_message_that_expired_meanwhile_is_not_delivered(self):
        self.subscribe(options={'_retry_policy': POLICY})
        self.sender.results.extend([DOWN] * 100)
        self.post(ttl=60)
        self.work()
        self.clock.advance(60)
        self.work()
        (record,) = self.records().values()
        self.assertEqual(('expired', 2), (record['outcome'], record['attempts']))
        self.assertEqual(2, len(self.sender.pushes))

    def test_a_message_that_expires_before_its_turn_is_not_delivered(self):
        self.subscribe()
        self.sender.answer = lambda push: self.clock.advance(4) and base.Result(ok=True)
        self.post(b'1', b'2', b'3', ttl=60)
        self.clock.advance(53)
        self.work()
        self.assertEqual([1, 2], self.bodies())
        self.assertEqual(['delivered', 'delivered', 'expired'], self.outcomes())

    def test_a_message_that_a_consumer_has_claimed_is_delivered(self):
        self.subscribe()
        self.post()
        self.services.claims.create(KEY)
        self.work()
        self.assertEqual([1], self.bodies())

    def test_a_message_that_is_not_there_yet_is_waited_for(self):
        subscription = self.subscribe()
        (message_id,) = self.post()
        self.services.messages.delete(KEY, message_id)
        self.work()
        self.assertEqual((self.clock() + 1, []), (self.lane(subscription).due_at, self.outcomes()))
        self.run_on(1.5)
        self.assertEqual([], self.outcomes())
        self.run_on(4)
        self.assertEqual(['deleted'], self.outcomes())
        self.assertEqual(0, self.lane(subscription).failures)

    def test_a_sender_that_breaks_down_counts_as_a_failure(self):
        def answer(push):
            raise ZeroDivisionError

        self.sender.answer = answer
        record = self.deliver(options={'_retry_policy': POLICY}, seconds=600)
        self.assertEqual(('failed', 'connection'), (record['outcome'], record['error']))

    def test_a_message_of_which_no_body_can_be_made_holds_up_nobody(self):
        build = notifications.build

        def fail(message, **fields):
            if message.body == b'2':
                raise ZeroDivisionError
            return build(message, **fields)

        self.patch(notifications, 'build', fail)
        self.subscribe(options={'_retry_policy': POLICY})
        self.post(b'1', b'2', b'3')
        self.run_on(200)
        self.assertEqual([1, 3], self.bodies())
        self.assertEqual(['delivered', 'delivered', 'failed'], sorted(self.outcomes()))

    def test_what_nobody_can_send_is_refused(self):
        self.subscribe('gopher://receiver.example/')
        self.post()
        self.work()
        (record,) = self.records().values()
        self.assertEqual(('refused', 'address'), (record['outcome'], record['error']))

    def test_an_entry_that_nobody_can_read_holds_up_nobody(self):
        subscription = self.subscribe()
        self.post()
        self.dispatch()
        queue = self.services.queues.find(deliveries.lane_key('project-1', subscription.id))
        draft = messages.Draft(b'[', self.clock() + 1000)
        self.driver.messages.append(queue, [draft, messages.Draft(b'{}', self.clock() + 1000)], self.clock())
        self.work()
        self.assertEqual([1], self.bodies())
        self.assertEqual(0, self.stats(subscription).total)

    def test_a_fanout_that_nobody_can_read_holds_up_nobody(self):
        self.subscribe()
        self.post()
        for shard in range(deliveries.OUTBOXES):
            queue = self.services.queues.ensure(deliveries.outbox_key(shard))
            self.driver.messages.append(queue, [messages.Draft(b'[', self.clock() + 1000)], self.clock())
        self.work()
        self.assertEqual([1], self.bodies())

    def test_what_was_delivered_is_not_posted_again_by_a_repeated_post(self):
        self.subscribe()
        posted = [messages.Posted(msgspec.Raw(b'1'), 300)]
        for _ in range(2):
            idempotency = messages_service.Idempotency('key', b'digest')
            self.services.messages.post(KEY, posted, b'', size=10, idempotency=idempotency)
            self.work()
        self.assertEqual([1], self.bodies())


class TestBreaker(TurnsTestCase):
    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()
        self.is_down = True
        self.sender.answer = lambda push: DOWN if self.is_down else base.Result(ok=True, status=200)

    def test_it_opens_after_five_failures_in_a_row(self):
        self.post(*[b'%d' % number for number in range(50)])
        self.work()
        self.assertEqual([0, 1, 2, 3, 4], self.bodies())
        lane = self.lane(self.subscription)
        self.assertEqual((5, self.clock(), self.clock() + 10), (lane.failures, lane.opened_at, lane.due_at))
        self.assertEqual((503, 'status'), (lane.last_status, lane.last_error))
        self.assertEqual(50, self.stats(self.subscription).free)

    def test_then_one_entry_at_a_time_is_sent_after_longer_and_longer_rests(self):
        self.post(*[b'%d' % number for number in range(50)], ttl=86400)
        self.work()
        opened_at = self.clock()
        rests = []
        for _ in range(8):
            self.sender.pushes.clear()
            rests.append(self.lane(self.subscription).due_at - self.clock())
            self.clock.advance(rests[-1])
            self.work()
            self.assertEqual(1, len(self.sender.pushes))
        self.assertEqual([10, 20, 40, 80, 160, 300, 300, 300], rests)
        self.assertEqual(opened_at, self.lane(self.subscription).opened_at)

    def test_it_closes_when_that_one_is_delivered(self):
        self.post(*[b'%d' % number for number in range(50)])
        self.work()
        self.is_down = False
        self.run_on(11)
        lane = self.lane(self.subscription)
        self.assertEqual((0, None, None, 200), (lane.failures, lane.opened_at, lane.last_error, lane.last_status))
        self.assertEqual(['delivered'] * 50, self.outcomes())

    def test_a_backlog_of_any_length_costs_four_writes_a_rest(self):
        self.post(*[b'%d' % number for number in range(100)])
        self.work()
        self.driver.calls.clear()
        self.clock.advance(10)
        self.work()
        writes = [call for call in self.driver.calls if call.split('.')[1] in ('replace', 'claim', 'renew', 'delete')]
        self.assertEqual(['records.replace', 'messages.claim', 'messages.renew', 'records.replace'], writes)

    def change_subscriber(self):
        wanted = subscriptions_model.Wanted('http://corrected.example/')
        self.services.subscriptions.update(KEY, self.subscription.id, wanted)

    def assert_corrected(self):
        self.is_down = False
        self.sender.pushes.clear()
        self.work()
        self.assertEqual({'http://corrected.example/'}, {push.target for push in self.sender.pushes})
        self.assertEqual({0, 1, 2, 3, 4, 5}, set(self.bodies()))
        lane = self.lane(self.subscription)
        self.assertEqual((0, None, None, 200), (lane.failures, lane.opened_at, lane.last_error, lane.last_status))
        self.assertEqual('corrected.example', lane.site)

    def test_another_subscriber_begins_anew(self):
        self.begin_with_a_mistake()
        self.work()
        self.assertIsNotNone(self.lane(self.subscription).rests_until)
        self.change_subscriber()
        lane = self.lane(self.subscription)
        self.assertEqual((0, None, None), (lane.failures, lane.opened_at, lane.rests_until))
        self.assertIsNone(lane.last_at)
        self.assert_corrected()

    def test_so_does_one_who_comes_in_the_middle_of_a_turn(self):
        self.begin_with_a_mistake()

        def answer(push):
            if len(self.sender.pushes) == 5:
                self.change_subscriber()
            return DOWN if 'mistaken' in push.target else base.Result(ok=True, status=200)

        self.sender.answer = answer
        self.dispatch()
        self.turn()
        lane = self.lane(self.subscription)
        self.assertEqual((0, None, None, None), (lane.failures, lane.opened_at, lane.rests_until, lane.leased_by))
        self.assert_corrected()

    def begin_with_a_mistake(self):
        self.services.subscriptions.delete(KEY, self.subscription.id)
        policy = {'retries_with_no_delay': 9}
        self.subscription = self.subscribe('http://mistaken.example/', options={'_retry_policy': policy})
        self.post(*[b'%d' % number for number in range(6)])

    def test_one_who_stays_does_not_begin_anew(self):
        self.post(*[b'%d' % number for number in range(6)])
        self.work()
        before = self.lane(self.subscription)
        wanted = subscriptions_model.Wanted(self.subscription.subscriber)
        self.services.subscriptions.update(KEY, self.subscription.id, wanted)
        self.assertEqual(before, self.lane(self.subscription))

    def test_answers_that_no_retry_mends_keep_it_closed(self):
        self.sender.answer = lambda push: GONE
        self.post(*[b'%d' % number for number in range(10)])
        self.work()
        self.assertEqual(['failed'] * 10, self.outcomes())
        self.assertEqual((0, 410), (self.lane(self.subscription).failures, self.lane(self.subscription).last_status))

    def test_messages_lose_no_attempts_by_it(self):
        self.post(*[b'%d' % number for number in range(20)])
        self.work()
        self.is_down = False
        self.run_on(60)
        attempts_made = sorted(record['attempts'] for record in self.records().values())
        self.assertEqual([1] * 15 + [2] * 5, attempts_made)


class TestConfirmation(TurnsTestCase):
    def put(self, subscription, kind, name='c1'):
        entry = deliveries.Entry(deliveries.delivery_id(subscription.id, name), kind)
        self.services.lanes.put('project-1', subscription.id, [entry], self.clock())

    def test_one_who_has_not_confirmed_is_asked(self):
        subscription = self.subscribe(confirmed=False)
        self.put(subscription, deliveries.CONFIRMATION)
        self.work()
        (push,) = self.sender.pushes
        self.assertEqual(('SubscriptionConfirmation', 'confirmation'), (self.sent()[0]['Message_Type'], push.kind))
        (record,) = self.records().values()
        self.assertEqual(('confirmation', 'delivered'), (record['kind'], record['outcome']))

    def test_one_who_has_confirmed_meanwhile_is_not_asked(self):
        subscription = self.subscribe()
        self.put(subscription, deliveries.CONFIRMATION)
        self.work()
        self.assertEqual(([], {}, 0), (self.sender.pushes, self.records(), self.stats(subscription).total))

    def test_one_who_confirms_at_once_gets_what_is_posted_while_the_question_is_being_answered(self):
        subscription = self.subscribe(confirmed=False)

        def answer(push):
            if push.kind == deliveries.CONFIRMATION:
                self.services.subscriptions.confirm(KEY, subscription.id, True, by_subscriber=True)
                self.post()
                self.dispatch()
            return base.Result(ok=True, status=200)

        self.sender.answer = answer
        self.put(subscription, deliveries.CONFIRMATION)
        self.turn()
        self.assertEqual(['SubscriptionConfirmation', 'Notification'], [one['Message_Type'] for one in self.sent()])
        self.assertEqual(['delivered', 'delivered'], self.outcomes())

    def test_one_who_wants_no_more_is_told_how_to_come_back(self):
        subscription = self.subscribe(confirmed=False)
        self.put(subscription, deliveries.FAREWELL)
        self.work()
        self.assertEqual('UnsubscribeConfirmation', self.sent()[0]['Message_Type'])

    def test_nobody_is_asked_twice_a_minute(self):
        subscription = self.subscribe(confirmed=False)
        self.put(subscription, deliveries.CONFIRMATION, 'c1')
        self.put(subscription, deliveries.CONFIRMATION, 'c2')
        self.run_on(59)
        self.assertEqual(1, len(self.sender.pushes))
        self.run_on(2)
        self.assertEqual(2, len(self.sender.pushes))

    def test_a_request_that_failed_is_tried_again_a_minute_later(self):
        # Whatever the policy says, which is what a tenant says who may have named the address of somebody else.
        subscription = self.subscribe(
            confirmed=False, options={'_retry_policy': POLICY | {'retries_with_no_delay': 100}}
        )
        self.sender.results.extend([DOWN] * 100)
        self.put(subscription, deliveries.CONFIRMATION)
        self.run_on(59)
        self.assertEqual(1, len(self.sender.pushes))
        self.run_on(180)
        self.assertEqual(4, len(self.sender.pushes))

    def test_one_who_has_not_confirmed_gets_no_messages(self):
        subscription = self.subscribe()
        self.post()
        subscriptions.store(self.driver, msgspec.structs.replace(subscription, confirmed=False))
        self.work()
        (record,) = self.records().values()
        self.assertEqual(('refused', 'unconfirmed', 0), (record['outcome'], record['error'], record['attempts']))
        self.assertEqual([], self.sender.pushes)


class TestEnds(TurnsTestCase):
    def test_a_lane_whose_subscription_is_gone_is_left_alone(self):
        subscription = self.subscribe()
        self.post()
        self.dispatch()
        self.services.subscriptions.delete(KEY, subscription.id)
        self.work()
        self.assertIsNone(self.lane(subscription).due_at)
        self.assertEqual([], self.sender.pushes)
        self.services.subscriptions.finish(self.clock(), 100)
        self.assertEqual([], self.lanes())

    def test_one_that_is_renewed_at_the_last_moment_gets_what_waits(self):
        subscription = self.subscribe()
        self.clock.advance(3599.5)
        self.post()
        self.dispatch()
        # This worker's clock is ahead.
        self.clock.advance(1)
        self.turn()
        self.clock.advance(-1)
        self.services.subscriptions.update(KEY, subscription.id, subscriptions_model.Wanted(ttl=3600))
        self.work()
        self.assertEqual([1], self.bodies())

    def test_nothing_is_remembered_of_one_that_ends_in_the_middle_of_a_turn(self):
        subscription = self.subscribe()

        def end(push):
            self.services.subscriptions.delete(KEY, subscription.id)
            self.services.subscriptions.finish(self.clock(), 100)
            return GONE

        self.sender.answer = end
        self.post()
        self.work()
        self.assertEqual(['failed'], self.outcomes())
        self.services.subscriptions.finish(self.clock(), 100)
        self.assertEqual([], self.outcomes())
        self.assertEqual([], self.lanes())

    def test_one_that_ends_under_a_turn_that_was_killed_is_cleared_away_later(self):
        subscription = self.subscribe()
        self.post()
        self.dispatch()
        self.services.turns.take(self.services.lanes.find_due(self.clock(), 10))
        self.services.subscriptions.delete(KEY, subscription.id)
        self.assertEqual(0, self.services.subscriptions.finish(self.clock(), 100))
        self.clock.advance(self.services.turns.lease)
        self.assertEqual(1, self.services.subscriptions.finish(self.clock(), 100))
        self.assertEqual([], self.lanes())

    def test_a_subscription_to_an_earlier_life_of_the_queue_gets_nothing(self):
        subscription = self.subscribe()
        self.post()
        self.dispatch()
        self.services.queues.delete(KEY, subscription.queue_id)
        self.services.queues.create(KEY, {})
        self.post(b'2')
        self.work()
        self.assertEqual([], self.sender.pushes)

    def test_a_queue_that_is_made_again_keeps_nobody_waiting(self):
        subscription = self.subscribe()
        self.services.queues.find(KEY)
        self.services.queues.delete(KEY, subscription.queue_id)
        self.services.queues.create(KEY, {})
        self.subscribe()
        self.post(b'2')
        self.work()
        self.assertEqual([2], self.bodies())

    def test_an_outbox_that_is_gone_is_made_again(self):
        self.subscribe()
        self.post(b'1')
        other = bootstrap.build_services(self.driver, clock=self.clock)
        for shard in range(deliveries.OUTBOXES):
            queue = other.queues.load(deliveries.outbox_key(shard))
            if queue is not None:
                other.queues.delete(queue.key, queue.id)
        self.post(b'2')
        self.work()
        self.assertEqual([2], self.bodies())

    def test_a_lane_that_is_gone_in_the_middle_of_a_turn_is_no_fault(self):
        subscription = self.subscribe()
        self.sender.answer = lambda push: (
            self.services.lanes.close(subscription.id, 'project-1') or base.Result(ok=True)
        )
        self.post()
        self.work()
        self.assertEqual(['delivered'], self.outcomes())

    def test_an_outcome_is_remembered_before_the_entry_goes(self):
        self.subscribe()
        self.post()
        self.dispatch()
        self.driver.calls.clear()
        self.turn()
        calls = [call for call in self.driver.calls if call in ('records.insert', 'messages.delete')]
        self.assertEqual(['records.insert', 'messages.delete'], calls)


class TestFanout(TurnsTestCase):
    def test_a_post_without_subscribers_costs_what_it_always_did(self):
        self.post()
        self.driver.calls.clear()
        self.post()
        self.assertEqual(['messages.append'], self.driver.calls)

    def test_with_subscribers_it_is_one_call_too(self):
        self.subscribe()
        self.post()
        self.driver.calls.clear()
        self.post()
        self.assertEqual(['messages.append'], self.driver.calls)

    def test_who_has_many_subscribers_is_dispatched_in_parts(self):
        self.patch(notifications_service, '_MOST_ENTRIES', 5)
        subscriptions_ = [self.subscribe(f'http://{number}.example/') for number in range(8)]
        self.post(b'1', b'2')
        self.post(b'3')
        rounds = 0
        while self.dispatch():
            rounds += 1
            put = sum(self.stats(one).total for one in subscriptions_)
            self.assertLessEqual(put, 5 * rounds)
        self.assertEqual(24, put)
        self.turn()
        for one in subscriptions_:
            sent = [push for push in self.sender.pushes if push.target == one.subscriber]
            self.assertEqual([1, 2, 3], [msgspec.json.decode(push.body)['body'] for push in sent])

    def test_dead_letters_are_delivered_to_the_subscribers_of_their_queue(self):
        letters = KEY._replace(name='letters')
        self.services.queues.create(letters, {})
        self.services.queues.patch_metadata(KEY, [_set('_dead_letter_queue', 'letters'), _set('_max_claim_count', 1)])
        subscribers.subscribe(self.services, letters, self.clock())
        self.post(b'"poison"', ttl=3600)
        for _ in range(2):
            self.services.claims.create(KEY, ttl=60)
            self.clock.advance(61)
        self.work()
        (document,) = self.sent()
        self.assertEqual(('poison', 'letters'), (document['body'], document['queue_name']))

    def test_who_confirms_after_a_post_is_not_told_of_it(self):
        self.post(b'1')
        self.subscribe()
        self.post(b'2')
        self.work()
        self.assertEqual([2], self.bodies())

    def test_what_another_process_does_not_know_yet_is_not_missed(self):
        other = bootstrap.build_services(self.driver, clock=self.clock)
        other.messages.post(KEY, [messages.Posted(msgspec.Raw(b'1'), 300)], b'', size=10)
        self.subscribe()
        other.messages.post(KEY, [messages.Posted(msgspec.Raw(b'2'), 300)], b'', size=10)
        self.work()
        self.assertEqual([2], self.bodies())


class TestEncryption(TurnsTestCase):
    def build(self, **options):
        key = sealing.read_key('k1:' + base64.b64encode(b'1' * 32).decode())
        super().build(**({'keys': (key,)} | options))

    def setUp(self):
        super().setUp()
        self.services.queues.patch_metadata(KEY, [_set('_enable_encrypt_messages', True)])

    def test_what_is_sealed_is_opened_for_the_subscriber(self):
        self.subscribe()
        self.post(b'"secret"')
        self.work()
        self.assertEqual(['secret'], self.bodies())

    def test_what_is_kept_of_a_failure_stays_sealed(self):
        self.subscribe()
        self.sender.results.append(GONE)
        self.post(b'"secret"')
        self.work()
        (record,) = self.records().values()
        self.assertEqual('failed', record['outcome'])
        self.assertNotIn(b'secret', record['message'])

    def test_without_the_key_it_is_tried_again_and_the_subscriber_is_not_blamed(self):
        subscription = self.subscribe(options={'_retry_policy': POLICY})
        self.post(b'"secret"', ttl=86400)
        self.build(keys=())
        self.run_on(600)
        (record,) = self.records().values()
        self.assertEqual(('failed', 'encryption'), (record['outcome'], record['error']))
        self.assertEqual((0, None), (self.lane(subscription).failures, self.lane(subscription).last_at))
        self.assertEqual([], self.sender.pushes)

    def test_what_is_damaged_is_not_tried_again(self):
        self.subscribe()
        (message_id,) = self.post(b'"secret"')
        queue = self.services.queues.get(KEY)
        position = messages.decode_position(queue.id, message_id)
        (message,) = self.driver.messages.select(queue, store.Selection((position,)), self.clock()).messages
        self.services.messages.delete(KEY, message_id)
        damaged = messages.Draft(message.body[:-1] + bytes((message.body[-1] ^ 1,)), self.clock() + 300)
        self.services.notifications.append(queue, [damaged], self.clock())
        self.run_on(10)
        self.assertEqual({'deleted', 'refused'}, set(self.outcomes()))


class TestAgain(TurnsTestCase):
    def fail(self):
        self.sender.results.append(GONE)
        (message_id,) = self.post(b'"lost"', ttl=60)
        self.work()
        self.services.messages.delete(KEY, message_id)
        return deliveries.delivery_id(self.subscription.id, message_id), message_id

    def put(self, delivery_id, message_id, tried=1):
        before = deliveries.Progress(total=tried, first_at=1, last_at=2, status=410, error='status')
        entry = deliveries.Entry(delivery_id, message_id=message_id, again=1, before=before)
        self.services.lanes.put('project-1', self.subscription.id, [entry], self.clock())

    def setUp(self):
        super().setUp()
        self.subscription = self.subscribe()

    def test_what_is_gone_is_sent_from_its_record(self):
        delivery_id, message_id = self.fail()
        self.clock.advance(3600)
        subscriptions.store(self.driver, msgspec.structs.replace(self.subscription, expires_at=self.clock() + 10))
        self.put(delivery_id, message_id)
        self.work()
        self.assertEqual(['lost', 'lost'], self.bodies())
        self.assertEqual([1, 2], [document['attempt'] for document in self.sent()])
        self.assertEqual('delivered', self.records()[delivery_id]['outcome'])
        record = self.records()[delivery_id]
        self.assertEqual((2, 1, self.clock()), tuple(record[name] for name in ('attempts', 'first_at', 'last_at')))

    def test_it_may_fail_again(self):
        delivery_id, message_id = self.fail()
        self.sender.results.append(GONE)
        self.put(delivery_id, message_id)
        self.work()
        self.assertEqual('failed', self.records()[delivery_id]['outcome'])
        self.assertIsNotNone(self.records()[delivery_id]['message'])

    def test_its_policy_begins_anew(self):
        delivery_id, message_id = self.fail()
        self.sender.results.append(DOWN)
        self.put(delivery_id, message_id, tried=50)
        self.work()
        self.assertEqual('delivered', self.records()[delivery_id]['outcome'])
        self.assertEqual(52, self.records()[delivery_id]['attempts'])

    def test_what_nobody_kept_is_deleted(self):
        delivery_id, message_id = self.fail()
        self.services.deliveries.clear(self.subscription.id, 10)
        self.put(delivery_id, message_id)
        self.work()
        self.assertEqual('deleted', self.records()[delivery_id]['outcome'])


class TestBounds(TurnsTestCase):
    def test_a_turn_begins_nothing_after_one_timeout(self):
        subscription = self.subscribe()
        self.sender.answer = lambda push: self.clock.advance(4) and base.Result(ok=True)
        self.post(*[b'%d' % number for number in range(10)])
        self.dispatch()
        self.turn()
        self.assertEqual([0, 1, 2], self.bodies())
        self.assertEqual((self.clock(), None), (self.lane(subscription).due_at, self.lane(subscription).leased_by))
        self.work()
        self.assertEqual(list(range(10)), self.bodies())

    def test_a_turn_ends_after_a_batch(self):
        subscription = self.subscribe()
        for number in range(60):
            self.post(b'%d' % number)
        self.dispatch()
        self.turn()
        self.assertEqual(turns.BATCH, len(self.sender.pushes))
        self.assertEqual(self.clock(), self.lane(subscription).due_at)

    def post_large(self, *sizes):
        """Post messages of so many bytes; what is read of them from now on, as a list of sizes for each reading."""
        for size in sizes:
            self.post(b'"' + b'x' * (size - 2) + b'"')
        self.dispatch()
        readings = []
        select = self.driver.messages.select

        def spy(queue, selection, now):
            page = select(queue, selection, now)
            if selection.positions:
                readings.append([len(message.body) for message in page.messages])
            return page

        self.driver.messages.select = spy
        return readings

    def test_what_is_large_is_read_and_put_away_in_pieces(self):
        subscription = self.subscribe()
        third = turns.MOST_BYTES // 3
        sizes = [third, third, third, 10, 10, 2 * turns.MOST_BYTES, 10, third]
        readings = self.post_large(*sizes)
        put_away = []
        self.sender.answer = lambda push: put_away.append(len(self.records())) or base.Result(ok=True)
        self.turn()
        self.assertEqual([[third] * 3, [10, 10], [2 * turns.MOST_BYTES], [10, third]], readings)
        self.assertEqual([0, 0, 0, 3, 3, 5, 6, 6], put_away)
        self.assertEqual(sizes, [len(body) + 2 for body in self.bodies()])
        self.assertEqual(['delivered'] * 8, self.outcomes())
        self.assertEqual(0, self.stats(subscription).total)

    def test_the_other_pieces_are_handed_back_where_the_subscriber_wants_rest(self):
        subscription = self.subscribe()
        readings = self.post_large(*[turns.MOST_BYTES] * 4)
        self.sender.results.extend(
            [base.Result(ok=True), base.Result(ok=False, retry=True, status=503, error='status', retry_after=60)]
        )
        self.turn()
        self.assertEqual(2, len(readings))
        self.assertEqual(3, self.stats(subscription).free)
        self.run_on(120)
        self.assertEqual([1, 1, 1, 1, 2], sorted(document['attempt'] for document in self.sent()))
        self.assertEqual(['delivered'] * 4, self.outcomes())

    def test_the_other_pieces_are_handed_back_when_time_is_up(self):
        subscription = self.subscribe()
        readings = self.post_large(*[turns.MOST_BYTES] * 4)
        self.sender.answer = lambda push: self.clock.advance(6) and base.Result(ok=True)
        self.turn()
        self.assertEqual(2, len(readings))
        self.assertEqual(2, self.stats(subscription).free)
        self.work()
        self.assertEqual([1] * 4, [document['attempt'] for document in self.sent()])

    def test_others_help_where_a_subscriber_is_slow(self):
        self.subscribe()
        together = threading.Barrier(2, timeout=30)

        def answer(push):
            if msgspec.json.decode(push.body)['body'] == 0:
                self.clock.advance(2 * attempts.SLOW)
            else:
                together.wait()
            return base.Result(ok=True)

        self.sender.answer = answer
        self.post(*[b'%d' % number for number in range(5)])
        self.dispatch()
        with concurrent.futures.ThreadPoolExecutor(attempts.HELPERS) as pool:
            self.turn(lend=pool.submit)
        self.assertEqual(['delivered'] * 5, self.outcomes())

    def test_nobody_helps_where_one_is_quick(self):
        self.subscribe()
        self.post(*[b'%d' % number for number in range(5)])
        self.dispatch()
        self.turn(lend=lambda work: self.fail('It was asked for help.'))
        self.assertEqual(list(range(5)), self.bodies())


def _end(record):
    return record['outcome'], record['status'], record['error'], record['attempts']


def _set(name, value):
    return metadata.Operation('add', name, value)
