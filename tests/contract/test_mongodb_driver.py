"""What only the MongoDB driver has: what its verbs cost, and writers on many hosts that die, dawdle and are cut off."""

import contextlib
import time
from concurrent import futures

import bson
import pymongo.errors
import testtools

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.mongodb import documents, heads, sweep
from tests.fixtures import drivers, mongodb, torn

HOUR = 3600
#: How long a writer is waited for here, in seconds.
LEASE = 0.4


class MongoDBTest(testtools.TestCase):
    """A prepared driver on a database of its own, with a queue. Time is real here."""

    def setUp(self):
        super().setUp()
        self.commands = mongodb.commands()
        self.name = mongodb.make_name(self)
        self.database = mongodb.client()[self.name]
        self.driver = self.open()
        self.store = self.driver.messages
        self.queue = drivers.make_queue(self.driver)

    def open(self, port=None, patience=mongodb.PATIENCE):
        """Another driver on the same database, as another host has one; by way of a proxy at `port`."""
        return mongodb.build_driver(self, mongodb.locate(self.name, port), patience)

    def draft(self, body=b'1', ttl=HOUR, **fields):
        return messages.Draft(body, expires_at=time.time() + ttl, **fields)

    def keyed(self, key, body=b'1'):
        return self.draft(body, key=key, key_until=time.time() + HOUR, key_digest=b'd')

    def append(self, *drafts, store=None, queue=None):
        return (store or self.store).append(queue or self.queue, drafts, time.time())

    def post(self, count=1, store=None, queue=None):
        return [each.position for each in self.append(*[self.draft()] * count, store=store, queue=queue)]

    def claim(self, limit=10, ttl=60, store=None, **options):
        claim = messages.Claim(messages.new_id(), ttl, time.time() + ttl)
        claimed = (store or self.store).claim(self.queue, claim, limit, time.time(), keep_until=0, **options)
        return claim.id, [message.position for message in claimed.messages]

    def listed(self, store=None, **selection):
        selection.setdefault('limit', 1000)
        page = (store or self.store).select(self.queue, ports.Selection(**selection), time.time())
        return [message.position for message in page.messages]

    def bodies(self, store=None):
        page = (store or self.store).select(self.queue, ports.Selection(limit=1000), time.time())
        return [message.body for message in page.messages]

    def delete(self, *positions, **guard):
        return self.store.delete(self.queue, positions, time.time(), **guard)

    def stats(self, store=None):
        return (store or self.store).stats(self.queue, time.time())

    def total(self, store=None):
        return self.stats(store).total


class CostTest(MongoDBTest):
    """Commands, each of which is a round trip unless it is not awaited."""

    def sent(self, call, *arguments, **options):
        """The names of the commands that a call awaits, and of those that it does not."""
        with self.commands.noted(self.name) as noted:
            call(*arguments, **options)
        awaited = [name for name, command in noted if command.get('writeConcern', {}).get('w') != 0]
        return awaited, [name for name, command in noted if command.get('writeConcern', {}).get('w') == 0]

    def assert_sent(self, awaited, not_awaited, call, *arguments, **options):
        call(*arguments, **options)  # what is done once only is done now
        self.assertEqual((awaited, not_awaited), self.sent(call, *arguments, **options))

    def test_a_post_is_two_commands(self):
        self.assert_sent(['findAndModify', 'insert'], ['update'], self.post)
        self.assert_sent(['findAndModify', 'insert'], ['update'], self.post, 100)

    def test_a_keyed_post_is_four_commands(self):
        keys = iter('abcd')
        self.assert_sent(
            ['findAndModify', 'insert', 'insert', 'update'], ['update'], lambda: self.append(self.keyed(next(keys)))
        )

    def test_a_list_is_two_commands(self):
        self.post(30)
        self.assert_sent(['find', 'aggregate'], [], self.listed, limit=10)
        self.assert_sent(['find', 'aggregate'], [], self.listed, limit=10, after=10)
        self.assert_sent(['find', 'aggregate'], [], self.listed, limit=10, include_claimed=True, not_from=b'me')

    def test_to_get_messages_is_two_commands(self):
        positions = self.post(20)
        self.assert_sent(['find', 'find'], [], self.listed, positions=(positions[3],))
        self.assert_sent(['find', 'find'], [], self.listed, positions=tuple(positions))

    def test_a_claim_is_three_commands(self):
        self.post(50)
        self.assert_sent(['find', 'aggregate', 'update'], [], self.claim)

    def test_to_take_is_one_more(self):
        self.post(50)
        self.assert_sent(['find', 'aggregate', 'update', 'delete'], [], self.claim, take=True)

    def test_to_delete_one_is_two_commands(self):
        positions = iter(self.post(10))
        self.assert_sent(['find', 'findAndModify'], [], lambda: self.delete(next(positions)))
        claim_id, held = self.claim(4)
        positions = iter(held)
        self.assert_sent(
            ['find', 'findAndModify'],
            [],
            lambda: self.delete(next(positions), claim_ids=[claim_id], unclaimed=False),
        )

    def test_to_release_a_claim_is_one_command(self):
        self.post(30)
        claims = iter([self.claim()[0], self.claim()[0]])
        self.assert_sent(
            ['update'], [], lambda: self.store.renew(self.queue, next(claims), [messages.Change()], time.time())
        )

    def test_stats_cost_the_same_whatever_is_there(self):
        self.post(3)
        few = self.sent(self.stats)
        self.post(1000)
        self.assertEqual(few, self.sent(self.stats))


