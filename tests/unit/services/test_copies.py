"""Copies of messages into other queues of the project: what they are, and what stops them."""

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.delivery import base
from queueservice.model import deliveries, limits, messages, queues, quotas
from queueservice.services import copies, sealing
from queueservice.storage import messages as store
from tests.fixtures import clock, faulty, subscribers, tables

_KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')
_COPIES = _KEY._replace(name='copies')
_TARGET = 'queue:copies'


class TestCopies(tables.Tables, testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver()
        self.begin()

    def begin(self, project=None, keys=(), **bounds):
        """Serve with these limits and keys from now on."""
        bounds = limits.Limits(project=project or quotas.Quotas(), **bounds)
        settings = bootstrap.Settings(limits=bounds, keys=keys)
        self.services = bootstrap.build_services(self.driver, settings, clock=self.clock)
        self.sender = copies.Copies(
            self.services.queues, self.services.notifications, self.services.quotas, bounds, sealing.Sealing(keys)
        )

    def post(self, key=_KEY, body=b'{"e": 1}', **fields):
        """Post a message, and read it as a worker does."""
        posted = messages.Posted(msgspec.Raw(body), **({'ttl': 300} | fields))
        [message_id] = self.services.messages.post(key, [posted], b'client', size=len(body))
        return self.services.messages.get(key, message_id).messages[0]

    def push(self, message, target=_TARGET, key=_KEY, delivery_id='s-m'):
        queue = self.services.queues.get(key)
        return base.Push(target, b'{}', delivery_id, self.clock(), queue=queue, message=message)

    def copies(self, key=_COPIES):
        return self.services.messages.page(key).messages

    def test_a_copy_is_a_message_of_its_own(self):
        message = self.post()
        self.clock.advance(100)
        self.assertEqual(base.Result(ok=True), self.sender.send(self.push(message)))
        [copy] = self.copies()
        self.assertEqual(
            (b'{"e": 1}', b'client', 300, self.clock()), (copy.body, copy.client, copy.ttl, copy.created_at)
        )
        message_id = messages.encode_position(self.services.queues.get(_KEY).id, message.position)
        self.assertEqual(
            messages.State(
                copied_from=messages.Origin('demo', message_id), hops=1, visited=('demo',), first=message_id
            ),
            messages.read_state(copy),
        )
        self.assertEqual([message], self.services.messages.page(_KEY).messages)

    def test_it_waits_for_nobody(self):
        self.services.queues.create(_COPIES, {'_default_message_delay': 60})
        self.sender.send(self.push(self.post(delay=50)))
        self.assertEqual([0], [copy.available_at for copy in self.copies()])

    def test_another_attempt_makes_no_second_one(self):
        push = self.push(self.post())
        for seconds in (0, 100):
            self.clock.advance(seconds)
            self.assertTrue(self.sender.send(push).ok)
        [copy] = self.copies()
        self.services.messages.delete(
            _COPIES, messages.encode_position(self.services.queues.get(_COPIES).id, copy.position)
        )
        self.assertTrue(self.sender.send(push).ok)
        self.assertEqual([], self.copies())

    def test_each_message_makes_its_own(self):
        for _ in range(2):
            self.sender.send(self.push(self.post()))
        self.assertEqual(2, len(self.copies()))

    def test_one_that_comes_by_two_ways_is_stored_once(self):
        message = self.post()
        for name in ('left', 'right'):
            key = _KEY._replace(name=name)
            self.sender.send(self.push(message, f'queue:{name}', delivery_id=f'from-demo-to-{name}'))
            [copy] = self.copies(key)
            self.assertTrue(self.sender.send(self.push(copy, key=key, delivery_id=f'from-{name}')).ok)
        self.assertEqual(1, len(self.copies()))

    def test_five_hops_and_no_more(self):
        key, message = _KEY, self.post()
        for hop in range(1, deliveries.MAX_HOPS + 1):
            target = _KEY._replace(name=f'hop-{hop}')
            self.assertTrue(self.sender.send(self.push(message, f'queue:hop-{hop}', key)).ok)
            [message], key = self.copies(target), target
        result = self.sender.send(self.push(message, 'queue:hop-6', key))
        self.assertEqual(base.Result(ok=False, sent=False, error='hops'), result)
        self.assertIsNone(self.services.queues.load(_KEY._replace(name='hop-6')))

    def test_no_queue_gets_it_twice(self):
        message = self.post()
        self.assertTrue(self.sender.send(self.push(message)).ok)
        [copy] = self.copies()
        third = _KEY._replace(name='third')
        self.assertTrue(self.sender.send(self.push(copy, 'queue:third', _COPIES)).ok)
        [copy] = self.copies(third)
        for name in ('demo', 'copies', 'third'):
            result = self.sender.send(self.push(copy, f'queue:{name}', third))
            self.assertEqual(base.Result(ok=False, sent=False, error='hops'), result)
        self.assertTrue(self.sender.send(self.push(copy, 'queue:fourth', third)).ok)

    def test_what_a_queue_takes_now_counts(self):
        self.services.queues.create(_COPIES, {'_max_messages_post_size': 2})
        message = self.post()
        self.assertEqual(base.Result(ok=False, error='queue'), self.sender.send(self.push(message)))
        # Another process changes it.
        other = bootstrap.build_services(self.driver, clock=self.clock)
        other.queues.replace_metadata(_COPIES, {'_max_messages_post_size': 100})
        self.assertTrue(self.sender.send(self.push(message)).ok)

    def test_a_dead_letter_is_as_far_as_its_message_was(self):
        self.services.queues.create(_COPIES, {'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.sender.send(self.push(self.post()))
        for _ in range(2):
            self.services.claims.create(_COPIES, ttl=60, grace=60, limit=1)
            self.clock.advance(61)
        [letter] = self.copies(_KEY._replace(name='dead'))
        state = messages.read_state(letter)
        self.assertEqual((1, 'copies', 'demo'), (state.hops, state.dead_letter.queue, state.copied_from.queue))

    def test_who_subscribed_to_the_copies_is_told(self):
        self.services.queues.create(_COPIES, {})
        subscription = subscribers.subscribe(self.services, _COPIES, self.clock())
        self.sender.send(self.push(self.post()))
        for shard in range(deliveries.OUTBOXES):
            self.services.notifications.dispatch(shard, self.clock())
        lane = deliveries.lane_key('project-1', subscription.id)
        self.assertEqual(1, self.services.queues.stats(lane)[1].total)

    # What is encrypted

    def test_a_queue_that_is_made_for_it_encrypts_as_its_own_did(self):
        self.begin(keys=(sealing.new_key(),))
        self.services.queues.create(_KEY, {'_enable_encrypt_messages': True})
        message = self.post()
        self.sender.send(self.push(message))
        self.assertEqual([b'{"e": 1}'], [copy.body for copy in self.copies()])
        self.assertTrue(self.services.queues.get(_COPIES).settings.enable_encrypt_messages)

    @tables.each(
        ('closed to open', True, False),
        ('open to closed', False, True),
        ('closed to closed', True, True),
    )
    def test_from(self, source, target):
        self.begin(keys=(sealing.new_key(),))
        self.services.queues.create(_KEY, {'_enable_encrypt_messages': source})
        self.services.queues.create(_COPIES, {'_enable_encrypt_messages': target})
        self.assertTrue(self.sender.send(self.push(self.post())).ok)
        self.assertEqual([b'{"e": 1}'], [copy.body for copy in self.copies()])
        self.assertEqual(not target, b'"e"' in self.stored())

    def stored(self):
        """The body of the copy as it lies in the store."""
        queue = self.services.queues.get(_COPIES)
        return self.driver.messages.select(queue, store.Selection(), self.clock()).messages[0].body

    # What stops it

    def test_without_a_key_it_is_tried_again(self):
        self.begin(keys=(sealing.new_key(),))
        self.services.queues.create(_COPIES, {'_enable_encrypt_messages': True})
        self.begin()
        result = self.sender.send(self.push(self.post()))
        self.assertEqual(base.Result(ok=False, retry=True, error='encryption'), result)

    def test_what_is_too_large_for_the_other_queue_fails(self):
        self.services.queues.create(_COPIES, {'_max_messages_post_size': 7})
        self.assertEqual(base.Result(ok=False, error='queue'), self.sender.send(self.push(self.post())))

    @tables.each(
        ('queues', {'queues': 1}),
        ('messages', {'messages': 1}),
        ('bytes', {'bytes': 10}),
    )
    def test_it_is_tried_again_where_the_project_has_no_room_for(self, bounds):
        self.begin(quotas.Quotas(**bounds))
        result = self.sender.send(self.push(self.post()))
        self.assertEqual(base.Result(ok=False, retry=True, error='queue'), result)
        self.assertEqual([], self.copies())

    def test_it_is_tried_again_while_the_store_is_away(self):
        push = self.push(self.post())
        self.driver.fail()
        self.assertEqual(base.Result(ok=False, retry=True, error='queue'), self.sender.send(push))
