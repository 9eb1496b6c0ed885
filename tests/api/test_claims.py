"""Claims: made, read, renewed and released."""

import json

from tests.api import base
from tests.fixtures import tables


class ClaimTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()


@base.in_versions('1', '1.1', '2')
class TestCreate(ClaimTestCase):
    def test_the_oldest_come_first(self):
        self.post_messages(*range(30))
        claim, messages = self.claim()
        self.assertEqual(list(range(10)), base.bodies(messages))
        self.assertRegex(claim, f'^{self.path}/queues/demo/claims/[0-9a-f]{{24}}$')
        self.assertEqual(list(range(10, 12)), base.bodies(self.claim(limit=2)[1]))
        self.assertEqual(list(range(12, 30)), base.bodies(self.claim(limit=100)[1]))
        self.assertEqual((None, []), self.claim())

    def test_a_claimed_message_has_its_fields(self):
        [path] = self.post_messages({'a': 1}, ttl=1000)
        self.clock.advance(5)
        claim, [message] = self.claim()
        expected = {'href': f'{path}?claim_id={base.id_of(claim)}', 'ttl': 1000, 'age': 5, 'body': {'a': 1}}
        self.assertEqual(expected if self.version == '1' else expected | {'id': base.id_of(path)}, message)

    def test_one_s_own_messages_are_claimed(self):
        self.post_messages(1, client=base.CONSUMER)
        self.assertEqual([1], base.bodies(self.claim()[1]))

    def test_nothing_to_claim_is_204(self):
        self.assertEqual((None, []), self.claim(status=204))
        self.assertEqual((None, []), self.claim(queue='nowhere', status=204))

    @tables.each(
        ('a short ttl', 59, 60, 'TTL for a claim'),
        ('a long ttl', 43201, 60, 'TTL for a claim'),
        ('a short grace', 60, 59, 'grace for a claim'),
        ('a long grace', 60, 43201, 'grace for a claim'),
        ('a ttl that is a text', '60', 60, '"ttl" field must be a int'),
        ('a ttl that is a fraction', 60.5, 60, '"ttl" field must be a int'),
        ('a ttl that is true', True, 60, '"ttl" field must be a int'),
        ('a ttl that is null', None, 60, '"ttl" field must be a int'),
        ('a ttl of 20 digits', 10**19, 60, 'TTL for a claim'),
        ('a ttl of 5000 digits', 60, 60, 'out of range'),
        ('a grace that is a list', 60, [], '"grace" field must be a int'),
        ('a negative grace', 60, -1, 'grace for a claim'),
    )
    def test_a_claim_cannot_have(self, ttl, grace, words):
        self.post_messages(1)
        body = json.dumps({'ttl': ttl, 'grace': grace}).encode()
        if words == 'out of range':
            body = body.replace(b'60', b'9' * 5000)
        self.assert_refused(self.post('/queues/demo/claims', body, status=400), words)
        self.assertEqual((0, 1, 1), self.counts())

    def test_the_bounds_belong_to_the_range(self):
        for ttl, grace in ((60, 60), (43200, 43200)):
            self.post_messages(1)
            self.claim(ttl=ttl, grace=grace, status=201)

    @tables.each(
        ('nothing', '0'), ('a negative number', '-1'), ('101', '101'), ('a word', 'all'), ('a fraction', '1.0'),
        ('a list', '1,2'),
    )  # fmt: skip
    def test_the_limit_cannot_be(self, limit):
        self.post_messages(1)
        self.assert_refused(self.post(f'/queues/demo/claims?limit={limit}', {'ttl': 60, 'grace': 60}, status=400))
        self.assertEqual((0, 1, 1), self.counts())

    def test_an_empty_limit_is_none(self):
        self.post_messages(*range(11))
        answer = self.post('/queues/demo/claims?limit=', {'ttl': 60, 'grace': 60}, status=201)
        self.assertEqual(10, len(self._bare(answer)))

    def test_unknown_fields_are_dropped(self):
        self.post_messages(1)
        self.post('/queues/demo/claims', {'ttl': 60, 'grace': 60, 'limit': 'x', 'messages': 1}, status=201)