class BoundsTest(MongoDBTest):
    """Whatever is asked for, the server need not look further than some index entries.

    A statement on the messages names them, or a claim, or a stretch of the queue with both its ends, whatever lies
    behind the stretch; or it is about what is claimed or delayed, or about what expired and was not swept yet.
    """

    def check(self, call, *arguments, **options):
        with self.commands.noted(self.name) as noted:
            call(*arguments, **options)
        checked = 0
        for name, command in noted:
            if command[name] == 'messages':
                for condition in _conditions(name, command):
                    checked += 1
                    self.assertTrue(_is_bounded(condition), f'{name} looks without bounds: {condition}')
        self.assertGreater(checked, 0)

    def test_the_hot_operations_are_bounded(self):
        self.post(200)
        self.claim(20, ttl=0.01)
        time.sleep(0.02)
        for _ in range(2):
            self.check(self.listed, limit=10)
            self.check(self.listed, limit=10, after=100, include_claimed=True, include_delayed=True)
            self.check(self.listed, positions=(1, 2, 150))
            self.check(self.claim, 10)
            self.check(self.claim, 10, max_claims=3, in_flight=1000)
            self.check(self.claim, 3, take=True)
            self.check(self.delete, 190)
            self.check(self.delete, 191, 192, 193)
            self.check(self.stats)

    def test_what_is_done_under_a_claim_is_bounded(self):
        self.post(200)
        claim_id, positions = self.claim(10)
        self.check(self.listed, claim_id=claim_id)
        change = messages.Change(ends_at=time.time() + 60, ttl=60)
        self.check(self.store.renew, self.queue, claim_id, [change], time.time())
        self.check(self.delete, *positions[:2], claim_ids=[claim_id], unclaimed=False)
        change = messages.Change(tuple(positions[2:4]))
        self.check(self.store.renew, self.queue, claim_id, [change], time.time())
        self.check(self.store.renew, self.queue, claim_id, [messages.Change()], time.time())


def _conditions(name, command):
    match name:
        case 'find':
            return [command['filter']]
        case 'aggregate':
            return [command['pipeline'][0]['$match']]
        case 'update':
            return [statement['q'] for statement in command['updates']]
        case 'delete':
            return [statement['q'] for statement in command['deletes']]
        case 'findAndModify' | 'count':
            return [command['query']]
    return []


def _is_bounded(condition) -> bool:
    if _is_named(condition.get('_id')) or _is_named(condition.get('claim')):
        return True
    if not _is_named(condition.get('queue')):
        return False
    available = condition.get('available')
    if set(condition.get('expires', ())) == {'$lte'}:
        return True
    is_in_flight = isinstance(available, dict) and available.get('$gt', 0) > time.time() - HOUR
    return is_in_flight or any(_is_between(condition.get(field)) for field in ('position', 'available'))


def _is_named(value) -> bool:
    return value is not None and (not isinstance(value, dict) or set(value) == {'$in'})


