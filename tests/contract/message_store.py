"""What every message store promises, sentence by sentence of `queueservice.storage.messages`."""

from queueservice.model import messages, queues
from queueservice.storage import base, errors, records, tables
from queueservice.storage import messages as ports
from tests.fixtures import clock, drivers

MINUTE = 60
HOUR = 3600


class MessageStoreContract:
    """Mix it into a `testtools.TestCase` that says how to make a prepared, empty driver."""

    #: How many are very many: more than a driver does in one step.
    MANY = 2500

    def make_driver(self) -> base.Driver:
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = self.make_driver()
        self.addCleanup(self.driver.close)
        self.store = self.driver.messages
        self.queue = self.make_queue()

    # What the tests are told in: each acts on `self.queue` now unless it is told otherwise.

    def make_queue(self, name='demo', project='project-1', namespace=queues.PROJECT):
        return drivers.make_queue(self.driver, name, project, namespace, created_at=self.clock())

    def draft(self, body=b'1', ttl=HOUR, delay=0, **fields):
        fields.setdefault('available_at', self.clock() + delay if delay else 0)
        return messages.Draft(body, expires_at=self.clock() + ttl, **fields)

    def keyed(self, key, body=b'1', window=HOUR, digest=b'd1', **fields):
        return self.draft(body, key=key, key_until=self.clock() + window, key_digest=digest, **fields)

    def append(self, *drafts, queue=None, derive=None):
        return self.store.append(queue or self.queue, drafts, self.clock(), derive=derive)

    def post(self, count=1, queue=None, **fields):
        """Append `count` messages with the bodies 1, 2, ... and return their positions."""
        drafts = [self.draft(b'%d' % (number + 1), **fields) for number in range(count)]
        return [appended.position for appended in self.append(*drafts, queue=queue)]

    def select(self, *, queue=None, **selection):
        return self.store.select(queue or self.queue, ports.Selection(**selection), self.clock())

    def listed(self, *, queue=None, **selection):
        """The positions of a page; of a long one unless there is a limit."""
        selection.setdefault('limit', 1000)
        return [message.position for message in self.select(queue=queue, **selection).messages]

    def everything(self, queue=None):
        """The positions of all that is there, in whatever state."""
        return self.listed(queue=queue, include_claimed=True, include_delayed=True, limit=100_000)

    def read(self, position, queue=None):
        [message] = self.select(queue=queue, positions=(position,)).messages
        return message

    def new_claim(self, ttl=MINUTE, id=None):
        return messages.Claim(id or messages.new_id(), ttl, self.clock() + ttl)

    def claim(self, limit=10, claim=None, ttl=MINUTE, queue=None, keep_until=0, **options):
        """Claim under `claim` or a new one, whose id is only of interest if something was found."""
        claim = claim or self.new_claim(ttl)
        return self.store.claim(queue or self.queue, claim, limit, self.clock(), keep_until=keep_until, **options)

    def lease(self, limit=10, ttl=MINUTE, **options):
        """Claim and return the claim's id and the positions leased."""
        claim = self.new_claim(ttl)
        claimed = self.claim(limit, claim, **options)
        return claim.id, _positions(claimed.messages)

    def held(self, claim_id, queue=None):
        return _positions(self.select(claim_id=claim_id, queue=queue).messages)

    def renew(self, claim_id, *changes, queue=None):
        """How many messages were changed."""
        return self.store.renew(queue or self.queue, claim_id, changes, self.clock())

    def release(self, claim_id, positions=None, delay=0):
        available_at = self.clock() + delay if delay else 0
        return self.renew(claim_id, messages.Change(positions, available_at=available_at))

    def extend(self, claim_id, ttl, positions=None, **fields):
        return self.renew(claim_id, messages.Change(positions, ends_at=self.clock() + ttl, ttl=ttl, **fields))

    def delete(self, *positions, queue=None, **guard):
        """The positions deleted and the positions refused, each in order."""
        deleted = self.store.delete(queue or self.queue, positions, self.clock(), **guard)
        return sorted(deleted.positions), sorted(deleted.refused)

    def clear(self, queue=None):
        self.store.clear(queue or self.queue, self.clock())

    def stats(self, queue=None):
        return self.store.stats(queue or self.queue, self.clock())

    def counts(self, queue=None):
        """How many are free, claimed, delayed."""
        stats = self.stats(queue)
        return stats.free, stats.claimed, stats.delayed

    def sweep(self, limit=500):
        """Sweep until nothing is left; how much was done."""
        done = 0
        for _ in range(10_000):
            swept = self.store.sweep(self.clock(), limit)
            done += swept
            if swept < limit:
                return done
        raise AssertionError('the sweep never came to an end')

    # Append

    def test_a_message_is_stored_as_it_was_drafted(self):
        [position] = self.post(client=b'me', checksum='MD5:c4ca4238', claim_count=2, state=b'{"from": "x"}')

        expected = messages.Message(
            position=position,
            body=b'1',
            client=b'me',
            created_at=self.clock(),
            expires_at=self.clock() + HOUR,
            available_at=0,
            claim_id=None,
            claim_ttl=0,
            claim_count=2,
            checksum='MD5:c4ca4238',
            state=b'{"from": "x"}',
        )
        self.assertEqual(expected, self.read(position))
        self.assertEqual([expected], self.select().messages)

    def test_a_plain_draft_is_stored_without_client_checksum_and_state(self):
        [position] = self.post()

        message = self.read(position)
        self.assertEqual((b'', None, 0, b''), (message.client, message.checksum, message.claim_count, message.state))

    def test_bodies_are_kept_byte_for_byte(self):
        bodies = [
            b'null',
            b'""',
            b' [ 1 ,\n\t2 ] ',
            b'{"a": 1, "a": 2}',
            b'-0.0',
            b'1e999',
            b'9' * 5000,
            b'"\\u00e9\\u0000\\ud83d\\ude00"',
            '"\u00e9 \u2028 \U0001f600"'.encode(),
            b'{"$set": {"a.b": 1}}',
            b'"' + b'x' * (256 * 1024) + b'"',
            b'{}',
        ]

        for body in bodies:
            self.append(self.draft(body))
        self.append(*map(self.draft, bodies))

        self.assertEqual(bodies * 2, [message.body for message in self.select(limit=1000).messages])
        self.assertEqual(bodies * 2, [message.body for message in self.claim(limit=1000).messages])

    def test_clients_states_and_checksums_are_kept_byte_for_byte(self):
        clients = [b'\x00', b'\xff' * 36, b"$a.b'%_\\", bytes(range(256)), b'']

        self.append(*(self.draft(client=client, state=client, checksum='MD5:\u00e9$.') for client in clients))

        found = self.select(limit=1000).messages
        self.assertEqual(clients, [message.client for message in found])
        self.assertEqual(clients, [message.state for message in found])
        self.assertEqual({'MD5:\u00e9$.'}, {message.checksum for message in found})

    def test_an_append_answers_with_growing_positions_beginning_at_one_or_behind_it(self):
        answers = self.append(self.draft(), self.draft(), self.draft())
        more = self.append(self.draft())

        positions = [appended.position for appended in answers + more]
        self.assertGreaterEqual(positions[0], 1)
        self.assertEqual(sorted(set(positions)), positions)
        self.assertFalse(any(appended.repeated for appended in answers))

    def test_an_empty_append_stores_nothing(self):
        self.assertEqual([], self.append())
        self.assertEqual([], self.everything())

    def test_messages_are_listed_in_the_order_of_their_posts(self):
        posted = [position for _ in range(30) for position in self.post()]

        self.assertEqual(posted, self.listed())

    def test_a_batch_keeps_its_order(self):
        bodies = [b'%d' % number for number in range(250, 0, -1)]

        self.append(*map(self.draft, bodies))

        self.assertEqual(bodies, [message.body for message in self.select(limit=1000).messages])

    def test_positions_are_not_used_again_after_everything_was_deleted(self):
        first = self.post(3)
        self.delete(*first)

        second = self.post(2)

        self.assertGreater(min(second), max(first))

    def test_positions_are_not_used_again_after_everything_expired_and_was_swept(self):
        first = self.post(3, ttl=MINUTE)
        self.clock.advance(HOUR)
        self.sweep()

        second = self.post(2)

        self.assertGreater(min(second), max(first))
        self.assertEqual(second, self.listed(after=max(first)))

    def test_a_message_posted_by_a_clock_that_is_behind_stands_behind_all_the_same(self):
        first = self.post()
        self.clock.advance(-0.75)

        second = self.post()

        self.assertEqual(first + second, self.listed())

    # Append: keys

    def test_a_key_that_is_known_is_not_stored_again(self):
        [first] = self.append(self.keyed('a', b'"first"'))

        self.assertEqual([ports.Appended(first.position, repeated=True)], self.append(self.keyed('a', b'"second"')))
        self.assertEqual([first.position], self.everything())
        self.assertEqual(b'"first"', self.read(first.position).body)

    def test_messages_without_a_key_are_never_taken_for_repetitions(self):
        self.append(self.draft(), self.draft())
        self.append(self.draft())

        self.assertEqual(3, len(self.everything()))

    def test_keys_are_told_apart_exactly(self):
        keys = [
            'a',
            'A',
            'a ',
            'a\x00',
            '',
            '$set',
            'a.b',
            "o'brien",
            '%',
            '\u00e9',
            'e\u0301',
            '\U0001f600',
            'x' * 300,
        ]

        answers = self.append(*map(self.keyed, keys))
        repeated = self.append(*map(self.keyed, keys))

        self.assertEqual([False] * len(keys), [appended.repeated for appended in answers])
        self.assertEqual([ports.Appended(appended.position, True) for appended in answers], repeated)
        self.assertEqual(len(keys), len(self.everything()))

    def test_a_key_is_known_even_if_its_message_was_deleted(self):
        [first] = self.append(self.keyed('a'))
        self.delete(first.position)

        self.assertEqual([ports.Appended(first.position, True)], self.append(self.keyed('a')))
        self.assertEqual([], self.everything())

    def test_a_key_is_known_even_if_its_message_was_taken(self):
        [first] = self.append(self.keyed('a'))
        self.claim(take=True)

        self.assertEqual([ports.Appended(first.position, True)], self.append(self.keyed('a')))

    def test_a_key_is_known_even_if_its_message_expired_and_was_swept(self):
        [first] = self.append(self.keyed('a', ttl=MINUTE, window=HOUR))
        self.clock.advance(2 * MINUTE)
        self.sweep()

        self.assertEqual([ports.Appended(first.position, True)], self.append(self.keyed('a')))

    def test_a_key_outlasts_clear(self):
        [first] = self.append(self.keyed('a'))
        self.clear()
        self.sweep()

        self.assertEqual([ports.Appended(first.position, True)], self.append(self.keyed('a')))
        self.assertEqual([], self.everything())

    def test_a_key_ends_with_the_life_of_its_queue(self):
        self.append(self.keyed('a'))
        drafts = [self.keyed('a')]
        drivers.delete_queue(self.driver, self.queue)

        [appended] = self.append(*drafts, queue=self.make_queue())

        self.assertFalse(appended.repeated)

    def test_a_key_is_known_in_its_own_queue_only(self):
        self.append(self.keyed('a'))

        [appended] = self.append(self.keyed('a', digest=b'd2'), queue=self.make_queue('other'))

        self.assertFalse(appended.repeated)

    def test_a_key_is_forgotten_when_its_time_is_over(self):
        [first] = self.append(self.keyed('a', window=MINUTE))
        self.clock.advance(MINUTE - 0.25)
        self.assertEqual([ports.Appended(first.position, True)], self.append(self.keyed('a')))
        self.clock.advance(0.25)

        [second] = self.append(self.keyed('a', window=MINUTE, digest=b'd2'))

        self.assertFalse(second.repeated)
        self.assertEqual([first.position, second.position], self.everything())
        self.assertEqual([ports.Appended(second.position, True)], self.append(self.keyed('a', digest=b'd2')))

    def test_a_sweep_forgets_no_key_before_its_time(self):
        [_, long] = self.append(self.keyed('short', window=MINUTE), self.keyed('long', window=HOUR))
        self.clock.advance(2 * MINUTE)
        self.sweep()

        [again, repeated] = self.append(self.keyed('short'), self.keyed('long'))

        self.assertFalse(again.repeated)
        self.assertEqual(ports.Appended(long.position, True), repeated)

    def test_a_key_with_another_digest_is_refused_and_nothing_is_written(self):
        self.append(self.keyed('a', digest=b'd1'))
        before = self.everything()

        drafts = [self.draft(), self.keyed('b'), self.keyed('a', digest=b'd2'), self.draft()]
        self.assertRaises(errors.KeyReused, self.append, *drafts)

        self.assertEqual(before, self.everything())
        [appended] = self.append(self.keyed('b', digest=b'd2'))
        self.assertFalse(appended.repeated, 'the key of a refused append was remembered')

    def test_a_partly_repeated_batch_stores_what_is_new_in_its_order(self):
        known = self.append(self.keyed('a', b'"a"'), self.keyed('c', b'"c"'))

        drafts = [self.keyed(key, b'"%s"' % key.encode()) for key in 'abcd']
        answers = self.append(drafts[0], drafts[1], drafts[2], self.draft(b'"plain"'), drafts[3])

        self.assertEqual([True, False, True, False, False], [appended.repeated for appended in answers])
        self.assertEqual([appended.position for appended in known], [answers[0].position, answers[2].position])
        bodies = [message.body for message in self.select().messages]
        self.assertEqual([b'"a"', b'"c"', b'"b"', b'"plain"', b'"d"'], bodies)
        self.assertEqual([answers[1].position, answers[3].position, answers[4].position], self.everything()[2:])

    def test_a_key_that_stands_twice_in_a_batch_is_stored_once(self):
        [first, second] = self.append(self.keyed('a', b'"first"'), self.keyed('a', b'"second"'))

        self.assertEqual((False, ports.Appended(first.position, True)), (first.repeated, second))
        self.assertEqual([b'"first"'], [message.body for message in self.select().messages])

    def test_a_key_that_stands_twice_in_a_batch_with_two_digests_is_refused(self):
        self.assertRaises(
            errors.KeyReused, self.append, self.keyed('a', digest=b'd1'), self.draft(), self.keyed('a', digest=b'd2')
        )

        self.assertEqual([], self.everything())
        self.assertFalse(self.append(self.keyed('a'))[0].repeated)

    def test_a_repetition_does_not_lengthen_the_memory_of_a_key(self):
        self.append(self.keyed('a', window=10))
        self.clock.advance(5)
        self.append(self.keyed('a', window=HOUR))
        self.clock.advance(5)

        [appended] = self.append(self.keyed('a'))

        self.assertFalse(appended.repeated)

    def test_a_repeated_append_with_a_stale_revision_is_stale(self):
        self.append(self.keyed('a'))
        drivers.change_queue(self.driver, self.queue)

        self.assertRaises(errors.Stale, self.append, self.keyed('a'))

    # Append: derived messages

    def test_derived_messages_are_appended_in_the_same_step(self):
        outbox = self.make_queue('outbox', namespace=queues.INTERNAL)
        seen = []

        def derive(stored):
            seen.append(stored)
            return [(outbox, [self.draft(b'%d' % message.position, state=message.body) for message in stored])]

        answers = self.append(self.draft(b'"x"', client=b'me'), self.draft(b'"y"', delay=5), derive=derive)

        positions = [appended.position for appended in answers]
        self.assertEqual([[self.read(position) for position in positions]], seen)
        derived = self.select(queue=outbox).messages
        self.assertEqual([b'%d' % position for position in positions], [message.body for message in derived])
        self.assertEqual([b'"x"', b'"y"'], [message.state for message in derived])

    def test_messages_are_derived_for_several_queues_at_once(self):
        one, two = self.make_queue('one'), self.make_queue('two', project='project-2')

        self.append(
            self.draft(),
            derive=lambda stored: [(one, [self.draft(b'1'), self.draft(b'2')]), (two, [self.draft(b'3')])],
        )

        self.assertEqual([b'1', b'2'], [message.body for message in self.select(queue=one).messages])
        self.assertEqual([b'3'], [message.body for message in self.select(queue=two).messages])
        self.assertEqual((1, 2, 1), tuple(self.stats(queue).total for queue in (self.queue, one, two)))

    def test_messages_may_be_derived_for_the_same_queue(self):
        self.append(
            self.draft(b'1'), derive=lambda stored: [(self.queue, [self.draft(b'2')]), (self.queue, [self.draft(b'3')])]
        )

        self.assertEqual([b'1', b'2', b'3'], [message.body for message in self.select().messages])
        self.assertEqual((3, 0, 0), self.counts())

    def test_an_error_while_deriving_writes_nothing(self):
        self.assertRaises(ZeroDivisionError, self.append, self.keyed('a'), derive=lambda stored: 1 / 0)

        self.assertEqual([], self.everything())
        self.assertFalse(self.append(self.keyed('a'))[0].repeated)

    def test_deriving_nothing_changes_nothing(self):
        [appended] = self.append(self.draft(), derive=lambda stored: [])

        self.assertEqual([appended.position], self.everything())

    def test_nothing_is_derived_from_repetitions(self):
        outbox = self.make_queue('outbox')
        self.append(self.keyed('a'), self.keyed('b'))
        calls = []

        def derive(stored):
            calls.append([message.body for message in stored])
            return [(outbox, [self.draft()])]

        self.append(self.keyed('a'), self.keyed('b'), derive=derive)
        self.assertEqual([], calls)
        self.assertEqual([], self.everything(outbox))

        self.append(self.keyed('a'), self.keyed('new', b'"new"'), self.keyed('b'), derive=derive)
        self.assertEqual([[b'"new"']], calls)
        self.assertEqual(1, len(self.everything(outbox)))

    def test_a_derived_message_with_a_known_key_is_not_stored_again(self):
        outbox = self.make_queue('outbox')

        for _ in range(2):
            self.append(self.draft(), derive=lambda stored: [(outbox, [self.keyed('same'), self.draft()])])

        self.assertEqual((2, 3), (len(self.everything()), len(self.everything(outbox))))

    def test_a_stale_derived_queue_writes_nothing_at_all(self):
        fine, changed = self.make_queue('fine'), self.make_queue('changed')
        drivers.change_queue(self.driver, changed)

        def derive(stored):
            return [(fine, [self.keyed('f')]), (changed, [self.keyed('c')])]

        self.assertRaises(errors.Stale, self.append, self.keyed('a'), self.draft(), derive=derive)

        self.assertEqual([[]] * 3, [self.everything(queue) for queue in (self.queue, fine, changed)])
        self.assertEqual((0, 0, 0), self.counts())
        self.assertFalse(self.append(self.keyed('a'))[0].repeated)
        self.assertFalse(self.append(self.keyed('f'), queue=fine)[0].repeated)

    def test_a_deleted_derived_queue_writes_nothing_at_all(self):
        gone = self.make_queue('gone')
        drivers.delete_queue(self.driver, gone)

        self.assertRaises(errors.Stale, self.append, self.draft(), derive=lambda stored: [(gone, [self.draft()])])

        self.assertEqual([], self.everything())

    def test_a_key_used_otherwise_in_a_derived_queue_writes_nothing_at_all(self):
        outbox = self.make_queue('outbox')
        self.append(self.keyed('a', digest=b'd1'), queue=outbox)

        def derive(stored):
            return [(outbox, [self.draft(), self.keyed('a', digest=b'd2')])]

        self.assertRaises(errors.KeyReused, self.append, self.keyed('k'), derive=derive)

        self.assertEqual(([], 1), (self.everything(), len(self.everything(outbox))))
        self.assertFalse(self.append(self.keyed('k'))[0].repeated)

    # Current

    def test_append_and_claim_with_a_revision_that_moved_on_are_stale_and_write_nothing(self):
        [position] = self.post()
        old = self.queue
        self.queue = drivers.change_queue(self.driver, old)

        self.assertRaises(errors.Stale, self.append, self.keyed('a'), queue=old)
        self.assertRaises(errors.Stale, self.claim, queue=old)
        self.assertRaises(errors.Stale, self.claim, queue=old, take=True)

        self.assertEqual([position], self.listed())
        self.assertEqual(0, self.read(position).claim_count)
        self.assertFalse(self.append(self.keyed('a'))[0].repeated)
        self.assertEqual(2, len(self.claim().messages))

    def test_a_revision_from_the_future_is_stale_too(self):
        [later] = [queues.Queue(self.queue.id, self.queue.key, 99, {}, self.queue.settings, self.queue.created_at)]

        self.assertRaises(errors.Stale, self.append, self.draft(), queue=later)
        self.assertRaises(errors.Stale, self.claim, queue=later)

    def test_the_other_verbs_do_not_ask_for_the_revision(self):
        [one, two] = self.post(2)
        claim_id, _ = self.lease(limit=1)
        drivers.change_queue(self.driver, self.queue)

        self.assertEqual([two], self.listed())
        self.assertEqual(1, self.extend(claim_id, HOUR))
        self.assertEqual(([one, two], []), self.delete(one, two, claim_ids=[claim_id]))
        self.assertEqual((0, 0, 0), self.counts())
        self.clear()

    def test_messages_and_claims_survive_a_change_of_the_queue(self):
        self.post(3, ttl=HOUR)
        claim_id, held = self.lease(limit=2)

        self.queue = drivers.change_queue(self.driver, self.queue)

        self.assertEqual(held, self.held(claim_id))
        self.assertEqual((1, 2, 0), self.counts())
        self.assertEqual(1, len(self.claim().messages))

    def test_every_verb_on_a_deleted_queue_is_stale(self):
        positions = self.post(3)
        claim_id, _ = self.lease(limit=1)
        drivers.delete_queue(self.driver, self.queue)

        self._assert_stale(positions, claim_id)

    def test_every_verb_on_a_queue_that_was_made_again_is_stale_for_who_holds_the_old_one(self):
        positions = self.post(3)
        claim_id, _ = self.lease(limit=1)
        drivers.delete_queue(self.driver, self.queue)
        new = self.make_queue()

        self._assert_stale(positions, claim_id)
        self.assertEqual((0, 0, 0), self.counts(new))

    def _assert_stale(self, positions, claim_id):
        change = messages.Change(ends_at=self.clock() + HOUR, ttl=HOUR)
        for call in (
            lambda: self.append(self.draft()),
            lambda: self.append(self.keyed('a')),
            lambda: self.select(),
            lambda: self.select(positions=tuple(positions)),
            lambda: self.select(claim_id=claim_id),
            lambda: self.select(keys=('a',)),
            lambda: self.claim(),
            lambda: self.claim(take=True),
            lambda: self.renew(claim_id, change),
            lambda: self.delete(*positions),
            lambda: self.delete(*positions, claim_ids=[claim_id], all_or_none=True),
            lambda: self.clear(),
            lambda: self.stats(),
        ):
            self.assertRaises(errors.Stale, call)

    def test_every_verb_on_a_queue_that_never_was_is_stale(self):
        self.queue = queues.Queue(messages.new_id(), self.queue.key, 1, {}, queues.Settings(), self.clock())

        self._assert_stale([1, 2], messages.new_id())

    def test_a_queue_made_again_begins_a_new_life(self):
        old = self.post(5)
        claim_id, held = self.lease(limit=2)
        drivers.delete_queue(self.driver, self.queue)
        self.queue = self.make_queue()

        self.assertEqual([], self.everything())
        self.assertEqual([], self.select(positions=tuple(old)).messages)
        self.assertEqual([], self.held(claim_id))
        self.assertEqual(0, self.renew(claim_id, messages.Change()))
        self.assertEqual(([], []), self.delete(*held, claim_ids=[claim_id]))
        self.assertEqual((0, 0, 0), self.counts())
        new = self.post(2)
        self.assertEqual(new, self.everything())
        self.sweep()
        self.assertEqual(new, self.everything())

    # Select: lists

    def test_a_list_begins_behind_the_place_it_is_given(self):
        positions = self.post(5)

        self.assertEqual(positions[2:], self.listed(after=positions[1]))
        self.assertEqual(positions, self.listed(after=0))
        self.assertEqual([], self.listed(after=positions[-1]))
        self.assertEqual([], self.listed(after=positions[-1] + 1_000_000))

    def test_a_list_may_begin_behind_a_place_where_nothing_is_any_more(self):
        positions = self.post(5)
        self.delete(positions[1], positions[2])

        self.assertEqual(positions[3:], self.listed(after=positions[1]))
        self.assertEqual(positions[3:], self.listed(after=positions[2]))

    def test_a_list_is_no_longer_than_its_limit_and_ten_by_default(self):
        positions = self.post(15)

        self.assertEqual(positions[:1], self.listed(limit=1))
        self.assertEqual(positions[:10], _positions(self.select().messages))
        self.assertEqual(positions, self.listed(limit=15))

    def test_a_page_has_reached_its_last_message(self):
        positions = self.post(5)

        self.assertEqual(positions[1], self.select(limit=2).reached)
        self.assertEqual(positions[3], self.select(limit=2, after=positions[1]).reached)
        self.assertEqual(positions[4], self.select(limit=2, after=positions[3]).reached)
        self.assertEqual(positions[4], self.select(limit=5).reached)

    def test_an_empty_page_has_reached_the_place_where_it_began(self):
        self.assertEqual(ports.Page([], reached=0), self.select())
        [position] = self.post()
        self.assertEqual(ports.Page([], reached=position), self.select(after=position))
        self.delete(position)
        self.assertEqual(ports.Page([], reached=0), self.select())
        self.assertEqual(ports.Page([], reached=position + 7), self.select(after=position + 7))

    def test_an_empty_page_in_front_of_hidden_messages_has_reached_the_place_where_it_began(self):
        self.post(3, client=b'me')
        self.lease(limit=3)
        self.post(3, delay=MINUTE)
        last = self.post(3, client=b'me')[-1]

        self.assertEqual(ports.Page([], reached=0), self.select(not_from=b'me'))
        self.assertEqual(ports.Page([], reached=2), self.select(after=2, not_from=b'me'))
        later = self.post()
        self.assertEqual(later, self.listed(after=last, not_from=b'me'))

    def test_going_on_from_where_a_page_reached_visits_each_message_once(self):
        positions = self.post(23)
        self.lease(limit=4)

        visited, after = [], 0
        while (page := self.select(after=after, limit=3)).messages:
            visited += _positions(page.messages)
            after = page.reached
            self.post()
            if len(visited) > 40:
                break

        self.assertEqual(sorted(set(visited)), visited)
        self.assertEqual(positions[4:], visited[:19])

    def test_a_list_leaves_out_claimed_and_delayed_messages(self):
        [claimed, free] = self.post(2)
        [delayed] = self.post(delay=MINUTE)
        self.lease(limit=1)

        self.assertEqual([free], self.listed())
        self.assertEqual([claimed, free], self.listed(include_claimed=True))
        self.assertEqual([free, delayed], self.listed(include_delayed=True))
        self.assertEqual([claimed, free, delayed], self.listed(include_claimed=True, include_delayed=True))

    def test_a_message_that_was_released_for_later_is_delayed_and_not_claimed(self):
        [position] = self.post()
        claim_id, _ = self.lease()
        self.release(claim_id, delay=MINUTE)

        self.assertEqual([], self.listed(include_claimed=True))
        self.assertEqual([position], self.listed(include_delayed=True))

    def test_a_list_leaves_out_what_its_reader_posted(self):
        [mine] = self.post(client=b'me')
        [theirs] = self.post(client=b'them')
        [nobodys] = self.post()

        self.assertEqual([theirs, nobodys], self.listed(not_from=b'me'))
        self.assertEqual([mine, nobodys], self.listed(not_from=b'them'))
        self.assertEqual([mine, theirs, nobodys], self.listed(not_from=b'somebody'))
        self.assertEqual([mine, theirs, nobodys], self.listed())

    def test_filters_act_before_the_limit(self):
        self.post(20, client=b'me')
        self.post(20, client=b'them', delay=MINUTE)
        self.post(20, client=b'them', ttl=1)
        self.clock.advance(1)
        self.lease(limit=20)
        visible = self.post(3, client=b'them')

        self.assertEqual(visible[:2], self.listed(not_from=b'me', limit=2))
        self.assertEqual(visible, self.listed(not_from=b'me', limit=3))
        self.assertEqual(visible[:1], self.listed(not_from=b'me', include_claimed=True, limit=1))

    def test_not_from_and_include_claimed_and_include_delayed_act_together(self):
        [mine, theirs] = self.post(1, client=b'me') + self.post(1, client=b'them')
        self.lease(limit=2)
        self.post(client=b'me', delay=MINUTE)
        [delayed] = self.post(client=b'them', delay=MINUTE)

        found = self.listed(not_from=b'me', include_claimed=True, include_delayed=True)

        self.assertEqual([theirs, delayed], found)
        self.assertEqual([mine, theirs], self.listed(include_claimed=True))

    def test_a_list_that_passes_over_too_many_messages_ends_early_at_the_place_it_came_to(self):
        self.patch(ports, 'SCAN_BUDGET', 100)
        hidden = self.post(1000, client=b'me')
        visible = self.post(2, client=b'them')

        page = self.select(not_from=b'me')

        self.assertEqual([], page.messages)
        self.assertGreaterEqual(page.reached, hidden[99])
        self.assertLess(page.reached, visible[0])
        found, pages = self._visit(not_from=b'me')
        self.assertEqual(visible, found)
        self.assertLess(pages, 15)

    def test_a_list_that_ends_early_shows_what_it_found_until_then(self):
        self.patch(ports, 'SCAN_BUDGET', 100)
        front = self.post(2, client=b'them')
        hidden = self.post(1000, client=b'me')
        end = self.post(3, client=b'them')

        page = self.select(not_from=b'me')

        self.assertEqual(front, _positions(page.messages))
        self.assertGreaterEqual(page.reached, hidden[90])
        found, _ = self._visit(not_from=b'me', limit=4)
        self.assertEqual(front + end, found)

    def _visit(self, limit=10, **selection):
        """All that is visible, page by page, and how many pages it took."""
        found, after = [], 0
        for pages in range(1, 1000):
            page = self.select(after=after, limit=limit, **selection)
            found += _positions(page.messages)
            if not page.messages and page.reached == after:
                return found, pages
            self.assertGreater(page.reached, after)
            after = page.reached
        raise AssertionError('the pages never came to an end')

    def test_every_visible_message_is_visited_over_hidden_stretches_of_all_kinds(self):
        self.patch(ports, 'SCAN_BUDGET', 50)
        visible = []
        for _ in range(4):
            self.post(70, client=b'me')
            self.post(70, client=b'them', delay=HOUR)
            visible += self.post(3, client=b'them')
        _, claimed = self.lease(limit=150)
        visible += self.post(200, client=b'them')

        found, _ = self._visit(not_from=b'me')

        self.assertEqual([position for position in visible if position not in claimed], found)

    def test_reading_changes_nothing(self):
        self.post(3)
        self.post(2, delay=MINUTE)
        claim_id, _ = self.lease(limit=1)
        before = self.select(include_claimed=True, include_delayed=True)

        self.select()
        self.select(positions=(1, 2, 3))
        self.select(claim_id=claim_id)
        self.stats()

        self.assertEqual(before, self.select(include_claimed=True, include_delayed=True))

    def test_what_was_read_is_the_readers_own(self):
        [position] = self.post()
        first = self.read(position)
        first.body, first.claim_count, first.claim_id = b'"spoilt"', 99, 'x'
        self.select().messages.clear()
        claimed = self.claim().messages[0]
        claimed.claim_count = 99

        second = self.read(position)

        self.assertEqual((b'1', 1), (second.body, second.claim_count))

    # Select: positions and claims

    def test_positions_are_read_in_any_state_and_in_their_order(self):
        [claimed, free] = self.post(2, client=b'me')
        [delayed] = self.post(delay=MINUTE)
        self.lease(limit=1)

        found = self.select(positions=(delayed, free, claimed)).messages

        self.assertEqual([claimed, free, delayed], _positions(found))

    def test_positions_where_nothing_is_are_left_out(self):
        [one, two, three] = self.post(3)
        self.delete(two)

        found = self.select(positions=(one, two, three, three + 1, 0, 2**47)).messages

        self.assertEqual([one, three], _positions(found))
        self.assertEqual([], self.select(positions=()).messages)

    def test_a_position_that_is_named_twice_counts_once(self):
        [one, two] = self.post(2)

        self.assertEqual([one, two], _positions(self.select(positions=(two, one, two)).messages))
        self.assertEqual(([one], []), self.delete(one, one))
        self.assertEqual(([], [two]), self.delete(two, two, unclaimed=False))
        self.assertEqual((1, 0, 0), self.counts())

    def test_positions_are_not_cut_off_at_the_limit_of_lists(self):
        positions = self.post(30)

        self.assertEqual(positions, _positions(self.select(positions=tuple(positions)).messages))

    def test_a_claim_shows_all_that_it_holds_and_nothing_else(self):
        self.post(30)
        one, held_by_one = self.lease(limit=12)
        two, held_by_two = self.lease(limit=3)

        self.assertEqual((12, 3), (len(held_by_one), len(held_by_two)))
        self.assertEqual(held_by_one, self.held(one))
        self.assertEqual(held_by_two, self.held(two))
        self.assertEqual([], self.held(messages.new_id()))

    def test_a_claim_that_ended_shows_nothing(self):
        self.post(2)
        claim_id, _ = self.lease(ttl=30)

        self.clock.advance(29.75)
        self.assertEqual(2, len(self.held(claim_id)))
        self.clock.advance(0.25)
        self.assertEqual([], self.held(claim_id))

    def test_a_claim_does_not_show_what_was_deleted_or_released_under_it(self):
        [one, two, three] = self.post(3)
        claim_id, _ = self.lease()
        self.delete(one, claim_ids=[claim_id])
        self.release(claim_id, (two,))

        self.assertEqual([three], self.held(claim_id))

    # Select: keys

    def found(self, *keys, queue=None):
        """The positions of what is found by these keys."""
        return _positions(self.select(keys=keys, queue=queue).messages)

    def test_keys_lead_to_their_messages_in_any_state_and_in_their_order(self):
        claimed, free, _, delayed = self.append(
            self.keyed('a'), self.keyed('b', b'"free"'), self.keyed('c'), self.keyed('d', delay=MINUTE)
        )
        self.lease(limit=1)

        self.assertEqual([claimed.position, free.position, delayed.position], self.found('d', 'b', 'unknown', 'a', 'b'))
        [message] = self.select(keys=('b',)).messages
        self.assertEqual(self.read(free.position), message)
        self.assertEqual(b'"free"', message.body)
        self.assertEqual([], self.found('unknown'))
        self.assertEqual([], self.found())

    def test_keys_are_not_cut_off_at_the_limit_of_lists(self):
        keys = [f'key-{number}' for number in range(30)]
        self.append(*map(self.keyed, keys))

        self.assertEqual(self.everything(), self.found(*keys))

    def test_a_key_leads_to_no_message_that_is_gone(self):
        self.append(self.keyed('deleted'), self.keyed('expires', ttl=MINUTE), self.keyed('cleared'))
        self.delete(*self.found('deleted'))
        self.assertEqual(2, len(self.found('deleted', 'expires', 'cleared')))

        self.clock.advance(MINUTE)
        self.assertEqual(self.everything(), self.found('deleted', 'expires', 'cleared'))

        self.clear()
        [later] = self.append(self.keyed('later'))
        self.assertEqual([later.position], self.found('deleted', 'expires', 'cleared', 'later'))

    def test_a_key_leads_to_its_message_as_long_as_that_is_there(self):
        [stays, goes] = self.append(
            self.keyed('stays', window=MINUTE, ttl=72 * HOUR), self.keyed('goes', window=MINUTE, ttl=24 * HOUR)
        )
        for _ in range(3):
            self.clock.advance(7 * HOUR)
            self.sweep()
            self.assertEqual([stays.position, goes.position], self.found('stays', 'goes'))

        self.clock.advance(7 * HOUR)
        self.sweep()
        self.assertEqual([stays.position], self.found('stays', 'goes'))

    def test_a_key_is_forgotten_after_its_message(self):
        self.append(self.keyed('a', window=MINUTE, ttl=72 * HOUR))
        self.clock.advance(MINUTE)
        self.sweep()
        self.delete(*self.found('a'))

        swept = []
        for _ in range(2):
            self.clock.advance(ports.KEY_INTERVAL)
            swept.append(self.sweep())

        self.assertGreater(swept[0], 0)
        self.assertEqual(0, swept[1])

    def test_a_key_past_its_time_that_leads_to_a_message_is_not_known(self):
        [first] = self.append(self.keyed('a', window=MINUTE))
        self.clock.advance(MINUTE)
        self.sweep()

        [second] = self.append(self.keyed('a', window=MINUTE, digest=b'd2'))

        self.assertFalse(second.repeated)
        self.assertEqual([second.position], self.found('a'))
        self.assertEqual([ports.Appended(second.position, True)], self.append(self.keyed('a', digest=b'd2')))
        self.assertEqual([first.position, second.position], self.everything())
        self.delete(second.position)
        self.assertEqual([], self.found('a'))

    def test_a_key_leads_to_nothing_in_another_queue_or_life(self):
        self.append(self.keyed('a'))
        other = self.make_queue('other')

        self.assertEqual([], self.found('a', queue=other))
        drivers.delete_queue(self.driver, self.queue)
        self.sweep()
        self.assertEqual([], self.found('a', queue=self.make_queue()))

    # Expired means gone

    def test_an_expired_message_is_not_selected(self):
        [short, long] = self.post(1, ttl=MINUTE) + self.post(1, ttl=HOUR)
        self.clock.advance(MINUTE - 0.25)
        self.assertEqual([short, long], self.listed())
        self.clock.advance(0.25)

        self.assertEqual([long], self.listed())
        self.assertEqual([long], self.everything())
        self.assertEqual([long], _positions(self.select(positions=(short, long)).messages))

    def test_an_expired_message_is_not_claimed(self):
        [_, long] = self.post(1, ttl=MINUTE) + self.post(1, ttl=HOUR)
        self.clock.advance(MINUTE)

        self.assertEqual([long], _positions(self.claim().messages))

    def test_an_expired_message_is_not_taken(self):
        self.post(1, ttl=MINUTE)
        self.clock.advance(MINUTE)

        self.assertEqual([], self.claim(take=True).messages)

    def test_a_claim_does_not_hold_an_expired_message(self):
        [short, long] = self.post(1, ttl=10) + self.post(1, ttl=HOUR)
        claim_id, _ = self.lease(ttl=MINUTE)
        self.clock.advance(10)

        self.assertEqual([long], self.held(claim_id))
        self.assertEqual(1, self.extend(claim_id, MINUTE, keep_until=self.clock() + HOUR))
        self.assertEqual(([], []), self.delete(short, claim_ids=[claim_id]))
        self.assertEqual((0, 1, 0), self.counts())
        self.assertEqual(1, self.release(claim_id))

    def test_an_expired_message_is_neither_deleted_nor_refused(self):
        [free] = self.post(1, ttl=10)
        self.lease(limit=1)
        [other] = self.post(1, ttl=10)
        self.clock.advance(10)

        self.assertEqual(([], []), self.delete(free, other))
        self.assertEqual(([], []), self.delete(free, other, unclaimed=False, all_or_none=True))

    def test_an_expired_message_is_not_counted(self):
        self.post(1, ttl=10)
        self.post(2, ttl=20, delay=30)
        self.post(3, ttl=30)
        self.clock.advance(10)
        self.assertEqual((3, 0, 2), self.counts())
        self.clock.advance(10)
        self.assertEqual((3, 0, 0), self.counts())
        self.clock.advance(10)
        self.assertEqual(ports.Stats(0, 0, 0, 0, None, None), self.stats())

    def test_a_message_that_expires_before_its_delay_ends_is_never_seen(self):
        self.post(ttl=10, delay=20)
        for _ in range(4):
            self.clock.advance(7)
            self.assertEqual([], self.listed())
            self.assertEqual([], self.claim().messages)

    def test_a_message_that_is_posted_expired_is_gone(self):
        self.post(ttl=0)
        self.post(ttl=-5)

        self.assertEqual([], self.everything())
        self.assertEqual((0, 0, 0), self.counts())

    def test_a_sweep_changes_nothing_that_can_be_seen(self):
        self.post(5, ttl=10)
        self.post(5, ttl=MINUTE)
        self.post(5, delay=HOUR)
        claim_id, _ = self.lease(limit=7, ttl=20)
        self.clock.advance(10)
        before = self.select(include_claimed=True, include_delayed=True), self.stats(), self.held(claim_id)

        self.sweep()

        self.assertEqual(
            before, (self.select(include_claimed=True, include_delayed=True), self.stats(), self.held(claim_id))
        )

    # Delays

    def test_a_delayed_message_becomes_free_when_its_delay_ends(self):
        [position] = self.post(delay=30)
        self.assertEqual(self.clock() + 30, self.read(position).available_at)
        self.assertEqual([], self.claim().messages)
        self.assertEqual((0, 0, 1), self.counts())
        self.clock.advance(29.75)
        self.assertEqual([], self.listed())
        self.clock.advance(0.25)

        self.assertEqual((1, 0, 0), self.counts())
        self.assertEqual([position], self.listed())
        self.assertEqual(0, self.read(position).available_at)
        self.assertEqual([position], _positions(self.claim().messages))

    def test_a_message_that_is_available_from_an_instant_in_the_past_is_free(self):
        [position] = self.post(available_at=self.clock() - 5)

        self.assertEqual(0, self.read(position).available_at)
        self.assertEqual([position], self.listed())

    def test_a_delayed_message_keeps_its_place_in_the_queue(self):
        [early] = self.post(delay=30)
        [late] = self.post()
        self.clock.advance(30)

        self.assertEqual([early, late], self.listed())
        self.assertEqual([early], _positions(self.claim(limit=1).messages))

    # Claim

    def test_a_claim_leases_the_oldest_free_messages_in_their_order(self):
        positions = self.post(20)

        self.assertEqual(positions[:3], self.lease(limit=3)[1])
        self.assertEqual(positions[3:13], self.lease(limit=10)[1])
        self.assertEqual(positions[13:], self.lease(limit=10)[1])
        self.assertEqual([], self.lease(limit=10)[1])

    def test_claimed_messages_carry_the_claim(self):
        [position] = self.post()
        claim = self.new_claim(ttl=45)

        [message] = self.claim(claim=claim).messages

        self.assertEqual((claim.id, 45, claim.ends_at), (message.claim_id, message.claim_ttl, message.available_at))
        self.assertEqual((position, 1, b'1'), (message.position, message.claim_count, message.body))
        self.assertEqual(message, self.read(position))
        self.assertEqual([message], self.select(claim_id=claim.id).messages)
        self.assertEqual([message], self.select(include_claimed=True).messages)

    def test_nobody_else_gets_what_is_claimed(self):
        self.post(3)
        self.lease()

        self.assertEqual([], self.claim().messages)
        self.assertEqual([], self.claim(take=True).messages)

    def test_a_lapsed_claim_lets_go_of_its_messages_without_a_sweep(self):
        positions = self.post(3)
        claim_id, _ = self.lease(ttl=30)
        self.clock.advance(30)

        self.assertEqual([], self.held(claim_id))
        for message in self.select(positions=tuple(positions)).messages:
            self.assertEqual((None, 0, 0), (message.claim_id, message.claim_ttl, message.available_at))
            self.assertEqual(1, message.claim_count)
        self.assertEqual(positions, self.listed())
        self.assertEqual((3, 0, 0), self.counts())
        self.assertEqual(positions, self.lease()[1])

    def test_messages_that_came_back_stand_in_front_of_newer_ones(self):
        positions = self.post(9)
        released, _ = self.lease(limit=2)
        self.lease(limit=2, ttl=10)
        deferred, _ = self.lease(limit=2)
        self.release(deferred, delay=5)
        self.clock.advance(10)
        self.release(released)

        self.assertEqual(positions[:7], self.lease(limit=7)[1])
        self.assertEqual(positions[7:], self.lease()[1])

    def test_messages_that_came_back_in_another_order_are_claimed_oldest_first(self):
        positions = self.post(6)
        claims = [self.lease(limit=1)[0] for _ in positions]
        for number in (4, 1, 5, 0, 3, 2):
            self.release(claims[number])

        self.assertEqual(positions[:4], self.lease(limit=4)[1])
        self.assertEqual(positions, self.listed(include_claimed=True))

    def test_the_oldest_of_very_many_lapsed_messages_are_claimed_first(self):
        positions = self.post(self.MANY)
        for turn in range(5, 0, -1):
            self.lease(limit=self.MANY // 5, ttl=10 * turn)
        self.clock.advance(HOUR / 2)

        self.assertEqual(positions[:5], self.lease(limit=5)[1])
        self.assertEqual(positions[5:15], self.listed(limit=10))

    def test_free_messages_are_found_behind_very_many_claimed_delayed_and_expired_ones(self):
        self.post(self.MANY, ttl=MINUTE)
        self.post(self.MANY, delay=HOUR / 2)
        self.post(self.MANY)
        self.clock.advance(MINUTE)
        self.lease(limit=self.MANY)
        visible = self.post(3)

        self.assertEqual(visible, self.listed(limit=10))
        self.assertEqual((3, self.MANY, self.MANY), self.counts())
        self.assertEqual(visible, self.lease()[1])

    def test_a_claim_keeps_messages_alive_that_would_expire_earlier(self):
        [short, long] = self.post(1, ttl=20) + self.post(1, ttl=HOUR)
        long_expires_at = self.read(long).expires_at
        keep_until = self.clock() + 90

        found = self.claim(keep_until=keep_until).messages

        self.assertEqual([keep_until, long_expires_at], [message.expires_at for message in found])
        self.assertEqual(found[0], self.read(short))
        self.clock.advance(89.75)
        self.assertEqual(2, len(self.everything()))
        self.clock.advance(0.25)
        self.assertEqual([long], self.everything())

    def test_a_claim_counts_up_and_nothing_counts_down(self):
        [position] = self.post(claim_count=3)
        counts = []
        for _ in range(3):
            claim_id, _ = self.lease(ttl=30)
            counts.append(self.read(position).claim_count)
            self.extend(claim_id, 60)
            counts.append(self.read(position).claim_count)
            self.release(claim_id)
            counts.append(self.read(position).claim_count)
            self.lease(ttl=30)
            self.clock.advance(30)
            counts.append(self.read(position).claim_count)

        self.assertEqual([4, 4, 4, 5, 6, 6, 6, 7, 8, 8, 8, 9], counts)

    def test_a_claim_in_an_empty_queue_returns_nothing(self):
        self.assertEqual(ports.Claimed([], [], next_at=None), self.claim())

    # Claim: dead messages

    def poison(self, count, claims=1, **fields):
        """Post messages that have been claimed in vain already."""
        return self.post(count, claim_count=claims, **fields)

    def test_messages_claimed_too_often_are_returned_apart(self):
        [dead] = self.poison(1, claims=3)
        [good] = self.poison(1, claims=2)
        claim = self.new_claim()

        claimed = self.claim(claim=claim, max_claims=3)

        self.assertEqual(([good], [dead]), (_positions(claimed.messages), _positions(claimed.dead)))
        self.assertEqual([3], [message.claim_count for message in claimed.messages])
        self.assertEqual([3], [message.claim_count for message in claimed.dead])

    def test_without_a_maximum_nothing_is_dead(self):
        self.poison(2, claims=1_000_000)

        claimed = self.claim()

        self.assertEqual((2, []), (len(claimed.messages), claimed.dead))

    def test_a_message_is_dead_at_the_claim_after_its_last_one(self):
        [position] = self.post()
        for _ in range(2):
            claim_id, held = self.lease(max_claims=2)
            self.assertEqual([position], held)
            self.release(claim_id)

        claimed = self.claim(max_claims=2)

        self.assertEqual(([], [position]), (claimed.messages, _positions(claimed.dead)))

    def test_ten_poison_messages_in_front_do_not_hide_the_good_ones(self):
        poison = self.poison(10)
        good = self.post(15)

        claimed = self.claim(limit=10, max_claims=1)

        self.assertEqual(good[:10], _positions(claimed.messages))
        self.assertEqual(poison, _positions(claimed.dead))

    def test_no_more_than_twenty_dead_messages_are_returned_at_once(self):
        poison = self.poison(50)
        good = self.post(2)

        rounds = [self.claim(max_claims=1) for _ in range(4)]

        self.assertEqual([good, [], [], []], [_positions(claimed.messages) for claimed in rounds])
        self.assertEqual([20, 20, 10, 0], [len(claimed.dead) for claimed in rounds])
        self.assertEqual(poison, [message.position for claimed in rounds for message in claimed.dead])

    def test_good_messages_are_found_behind_very_many_dead_ones(self):
        self.poison(self.MANY)
        good = self.post(3)

        claimed = self.claim(limit=10, max_claims=1)

        self.assertEqual(good, _positions(claimed.messages))
        self.assertEqual(20, len(claimed.dead))

    def test_dead_messages_are_held_by_the_same_claim_for_thirty_seconds(self):
        [dead] = self.poison(1)
        [good] = self.post()
        claim = self.new_claim(ttl=300)

        claimed = self.claim(claim=claim, max_claims=1)

        self.assertEqual([claim.id], [message.claim_id for message in claimed.dead])
        self.assertEqual([self.clock() + ports.DEAD_LEASE], [message.available_at for message in claimed.dead])
        self.assertEqual(claimed.dead, [self.read(dead)])
        self.assertEqual([dead, good], self.held(claim.id))
        self.assertEqual((0, 2, 0), self.counts())
        self.clock.advance(ports.DEAD_LEASE - 0.25)
        self.assertEqual([], self.claim(max_claims=1).dead)
        self.clock.advance(0.25)
        self.assertEqual([good], self.held(claim.id))
        self.assertEqual([dead], _positions(self.claim(max_claims=1).dead))

    def test_dead_messages_can_be_deleted_under_the_claim_that_found_them(self):
        [dead] = self.poison(1)
        claim = self.new_claim()
        self.claim(claim=claim, max_claims=1)

        self.assertEqual(([], [dead]), self.delete(dead))
        self.assertEqual(([dead], []), self.delete(dead, claim_ids=[claim.id]))

    def test_an_expired_message_is_gone_and_not_dead(self):
        self.poison(1, ttl=10)
        self.clock.advance(10)

        self.assertEqual([], self.claim(max_claims=1).dead)

    def test_a_delayed_or_claimed_message_is_not_dead_yet(self):
        self.poison(1, delay=10)
        self.poison(1)
        self.claim()

        self.assertEqual([], self.claim(max_claims=1).dead)

    def test_dead_messages_alone_are_a_find(self):
        poison = self.poison(3)

        claimed = self.claim(limit=1, max_claims=1)

        self.assertEqual(([], poison), (claimed.messages, _positions(claimed.dead)))

    # Claim: in flight, take, next_at

    def test_a_claim_fills_up_what_may_be_in_flight(self):
        positions = self.post(10)
        self.lease(limit=3)

        self.assertEqual(positions[3:5], self.lease(limit=10, in_flight=5)[1])
        self.assertEqual([], self.lease(limit=10, in_flight=5)[1])
        self.assertEqual([], self.lease(limit=10, in_flight=2)[1])
        self.assertEqual(positions[5:6], self.lease(limit=1, in_flight=100)[1])

    def test_only_live_claims_are_in_flight(self):
        self.post(1, ttl=5)
        self.lease(limit=1, ttl=MINUTE)
        positions = self.post(8)
        self.post(5, delay=MINUTE)
        lapsed, _ = self.lease(limit=2, ttl=10)
        deleted, (gone, _) = self.lease(limit=2)
        released, _ = self.lease(limit=2)
        self.clock.advance(10)
        self.delete(gone, claim_ids=[deleted])
        self.release(released)

        self.assertEqual([], self.held(lapsed))
        self.assertEqual((1, [positions[0], positions[1]]), (self.counts()[1], self.lease(in_flight=3)[1]))

    def test_what_is_taken_is_deleted_in_the_same_step(self):
        positions = self.post(5)

        taken = self.claim(limit=3, take=True).messages

        self.assertEqual(positions[:3], _positions(taken))
        self.assertEqual([b'1', b'2', b'3'], [message.body for message in taken])
        self.assertEqual([1, 1, 1], [message.claim_count for message in taken])
        self.assertEqual(positions[3:], self.everything())
        self.assertEqual((2, 0, 0), self.counts())
        self.assertEqual(([], []), self.delete(*positions[:3]))
        self.assertEqual(positions[3:], _positions(self.claim(take=True).messages))

    def test_dead_messages_are_leased_and_not_taken(self):
        [dead] = self.poison(1)
        [good] = self.post()
        claim = self.new_claim()

        claimed = self.claim(claim=claim, take=True, max_claims=1)

        self.assertEqual(([good], [dead]), (_positions(claimed.messages), _positions(claimed.dead)))
        self.assertEqual([dead], self.everything())
        self.assertEqual([dead], self.held(claim.id))

    def test_an_empty_claim_says_when_the_next_delay_ends(self):
        self.post(delay=30)
        self.post(delay=20)

        self._assert_next_at(self.clock() + 20)

    def _assert_next_at(self, instant, **options):
        """An empty claim names `instant` or an earlier one, but one to come."""
        claimed = self.claim(**options)
        self.assertEqual(([], []), (claimed.messages, claimed.dead))
        self.assertIsNotNone(claimed.next_at, 'nobody would ever claim again')
        self.assertLessEqual(claimed.next_at, instant)
        self.assertGreater(claimed.next_at, self.clock())

    def test_an_empty_claim_says_when_the_next_claim_ends(self):
        self.post(2)
        self.lease(limit=1, ttl=45)
        self.lease(limit=1, ttl=40)

        self._assert_next_at(self.clock() + 40)

    def test_an_empty_claim_says_when_dead_messages_come_back(self):
        self.poison(1)
        self.claim(max_claims=1, ttl=HOUR)

        self._assert_next_at(self.clock() + ports.DEAD_LEASE, max_claims=1)

    def test_claiming_again_at_the_instant_that_an_empty_claim_named_comes_to_an_end(self):
        self.post(ttl=10, delay=20)
        self.post(2)
        extended, _ = self.lease(limit=1, ttl=15)
        self.lease(limit=1, ttl=30)
        self.extend(extended, 50)
        start = self.clock()

        for _ in range(10):
            claimed = self.claim()
            if claimed.messages:
                break
            self.clock.advance(claimed.next_at - self.clock())

        self.assertEqual(1, len(claimed.messages))
        self.assertEqual(start + 30, self.clock())

    def test_an_empty_claim_at_the_bound_of_what_may_be_in_flight_says_when_to_come_back(self):
        self.post(10)
        self.lease(limit=2, ttl=25)

        self._assert_next_at(self.clock() + 25, in_flight=2)

    # Renew

    def test_a_renewed_claim_goes_on(self):
        positions = self.post(2)
        claim_id, _ = self.lease(ttl=30)
        self.clock.advance(20)

        self.assertEqual(len(positions), self.extend(claim_id, 60))

        [message, _] = self.select(claim_id=claim_id).messages
        self.assertEqual((60, self.clock() + 60), (message.claim_ttl, message.available_at))
        self.clock.advance(59.75)
        self.assertEqual(positions, self.held(claim_id))
        self.assertEqual([], self.claim().messages)
        self.clock.advance(0.25)
        self.assertEqual([], self.held(claim_id))
        self.assertEqual(positions, self.lease()[1])

    def test_a_claim_may_be_renewed_to_end_earlier(self):
        positions = self.post(2)
        claim_id, _ = self.lease(ttl=HOUR)
        self.extend(claim_id, 10)
        self.clock.advance(10)

        self.assertEqual(positions, self.lease()[1])

    def test_some_messages_of_a_claim_are_renewed(self):
        [one, two, three] = self.post(3)
        claim_id, _ = self.lease(ttl=30)

        self.assertEqual(2, self.extend(claim_id, 60, (three, one)))
        self.clock.advance(30)

        self.assertEqual([one, three], self.held(claim_id))
        self.assertEqual([two], self.listed())

    def test_released_messages_can_be_claimed_at_once(self):
        positions = self.post(3)
        claim_id, _ = self.lease()

        self.assertEqual(len(positions), self.release(claim_id))

        self.assertEqual([], self.held(claim_id))
        message = self.read(positions[0])
        self.assertEqual((None, 0, 0), (message.claim_id, message.claim_ttl, message.available_at))
        self.assertEqual((3, 0, 0), self.counts())
        self.assertEqual(positions, self.lease()[1])

    def test_messages_released_for_later_are_delayed_until_then(self):
        [one, two] = self.post(2)
        claim_id, _ = self.lease()

        self.assertEqual(1, self.release(claim_id, (one,), delay=20))

        self.assertEqual((None, self.clock() + 20), (self.read(one).claim_id, self.read(one).available_at))
        self.assertEqual((0, 1, 1), self.counts())
        self.assertEqual([two], self.held(claim_id))
        self.clock.advance(19.75)
        self.assertEqual([], self.claim().messages)
        self.clock.advance(0.25)
        self.assertEqual([one], self.lease()[1])

    def test_messages_released_until_an_instant_in_the_past_are_free(self):
        [position] = self.post()
        claim_id, _ = self.lease()

        self.release(claim_id, delay=-5)

        self.assertEqual(0, self.read(position).available_at)
        self.assertEqual([position], self.lease()[1])

    def test_several_changes_are_made_in_one_step(self):
        [one, two, three, four] = self.post(4)
        claim_id, _ = self.lease()

        changed = self.renew(
            claim_id,
            messages.Change((one,), ends_at=self.clock() + 90, ttl=90, state=b'"a"'),
            messages.Change((two,), available_at=self.clock() + 10, state=b'"b"'),
            messages.Change((three,)),
        )

        self.assertEqual(3, changed)
        self.assertEqual([b'"a"', b'"b"', b'', b''], [message.state for message in self._all()])
        self.assertEqual([claim_id, None, None, claim_id], [message.claim_id for message in self._all()])
        self.assertEqual([90, 0, 0, MINUTE], [message.claim_ttl for message in self._all()])
        self.assertEqual((1, 2, 1), self.counts())
        self.assertEqual([one, four], self.held(claim_id))

    def _all(self):
        return self.select(include_claimed=True, include_delayed=True, limit=1000).messages

    def test_a_renewal_keeps_messages_alive_that_would_expire_earlier(self):
        [short, long] = self.post(1, ttl=20) + self.post(1, ttl=HOUR)
        long_expires_at = self.read(long).expires_at
        claim_id, _ = self.lease(ttl=10)
        keep_until = self.clock() + 90

        self.extend(claim_id, 10, keep_until=keep_until)

        self.assertEqual([keep_until, long_expires_at], [message.expires_at for message in self._all()])
        self.clock.advance(89.75)
        self.assertEqual([short, long], self.everything())
        self.clock.advance(0.25)
        self.assertEqual([long], self.everything())

    def test_a_release_keeps_messages_alive_that_would_expire_earlier(self):
        [position] = self.post(ttl=20)
        claim_id, _ = self.lease()

        self.renew(claim_id, messages.Change(available_at=self.clock() + 30, keep_until=self.clock() + 60))
        self.clock.advance(30)

        self.assertEqual([position], self.lease()[1])

    def test_state_is_changed_only_where_one_is_given(self):
        [position] = self.post(state=b'"first"')
        claim_id, _ = self.lease()

        self.extend(claim_id, 60)
        self.assertEqual(b'"first"', self.read(position).state)
        self.extend(claim_id, 60, state=b'"second"')
        self.assertEqual(b'"second"', self.read(position).state)
        self.extend(claim_id, 60, state=b'')
        self.assertEqual(b'', self.read(position).state)

    def test_nothing_but_what_the_claim_holds_is_renewed(self):
        positions = self.post(4)
        mine, _ = self.lease(limit=2)
        theirs, (three,) = self.lease(limit=1)
        [delayed] = self.post(delay=MINUTE)
        named = (*positions, delayed, delayed + 1)

        self.assertEqual(2, self.extend(mine, 300, named, state=b'"x"'))

        self.assertEqual([three], self.held(theirs))
        self.assertEqual([b'"x"', b'"x"', b'', b'', b''], [message.state for message in self._all()])

    def test_a_message_that_two_changes_name_is_counted_for_each_until_it_is_released(self):
        self.post()
        claim_id, _ = self.lease()
        extend = messages.Change(ends_at=self.clock() + HOUR, ttl=HOUR)

        self.assertEqual(2, self.renew(claim_id, extend, messages.Change(), extend))

        self.assertEqual((1, 0, 0), self.counts())
        self.assertEqual([], self.held(claim_id))

    def test_no_changes_change_nothing(self):
        self.post(2)
        claim_id, held = self.lease()

        self.assertEqual(0, self.renew(claim_id))
        self.assertEqual(0, self.extend(claim_id, HOUR, ()))
        self.assertEqual(held, self.held(claim_id))

    def test_a_claim_that_ended_renews_nothing(self):
        self.post(2)
        claim_id, _ = self.lease(ttl=30)
        self.clock.advance(30)

        self.assertEqual(0, self.extend(claim_id, MINUTE, state=b'"x"'))
        self.assertEqual(0, self.release(claim_id, delay=MINUTE))

        self.assertEqual((2, 0, 0), self.counts())
        self.assertEqual([b'', b''], [message.state for message in self._all()])

    def test_a_claim_that_ended_does_not_renew_what_another_claim_took_over(self):
        positions = self.post(2)
        old, _ = self.lease(ttl=30)
        self.clock.advance(30)
        new, _ = self.lease()

        self.assertEqual(0, self.extend(old, HOUR, tuple(positions)))
        self.assertEqual(0, self.release(old))
        self.assertEqual(positions, self.held(new))

    def test_a_claim_that_was_taken_over_stays_so_for_a_clock_that_is_behind(self):
        positions = self.post(2)
        old, _ = self.lease(ttl=30)
        self.clock.advance(30)
        new, _ = self.lease()
        self.clock.advance(-0.75)

        self.assertEqual([], self.held(old))
        self.assertEqual(0, self.extend(old, HOUR))
        self.assertEqual(([], positions), self.delete(*positions, claim_ids=[old]))
        self.assertEqual(positions, self.held(new))

    def test_a_claim_that_was_never_made_renews_nothing(self):
        self.post(2)

        self.assertEqual(0, self.extend(messages.new_id(), MINUTE))

    # Delete

    def test_a_deleted_message_is_gone(self):
        [one, two, three] = self.post(3)

        self.assertEqual(([two], []), self.delete(two))

        self.assertEqual([one, three], self.everything())
        self.assertEqual([], self.select(positions=(two,)).messages)
        self.assertEqual((2, 0, 0), self.counts())
        self.assertEqual([one, three], self.lease()[1])

    def test_positions_where_nothing_is_are_neither_deleted_nor_refused(self):
        [one, two] = self.post(2)
        self.delete(one)

        self.assertEqual(([two], []), self.delete(one, two, two + 1, 0, 2**47))
        self.assertEqual(([], []), self.delete(one, two, all_or_none=True))
        self.assertEqual(([], []), self.delete())

    def test_a_message_under_a_live_claim_is_not_deleted_without_the_claim(self):
        [claimed, free] = self.post(2)
        self.lease(limit=1)

        self.assertEqual(([free], [claimed]), self.delete(claimed, free))
        self.assertEqual(([], [claimed]), self.delete(claimed, claim_ids=[messages.new_id()]))
        self.assertEqual([claimed], self.everything())

    def test_a_message_is_deleted_under_the_claim_that_holds_it(self):
        [one, two, three] = self.post(3)
        first, _ = self.lease(limit=1)
        second, _ = self.lease(limit=1)

        self.assertEqual(([one], [two]), self.delete(one, two, claim_ids=[first]))
        self.assertEqual(([two, three], []), self.delete(two, three, claim_ids=[first, second]))
        self.assertEqual([], self.everything())

    def test_an_unclaimed_message_is_refused_where_a_claim_is_demanded(self):
        [claimed, free] = self.post(2)
        [delayed] = self.post(delay=MINUTE)
        claim_id, _ = self.lease(limit=1)

        answer = self.delete(claimed, free, delayed, claim_ids=[claim_id], unclaimed=False)

        self.assertEqual(([claimed], [free, delayed]), answer)
        self.assertEqual([free, delayed], self.everything())

    def test_a_delayed_message_is_unclaimed(self):
        [delayed] = self.post(delay=MINUTE)

        self.assertEqual(([delayed], []), self.delete(delayed))

    def test_a_claim_that_ended_guards_nothing(self):
        [one, two] = self.post(2)
        claim_id, _ = self.lease(ttl=30)
        self.clock.advance(30)

        self.assertEqual(([], [one]), self.delete(one, claim_ids=[claim_id], unclaimed=False))
        self.assertEqual(([one], []), self.delete(one))
        self.assertEqual(([two], []), self.delete(two, claim_ids=[claim_id]))

    def test_a_claim_that_ended_does_not_delete_what_another_claim_took_over(self):
        positions = self.post(2)
        old, _ = self.lease(ttl=30)
        self.clock.advance(30)
        self.lease()

        self.assertEqual(([], positions), self.delete(*positions, claim_ids=[old]))

    def test_all_are_deleted_or_none(self):
        [claimed, free, other] = self.post(3)
        claim_id, _ = self.lease(limit=1)

        self.assertEqual(([], [claimed]), self.delete(free, claimed, other, all_or_none=True))
        self.assertEqual([claimed, free, other], self.everything())
        answer = self.delete(free, claimed, other, other + 1, claim_ids=[claim_id], all_or_none=True)
        self.assertEqual(([claimed, free, other], []), answer)
        self.assertEqual([], self.everything())

    def test_very_many_messages_are_deleted_at_once(self):
        positions = self.post(self.MANY)

        self.assertEqual((positions[:-100], []), self.delete(*reversed(positions[:-100])))
        self.assertEqual(positions[-100:], self.everything())
        self.assertEqual((100, 0, 0), self.counts())

    # Clear

    def test_a_cleared_queue_is_empty_for_every_reader(self):
        positions = self.post(5)
        positions += self.post(2, delay=MINUTE)
        claim_id, _ = self.lease(limit=2)

        self.clear()

        self.assertEqual([], self.everything())
        self.assertEqual([], self.select(positions=tuple(positions)).messages)
        self.assertEqual([], self.held(claim_id))
        self.assertEqual(0, self.extend(claim_id, HOUR))
        self.assertEqual(([], []), self.delete(*positions, claim_ids=[claim_id]))
        self.assertEqual(ports.Claimed([], [], next_at=None), self.claim())
        self.assertEqual(ports.Stats(0, 0, 0, 0, None, None), self.stats())

    def test_what_was_cleared_does_not_come_back(self):
        self.post(5)
        self.post(5, delay=20)
        self.lease(limit=2, ttl=10)
        self.clear()
        self.clock.advance(30)

        self.assertEqual([], self.everything())
        self.assertEqual([], self.claim().messages)
        self.assertEqual((0, 0, 0), self.counts())

    def test_a_saved_place_stays_good_over_clear(self):
        saved = self.post(5)[2]
        self.clear()

        new = self.post(2)

        self.assertGreater(min(new), saved)
        self.assertEqual(new, self.listed(after=saved))
        self.assertEqual(new, self.listed())
        self.assertEqual(new, self.lease()[1])

    def test_a_queue_goes_on_after_clear_while_the_sweep_frees_what_was_there(self):
        self.post(self.MANY)
        self.clear()
        new = self.post(3)
        claim_id, _ = self.lease(limit=1)
        self.store.sweep(self.clock(), 100)
        self.assertEqual((2, 1, 0), self.counts())
        self.sweep()

        self.assertEqual(0, self.store.sweep(self.clock(), 100))
        self.assertEqual(new, self.everything())
        self.assertEqual(new[:1], self.held(claim_id))
        self.assertEqual((2, 1, 0), self.counts())
        self.clear()
        self.clear()
        self.assertEqual((0, 0, 0), self.counts())

    def test_clear_empties_one_queue_only(self):
        other = self.make_queue('other')
        kept = self.post(3, queue=other)
        self.post(3)

        self.clear()
        self.sweep()

        self.assertEqual(kept, self.everything(other))
        self.assertEqual((3, 0, 0), self.counts(other))

    # Stats

    def test_stats_of_an_empty_queue_are_zeros(self):
        self.assertEqual(ports.Stats(0, 0, 0, 0, None, None), self.stats())
        self.assertEqual(0, self.stats().total)

    def test_stats_count_each_state_and_the_bytes_of_bodies(self):
        start = self.clock()
        [first, *_] = [appended.position for appended in self.append(*map(self.draft, [b'1', b'22', b'333', b'4444']))]
        self.lease(limit=1)
        self.clock.advance(5)
        [last] = self.post(delay=MINUTE)

        expected = ports.Stats(3, 1, 1, 11, (first, start), (last, start + 5))
        self.assertEqual(expected, self.stats())
        self.assertEqual(5, self.stats().total)

    def test_stats_name_the_oldest_and_the_newest_message_in_any_state(self):
        places = []
        for _ in range(4):
            [position] = self.post()
            places.append((position, self.clock()))
            self.clock.advance(1)
        claim_id, _ = self.lease(limit=1)

        self.assertEqual((places[0], places[3]), self._ends())
        self.delete(places[3][0])
        self.assertEqual((places[0], places[2]), self._ends())
        self.delete(places[0][0], claim_ids=[claim_id])
        self.assertEqual((places[1], places[2]), self._ends())
        self.delete(places[1][0])
        self.assertEqual((places[2], places[2]), self._ends())
        self.delete(places[2][0])
        self.assertEqual((None, None), self._ends())

    def _ends(self):
        stats = self.stats()
        return stats.oldest, stats.newest

    def test_stats_do_not_name_expired_messages_as_oldest_or_newest(self):
        self.post(5, ttl=10)
        [middle] = self.post(ttl=HOUR)
        self.post(5, ttl=10)
        created_at = self.clock()
        self.clock.advance(10)

        self.assertEqual(((middle, created_at),) * 2, self._ends())

    def test_stats_are_exact_after_every_verb(self):
        self.post(10)
        self.assertEqual((10, 0, 0), self.counts())
        claim_id, held = self.lease(limit=6, ttl=30)
        self.assertEqual((4, 6, 0), self.counts())
        self.extend(claim_id, 45)
        self.assertEqual((4, 6, 0), self.counts())
        self.delete(held[0], claim_ids=[claim_id])
        self.assertEqual((4, 5, 0), self.counts())
        self.release(claim_id, (held[1],))
        self.assertEqual((5, 4, 0), self.counts())
        self.release(claim_id, (held[2],), delay=100)
        self.assertEqual((5, 3, 1), self.counts())
        self.claim(limit=2, take=True)
        self.assertEqual((3, 3, 1), self.counts())
        self.post(2, delay=50)
        self.assertEqual((3, 3, 3), self.counts())
        self.clock.advance(45)
        self.assertEqual((6, 0, 3), self.counts())
        self.clock.advance(5)
        self.assertEqual((8, 0, 1), self.counts())
        self.clock.advance(50)
        self.assertEqual((9, 0, 0), self.counts())
        self.clock.advance(HOUR)
        self.assertEqual((0, 0, 0), self.counts())
        self.assertEqual(0, self.stats().bytes)

    def test_stats_are_exact_after_very_many_lapsed_and_expired(self):
        many = self.MANY
        self.post(many, ttl=MINUTE)
        self.post(many)
        self.lease(limit=2 * many, ttl=30)
        self.post(many, delay=20)
        self.assertEqual((0, 2 * many, many), self.counts())
        self.clock.advance(30)
        self.assertEqual((3 * many, 0, 0), self.counts())
        self.clock.advance(30)

        self.assertEqual((2 * many, 0, 0), self.counts())
        self.assertEqual(2 * sum(len(b'%d' % (number + 1)) for number in range(many)), self.stats().bytes)

    # Usage

    def usage(self, project='project-1', namespace=queues.PROJECT):
        """What the project keeps, once all that lapsed until now was noticed."""
        self.sweep()
        return self.store.usage(namespace, project, self.clock())

    def test_usage_of_an_unknown_project_is_zero(self):
        self.assertEqual(ports.Usage(), self.store.usage(queues.PROJECT, 'nobody', self.clock()))

    def test_usage_sums_up_the_queues_of_a_project(self):
        other = self.make_queue('other')
        self.make_queue('third')
        self.append(self.draft(b'1'), self.draft(b'22'))
        self.append(self.draft(b'333'), self.draft(b'4444', delay=MINUTE), queue=other)
        self.lease(limit=1)

        self.assertEqual(ports.Usage(queues=3, messages=4, claimed=1, delayed=1, bytes=10), self.usage())

    def test_usage_tells_projects_and_namespaces_apart(self):
        self.post()
        names = [
            (queues.PROJECT, 'project-2'),
            (queues.PROJECT, '$a.b'),
            (queues.PROJECT, "o'%_\\\u00e9"),
            (queues.PROJECT, ''),
            (queues.SHARED, ''),
            (queues.SHARED, 'project-1'),
            (queues.INTERNAL, 'project-1'),
        ]
        for number, (namespace, project) in enumerate(names, start=2):
            self.post(number, queue=self.make_queue(project=project, namespace=namespace))

        self.assertEqual(1, self.usage().messages)
        for number, (namespace, project) in enumerate(names, start=2):
            usage = self.usage(project, namespace)
            self.assertEqual((1, number), (usage.queues, usage.messages))

    def test_usage_follows_every_verb(self):
        self.post(10)
        claim_id, held = self.lease(limit=4)
        self.delete(*held[:2], claim_ids=[claim_id])
        self.release(claim_id, (held[2],), delay=MINUTE)
        self.claim(limit=1, take=True)

        self.assertEqual(ports.Usage(queues=1, messages=7, claimed=1, delayed=1, bytes=8), self.usage())

    def test_usage_forgets_what_was_cleared_and_queues_that_were_deleted_at_once(self):
        other = self.make_queue('other')
        self.post(3)
        self.post(4, queue=other)
        self.clear()
        self.assertEqual(
            ports.Usage(queues=2, messages=4, bytes=4), self.store.usage(queues.PROJECT, 'project-1', self.clock())
        )
        drivers.delete_queue(self.driver, other)

        self.assertEqual(ports.Usage(queues=1), self.store.usage(queues.PROJECT, 'project-1', self.clock()))

    def test_usage_forgets_expired_messages_after_a_minute_at_the_latest(self):
        self.post(3, ttl=10)
        self.post(2, ttl=10, delay=5)
        self.lease(limit=1)
        self.post(4)
        self.clock.advance(10 + MINUTE)

        self.assertEqual(ports.Usage(queues=1, messages=4, bytes=4), self.usage())

    def test_usage_of_a_queue_is_that_of_its_stats(self):
        self.post(20)
        self.post(5, delay=15)
        self.lease(limit=5, ttl=10)
        self.lease(limit=5, ttl=20)
        for _ in range(4):
            self.clock.advance(5)
            stats = self.stats()
            expected = ports.Usage(1, stats.total, stats.claimed, stats.delayed, stats.bytes)
            self.assertEqual(expected, self.usage())

    # Sweep

    def test_a_sweep_of_nothing_does_nothing(self):
        self.assertEqual(0, self.sweep())
        self.post(5)
        self.assertEqual(0, self.sweep())

    def test_a_sweep_frees_all_that_is_gone_in_steps(self):
        gone = self.make_queue('gone')
        cleared = self.make_queue('cleared')
        several = self.MANY // 8
        self.post(several, queue=gone)
        self.post(several, queue=cleared)
        self.post(several, ttl=10)
        kept = self.post(3)
        for number in range(several):
            self.append(self.keyed(f'key-{number}', window=10, ttl=10))
        drivers.delete_queue(self.driver, gone)
        self.clear(cleared)
        self.clock.advance(2 * MINUTE)

        done = self.sweep(limit=50)

        self.assertGreater(done, 0)
        self.assertEqual(0, self.store.sweep(self.clock(), 50), 'something was left')
        self.assertEqual(kept, self.everything())
        self.assertEqual((3, 0, 0), self.counts())
        self.assertEqual((0, 0, 0), self.counts(cleared))

    def test_a_sweep_leaves_alone_what_a_claim_kept_alive(self):
        [position] = self.post(ttl=10)
        claim_id, _ = self.lease(ttl=300, keep_until=self.clock() + 360)
        self.clock.advance(2 * MINUTE)
        self.sweep()

        self.assertEqual([position], self.held(claim_id))
        self.clock.advance(180)
        self.sweep()
        self.assertEqual([position], self.listed())

    # Many queues

    def test_queues_do_not_see_each_other(self):
        elsewhere = [
            self.make_queue('other'),
            self.make_queue(project='project-2'),
            self.make_queue(namespace=queues.INTERNAL),
        ]
        positions = self.post(4)
        for queue in elsewhere:
            self.assertEqual([], self.everything(queue))
            self.post(4, queue=queue)
        claim = self.new_claim()
        self.claim(limit=2, claim=claim)

        for queue in elsewhere:
            self.assertEqual([], self.held(claim.id, queue))
            self.assertEqual(0, self.renew(claim.id, messages.Change(), queue=queue))
            self.assertEqual((4, 0, 0), self.counts(queue))
            self.assertEqual(4, len(self.claim(limit=4, queue=queue).messages))
        self.assertEqual(positions[:2], self.held(claim.id))
        self.assertEqual((2, 2, 0), self.counts())

    def test_a_claim_of_one_queue_guards_nothing_in_another(self):
        other = self.make_queue('other')
        [here] = self.post()
        [there] = self.post(queue=other)
        claim_id, _ = self.lease()
        self.claim(queue=other)

        self.assertEqual(([], [there]), self.delete(there, queue=other, claim_ids=[claim_id]))
        self.assertEqual(([here], []), self.delete(here, claim_ids=[claim_id]))

    def test_the_same_claim_id_in_two_queues_is_two_claims(self):
        other = self.make_queue('other')
        self.post(2)
        self.post(2, queue=other)
        claim = self.new_claim()
        self.claim(claim=claim, limit=1)
        self.claim(claim=claim, limit=2, queue=other)

        self.release(claim.id)

        self.assertEqual(([], 2), (self.held(claim.id), len(self.held(claim.id, other))))
        self.assertEqual(((2, 0, 0), (0, 2, 0)), (self.counts(), self.counts(other)))

    def test_positions_of_one_queue_name_nothing_in_another(self):
        other = self.make_queue('other')
        positions = self.post(3)

        self.assertEqual([], self.select(positions=tuple(positions), queue=other).messages)
        self.assertEqual(([], []), self.delete(*positions, queue=other))
        self.assertEqual(positions, self.everything())

    def test_deleting_a_queue_leaves_the_others(self):
        others = [self.make_queue(f'other-{number}') for number in range(3)]
        for queue in others:
            self.post(3, queue=queue)
        drivers.delete_queue(self.driver, others[1])
        self.sweep()

        self.assertEqual((3, 0, 0), self.counts(others[0]))
        self.assertEqual((3, 0, 0), self.counts(others[2]))
        self.assertEqual(ports.Usage(queues=3, messages=6, bytes=6), self.usage())

    def test_a_queue_of_a_long_and_odd_name_holds_messages(self):
        for number, name in enumerate(['$set', 'a.b', 'x' * 64, 'CON', '-', '__proto__']):
            queue = self.make_queue(name, project='\u00e9/$.%' + 'p' * 250)
            self.post(number + 1, queue=queue)
            self.assertEqual(number + 1, len(self.everything(queue)))

    def test_the_record_of_a_queue_is_there_as_long_as_its_life(self):
        where = [records.Condition('id', '=', self.queue.id)]
        self.post()

        self.assertEqual(1, self.driver.records.count(tables.QUEUES, where, cap=10))
        drivers.delete_queue(self.driver, self.queue)
        self.assertEqual(0, self.driver.records.count(tables.QUEUES, where, cap=10))

    # The driver

    def test_a_driver_answers_a_ping(self):
        self.assertIsNone(self.driver.ping())

    def test_a_driver_may_be_prepared_again(self):
        positions = self.post(2)

        self.driver.prepare()

        self.assertEqual(positions, self.everything())

    def test_a_driver_says_where_its_data_is(self):
        self.assertIsInstance(self.driver.location, str)
        self.assertIn(self.driver.shared, (True, False))


def _positions(found):
    return [message.position for message in found]