@base.in_versions('1', '1.1', '2')
class TestExclusion(ClaimTestCase):
    def test_no_message_is_in_two_live_claims(self):
        self.post_messages(*range(6))
        claims = [self.claim(limit=2) for _ in range(3)]
        self.assertEqual(list(range(6)), [body for _, messages in claims for body in base.bodies(messages)])
        self.assertEqual((None, []), self.claim())

    def test_a_new_claim_takes_nothing_of_a_live_one(self):
        # Section 13, item 2: A takes 1 and 2, B takes 3 and 4, A is released, C takes what A held.
        self.post_messages(1, 2, 3, 4)
        first, _ = self.claim(limit=2)
        second, _ = self.claim(limit=2)
        self.release(first)
        third, messages = self.claim(limit=4)
        self.assertEqual([1, 2], base.bodies(messages))
        self.assertEqual([3, 4], base.bodies(self.held(second)['messages']))
        self.assertEqual([1, 2], base.bodies(self.held(third)['messages']))

    def test_what_an_ended_claim_held_is_free_at_once(self):
        self.post_messages(1, ttl=1000)
        self.claim(ttl=60)
        self.clock.advance(59.75)
        self.assertEqual((None, []), self.claim())
        self.assertEqual([], self.list_bodies())
        self.clock.advance(0.25)
        self.assertEqual([1], self.list_bodies())
        self.assertEqual([1], base.bodies(self.claim()[1]))


@base.in_versions('1', '1.1', '2')
class TestGet(ClaimTestCase):
    def test_a_claim_has_its_fields(self):
        self.post_messages(1, 2, ttl=1000)
        claim, messages = self.claim(ttl=100, grace=70)
        self.assertEqual({'age': 0, 'ttl': 100, 'href': claim, 'messages': messages}, self.held(claim))
        self.clock.advance(9.75)
        held = self.held(claim)
        self.assertEqual((9, 100), (held['age'], held['ttl']))
        self.assertEqual([9, 9], [message['age'] for message in held['messages']])

    def test_deleted_messages_are_no_longer_in_it(self):
        self.post_messages(1, 2)
        claim, messages = self.claim()
        self.delete(messages[0]['href'], status=204)
        self.assertEqual([2], base.bodies(self.held(claim)['messages']))
        self.delete(messages[1]['href'], status=204)
        self.get(claim, status=404)

    @tables.each(
        ('unknown', 'f' * 24),
        ('malformed', 'abc'),
        ('in capitals', 'F' * 24),
        ('very long', 'f' * 5000),
        ('a nul', '%00'),
        ('not utf 8', '%ff'),
    )
    def test_there_is_no_claim_that_is(self, claim_id):
        self.post_messages(1)
        path = f'/queues/demo/claims/{claim_id}'
        self.assertEqual('Not found', self.get(path, status=404, lint=False).json['title'])
        self.patch(path, {'ttl': 60, 'grace': 60}, status=404, lint=False)
        self.delete(path, status=204, lint=False)

    def test_an_ended_claim_is_gone(self):
        self.post_messages(1, ttl=1000)
        claim, _ = self.claim(ttl=60)
        self.clock.advance(59)
        self.held(claim)
        self.clock.advance(1)
        self.get(claim, status=404)
        self.patch(claim, {'ttl': 60, 'grace': 60}, status=404)
        self.delete(claim, status=204)

    def test_a_claim_is_known_in_its_queue_alone(self):
        self.make_queue('other')
        self.post_messages(1)
        claim, _ = self.claim()
        elsewhere = claim.replace('/demo/', '/other/')
        for path in (elsewhere, claim.replace('/demo/', '/nowhere/')):
            self.get(path, status=404)
            self.patch(path, {'ttl': 60, 'grace': 60}, status=404)
            self.delete(path, status=204)
        self.held(claim)


