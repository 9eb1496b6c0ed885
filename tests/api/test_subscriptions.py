"""Subscriptions: made, listed, changed, confirmed and ended."""

import base64

import msgspec

from queueservice.model import captures, deliveries, limits, queues, quotas
from queueservice.storage import errors, records, tables
from queueservice.storage import messages as store
from tests.api import base, test_shares
from tests.fixtures import drivers, faulty, services
from tests.fixtures import tables as cases

_PATH = '/queues/demo/subscriptions'
_HOOK = 'https://example.org/hook'


class SubscriptionsTestCase(base.ApiTestCase):
    rules = deliveries.Rules()

    def setUp(self):
        super().setUp()
        self.use(services.Service(self.make_driver(), limits=limits.Limits(**self.limits), delivery=self.rules))

    def ask(self, document, status=201, **options):
        return self.post(_PATH, document, status=status, **options)

    def queue(self, name='demo'):
        return self.service.services.queues.load(queues.QueueKey(queues.PROJECT, base.PROJECT, name))

    def subscribers(self, name='demo'):
        """Whom a post is delivered to."""
        queue = self.queue(name)
        return list(queue.subscribers) if queue else []

    def sent(self, subscription_id):
        """The kinds of what waits in the lane of a subscription."""
        lane = self.service.services.queues.load(deliveries.lane_key(base.PROJECT, subscription_id))
        page = self.service.driver.messages.select(lane, store.Selection(limit=100), self.clock())
        return [msgspec.json.decode(message.body, type=deliveries.Entry).kind for message in page.messages]

    def stored(self, table):
        """All records of a table, read as they are."""
        return self.service.driver.records.find(table, records.Query(limit=1000)).records

    def clear_away(self):
        while self.service.services.housekeeping.sweep():
            pass

    def assert_nothing_left(self):
        """Nothing is stored any more that belongs to a subscription."""
        self.clear_away()
        self.assertEqual([], self.stored(tables.SUBSCRIPTIONS))
        self.assertEqual([], self.stored(tables.LANES))
        self.assertEqual([], [one for one in self.stored(tables.QUEUES) if one['name'].startswith('lane-')])
        self.assertEqual([], [one for queue in self.stored(tables.QUEUES) for one in queue['subscribers']])


class TestMaking(SubscriptionsTestCase):
    def test_it_answers_with_an_id_and_a_secret(self):
        answer = self.ask({'subscriber': _HOOK, 'ttl': 600, 'options': {'post_data': 'x'}})
        self.assertEqual(f'/v2{_PATH}', answer.headers['Location'])
        self.assertEqual({'subscription_id', 'secret'}, set(answer.json))
        self.assertRegex(answer.json['subscription_id'], '^[0-9a-f]{24}$')
        kind, _, secret = answer.json['secret'].partition('_')
        self.assertEqual(('whsec', 32), (kind, len(base64.b64decode(secret, validate=True))))
        self.clock.advance(5)
        self.assertEqual(
            {
                'id': answer.json['subscription_id'],
                'source': 'demo',
                'subscriber': _HOOK,
                'ttl': 600,
                'age': 5,
                'options': {'post_data': 'x'},
                'confirmed': True,
                'delivery': {
                    'state': 'closed',
                    'failures': 0,
                    'last_at': None,
                    'last_status': None,
                    'last_error': None,
                    'next_at': None,
                },
                'bucket_key': captures.bucket_key(base.PROJECT, 'demo'),
            },
            self.subscription(answer.json['subscription_id']),
        )

    def test_it_makes_its_queue(self):
        one = self.subscribe(_HOOK)
        self.assertEqual(['demo'], [queue['name'] for queue in self.queue_page()[0]])
        self.assertEqual([one], self.subscribers())

    def test_it_lives_as_long_as_the_operator_says_by_default(self):
        self.assertEqual(3600, self.subscription(self.subscribe(_HOOK))['ttl'])

    def test_there_is_one_for_each_subscriber_of_a_queue(self):
        self.subscribe(_HOOK)
        for same in (_HOOK, 'HTTPS://EXAMPLE.org:443/hook', 'https://example.org./hook'):
            answer = self.ask({'subscriber': same}, status=409)
            self.assertEqual(f'/v2{_PATH}', answer.headers['Location'])
            self.assert_refused(answer, 'exists')
        self.subscribe('https://example.org/hook2')
        self.subscribe('http://example.org/hook')
        self.subscribe(_HOOK, queue='other')
        self.subscribe(_HOOK, project='project-2')
        self.assertEqual(3, len(self.subscription_page()[0]))

    def test_a_subscriber_may_come_again_when_he_has_left_or_his_time_is_over(self):
        one = self.subscribe(_HOOK, ttl=60)
        self.delete(f'{_PATH}/{one}', status=204)
        two = self.subscribe(_HOOK, ttl=60)
        self.clock.advance(60)
        three = self.subscribe(_HOOK, ttl=60)
        self.assertEqual(3, len({one, two, three}))
        self.assertEqual([three], [each['id'] for each in self.subscription_page()[0]])

    def test_unknown_fields_are_passed_over_and_unknown_options_kept(self):
        answer = self.ask({'subscriber': _HOOK, 'colour': 'red', 'options': {'trust_id': None, 'colour': [1, {}]}})
        shown = self.subscription(answer.json['subscription_id'])
        self.assertEqual({'trust_id': None, 'colour': [1, {}]}, shown['options'])
        self.assertNotIn('colour', shown)

    def test_secrets_differ_and_are_never_shown_again(self):
        secrets = [self.ask({'subscriber': f'{_HOOK}/{number}'}).json['secret'] for number in range(3)]
        self.assertEqual(3, len(set(secrets)))
        self.assertNotIn('whsec', self.get(_PATH).text)

    @cases.each(
        ('http', 'http://example.org:8080/a?b=c'), ('https', _HOOK), ('mailto', 'mailto:a@example.org'),
        ('queue', 'queue:other'),
    )  # fmt: skip
    def test_a_subscriber_can_have_the_scheme(self, uri):
        self.assertEqual(uri, self.subscription(self.subscribe(uri))['subscriber'])


