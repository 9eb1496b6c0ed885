"""What became of deliveries: listed, read, forgotten and sent again."""

import msgspec

from queueservice.model import captures, deliveries, messages
from queueservice.storage import messages as store
from tests.api import base
from tests.fixtures import deliveries as fixtures
from tests.fixtures import subscriptions, tables

_AT = '2023-11-14T22:13:20Z'  # fixtures.NOW


class DeliveriesTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()
        self.clock.advance(fixtures.NOW - self.clock())
        self.services = self.service.services
        self.subscription = self.subscribe()
        self.base = f'/v2/queues/demo/subscriptions/{self.subscription.id}'

    def subscribe(self, queue='demo', **fields):
        key = fixtures.queue_key(queue)
        stored = self.services.queues.get(key)
        fields = {'now': self.clock(), 'queue': key, 'queue_id': stored.id, **fields}
        subscription = subscriptions.store(self.service.driver, subscriptions.build(**fields))
        self.services.lanes.open(subscription, self.clock())
        return subscription

    def end(self, place, outcome=deliveries.DELIVERED, subscription=None, **fields):
        """Let the delivery of message number `place` end; its id."""
        subscription_id = (subscription or self.subscription).id
        fields.setdefault('ended_at', fixtures.NOW + place)
        ended = fixtures.end(subscription_id, f'{place:024x}', outcome, **fields)
        self.services.deliveries.record([ended], self.clock())
        return ended.delivery.id

    def open(self, place, **fields):
        """Let message number `place` be on its way; the id of the delivery."""
        message_id = f'{place:024x}'
        entry = deliveries.Entry(
            deliveries.delivery_id(self.subscription.id, message_id),
            message_id=message_id,
            request_id='req-1',
            **fields,
        )
        self.services.lanes.put(base.PROJECT, self.subscription.id, [entry], self.clock())
        return entry.delivery_id

    def lane(self):
        """The entries of the lane, claimed or not, as [(Entry, Progress)]."""
        key = deliveries.lane_key(base.PROJECT, self.subscription.id)
        selection = store.Selection(limit=5000, include_claimed=True, include_delayed=True)
        page = self.service.driver.messages.select(self.services.queues.find(key), selection, self.clock())
        return [
            (
                msgspec.json.decode(one.body, type=deliveries.Entry),
                msgspec.json.decode(one.state or b'{}', type=deliveries.Progress),
            )
            for one in page.messages
        ]

    def take_lane(self):
        """Be the worker: claim what is in the lane and delete it; the entries."""
        key = deliveries.lane_key(base.PROJECT, self.subscription.id)
        lane = self.services.queues.find(key)
        entries = [entry for entry, _ in self.lane()]
        claim = messages.Claim(messages.new_id(), 60, self.clock() + 60)
        claimed = self.service.driver.messages.claim(lane, claim, 5000, self.clock(), keep_until=0).messages
        positions = [one.position for one in claimed]
        self.service.driver.messages.delete(lane, positions, self.clock(), claim_ids=[claim.id])
        return entries

    def list(self, href=None, **params):
        """(what a page shows, the next link or None)."""
        return self._page(self.get(href or f'{self.base}/deliveries', params=params, status=200), 'deliveries')

    def places(self, **params):
        """The numbers of the messages whose deliveries a page shows."""
        return [int(one['message_id'], 16) for one in self.list(limit=100, **params)[0]]

    def walk(self, **params):
        """The same over all pages."""
        found, href = self.list(**params)
        while href:
            more, href = self.list(href)
            found += more
        return [int(one['message_id'], 16) for one in found]

    def redeliver(self, status=202, **wanted):
        return self.post(f'{self.base}/redeliver', wanted, status=status).json