@base.in_versions('1', '1.1', '2')
class TestUpdate(ClaimTestCase):
    def test_a_renewed_claim_begins_anew(self):
        self.post_messages(1, ttl=1000)
        claim, _ = self.claim(ttl=60)
        self.clock.advance(50)
        self.patch(claim, {'ttl': 100, 'grace': 60}, status=204)
        held = self.held(claim)
        self.assertEqual((0, 100), (held['age'], held['ttl']))
        self.clock.advance(99)
        self.assertEqual(99, self.held(claim)['age'])
        self.clock.advance(1)
        self.get(claim, status=404)

    def test_a_claim_can_be_made_shorter(self):
        self.post_messages(1, ttl=1000)
        claim, _ = self.claim(ttl=300)
        self.patch(claim, {'ttl': 60, 'grace': 60}, status=204)
        self.clock.advance(60)
        self.assertEqual([1], base.bodies(self.claim()[1]))

    @tables.each(
        ('nothing', b'', 'can not be empty'),
        ('an empty object', b'{}', '"ttl"'),
        ('a list', b'[]', 'Document type not supported'),
        ('fields that mean nothing', b'{"limit": 1}', '"ttl"'),
        ('a ttl that is null', b'{"ttl": null}', '"ttl" field must be a int'),
        ('a short ttl', b'{"ttl": 59}', 'TTL for a claim'),
        ('a long ttl', b'{"ttl": 43201}', 'TTL for a claim'),
        ('a negative grace', b'{"ttl": 60, "grace": -1}', 'grace for a claim'),
        ('a short grace', b'{"ttl": 60, "grace": 59}', 'grace for a claim'),
        ('a long grace', b'{"ttl": 60, "grace": 43201}', 'grace for a claim'),
        ('a grace that is a text', b'{"ttl": 60, "grace": "60"}', '"grace" field must be a int'),
        ('malformed', b'{"ttl"', 'could not be parsed'),
    )
    def test_a_claim_is_not_renewed_by(self, raw, words):
        self.post_messages(1)
        claim, _ = self.claim()
        self.clock.advance(10)
        self.assert_refused(self.patch(claim, raw, status=400), words)
        self.assertEqual(10, self.held(claim)['age'])


@base.in_versions('1', '1.1', '2')
class TestLives(ClaimTestCase):
    """A claim keeps its messages alive until its end and its grace more, and never shortens a life."""

    def test_a_message_outlives_its_claim_by_the_grace(self):
        [path] = self.post_messages(1, ttl=100)
        _, [message] = self.claim(ttl=300, grace=60)
        self.assertEqual(360, message['ttl'])
        self.clock.advance(359)
        self.assertEqual(1, self.read(path)['body'])
        self.clock.advance(1)
        self.get(path, status=404)

    def test_it_does_so_where_it_would_just_outlive_the_claim(self):
        # Section 13, item 9.
        self.post_messages(1, ttl=301)
        _, [message] = self.claim(ttl=300, grace=60)
        self.assertEqual(360, message['ttl'])

    def test_a_long_life_stays_as_it_was(self):
        self.post_messages(1, ttl=361)
        claim, [message] = self.claim(ttl=300, grace=60)
        self.assertEqual(361, message['ttl'])
        self.patch(claim, {'ttl': 60, 'grace': 60})
        self.assertEqual(361, self.held(claim)['messages'][0]['ttl'])

    def test_a_renewed_claim_keeps_them_longer(self):
        [path] = self.post_messages(1, ttl=100)
        claim, _ = self.claim(ttl=60, grace=60)
        self.clock.advance(50)
        self.patch(claim, {'ttl': 200, 'grace': 100}, status=204)
        self.assertEqual(350, self.read(path)['ttl'])
        self.clock.advance(299)
        self.assertEqual(1, self.read(path)['body'])
        self.clock.advance(1)
        self.get(path, status=404)

    def test_a_released_message_keeps_its_longer_life(self):
        [path] = self.post_messages(1, ttl=60)
        claim, _ = self.claim(ttl=300, grace=60)
        self.release(claim)
        self.assertEqual(360, self.read(path)['ttl'])

    def test_the_age_goes_on_counting_from_the_post(self):
        [path] = self.post_messages(1, ttl=60)
        self.clock.advance(10)
        self.claim()
        self.clock.advance(10)
        self.assertEqual(20, self.read(path)['age'])


