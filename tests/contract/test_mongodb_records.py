"""What only records in MongoDB have: a query language to be kept out of, and queues that carry a head."""

import threading
import time

import testtools

from queueservice.model import messages
from queueservice.storage import errors, records, tables
from tests.contract import record_store
from tests.fixtures import drivers, mongodb, torn

#: Texts that mean something to MongoDB.
HOSTILE = [
    '$set',
    '$name',
    '$$ROOT',
    '$where',
    '{"$gt": ""}',
    '.*',
    '^a',
    'a.b',
    'a.$.b',
    '_id',
    'head',
    '\x00$gt',
    '$literal',
]


class RecordsTest(testtools.TestCase):
    """A prepared driver on a database of its own."""

    def setUp(self):
        super().setUp()
        self.patch(tables, 'ALL', (*tables.ALL, record_store.THINGS, record_store.PLACES, *self.more_tables))
        self.commands = mongodb.commands()
        self.name = mongodb.make_name(self)
        self.database = mongodb.client()[self.name]
        self.driver = mongodb.build_driver(self, mongodb.locate(self.name))
        self.store = self.driver.records

    more_tables = ()

    def insert(self, *things):
        return self.store.insert(record_store.THINGS, things)

    def find(self, *where, table=record_store.THINGS, **query):
        where = tuple(records.Condition(*condition) for condition in where)
        return self.store.find(table, records.Query(where=where, **{'limit': 100} | query)).records

    def ids(self, *where, **query):
        return [record['id'] for record in self.find(*where, **query)]

    def sent(self, call, *arguments, **options):
        """The names of the commands that a call sends."""
        with self.commands.noted(self.name) as noted:
            call(*arguments, **options)
        return [name for name, _ in noted]


class InjectionTest(RecordsTest):
    def setUp(self):
        super().setUp()
        self.things = [
            record_store.thing(text, name=text, select=text, data=text.encode(), tags=[text, f'x{text}'])
            for text in HOSTILE
        ]
        self.insert(*self.things, record_store.thing('other', name='other', tags=['other']))

    def test_texts_come_back_as_they_were(self):
        for thing in self.things:
            self.assertEqual([{**thing, 'revision': 1}], self.find(('id', '=', thing['id'])))

    def test_conditions_compare_with_the_text_itself(self):
        for text in HOSTILE:
            self.assertEqual([text], self.ids(('name', '=', text)))
            self.assertEqual([text], self.ids(('data', '=', text.encode())))
            self.assertEqual([text], self.ids(('name', 'in', [text, 'missing'])))
            self.assertEqual([text], self.ids(('tags', 'has', text)))
            self.assertEqual([text], self.ids(('id', 'in', [text]), ('id', '=', text), ('name', 'has', text)))
            self.assertIn(text, self.ids(('name', 'prefix', text)))
            self.assertEqual(
                [other for other in sorted(HOSTILE) if text in other], self.ids(('name', 'contains', text))
            )
            self.assertEqual(1, self.store.count(record_store.THINGS, [records.Condition('name', '=', text)], 10))

    def test_places_to_go_on_from_are_compared_with(self):
        everything = [(thing['name'], thing['id']) for thing in self.find(order=(('name', False),))]
        for text in HOSTILE:
            for descends in (False, True):
                ordered = sorted(everything, reverse=descends)
                behind = ordered[ordered.index((text, text)) + 1 :]
                found = self.find(order=(('name', descends),), after=(text, text))
                self.assertEqual(behind, [(thing['name'], thing['id']) for thing in found])

    def test_texts_replace_and_are_replaced(self):
        for text in HOSTILE:
            [thing] = self.find(('id', '=', text))
            [stored] = self.store.replace(record_store.THINGS, [{**thing, 'name': f'{text}$', 'group': text}])
            self.assertEqual([stored], self.find(('group', '=', text)))

    def test_a_document_in_the_place_of_a_text_is_no_operator(self):
        for trick in ({'$ne': None}, {'$gt': ''}, {'$regex': '.*'}):
            self.assertEqual([], self.ids(('name', '=', trick)))
            self.assertEqual([], self.ids(('id', '=', trick)))
            self.assertEqual([], self.ids(('tags', 'has', trick)))
            self.assertEqual(0, self.store.delete(record_store.THINGS, [records.Condition('id', '=', trick)], limit=9))

    def test_keys_of_several_fields_take_any_text(self):
        places = [record_store.place(text, number) for number, text in enumerate(HOSTILE)]
        stored = self.store.insert(record_store.PLACES, places)
        self.assertEqual(stored, self.store.replace(record_store.PLACES, stored) and stored)

        replaced = self.find(table=record_store.PLACES)

        self.assertEqual(sorted(HOSTILE), [place['shelf'] for place in replaced])
        self.assertEqual({2}, {place['revision'] for place in replaced})

    def test_metadata_may_hold_anything(self):
        queue = drivers.make_queue(self.driver, '$name.with.$dots')
        [record] = self.find(('id', '=', queue.id), table=tables.QUEUES)
        metadata = b'{"$set": {"head.last": 99}, "a.b": {"$where": "1"}}'

        self.store.replace(tables.QUEUES, [{**record, 'metadata': metadata, 'facets': ['["$set",1]']}])

        self.assertEqual(metadata, self.find(('facets', 'has', '["$set",1]'), table=tables.QUEUES)[0]['metadata'])


