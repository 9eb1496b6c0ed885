"""Idempotency-Key: a post that is repeated is answered like the first one, and stored once."""

from tests.api import base
from tests.fixtures import tables

DAY = 24 * 3600


@base.in_versions('1.1', '2')
class TestRepeat(base.ApiTestCase):
    def send(self, *bodies, key='key-1', queue='demo', status=201, ttl=300, **options):
        messages = [{'ttl': ttl, 'body': body} for body in bodies]
        headers = {'Idempotency-Key': key}
        return self.post(f'/queues/{queue}/messages', {'messages': messages}, headers=headers, status=status, **options)

    def test_a_repeat_is_answered_like_the_first(self):
        first = self.send(1, 2, 3)
        again = self.send(1, 2, 3)
        self.assertEqual(first.json, again.json)
        self.assertEqual(first.headers['Location'], again.headers['Location'])
        self.assertEqual((0, 3, 3), self.counts())

    def test_it_is_so_even_if_the_messages_are_gone(self):
        first = self.send(1, 2, ttl=60).json
        self.delete(first['resources'][0])
        self.clock.advance(60)
        self.assertEqual(first, self.send(1, 2, ttl=60).json)
        self.assertEqual((0, 0, 0), self.counts())

    def test_it_is_so_after_a_purge(self):
        self.version, version = '2', self.version
        first = self.send(1).json
        self.post('/queues/demo/purge', status=204)
        self.assertEqual(first, self.send(1).json)
        self.assertEqual((0, 0, 0), self.counts())
        self.version = version

    def test_it_is_so_for_a_day(self):
        first = self.send(1).json
        self.clock.advance(DAY - 1)
        self.assertEqual(first, self.send(1).json)
        self.clock.advance(1)
        self.assertNotEqual(first, self.send(1).json)

    def test_another_body_under_the_same_key_is_409(self):
        self.send(1)
        for bodies in ((2,), (1, 1), (1, 2)):
            answer = self.send(*bodies, status=409)
            self.assertEqual('Resource conflict', answer.json['title'])
            self.assert_refused(answer, 'Idempotency-Key', 'new key')
        self.assertEqual((0, 1, 1), self.counts())

    def test_fewer_messages_under_the_same_key_are_409(self):
        self.send(1, 2)
        self.send(1, status=409)
        self.assertEqual((0, 2, 2), self.counts())

    def test_the_same_document_written_in_another_way_is_409(self):
        self.post('/queues/demo/messages', b'{"messages":[{"body":1}]}', headers={'Idempotency-Key': 'k'}, status=201)
        self.post('/queues/demo/messages', b'{"messages":[{"body": 1}]}', headers={'Idempotency-Key': 'k'}, status=409)

    def test_a_refused_post_uses_up_no_key(self):
        self.send(1, ttl=1, status=400)
        self.send(1, status=201)

    def test_keys_differ_by_case(self):
        self.send(1, key='a')
        self.send(1, key='A')
        self.assertEqual((0, 2, 2), self.counts())

    def test_a_key_is_of_one_queue_and_one_project(self):
        self.send(1)
        self.send(2, queue='other')
        self.send(3, project='project-2')
        self.assertEqual([1], self.list_bodies(echo=True))

    def test_a_key_ends_with_its_queue(self):
        first = self.send(1).json
        self.delete('/queues/demo')
        self.assertNotEqual(first, self.send(1).json)

    def test_posts_without_a_key_are_stored_each_time(self):
        self.post_messages(1)
        self.post_messages(1)
        self.assertEqual((0, 2, 2), self.counts())

    def test_a_key_has_255_characters_at_the_most(self):
        self.send(1, key='k' * 255)
        self.assert_refused(self.send(1, key='k' * 256, status=400), 'Idempotency-Key', '255')

    @tables.each(
        ('empty', ''),
        ('with a blank', 'a b'),
        ('with a tab', 'a\tb'),
        ('with a letter outside ASCII', 'a\xe4'),
        ('with a nul', 'a\0'),
        ('with a delete character', 'a\x7f'),
    )
    def test_a_key_cannot_be(self, key):
        self.assert_refused(self.send(1, key=key, status=400, lint=False), 'Idempotency-Key')
        self.assertEqual(([], None), self.queue_page())


class TestAcross(base.ApiTestCase):
    def test_the_versions_share_their_keys(self):
        body = b'{"messages":[{"ttl":60,"body":1}]}'
        first = self.post('/queues/demo/messages', body, headers={'Idempotency-Key': 'k'}).json['resources']
        self.version = '1.1'
        again = self.post('/queues/demo/messages', body, headers={'Idempotency-Key': 'k'}).json['resources']
        self.assertEqual([base.id_of(path) for path in first], [base.id_of(path) for path in again])

    def test_v1_knows_no_keys(self):
        self.version = '1'
        self.make_queue()
        for _ in range(2):
            self.post('/queues/demo/messages', [{'ttl': 60, 'body': 1}], headers={'Idempotency-Key': 'k'}, status=201)
        self.assertEqual((0, 2, 2), self.counts())
