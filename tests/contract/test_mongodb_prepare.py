"""What is refused, made and found when a MongoDB is prepared and checked."""

import datetime

import testtools

from queueservice.conf import opts
from queueservice.storage import errors, tables
from queueservice.storage.drivers.mongodb import database, driver, options, schema
from tests.contract import record_store
from tests.fixtures import drivers, mongodb


class PrepareTest(testtools.TestCase):
    """A database of its own that nobody has prepared."""

    def setUp(self):
        super().setUp()
        self.name = mongodb.make_name(self)
        self.uri = mongodb.locate(self.name)
        self.database = mongodb.client()[self.name]

    def open(self, query='', uri=None, **arguments):
        uri = uri or self.uri
        opened = driver.Driver(f'{uri}{"&" if "?" in uri else "?"}{query}' if query else uri, **arguments)
        self.addCleanup(opened.close)
        return opened

    def findings(self, opened):
        return {finding.what: finding for finding in opened.check()}

    def assert_refused(self, opened, *pieces):
        """`prepare` fails with a sentence of these pieces."""
        refusal = self.assertRaises(errors.Unavailable, opened.prepare)
        for piece in pieces:
            self.assertIn(piece, str(refusal))

    # What is made

    def test_an_empty_database_is_not_prepared_until_it_is(self):
        opened = self.open()
        self.assertFalse(self.findings(opened)['schema'].ok)
        self.assertEqual([], self.database.list_collection_names())

        opened.prepare()

        self.assertEqual([], [finding for finding in opened.check() if not finding.ok])
        self.assertEqual(['connection', 'topology', 'writes', 'schema', 'clock'], list(self.findings(opened)))

    def test_to_prepare_twice_changes_nothing(self):
        self.open().prepare()
        queue = drivers.make_queue(self.open())
        before = self._everything()

        self.open().prepare()

        self.assertEqual(before, self._everything())
        self.assertEqual(queue.id, self.database.queues.find_one()['_id'])

    def _everything(self):
        return {
            name: (self.database[name].index_information(), list(self.database[name].find()))
            for name in sorted(self.database.list_collection_names())
        }

    def test_every_index_is_made(self):
        self.open().prepare()
        for collection, models in schema.indexes().items():
            made = self.database[collection].index_information()
            for index in (model.document for model in models):
                self.assertEqual([*index['key'].items()], made[index['name']]['key'])
        self.assertIn('queue_1_available_1_position_1', self.database.messages.index_information())

    def test_a_table_has_its_unique_sets_and_its_orders(self):
        self.patch(tables, 'ALL', (*tables.ALL, record_store.THINGS, record_store.PLACES))
        self.open().prepare()

        things = self.database.things.index_information()
        self.assertEqual(
            {
                '_id_',
                'group_1_name_1',
                'select_1',
                'group_1_name_1__id_1',
                'select_1__id_1',
                'group_1_order_1__id_1',
                'ratio_1__id_1',
            },
            things.keys(),
        )
        self.assertEqual({'group_1_name_1', 'select_1'}, {name for name in things if things[name].get('unique')})
        self.assertEqual({'_id_', 'shelf_1_slot_1'}, self.database.places.index_information().keys())

    def test_an_index_that_was_dropped_is_missed_and_made_again(self):
        opened = self.open()
        opened.prepare()
        self.database.messages.drop_index('claim_1')

        finding = self.findings(opened)['schema']
        self.assertFalse(finding.ok)
        self.assertIn('messages.claim_1', finding.sentence)
        opened.prepare()

        self.assertTrue(self.findings(opened)['schema'].ok)

    # What is refused

    def test_an_index_of_the_same_name_and_other_keys_is_in_the_way(self):
        self.database['keys'].create_index([('somebody', 1)], name='until_1')

        self.assert_refused(self.open(), '"keys"', 'in the way', 'Drop it', 'until_1')

        self.database.schema.insert_one({'_id': 'version', 'version': schema.VERSION})
        self.assertIn('keys.until_1', self.findings(self.open())['schema'].sentence)

    def test_a_database_of_a_later_release_is_left_alone(self):
        self.database.schema.insert_one({'_id': 'version', 'version': schema.VERSION + 1})

        self.assert_refused(self.open(), 'later release', 'another database')

        self.assertEqual(['schema'], self.database.list_collection_names())
        self.assertIn('later release', self.findings(self.open())['schema'].sentence)

    def test_a_server_that_is_not_there_is_said_not_to_answer(self):
        opened = self.open(uri='mongodb://somebody:secret@127.0.0.1:1/there', patience=0.2)

        self.assert_refused(
            opened, 'mongodb://127.0.0.1:1/there does not answer', 'Connection refused', '[storage] uri'
        )

        [finding] = opened.check()
        self.assertEqual(('connection', False), (finding.what, finding.ok))
        for text in (finding.sentence, opened.location, str(self.assertRaises(errors.Unavailable, opened.ping))):
            self.assertNotIn('secret', text)

    def test_a_write_concern_below_the_majority_is_refused(self):
        for query, shown in (
            ('w=1', 'w=1'),
            ('w=0', 'w=0'),
            ('w=2', 'w=2'),
            ('w=rack', 'w=rack'),
            ('journal=false', 'journal=false'),
            ('w=1&journal=false', 'w=1&journal=false'),
        ):
            opened = self.open(query)
            self.assert_refused(opened, f'"{shown}"', 'Remove that')
            self.assertFalse(self.findings(opened)['writes'].ok)

    def test_a_write_concern_of_the_majority_may_be_named(self):
        for query in ('w=majority', 'journal=true', 'w=majority&journal=true'):
            self.open(query).prepare()

    def test_an_unreliable_store_writes_as_the_uri_says(self):
        commands = mongodb.commands()
        for query, unreliable, expected in (
            ('w=1&journal=false', True, {'w': 1, 'j': False}),
            ('w=1', True, {'w': 1}),
            ('', True, {'w': 'majority', 'j': True}),
            ('', False, {'w': 'majority', 'j': True}),
            ('w=majority', False, {'w': 'majority', 'j': True}),
        ):
            opened = self.open(query, unreliable=unreliable)
            opened.prepare()
            self.assertTrue(self.findings(opened)['writes'].ok)
            with commands.noted(self.name) as noted:
                drivers.make_queue(opened, query or str(unreliable))
            [(name, command)] = noted
            self.assertEqual(('insert', expected), (name, command['writeConcern']))

    def test_writes_that_nobody_answers_are_refused_always(self):
        self.assert_refused(self.open('w=0', unreliable=True), '"w=0"')

    def test_a_standalone_server_is_refused_unless_unreliable(self):
        mongodb.need_own_server()
        self.patch(mongodb, 'OPTIONS', (*mongodb.OPTIONS, '--standalone'))
        own = mongodb.own_server(self.addCleanup)
        uri = f'{own.uri}/alone'

        opened = self.open(uri=uri)
        self.assert_refused(opened, 'standalone server', 'replica set', '[DEFAULT] unreliable')
        self.assertFalse(self.findings(opened)['topology'].ok)
        allowed = self.open(uri=uri, unreliable=True)
        allowed.prepare()

        self.assertTrue(self.findings(allowed)['topology'].ok)
        self.assertEqual(drivers.make_queue(allowed).revision, 1)

    # What else a check finds

    def test_a_sharded_cluster_is_as_good_as_a_replica_set(self):
        self._say(msg='isdbgrid', setName=None)

        finding = self.findings(self.open())['topology']

        self.assertEqual((True, 'It is a sharded cluster.'), (finding.ok, finding.sentence))

    def test_a_server_that_takes_no_writes_is_found(self):
        self._say(isWritablePrimary=False)
        opened = self.open()

        self.assertFalse(self.findings(opened)['connection'].ok)
        self.assert_refused(opened, 'takes no writes')
        self.assertRaises(errors.Unavailable, opened.ping)

    def test_a_clock_that_is_wrong_is_found(self):
        for seconds, ok in ((-3, False), (3, False), (0.5, True)):
            now = datetime.datetime.now(datetime.UTC)
            self._say(localTime=now + datetime.timedelta(seconds=seconds))
            self.assertEqual(ok, self.findings(self.open())['clock'].ok)

    def _say(self, **answers):
        """Let servers say this of themselves, and not what they are."""
        self.patch(database.Database, 'hello', lambda self: _HELLO(self) | answers)

    def test_a_server_that_takes_writes_answers_a_ping(self):
        self.open().ping()