class TestShowing(DeliveriesTestCase):
    def test_one_that_ended_says_how(self):
        delivery_id = self.end(
            1, deliveries.FAILED, attempts=9, status=None, error='timeout', last_at=fixtures.NOW + 60
        )
        path = f'{self.base}/deliveries/{delivery_id}'
        shown = self.get(path, status=200).json
        self.assertEqual(
            {
                'delivery_id': delivery_id,
                'href': path,
                'kind': 'message',
                'message_id': f'{1:024x}',
                'outcome': 'failed',
                'attempts': 9,
                'first_at': _AT,
                'last_at': '2023-11-14T22:14:20Z',
                'next_at': None,
                'ended_at': '2023-11-14T22:13:21Z',
                'status': None,
                'error': 'timeout',
                'reason': 'The subscriber did not answer in time.',
                'request_id': 'req-1',
                'bucket_key': captures.bucket_key(base.PROJECT, 'demo'),
            },
            shown,
        )
        self.assertEqual([shown], self.list()[0])

    def test_one_that_is_open_says_how_far_it_is(self):
        delivery_id = self.open(1)
        [shown] = self.list()[0]
        self.assertEqual(
            ('open', 0, None, None), tuple(shown[name] for name in ('outcome', 'attempts', 'first_at', 'next_at'))
        )
        lane = self.services.queues.find(deliveries.lane_key(base.PROJECT, self.subscription.id))
        claim = messages.Claim(messages.new_id(), 60, self.clock() + 60)
        self.service.driver.messages.claim(lane, claim, 10, self.clock(), keep_until=0)
        progress = deliveries.Progress(2, 3, fixtures.NOW, fixtures.NOW + 1, 503, 'status')
        change = messages.Change(available_at=self.clock() + 30, state=msgspec.json.encode(progress))
        self.service.driver.messages.renew(lane, claim.id, [change], self.clock())
        shown = self.get(f'{self.base}/deliveries/{delivery_id}', status=200).json
        names = ('outcome', 'attempts', 'first_at', 'last_at', 'next_at', 'ended_at', 'status', 'error', 'request_id')
        self.assertEqual(
            ('open', 3, _AT, '2023-11-14T22:13:21Z', '2023-11-14T22:13:50Z', None, 503, 'status', 'req-1'),
            tuple(shown[name] for name in names),
        )
        self.assertEqual([shown], self.list()[0])

    def test_a_confirmation_is_about_no_message(self):
        ended = fixtures.end(self.subscription.id, '', kind=deliveries.CONFIRMATION)
        self.services.deliveries.record([ended], self.clock())
        [shown] = self.list()[0]
        self.assertEqual(('confirmation', None), (shown['kind'], shown['message_id']))

    def test_what_has_ended_and_lies_in_the_lane_still_has_ended(self):
        delivery_id = self.open(1)
        self.open(2)
        self.end(1)
        self.assertEqual([2, 1], self.walk(limit=1))
        self.assertEqual('delivered', self.get(f'{self.base}/deliveries/{delivery_id}').json['outcome'])

    @tables.each(*[(kind, kind) for kind in deliveries.KINDS])
    def test_an_open_one_is_found_however_long_it_waits(self, kind):
        patient = {'subscriber': 'https://patient.example', 'expires_at': self.clock() + 7 * 24 * 3600}
        self.subscription = self.subscribe(**patient)
        self.base = f'/v2/queues/demo/subscriptions/{self.subscription.id}'
        delivery_id = self.open(1, kind=kind)
        for _ in range(3):
            self.clock.advance(24 * 3600 / 3)
            while self.services.housekeeping.sweep():
                pass
        self.assertEqual(kind, self.get(f'{self.base}/deliveries/{delivery_id}', status=200).json['kind'])
        self.delete(f'{self.base}/deliveries/{delivery_id}', status=409)

    def test_one_that_is_sent_again_is_found_however_often(self):
        for attempts in (1, 2, 3):
            delivery_id = self.end(1, deliveries.FAILED, attempts=attempts)
            self.redeliver(delivery_id=delivery_id)
            shown = self.get(f'{self.base}/deliveries/{delivery_id}', status=200).json
            self.assertEqual(('open', attempts), (shown['outcome'], shown['attempts']))
            self.assertEqual([1], self.places(message_id=f'{1:024x}', outcome='open'))
            self.take_lane()

    def test_one_costs_no_more_where_more_are_open(self):
        last = deliveries.delivery_id(self.subscription.id, f'{99:024x}')
        select = self.service.driver.messages.select
        read = []

        def spy(queue, selection, now):
            page = select(queue, selection, now)
            read.extend(page.messages)
            return page

        for place in range(100):
            self.open(place)
        self.service.driver.messages.select = spy
        self.get(f'{self.base}/deliveries/{last}', status=200)
        self.places(message_id=f'{99:024x}')
        self.delete(f'{self.base}/deliveries/{last}', status=409)
        self.get(f'{self.base}/deliveries/x', status=404)
        self.assertEqual(3, len(read))

    def test_unknown_ones_are_404(self):
        other = self.end(1, subscription=self.subscribe(subscriber='https://other.example'))
        for delivery_id in (f'{self.subscription.id}-{1:024x}', other, 'x', '%00'):
            self.assert_refused(self.get(f'{self.base}/deliveries/{delivery_id}', status=404), 'Delivery')