def _is_between(value) -> bool:
    return isinstance(value, dict) and bool({'$gt', '$gte'} & set(value)) and bool({'$lt', '$lte'} & set(value))


class HostsTest(MongoDBTest):
    """Two drivers on one database, which know nothing of each other."""

    def setUp(self):
        super().setUp()
        self.patch(heads, 'LEASE', LEASE)
        self.patch(heads, 'LATE', LEASE / 4)
        self.other = self.open().messages

    def use_proxy(self, patience=mongodb.PATIENCE, tear=False, **options):
        """A proxy, and the messages by way of it."""
        proxy = torn.Proxy(mongodb.client().address, tear=tear, **options)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy, self.open(proxy.port, patience).messages

    def in_background(self, call, *arguments, **options):
        """Begin a call; its future."""
        pool = futures.ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(call, *arguments, **options)

    def wait_for(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, 'It did not happen in time.')
            time.sleep(0.01)

    def wait_for_total(self, total):
        """What a host deleted, or found out, others know a second later."""
        self.wait_for(lambda: self.total(self.other) == total)
        self.assertEqual(total, len(self.listed(self.other, include_claimed=True)))

    def head(self):
        return self.database.queues.find_one({'_id': self.queue.id})['head']

    # What a host knows of a queue

    def test_a_queue_as_it_was_writes_nothing(self):
        self.post(2)
        changed = drivers.change_queue(self.open(), self.queue)
        before = self.head()
        self.assertRaises(errors.Stale, self.append, self.draft())
        self.assertRaises(errors.Stale, self.append, self.keyed('a'))
        self.assertRaises(errors.Stale, self.claim)
        self.assertEqual(before, self.head())
        self.assertEqual(
            (2, 0), (self.database.messages.count_documents({}), self.database['keys'].count_documents({}))
        )
        self.assertEqual([1, 2, 3], [*self.listed(), *self.post(queue=changed)])

    def test_a_queue_that_is_gone_takes_nothing(self):
        drivers.delete_queue(self.open(), self.queue)
        for call in (self.post, self.claim, self.listed, self.stats):
            self.assertRaises(errors.Stale, call)
        self.assertRaises(errors.Stale, self.delete, 1)
        self.assertEqual(0, self.database.messages.count_documents({}))

    def test_what_one_posts_the_other_sees_at_once_or_soon(self):
        for count in range(1, 20):
            self.post()
            self.wait_for(lambda count=count: len(self.listed(self.other)) == count, seconds=LEASE)

    # Writers that die

    def reserve(self, count):
        """What a writer does before it dies; the positions that it was to fill."""
        head = self.head()
        entry = {
            'id': bson.ObjectId(),
            'first': head['last'] + 1,
            'count': count,
            'bytes': count,
            'keyed': False,
            'at': round(time.time() * 1000),
        }
        self.database.queues.update_one(
            {'_id': self.queue.id},
            {
                '$inc': {'head.last': count, 'head.messages': count, 'head.bytes': count},
                '$push': {'head.pending': entry},
            },
        )
        return list(range(entry['first'], entry['first'] + count))

    def insert(self, positions):
        life = documents.life_of(self.queue)
        self.database.messages.insert_many(
            [documents.write(life, position, self.draft(b'0'), time.time()) for position in positions]
        )

    def test_a_writer_that_died_hides_nothing_for_longer_than_its_lease(self):
        before = self.post(2)
        late = self.reserve(3)
        after = self.post(2)
        self.assertEqual(before, self.listed(self.other))
        self.assertEqual(before, self.claim()[1])
        self.wait_for(lambda: self.listed(self.other) == after, seconds=LEASE + 1)
        self.assertEqual(after, self.claim(store=self.other)[1])
        self.assertEqual([], self.head()['pending'])
        self.wait_for_total(4)
        self.assertRaises(pymongo.errors.BulkWriteError, self.insert, late)
        self.assertEqual([*before, *after], self.listed(include_claimed=True))

    def test_what_a_writer_stored_before_it_died_stays(self):
        late = self.reserve(4)
        self.insert(late[:2])
        after = self.post()
        self.assertEqual([], self.listed())
        self.wait_for(lambda: self.listed(self.other) == [*late[:2], *after], seconds=LEASE + 1)
        self.assertEqual([*late[:2], *after], self.claim(store=self.other)[1])
        self.wait_for_total(3)

    def test_a_queue_to_which_nobody_posts_any_more_is_freed_of_a_dead_writer(self):
        before = self.post()
        self.reserve(2)
        self.assertEqual(before, self.listed())
        self.wait_for(lambda: self.listed() is not None and not self.head()['pending'], seconds=LEASE + 1)
        self.wait_for_total(1)

    def test_many_readers_who_find_a_dead_writer_agree(self):
        late = self.reserve(20)
        self.insert(late[:7])
        after = self.post(3)
        stores = [self.open().messages for _ in range(4)]
        time.sleep(LEASE)
        for listed in [self.in_background(self.listed, store) for store in stores]:
            self.assertEqual([*late[:7], *after], listed.result())
        self.wait_for_total(10)

    def test_when_the_word_that_all_is_stored_is_lost_others_find_out(self):
        proxy, store = self.use_proxy()
        proxy.rules.append(torn.Rule('update', 'queues', forward=False))
        positions = self.post(3, store)
        self.assertEqual(1, len(self.head()['pending']))
        self.assertEqual(positions, self.listed(store), 'the writer itself knows')
        self.wait_for(lambda: self.listed(self.other) == positions, seconds=LEASE)
        self.assertEqual([], self.head()['pending'])

    # Writers that dawdle

    def test_an_insert_that_is_slower_than_the_fence_is_stored_once(self):
        proxy, store = self.use_proxy()
        rule = torn.Rule('insert', 'messages', delay=3 * LEASE)
        proxy.rules.append(rule)
        slow = self.in_background(self.append, self.draft(b'"slow"'), self.draft(b'"late"'), store=store)
        self.assertTrue(rule.met.wait(30))
        [quick] = self.post()
        self.wait_for(lambda: self.listed(self.other) == [quick], seconds=2 * LEASE)
        positions = [appended.position for appended in slow.result()]
        self.assertGreater(min(positions), quick)
        self.wait_for(lambda: self.listed(self.other) == [quick, *positions])
        self.assertEqual([b'1', b'"slow"', b'"late"'], self.bodies(self.other))
        self.wait_for_total(3)

    def test_an_insert_that_is_overtaken_halfway_is_stored_once(self):
        _, store = self.use_proxy(tear=True, pause=2 * LEASE)
        bodies = [b'%d' % number for number in range(4)]
        slow = self.in_background(self.append, *map(self.draft, bodies), store=store)
        self.wait_for(lambda: self.database.messages.count_documents({}) > 0)
        self.append(self.draft(b'"other"'))
        seen = []
        while not slow.done() or len(seen) < 5:
            seen += self.listed(self.other, after=max(seen, default=0))
        positions = [appended.position for appended in slow.result()]
        self.assertEqual(sorted(set(positions)), positions)
        self.assertEqual(self.listed(self.other), seen, 'a reader missed something')
        self.assertTrue(set(positions) <= set(seen))
        self.assertEqual(bodies, [body for body in self.bodies(self.other) if body != b'"other"'])
        self.wait_for_total(5)

    def test_an_insert_that_arrives_after_its_writer_gave_up_changes_nothing(self):
        proxy, store = self.use_proxy(patience=0.7)
        rule = torn.Rule('insert', 'messages', delay=4 * LEASE)
        proxy.rules.append(rule)
        self.assertRaises(errors.Unavailable, self.post, 3, store)
        after = self.post(2)
        self.wait_for(lambda: self.listed(self.other) == after)
        self.assertTrue(rule.done.wait(30))
        self.assertEqual(after, self.listed(self.other))
        self.wait_for_total(2)

    def test_an_insert_that_arrives_soon_after_its_writer_gave_up_stays(self):
        proxy, store = self.use_proxy(patience=0.3)
        proxy.rules.append(torn.Rule('insert', 'messages', answer=False))
        self.assertRaises(errors.Unavailable, self.post, 3, store)
        after = self.post(2)
        self.wait_for(lambda: self.listed(self.other) == [1, 2, 3, *after])
        self.wait_for_total(5)

    def test_an_append_whose_answer_is_lost_is_stored_once(self):
        proxy, store = self.use_proxy()
        for command, collection in (('findAndModify', 'queues'), ('insert', 'messages'), ('insert', 'keys')):
            proxy.rules.append(torn.Rule(command, collection, cut_after=True))
            [appended] = self.append(self.keyed(command + collection), store=store)
            self.assertEqual([ports.Appended(appended.position, True)], self.append(self.keyed(command + collection)))
        self.wait_for(lambda: len(self.listed(self.other)) == 3)
        self.wait_for_total(3)

    def test_an_append_that_the_client_library_repeats_is_stored_once_at_the_most(self):
        """Its first attempt is not known to the server any more, as after a crash, but what it stored is there."""
        proxy, store = self.use_proxy(tear=True, remembers=False)
        proxy.rules.append(torn.Rule('insert', 'messages', cut_after=True))
        bodies = [b'%d' % number for number in range(4)]
        with contextlib.suppress(errors.Unavailable):
            self.append(*map(self.draft, bodies), store=store)
        [last] = self.post()
        self.wait_for(lambda: last in self.listed(self.other))
        self.assertEqual([*bodies, b'1'], self.bodies(self.other))
        self.wait_for_total(5)

    # Writers of keys that die

    def test_a_keyed_message_whose_writer_was_cut_off_before_the_insert_is_stored_by_its_repetition(self):
        proxy, store = self.use_proxy(patience=0.3)
        proxy.rules.append(torn.Rule('insert', 'messages', forward=False))
        self.assertRaises(errors.Unavailable, self.append, self.keyed('a', b'"first"'), store=store)
        [appended] = self.append(self.keyed('a', b'"second"'))
        self.assertFalse(appended.repeated)
        self.wait_for(lambda: self.bodies(self.other) == [b'"second"'])
        self.assertEqual([ports.Appended(appended.position, True)], self.append(self.keyed('a'), store=self.other))
        self.wait_for_total(1)

    def test_a_keyed_message_whose_writer_was_cut_off_after_the_insert_is_known(self):
        self._is_known_after(torn.Rule('insert', 'messages', answer=False))

    def test_a_keyed_message_whose_writer_was_cut_off_before_its_key_was_settled_is_known(self):
        self._is_known_after(torn.Rule('update', 'keys', forward=False))

    def test_a_keyed_message_whose_writer_was_cut_off_after_its_key_was_settled_is_known(self):
        self._is_known_after(torn.Rule('update', 'keys', answer=False))

    def _is_known_after(self, rule):
        proxy, store = self.use_proxy(patience=0.3)
        proxy.rules.append(rule)
        self.assertRaises(errors.Unavailable, self.append, self.keyed('a', b'"first"'), store=store)
        [appended] = self.append(self.keyed('a', b'"second"'))
        self.assertTrue(appended.repeated)
        self.wait_for(lambda: self.listed(self.other) == [appended.position])
        self.assertEqual([b'"first"'], self.bodies(self.other))
        self.wait_for_total(1)

    def test_a_keyed_insert_that_arrives_after_its_repetition_changes_nothing(self):
        proxy, store = self.use_proxy(patience=0.3)
        rule = torn.Rule('insert', 'messages', delay=5 * LEASE)
        proxy.rules.append(rule)
        self.assertRaises(errors.Unavailable, self.append, self.keyed('a', b'"first"'), store=store)
        [appended] = self.append(self.keyed('a', b'"second"'))
        self.wait_for(lambda: self.claim(take=True, store=self.other)[1] == [appended.position])
        self.assertFalse(rule.done.is_set(), 'that took too long')
        self.assertTrue(rule.done.wait(30))
        self.assertEqual([], self.listed(self.other))
        self.assertEqual([ports.Appended(appended.position, True)], self.append(self.keyed('a'), store=self.other))
        self.wait_for_total(0)


class CountTest(MongoDBTest):
    def test_a_queue_that_rests_is_counted_and_its_head_corrected(self):
        self.patch(sweep, 'COUNT_EVERY', 0)
        self.patch(sweep, 'REST', 0)
        self.post(5)
        self.delete(1)
        self.database.queues.update_one({'_id': self.queue.id}, {'$inc': {'head.messages': 3, 'head.bytes': 30}})
        self.assertEqual(7, self.total())

        for _ in range(4):
            self.store.sweep(time.time(), 100)

        self.assertEqual((4, 4), (self.total(), self.stats().bytes))