_HELLO = database.Database.hello


class OptionsTest(testtools.TestCase):
    def build(self, uri):
        conf = opts.load(['/dev/null'])
        conf.set_override('uri', uri, group='storage')
        self.addCleanup(conf.clear_override, 'uri', group='storage')
        built = options.build_driver(conf)
        self.addCleanup(built.close)
        return built

    def test_the_uri_names_the_database(self):
        for uri, location in (
            ('mongodb://a', 'mongodb://a:27017/queueservice'),
            ('mongodb://user:p%40ss@a:1,b:2/messages?replicaSet=r&authSource=admin', 'mongodb://a:1,b:2/messages'),
        ):
            self.assertEqual(location, self.build(uri).location)

    def test_what_is_no_uri_of_mongodb_is_refused_without_repeating_it(self):
        for uri in (
            None,
            '',
            'sqlite:///x',
            'a:27017',
            'mongodb://',
            'mongodb://user:hid@den@a/',
            'mongodb://user:hid/den@a/',
            'mongodb://a:99999',
        ):
            refusal = self.assertRaises(ValueError, self.build, uri)
            self.assertIn('Write mongodb://HOST:PORT', str(refusal))
            self.assertNotIn('den', str(refusal))

    def test_nothing_is_opened_before_it_is_used(self):
        self.assertEqual('mongodb://127.0.0.1:1/queueservice', self.build('mongodb://127.0.0.1:1').location)
        self.assertTrue(self.build('mongodb://127.0.0.1:1').shared)