class TestPages(DeliveriesTestCase):
    def test_open_ones_come_first_and_then_what_ended_last(self):
        for place in (1, 2, 3):
            self.end(place)
        for place in (9, 8):
            self.open(place)
        for limit in (1, 2, 3, 4, 5, 6):
            self.assertEqual([9, 8, 3, 2, 1], self.walk(limit=limit))

    def test_of_those_that_ended_at_once_none_is_lost(self):
        for place in range(7):
            self.end(place, ended_at=fixtures.NOW)
        self.assertEqual(list(range(7)), sorted(self.walk(limit=3)))

    def test_by_default_there_are_ten_on_a_page(self):
        for place in range(11):
            self.end(place)
        self.assertEqual(10, len(self.list()[0]))

    def test_it_is_empty_where_nothing_was_delivered(self):
        self.assertEqual(([], None), self.list())

    @tables.each(*[(outcome, outcome) for outcome in deliveries.OUTCOMES])
    def test_only_those_with_an_outcome(self, wanted):
        self.open(20)
        for index, outcome in enumerate(deliveries.OUTCOMES):
            self.end(index, outcome)
            self.end(10 + index, outcome)
        index = deliveries.OUTCOMES.index(wanted)
        self.assertEqual([10 + index, index], self.walk(limit=1, outcome=wanted))

    def test_only_the_open_ones(self):
        self.end(1)
        self.open(2)
        self.open(3)
        self.assertEqual([2, 3], self.walk(limit=1, outcome='open'))

    def test_only_those_since_a_time(self):
        self.open(9)
        for place in (0, 1, 2):
            self.end(place)
        for since in ('2023-11-14T22:13:21Z', '2023-11-14T22:13:21', '2023-11-14T22:13:20.5Z'):
            self.assertEqual([9, 2, 1], self.walk(limit=1, since=since))
        self.assertEqual([2], self.walk(outcome='delivered', since='2023-11-14T22:13:22Z'))

    def test_only_that_of_a_message(self):
        self.end(1)
        self.end(2)
        self.open(3)
        self.assertEqual([[1], [3], []], [self.places(message_id=f'{place:024x}') for place in (1, 3, 4)])
        self.assertEqual([], self.places(message_id=f'{1:024x}', outcome='failed'))
        self.assertEqual([1], self.places(message_id=f'{1:024x}', outcome='delivered', since='2023-11-14T22:13:21Z'))
        self.assertEqual([], self.places(message_id=f'{1:024x}', since='2023-11-14T22:13:22Z'))

    @tables.each(
        ('zero', 'limit', '0', 'Limit'),
        ('too many', 'limit', '101', 'Limit'),
        ('no number', 'limit', 'x', '"limit"'),
        ('an unknown outcome', 'outcome', 'lost', '"outcome"'),
        ('two outcomes', 'outcome', 'open,failed', '"outcome"'),
        ('a word', 'since', 'yesterday', '"since"'),
        ('a number', 'since', '1700000000', '"since"'),
        ('a day that is none', 'since', '2023-02-31T00:00:00Z', '"since"'),
        ('another zone', 'since', '2023-11-14T22:13:21+02:00', '"since"'),
        ('other digits', 'since', '٢٠٢٣-11-14T22:13:21', '"since"'),
        ('no marker', 'marker', 'x', '"marker"'),
        ('a negative place', 'marker', 'open.-1', '"marker"'),
        ('a far place', 'marker', 'open.' + '9' * 400, '"marker"'),
        ('no instant', 'marker', 'ended.nan.x', '"marker"'),
        ('a far instant', 'marker', 'ended.1e999.x', '"marker"'),
        ('half an instant', 'marker', 'ended.1.0', '"marker"'),
        ('a nul', 'marker', 'open.1\0', '"marker"'),
    )
    def test_a_parameter_cannot_be(self, name, value, words):
        self.assert_refused(self.get(f'{self.base}/deliveries', params={name: value}, status=400), words)

    def test_a_page_costs_no_more_where_there_are_more(self):
        driver = self.service.driver
        for place in range(300):
            self.end(place)
        found = driver.records.find
        looked = []
        driver.records.find = lambda table, query: looked.append(query.limit) or found(table, query)
        self.assertEqual(5, len(self.list(limit=5)[0]))
        self.assertLessEqual(sum(looked), 20)