class TestRefused(SubscriptionsTestCase):
    """What cannot be is refused before anything is made."""

    @cases.each(
        ('nothing', b'', 'can not be empty'),
        ('malformed', b'{"subscriber"', 'body could not be parsed'),
        ('a list', b'[]', 'Subscriptions must be a dict.'),
        ('null', b'null', 'Subscriptions must be a dict.'),
        ('a text', b'"https://example.org/"', 'Subscriptions must be a dict.'),
        ('deep', b'{"subscriber":"https://e.org/","options":' + b'{"a":' * 70 + b'1' + b'}' * 71, 'nested too deeply'),
        ('no number', b'{"subscriber":"https://e.org/","options":{"a":1e400}}', 'out of range'),
        ('large', b'{"subscriber":"https://e.org/","options":{"a":"%b"}}' % (b'x' * 65536), 'too large'),
    )
    def test_a_document_cannot_be(self, raw, words):
        self.assert_refused(self.ask(raw, status=400), words)
        self.assertEqual(([], None), self.queue_page())

    @cases.each(
        ('without a subscriber', {}, 'Missing parameter'),
        ('null', {'subscriber': None}, '"subscriber" must be a string'),
        ('a number', {'subscriber': 1}, '"subscriber" must be a string'),
        ('empty', {'subscriber': ''}, 'must be supported in the list', '"http:"', '"mailto:"'),
        ('another scheme', {'subscriber': 'ftp://example.org/'}, 'must be supported in the list'),
        ('a script', {'subscriber': 'javascript:alert(1)'}, 'must be supported in the list'),
        ('a trust', {'subscriber': 'trust+https://example.org/'}, 'must be supported in the list', 'trusts'),
        ('a private address', {'subscriber': 'http://10.0.0.1/'}, 'not public'),
        ('this machine', {'subscriber': 'http://127.1/'}, 'not public'),
        ('with a user', {'subscriber': 'https://a:b@example.org/'}, 'user name'),
        ('with a low port', {'subscriber': 'https://example.org:25/'}, 'port'),
        ('with a line break', {'subscriber': 'https://example.org/\r\nX-A: 1'}, 'control characters'),
        ('long', {'subscriber': 'https://example.org/' + 'a' * 2048}, '2048'),
        ('mail with a header', {'subscriber': 'mailto:a@example.org?bcc=b@example.org'}, 'header fields'),
        ('a queue that is none', {'subscriber': 'queue:a/b'}, 'queue:name'),
        ('the queue itself', {'subscriber': 'queue:demo'}, 'another queue'),
    )
    def test_a_subscriber_cannot_be(self, document, *words):
        self.assert_refused(self.ask(document, status=400), *words)
        self.assertEqual(([], None), self.queue_page())

    @cases.each(
        ('null', b'null', 'TTL must be an integer'),
        ('true', b'true', 'TTL must be an integer'),
        ('a text', b'"60"', 'TTL must be an integer'),
        ('a fraction', b'60.5', 'TTL must be an integer'),
        ('zero', b'0', 'at least 60'),
        ('minus one', b'-1', 'at least 60'),
        ('59', b'59', 'at least 60'),
        ('for ever', b'3153600001', 'may not be greater than 3153600000'),
        ('two to the 64th', b'18446744073709551616', 'TTL'),
    )
    def test_a_ttl_cannot_be(self, value, words):
        answer = self.ask(b'{"subscriber":"%b","ttl":%b}' % (_HOOK.encode(), value), status=400)
        self.assert_refused(answer, words)
        self.assertEqual(([], None), self.queue_page())
        one = self.subscribe(_HOOK)
        self.assert_refused(self.patch(f'{_PATH}/{one}', b'{"ttl":%b}' % value, status=400), words)
        self.assertEqual(3600, self.subscription(one)['ttl'])

    @cases.each(
        ('null', None, 'Options must be a dict.'),
        ('a list', [], 'Options must be a dict.'),
        ('a text', 'x', 'Options must be a dict.'),
        ('a policy that is none', {'_retry_policy': 1}, 'options._retry_policy'),
        ('a policy with null', {'_retry_policy': {'minimum_delay': None}}, 'options._retry_policy.minimum_delay'),
        ('a policy out of order', {'_retry_policy': {'minimum_delay': 25}}, 'options._retry_policy.maximum_delay'),
        ('headers that are none', {'post_headers': ['X-A']}, 'options.post_headers'),
        ('the host', {'post_headers': {'Host': 'internal'}}, 'Host'),
        ('the length', {'post_headers': {'content-length': '0'}}, 'content-length'),
        ('a coding', {'post_headers': {'Transfer-Encoding': 'chunked'}}, 'Transfer-Encoding'),
        ('a connection', {'post_headers': {'Connection': 'close'}}, 'Connection'),
        ('a signature', {'post_headers': {'webhook-id': 'x'}}, 'webhook-id'),
        ('a header with a colon', {'post_headers': {'X-A: 1\r\nX-B': 'x'}}, 'options.post_headers'),
        ('a header with a line break', {'post_headers': {'X-A': 'a\r\nX-B: 1'}}, 'X-A'),
        ('a header that is a number', {'post_headers': {'X-A': 1}}, 'X-A'),
        ('a header twice', {'post_headers': {'X-A': '1', 'x-a': '2'}}, 'twice'),
        ('33 headers', {'post_headers': {f'X-{number}': '1' for number in range(33)}}, '32'),
        ('a long header', {'post_headers': {'X-A': 'a' * 4097}}, '4096'),
        ('data that are no text', {'post_data': {'a': 1}}, 'options.post_data'),
        ('a sender that is no text', {'from': 1}, 'options.from'),
        ('a sender with a line break', {'from': 'a@b.c\nBcc: d@e.f'}, 'options.from'),
        ('a subject with a line break', {'subject': 'a\u2028b'}, 'options.subject'),
        ('a long subject', {'subject': 'a' * 257}, 'options.subject'),
    )
    def test_options_cannot_be(self, options, words):
        self.assert_refused(self.ask({'subscriber': _HOOK, 'options': options}, status=400), words)
        self.assertEqual(([], None), self.queue_page())
        one = self.subscribe(_HOOK)
        self.assert_refused(self.patch(f'{_PATH}/{one}', {'options': options}, status=400), words)
        self.assertEqual({}, self.subscription(one)['options'])

    def test_only_v2_has_them(self):
        one = self.subscribe(_HOOK)
        for self.version in ('1', '1.1'):
            self.post(_PATH, {'subscriber': 'https://example.org/2'}, status=404)
            for path in (_PATH, f'{_PATH}/{one}'):
                self.get(path, status=404)

    def test_what_is_not_there_is_404(self):
        self.subscribe(_HOOK)
        one = self.subscribe(_HOOK, queue='other')
        for wrong in (one, 'f' * 24, 'x', '%00', '%ff', "'", 'F' * 24, one.upper(), 'a' * 3000):
            for method, path, body in (
                ('GET', '', b''),
                ('PATCH', '', b'{"ttl":60}'),
                ('PUT', '/confirm', b'{"confirmed":true}'),
                ('POST', '/secret', b''),
            ):
                self.request(method, f'{_PATH}/{wrong}{path}', body, status=404, lint=False)
            self.delete(f'{_PATH}/{wrong}', status=204, lint=False)
        self.assertEqual([one], self.subscribers('other'))


