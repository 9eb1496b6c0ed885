"""What subscribers are asked, and how often."""

import shlex
import urllib.parse

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.model import deliveries, queues
from queueservice.services import confirmations
from queueservice.storage import records
from queueservice.storage import tables as stored
from tests.fixtures import clock, drivers, subscriptions, tables

_PUBLIC = 'https://queues.example.org'


def split_command(text):
    """The words of the command in a mail, as a shell reads it."""
    return shlex.split(text[text.index('curl') :].replace(' \\\n', ' '))


class ConfirmationsTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = drivers.build_memory()
        self.links = bootstrap.build_services(self.driver, clock=self.clock).links

    def confirmations(self, **rules):
        return confirmations.Confirmations(self.driver, self.links, deliveries.Rules(**rules))


class TestRequests(ConfirmationsTestCase):
    def build(self, subscription, kind=deliveries.CONFIRMATION, **rules):
        body, text = self.confirmations(**rules).build(subscription, kind, self.clock())
        return msgspec.json.decode(body), text

    def test_a_program_reads_the_link_in_its_fields(self):
        subscription = subscriptions.build()
        body, text = self.build(subscription, public_url=f'{_PUBLIC}/')
        self.assertIsNone(text)
        path = f'/v2/queues/demo/subscriptions/{subscription.id}/confirm'
        self.assertEqual(
            {
                'Message_Type': 'SubscriptionConfirmation',
                'Message': 'You have chosen to subscribe to the queue: demo',
                'WSGISubscribeURL': _PUBLIC + path,
                'URL-Signature': self.links.sign(subscription).signature,
                'URL-Methods': 'PUT',
                'URL-Paths': path,
                'X-Project-ID': 'project-1',
                'URL-Expires': '2023-11-14T23:13:20',
                'SubscribeBody': {'confirmed': True},
                'UnsubscribeBody': {'confirmed': False},
                'queue_name': 'demo',
                'subscription_id': subscription.id,
                'timestamp': '2023-11-14T22:13:20Z',
            },
            body,
        )

    def test_a_farewell_has_the_same_fields(self):
        asked, _ = self.build(subscriptions.build(), public_url=_PUBLIC)
        farewell, _ = self.build(subscriptions.build(), deliveries.FAREWELL, public_url=_PUBLIC)
        self.assertEqual(set(asked), set(farewell))
        self.assertEqual('UnsubscribeConfirmation', farewell['Message_Type'])
        self.assertIn('unsubscribed', farewell['Message'])

    def test_without_a_public_url_the_path_says_where(self):
        body, _ = self.build(subscriptions.build())
        self.assertNotIn('WSGISubscribeURL', body)

    def test_mail_leads_to_the_page_of_the_operator(self):
        subscription = subscriptions.build(
            'mailto:a@example.org', queue=queues.QueueKey(queues.PROJECT, 'é & ü', 'demo')
        )
        for page in ('https://pages.example.org/confirm', 'https://pages.example.org/?do=confirm'):
            body, (subject, text) = self.build(subscription, external_confirmation_url=page, public_url=_PUBLIC)
            self.assertEqual('Confirm your subscription to the queue demo', subject)
            self.assertNotIn('curl', text)
            [link] = [line for line in text.splitlines() if line.startswith(page)]
            values = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))
            values.pop('do', None)
            self.assertEqual(
                {
                    'Signature': body['URL-Signature'],
                    'Methods': 'PUT',
                    'Paths': body['URL-Paths'],
                    'Project': 'é & ü',
                    'Expires': body['URL-Expires'],
                    'Url': body['WSGISubscribeURL'],
                    'Queue': 'demo',
                },
                values,
            )

    def test_mail_without_such_a_page_has_a_command(self):
        subscription = subscriptions.build('mailto:a@example.org')
        body, (_, text) = self.build(subscription, public_url=_PUBLIC)
        words = split_command(text)
        self.assertEqual(['curl', '-X', 'PUT', body['WSGISubscribeURL']], words[:4])
        self.assertIn(f'URL-Signature: {body["URL-Signature"]}', words)
        self.assertEqual({'confirmed': True}, msgspec.json.decode(words[-1]))

    def test_no_project_breaks_out_of_the_command(self):
        project = "'; touch /tmp/x; echo $(id) `id` \\"
        key = queues.QueueKey(queues.PROJECT, project, 'demo')
        _, (_, text) = self.build(subscriptions.build('mailto:a@example.org', queue=key), public_url=_PUBLIC)
        words = split_command(text)
        self.assertEqual(4 + 2 * 7 + 2, len(words))
        self.assertIn(f'X-Project-Id: {project}', words)

    def test_a_farewell_by_mail_says_so(self):
        _, (subject, text) = self.build(
            subscriptions.build('mailto:a@example.org'), deliveries.FAREWELL, public_url=_PUBLIC
        )
        self.assertEqual('You have unsubscribed from the queue demo', subject)
        self.assertIn('2023-11-14 23:13:20', text)


class TestPauses(tables.Tables, ConfirmationsTestCase):
    def ask(self, *subscribers, seconds=0):
        now = self.clock() + seconds
        asked = self.confirmations(allowed_networks=('127.0.0.0/8',))
        return [asked.may_ask(subscriptions.build(subscriber), now) for subscriber in subscribers]

    @tables.each(
        ('a URL', 'https://example.org/hook', 'https://example.org/hook'),
        ('a URL with another query', 'https://example.org/hook?a=1', 'https://example.org/hook?b=2'),
        ('a URL in other letters', 'HTTPS://Example.ORG:443/hook', 'https://example.org./hook'),
        ('an address in other digits', 'http://127.0.0.1:8000/', 'http://0x7f.1:8000'),
        ('a mailbox in other letters', 'mailto:Some.One@Example.org', 'mailto:some.one@example.org'),
        ('a mailbox with a tag', 'mailto:one+a@example.org', 'mailto:one+b@example.org'),
        ('what is no address', 'gopher://x', 'gopher://x'),
    )
    def test_once_a_minute_is_asked(self, one, other):
        self.assertEqual([None, 60.0], self.ask(one, other))
        self.assertEqual([15.0], self.ask(other, seconds=45))
        self.assertEqual([None, 60.0], self.ask(other, one, seconds=60))

    def test_others_are_asked_meanwhile(self):
        everybody = ('https://example.org/a', 'https://example.org/b', 'http://example.org/a', 'mailto:a@example.org')
        self.assertEqual([None] * 4, self.ask(*everybody))

    def test_an_address_is_not_kept_in_clear(self):
        self.ask('mailto:someone@example.org')
        self.assertNotIn('someone', str(self.driver.records.find(stored.CONFIRMATIONS, records.Query()).records))

    def test_a_clock_that_ran_ahead_makes_nobody_wait_for_longer(self):
        self.ask('https://example.org/', seconds=1000)
        self.assertEqual([60], self.ask('https://example.org/'))
