"""Collections of messages, call by call."""

import re

from queueservice.model import captures
from tests.api import test_buckets
from tests.fixtures import tables


class CollectionsTestCase(test_buckets.BucketsTestCase):
    def setUp(self):
        super().setUp()
        self.key = self.make_bucket()
        sent = [{'unique_identifier': name, 'request': test_buckets.REQUEST} for name in 'abc']
        results = self.post(f'/{self.key}/messages', sent).json['data']
        self.a, self.b, self.c = (one['uuid'] for one in results)

    def make(self, name='kept', **fields):
        return self.post(f'/{self.key}/collections', {'name': name, **fields}, status=201).json['data']['uuid']

    def add(self, collection, uuid, body=b'', status=201):
        answer = self.put(f'/{self.key}/collections/{collection}/{uuid}', body, status=status)
        if status == 201:
            self.assertEqual(b'', answer.body)
        return answer

    def items(self, collection):
        listed = self.get(f'/{self.key}/collections/{collection}', status=200).json['data']
        return [(one['rank'], one['unique_identifier']) for one in listed]


class TestCollections(CollectionsTestCase):
    def test_one_that_was_made_is_listed(self):
        answer = self.post(f'/{self.key}/collections', {'name': 'kept', 'description': 'why'}, status=201)
        made = answer.json['data']
        self.assertEqual(f'/buckets/{self.key}/collections/{made["uuid"]}', answer.headers['Location'])
        self.assertEqual((self.key, 'kept', 'why'), (made['bucket_key'], made['name'], made['description']))
        self.assertEqual('Tue, 14 Nov 2023 22:13:20 -0000', made['created_at'])
        self.clock.advance(1)
        other = self.make()
        listed = self.get(f'/{self.key}/collections', status=200).json['data']
        self.assertEqual([made['uuid'], other], [one['uuid'] for one in listed])
        self.assertEqual(made, listed[0])

    def test_lengths_are_in_characters(self):
        self.make('é' * 100, description='é' * 1000)
        for fields in (
            {'name': 'é' * 101},
            {'name': 'x', 'description': 'é' * 1001},
            {'name': ''},
            {'name': None},
            {'name': 1},
            {},
        ):
            self.post(f'/{self.key}/collections', fields, status=400)
        self.assertEqual(1, len(self.get(f'/{self.key}/collections').json['data']))

    def test_one_without_a_description_has_an_empty_one(self):
        made = self.post(f'/{self.key}/collections', {'name': 'x', 'description': None}, status=201).json['data']
        self.assertEqual('', made['description'])

    @tables.each(('plural', 'collections'), ('singular', 'collection'))
    def test_it_is_deleted_by_the_path_in_the(self, kind):
        collection = self.make()
        self.add(collection, self.a)
        self.delete(f'/{self.key}/{kind}/{collection}', status=204)
        self.delete(f'/{self.key}/{kind}/{collection}', status=404)
        self.get(f'/{self.key}/collections/{collection}', status=404)
        self.get(f'/{self.key}/messages/{self.a}', status=200)

    @tables.each(('plural', 'collections'), ('singular', 'collection'))
    def test_a_message_is_removed_by_the_path_in_the(self, kind):
        collection = self.make()
        self.add(collection, self.a)
        self.delete(f'/{self.key}/{kind}/{collection}/{self.a}', status=204)
        self.delete(f'/{self.key}/{kind}/{collection}/{self.a}', status=404)
        self.delete(f'/{self.key}/{kind}/{collection}/{self.b}', status=404)
        self.assertEqual([], self.items(collection))
        self.get(f'/{self.key}/messages/{self.a}', status=200)

    def test_the_singular_is_for_nothing_else(self):
        collection = self.make()
        for method in ('GET', 'HEAD', 'PUT', 'POST', 'PATCH'):
            self.request(method, f'/{self.key}/collection/{collection}', status=404)
            self.request(method, f'/{self.key}/collection/{collection}/{self.a}', status=404)
        self.get(f'/{self.key}/collection', status=404)
        self.post(f'/{self.key}/collection', {'name': 'x'}, status=404)

    def test_what_is_not_there_is_not_found(self):
        for collection in (captures.new_id(), 'x', '%00', self.a):
            self.get(f'/{self.key}/collections/{collection}', status=404)
            self.delete(f'/{self.key}/collections/{collection}', status=404)
            self.add(collection, self.a, status=404)
            self.delete(f'/{self.key}/collections/{collection}/{self.a}', status=404)

    def test_they_belong_to_their_bucket(self):
        collection = self.make()
        other = self.make_bucket()
        self.get(f'/{other}/collections/{collection}', status=404)
        self.assertEqual([], self.get(f'/{other}/collections').json['data'])