class TestAllowed(SubscriptionsTestCase):
    rules = deliveries.Rules(subscriber_types=('https',))

    def test_only_schemes_that_the_operator_allows_are_taken(self):
        self.ask({'subscriber': _HOOK})
        for uri in ('http://example.org/', 'mailto:a@example.org', 'queue:other'):
            self.assert_refused(self.ask({'subscriber': uri}, status=400), 'must be supported in the list "https:"')


class TestListing(SubscriptionsTestCase):
    def make(self, count):
        ids = []
        for number in range(count):
            ids.append(self.subscribe(f'{_HOOK}/{count - number}'))
            self.clock.advance(0.001)
        return ids

    def walk(self, href):
        found = []
        while href:
            page, href = self.subscription_page(href)
            found.append([one['id'] for one in page])
        return found

    def test_they_are_listed_in_the_order_in_which_they_were_made(self):
        ids = self.make(25)
        self.assertEqual([ids[:10], ids[10:20], ids[20:], []], self.walk(_PATH))
        self.assertEqual([ids[:20], ids[20:], []], self.walk(f'{_PATH}?limit=20'))

    def test_a_marker_stays_good_when_its_subscription_is_gone(self):
        ids = self.make(4)
        self.delete(f'{_PATH}/{ids[1]}')
        self.clear_away()
        self.assertEqual([ids[2:], []], self.walk(f'{_PATH}?marker={ids[1]}'))

    def test_there_are_none_of_a_queue_that_is_empty_or_missing(self):
        self.make_queue('empty')
        for name in ('empty', 'none'):
            self.assertEqual(([], None), self.subscription_page(queue=name))

    def test_what_has_ended_is_not_listed(self):
        ids = self.make(2)
        self.patch(f'{_PATH}/{ids[0]}', {'ttl': 60})
        self.clock.advance(60)
        self.assertEqual([[ids[1]], []], self.walk(_PATH))
        self.get(f'{_PATH}/{ids[0]}', status=404)

    def test_links_repeat_what_was_asked(self):
        ids = self.make(2)
        _, href = self.subscription_page(f'{_PATH}?limit=1&x=y')
        self.assertEqual(f'/v2{_PATH}?limit=1&x=y&marker={ids[0]}', href)

    @cases.each(('0', '0'), ('101', '101'), ('a word', 'ten'))
    def test_a_limit_cannot_be(self, limit):
        self.assert_refused(self.get(f'{_PATH}?limit={limit}', status=400))

    def test_a_project_in_the_url_is_in_the_links(self):
        self.make(1)
        page = self.get(f'/{base.PROJECT}{_PATH}', project=base.ABSENT).json
        self.assertTrue(page['links'][0]['href'].startswith(f'/v2/{base.PROJECT}{_PATH}?marker='))