class CommandsTest(RecordsTest):
    def test_many_records_are_one_command(self):
        things = [record_store.thing(f'{number:03}') for number in range(100)]
        self.assertEqual(['insert'], self.sent(self.insert, *things))
        self.assertEqual(['find'], self.sent(self.find))
        stored = self.find()
        self.assertEqual(['update'], self.sent(self.store.replace, record_store.THINGS, stored))
        self.assertEqual(['update'], self.sent(self.store.replace, record_store.THINGS, stored))  # stale, all of them
        current = self.find()
        current[7]['revision'] = 1
        self.assertEqual(['update', 'find'], self.sent(self.store.replace, record_store.THINGS, current))
        self.assertEqual(['find', 'delete'], self.sent(self.store.delete, record_store.THINGS, [], limit=50))

    def test_nothing_is_no_command(self):
        self.assertEqual([], self.sent(self.insert))
        self.assertEqual([], self.sent(self.store.replace, record_store.THINGS, []))
        self.assertEqual([], self.sent(self.find, limit=0))


class ReplaceTest(RecordsTest):
    def test_which_of_several_were_replaced_is_told_apart_however_often_others_replaced_them(self):
        [a, b, c] = self.insert(*(record_store.thing(id) for id in 'abc'))
        for _ in range(3):
            [b] = self.store.replace(record_store.THINGS, [b])
        [c, _] = self.store.replace(record_store.THINGS, [c, {**b, 'revision': 99}])

        answers = self.store.replace(record_store.THINGS, [a, {**b, 'revision': 1}, {**c, 'revision': 1}])

        self.assertEqual(2, answers[0]['revision'])
        self.assertEqual([errors.Stale, errors.Stale], [type(answer) for answer in answers[1:]])


class ExpiryTest(RecordsTest):
    TOKENS = records.Table(name='tokens', fields={'id': str, 'ends_at': float}, key=('id',), expires='ends_at')
    more_tables = (TOKENS,)

    def test_the_server_is_told_when_a_record_may_go(self):
        ends = [1_700_000_000.25, None, 1e300, 0.0]
        stored = self.store.insert(self.TOKENS, [{'id': f'{index}', 'ends_at': end} for index, end in enumerate(ends)])
        self.assertEqual(ends, [record['ends_at'] for record in stored])

        index = self.database.tokens.index_information()['expiry date_1']
        self.assertEqual((0, [('expiry date', 1)]), (index['expireAfterSeconds'], index['key']))
        found = self.database.tokens.aggregate(
            [{'$sort': {'_id': 1}}, {'$project': {'ms': {'$toLong': '$expiry date'}}}]
        )
        self.assertEqual([1_700_000_000_250, None, 253_402_300_799_000, 0], [document['ms'] for document in found])

    def test_a_record_whose_time_is_changed_goes_at_that_time(self):
        stored = self.store.insert(self.TOKENS, [{'id': 'a', 'ends_at': 1e9}])

        self.store.replace(self.TOKENS, [{**stored[0], 'ends_at': None}])

        self.assertIsNone(self.database.tokens.find_one()['expiry date'])