class TestForgetting(DeliveriesTestCase):
    def test_one_that_ended_is_gone(self):
        path = f'{self.base}/deliveries/{self.end(1, deliveries.FAILED)}'
        self.delete(path, status=204)
        self.get(path, status=404)
        self.delete(path, status=204)
        self.assertEqual({'redelivered': 0, 'left': 0}, self.redeliver())

    def test_one_that_is_open_stays(self):
        again = self.end(2, deliveries.FAILED)
        self.redeliver(delivery_id=again)
        for delivery_id in (self.open(1), again):
            self.assert_refused(self.delete(f'{self.base}/deliveries/{delivery_id}', status=409), 'has not ended')
        self.assertEqual([2, 1], self.places())

    def test_one_of_another_subscription_stays(self):
        other = self.subscribe(subscriber='https://other.example')
        delivery_id = self.end(1, subscription=other)
        self.delete(f'{self.base}/deliveries/{delivery_id}', status=204)
        self.get(f'/queues/demo/subscriptions/{other.id}/deliveries/{delivery_id}', status=200)


class TestSendingAgain(DeliveriesTestCase):
    def test_one_is_open_again_and_not_shown_twice(self):
        delivery_id = self.end(1, deliveries.FAILED, attempts=4, status=503, error='status')
        self.assertEqual({'redelivered': 1, 'left': 0}, self.redeliver(delivery_id=delivery_id))
        [(entry, progress)] = self.lane()
        self.assertEqual((delivery_id, f'{1:024x}', 'req-1'), (entry.delivery_id, entry.message_id, entry.request_id))
        self.assertTrue(entry.again)
        self.assertEqual(len(deliveries.pack_message(fixtures.MESSAGE)), entry.size)
        before = {'total': 4, 'first_at': fixtures.NOW, 'last_at': fixtures.NOW, 'status': 503, 'error': 'status'}
        self.assertEqual(deliveries.Progress(attempts=0, **before), progress)
        [shown] = self.list()[0]
        self.assertEqual(('open', 4, None), (shown['outcome'], shown['attempts'], shown['ended_at']))
        self.assertEqual(
            (_AT, _AT, 503, 'status'), tuple(shown[name] for name in ('first_at', 'last_at', 'status', 'error'))
        )
        self.assertEqual([], self.places(outcome='failed'))
        self.assertEqual('open', self.get(f'{self.base}/deliveries/{delivery_id}').json['outcome'])
        self.assertEqual({delivery_id: fixtures.MESSAGE}, self.services.deliveries.find_messages([delivery_id]))

    def test_one_that_was_never_tried_has_not_been_yet(self):
        nothing = {'attempts': 0, 'first_at': None, 'last_at': None, 'status': None}
        self.end(1, deliveries.REFUSED, error='unconfirmed', **nothing)
        self.redeliver()
        [shown] = self.list()[0]
        self.assertEqual(nothing | {'error': None}, {name: shown[name] for name in (*nothing, 'error')})

    def test_its_lane_wants_to_be_looked_at(self):
        self.redeliver(delivery_id=self.end(1, deliveries.FAILED))
        [lane] = self.services.lanes.find_due(self.clock(), 10)
        self.assertEqual(self.subscription.id, lane.id)

    def test_asking_twice_sends_it_once(self):
        delivery_id = self.end(1, deliveries.REFUSED)
        self.redeliver(delivery_id=delivery_id)
        self.assertEqual({'redelivered': 0, 'left': 0}, self.redeliver(delivery_id=delivery_id))
        self.assertEqual({'redelivered': 0, 'left': 0}, self.redeliver())
        self.assertEqual(1, len(self.lane()))

    def test_when_it_has_failed_once_more_it_can_be_sent_once_more(self):
        for attempts in (1, 2, 3):
            delivery_id = self.end(1, deliveries.FAILED, attempts=attempts)
            self.assertEqual(1, self.redeliver(delivery_id=delivery_id)['redelivered'])
            [entry] = self.take_lane()
            self.assertEqual(attempts, entry.before.total)
        self.end(1)
        self.assertEqual(['delivered'], [one['outcome'] for one in self.list()[0]])

    def test_the_message_may_have_expired_long_ago(self):
        delivery_id = self.end(1, deliveries.FAILED)
        self.clock.advance(3000)
        while self.services.housekeeping.sweep():
            pass
        self.assertEqual(1, self.redeliver()['redelivered'])
        self.assertEqual([delivery_id], list(self.services.deliveries.find_messages([delivery_id])))

    def test_all_that_failed_or_were_refused_go(self):
        for index, outcome in enumerate(deliveries.OUTCOMES):
            self.end(index, outcome)
        self.end(7, deliveries.FAILED, keep=False)
        self.end(8, deliveries.FAILED, subscription=self.subscribe(subscriber='https://other.example'))
        self.assertEqual({'redelivered': 2, 'left': 0}, self.redeliver())
        self.assertEqual([1, 2], sorted(int(entry.message_id, 16) for entry, _ in self.lane()))

    def test_those_since_a_time_go(self):
        for place in range(4):
            self.end(place, deliveries.FAILED)
        self.assertEqual({'redelivered': 2, 'left': 0}, self.redeliver(since='2023-11-14T22:13:22Z'))
        self.assertEqual([2, 3], [int(entry.message_id, 16) for entry, _ in self.lane()])
        self.assertEqual([1, 0], self.places(outcome='failed'))

    def test_a_call_sends_a_thousand_and_says_how_many_are_left(self):
        self.services.deliveries.record(
            [
                fixtures.end(self.subscription.id, f'{place:024x}', deliveries.FAILED, ended_at=fixtures.NOW + place)
                for place in range(1100)
            ],
            self.clock(),
        )
        self.assertEqual({'redelivered': 1000, 'left': 100}, self.redeliver())
        self.assertEqual(list(range(1000)), [int(entry.message_id, 16) for entry, _ in self.lane()])
        self.assertEqual({'redelivered': 100, 'left': 0}, self.redeliver())

    @tables.each(*[(outcome, outcome) for outcome in ('delivered', 'expired', 'deleted')])
    def test_there_is_nothing_left_of_what_ended_as(self, outcome):
        delivery_id = self.end(1, outcome)
        answer = self.post(f'{self.base}/redeliver', {'delivery_id': delivery_id}, status=409)
        self.assert_refused(answer, delivery_id, outcome)
        self.assertEqual([], self.lane())

    def test_what_was_not_kept_cannot_be_sent(self):
        delivery_id = self.end(1, deliveries.FAILED, keep=False)
        self.redeliver(delivery_id=delivery_id, status=409)

    def test_an_open_one_goes_anyway(self):
        self.assertEqual({'redelivered': 0, 'left': 0}, self.redeliver(delivery_id=self.open(1)))
        self.assertEqual(1, len(self.lane()))

    def test_unknown_ones_are_404(self):
        other = self.end(1, deliveries.FAILED, self.subscribe(subscriber='https://other.example'))
        for delivery_id in (other, 'x', ''):
            self.redeliver(delivery_id=delivery_id, status=404)

    @tables.each(
        ('nothing', b'', 'can not be empty'),
        ('a list', b'[]', 'must be a dict'),
        ('null', b'null', 'must be a dict'),
        ('malformed', b'{', 'could not be parsed'),
        ('an unknown field', b'{"all":true}', '"all"'),
        ('both', b'{"delivery_id":"x","since":"2023-11-14T22:13:22Z"}', 'not both'),
        ('a number for an id', b'{"delivery_id":1}', '"delivery_id"'),
        ('a number for a time', b'{"since":1}', '"since"'),
        ('a word for a time', b'{"since":"yesterday"}', '"since"'),
        ('a time in another zone', b'{"since":"2023-11-14T22:13:22+02:00"}', '"since"'),
    )
    def test_it_cannot_be_asked_with(self, raw, words):
        self.end(1, deliveries.FAILED)
        self.assert_refused(self.post(f'{self.base}/redeliver', raw, status=400), words)
        self.assertEqual([], self.lane())

    def test_it_is_written_in_the_audit_log(self):
        with self.assertLogs('queueservice.audit') as logs:
            self.redeliver()
        self.assertIn('"subscription.redeliver"', logs.output[0])

    def test_so_is_that_one_was_dropped(self):
        one = self.end(1, deliveries.FAILED)
        with self.assertLogs('queueservice.audit') as logs:
            self.delete(f'{self.base}/deliveries/{one}', status=204)
        self.assertIn('"delivery.delete"', logs.output[0])
        self.assertIn(f'"{one}"', logs.output[0])

    def test_readers_cannot_ask(self):
        self.post(f'{self.base}/redeliver', {}, headers={'X-Roles': 'reader'}, status=403)