class TestChanging(SubscriptionsTestCase):
    def setUp(self):
        super().setUp()
        self.mine = self.subscribe(_HOOK, {'subject': 'old'}, ttl=600)
        self.one = f'{_PATH}/{self.mine}'

    def change(self, document, status=204):
        return self.patch(self.one, document, status=status)

    def test_it_answers_with_its_path(self):
        self.assertEqual(f'/v2{self.one}', self.change({'ttl': 60}).headers['Location'])

    def test_a_ttl_counts_from_now(self):
        self.clock.advance(500)
        self.change({'ttl': 300})
        self.clock.advance(299)
        shown = self.subscription(self.mine)
        self.assertEqual((300, 299), (shown['ttl'], shown['age']))
        self.clock.advance(1)
        self.get(self.one, status=404)

    def test_without_a_ttl_its_life_goes_on(self):
        self.clock.advance(599)
        self.change({'options': {'subject': 'new'}})
        self.assertEqual({'subject': 'new'}, self.subscription(self.mine)['options'])
        self.clock.advance(1)
        self.get(self.one, status=404)

    def test_another_subscriber_takes_its_place(self):
        self.change({'subscriber': 'queue:other'})
        self.assertEqual('queue:other', self.subscription(self.mine)['subscriber'])
        self.assertEqual({'subject': 'old'}, self.subscription(self.mine)['options'])
        self.assertEqual([self.mine], self.subscribers())
        self.subscribe(_HOOK)

    def test_the_subscriber_of_another_is_a_conflict(self):
        self.subscribe('queue:other')
        self.assert_refused(self.change({'subscriber': 'queue:other'}, status=409), 'exists')
        self.assertEqual(_HOOK, self.subscription(self.mine)['subscriber'])
        self.change({'subscriber': _HOOK})

    def test_the_subscriber_of_one_whose_time_is_over_is_none(self):
        self.subscribe('queue:other', ttl=60)
        self.clock.advance(60)
        self.change({'subscriber': 'queue:other'})
        self.assertEqual('queue:other', self.subscription(self.mine)['subscriber'])

    @cases.each(
        ('nothing', b'', 'can not be empty'),
        ('a list', b'[]', 'Subscriptions must be a dict.'),
        ('an empty object', b'{}', 'No subscription to create.'),
        ('an unknown field', b'{"confirmed":true}', 'No subscription to create.'),
        ('no subscriber', b'{"subscriber":null}', '"subscriber"'),
        ('a bad subscriber', b'{"subscriber":"ftp://x"}', 'must be supported in the list'),
    )
    def test_it_is_not_changed_by(self, raw, words):
        before = self.get(self.one).json
        self.assert_refused(self.change(raw, status=400), words)
        self.assertEqual(before, self.get(self.one).json)

    def test_a_secret_can_be_changed_and_the_old_one_signs_for_a_day(self):
        subscriptions = self.service.services.subscriptions
        [old] = subscriptions.find(self.mine).secrets(self.clock())
        shown = self.post(f'{self.one}/secret', status=200).json['secret']
        new = base64.b64decode(shown.removeprefix('whsec_'))
        self.change({'ttl': 100_000})
        self.assertEqual((new, old), subscriptions.find(self.mine).secrets(self.clock()))
        self.clock.advance(86400)
        self.assertEqual((new,), subscriptions.find(self.mine).secrets(self.clock()))


class TestConfirming(SubscriptionsTestCase):
    """Where nobody has to confirm."""

    def confirm(self, subscription_id, confirmed, status=204):
        return self.put(f'{_PATH}/{subscription_id}/confirm', {'confirmed': confirmed}, status=status)

    def test_its_owner_ends_and_resumes_it(self):
        one = self.subscribe(_HOOK)
        answer = self.confirm(one, False)
        self.assertEqual(f'/v2{_PATH}/{one}', answer.headers['Location'])
        self.assertEqual(([], False), (self.subscribers(), self.subscription(one)['confirmed']))
        self.confirm(one, True)
        self.assertEqual(([one], True), (self.subscribers(), self.subscription(one)['confirmed']))
        self.assertEqual([], self.sent(one))

    def test_to_subscribe_again_resumes_it(self):
        one = self.subscribe(_HOOK)
        self.confirm(one, False)
        self.assertEqual({'subscription_id': one}, self.ask({'subscriber': _HOOK}).json)
        self.assertEqual([one], self.subscribers())

    @cases.each(
        ('nothing', b'', 'can not be empty'),
        ('a list', b'[]', 'must be a dict'),
        ('an empty object', b'{}', "The 'confirmed' should be boolean."),
        ('a number', b'{"confirmed":1}', "The 'confirmed' should be boolean."),
        ('a text', b'{"confirmed":"true"}', "The 'confirmed' should be boolean."),
        ('null', b'{"confirmed":null}', "The 'confirmed' should be boolean."),
    )
    def test_it_is_not_confirmed_by(self, raw, words):
        one = self.subscribe(_HOOK)
        self.assert_refused(self.put(f'{_PATH}/{one}/confirm', raw, status=400), words)


