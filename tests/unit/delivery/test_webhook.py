import base64
import contextlib
import json
import os
import socket
import threading
import time
from unittest import mock

import standardwebhooks
import testtools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from queueservice.delivery import base, connections, guard, webhook
from queueservice.model import deliveries, subscribers
from tests.fixtures import certificates, raw_receiver, tables

LOOPBACK = ('127.0.0.0/8', '::1/128')
RULES = deliveries.Rules(allowed_networks=LOOPBACK, timeout=30)
NOW = 1_700_000_000.9
SECRET, OLD_SECRET = b's' * 32, b'o' * 32
BODY = b'{"ttl":60,"body":{"a":"\xc3\xbc"}}'


def push(target, **values):
    values = {'body': BODY, 'delivery_id': 'subscription-message', 'sent_at': NOW, 'secrets': (SECRET,), **values}
    return base.Push(target, **values)


def look_up(host, port, *arguments):
    """Every name is this machine's."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', port))]


def status(line, *headers, body=b''):
    lines = [f'HTTP/1.1 {line}', *headers, f'Content-Length: {len(body)}', '', '']
    return '\r\n'.join(lines).encode() + body


class Sending(tables.Tables, testtools.TestCase):
    def receiver(self, answer=raw_receiver.OK, **options):
        receiver = raw_receiver.Receiver(answer, **options)
        self.addCleanup(receiver.__exit__)
        return receiver.__enter__()

    def sender(self, rules=RULES, context=None, look_up=look_up):
        sender = webhook.Webhook(rules, context or certificates.for_client(), guard.Guard(rules, look_up))
        self.addCleanup(sender.close)
        return sender

    def hurried(self, **options):
        """A sender whose attempts end soon."""
        return self.sender(deliveries.Rules(allowed_networks=LOOPBACK, timeout=0.3), **options)


class TestRequest(Sending):
    def test_posts_the_body_with_its_headers(self):
        receiver = self.receiver()
        result = self.sender().send(push(f'http://RECEIVER.example:{receiver.port}/p%61th?q=\u00fc'))
        self.assertTrue(result.ok)
        self.assertTrue(result.sent)
        self.assertEqual(200, result.status)
        self.assertIsNone(result.error)
        (request,) = receiver.requests
        self.assertEqual('POST /p%61th?q=%C3%BC HTTP/1.1', request.line)
        self.assertEqual(BODY, request.body)
        self.assertEqual(f'receiver.example:{receiver.port}', request.headers['Host'])
        self.assertEqual('application/json', request.headers['Content-Type'])
        self.assertEqual('identity', request.headers['Accept-Encoding'])
        self.assertRegex(request.headers['User-Agent'], r'^queueservice/\d')
        self.assertEqual('subscription-message', request.headers['webhook-id'])
        self.assertEqual('1700000000', request.headers['webhook-timestamp'])

    def test_says_what_was_exchanged(self):
        receiver = self.receiver(status('202 Taken', 'X-Answer: a', body=b'thanks'))
        exchange = self.sender().send(push(receiver.url + 'a')).exchange
        (request,) = receiver.requests
        self.assertEqual(('POST', receiver.url + 'a', BODY), (exchange.method, exchange.url, exchange.request_body))
        self.assertEqual(request.headers, dict(exchange.request_headers))
        self.assertEqual((202, 'Taken'), (exchange.status, exchange.reason))
        self.assertIn(('X-Answer', 'a'), exchange.response_headers)
        self.assertEqual(b'thanks', exchange.response_body)
        self.assertFalse(exchange.truncated)
        self.assertTrue(exchange.internal)
        self.assertEqual(NOW, exchange.started_at)
        self.assertGreater(exchange.seconds, 0)

    def test_headers_of_the_subscription_come_on_top(self):
        receiver = self.receiver()
        headers = {'X-Source': 'a', 'authorization': 'Bearer b', 'content-type': 'text/plain'}
        self.sender().send(push(receiver.url, options={'post_headers': headers}))
        (request,) = receiver.requests
        self.assertEqual('a', request.headers['X-Source'])
        self.assertEqual('Bearer b', request.header('authorization'))
        self.assertEqual('text/plain', request.header('content-type'))
        self.assertNotIn('application/json', request.headers.values())

    @tables.each(
        ('another name', {'Host': 'a', 'X-A': 'b'}),
        ('a line break', {'X-A': 'a\r\nX-B: c'}),
        ('a lone line feed', {'X-A': 'a\nX-B: c'}),
        ('a line break in a name', {'X-A: a\r\nX-B': 'c'}),
        ('what frames the body', {'Transfer-Encoding': 'chunked'}),
        ('what signs', {'webhook-signature': 'v1,a'}),
        ('a letter beyond latin 1', {'X-A': '\u20ac'}),
        ('a number', {'X-A': 1}),
        ('no object', ['X-A: a']),
    )
    def test_headers_are_left_out_with(self, headers):
        receiver = self.receiver()
        self.assertTrue(self.sender().send(push(receiver.url, options={'post_headers': headers})).ok)
        (request,) = receiver.requests
        self.assertEqual(8, len(request.headers), request.headers)
        self.assertEqual(f'127.0.0.1:{receiver.port}', request.headers['Host'])

    def test_post_data_is_filled_with_what_was_posted(self):
        receiver = self.receiver()
        options = {'post_data': 'text="$zaqar_message$"&again="$zaqar_message$"'}
        self.sender().send(push(receiver.url, options=options))
        (request,) = receiver.requests
        self.assertEqual(b'text=' + BODY + b'&again=' + BODY, request.body)

    def test_requests_to_confirm_are_as_they_are(self):
        receiver = self.receiver()
        options = {'post_data': 'a', 'post_headers': {'Content-Type': 'text/plain', 'Authorization': 'b'}}
        self.sender().send(push(receiver.url, options=options, kind=deliveries.CONFIRMATION))
        (request,) = receiver.requests
        self.assertEqual(BODY, request.body)
        self.assertEqual('application/json', request.headers['Content-Type'])
        self.assertEqual('b', request.headers['Authorization'])

    @tables.each(
        ('is too long', '"$zaqar_message$"' * 50_000),
        ('is no text', {'a': 'b'}),
        ('is no unicode', '\ud800"$zaqar_message$"'),
    )
    def test_nothing_is_sent_where_post_data(self, template):
        receiver = self.receiver()
        result = self.sender().send(push(receiver.url, options={'post_data': template}))
        self.assertEqual((False, False, False, 'template'), (result.ok, result.retry, result.sent, result.error))
        self.assertEqual(0, receiver.connections)

    def test_proxies_of_the_environment_are_ignored(self):
        proxy, receiver = self.receiver(), self.receiver()
        variables = dict.fromkeys(('http_proxy', 'HTTP_PROXY', 'all_proxy', 'https_proxy'), proxy.url)
        with mock.patch.dict(os.environ, variables):
            self.assertTrue(self.sender().send(push(receiver.url)).ok)
        self.assertEqual((0, 1), (proxy.connections, receiver.connections))

    def test_redirects_are_not_followed(self):
        other = self.receiver()
        for line in ('301 Moved', '302 Found', '303 See Other', '307 Temporary Redirect', '308 Permanent Redirect'):
            receiver = self.receiver(status(line, f'Location: {other.url}'))
            result = self.sender().send(push(receiver.url))
            self.assertEqual((False, False, True), (result.ok, result.retry, result.sent))
            self.assertEqual('status', result.error)
        self.assertEqual(0, other.connections)

    def test_its_site_is_the_host(self):
        sender = self.sender()
        self.assertEqual('receiver.example', sender.site('https://Receiver.example.:8443/a'))
        self.assertEqual('8.8.8.8', sender.site('http://134744072'))
        self.assertEqual('ftp://a', sender.site('ftp://a'))


class TestSignature(Sending):
    def verify(self, receiver, secret):
        (request,) = receiver.requests
        key = 'whsec_' + base64.b64encode(secret).decode()
        with mock.patch('standardwebhooks.webhooks.datetime', wraps=standardwebhooks.webhooks.datetime) as clock:
            clock.now.return_value = standardwebhooks.webhooks.datetime.fromtimestamp(
                NOW, tz=standardwebhooks.webhooks.timezone.utc
            )
            return standardwebhooks.Webhook(key).verify(request.body, request.headers)

    def test_is_what_standard_webhooks_verify(self):
        receiver = self.receiver()
        self.sender().send(push(receiver.url))
        self.assertEqual(json.loads(BODY), self.verify(receiver, SECRET))
        self.assertRaises(standardwebhooks.WebhookVerificationError, self.verify, receiver, OLD_SECRET)

    def test_is_made_with_every_secret(self):
        receiver = self.receiver()
        self.sender().send(push(receiver.url, secrets=(SECRET, OLD_SECRET)))
        self.assertEqual(json.loads(BODY), self.verify(receiver, SECRET))
        self.assertEqual(json.loads(BODY), self.verify(receiver, OLD_SECRET))
        self.assertEqual(2, len(receiver.requests[0].headers['webhook-signature'].split(' ')))

    def test_is_over_the_body_as_it_is_sent(self):
        receiver = self.receiver()
        self.sender().send(push(receiver.url, options={'post_data': '{"text": "$zaqar_message$"}'}))
        self.assertEqual({'text': json.loads(BODY)}, self.verify(receiver, SECRET))

    def test_is_left_out_without_a_secret(self):
        receiver = self.receiver()
        self.sender().send(push(receiver.url, secrets=()))
        self.assertNotIn('webhook-signature', receiver.requests[0].headers)


class TestAnswers(Sending):
    @tables.each(
        ('200', '200 OK', True, False),
        ('204', '204 No Content', True, False),
        ('299', '299 Odd', True, False),
        ('304', '304 Not Modified', False, False),
        ('400', '400 Bad Request', False, False),
        ('401', '401 Unauthorized', False, False),
        ('404', '404 Not Found', False, False),
        ('408', '408 Request Timeout', False, True),
        ('410', '410 Gone', False, False),
        ('429', '429 Too Many Requests', False, True),
        ('500', '500 Internal Server Error', False, True),
        ('502', '502 Bad Gateway', False, True),
        ('503', '503 Service Unavailable', False, True),
        ('599', '599 Odd', False, True),
        ('600', '600 Odder', False, False),
        ('999', '999 Oddest', False, False),
        ('a status without a reason', '500', False, True),
    )
    def test_judges(self, line, ok, retry):
        receiver = self.receiver(status(line))
        result = self.sender().send(push(receiver.url))
        self.assertEqual((ok, retry, int(line[:3])), (result.ok, result.retry, result.status))
        self.assertEqual(None if ok else 'status', result.error)
        self.assertEqual(int(line[:3]), result.exchange.status)

    @tables.each(
        ('of seconds', '429 A', '120', 120),
        ('of seconds with 503', '503 A', ' 7 ', 7),
        ('of a date', '429 A', 'Tue, 14 Nov 2023 22:14:20 GMT', 59.1),
        ('of a date in the past', '429 A', 'Tue, 14 Nov 2023 22:00:00 GMT', 0),
        ('of nonsense', '429 A', 'soon', None),
        ('below zero', '429 A', '-5', None),
        ('of a fraction', '429 A', '1.5', None),
        ('of 400 digits', '429 A', '9' * 400, None),
        ('of other digits', '429 A', '\u00b2', None),
        ('of nothing', '429 A', '', None),
        ('with another status', '500 A', '120', None),
        ('with an answer that is final', '400 A', '120', None),
    )
    def test_reads_retry_after(self, line, value, expected):
        receiver = self.receiver(status(line, f'Retry-After: {value}'))
        found = self.sender().send(push(receiver.url)).retry_after
        self.assertEqual(expected, found if found is None else round(found, 3))

    @given(st.text(max_size=40) | st.from_regex(r'[A-Z][a-z]{2}, [0-9]{1,6} [A-Z][a-z]{2} [0-9]{1,6} [0-9:+-]{1,12}'))
    @example('Tue, 14 Nov 99999 22:14:20 GMT')
    @example('Tue, 14 Nov 0001 00:00:00 +2359')
    def test_no_retry_after_is_too_odd(self, value):
        found = webhook._retry_after((('retry-after', value),), NOW)
        self.assertTrue(found is None or found >= 0)

    def test_reads_little_of_a_long_answer(self):
        # It must not even wait for the rest.
        long = status('200 OK', body=b'a' * 200_000)
        receiver = self.receiver(lambda receiver, connection, request: connection.sendall(long))
        exchange = self.sender().send(push(receiver.url)).exchange
        self.assertEqual(200, exchange.status)
        self.assertTrue(exchange.truncated)
        self.assertLessEqual(len(exchange.response_body), connections.MAX_ANSWER)
        self.assertGreater(len(exchange.response_body), connections.MAX_ANSWER - 200)

    def test_an_answer_in_chunks_is_read(self):
        receiver = self.receiver(
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;a=b\r\nc\r\n0\r\n\r\n'
        )
        sender = self.sender()
        for _ in range(2):
            self.assertEqual(b'abc', sender.send(push(receiver.url)).exchange.response_body)
        self.assertEqual(1, receiver.connections)

    def test_an_answer_is_what_its_headers_say_however_its_body_ends(self):
        for answer in (
            b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n',
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-5\r\n',
            b'HTTP/1.0 200 OK\r\n\r\nabc',
            b'HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc',
            b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc',
        ):
            receiver = self.receiver(lambda _, connection, __, answer=answer: connection.sendall(answer) or False)
            result = self.sender().send(push(receiver.url))
            self.assertTrue(result.ok, answer)
            self.assertEqual(b'abc', result.exchange.response_body, answer)

    @tables.each(
        ('nothing', b'', 'connection'),
        ('an empty line', b'\r\n\r\n', 'response'),
        ('another protocol', b'SSH-2.0-OpenSSH_9.9\r\n', 'response'),
        ('a banner of mail', b'220 mail.example.org ESMTP\r\n', 'response'),
        ('no status', b'HTTP/1.1 abc\r\n\r\n', 'response'),
        ('a status below 100', b'HTTP/1.1 99 A\r\n\r\n', 'response'),
        ('another version', b'HTTP/9.9 200 OK\r\n\r\n', 'response'),
        ('zeros', bytes(4096), 'response'),
        ('a long line', b'HTTP/1.1 200 ' + b'a' * 70_000, 'response'),
        ('a long header', b'HTTP/1.1 200 OK\r\nA: ' + b'a' * 70_000, 'response'),
        ('many headers', b'HTTP/1.1 200 OK\r\n' + b'A: a\r\n' * 101 + b'\r\n', 'response'),
        ('long headers', b'HTTP/1.1 200 OK\r\n' + (b'A: ' + b'a' * 30_000 + b'\r\n') * 3 + b'\r\n', 'response'),
        ('interim answers for ever', b'HTTP/1.1 100 Continue\r\n\r\n' * 3000, 'response'),
    )
    def test_tries_again_after(self, answer, error):
        def script(receiver, connection, request):
            connection.sendall(answer)
            return False

        receiver = self.receiver(script)
        result = self.sender().send(push(receiver.url))
        self.assertEqual((False, True, error), (result.ok, result.retry, result.error))
        self.assertIsNone(result.status)
        self.assertIsNone(result.exchange.status)

    def test_no_answer_is_too_odd(self):
        answers = []
        receiver = self.receiver(lambda _, connection, __: connection.sendall(answers[-1]) or False)
        sender = self.sender()
        piece = st.sampled_from(
            [b'HTTP/1.1', b' ', b'200', b'\r\n', b'\n', b':', b'Content-Length', b'Transfer-Encoding', b'chunked',
             b'-1', b'0', b'\0', b'\xff', b'5', b'a', b'Connection: keep-alive\r\n', b'HTTP/1.1 200 OK\r\n', b'100']
        )  # fmt: skip

        @settings(max_examples=150, deadline=None)
        @given(st.lists(piece, max_size=20).map(b''.join) | st.binary(max_size=50))
        def check(answer):
            answers.append(answer)
            self.assertIn(sender.send(push(receiver.url)).error, (None, 'status', 'connection', 'response'))

        check()


class TestTime(Sending):
    """However a receiver spends it, an attempt ends."""

    def attempt(self, receiver, expected=(False, True, 'timeout'), **options):
        sender = self.hurried(**options)
        began = time.monotonic()
        result = sender.send(push(receiver.url))
        self.assertLess(time.monotonic() - began, 20)
        self.assertGreater(time.monotonic() - began, 0.25)
        self.assertEqual(expected, (result.ok, result.retry, result.error))
        return result

    def drip(self, first, byte=b'a'):
        def script(receiver, connection, request):
            connection.sendall(first)
            while not receiver.stopped.wait(0.02):
                connection.sendall(byte)

        return script

    def test_without_an_answer(self):
        self.attempt(self.receiver(lambda receiver, *_: receiver.stopped.wait() and False))

    def test_without_a_greeting(self):
        self.attempt(self.receiver(greet=False))

    def test_while_a_status_drips(self):
        self.attempt(self.receiver(self.drip(b'HTTP/1.1 200 ')))

    def test_while_a_header_drips(self):
        self.attempt(self.receiver(self.drip(b'HTTP/1.1 200 OK\r\nA: ')))

    def test_while_headers_drip(self):
        self.attempt(self.receiver(self.drip(b'HTTP/1.1 200 OK\r\n', b'A: a\r\n')))

    def test_while_interim_answers_drip(self):
        self.attempt(self.receiver(self.drip(b'', b'HTTP/1.1 100 Continue\r\n\r\n')))

    def test_while_a_body_drips(self):
        receiver = self.receiver(self.drip(b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n'))
        result = self.attempt(receiver, (True, False, None))
        self.assertEqual({ord('a')}, set(result.exchange.response_body))

    def test_while_chunks_drip(self):
        first = b'HTTP/1.1 503 A\r\nTransfer-Encoding: chunked\r\n\r\n'
        self.attempt(self.receiver(self.drip(first, b'1\r\na\r\n')), (False, True, 'status'))

    def test_while_trailers_drip(self):
        first = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n'
        self.attempt(self.receiver(self.drip(first, b'A: a\r\n')), (True, False, None))

    def test_while_tls_is_not_spoken(self):
        receiver = self.receiver(greet=False)
        receiver.url = f'https://127.0.0.1:{receiver.port}/'
        self.attempt(receiver)

    def test_while_a_handshake_drips(self):
        listener = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listener.close)

        def drip():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                connection.sendall(b'\x16\x03\x03\x3f\xff')  # a long record of a handshake follows
                while True:
                    connection.sendall(b'\x02')
                    time.sleep(0.02)

        threading.Thread(target=drip, daemon=True).start()
        self.attempt(mock.Mock(url=f'https://127.0.0.1:{listener.getsockname()[1]}/'))

    def test_while_tls_drips(self):
        receiver = self.receiver(self.drip(b'HTTP/1.1 200 OK\r\nA: '), context=certificates.for_server())
        self.attempt(receiver)

    def test_while_nothing_is_read(self):
        for context in (None, certificates.for_server()):
            reading = threading.Event()
            receiver = raw_receiver.Receiver(context=context)
            read = raw_receiver._read

            def wait(stream, number, read=read, reading=reading):
                reading.wait()
                return read(stream, number)

            with receiver, mock.patch.object(raw_receiver, '_read', wait):
                sender = self.hurried()
                began = time.monotonic()
                result = sender.send(push(receiver.url, body=b'a' * 30_000_000))
                self.assertEqual('timeout', result.error)
                self.assertLess(time.monotonic() - began, 20)
                reading.set()

    def test_while_a_name_is_looked_up(self):
        receiver = self.receiver()
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        receiver.url = f'http://hanging.example:{receiver.port}/'
        self.attempt(receiver, (False, True, 'dns'), look_up=lambda *_: hanging.wait())

    def test_while_no_connection_is_made(self):
        # The backlog is full, and nobody accepts.
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)
        for _ in range(3):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        self.attempt(mock.Mock(url=f'http://127.0.0.1:{listener.getsockname()[1]}/'))


class TestPlaces(Sending):
    def test_nothing_is_sent_to_what_is_refused(self):
        receiver = self.receiver()
        for target in (f'http://127.0.0.1:{receiver.port}/', f'http://inside.example:{receiver.port}/', 'ftp://a', ''):
            result = self.sender(deliveries.Rules()).send(push(target))
            self.assertEqual((False, False, False, 'address'), (result.ok, result.retry, result.sent, result.error))
        self.assertEqual(0, receiver.connections)

    def test_a_name_that_moves_inside_is_refused_though_a_connection_is_open(self):
        receiver = self.receiver()
        addresses = ['127.0.0.1']

        def moving(host, port, *arguments):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (address, port)) for address in addresses]

        sender = self.sender(look_up=moving)
        target = f'http://moving.example:{receiver.port}/'
        self.assertTrue(sender.send(push(target)).ok)
        addresses.append('10.0.0.1')
        self.assertEqual('address', sender.send(push(target)).error)
        addresses[:] = ['127.0.0.2']
        # Another address is another connection.
        self.assertEqual('connection', sender.send(push(target)).error)
        self.assertEqual(1, len(receiver.requests))

    def test_an_unknown_name_is_tried_again(self):
        def unknown(*arguments):
            raise socket.gaierror(socket.EAI_NONAME, 'unknown')

        result = self.sender(look_up=unknown).send(push('http://unknown.example/'))
        self.assertEqual((False, True, True, 'dns'), (result.ok, result.retry, result.sent, result.error))

    def test_a_closed_port_is_tried_again(self):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            port = listener.getsockname()[1]
        result = self.sender().send(push(f'http://127.0.0.1:{port}/'))
        self.assertEqual((False, True, 'connection'), (result.ok, result.retry, result.error))

    def test_the_next_address_is_tried(self):
        receiver = self.receiver()

        def two(host, port, *arguments):
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, '', ('::1', port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', port)),
            ]

        self.assertTrue(self.sender(look_up=two).send(push(f'http://two.example:{receiver.port}/')).ok)

    def test_ipv6_addresses_are_reached(self):
        with socket.create_server(('::1', 0), family=socket.AF_INET6) as listener:
            port = listener.getsockname()[1]

            def serve():
                connection, _ = listener.accept()
                with connection:
                    self.seen = connection.recv(65536)
                    connection.sendall(raw_receiver.OK)

            threading.Thread(target=serve, daemon=True).start()
            self.assertTrue(self.sender().send(push(f'http://[::1]:{port}/')).ok)
        self.assertIn(f'Host: [::1]:{port}\r\n'.encode(), self.seen)


class TestTls(Sending):
    def attempt(self, host, context, client):
        names = []
        context.sni_callback = lambda connection, name, _: names.append(name)
        receiver = self.receiver(context=context)
        result = self.sender(context=client).send(push(f'https://{host}:{receiver.port}/'))
        return result, receiver, names

    def test_certificates_are_verified_for_the_name(self):
        names = ('receiver.example',)
        result, receiver, seen = self.attempt(
            'receiver.example', certificates.for_server(names), certificates.for_client(names)
        )
        self.assertTrue(result.ok)
        self.assertEqual(['receiver.example'], seen)
        self.assertEqual(f'receiver.example:{receiver.port}', receiver.requests[0].headers['Host'])

    def test_certificates_are_verified_for_an_address(self):
        result, _, seen = self.attempt('127.0.0.1', certificates.for_server(), certificates.for_client())
        self.assertTrue(result.ok)
        self.assertEqual([None], seen)

    @tables.each(
        ('for another name', 'other.example', ('receiver.example',), 1, True),
        ('for its address alone', 'receiver.example', ('127.0.0.1',), 1, True),
        ('that is over', 'receiver.example', ('receiver.example',), -1, True),
        ('that nobody vouches for', 'receiver.example', ('receiver.example',), 1, False),
    )
    def test_nothing_is_sent_under_a_certificate(self, host, names, days, trusted):
        client = certificates.for_client(names, days) if trusted else certificates.for_client()
        result, receiver, _ = self.attempt(host, certificates.for_server(names, days), client)
        self.assertEqual((False, True, 'tls'), (result.ok, result.retry, result.error))
        self.assertEqual([], receiver.requests)

    def test_the_store_of_the_system_is_what_is_trusted(self):
        receiver = self.receiver(context=certificates.for_server())
        sender = webhook.Webhook(RULES)
        self.addCleanup(sender.close)
        self.assertEqual('tls', sender.send(push(receiver.url)).error)

    def test_a_receiver_without_tls_is_tried_again(self):
        receiver = self.receiver(greet=False)

        def answer():
            while not receiver._open:
                time.sleep(0.01)
            receiver._open[0].sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')

        threading.Thread(target=answer, daemon=True).start()
        result = self.sender().send(push(f'https://127.0.0.1:{receiver.port}/'))
        self.assertEqual((False, True, 'connection'), (result.ok, result.retry, result.error))


class TestConnections(Sending):
    @tables.each(('plain', None), ('secure', certificates.for_server()))
    def test_are_used_again(self, context):
        receiver = self.receiver(context=context)
        sender = self.sender()
        for _ in range(5):
            self.assertTrue(sender.send(push(receiver.url)).ok)
        self.assertEqual(1, receiver.connections)
        self.assertEqual(5, len(receiver.requests))

    def test_are_not_shared_by_names(self):
        receiver = self.receiver()
        sender = self.sender()
        for host in ('a.example', 'b.example', 'a.example', '127.0.0.1'):
            self.assertTrue(sender.send(push(f'http://{host}:{receiver.port}/')).ok)
        self.assertEqual([1, 2, 1, 3], [request.connection for request in receiver.requests])

    @tables.each(('plain', None), ('secure', certificates.for_server()))
    def test_that_were_closed_meanwhile_fail_no_attempt(self, context):
        receiver = self.receiver(
            lambda _, connection, __: connection.sendall(raw_receiver.OK) or False, context=context
        )
        sender = self.sender()
        for _ in range(10):
            self.assertTrue(sender.send(push(receiver.url)).ok)
        self.assertEqual(10, receiver.connections)

    @tables.each(('plain', None), ('secure', certificates.for_server()))
    def test_that_are_closed_at_the_very_moment_fail_no_attempt(self, context):
        def script(receiver, connection, request):
            if request.connection == 1 and len(receiver.requests) == 2:
                return False  # read, and not answered
            return connection.sendall(raw_receiver.OK)

        receiver = self.receiver(script, context=context)
        sender = self.sender()
        self.assertTrue(sender.send(push(receiver.url)).ok)
        self.assertTrue(sender.send(push(receiver.url)).ok)
        self.assertEqual([1, 1, 2], [request.connection for request in receiver.requests])

    def test_that_break_within_an_answer_fail_the_attempt(self):
        def script(receiver, connection, request):
            connection.sendall(raw_receiver.OK if len(receiver.requests) == 1 else b'HTTP/1.1 2')
            return len(receiver.requests) == 1

        receiver = self.receiver(script)
        sender = self.sender()
        self.assertTrue(sender.send(push(receiver.url)).ok)
        self.assertFalse(sender.send(push(receiver.url)).ok)
        self.assertEqual(1, receiver.connections)

    @tables.each(
        ('comes with another', raw_receiver.OK + b'HTTP/1.1 500 Poison\r\n\r\n'),
        ('comes with many', raw_receiver.OK + b'HTTP/1.1 500 Poison\r\nContent-Length: 0\r\n\r\n' * 300),
        ('ends the connection', b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
        ('is of HTTP 1.0', b'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'),
        ('is longer than what is read', status('200 OK', body=b'a' * 70_000)),
        ('goes on behind its end', b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc'),
    )
    def test_are_closed_where_an_answer(self, answer):
        for context in (None, certificates.for_server()):
            receiver = self.receiver(answer, context=context)
            sender = self.sender()
            results = [sender.send(push(receiver.url)) for _ in range(3)]
            self.assertEqual([200] * 3, [result.status for result in results])

    def test_are_bounded_and_close_when_they_are_old(self):
        receivers = [self.receiver() for _ in range(4)]
        sender = self.sender()
        sender._connections = pool = connections.Connections(2)
        for receiver in receivers:
            sender.send(push(receiver.url))
        self.assertEqual(2, len(pool._idle))
        with mock.patch.object(connections, '_IDLE', -1):
            self.assertTrue(sender.send(push(receivers[-1].url)).ok)
        self.assertEqual(1, len(pool._idle))
        self.assertEqual(2, receivers[-1].connections)

    def test_are_used_by_one_thread_at_a_time(self):
        def script(receiver, connection, request):
            connection.sendall(status('200 OK', body=request.body))

        receiver = self.receiver(script)
        sender = self.sender()
        wrong = []

        def work(number):
            for round_ in range(20):
                body = f'{number} {round_}'.encode()
                if sender.send(push(receiver.url, body=body)).exchange.response_body != body:
                    wrong.append(body)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)
        self.assertEqual(160, len(receiver.requests))
        self.assertLessEqual(receiver.connections, 8)


class TestDisguises(Sending):
    """Subscribers that were let in under other rules are refused when it comes to sending."""

    def test_no_spelling_reaches_this_machine(self):
        receiver = self.receiver()
        sender = self.sender(deliveries.Rules(), look_up=socket.getaddrinfo)
        for host in (
            '127.0.0.1', 'localhost', 'LOCALHOST.', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '0', '0.0.0.0',
            '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]',
            '127.0.0.1.', 'a@127.0.0.1', '127.0.0.1%2f@8.8.8.8', '\uff11\uff12\uff17.0.0.1', '\u24db\u24de\u24d2alhost',
        ):  # fmt: skip
            result = sender.send(push(f'http://{host}:{receiver.port}/'))
            self.assertEqual((False, 'address'), (result.sent, result.error), host)
        self.assertEqual(0, receiver.connections)

    def test_the_same_spellings_reach_it_where_that_is_allowed(self):
        receiver = self.receiver()
        sender = self.sender(look_up=socket.getaddrinfo)
        for host in (
            '127.0.0.1',
            'LOCALHOST.',
            '127.1',
            '0x7f000001',
            '[::ffff:127.0.0.1]',
            '\u24db\u24de\u24d2alhost',
        ):
            self.assertTrue(sender.send(push(f'http://{host}:{receiver.port}/')).ok, host)
        hosts = {request.headers['Host'].rpartition(':')[0] for request in receiver.requests}
        self.assertEqual({'127.0.0.1', 'localhost'}, hosts)

    def test_read_urls_are_those_of_the_rules(self):
        target = 'http://127.0.0.1:8080/'
        self.assertEqual(8080, subscribers.read_url(target, RULES).port)
        self.assertFalse(self.sender(deliveries.Rules()).send(push(target)).sent)
