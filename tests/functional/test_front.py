"""The shipped nginx configuration: what it hands on, what it keeps back, and what it answers itself."""

import contextlib
import http.client
import http.server
import json
import socket
import threading
import time
import unittest

import testtools

from tests.fixtures import nginx, server

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c'}


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked: the line, the headers one by one, the length of the body."""

    protocol_version = 'HTTP/1.1'

    def answer(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        raw = json.dumps({'line': self.requestline, 'headers': headers, 'length': len(body)}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = answer

    def log_message(self, *arguments):
        pass


class FrontTestCase(testtools.TestCase):
    tokens = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        echo = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Echo)
        echo.daemon_threads = True
        thread = threading.Thread(target=echo.serve_forever)
        thread.start()
        cls.addClassCleanup(thread.join)
        cls.addClassCleanup(echo.server_close)
        cls.addClassCleanup(echo.shutdown)
        cls.front = nginx.Front(echo.server_port, cls.tokens).start()
        cls.addClassCleanup(cls.front.stop)

    def ask(self, method, path, body=None, headers=(), front=None, user=nginx.AUTHORIZATION):
        """(status, headers, document) of an answer; `headers` is a list of pairs, so that one can come twice."""
        connection = http.client.HTTPConnection('127.0.0.1', (front or self.front).port, timeout=10)
        with contextlib.closing(connection):
            connection.putrequest(method, path)
            for name, value in [*HEADERS.items(), *user.items(), *headers]:
                connection.putheader(name, value)
            if body is not None and ('Transfer-Encoding', 'chunked') not in headers:
                connection.putheader('Content-Length', str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())

    def echoed(self, method, path, body=None, headers=()):
        status, _, document = self.ask(method, path, body, headers)
        self.assertEqual(200, status, document)
        return document

    def assert_error(self, expected, answer):
        status, headers, document = answer
        self.assertEqual((expected, 'application/json'), (status, headers['Content-Type']))
        self.assertEqual({'title', 'description'}, set(document))


@unittest.skipUnless(nginx.COMMAND, nginx.MISSING)
class PasswordsTest(FrontTestCase):
    """As it is shipped: each user of a password file is one project."""

    def test_says_who_is_who_whatever_the_client_says(self):
        echoed = self.echoed(
            'GET',
            '/v2/queues',
            headers=[
                ('X-Project-Id', 'another'),
                ('X-Project-Id', 'third'),
                ('X_Project_Id', 'fourth'),
                ('X-Roles', 'admin'),
                ('X_Roles', 'admin'),
            ],
        )
        told = [[name, value] for name, value in echoed['headers'] if name.replace('_', '-') in _IDENTITY]
        self.assertEqual([['x-project-id', nginx.PROJECT], ['x-roles', 'member']], sorted(told))
        self.assertNotIn('authorization', dict(echoed['headers']))

    def test_keeps_back_what_is_said_of_other_proxies(self):
        said = ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Prefix', 'X-Forwarded-Proto']
        said += ['X-Real-IP', 'SCRIPT_NAME', 'PATH_INFO']
        echoed = self.echoed('GET', '/v2/queues', headers=[(name, '/x') for name in said])
        got = {name for name, _ in echoed['headers']}
        self.assertEqual(set(), got & {name.lower() for name in said})

    def test_hands_on_the_path_as_it_was_sent(self):
        echoed = self.echoed('GET', '/v2/queues/a%2Fb/messages?limit=1&marker=%20x')
        self.assertEqual('GET /v2/queues/a%2Fb/messages?limit=1&marker=%20x HTTP/1.1', echoed['line'])

    def test_hands_on_a_body_of_unknown_length_with_its_length(self):
        echoed = self.echoed(
            'POST', '/v2/queues/q/messages', b'3\r\nabc\r\n0\r\n\r\n', [('Transfer-Encoding', 'chunked')]
        )
        self.assertEqual(3, echoed['length'])

    def test_refuses_projects_in_the_path(self):
        for path in ('/v2/another/queues', '/v2/queues/../another/queues', '/v2/another/../queues'):
            self.assert_error(404, self.ask('GET', path))

    def test_refuses_unknown_users(self):
        for user in ({}, {'Authorization': 'Basic cDp3cm9uZw=='}):
            answer = self.ask('GET', '/v2/queues', user=user)
            self.assert_error(401, answer)
            self.assertEqual('Basic realm="queueservice"', answer[1]['WWW-Authenticate'])

    def test_shows_what_is_public_to_everybody_and_nothing_else_with_it(self):
        for sent, handed_on in (
            ('/', '/'),
            ('/openapi.json', '/openapi.json'),
            ('/v2/another/queues/../../..', '/'),
            ('/v2/another/%2e%2e/../openapi.json', '/openapi.json'),
        ):
            status, _, document = self.ask('GET', sent, user={})
            self.assertEqual((200, f'GET {handed_on} HTTP/1.1'), (status, document['line']))

    def test_a_body_that_is_too_large_is_400(self):
        self.assert_error(400, self.ask('POST', '/v2/queues/q/messages', b'x' * (513 * 1024)))
        self.assertEqual(400 * 1024, self.echoed('POST', '/v2/queues/q/messages', b'x' * (400 * 1024))['length'])

    def test_headers_that_are_too_long_or_malformed_are_400(self):
        self.assert_error(400, self.ask('GET', '/v2/queues', headers=[('X-Long', 'x' * 9000)]))
        self.assert_error(400, self.ask('GET', f'/v2/queues?{"x" * 9000}'))
        self.assert_error(400, self.ask('GET', '/v2/queues', headers=[('Content-Length', 'x')]))

    def test_two_ways_to_tell_where_a_body_ends_are_400(self):
        headers = [('Content-Length', '3'), ('Transfer-Encoding', 'chunked')]
        self.assert_error(400, self.ask('POST', '/v2/queues/q/messages', b'0\r\n\r\n', headers))

    def test_a_method_that_nginx_refuses_is_405(self):
        self.assert_error(405, self.ask('TRACE', '/v2/queues'))

    def test_too_many_requests_from_one_address_are_429(self):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                slow = stack.enter_context(socket.create_connection(('127.0.0.1', self.front.port), timeout=10))
                headers = ''.join(f'{name}: {value}\r\n' for name, value in {**HEADERS, **nginx.AUTHORIZATION}.items())
                slow.sendall(
                    f'POST /v2/queues/q/messages HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 9\r\n\r\n{{'.encode()
                )
            answer = self.ask('GET', '/v2/queues')
            self.assert_error(429, answer)
            self.assertEqual('1', answer[1]['Retry-After'])

    def test_logs_requests_without_their_query(self):
        self.echoed('GET', '/v2/queues/logged/messages?marker=secret')
        deadline = time.monotonic() + 30
        while '/logged/' not in self.front.access_log() and time.monotonic() < deadline:
            time.sleep(0.05)
        log = self.front.access_log()
        self.assertNotIn('secret', log)
        (line,) = [line for line in map(json.loads, log.splitlines()) if line['path'] == '/v2/queues/logged/messages']
        self.assertEqual(('GET', '200', nginx.PROJECT), (line['method'], line['status'], line['user']))

    def test_logs_only_ascii(self):
        with socket.create_connection(('127.0.0.1', self.front.port), timeout=10) as connection:
            connection.sendall(
                b'GET /v2/queues/\xff?x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic /zpz\r\nConnection: close\r\n\r\n'
            )
            self.assertIn(b' 401 ', connection.recv(100))
        deadline = time.monotonic() + 30
        logged = []
        while not logged and time.monotonic() < deadline:
            lines = [json.loads(line) for line in self.front.access_log().splitlines()]
            logged = [line['user'] for line in lines if (line['status'], line['path']) == ('401', '-')]
            time.sleep(0.05)
        self.assertEqual(['-'], logged)

    def test_a_server_that_does_not_answer_is_503(self):
        with nginx.Front(server.free_port()) as front:
            answer = self.ask('POST', '/v2/queues/q/messages', b'{}', front=front)
        self.assert_error(503, answer)
        self.assertEqual('5', answer[1]['Retry-After'])

    def test_a_request_is_never_sent_twice(self):
        with socket.create_server(('127.0.0.1', 0)) as closing:
            closing.settimeout(10)
            asked = []

            def answer_once():
                with contextlib.suppress(TimeoutError, ConnectionError):
                    connection, _ = closing.accept()
                    with connection:
                        asked.append(connection.recv(65536))
                        connection.sendall(b'HTTP/1.1 204 No Content\r\n\r\n')
                        asked.append(connection.recv(65536))
                    closing.settimeout(0.5)
                    connection, _ = closing.accept()
                    with connection:
                        asked.append(connection.recv(65536))

            thread = threading.Thread(target=answer_once)
            thread.start()
            with nginx.Front(closing.getsockname()[1]) as front:
                connection = http.client.HTTPConnection('127.0.0.1', front.port, timeout=10)
                with contextlib.closing(connection):
                    statuses = []
                    for _ in range(2):
                        connection.request(
                            'DELETE', '/v2/queues/q/messages?pop=1', headers={**HEADERS, **nginx.AUTHORIZATION}
                        )
                        answer = connection.getresponse()
                        answer.read()
                        statuses.append(answer.status)
            thread.join()
        self.assertEqual(([204, 503], 2), (statuses, len(asked)))


@unittest.skipUnless(nginx.COMMAND, nginx.MISSING)
class ServerTest(testtools.TestCase):
    """Before the real server."""

    def test_what_the_service_refuses_unread_is_its_own_answer_and_harms_no_other(self):
        body = b'x' * (400 * 1024)
        headers = {**HEADERS, **nginx.AUTHORIZATION}
        with server.Server(OS_STORAGE__DRIVER='memory') as running, nginx.Front(running.port) as front:
            connection = http.client.HTTPConnection('127.0.0.1', front.port, timeout=10)
            with contextlib.closing(connection):
                for _ in range(50):
                    for method, sent, expected in (('POST', body, 400), ('GET', None, 200)):
                        connection.request(method, '/v2/queues/q/messages', sent, headers)
                        answer = connection.getresponse()
                        said = answer.read()
                        self.assertEqual(expected, answer.status, said)
                        if sent:
                            self.assertIn(b'max_messages_post_size', said)


@unittest.skipUnless(nginx.COMMAND, nginx.MISSING)
class TokensTest(FrontTestCase):
    """With the lines for a service that asks for tokens itself."""

    tokens = True

    def test_hands_on_tokens_and_no_other_identity(self):
        echoed = self.echoed(
            'GET', '/v2/p/queues', headers=[('X-Auth-Token', 't'), ('X-Project-Id', 'p'), ('X-Roles', 'admin')]
        )
        got = dict(echoed['headers'])
        self.assertEqual('t', got['x-auth-token'])
        self.assertEqual(set(), set(got) & _IDENTITY)


_IDENTITY = {'x-project-id', 'x-roles'}