class Links:
    """Subscribers that follow the links that they were sent."""

    def link(self, subscription_id):
        """The headers that the subscriber is sent."""
        subscription = self.service.services.subscriptions.find(subscription_id)
        signed = self.service.services.links.sign(subscription)
        return {
            'URL-Signature': signed.signature,
            'URL-Paths': ','.join(signed.grant.paths),
            'URL-Methods': ','.join(signed.grant.methods),
            'URL-Expires': signed.grant.expires,
        }

    def follow(self, subscription_id, confirmed=True, status=204, link=None):
        headers = link or self.link(subscription_id)
        path = f'{_PATH}/{subscription_id}/confirm'
        return self.put(path, {'confirmed': confirmed}, headers=headers, status=status)

    def join(self, subscriber=_HOOK):
        """The id of a subscription that is confirmed."""
        one = self.subscribe(subscriber)
        self.follow(one)
        return one


class TestConfirmationRequired(Links, TestConfirming):
    """Only who is asked can say that he wants to be told."""

    rules = deliveries.Rules(require_confirmation=True, public_url='https://queues.example.org')

    def test_its_owner_ends_and_resumes_it(self):
        one = self.join()
        self.confirm(one, False)
        self.assertEqual(([], False), (self.subscribers(), self.subscription(one)['confirmed']))
        self.assert_refused(self.confirm(one, True, status=403), 'link')
        self.assertEqual([], self.subscribers())
        self.follow(one)
        self.assertEqual([one], self.subscribers())
        self.confirm(one, True)

    def test_to_subscribe_again_resumes_it(self):
        one = self.join()
        self.confirm(one, False)
        self.assertEqual({'subscription_id': one}, self.ask({'subscriber': _HOOK}).json)
        self.assertEqual([], self.subscribers())

    @cases.each(('http', 'http://example.org/'), ('https', _HOOK), ('mailto', 'mailto:a@example.org'))
    def test_it_begins_unconfirmed_and_asks_a_subscriber_of(self, uri):
        one = self.subscribe(uri)
        self.assertEqual(([], False), (self.subscribers(), self.subscription(one)['confirmed']))
        self.assertEqual(['confirmation'], self.sent(one))
        self.assert_refused(self.confirm(one, True, status=403), 'link')
        self.follow(one)
        self.assertEqual(([one], True), (self.subscribers(), self.subscription(one)['confirmed']))
        self.ask({'subscriber': uri}, status=409)

    def test_queues_need_not_confirm(self):
        one = self.subscribe('queue:other')
        self.assertEqual(([one], []), (self.subscribers(), self.sent(one)))
        self.confirm(one, False)
        self.confirm(one, True)
        self.assertEqual(([one], []), (self.subscribers(), self.sent(one)))

    def test_to_subscribe_again_asks_again_once_a_minute_and_changes_nothing(self):
        answer = self.ask({'subscriber': _HOOK})
        one = answer.json['subscription_id']
        self.clock.advance(60)
        again = {'subscriber': _HOOK, 'ttl': 60, 'options': {'subject': 'new'}}
        for _ in range(3):
            self.assertEqual({'subscription_id': one}, self.ask(again).json)
        self.assertEqual(['confirmation'] * 2, self.sent(one))
        shown = self.subscription(one)
        self.assertEqual((3600, {}, False), (shown['ttl'], shown['options'], shown['confirmed']))

    def test_who_leaves_is_told_how_to_come_back(self):
        one = self.join()
        self.follow(one, False)
        self.follow(one, False)
        self.assertEqual(['confirmation', 'farewell'], self.sent(one))
        self.follow(one)
        self.assertEqual([one], self.subscribers())

    def test_who_never_was_there_is_not_told(self):
        one = self.subscribe(_HOOK)
        self.follow(one, False)
        self.assertEqual(['confirmation'], self.sent(one))

    def test_another_subscriber_confirms_anew(self):
        one = self.join()
        link = self.link(one)
        self.clock.advance(60)
        self.patch(f'{_PATH}/{one}', {'subscriber': 'https://example.org/new'})
        self.assertEqual(([], False), (self.subscribers(), self.subscription(one)['confirmed']))
        self.assertEqual(['confirmation'] * 2, self.sent(one))
        self.follow(one, link=link, status=404)
        self.follow(one)
        self.assertEqual([one], self.subscribers())

    def test_the_same_subscriber_spelled_otherwise_does_not(self):
        one = self.join()
        self.patch(f'{_PATH}/{one}', {'subscriber': 'HTTPS://example.org:443/hook'})
        self.assertEqual([one], self.subscribers())
        self.assertEqual('HTTPS://example.org:443/hook', self.subscription(one)['subscriber'])

    def test_a_link_confirms_no_other(self):
        one, other = self.subscribe(_HOOK), self.subscribe('https://example.org/other')
        self.follow(other, link=self.link(one), status=404)
        self.assertEqual([], self.subscribers())

    def test_a_share_does_not_confirm(self):
        one = self.subscribe(_HOOK)
        wanted = {'paths': ['subscriptions'], 'methods': ['GET', 'PUT', 'POST', 'PATCH', 'DELETE']}
        share = test_shares.headers_of(self.post('/queues/demo/share', wanted).json)
        self.follow(one, link=share, status=404)
        self.assertEqual([], self.subscribers())


