"""Mail to a real server on this machine: what arrives, what is refused, and what cannot be smuggled in."""

import email.utils
import json
import socket
import threading
import time

import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from queueservice.delivery import base, mail
from queueservice.model import deliveries
from tests.fixtures import certificates, mail_server, tables

_BODY = '{"body":{"text":"Grüße 😀"},"queue_name":"demo"}'

_FIELDS = {
    'MIME-Version', 'Content-Type', 'Content-Transfer-Encoding',
    'From', 'To', 'Subject', 'Date', 'Message-ID', 'Auto-Submitted',
}  # fmt: skip


def push(target='mailto:somebody@example.org', body=_BODY, **fields):
    fields = {'delivery_id': f'{"a" * 24}-{"b" * 24}', 'sent_at': 1_700_000_000.0} | fields
    return base.Push(target, body.encode(), **fields)


def sender(port, security='none', **rules):
    rules = {'smtp_host': '127.0.0.1', 'smtp_port': port, 'sender': 'Queues <queues@example.com>'} | rules
    return mail.Mail(deliveries.Rules(smtp_security=security, **rules), certificates.for_client())


class TestMail(tables.Tables, testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = mail_server.MailServer()
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        super().setUp()
        self.server.received.clear()
        self.server.envelopes.clear()

    def deliver(self, *arguments, **fields):
        """What is sent, as it arrives."""
        result = sender(self.server.port).send(push(*arguments, **fields))
        self.assertEqual(base.Result(ok=True, status=250), result)
        [received] = self.server.received
        fields = self.server.envelopes[0].original_content.partition(b'\r\n\r\n')[0]
        names = {line.partition(b':')[0].decode() for line in fields.splitlines() if not line.startswith(b' ')}
        self.assertLessEqual(names - {'Reply-To'}, _FIELDS)
        return received

    def test_a_notification_arrives_as_it_is(self):
        received = self.deliver()
        self.assertEqual(json.loads(_BODY), json.loads(received.get_content()))
        self.assertEqual('text/plain', received.get_content_type())
        self.assertEqual(
            {
                'From': 'Queues <queues@example.com>',
                'To': 'somebody@example.org',
                'Subject': 'Message of a queue',
                'Message-ID': f'<{"a" * 24}-{"b" * 24}@example.com>',
                'Auto-Submitted': 'auto-generated',
            },
            {name: received[name] for name in ('From', 'To', 'Subject', 'Message-ID', 'Auto-Submitted')},
        )
        self.assertEqual(1_700_000_000, email.utils.parsedate_to_datetime(received['Date']).timestamp())
        self.assertNotIn('Reply-To', received)
        [envelope] = self.server.envelopes
        self.assertEqual(('queues@example.com', ['somebody@example.org']), (envelope.mail_from, envelope.rcpt_tos))

    def test_bodies_may_be_long_and_have_lines_of_their_own(self):
        body = json.dumps({'body': ['.', '..', 'From me', 'é' * 200_000]}, indent=0, ensure_ascii=False)
        self.assertEqual(json.loads(body), json.loads(self.deliver(body=body).get_content()))
        for line in self.server.envelopes[0].original_content.splitlines():
            self.assertLess(len(line), 999)

    def test_options_give_the_subject_and_where_answers_go(self):
        received = self.deliver(options={'subject': 'Grüße', 'from': 'Me & You <me@example.net>'})
        self.assertEqual('Grüße', received['Subject'])
        self.assertEqual('me@example.net', received['Reply-To'])
        self.assertEqual('Queues <queues@example.com>', received['From'])

    def test_people_are_asked_in_the_words_of_the_service(self):
        received = self.deliver(
            text=('Please confirm', 'Grüße\n'), options={'subject': 'You have won', 'from': 'me@example.net'}
        )
        self.assertEqual(('Please confirm', 'Grüße\n'), (received['Subject'], received.get_content()))
        self.assertNotIn('Reply-To', received)

    @tables.each(
        ('line ends', 'a\r\nBcc: victim@example.org\r\n\r\nBuy this'),
        ('a line feed', 'a\nBcc: victim@example.org'),
        ('a carriage return', 'a\rBcc: victim@example.org'),
        ('a folded line', 'a\r\n Bcc: victim@example.org'),
        ('line ends of other alphabets', 'a\u2028Bcc: victim@example.org\u2029\x85b\x0b\x0c'),
        ('a nul', 'a\0b'),
        ('half of a character', 'a\ud800b'),
        ('an encoded word', '=?utf-8?q?a=0D=0ABcc:_victim@example.org?='),
        ('much', 'a' * 100_000),
        ('a number', 7),
        ('nothing', ''),
        ('a list', ['a']),
    )
    def test_no_option_smuggles_in(self, text):
        received = self.deliver(options={'subject': text, 'from': text})
        self.assertEqual({'somebody@example.org'}, set(self.server.envelopes[0].rcpt_tos))
        self.assertNotIn('Reply-To', received)
        self.assertEqual(json.loads(_BODY), json.loads(received.get_content()))
        self.assertLess(len(received['Subject']), 300)
        self.assertTrue(received['Subject'].isprintable())

    @tables.each(
        ('two', 'a@example.org, b@example.org'),
        ('a name alone', 'Somebody'),
        ('a group', 'undisclosed:a@example.org;'),
        ('a route', '<@a.example.org:b@example.org>'),
        ('a quoted name', '"a b"@example.org'),
        ('a field', 'a@example.org?bcc=b@example.org'),
    )
    def test_answers_go_to_no_such_address_as(self, address):
        self.assertNotIn('Reply-To', self.deliver(options={'from': address}))

    @tables.each(
        ('two', 'mailto:a@example.org,b@example.org'),
        ('a field', 'mailto:a@example.org?bcc=b@example.org'),
        ('a line end', 'mailto:a@example.org\r\nRCPT TO:<b@example.org>'),
        ('an escaped line end', 'mailto:a@example.org%0D%0ARCPT%20TO:%3Cb@example.org%3E'),
        ('a blank', 'mailto:a@example.org b'),
        ('a parameter of smtp', 'mailto:a@example.org>%20ORCPT=b'),
        ('an encoded word', 'mailto:=%3Futf-8%3Fq%3Fa=0D=0ABcc=3A_b=40example.org%3F=@example.org'),
        ('nobody', 'mailto:'),
        ('another scheme', 'https://example.org/'),
    )
    def test_nothing_is_sent_to(self, target):
        result = sender(self.server.port, subscriber_types=('mailto',)).send(push(target))
        self.assertEqual(base.Result(ok=False, sent=False, error='address'), result)
        self.assertEqual([], self.server.envelopes)

    @settings(max_examples=20, deadline=None)
    @given(st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}", fullmatch=True).filter(lambda name: '=?' not in name))
    def test_every_mailbox_is_reached(self, name):
        self.server.envelopes.clear()
        escaped = ''.join(f'%{ord(letter):02X}' for letter in name)
        self.assertTrue(sender(self.server.port).send(push(f'mailto:x{escaped[:180]}@example.org')).ok)
        self.assertEqual([f'x{name[:60]}@example.org'], self.server.envelopes[0].rcpt_tos)

    @tables.each(
        ('a mailbox that is full', 'refuse-452', 452, True),
        ('a mailbox that is not there', 'refuse-550', 550, False),
        ('a mail that it cannot take now', 'data-451', 451, True),
        ('a mail that it will not take', 'data-554', 554, False),
    )
    def test_the_server_refuses(self, name, status, retry):
        result = sender(self.server.port).send(push(f'mailto:{name}@example.org'))
        self.assertEqual(base.Result(ok=False, retry=retry, status=status, error='mail'), result)
        self.assertEqual([], self.server.received)

    def test_there_is_no_starttls_although_it_is_wanted(self):
        result = sender(self.server.port, 'starttls').send(push())
        self.assertEqual(base.Result(ok=False, retry=True, error='mail'), result)
        self.assertEqual([], self.server.received)

    def test_there_is_no_login_although_it_is_wanted(self):
        result = sender(self.server.port, smtp_user_name='me', smtp_user_password='secret').send(push())
        self.assertEqual(base.Result(ok=False, retry=True, error='mail'), result)


class TestTls(tables.Tables, testtools.TestCase):
    @tables.each(('from the start', 'tls'), ('after a while', 'starttls'))
    def test_it_is_used(self, security):
        context = certificates.for_server()
        options = {'ssl_context': context} if security == 'tls' else {'tls_context': context, 'require_starttls': True}
        with mail_server.MailServer(**options) as server:
            self.assertTrue(sender(server.port, security).send(push()).ok)
            self.assertEqual(1, len(server.received))
            stranger = mail.Mail(deliveries.Rules(smtp_host='127.0.0.1', smtp_port=server.port, smtp_security=security))
            self.assertEqual(base.Result(ok=False, retry=True, error='tls'), stranger.send(push()))
            self.assertEqual(1, len(server.received))

    def test_who_logs_in_does_so_under_it(self):
        with mail_server.MailServer(
            tls_context=certificates.for_server(), auth_required=True, authenticator=mail_server.authenticate
        ) as server:
            user = {'smtp_user_name': mail_server.USER}
            known = sender(server.port, 'starttls', smtp_user_password='secret', **user)
            self.assertEqual(base.Result(ok=False, retry=True, status=535, error='mail'), known.send(push()))
            self.assertEqual(530, sender(server.port, 'starttls').send(push()).status)
            self.assertEqual([], server.received)
            known = sender(server.port, 'starttls', smtp_user_password=mail_server.PASSWORD, **user)
            self.assertEqual(base.Result(ok=True, status=250), known.send(push()))


class TestTroubles(tables.Tables, testtools.TestCase):
    def test_without_a_server_nothing_is_sent(self):
        off = mail.Mail(deliveries.Rules())
        self.assertEqual(base.Result(ok=False, sent=False, error='mail_off'), off.send(push()))
        self.assertEqual('', off.site('mailto:a@example.org'))

    def test_all_mail_loads_one_server(self):
        self.assertEqual('127.0.0.1', sender(25).site('mailto:a@example.org'))

    def test_nobody_listens(self):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            result = sender(unused.getsockname()[1]).send(push())
        self.assertEqual(base.Result(ok=False, retry=True, error='connection'), result)

    def test_there_is_no_such_name(self):
        result = sender(25, smtp_host=f'{"a" * 64}.invalid').send(push())
        self.assertEqual((False, True), (result.ok, result.retry))

    @tables.each(
        ('does not greet', (b'',)),
        ('greets one byte at a time', (b'2',)),
        ('greets without end', (b'220-a\r\n' * 100,)),
        ('falls silent', (b'220 a\r\n', b'250 a\r\n', b'250 a\r\n')),
        ('falls silent behind the mail', (b'220 a\r\n', b'250 a\r\n', b'250 a\r\n', b'250 a\r\n', b'354 a\r\n')),
    )
    def test_time_is_up_where_the_server(self, replies):
        with mail_server.say(*replies, hang=threading.Event()) as port:
            begun = time.monotonic()
            result = sender(port, timeout=0.1).send(push())
            self.assertEqual(base.Result(ok=False, retry=True, error='timeout'), result)
            self.assertLess(time.monotonic() - begun, 20)

    @tables.each(
        ('hangs up', (b'',), base.Result(ok=False, retry=True, error='connection')),
        ('speaks another language', (b'HTTP/1.1 400 Bad Request\r\n',), base.Result(False, True, error='mail')),
        ('takes no mail today', (b'421 a\r\n',), base.Result(False, True, status=421, error='mail')),
        ('takes no mail from us', (b'554 a\r\n',), base.Result(False, True, status=554, error='mail')),
        (
            'does not take the sender',
            (b'220 a\r\n', b'250 a\r\n', b'553 a\r\n'),
            base.Result(False, False, status=553, error='mail'),
        ),
    )
    def test_the_server(self, replies, result):
        with mail_server.say(*replies) as port:
            self.assertEqual(result, sender(port).send(push()))

    def test_who_takes_no_leave_has_taken_the_mail(self):
        class Rude(mail_server.MailServer):
            async def handle_QUIT(self, server, session, envelope):
                server.transport.abort()
                return '221 Bye'

        with Rude() as server:
            self.assertEqual(base.Result(ok=True, status=250), sender(server.port).send(push()))

    def test_the_sender_may_have_a_name_in_any_letters(self):
        with mail_server.MailServer() as server:
            sender(server.port, sender='Grüße <queues@example.com>').send(push())
        self.assertEqual('Grüße <queues@example.com>', server.received[0]['From'])