class TestItems(CollectionsTestCase):
    def setUp(self):
        super().setUp()
        self.collection = self.make()

    def test_messages_are_listed_by_rank_with_their_bodies(self):
        self.add(self.collection, self.a, {'rank': 2})
        self.add(self.collection, self.b, {'rank': 1.1})
        self.add(self.collection, self.c, {'rank': -7})
        self.assertEqual([(-7, 'c'), (1.1, 'b'), (2, 'a')], self.items(self.collection))
        [first, *_] = self.get(f'/{self.key}/collections/{self.collection}').json['data']
        self.assertEqual('{"order": 1201}', first.pop('rank') and first['request']['body'])
        self.assertEqual(self.show(self.key, self.c), first)

    def test_ranks_are_shown_as_they_were_sent(self):
        for uuid, rank in ((self.a, b'1'), (self.b, b'2.0'), (self.c, b'1e3')):
            self.add(self.collection, uuid, b'{"rank":' + rank + b'}')
        text = self.get(f'/{self.key}/collections/{self.collection}').text
        self.assertEqual(['1', '2.0', '1000.0'], re.findall(r'"rank":([^,}]+)', text))

    def test_without_a_rank_a_message_comes_last(self):
        self.add(self.collection, self.a)
        self.clock.advance(1)
        self.add(self.collection, self.b, {})
        self.clock.advance(1)
        self.add(self.collection, self.c, {'rank': None})
        now = self.clock()
        self.assertEqual([(now - 2, 'a'), (now - 1, 'b'), (now, 'c')], self.items(self.collection))

    def test_of_the_same_rank_what_was_added_first_comes_first(self):
        for uuid in (self.b, self.a, self.c):
            self.add(self.collection, uuid, {'rank': 1})
            self.clock.advance(1)
        self.add(self.collection, self.b, {'rank': 1})
        self.assertEqual([(1, 'b'), (1, 'a'), (1, 'c')], self.items(self.collection))

    def test_adding_it_again_changes_its_rank(self):
        self.add(self.collection, self.a, {'rank': 1})
        self.add(self.collection, self.b, {'rank': 2})
        self.add(self.collection, self.a, {'rank': 3})
        self.assertEqual([(2, 'b'), (3, 'a')], self.items(self.collection))

    @tables.each(
        ('a text', b'{"rank":"1"}'), ('true', b'{"rank":true}'), ('a list', b'{"rank":[1]}'), ('nan', b'{"rank":NaN}'),
        ('too large', b'{"rank":9007199254740993}'), ('beyond a double', b'{"rank":1e400}'), ('no object', b'[1]'),
        ('no json', b'{'), ('huge', b'{"rank":' + b'9' * 5000 + b'}'),
    )  # fmt: skip
    def test_a_rank_cannot_be(self, raw):
        self.add(self.collection, self.a, raw, status=400)
        self.assertEqual([], self.items(self.collection))

    def test_a_message_may_be_in_several(self):
        other = self.make('other')
        self.add(self.collection, self.a, {'rank': 1})
        self.add(other, self.a, {'rank': 2})
        self.delete(f'/{self.key}/collections/{self.collection}', status=204)
        self.assertEqual([(2, 'a')], self.items(other))

    def test_a_message_of_another_bucket_is_not_found(self):
        other = self.make_bucket()
        uuid = self.post_one(other, test_buckets.MESSAGE)
        self.add(self.collection, uuid, status=404)
        for nothing in (captures.new_id(), 'x', '%00'):
            self.add(self.collection, nothing, status=404)
        self.assertEqual([], self.items(self.collection))


class TestRetention(CollectionsTestCase):
    rules = captures.Rules(retention=3)

    def test_what_a_collection_holds_is_never_dropped(self):
        collection = self.make()
        self.add(collection, self.a)
        for number in range(10):
            self.clock.advance(1)
            self.post_one(self.key, {'unique_identifier': str(number), 'response': {'status': 200}})
        self.assertEqual({'a', '7', '8', '9'}, set(self.identifiers(self.key)))
        self.assertEqual(['a'], [name for _, name in self.items(collection)])