class TestSharing(SubscriptionsTestCase):
    def test_a_share_opens_subscriptions_but_confirms_none(self):
        wanted = {'paths': ['subscriptions'], 'methods': ['GET', 'PUT', 'POST', 'PATCH', 'DELETE']}
        share = {'headers': test_shares.headers_of(self.post('/queues/demo/share', wanted).json)}
        one = self.subscribe(_HOOK, **share)
        self.assertEqual([one], [each['id'] for each in self.subscription_page(**share)[0]])
        self.patch(f'{_PATH}/{one}', {'ttl': 60}, **share)
        self.put(f'{_PATH}/{one}/confirm', {'confirmed': False}, status=404, **share)
        self.delete(f'{_PATH}/{one}', **share)
        self.subscribe(_HOOK, queue='other')
        self.get('/queues/other/subscriptions', status=404, **share)


class TestEnding(SubscriptionsTestCase):
    def setUp(self):
        super().setUp()
        self.ids = [self.subscribe(f'{_HOOK}/{number}') for number in range(3)]

    def test_deleted_ones_are_gone_at_once(self):
        self.delete(f'{_PATH}/{self.ids[1]}', status=204)
        self.delete(f'{_PATH}/{self.ids[1]}', status=204)
        self.get(f'{_PATH}/{self.ids[1]}', status=404)
        self.assertEqual([self.ids[0], self.ids[2]], self.subscribers())
        self.assertIsNone(self.service.services.subscriptions.find(self.ids[1]))

    def test_nothing_of_them_stays(self):
        for one in self.ids:
            self.delete(f'{_PATH}/{one}')
        self.assert_nothing_left()

    def test_nothing_stays_of_those_whose_time_is_over(self):
        self.patch(f'{_PATH}/{self.ids[0]}', {'ttl': 7200})
        self.clock.advance(3600)
        self.assertEqual([self.ids[0]], [one['id'] for one in self.subscription_page()[0]])
        self.clear_away()
        self.assertEqual([self.ids[0]], self.subscribers())
        self.clock.advance(3600)
        self.assert_nothing_left()

    def test_a_purge_ends_them(self):
        self.post_messages('kept')
        self.post('/queues/demo/purge', {'resource_types': ['subscriptions']}, status=204)
        self.assertEqual(([], None), self.subscription_page())
        self.assertEqual(['kept'], self.list_bodies())
        self.assert_nothing_left()

    def test_a_purge_of_messages_leaves_them(self):
        self.post('/queues/demo/purge', {'resource_types': ['messages']}, status=204)
        self.assertEqual(self.ids, self.subscribers())

    def test_a_purge_without_a_body_ends_them(self):
        self.post('/queues/demo/purge', status=204)
        self.assertEqual([], self.subscribers())
        self.post('/queues/none/purge', status=204)

    @cases.each(('v1', '1'), ('v1.1', '1.1'), ('v2', '2'))
    def test_they_end_with_their_queue_in(self, version):
        self.version = version
        self.delete('/queues/demo', status=204)
        self.version = '2'
        self.make_queue()
        self.assertEqual(([], None), self.subscription_page())
        for one in self.ids:
            self.get(f'{_PATH}/{one}', status=404)
        self.subscribe(f'{_HOOK}/0')
        self.delete('/queues/demo', status=204)
        self.assert_nothing_left()

    def test_hundreds_of_them_end_with_their_queue(self):
        for number in range(3, 230):
            self.subscribe(f'{_HOOK}/{number}')
        self.delete('/queues/demo', status=204)
        self.assert_nothing_left()

    def test_a_queue_without_any_costs_a_few_reads_more(self):
        self.make_queue('plain')
        self.delete('/queues/plain', status=204)
        self.assertEqual(3, len(self.subscription_page()[0]))