class QueuesTest(RecordsTest):
    def setUp(self):
        super().setUp()
        self.queue = drivers.make_queue(self.driver)

    def head(self):
        return self.database.queues.find_one({'_id': self.queue.id})['head']

    def test_a_queue_begins_with_an_empty_head(self):
        empty = {'last': 0, 'pending': [], 'floor': 0, 'messages': 0, 'bytes': 0, 'purges': 0}
        self.assertEqual(empty, {field: self.head()[field] for field in empty})

    def test_a_replaced_queue_keeps_its_head(self):
        self.database.queues.update_one({'_id': self.queue.id}, {'$set': {'head.last': 7}})
        before = self.head()

        changed = drivers.change_queue(self.driver, self.queue)

        self.assertEqual((2, before), (changed.revision, self.head()))

    def test_nobody_finds_the_head(self):
        [record] = self.find(table=tables.QUEUES)
        self.assertEqual({*tables.QUEUES.fields, 'revision'}, record.keys())

    def test_a_deleted_queue_leaves_a_grave_and_nothing_in_flight(self):
        other = drivers.make_queue(self.driver, 'other')
        for queue in (self.queue, other):
            life = bytes.fromhex(queue.id)
            self.database.messages.insert_many(
                {'_id': life + bytes([position]), 'queue': life, 'position': position, 'available': available}
                for position, available in enumerate([0, 2e9, -1, 1, 0.0])
            )

        drivers.delete_queue(self.driver, self.queue)

        self.assertEqual([{'_id': self.queue.id, 'due': 0}], list(self.database.graves.find()))
        left = [
            document['available'] for document in self.database.messages.find({'queue': bytes.fromhex(self.queue.id)})
        ]
        self.assertEqual([0, -1, 0], left)
        self.assertEqual(5, self.database.messages.count_documents({'queue': bytes.fromhex(other.id)}))

    def test_a_grave_that_a_sweep_found_too_early_is_as_new(self):
        with torn.Proxy(mongodb.client().address) as proxy:
            slow = mongodb.build_driver(self, mongodb.locate(self.name, proxy.port))
            proxy.rules.append(torn.Rule('delete', 'queues', delay=0.5))
            deletion = threading.Thread(target=drivers.delete_queue, args=(slow, self.queue))
            deletion.start()
            while not self.database.graves.count_documents({}):
                pass
            self.driver.messages.sweep(time.time(), 100)
            self.assertNotEqual([{'_id': self.queue.id, 'due': 0}], list(self.database.graves.find()))
            deletion.join()
            slow.close()

        self.assertEqual([{'_id': self.queue.id, 'due': 0}], list(self.database.graves.find()))

    def test_a_queue_that_is_not_deleted_keeps_what_is_in_flight(self):
        life = bytes.fromhex(self.queue.id)
        self.database.messages.insert_one({'_id': life, 'queue': life, 'position': 1, 'available': 2e9})
        conditions = [records.Condition('id', '=', self.queue.id), records.Condition('revision', '=', 2)]

        self.assertEqual(0, self.store.delete(tables.QUEUES, conditions, limit=1))

        self.assertEqual(1, self.database.messages.count_documents({}))
        self.assertEqual(0, self.database.graves.count_documents({}))

    def test_a_queue_is_found_by_its_name_however_many_there_are(self):
        self.store.insert(
            tables.QUEUES,
            [
                {**dict.fromkeys(tables.QUEUES.fields), 'id': messages.new_id(), 'project': 'p', 'name': f'{number}'}
                for number in range(10)
            ],
        )
        explained = self.database.queues.find({'namespace': 'project', 'project': 'p', 'name': '3'}).explain()
        self.assertIn('IXSCAN', str(explained))


class LostAnswersTest(RecordsTest):
    """The client library repeats a write whose answer was lost, and MongoDB knows it again."""

    def setUp(self):
        super().setUp()
        self.proxy = torn.Proxy(mongodb.client().address)
        self.addCleanup(self.proxy.__exit__)
        self.proxy.__enter__()
        self.remote = mongodb.build_driver(self, mongodb.locate(self.name, self.proxy.port)).records

    def lose(self, command):
        rule = torn.Rule(command, 'things', cut_after=True)
        self.proxy.rules.append(rule)
        self.addCleanup(lambda: self.assertTrue(rule.met.is_set()))

    def test_what_was_inserted_is_no_duplicate(self):
        self.lose('insert')
        answers = self.remote.insert(record_store.THINGS, [record_store.thing(id) for id in 'abc'])
        self.assertEqual([1, 1, 1], [answer['revision'] for answer in answers])

    def test_what_was_replaced_is_not_stale(self):
        stored = self.insert(*(record_store.thing(id) for id in 'abc'))
        self.lose('update')
        answers = self.remote.replace(record_store.THINGS, [stored[0], {**stored[1], 'revision': 9}, stored[2]])
        self.assertEqual([2, 2], [answer['revision'] for answer in answers[::2]])
        self.assertIsInstance(answers[1], errors.Stale)

    def test_one_that_was_deleted_is_counted(self):
        self.insert(record_store.thing('a'), record_store.thing('b'))
        self.lose('delete')
        self.assertEqual(1, self.remote.delete(record_store.THINGS, [records.Condition('id', '=', 'a')], limit=1))

    def test_what_was_looked_for_is_found(self):
        self.insert(record_store.thing('a'))
        self.lose('find')
        self.assertEqual(1, len(self.remote.find(record_store.THINGS, records.Query()).records))


class OutageTest(testtools.TestCase):
    def test_errors_of_the_client_library_are_translated(self):
        own = mongodb.own_server(self.addCleanup)
        built = mongodb.build_driver(self, f'{own.uri}/outage', patience=0.5)
        [record] = built.records.insert(record_store.PLACES, [record_store.place('a', 1)])
        own.kill()

        for call in (
            lambda: built.records.insert(record_store.PLACES, [record_store.place('a', 2)]),
            lambda: built.records.replace(record_store.PLACES, [record]),
            lambda: built.records.find(record_store.PLACES, records.Query()),
            lambda: built.records.count(record_store.PLACES, (), 10),
            lambda: built.records.delete(record_store.PLACES, (), limit=1),
            built.ping,
        ):
            self.assertRaises(errors.Unavailable, call)
