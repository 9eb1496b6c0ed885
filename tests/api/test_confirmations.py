"""Confirmation: subscribers say that they want to be one, by the link that they were sent and by nothing else."""

import json
import pathlib
import re
import textwrap
import threading
from wsgiref import simple_server

from queueservice import bootstrap
from queueservice.model import deliveries, queues, signatures
from tests.api import base, test_identity, test_shares
from tests.fixtures import drivers, services, tables

_PAGE = pathlib.Path(__file__).parents[2] / 'doc' / 'source' / 'user' / 'confirming.rst'
_HEADERS = ('URL-Signature', 'URL-Methods', 'URL-Paths', 'URL-Expires', 'X-Project-ID')
_RULES = deliveries.Rules(require_confirmation=True, public_url='https://queues.example.org')
_YES, _NO = {'confirmed': True}, {'confirmed': False}


class ConfirmationsTestCase(base.ApiTestCase):
    settings = {'delivery': _RULES}
    #: What tenants send beside the rest.
    token: dict = {}

    def subscribe(self, subscriber='https://receiver.example/hook', **fields):
        """The path of a new subscription."""
        document = {'subscriber': subscriber, 'ttl': 3600, **fields}
        answer = self.post('/queues/demo/subscriptions', document, headers=self.token, status=201)
        return f'{self.path}/queues/demo/subscriptions/{answer.json["subscription_id"]}'

    def asked(self, path, kind=deliveries.CONFIRMATION):
        """What its subscriber is sent."""
        subscription = self.service.services.subscriptions.find(base.id_of(path))
        body, _ = self.service.services.confirmations.build(subscription, kind, self.clock())
        return json.loads(body)

    def link(self, path, **others):
        """The headers that its subscriber answers with."""
        asked = self.asked(path)
        return {name: asked[name] for name in _HEADERS} | others

    def answer(self, path, said, link, status, **options):
        return self.put(f'{path}/confirm', said, headers=link, project=base.ABSENT, status=status, **options)

    def is_confirmed(self, path):
        return self.get(path, headers=self.token, status=200).json['confirmed']


class TestTurnedOff(ConfirmationsTestCase):
    """The operator asks nobody any more."""

    def setUp(self):
        super().setUp()
        self.waiting = [self.subscribe(f'https://receiver.example/{number}') for number in range(120)]
        self.declined = self.subscribe('https://declined.example/')
        self.gone = self.subscribe('https://gone.example/')
        self.answer(self.declined, _NO, self.link(self.declined), 204)
        self.delete(self.gone)
        driver = self.service.services.driver
        self.after = bootstrap.build_services(driver, clock=self.clock)

    def sweep(self, services):
        for _ in range(10):
            services.housekeeping.sweep()

    def test_those_who_were_waiting_take_part(self):
        self.sweep(self.after)
        self.assertEqual([True] * 120, [self.is_confirmed(path) for path in self.waiting])
        self.assertFalse(self.is_confirmed(self.declined))
        self.get(self.gone, status=404)
        self.assertEqual(120, len(self.after.queues.load(self.key()).subscribers))

    def test_while_they_are_asked_they_do_not(self):
        self.sweep(self.service.services)
        self.assertEqual([False] * 120, [self.is_confirmed(path) for path in self.waiting])

    def test_one_who_declines_meanwhile_stays_out(self):
        path = self.waiting[0]
        self.answer(path, _YES, self.link(path), 204)
        self.answer(path, _NO, self.link(path), 204)
        self.sweep(self.after)
        self.assertFalse(self.is_confirmed(path))

    def key(self):
        return queues.QueueKey(queues.PROJECT, base.PROJECT, 'demo')