class TestQuota(SubscriptionsTestCase):
    def limit(self, most):
        self.use(services.Service(drivers.build_memory(), limits=limits.Limits(project=quotas.Quotas(**most))))

    def test_a_queue_has_no_more_than_it_may_have(self):
        self.limit({'subscriptions_per_queue': 2})
        one = self.subscribe(f'{_HOOK}/1')
        self.subscribe(f'{_HOOK}/2', ttl=60)
        answer = self.ask({'subscriber': _HOOK}, status=403)
        self.assertEqual('Quota exceeded', answer.json['title'])
        self.assert_refused(answer, '"subscriptions_per_queue" is 2', 'Delete subscriptions')
        self.subscribe(_HOOK, queue='other')
        self.delete(f'{_PATH}/{one}')
        self.subscribe(f'{_HOOK}/3')
        self.ask({'subscriber': _HOOK}, status=403)
        self.clock.advance(60)
        self.subscribe(_HOOK)

    def test_who_is_there_may_subscribe_again(self):
        self.limit({'subscriptions_per_queue': 1})
        one = self.subscribe(_HOOK)
        self.put(f'{_PATH}/{one}/confirm', {'confirmed': False})
        self.ask({'subscriber': _HOOK})

    def test_it_makes_no_queue_where_there_are_enough(self):
        self.limit({'queues': 1})
        self.make_queue('other')
        self.assert_refused(self.ask({'subscriber': _HOOK}, status=403), '"queues"')
        self.subscribe(_HOOK, queue='other')


class TestDelivery(SubscriptionsTestCase):
    def test_it_shows_how_it_stands_with_the_way_to_the_subscriber(self):
        one = self.subscribe(_HOOK)
        lane = self.service.services.lanes.find([one])[one]
        now = self.clock()
        changed = msgspec.structs.replace(
            lane,
            failures=5,
            opened_at=now - 10,
            rests_until=now + 20,
            last_at=now - 10,
            last_status=503,
            last_error='status',
        )
        self.service.driver.records.replace(tables.LANES, [msgspec.structs.asdict(changed)])
        expected = {
            'state': 'open',
            'failures': 5,
            'last_at': '2023-11-14T22:13:10Z',
            'last_status': 503,
            'last_error': 'status',
            'next_at': '2023-11-14T22:13:40Z',
        }
        self.assertEqual(expected, self.subscription(one)['delivery'])
        self.clock.advance(20)
        self.assertEqual(expected | {'next_at': None}, self.subscription_page()[0][0]['delivery'])


class CutOffTestCase(SubscriptionsTestCase):
    """Whatever is cut off at whatever call of the storage can be done again, and leaves nothing behind."""

    def make_driver(self):
        return faulty.Driver()

    def start(self, prepare):
        self.use(services.Service(self.make_driver(), delivery=self.rules))
        self.driver = self.service.driver
        self.mine = prepare() if prepare else None
        self.driver.calls.clear()

    def cut(self, act, check, prepare=None):
        """Cut `act` off at each of its calls, before and after it was done; do it again; then let `check` look."""
        self.start(prepare)
        act()
        calls = len(self.driver.calls)
        self.assertGreater(calls, 1)
        check()
        for late in (False, True):
            for number in range(1, calls + 1):
                for again in (False, True):
                    self.start(prepare)
                    self.driver.fail(on_call=number, late=late)
                    self.assertEqual(503, act(status=base.ANY).status_int)
                    self.driver.heal()
                    self.assert_whole()
                    if again:
                        self.assertIn(act(status=base.ANY).status_int, (201, 204, 409))
                        check()
                    self.clear_away()
                    self.assert_whole()

    def assert_whole(self):
        """Whoever is shown as confirmed is delivered to, and has a lane."""
        if self.queue() is None:
            return
        shown = self.subscription_page()[0]
        confirmed = {one['id'] for one in shown if one['confirmed']}
        self.assertLessEqual(confirmed, set(self.subscribers()))
        self.assertLessEqual(confirmed, {lane['id'] for lane in self.stored(tables.LANES)})
        self.assertLessEqual(len(shown), 1)

    def only(self):
        """The one subscription that there is."""
        [one] = self.subscription_page()[0]
        return one

    def make(self, status=201):
        return self.ask({'subscriber': _HOOK}, status=status)

    def end(self, status=204):
        return self.delete(f'{_PATH}/{self.mine}', status=status)

    def end_all(self, status=204):
        return self.post('/queues/demo/purge', {'resource_types': ['subscriptions']}, status=status)

    def end_queue(self, status=204):
        return self.delete('/queues/demo', status=status)


class TestCutOff(CutOffTestCase):
    def test_making_one(self):
        self.cut(self.make, lambda: self.assertEqual([self.only()['id']], self.subscribers()))

    def test_deleting_one(self):
        self.cut(self.end, self.assert_nothing_left, self.subscribe)

    def test_purging(self):
        self.cut(self.end_all, self.assert_nothing_left, self.subscribe)

    def test_deleting_the_queue(self):
        self.cut(self.end_queue, self.assert_nothing_left, self.subscribe)

    def test_leaving(self):
        self.cut(
            lambda status=204: self.put(f'{_PATH}/{self.mine}/confirm', {'confirmed': False}, status=status),
            lambda: self.assertEqual(([], False), (self.subscribers(), self.only()['confirmed'])),
            self.subscribe,
        )

    def test_clearing_away(self):
        def prepare():
            one = self.subscribe()
            self.subscribe('https://example.org/other', ttl=60)
            self.delete(f'{_PATH}/{one}')
            self.clock.advance(60)

        self.start(prepare)
        self.clear_away()
        calls = len(self.driver.calls)
        for late in (False, True):
            for number in range(1, calls + 1):
                self.start(prepare)
                self.driver.fail(on_call=number, late=late)
                self.assertRaises(errors.Unavailable, self.clear_away)
                self.driver.heal()
                self.assert_nothing_left()


