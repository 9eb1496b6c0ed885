"""Defects of the service that this one takes after, by their numbers in the reference: none of them is here."""

from tests.api import base
from tests.fixtures import tables


class TestAbsent(base.ApiTestCase):
    def test_1_no_header_takes_the_place_of_authentication(self):
        signed = {
            'URL-Signature': 'f' * 64,
            'URL-Methods': 'GET',
            'URL-Paths': '/v2/queues/demo/messages',
            'URL-Expires': '2099-01-01T00:00:00',
        }
        for path in ('/queues', '/projects', '/queues/demo/messages'):
            self.get(path, headers={**signed, 'X-Roles': 'admin'}, status=404)
            self.get(path, headers={**signed, 'URL-Signature': '', 'X-Roles': 'nobody'}, status=403)
            self.get(path, headers={**signed, 'URL-Signature': ''}, project=base.ABSENT, status=400)
        headers = {'X-Identity-Status': 'Confirmed', 'X-User-Id': 'root', 'X-Is-Admin-Project': 'True'}
        self.get('/queues', headers={**headers, 'X-Roles': 'nobody'}, status=403)
        self.get('/projects', headers=headers, status=403)
        self.get('/queues', headers=headers, project=base.ABSENT, status=400)

    def test_2_a_claim_steals_nothing(self):
        self.post_messages(*range(8))
        claims = [self.claim(limit=2)[0] for _ in range(4)]
        self.release(claims[0])
        self.release(claims[2])
        _, messages = self.claim(limit=8)
        self.assertEqual([0, 1, 4, 5], base.bodies(messages))
        for claim, held in ((claims[1], [2, 3]), (claims[3], [6, 7])):
            self.assertEqual(held, base.bodies(self.held(claim)['messages']))

    def test_3_a_marker_never_starts_again(self):
        first = self.post_messages(*range(5))[0]
        seen, href = [], '/queues/demo/messages?limit=1'
        while href and len(seen) < 10:
            messages, href = self.message_page(href)
            seen += base.bodies(messages)
            if seen == [0]:
                self.delete(first)
        self.assertEqual([0, 1, 2, 3, 4], seen)

    def test_4_hidden_messages_starve_no_reader(self):
        self.post_messages(*range(100), client=base.CONSUMER)
        self.post_messages('visible')
        self.assertEqual(['visible'], base.bodies(self.message_page(params={'limit': 1})[0]))

    def test_5_nothing_is_called_encrypted_that_is_not(self):
        self.assert_refused(self.put('/queues/demo', {'_enable_encrypt_messages': True}, status=400), 'encryption key')

    def test_7_the_claim_count_only_rises_and_a_dead_letter_really_expires(self):
        self.make_queue(
            metadata={'_max_claim_count': 2, '_dead_letter_queue': 'dead', '_dead_letter_queue_messages_ttl': 60}
        )
        self.post_messages('poison')
        for _ in range(2):
            claim, _ = self.claim()
            self.patch(claim, {'ttl': 60})
            self.release(claim)
        self.assertEqual((None, []), self.claim())
        claim, _ = self.claim(queue='dead')
        self.release(claim)
        self.clock.advance(500)
        self.assertEqual((0, 0, 0), self.counts('dead'))

    def test_8_a_bulk_delete_respects_claims(self):
        paths = self.post_messages(1, 2)
        self.claim(limit=1)
        self.delete_many(*paths, status=403)
        self.assertEqual((1, 1, 2), self.counts())

    def test_9_a_message_outlives_its_claim_by_the_grace(self):
        [path] = self.post_messages(1, ttl=301)
        self.claim(ttl=300, grace=100)
        self.clock.advance(399)
        self.assertEqual(1, self.read(path)['body'])

    @tables.each(
        ('a patch that is an object', 'PATCH', '/queues/demo', b'{}', 400),
        ('an element that is no object', 'POST', '/queues/demo/messages', b'{"messages":[1]}', 400),
        ('a ttl that is null', 'POST', '/queues/demo/messages', b'{"messages":[{"ttl":null,"body":1}]}', 400),
        ('claims that do not match', 'DELETE', '/queues/demo/messages?ids={id}&claim_ids=abc', b'', 403),
        ('a name that is a pattern', 'GET', '/queues?name=*', b'', 200),
        ('a name that is an open pattern', 'GET', '/queues?name=(', b'', 200),
    )
    def test_10_a_mistake_of_the_client_is_no_fault_of_the_server(self, method, path, body, status):
        [message] = self.post_messages(1)
        self.claim()
        headers = {'Content-Type': base.PATCH} if method == 'PATCH' else {}
        path = path.format(id=base.id_of(message))
        answer = self.request(method, path, body, headers=headers, status=status)
        self.assertNotIn('Error', answer.text)

    def test_11_there_are_no_topics_that_cannot_be_used(self):
        for path in ('/topics', '/topics/a', '/topics/a/messages', '/topics/a/subscriptions'):
            self.get(path, status=404)
            self.put(path, status=404)

    def test_12_a_dot_in_a_name_cuts_nothing_off(self):
        for name in ('a.b', 'a', 'a.b.c', '.a'):
            self.post_messages(name, queue=name)
        self.assertEqual(['.a', 'a', 'a.b', 'a.b.c'], [queue['name'] for queue in self.queue_page()[0]])
        for name in ('a.b', 'a', 'a.b.c', '.a'):
            self.assertEqual([name], self.list_bodies(name))

    def test_13_claimed_messages_are_listed_without_a_marker(self):
        self.post_messages(1)
        self.claim()
        self.assertEqual([1], self.list_bodies(include_claimed='true'))

    def test_14_a_bad_post_leaves_no_queue_behind(self):
        for raw in (b'', b'{', b'{}', b'[]', b'{"messages":[{"ttl":1,"body":1}]}', b'{"messages":[{"ttl":60}]}'):
            self.post('/queues/demo/messages', raw, status=400)
        self.post('/queues/demo/claims', {'ttl': 1}, status=400)
        self.assertEqual(([], None), self.queue_page())

    def test_15_a_purge_leaves_nothing(self):
        self.post_messages(*range(500))
        self.post_messages(1, delay=60)
        self.claim(limit=100)
        self.post('/queues/demo/purge', status=204)
        self.assertEqual((0, 0, 0), self.counts())
        self.assertEqual([], self.list_bodies(include_claimed=True, include_delayed=True, echo=True))

    def test_15_it_leaves_no_subscriptions_either(self):
        for number in range(11):
            self.subscribe(f'https://example.org/{number}')
        self.post('/queues/demo/purge', status=204)
        self.assertEqual(([], None), self.subscription_page())

    def test_16_claims_and_subscriptions_go_with_their_queue(self):
        self.post_messages(1)
        claim, _ = self.claim()
        self.subscribe()
        self.delete('/queues/demo')
        self.post_messages(2)
        self.get(claim, status=404)
        self.assertEqual(([], None), self.subscription_page())
        self.assertEqual([2], base.bodies(self.claim()[1]))