@base.in_versions('1', '1.1', '2')
class TestDelete(ClaimTestCase):
    def test_released_messages_can_be_claimed_at_once(self):
        self.post_messages(1, 2)
        claim, _ = self.claim()
        self.release(claim)
        self.get(claim, status=404)
        self.assertEqual([1, 2], self.list_bodies())
        self.assertEqual([1, 2], base.bodies(self.claim()[1]))

    def test_releasing_again_is_204(self):
        self.post_messages(1)
        claim, _ = self.claim()
        for _ in range(3):
            self.release(claim)

    def test_what_came_back_is_still_the_oldest(self):
        self.post_messages(*range(5))
        claim, _ = self.claim(limit=2)
        self.release(claim)
        self.assertEqual([0, 1, 2], base.bodies(self.claim(limit=3)[1]))


class TestV1(ClaimTestCase):
    version = '1'

    @tables.each(
        ('nothing', b'', 'can not be empty'),
        ('no ttl', b'{"grace": 60}', 'Missing "ttl" field'),
        ('no grace', b'{"ttl": 60}', 'Missing "grace" field'),
    )
    def test_a_new_claim_says_all(self, raw, words):
        self.assert_refused(self.post('/queues/demo/claims', raw, status=400), words)

    def test_a_renewal_needs_no_grace(self):
        [path] = self.post_messages(1, ttl=60)
        claim, _ = self.claim(ttl=60, grace=60)
        self.patch(claim, {'ttl': 200}, status=204)
        self.assertEqual(200, self.read(path)['ttl'])

    def test_a_renewal_needs_a_ttl(self):
        self.post_messages(1)
        claim, _ = self.claim()
        self.assert_refused(self.patch(claim, {'grace': 60}, status=400), 'Missing "ttl" field')


@base.in_versions('1.1', '2')
class TestDefaults(ClaimTestCase):
    @tables.each(
        ('nothing', b''),
        ('an empty object', b'{}'),
        ('the grace alone', b'{"grace": 60}'),
        ('the ttl alone', b'{"ttl": 300}'),
    )
    def test_a_new_claim_may_say(self, raw):
        self.post_messages(1, ttl=60)
        claim = self.post('/queues/demo/claims', raw, status=201).headers['Location']
        held = self.held(claim)
        self.assertEqual((300, 360), (held['ttl'], held['messages'][0]['ttl']))

    def test_a_renewal_says_one_or_the_other(self):
        [path] = self.post_messages(1, ttl=60)
        claim, _ = self.claim(ttl=60, grace=60)
        self.patch(claim, {'ttl': 400}, status=204)
        self.assertEqual(460, self.read(path)['ttl'])
        self.patch(claim, {'grace': 600}, status=204)
        self.assertEqual(900, self.read(path)['ttl'])
        self.assertEqual(300, self.held(claim)['ttl'])

    def test_no_grace_is_too_short_a_grace(self):
        self.post_messages(1)
        claim, _ = self.claim()
        self.assert_refused(self.patch(claim, {'ttl': 60, 'grace': 0}, status=400), 'grace for a claim')


class TestConfiguredDefaults(base.ApiTestCase):
    limits = {'default_claim_ttl': 100, 'default_claim_grace': 200, 'max_messages_per_claim_or_pop': 3}

    def test_they_hold(self):
        [path] = self.post_messages(1, ttl=60)
        claim = self.post('/queues/demo/claims', status=201).headers['Location']
        self.assertEqual(100, self.held(claim)['ttl'])
        self.assertEqual(300, self.read(path)['ttl'])

    def test_the_operator_bounds_the_limit_and_the_default_obeys(self):
        self.post_messages(*range(10))
        self.assert_refused(self.post('/queues/demo/claims?limit=4', status=400), '3')
        self.assert_refused(self.delete('/queues/demo/messages?pop=4', status=400), '3')
        self.assertEqual(3, len(self.post('/queues/demo/claims', status=201).json['messages']))