class TestCutOffWhereConfirmationIsRequired(Links, CutOffTestCase):
    rules = deliveries.Rules(require_confirmation=True, public_url='https://queues.example.org')

    def test_making_one(self):
        def check():
            self.assertEqual(False, self.only()['confirmed'])
            self.assertEqual(['confirmation'], self.sent(self.only()['id']))
            self.follow(self.only()['id'])
            self.assertEqual([self.only()['id']], self.subscribers())

        self.cut(self.make, check)

    def test_confirming_one(self):
        def prepare():
            one = self.subscribe()
            self.headers = self.link(one)
            return one

        self.cut(
            lambda status=204: self.follow(self.mine, status=status, link=self.headers),
            lambda: self.assertEqual(([self.mine], True), (self.subscribers(), self.only()['confirmed'])),
            prepare,
        )

    def test_leaving(self):
        def prepare():
            one = self.join()
            self.headers = self.link(one)
            return one

        self.cut(
            lambda status=204: self.follow(self.mine, False, status=status, link=self.headers),
            lambda: self.assertEqual(([], ['confirmation', 'farewell']), (self.subscribers(), self.sent(self.mine))),
            prepare,
        )

    def test_changing_the_subscriber(self):
        self.cut(
            lambda status=204: self.patch(
                f'{_PATH}/{self.mine}', {'subscriber': 'https://example.org/2'}, status=status
            ),
            lambda: self.assertEqual(([], ['confirmation'] * 2), (self.subscribers(), self.sent(self.mine))),
            self.join,
        )


class Crowded(faulty.Driver):
    """Somebody else comes in between: `interlude` is called before the call of that number, counted from one."""

    interlude = None
    number = 0

    def call(self, verb, function, *arguments, **options):
        if self.interlude is not None:
            self.number -= 1
            if self.number == 0:
                interlude, self.interlude = self.interlude, None
                interlude()
        return super().call(verb, function, *arguments, **options)


class TestAtTheSameTime(Links, CutOffTestCase):
    """Whatever somebody else does between two calls of the storage, nothing contradicts itself in the end."""

    rules = deliveries.Rules(require_confirmation=True, public_url='https://queues.example.org')

    def make_driver(self):
        return Crowded()

    def meet(self, act, other, check, prepare=None):
        """Let `other` be done before each call of `act`."""
        self.start(prepare)
        act()
        for number in range(1, len(self.driver.calls) + 1):
            self.start(prepare)
            self.driver.number, self.driver.interlude = number, other
            self.assertIn(act(status=base.ANY).status_int, (201, 204, 404))
            self.assertIsNone(self.driver.interlude)
            check()

    def clear(self, act):
        """`act`, and everything is cleared away at once."""

        def act_and_clear():
            act()
            self.clear_away()

        return act_and_clear

    def prepare(self):
        one = self.subscribe()
        self.headers = self.link(one)
        return one

    def confirm(self, status=204):
        return self.follow(self.mine, status=status, link=self.headers)

    def decline(self, status=204):
        return self.follow(self.mine, False, status=status, link=self.headers)

    def assert_agreed(self):
        """The record of the queue names it exactly if it is confirmed, or neither is so."""
        stored = self.service.services.subscriptions.find(self.mine)
        self.assertEqual(self.only()['confirmed'], stored.confirmed)
        self.assertEqual([self.mine] if stored.confirmed else [], self.subscribers())

    def test_confirming_and_deleting(self):
        self.meet(self.confirm, self.clear(self.end), self.assert_nothing_left, self.prepare)

    def test_confirming_and_deleting_the_queue(self):
        self.meet(self.confirm, self.clear(self.end_queue), self.assert_nothing_left, self.prepare)

    def test_confirming_and_purging(self):
        self.meet(self.confirm, self.clear(self.end_all), self.assert_nothing_left, self.prepare)

    def test_confirming_and_declining(self):
        self.meet(self.confirm, self.decline, self.assert_agreed, self.prepare)
        self.meet(self.decline, self.confirm, self.assert_agreed, self.prepare)

    def test_making_and_deleting_the_queue(self):
        def check():
            self.assert_whole()
            self.delete('/queues/demo')
            self.assert_nothing_left()

        self.meet(self.make, self.clear(self.end_queue), check)

    def test_changing_and_deleting(self):
        def change(status=204):
            return self.patch(f'{_PATH}/{self.mine}', {'subscriber': 'queue:other'}, status=status)

        self.meet(change, self.clear(self.end), self.assert_nothing_left, self.prepare)

    def test_two_of_the_same_are_one(self):
        def check():
            self.clear_away()
            self.assertEqual([self.only()['id']], [one['id'] for one in self.stored(tables.SUBSCRIPTIONS)])
            self.assertEqual([self.only()['id']], [one['id'] for one in self.stored(tables.LANES)])

        self.meet(self.make, self.make, check)