class TestLinks(ConfirmationsTestCase):
    def test_one_confirms(self):
        path = self.subscribe()
        self.assertFalse(self.is_confirmed(path))
        answer = self.answer(path, _YES, self.link(path), 204)
        self.assertEqual(path, answer.headers['Location'])
        self.assertTrue(self.is_confirmed(path))

    def test_it_declines_and_confirms_again(self):
        path = self.subscribe()
        link = self.link(path)
        for said in (_YES, _NO, _YES, _YES, _NO, _NO):
            self.answer(path, said, link, 204)
            self.assertEqual(said['confirmed'], self.is_confirmed(path))

    def test_a_farewell_holds_one_too(self):
        path = self.subscribe()
        self.answer(path, _NO, self.link(path), 204)
        farewell = self.asked(path, deliveries.FAREWELL)
        self.answer(path, farewell['SubscribeBody'], {name: farewell[name] for name in _HEADERS}, 204)
        self.assertTrue(self.is_confirmed(path))

    def test_mail_holds_one_too(self):
        path = self.subscribe('mailto:somebody@example.org')
        self.answer(path, _YES, self.link(path), 204)
        self.assertTrue(self.is_confirmed(path))

    def test_a_link_of_an_earlier_address_is_worthless(self):
        path = self.subscribe()
        old = self.link(path)
        self.answer(path, _YES, old, 204)
        self.patch(path, {'subscriber': 'https://victim.example/'}, headers=self.token, status=204)
        self.assertFalse(self.is_confirmed(path))
        for said in (_YES, _NO):
            self.answer(path, said, old, 404)
        self.assertFalse(self.is_confirmed(path))
        self.answer(path, _YES, self.link(path), 204)
        self.assertTrue(self.is_confirmed(path))

    def test_even_when_the_address_comes_back(self):
        path = self.subscribe()
        old = self.link(path)
        for subscriber in ('https://other.example/', 'https://receiver.example/hook'):
            self.patch(path, {'subscriber': subscriber}, headers=self.token, status=204)
        self.answer(path, _YES, old, 404)

    def test_it_ends_with_the_life_that_it_was_made_for(self):
        path = self.subscribe(ttl=60)
        link = self.link(path)
        self.patch(path, {'ttl': 3600}, headers=self.token, status=204)
        self.clock.advance(59)
        self.answer(path, _YES, link, 204)
        self.clock.advance(1)
        self.answer(path, _NO, link, 404)
        self.answer(path, _NO, self.link(path), 204)

    def test_it_may_lie_further_ahead_than_a_share(self):
        path = self.subscribe(ttl=10 * signatures.MAX_LIFE)
        link = self.link(path)
        self.clock.advance(9 * signatures.MAX_LIFE)
        self.answer(path, _YES, link, 204)

    def test_it_ends_with_its_subscription(self):
        path = self.subscribe()
        link = self.link(path)
        self.delete(path, headers=self.token, status=204)
        self.answer(path, _YES, link, 404)
        self.subscribe()
        self.answer(path, _YES, link, 404)

    def test_it_ends_with_its_queue(self):
        path = self.subscribe()
        link = self.link(path)
        self.delete('/queues/demo', headers=self.token, status=204)
        self.subscribe()
        self.answer(path, _YES, link, 404)

    def test_it_opens_nothing_else(self):
        path = self.subscribe()
        link = self.link(path)
        other = self.subscribe('https://receiver.example/other')
        for method, asked in (
            ('GET', path), ('PATCH', path), ('DELETE', path), ('PUT', path), ('POST', f'{path}/secret'),
            ('GET', f'{path}/confirm'), ('POST', f'{path}/confirm'), ('DELETE', f'{path}/confirm'),
            ('PUT', f'{other}/confirm'), ('PUT', f'{path}/confirm/'), ('PUT', f'{path}/confirm/confirm'),
            ('GET', '/queues/demo/subscriptions'), ('POST', '/queues/demo/subscriptions'), ('GET', '/queues/demo'),
            ('GET', '/queues'), ('PUT', '/queues/other'), ('POST', '/queues/demo/share'),
        ):  # fmt: skip
            self.request(method, asked, _YES, headers=link, project=base.ABSENT, status=404)
        self.assertFalse(self.is_confirmed(other))

    @tables.each(
        ('a signature', {'URL-Signature': '0' * 64}),
        ('a project', {'X-Project-ID': 'project-2'}),
        ('an expiry', {'URL-Expires': '2099-01-01T00:00:00'}),
        ('methods', {'URL-Methods': 'GET,PUT'}),
        ('the path of a share', {'URL-Paths': '/v2/queues/demo/subscriptions'}),
        ('no path', {'URL-Paths': ''}),
    )
    def test_it_is_404_with_other(self, other):
        path = self.subscribe()
        refused = self.answer(path, _YES, self.link(path, **other), 404)
        share = {'URL-Signature': '1' * 64}
        self.assertEqual(self.get('/queues', headers=share, status=404).json, refused.json)
        self.assertFalse(self.is_confirmed(path))

    def test_its_paths_and_others_do_not_mix(self):
        path = self.subscribe()
        other = self.subscribe('https://receiver.example/other')
        link = self.link(path)
        both = ','.join(sorted((link['URL-Paths'], f'{other}/confirm')))
        self.answer(other, _YES, link | {'URL-Paths': both}, 404)
        self.answer(other, _YES, link | {'URL-Paths': f'{other}/confirm'}, 404)

    def test_a_project_in_the_url_is_the_same_or_404(self):
        path = self.subscribe()
        link = self.link(path)
        long = f'{self.path}/{{}}{path.removeprefix(self.path)}/confirm'
        self.put(long.format('project-2'), _YES, headers=link, project=base.ABSENT, status=404)
        self.put(long.format(base.PROJECT), _YES, headers=link, project=base.ABSENT, status=204)

    def test_no_header_makes_more_of_it(self):
        path = self.subscribe()
        self.answer(path, _YES, self.link(path, **{'X-Roles': 'admin', 'X-Auth-Token': 'x'}), 204)

    def test_no_share_confirms(self):
        path = self.subscribe()
        everything = {'paths': list(signatures.RESOURCES), 'methods': list(signatures.METHODS)}
        share = self.post('/queues/demo/share', everything, headers=self.token).json
        share = test_shares.headers_of(share)
        self.get(path, headers=share, status=200)
        for said in (_YES, _NO):
            for place in (f'{path}/confirm', f'{path}/confirm/'):
                self.put(place, said, headers=share, status=404)
        self.assertFalse(self.is_confirmed(path))

    def test_a_tenant_without_it_cannot_confirm(self):
        path = self.subscribe()
        self.put(f'{path}/confirm', _YES, headers=self.token, status=403)
        self.assertFalse(self.is_confirmed(path))


