"""Messages that were claimed too often move to the queue that their own queue names for them."""

from queueservice import bootstrap
from queueservice.model import queues
from tests.api import base

_METADATA = {'_max_claim_count': 2, '_dead_letter_queue': 'dead'}


class DeadLetterTestCase(base.ApiTestCase):
    def fail(self, times=1, queue='demo', limit=None):
        """Claim and release, as a worker that fails."""
        for _ in range(times):
            claim, _ = self.claim(limit=limit, queue=queue)
            if claim:
                self.release(claim)

    def bury(self, queue='demo'):
        """The messages that come to the dead-letter queue when everything was claimed too often."""
        self.fail(2, queue)
        self.assertEqual((None, []), self.claim(queue=queue))
        return self.message_page(queue='dead', params={'limit': 100, 'echo': 'true'})[0]


@base.in_versions('1.1', '2')
class TestMove(DeadLetterTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue(metadata=_METADATA)

    def test_a_message_is_claimed_so_often_and_no_more(self):
        self.post_messages('poison')
        for _ in range(2):
            claim, messages = self.claim()
            self.assertEqual(['poison'], base.bodies(messages))
            self.release(claim)
        self.assertEqual((None, []), self.claim(status=204))
        self.assertEqual((0, 0, 0), self.counts())
        self.assertEqual(['poison'], self.list_bodies(queue='dead', echo=True))

    def test_claims_that_end_count_like_claims_that_are_released(self):
        self.post_messages('poison', ttl=10_000)
        for _ in range(2):
            self.claim(ttl=60)
            self.clock.advance(60)
        self.assertEqual((None, []), self.claim())
        self.assertEqual((0, 1, 1), self.counts('dead'))

    def test_renewing_a_claim_neither_counts_nor_forgets(self):
        self.post_messages('poison')
        for _ in range(2):
            claim, _ = self.claim()
            for _ in range(3):
                self.patch(claim, {'ttl': 60, 'grace': 60}, status=204)
            self.release(claim)
        self.assertEqual((None, []), self.claim())
        self.assertEqual((0, 1, 1), self.counts('dead'))

    def test_the_moved_message_is_free_at_once(self):
        self.post_messages('poison')
        self.bury()
        self.assertEqual((0, 1, 1), self.counts('dead'))
        _, messages = self.claim(queue='dead')
        self.assertEqual(['poison'], base.bodies(messages))

    def test_its_body_is_byte_for_byte_the_same(self):
        self.post_raw(b'{"a" : 1.0e2,\t"a":[ 2 ]}')
        self.bury()
        self.assertIn(b'{"a" : 1.0e2,\t"a":[ 2 ]}', self.get('/queues/dead/messages').body)

    def test_others_are_claimed_at_the_same_time(self):
        self.post_messages('poison')
        self.fail(2)
        self.post_messages('good')
        _, messages = self.claim()
        self.assertEqual(['good'], base.bodies(messages))
        self.assertEqual(['poison'], self.list_bodies(queue='dead'))

    def test_many_dead_ones_do_not_hide_the_living(self):
        self.post_messages(*range(50))
        self.fail(2, limit=100)
        self.post_messages('good')
        seen = []
        for _ in range(10):
            seen += base.bodies(self.claim(limit=1)[1])
        self.assertEqual(['good'], seen)
        self.assertEqual(list(range(50)), self.list_bodies(queue='dead'))

    def test_pops_do_not_take_what_is_dead(self):
        self.post_messages('poison')
        self.fail(2)
        self.post_messages('good')
        self.assertEqual(['good'], base.bodies(self.pop()))
        self.assertEqual(['poison'], self.list_bodies(queue='dead'))

    def test_its_own_ttl_begins_anew(self):
        self.post_messages('poison', ttl=5000)
        self.clock.advance(1000)
        [message] = self.bury()
        self.assertEqual((0, 5000), (message['age'], message['ttl']))
        self.clock.advance(4999)
        self.assertEqual((0, 1, 1), self.counts('dead'))
        self.clock.advance(1)
        self.assertEqual((0, 0, 0), self.counts('dead'))

    def test_the_old_id_is_gone_and_the_new_one_belongs_to_the_new_queue(self):
        [path] = self.post_messages('poison')
        [message] = self.bury()
        self.get(path, status=404)
        self.assertEqual('poison', self.read(message['href'])['body'])
        self.assertTrue(message['href'].startswith(f'{self.path}/queues/dead/messages/'))

    def test_a_client_s_own_message_stays_its_own(self):
        self.post_messages('poison', client=base.CONSUMER)
        self.bury()
        self.assertEqual([], self.list_bodies(queue='dead'))

    def test_moved_messages_keep_their_order(self):
        self.post_messages(*range(15))
        self.fail(2, limit=100)
        self.claim(limit=100)
        self.assertEqual(list(range(15)), self.list_bodies(queue='dead'))


class TestTrace(DeadLetterTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue(metadata=_METADATA)
        [self.posted] = self.post_messages('poison')
        self.bury()
        self.expected = {
            'queue': 'demo',
            'message_id': base.id_of(self.posted),
            'reason': 'max_claim_count',
            'claim_count': 2,
            'at': '2023-11-14T22:13:20Z',
        }

    def test_a_moved_message_tells_where_it_came_from_and_why(self):
        [message], _ = self.message_page(queue='dead')
        self.assertEqual(self.expected, message['dead_letter'])
        self.assertEqual(self.expected, self.read(message['href'])['dead_letter'])
        self.assertEqual(self.expected, self.claim(queue='dead')[1][0]['dead_letter'])

    def test_a_popped_one_does_too(self):
        self.assertEqual(self.expected, self.pop(queue='dead')[0]['dead_letter'])

    def test_other_messages_have_nothing_to_tell(self):
        [path] = self.post_messages(1, queue='dead')
        self.assertNotIn('dead_letter', self.read(path))

    def test_the_older_versions_show_the_message_alone(self):
        for version in ('1', '1.1'):
            self.version = version
            self.assertNotIn('dead_letter', self.message_page(queue='dead')[0][0])
        self.assertNotIn('dead_letter', self.pop(queue='dead')[0])


class TestSettings(DeadLetterTestCase):
    def test_the_queue_may_give_its_dead_letters_another_ttl(self):
        self.make_queue(metadata=_METADATA | {'_dead_letter_queue_messages_ttl': 61})
        self.post_messages('poison', ttl=5000)
        [message] = self.bury()
        self.assertEqual(61, message['ttl'])
        self.clock.advance(60)
        self.assertEqual('poison', self.read(message['href'])['body'])
        self.clock.advance(1)
        self.get(message['href'], status=404)

    def test_without_a_dead_letter_queue_nothing_moves(self):
        self.make_queue(metadata={'_max_claim_count': 1})
        self.post_messages(1)
        self.fail(5)
        self.assertEqual([1], base.bodies(self.claim()[1]))

    def test_without_a_number_nothing_moves(self):
        self.make_queue(metadata={'_dead_letter_queue': 'dead'})
        self.post_messages(1)
        self.fail(5)
        self.assertEqual([1], base.bodies(self.claim()[1]))

    def test_the_settings_hold_at_once_for_what_was_claimed_before(self):
        self.make_queue()
        self.post_messages('poison')
        self.fail(3)
        self.change(('add', '_max_claim_count', 2), ('add', '_dead_letter_queue', 'dead'))
        self.assertEqual((None, []), self.claim())
        self.assertEqual(['poison'], self.list_bodies(queue='dead'))

    def test_the_dead_letter_queue_need_not_be_there(self):
        self.make_queue(metadata=_METADATA)
        self.post_messages('poison')
        self.bury()
        self.assertEqual(['dead', 'demo'], [queue['name'] for queue in self.queue_page()[0]])

    def test_a_dead_letter_queue_may_have_one_of_its_own(self):
        self.make_queue(metadata=_METADATA)
        self.make_queue('dead', {'_max_claim_count': 1, '_dead_letter_queue': 'buried'})
        self.post_messages('poison')
        self.bury()
        self.fail(1, queue='dead')
        self.assertEqual((None, []), self.claim(queue='dead'))
        [message], _ = self.message_page(queue='buried')
        self.assertEqual(('dead', 1), (message['dead_letter']['queue'], message['dead_letter']['claim_count']))

    def test_the_queue_may_be_deleted_and_made_again_in_between(self):
        self.make_queue(metadata=_METADATA)
        self.post_messages(1)
        self.bury()
        self.delete('/queues/dead')
        self.post_messages(2)
        self.bury()
        self.assertEqual([2], self.list_bodies(queue='dead'))

    def test_each_project_has_its_own(self):
        self.make_queue(metadata=_METADATA)
        self.post_messages('poison')
        self.bury()
        self.assertEqual(([], None), self.message_page(queue='dead', project='project-2'))


class TestClaimCounts(base.ApiTestCase):
    def test_they_only_rise(self):
        self.post_messages(1)
        for _ in range(3):
            claim, _ = self.claim()
            self.patch(claim, {'ttl': 60})
            self.release(claim)
        claim_count = self.pop()[0]['claim_count']
        self.assertEqual(3, claim_count)


@base.in_versions('2')
class TestOrigin(DeadLetterTestCase):
    """Clients that take no fields that they do not know."""

    def setUp(self):
        super().setUp()
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.post_messages(1, 2)
        self.fail()
        self.claim()

    def shown(self):
        """What all ways to read the dead-letter queue show; afterwards it is empty."""
        shown = self.message_page(queue='dead', params={'echo': 'true'})[0]
        ids = ','.join(one['id'] for one in shown)
        shown.append(self.get(f'/queues/dead/messages/{shown[0]["id"]}').json)
        shown += self.get('/queues/dead/messages', params={'ids': ids}).json['messages']
        claim, claimed = self.claim(queue='dead')
        shown += claimed + self.get(claim).json['messages']
        self.release(claim)
        return shown + self.delete('/queues/dead/messages', params={'pop': 2}, status=200).json['messages']

    def test_messages_say_where_they_come_from(self):
        self.assertEqual([True] * 11, ['dead_letter' in one for one in self.shown()])

    def test_they_do_not_where_the_queue_does_not_want_it(self):
        self.change(('add', '_show_origin', False), name='dead')
        self.assertIs(False, self.get('/queues/dead').json['_show_origin'])
        shown = self.shown()
        self.assertEqual([False] * 11, ['dead_letter' in one for one in shown])
        self.assertEqual({1, 2}, {one['body'] for one in shown})

    def test_other_processes_know_that_soon(self):
        other = bootstrap.build_services(self.service.driver, clock=self.clock)
        key = queues.QueueKey(queues.PROJECT, base.PROJECT, 'dead')
        shown = [bool(one.state) for one in other.messages.page(key).messages]
        self.change(('add', '_show_origin', False), name='dead')
        self.clock.advance(5)
        other.queues.refresh()
        shown += [bool(one.state) for one in other.messages.page(key).messages]
        self.assertEqual([True, True, False, False], shown)

    def test_it_is_not_lost(self):
        self.change(('add', '_show_origin', False), name='dead')
        self.assertEqual(2, self.post('/queues/dead/redrive', {}, status=200).json['moved'])
