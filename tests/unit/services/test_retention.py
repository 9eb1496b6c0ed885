"""How long exchanges stay, and what becomes of what was interrupted."""

import tempfile

from queueservice.model import captures, errors
from queueservice.storage import records, tables
from tests.fixtures import drivers, faulty
from tests.unit.services import test_captures

PROJECT, KEY = test_captures.PROJECT, test_captures.KEY
ALL = (
    tables.BUCKETS,
    tables.EXCHANGES,
    tables.EXCHANGE_BODIES,
    tables.COLLECTIONS,
    tables.COLLECTION_ITEMS,
)


class TestRetention(test_captures.CapturesTestCase):
    def test_the_oldest_make_room(self):
        for number in range(8):
            self.capture(self.attempt(number))
        self.assertEqual([7, 6, 5, 4, 3], self.numbers())
        self.assertEqual(5, self.count(tables.EXCHANGE_BODIES))

    def test_within_one_batch_too(self):
        self.capture(*map(self.attempt, range(8)))
        self.assertEqual([7, 6, 5, 4, 3], self.numbers())

    def test_what_a_collection_holds_stays(self):
        self.capture(*map(self.attempt, range(3)))
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, self.page()[-1].id)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(10, 20)))
        self.assertEqual([19, 18, 17, 16, 15, 0], self.numbers())
        [item] = self.collections.items(PROJECT, KEY, made.id)
        self.assertEqual(b'{"n": 1}', item.exchange.request.body)

    def test_what_no_collection_holds_any_more_goes(self):
        self.capture(*map(self.attempt, range(3)))
        kept = self.page()[-1].id
        one, other = (self.collections.create(PROJECT, KEY, name).id for name in 'ab')
        self.collections.put(PROJECT, KEY, one, kept)
        self.collections.put(PROJECT, KEY, other, kept)
        self.collections.remove(PROJECT, KEY, one, kept)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(10, 16)))
        self.assertIn(0, self.numbers())
        self.collections.delete(PROJECT, KEY, other)
        self.clock.advance(1)
        self.capture(*map(self.attempt, range(20, 26)))
        self.assertEqual([25, 24, 23, 22, 21], self.numbers())

    def test_where_it_was_lowered_much_goes_in_small_steps(self):
        self.serve(captures.Rules(retention=1000))
        self.capture(*map(self.attempt, range(300)))
        self.serve(captures.Rules(retention=1))
        self.clock.advance(1)
        self.capture(self.attempt(1000))
        self.assertEqual(201, len(self.page()))
        for _ in range(3):
            self.retention.sweep()
            self.retention.sweep()
        self.assertEqual([1000], self.numbers())

    def test_with_none_nothing_is_captured(self):
        self.serve(captures.Rules(retention=0))
        self.capture(self.attempt(1))
        self.assertEqual(0, self.count(tables.BUCKETS))


class TestRetentionOnSqlite(TestRetention):
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name)


class TestInterrupted(test_captures.CapturesTestCase):
    def make_driver(self):
        return faulty.Driver()

    def interrupt(self, call, *arguments):
        """Make the call again and again, each time cut off one step later; whether it was done in between."""
        for late in (False, True):
            step = 0
            done = False
            while not done:
                step += 1
                self.driver.fail(on_call=step, late=late)
                try:
                    call(*arguments)
                    done = True
                except Exception as error:
                    self.assertIn('Unavailable', repr(error))
                self.driver.heal()
                yield done

    def sweep_all(self):
        self.clock.advance(3600)
        for _ in range(6):
            self.retention.sweep()

    def test_an_item_never_names_an_exchange_that_is_not_held(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        for _ in self.interrupt(self.collections.put, PROJECT, KEY, made.id, exchange):
            if self.count(tables.COLLECTION_ITEMS):
                self.assertTrue(self.retention.find(KEY, exchange)['held'])
            self.driver.records.delete(tables.COLLECTION_ITEMS, (), limit=10)

    def test_what_is_held_in_vain_is_let_go(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, exchange)
        self.driver.records.delete(tables.COLLECTIONS, (), limit=1)  # and no further
        self.sweep_all()
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))
        self.assertFalse(self.retention.find(KEY, exchange)['held'])

    def test_what_is_held_rightly_is_not(self):
        self.capture(self.attempt(1))
        exchange = self.page()[0].id
        made = self.collections.create(PROJECT, KEY, 'kept')
        self.collections.put(PROJECT, KEY, made.id, exchange)
        self.sweep_all()
        self.assertTrue(self.retention.find(KEY, exchange)['held'])
        self.assertEqual(1, self.count(tables.EXCHANGE_BODIES))

    def test_bodies_without_an_exchange_are_dropped(self):
        self.capture(self.attempt(1))
        self.driver.records.delete(tables.EXCHANGES, (), limit=1)
        self.retention.sweep()
        self.assertEqual(1, self.count(tables.EXCHANGE_BODIES))  # they might be about to get one
        self.sweep_all()
        self.assertEqual(0, self.count(tables.EXCHANGE_BODIES))

    def test_a_bucket_that_was_deleted_in_part_can_be_deleted(self):
        for done in self.interrupt(self.captures.delete, PROJECT, KEY):
            if done:
                self.assertEqual([0] * 5, [self.count(table) for table in ALL])
            if not self.count(tables.BUCKETS):
                self.capture(self.attempt(1))

    def setUp(self):
        super().setUp()
        self.capture(self.attempt(1))


