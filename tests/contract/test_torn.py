"""The proxy in front of MongoDB does what it says, and nothing else."""

import threading
import time

import pymongo
import pymongo.errors
import testtools

from tests.fixtures import mongodb, torn


class TornTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.name = mongodb.make_name(self)
        self.straight = mongodb.client()[self.name].things

    def connect(self, **options):
        """A proxy, and the collection by way of it."""
        proxy = self.use_proxy(**options)
        return proxy, self.reach(proxy)

    def use_proxy(self, **options):
        proxy = torn.Proxy(mongodb.client().address, **options)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy

    def reach(self, proxy, **options):
        client = pymongo.MongoClient(mongodb.locate(self.name, proxy.port), **options)
        self.addCleanup(client.close)
        return client[self.name].things

    def fill(self, *ids, **fields):
        self.straight.insert_many([{'_id': id, **fields} for id in ids])

    def everything(self):
        return sorted(self.straight.find(), key=lambda document: document['_id'])

    def ids(self):
        return [document['_id'] for document in self.everything()]


class TearTest(TornTest):
    def test_single_documents_and_reads_pass_untouched(self):
        proxy, things = self.connect()
        things.insert_one({'_id': 1, 'deep': {'$a.b': [1.5, None, b'\x00']}})
        things.update_one({'_id': 1}, {'$set': {'a': 1}})
        self.assertEqual({'_id': 1, 'deep': {'$a.b': [1.5, None, b'\x00']}, 'a': 1}, things.find_one())
        self.assertEqual(1, things.delete_one({'_id': 1}).deleted_count)
        self.assertEqual(0, proxy.torn)

    def test_a_long_answer_comes_whole(self):
        _, things = self.connect()
        self.straight.insert_many([{'_id': number, 'body': 'x' * 10_000} for number in range(300)])
        self.assertEqual(list(range(300)), [found['_id'] for found in things.find(batch_size=100)])

    def test_an_insert_is_cut_into_single_documents(self):
        proxy, things = self.connect(pause=0.05)
        seen = self.watch(lambda: things.insert_many([{'_id': number} for number in range(8)]))
        self.assertEqual(list(range(8)), self.ids())
        self.assertEqual(1, proxy.torn)
        self.assertTrue(set(seen) & set(range(1, 8)), 'nobody ever saw a part of it')

    def test_a_large_insert_is_cut_too(self):
        proxy, things = self.connect(pause=0.05)
        seen = self.watch(lambda: things.insert_many([{'_id': number} for number in range(500)]))
        self.assertEqual(list(range(500)), self.ids())
        self.assertEqual(1, proxy.torn)
        self.assertTrue(set(seen) & set(range(1, 500)))

    def watch(self, write):
        """How many documents another connection saw while `write` was done."""
        thread = threading.Thread(target=write)
        thread.start()
        seen = []
        while thread.is_alive():
            seen.append(self.straight.count_documents({}))
        thread.join()
        return seen

    def test_an_ordered_insert_stops_at_what_is_there_already(self):
        _, things = self.connect()
        self.fill(3)
        error = self.assertRaises(
            pymongo.errors.BulkWriteError, things.insert_many, [{'_id': number} for number in (1, 2, 3, 4)]
        )
        self.assertEqual([(2, 11000)], _errors(error))
        self.assertEqual(2, error.details['nInserted'])
        self.assertEqual([1, 2, 3], self.ids())

    def test_an_unordered_insert_goes_on(self):
        _, things = self.connect()
        self.fill(1, 3)
        documents = [{'_id': number} for number in (1, 2, 3, 4)]
        error = self.assertRaises(pymongo.errors.BulkWriteError, things.insert_many, documents, ordered=False)
        self.assertEqual([(0, 11000), (2, 11000)], _errors(error))
        self.assertEqual(2, error.details['nInserted'])
        self.assertEqual([1, 2, 3, 4], self.ids())

    def test_a_large_insert_names_its_errors_by_their_place(self):
        _, things = self.connect()
        self.fill(7, 250, 499)
        documents = [{'_id': number} for number in range(500)]
        error = self.assertRaises(pymongo.errors.BulkWriteError, things.insert_many, documents, ordered=False)
        self.assertEqual([(7, 11000), (250, 11000), (499, 11000)], _errors(error))
        self.assertEqual(497, error.details['nInserted'])

    def test_an_update_of_many_looks_at_each_again(self):
        proxy = self.use_proxy(pause=0.1)
        self.fill(*range(20), free=True)

        def take(who, collection, taken):
            taken[who] = collection.update_many(
                {'_id': {'$in': list(range(20))}, 'free': True}, {'$set': {'free': False, 'by': who}}
            ).modified_count

        taken = {}
        threads = [threading.Thread(target=take, args=(who, self.reach(proxy), taken)) for who in 'ab']
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        owners = [document['by'] for document in self.everything()]
        self.assertEqual({who: owners.count(who) for who in 'ab'}, taken)
        self.assertEqual(20, sum(taken.values()))
        self.assertEqual(2, proxy.torn)

    def test_an_update_of_many_says_what_it_matched_and_changed(self):
        _, things = self.connect()
        self.fill(1, 2, a=0)
        self.fill(3, a=1)
        self.fill(4, a=2)
        answer = things.update_many({'a': {'$lte': 1}}, {'$set': {'a': 1}})
        self.assertEqual((3, 2), (answer.matched_count, answer.modified_count))
        answer = things.update_many({'a': 9}, {'$set': {'b': 1}}, upsert=True)
        self.assertIsNotNone(answer.upserted_id)

    def test_a_deletion_of_many_says_how_many_went(self):
        _, things = self.connect()
        self.fill(*range(100), a=0)
        self.fill(*range(100, 103), a=1)
        self.assertEqual(100, things.delete_many({'a': 0}).deleted_count)
        self.assertEqual([100, 101, 102], self.ids())

    def test_statements_of_a_bulk_are_done_one_by_one(self):
        _, things = self.connect()
        self.fill(1, 2, 3, a=0)
        answer = things.bulk_write(
            [
                pymongo.UpdateOne({'_id': 1}, {'$set': {'a': 1}}),
                pymongo.UpdateMany({'a': 0}, {'$inc': {'a': 5}}),
                pymongo.UpdateOne({'_id': 9}, {'$set': {'a': 9}}, upsert=True),
                pymongo.DeleteMany({'a': 5}),
                pymongo.DeleteOne({'_id': 1}),
            ]
        )
        self.assertEqual((3, 3), (answer.matched_count, answer.modified_count))
        self.assertEqual({2: 9}, answer.upserted_ids)
        self.assertEqual(3, answer.deleted_count)
        self.assertEqual([9], self.ids())

    def test_what_is_not_awaited_is_torn_all_the_same(self):
        proxy, things = self.connect()
        things.with_options(write_concern=pymongo.WriteConcern(0)).insert_many([{'_id': 1}, {'_id': 2}])
        self.wait_for(lambda: self.ids() == [1, 2])
        self.assertEqual({'_id': 1}, things.find_one({'_id': 1}))
        self.assertEqual(1, proxy.torn)

    def test_nothing_is_torn_where_that_is_not_wanted(self):
        proxy, things = self.connect(tear=False)
        things.insert_many([{'_id': 1}, {'_id': 2}])
        self.assertEqual(0, proxy.torn)

    def wait_for(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, 'It did not happen in time.')
            time.sleep(0.005)