class TestSubscriptions(DeliveriesTestCase):
    def assert_none(self, path, **options):
        for method, end, body in (
            ('GET', 'deliveries', b''),
            ('GET', 'deliveries/x', b''),
            ('DELETE', 'deliveries/x', b''),
            ('POST', 'redeliver', {}),
        ):
            self.assert_refused(self.request(method, f'{path}/{end}', body, status=404, **options), 'Subscription')

    def test_an_unknown_one_is_404(self):
        for subscription_id in ('x', 'a' * 24, '%00'):
            self.assert_none(f'/queues/demo/subscriptions/{subscription_id}')

    def test_one_of_another_queue_is_404(self):
        self.make_queue('other')
        self.assert_none(f'/queues/other/subscriptions/{self.subscription.id}')
        self.assert_none(f'/queues/none/subscriptions/{self.subscription.id}')

    def test_one_of_another_project_is_404(self):
        self.make_queue(project='project-2')
        self.assert_none(self.base, project='project-2')

    def test_one_that_has_expired_is_404(self):
        self.clock.advance(3600)
        self.assert_none(self.base)

    def test_one_of_an_earlier_life_of_the_queue_is_404(self):
        self.delete('/queues/demo', status=204)
        self.assert_none(self.base)
        self.make_queue()
        self.assert_none(self.base)

    def test_one_that_ends_meanwhile_is_404(self):
        self.end(1, deliveries.FAILED)
        self.services.lanes.close(self.subscription.id, base.PROJECT)
        self.redeliver(status=404)
        self.assertEqual([1], self.places(outcome='failed'))