class TestRaces(test_captures.CapturesTestCase):
    """What happens between two steps of another."""

    def setUp(self):
        super().setUp()
        self.capture(self.attempt(1))
        self.exchange = self.page()[0].id
        self.made = self.collections.create(PROJECT, KEY, 'kept')

    def during(self, verb, table, action):
        """Do `action` right behind the first call of `verb` on `table`."""
        port = self.driver.records
        original = getattr(port, verb)

        def call(on, *arguments, **options):
            answer = original(on, *arguments, **options)
            if on is table and hasattr(port, verb) and vars(port).pop(verb, None):
                action()
            return answer

        setattr(port, verb, call)

    def test_what_is_let_go_while_it_is_put_elsewhere_stays_held(self):
        self.collections.put(PROJECT, KEY, self.made.id, self.exchange)
        other = self.collections.create(PROJECT, KEY, 'other')
        # Seen: no collection holds it. Then one does.
        self.during(
            'count',
            tables.COLLECTION_ITEMS,
            lambda: self.collections.put(PROJECT, KEY, other.id, self.exchange),
        )
        self.collections.remove(PROJECT, KEY, self.made.id, self.exchange)
        self.assertTrue(self.retention.find(KEY, self.exchange)['held'])

    def test_what_is_put_while_its_bucket_is_cleared_is_not_found(self):
        self.during('replace', tables.EXCHANGES, lambda: self.captures.clear(PROJECT, KEY))
        self.assertRaises(errors.NotFound, self.collections.put, PROJECT, KEY, self.made.id, self.exchange)
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))

    def test_what_is_put_while_its_collection_is_deleted_is_let_go(self):
        self.during('replace', tables.EXCHANGES, lambda: self.collections.delete(PROJECT, KEY, self.made.id))
        self.assertRaises(errors.NotFound, self.collections.put, PROJECT, KEY, self.made.id, self.exchange)
        self.assertEqual(0, self.count(tables.COLLECTION_ITEMS))
        self.assertFalse(self.retention.find(KEY, self.exchange)['held'])

    def test_what_is_put_while_it_makes_room_stays_whole(self):
        for number in range(2, 6):
            self.capture(self.attempt(number))
        self.during(
            'find',
            tables.EXCHANGES,
            lambda: self.collections.put(PROJECT, KEY, self.made.id, self.exchange),
        )
        self.capture(self.attempt(6))
        self.assertEqual(b'{"n": 1}', self.whole(1).request.body)

    def test_what_is_posted_while_its_bucket_is_deleted_is_gone(self):
        bucket = self.captures.create(PROJECT, 'own')
        intake = self.captures.open(PROJECT, bucket.key)
        response = captures.build_response(200, '', {}, intake.now, b'x', intake.rules)
        exchange = captures.Exchange(bucket=bucket.key, id=captures.new_id(), request=None, response=response)
        self.captures.delete(PROJECT, bucket.key)
        self.assertRaises(errors.NotFound, self.captures.post, intake, [exchange])
        where = records.Condition('bucket', '=', bucket.key)
        self.assertEqual([0, 0], [self.count(table, where) for table in (tables.EXCHANGES, tables.EXCHANGE_BODIES)])