class RuleTest(TornTest):
    def test_a_command_is_delayed(self):
        proxy, things = self.connect()
        rule = torn.Rule('insert', 'things', delay=0.3)
        proxy.rules.append(rule)
        start = time.monotonic()
        things.insert_one({'_id': 1})
        self.assertGreaterEqual(time.monotonic() - start, 0.3)
        self.assertTrue(rule.met.is_set() and rule.done.wait(5))
        start = time.monotonic()
        things.insert_one({'_id': 2})
        self.assertLess(time.monotonic() - start, 0.3)

    def test_others_are_not_delayed(self):
        proxy, things = self.connect()
        proxy.rules += [torn.Rule('insert', 'others', delay=5), torn.Rule('delete', delay=5)]
        start = time.monotonic()
        things.insert_one({'_id': 1})
        things.find_one()
        self.assertLess(time.monotonic() - start, 5)

    def test_an_answer_is_lost_and_the_repetition_is_known(self):
        proxy, things = self.connect()
        proxy.rules.append(torn.Rule('insert', cut_after=True))
        things.insert_one({'_id': 1})
        self.assertEqual([1], self.ids())

    def test_a_repetition_of_a_torn_write_goes_on_where_the_first_attempt_is(self):
        proxy = self.use_proxy(pause=0.05)
        things = self.reach(proxy, timeoutMS=5000)
        rules = [torn.Rule('insert', cut=True, delay=0.1), torn.Rule('insert', cut_after=True)]
        proxy.rules += rules
        things.insert_many([{'_id': number} for number in range(10)])
        self.assertTrue(rules[0].done.wait(30))
        self.assertEqual(list(range(10)), self.ids())

    def test_a_repetition_with_less_time_is_known(self):
        proxy = self.use_proxy()
        things = self.reach(proxy, timeoutMS=5000)
        things.insert_one({'_id': 1, 'a': 0})
        proxy.rules += [torn.Rule('findAndModify', cut_after=True), torn.Rule('update', cut_after=True)]
        found = things.find_one_and_update({'_id': 1}, {'$inc': {'a': 1}}, return_document=True)
        self.assertEqual(1, found['a'])
        things.update_one({'_id': 1}, {'$inc': {'a': 1}})
        self.assertEqual([{'_id': 1, 'a': 2}], self.everything())

    def test_a_repetition_may_be_forgotten(self):
        proxy, things = self.connect(remembers=False)
        proxy.rules.append(torn.Rule('insert', cut_after=True))
        documents = [{'_id': 1}, {'_id': 2}]
        self.assertRaises(pymongo.errors.BulkWriteError, things.insert_many, documents)
        self.assertEqual([1, 2], self.ids())

    def test_an_answer_never_comes(self):
        proxy = self.use_proxy()
        things = self.reach(proxy, timeoutMS=300)
        rule = torn.Rule('insert', times=2, answer=False)
        proxy.rules.append(rule)
        self.assertRaises(pymongo.errors.PyMongoError, things.insert_one, {'_id': 1})
        self.assertTrue(rule.met.is_set())
        self.assertEqual([1], self.ids())

    def test_a_command_never_arrives(self):
        proxy = self.use_proxy()
        things = self.reach(proxy, timeoutMS=300)
        proxy.rules.append(torn.Rule('insert', times=2, forward=False, cut=True))
        self.assertRaises(pymongo.errors.PyMongoError, things.insert_one, {'_id': 1})
        self.assertEqual([], self.ids())

    def test_a_command_arrives_long_after_its_sender_gave_up(self):
        proxy = self.use_proxy()
        things = self.reach(proxy, retryWrites=False)
        rule = torn.Rule('insert', cut=True, delay=0.5)
        proxy.rules.append(rule)
        self.assertRaises(pymongo.errors.AutoReconnect, things.insert_many, [{'_id': 1}, {'_id': 2}])
        self.assertEqual([], self.ids())
        self.assertTrue(rule.done.wait(30))
        self.assertEqual([1, 2], self.ids())

    def test_all_connections_are_cut(self):
        proxy, things = self.connect()
        things.insert_one({'_id': 1})
        proxy.cut()
        self.assertEqual({'_id': 1}, things.find_one())


def _errors(error):
    return [(each['index'], each['code']) for each in error.details['writeErrors']]
