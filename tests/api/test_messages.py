"""Messages: posted, listed, read, deleted and popped."""

from tests.api import base
from tests.fixtures import tables


@base.in_versions('1', '1.1', '2')
class TestPost(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def test_the_answer_has_a_path_for_each_message_in_order(self):
        answer = self.post('/queues/demo/messages', self.envelope([{'ttl': 60, 'body': n} for n in (1, 2, 3)]))
        self.assertEqual(201, answer.status_int)
        paths = answer.json['resources']
        self.assertEqual([1, 2, 3], [self.read(path)['body'] for path in paths])
        for path in paths:
            self.assertRegex(path, f'^{self.path}/queues/demo/messages/[0-9a-f]{{24}}$')
        ids = ','.join(map(base.id_of, paths))
        self.assertEqual(f'{self.path}/queues/demo/messages?ids={ids}', answer.headers['Location'])
        self.assertEqual({'resources', 'partial'} if self.version == '1' else {'resources'}, set(answer.json))

    def test_the_location_leads_to_what_was_posted(self):
        location = self.post_raw(b'1', b'2').headers['Location']
        found = self.get(location, status=200).json
        self.assertEqual([1, 2], base.bodies(found if self.version == '1' else found['messages']))

    def test_a_batch_keeps_its_order(self):
        self.post_messages(*range(50))
        self.post_messages(*range(50, 100))
        self.assertEqual(list(range(100)), self.list_bodies())

    def test_unknown_fields_are_dropped(self):
        message = {'ttl': 60, 'body': 1, 'id': 'mine', 'claim_id': 'x', 'ä': [[]], 'href': None}
        [path] = self.post('/queues/demo/messages', self.envelope([message])).json['resources']
        shown = {'href': path, 'ttl': 60, 'age': 0, 'body': 1}
        self.assertEqual(shown if self.version == '1' else shown | {'id': base.id_of(path)}, self.read(path))

    def test_a_post_of_any_number_of_messages_is_fine(self):
        self.post_messages(*[0] * 5000)
        self.assertEqual((0, 5000, 5000), self.counts())

    def test_the_media_type_does_not_matter(self):
        raw = b'[{"ttl":60,"body":1}]' if self.version == '1' else b'{"messages":[{"ttl":60,"body":1}]}'
        for media_type in (base.ABSENT, 'text/plain', 'application/xml', 'a', 'application/json; charset=latin-1'):
            self.post('/queues/demo/messages', raw, headers={'Content-Type': media_type}, status=201)

    def test_the_bounds_of_a_ttl_belong_to_it(self):
        for ttl in (60, 1209600):
            [path] = self.post_messages(1, ttl=ttl)
            self.assertEqual(ttl, self.read(path)['ttl'])

    def test_one_bad_message_keeps_all_out(self):
        messages = [{'ttl': 60, 'body': 1}, {'ttl': 59, 'body': 2}, {'ttl': 60, 'body': 3}]
        self.assert_refused(self.post('/queues/demo/messages', self.envelope(messages), status=400), 'TTL')
        self.assertEqual((0, 0, 0), self.counts())


@base.in_versions('1.1', '2')
class TestPostDefaults(base.ApiTestCase):
    def test_a_ttl_need_not_be_given(self):
        [path] = self.post_messages(1, ttl=None)
        self.assertEqual(3600, self.read(path)['ttl'])

    def test_the_queue_s_ttl_holds_in_v2_alone(self):
        self.make_queue(metadata={'_default_message_ttl': 60})
        [path] = self.post_messages(1, ttl=None)
        self.assertEqual(60 if self.version == '2' else 3600, self.read(path)['ttl'])
        [path] = self.post_messages(1, ttl=61)
        self.assertEqual(61, self.read(path)['ttl'])

    def test_the_queue_is_made(self):
        self.post_messages(1)
        self.assertEqual(['demo'], [queue['name'] for queue in self.queue_page()[0]])

    def test_a_bad_post_makes_no_queue(self):
        for body in (b'', b'{', {}, {'messages': []}, {'messages': [1]}, {'messages': [{'ttl': 1, 'body': 1}]}):
            self.post('/queues/demo/messages', body, status=400)
        self.assertEqual(([], None), self.queue_page())


@base.in_versions('1', '1.1', '2')
class TestGet(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def test_a_message_has_its_fields(self):
        [path] = self.post_messages({'a': 1}, ttl=100)
        self.clock.advance(10.5)
        expected = {'href': path, 'ttl': 100, 'age': 10, 'body': {'a': 1}}
        if self.version != '1':
            expected['id'] = base.id_of(path)
        self.assertEqual(expected, self.read(path))
        self.assertEqual([expected], self.message_page()[0])
        self.assertEqual([expected], self.get_by_ids(path))

    def test_messages_are_read_by_id_in_any_state(self):
        claimed, free = self.post_messages(1, 2)
        self.claim(limit=1)
        self.assertEqual([1, 2], [self.read(path)['body'] for path in (claimed, free)])
        self.assertEqual([1, 2], base.bodies(self.get_by_ids(claimed, free)))

    def test_own_messages_are_read_by_id(self):
        [path] = self.post_messages(1)
        self.assertEqual(1, self.read(path, client=base.PRODUCER)['body'])

    def test_found_ones_come_and_others_are_passed_over(self):
        first, second = self.post_messages(1, 2)
        self.make_queue('other')
        [elsewhere] = self.post_messages(3, queue='other')
        found = self.get_by_ids(second, 'ffffffffffffffffffffffff', 'junk', elsewhere, first, first)
        self.assertEqual([1, 2], sorted(base.bodies(found)))

    def test_none_found_is_404_or_204(self):
        self.get('/queues/demo/messages?ids=abc,def', status=204 if self.version == '1' else 404)
        self.get('/queues/nowhere/messages?ids=abc', status=204 if self.version == '1' else 404)

    def test_ids_come_with_commas_or_again_and_again(self):
        first, second, third = map(base.id_of, self.post_messages(1, 2, 3))
        for query in (
            f'ids={first},{second},{third}',
            f'ids={first}%2C{second}&ids={third}',
            f'ids={first}&ids={second}&ids={third}',
            f'ids=,{first},,{second},&ids={third},',
        ):
            self.assertEqual([1, 2, 3], base.bodies(self._bare(self.get(f'/queues/demo/messages?{query}'))))

    def test_empty_ids_are_a_plain_list(self):
        self.post_messages(1)
        for query in ('ids=', 'ids', 'ids=,'):
            messages, href = self.message_page(f'/queues/demo/messages?{query}')
            self.assertEqual([1], base.bodies(messages))
            self.assertIsNotNone(href)

    def test_a_hundred_ids_at_the_most(self):
        [path] = self.post_messages(1)
        ids = [base.id_of(path)] * 100
        self.get('/queues/demo/messages', params={'ids': ','.join(ids)}, status=200)
        for method in ('GET', 'DELETE'):
            answer = self.request(method, '/queues/demo/messages', params={'ids': ','.join([*ids, 'x'])}, status=400)
            self.assert_refused(answer, 'number of ids', '100')

    @tables.each(
        ('of another queue', '/queues/other/messages/{id}'),
        ('of no queue', '/queues/nowhere/messages/{id}'),
        ('that is unknown', '/queues/demo/messages/ffffffffffffffffffffffff'),
        ('that is malformed', '/queues/demo/messages/abc'),
        ('in capitals', '/queues/demo/messages/{ID}'),
        ('with more behind it', '/queues/demo/messages/{id}0'),
        ('with a nul', '/queues/demo/messages/%00'),
        ('that is not utf 8', '/queues/demo/messages/%ff'),
        ('that is very long', '/queues/demo/messages/' + 'f' * 5000),
        ('of the position before the first', '/queues/demo/messages/{tag}000000000000'),
    )
    def test_there_is_no_message_with_an_id(self, path):
        self.make_queue('other')
        [posted] = self.post_messages(1)
        message_id = base.id_of(posted)
        path = path.replace('{id}', message_id).replace('{ID}', message_id.upper()).replace('{tag}', message_id[:12])
        if posted.endswith(path):
            path += '0'  # its id has no letters
        self.assert_refused(self.get(path, status=404, lint=False), 'does not exist')
        self.delete(path, status=204, lint=False)
        self.assertEqual(1, self.read(posted)['body'])


@base.in_versions('1', '1.1', '2')
class TestList(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def test_one_s_own_are_hidden(self):
        self.post_messages(1)
        self.post_messages(2, client=base.CONSUMER)
        self.assertEqual([1], self.list_bodies())
        self.assertEqual([1, 2], self.list_bodies(echo=True))
        self.assertEqual([2], base.bodies(self.message_page(client=base.PRODUCER)[0]))

    def test_two_spellings_of_a_client_are_one(self):
        self.post_messages(1, client=base.CONSUMER.replace('-', '').upper())
        self.assertEqual([], self.list_bodies())
        self.post_messages(2, client='{' + base.CONSUMER + '}')
        self.post_messages(3, client=f'urn:uuid:{base.CONSUMER}')
        self.assertEqual([], self.list_bodies())

    def test_claimed_ones_are_hidden(self):
        self.post_messages(1, 2)
        claim, _ = self.claim(limit=1)
        self.assertEqual([2], self.list_bodies())
        self.assertEqual([1, 2], self.list_bodies(include_claimed=True))
        self.release(claim)
        self.assertEqual([1, 2], self.list_bodies())

    def test_the_link_of_a_claimed_message_names_its_claim_wherever_it_is_shown(self):
        [path] = self.post_messages(1)
        claim, [claimed] = self.claim()
        href = f'{path}?claim_id={base.id_of(claim)}'
        self.assertEqual(href, claimed['href'])
        self.assertEqual(href, self.read(path)['href'])
        self.assertEqual(href, self.get_by_ids(path)[0]['href'])
        self.assertEqual(href, self.message_page(params={'include_claimed': 'true'})[0][0]['href'])
        self.assertEqual(href, self.held(claim)['messages'][0]['href'])
        self.release(claim)
        self.assertEqual(path, self.read(path)['href'])

    def test_ten_come_if_nobody_says_how_many(self):
        self.post_messages(*range(30))
        self.assertEqual(list(range(10)), base.bodies(self.message_page()[0]))

    def test_a_hundred_can_be_asked_for(self):
        self.post_messages(*range(130))
        self.assertEqual(list(range(100)), self.list_bodies(limit=100))

    def test_booleans_have_many_spellings(self):
        self.post_messages(1, client=base.CONSUMER)
        for value in ('true', 'True', 't', 'yes', 'y', '1', 'on'):
            self.assertEqual([1], self.list_bodies(echo=value))
        for value in ('false', 'False', 'f', 'no', 'n', '0', 'off', ''):
            self.assertEqual([], self.list_bodies(echo=value))


class TestDelays(base.ApiTestCase):
    def test_a_message_waits_on_any_queue(self):
        self.post_messages('later', delay=60)
        self.post_messages('now')
        self.assertEqual(['now'], self.list_bodies())
        self.assertEqual(['later', 'now'], self.list_bodies(include_delayed=True))
        self.clock.advance(59)
        self.assertEqual(['now'], self.list_bodies())
        self.clock.advance(1)
        self.assertEqual(['later', 'now'], self.list_bodies())

    def test_a_waiting_message_is_neither_claimed_nor_popped(self):
        self.post_messages('later', delay=60)
        self.assertEqual((None, []), self.claim())
        self.assertEqual([], self.pop())
        self.clock.advance(60)
        self.assertEqual(['later'], base.bodies(self.claim()[1]))

    def test_a_waiting_message_is_read_counted_and_deleted(self):
        first, second = self.post_messages(1, 2, delay=60)
        self.assertEqual(1, self.read(first)['body'])
        self.assertEqual((0, 2, 2), self.counts())
        self.delete(first, status=204)
        self.delete_many(second)
        self.assertEqual((0, 0, 0), self.counts())

    def test_the_delay_of_the_queue_holds_where_the_message_has_none(self):
        self.make_queue(metadata={'_default_message_delay': 30})
        self.post_messages('queue')
        self.post_messages('message', delay=10)
        self.post_messages('none', delay=0)
        self.assertEqual(['none'], self.list_bodies())
        self.clock.advance(10)
        self.assertEqual(['message', 'none'], self.list_bodies())
        self.clock.advance(20)
        self.assertEqual(['queue', 'message', 'none'], self.list_bodies())

    def test_a_delay_does_not_lengthen_a_life(self):
        [path] = self.post_messages(1, ttl=60, delay=900)
        self.clock.advance(60)
        self.get(path, status=404)
        self.assertEqual([], self.list_bodies(include_delayed=True))

    def test_the_bounds_of_a_delay_belong_to_it(self):
        self.post_messages(1, delay=0)
        self.post_messages(1, delay=900)
        for delay in (-1, 901):
            self.assert_refused(self.post_messages_raw(delay), 'delay', 'at least 0', '900')

    def post_messages_raw(self, delay):
        return self.post('/queues/demo/messages', {'messages': [{'body': 1, 'delay': delay}]}, status=400)


@base.in_versions('1', '1.1')
class TestNoDelays(base.ApiTestCase):
    def test_the_older_versions_drop_a_delay(self):
        self.make_queue()
        self.post_messages(1, delay=60)
        self.assertEqual([1], self.list_bodies())

    def test_the_older_versions_take_none_from_the_queue(self):
        self.version, version = '2', self.version
        self.make_queue(metadata={'_default_message_delay': 60})
        self.version = version
        self.post_messages(1)
        self.assertEqual([1], self.list_bodies())

    def test_the_older_versions_do_not_see_what_waits(self):
        self.version, version = '2', self.version
        self.post_messages(1, delay=60)
        self.version = version
        self.assertEqual([], self.list_bodies(include_delayed=True))
        self.clock.advance(60)
        self.assertEqual([1], self.list_bodies())


@base.in_versions('1', '1.1', '2')
class TestExpiry(base.ApiTestCase):
    """Expired means gone, on every path and at once."""

    def setUp(self):
        super().setUp()
        self.make_queue()
        self.short, self.long = self.post_messages('short', 'long', ttl=60)[0], self.post_messages('longer', ttl=61)[0]

    def test_until_then_it_is_there(self):
        self.clock.advance(59.75)
        self.assertEqual(59, self.read(self.short)['age'])
        self.assertEqual((0, 3, 3), self.counts())

    def test_it_is_not_listed(self):
        self.clock.advance(60)
        self.assertEqual(['longer'], self.list_bodies())
        self.assertEqual(['longer'], self.list_bodies(echo=True, include_claimed=True, include_delayed=True))

    def test_it_is_not_read(self):
        self.clock.advance(60)
        self.get(self.short, status=404)
        self.assertEqual(['longer'], base.bodies(self.get_by_ids(self.short, self.long)))

    def test_it_is_not_claimed(self):
        self.clock.advance(60)
        self.assertEqual(['longer'], base.bodies(self.claim()[1]))

    def test_it_is_not_counted(self):
        self.clock.advance(60)
        self.assertEqual((0, 1, 1), self.counts())
        self.assertEqual(self.long, self.stats()['oldest']['href'])
        self.clock.advance(1)
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())

    def test_it_is_not_popped(self):
        if self.version == '1':
            self.version = '1.1'
        self.clock.advance(60)
        self.assertEqual(['longer'], base.bodies(self.pop()))

    def test_deleting_it_is_204(self):
        claim, _ = self.claim(limit=1)
        self.clock.advance(1000)
        self.delete(self.short, status=204)
        self.delete(self.short, params={'claim_id': base.id_of(claim)}, status=204)
        self.delete_many(self.short, self.long)


@base.in_versions('1', '1.1', '2')
class TestDeleteOne(base.ApiTestCase):
    """Section 5.4, with the rules that settle it."""

    def setUp(self):
        super().setUp()
        self.make_queue()
        self.claimed, self.free = self.post_messages('claimed', 'free')
        self.own, _ = self.claim(limit=1)
        self.other_message = self.post_messages('other')[0]

    def delete_under(self, message, claim, status):
        answer = self.delete(message, params={'claim_id': base.id_of(claim)}, status=status)
        if status != 204:
            self.assertEqual('Unable to delete', answer.json['title'])
            self.assertIn(self.read(message)['body'], ('claimed', 'free', 'other'))
            return answer.json['description']
        self.get(message, status=404)
        return None

    def test_a_free_message_needs_no_claim(self):
        self.delete(self.free, status=204)
        self.get(self.free, status=404)
        self.delete(self.free, status=204)

    def test_a_claimed_message_needs_its_claim(self):
        answer = self.delete(self.claimed, status=403)
        self.assertEqual(
            'This message is claimed; it cannot be deleted without a valid claim ID.', answer.json['description']
        )
        self.delete_under(self.claimed, self.own, 204)

    def test_the_link_of_a_claimed_message_deletes_it(self):
        _, [message] = self.claim(limit=1)
        self.delete(message['href'], status=204)
        self.get(base.without_query(message['href']), status=404)

    def test_another_live_claim_is_403(self):
        other, _ = self.claim(limit=1)
        self.delete_under(self.claimed, other, 403)

    def test_an_unknown_claim_is_400(self):
        for message in (self.claimed, self.free):
            said = self.delete_under(message, 'f' * 24, 400)
            self.assertEqual('The specified claim does not exist or has expired.', said)

    def test_a_malformed_claim_is_400(self):
        for message in (self.claimed, self.free):
            for claim in ('abc', 'F' * 24, '\0', 'f' * 5000, '7f8f7f8f-7f8f-7f8f-7f8f-7f8f7f8f7f8f'):
                self.delete_under(message, claim, 400)

    def test_a_claim_on_a_message_that_is_not_claimed_is_400(self):
        said = self.delete_under(self.free, self.own, 400)
        self.assertEqual('A claim was specified, but the message is not currently claimed.', said)

    def test_an_expired_claim_is_400(self):
        self.clock.advance(299)
        self.read(self.claimed)
        self.clock.advance(1)
        # The claim kept this one alive; whoever held it has lost it.
        said = self.delete_under(self.claimed, self.own, 400)
        self.assertEqual('The specified claim does not exist or has expired.', said)

    def test_a_released_claim_is_400(self):
        self.release(self.own)
        self.delete_under(self.claimed, self.own, 400)

    def test_a_missing_message_is_204_with_any_claim(self):
        self.delete(self.free)
        self.delete(self.free, params={'claim_id': base.id_of(self.own)}, status=204)
        self.delete(self.free, params={'claim_id': 'f' * 24}, status=204)

    def test_a_missing_queue_is_204(self):
        self.delete('/queues/nowhere/messages/' + 'f' * 24, status=204)

    def test_an_empty_claim_is_none(self):
        self.delete(f'{self.claimed}?claim_id=', status=403)
        self.delete(f'{self.free}?claim_id=', status=204)

    def test_of_several_claims_the_last_counts(self):
        self.delete(f'{self.claimed}?claim_id={"f" * 24}&claim_id={base.id_of(self.own)}', status=204)


@base.in_versions('1', '1.1', '2')
class TestDeleteMany(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def test_those_that_are_there_go(self):
        first, _, third = self.post_messages(1, 2, 3)
        self.delete_many(first, third, 'f' * 24, 'junk', third)
        self.assertEqual([2], self.list_bodies())

    def test_none_there_is_204(self):
        self.delete_many('f' * 24)
        self.delete('/queues/nowhere/messages?ids=abc', status=204)

    def test_one_claimed_message_keeps_all_there(self):
        paths = self.post_messages(1, 2, 3)
        claim, _ = self.claim(limit=1)
        answer = self.delete_many(*paths, status=403)
        self.assertEqual('Unable to delete', answer.json['title'])
        self.assert_refused(answer, 'Nothing was deleted', base.id_of(paths[0]), 'claim_ids')
        self.assertEqual((1, 2, 3), self.counts())

        self.delete_many(*paths, claims=['f' * 24], status=403)
        self.assertEqual((1, 2, 3), self.counts())

        self.delete_many(*paths, claims=['f' * 24, claim])
        self.assertEqual((0, 0, 0), self.counts())

    def test_claims_of_several_can_be_named(self):
        paths = self.post_messages(1, 2, 3)
        claims = [self.claim(limit=1)[0] for _ in range(2)]
        self.delete_many(*paths, claims=claims[:1], status=403)
        self.delete_many(*paths, claims=claims)
        self.assertEqual((0, 0, 0), self.counts())

    def test_an_expired_claim_guards_nothing(self):
        paths = self.post_messages(1, 2, ttl=1000)
        self.claim(ttl=60)
        self.clock.advance(60)
        self.delete_many(*paths)
        self.assertEqual((0, 0, 0), self.counts())

    def test_ids_must_be_named(self):
        self.post_messages(1)
        for query in ('', '?ids=', '?ids=,', '?claim_ids=abc'):
            answer = self.delete(f'/queues/demo/messages{query}', status=400)
            self.assert_refused(answer, '"ids"')
            if self.version == '1':
                self.assert_refused(answer, 'Missing parameter')
        self.assertEqual((0, 1, 1), self.counts())


@base.in_versions('1.1', '2')
class TestPop(base.ApiTestCase):
    def test_popped_messages_are_gone(self):
        first, _ = self.post_messages(1, 2, ttl=100)
        self.clock.advance(7)
        [message] = self.pop(1)
        self.assertEqual(
            {'id': base.id_of(first), 'age': 7, 'ttl': 100, 'body': 1, 'claim_id': None}, without_count(message)
        )
        self.get(first, status=404)
        self.assertEqual([2], self.list_bodies())

    def test_the_oldest_come_first(self):
        self.post_messages(*range(30))
        self.assertEqual(list(range(20)), base.bodies(self.pop(20)))
        self.assertEqual(list(range(20, 30)), base.bodies(self.pop(100)))
        self.assertEqual([], self.pop(1))

    def test_a_missing_queue_gives_none(self):
        self.assertEqual([], self.pop(1, queue='nowhere'))
        self.assertEqual(([], None), self.queue_page())

    def test_claimed_messages_stay(self):
        self.post_messages(1, 2)
        self.claim(limit=1)
        self.assertEqual([2], base.bodies(self.pop()))
        self.assertEqual((1, 0, 1), self.counts())

    def test_one_s_own_messages_are_popped(self):
        self.post_messages(1, client=base.CONSUMER)
        self.assertEqual([1], base.bodies(self.pop()))

    @tables.each(
        ('zero', '0'),
        ('negative', '-1'),
        ('above the bound', '101'),
        ('a word', 'all'),
        ('a fraction', '1.5'),
        ('true', 'true'),
    )
    def test_the_count_cannot_be(self, count):
        self.post_messages(1)
        self.assert_refused(self.delete(f'/queues/demo/messages?pop={count}', status=400))
        self.assertEqual((0, 1, 1), self.counts())

    def test_pop_and_ids_exclude_each_other(self):
        [path] = self.post_messages(1)
        answer = self.delete(f'/queues/demo/messages?pop=1&ids={base.id_of(path)}', status=400)
        self.assert_refused(answer, '"ids"', '"pop"')
        self.assertEqual((0, 1, 1), self.counts())


class TestNoPopInV1(base.ApiTestCase):
    version = '1'

    def test_there_is_none(self):
        self.make_queue()
        self.post_messages(1)
        self.assert_refused(self.delete('/queues/demo/messages?pop=1', status=400), 'Missing parameter')
        self.assertEqual((0, 1, 1), self.counts())


class TestDeleteUnderClaimsOnly(base.ApiTestCase):
    limits = {'message_delete_with_claim_id': True}

    def test_one_message_needs_its_claim(self):
        [path] = self.post_messages(1)
        self.assert_refused(self.delete(path, status=400), 'claim_id')
        _, [message] = self.claim()
        self.delete(message['href'], status=204)

    def test_several_messages_need_their_claims(self):
        first, second = self.post_messages(1, 2)
        self.assert_refused(self.delete_many(first, status=400), 'claim_ids')
        claim, _ = self.claim(limit=1)
        self.delete_many(first, second, claims=[claim], status=403)
        self.assertEqual((1, 1, 2), self.counts())
        self.delete_many(first, claims=[claim])
        self.assertEqual((0, 1, 1), self.counts())


def without_count(message):
    return {name: value for name, value in message.items() if name != 'claim_count'}