class TestLinksWithTokens(TestLinks):
    settings = {'delivery': _RULES, 'auth_strategy': 'tokens'}

    def setUp(self):
        super().setUp()
        self.token = {'X-Auth-Token': self.service.services.tokens.create(base.PROJECT, ['member'])[1]}


class TestLinksBesideKeystone(TestLinksWithTokens, test_identity.KeystoneTestCase):
    settings = {**test_identity.KeystoneTestCase.settings, 'delivery': _RULES}

    def test_keystone_is_not_asked(self):
        path = self.subscribe()
        link = self.link(path)
        self.issuer.is_down = True
        self.answer(path, _YES, link, 204)
        self.assertEqual([], self.issuer.asked)


class TestSecrets(ConfirmationsTestCase):
    def serve(self, driver, *secrets):
        self.use(services.Service(driver, signing_secrets=secrets, clock=self.clock, delivery=_RULES))

    def test_the_first_signs_and_each_is_good(self):
        driver = drivers.build_memory()
        self.serve(driver, b'old')
        path = self.subscribe()
        link = self.link(path)
        for secrets, status in (((b'new', b'old'), 204), ((b'new',), 404), ((), 404)):
            self.serve(driver, *secrets)
            self.answer(path, _YES, link, status)


class TestMailboxes(ConfirmationsTestCase):
    settings = {'delivery': deliveries.Rules(require_confirmation=True)}

    def test_they_cannot_be_asked_where_the_service_has_no_address(self):
        answer = self.post('/queues/demo/subscriptions', {'subscriber': 'mailto:a@example.org'}, status=400)
        self.assert_refused(answer, '"subscriber"', 'public_url')
        self.subscribe()

    def test_where_nobody_is_asked_they_are_welcome(self):
        self.use(services.Service(drivers.build_memory(), delivery=deliveries.Rules()))
        self.subscribe('mailto:a@example.org')

    def test_a_page_of_the_operator_will_do(self):
        rules = deliveries.Rules(require_confirmation=True, external_confirmation_url='https://pages.example.org/')
        self.use(services.Service(drivers.build_memory(), delivery=rules))
        self.subscribe('mailto:a@example.org')


class TestExample(ConfirmationsTestCase):
    """The receiver of the page for receivers."""

    def setUp(self):
        super().setUp()
        httpd = simple_server.make_server('127.0.0.1', 0, self.service.app, handler_class=_Quiet)
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(httpd.server_close)
        self.addCleanup(httpd.shutdown)
        [text] = re.findall(r':name: confirm\n\n(.*?)\n\n(?=\S)', _PAGE.read_text(), re.DOTALL)
        text = textwrap.dedent(text).replace('http://127.0.0.1:8888', f'http://127.0.0.1:{httpd.server_port}')
        self.example = {}
        exec(compile(text, str(_PAGE), 'exec'), self.example)

    def receive(self, path, kind, queues):
        self.example['answer'](json.dumps(self.asked(path, kind)).encode(), queues)

    def test_it_says_yes_to_what_is_wanted(self):
        path = self.subscribe()
        self.receive(path, deliveries.CONFIRMATION, {'demo'})
        self.assertTrue(self.is_confirmed(path))

    def test_it_says_no_to_what_is_not(self):
        path = self.subscribe()
        self.answer(path, _YES, self.link(path), 204)
        self.receive(path, deliveries.CONFIRMATION, {'orders'})
        self.assertFalse(self.is_confirmed(path))

    def test_it_takes_a_farewell_and_messages_as_they_are(self):
        path = self.subscribe()
        self.receive(path, deliveries.FAREWELL, {'demo'})
        self.example['answer'](b'{"Message_Type": "Notification", "body": 1}', {'demo'})
        self.assertFalse(self.is_confirmed(path))


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, format, *arguments):
        pass
