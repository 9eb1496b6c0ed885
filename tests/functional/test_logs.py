"""What the real server writes, and what it answers to requests that are none."""

import contextlib
import json
import socket
import time

import testtools

from tests.fixtures import server

_SECRET = 'nobody-shall-read-this'


class LogTestCase(testtools.TestCase):
    environment: dict = {}

    def setUp(self):
        super().setUp()
        self.server = server.Server(
            '--access-log', '--workers', '1', OS_STORAGE__DRIVER='memory', **self.environment
        ).start()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.stop)

    def send(self, raw: bytes) -> bytes:
        """The answer to these bytes."""
        answer = b''
        with contextlib.closing(socket.create_connection(('127.0.0.1', self.server.port), timeout=10)) as connection:
            connection.sendall(raw)
            while piece := connection.recv(65536):
                answer += piece
        return answer

    def request(self, line, *headers, body=b''):
        return self.send(
            '\r\n'.join(
                (
                    line,
                    'Host: x',
                    'Connection: close',
                    'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c',
                    'X-Project-Id: p',
                    *headers,
                    '',
                    '',
                )
            ).encode('latin-1')
            + body
        )

    def lines(self, with_words):
        """The lines so far that have these words; waits for one."""
        deadline = time.monotonic() + 30
        while True:
            lines = [line for line in self.server.output().splitlines() if with_words in line]
            if lines or time.monotonic() > deadline:
                return lines
            time.sleep(0.05)


class TextTest(LogTestCase):
    def test_the_access_log_has_no_queries_and_no_line_of_a_client_s(self):
        forged = '" 200 [req-0] 127.0.0.1 "GET /forged\x85'
        answer = self.request(
            f'GET /v2/queues/a%0ab/messages?token={_SECRET} HTTP/1.1',
            f'User-Agent: {forged}',
            f'X-Auth-Token: {_SECRET}',
            f'URL-Signature: {_SECRET}',
            'X-Openstack-Request-Id: theirs',
        )
        [line] = self.lines('/v2/queues/')
        self.assertIn('"GET /v2/queues/a%0Ab/messages?..." 404 ', line)
        self.assertIn(r'"\" 200 [req-0] 127.0.0.1 \"GET /forged\u0085"', line)
        request_id = answer.lower().partition(b'x-openstack-request-id: ')[2][:40].decode()
        self.assertIn(f' [{request_id} theirs] ', line)
        self.assertNotIn(_SECRET, self.server.output())

    def test_what_cannot_be_read_is_refused_in_json_without_repeating_it(self):
        answers = {
            f'GET /v2/queues?{_SECRET}={"x" * 8200} HTTP/1.1': (b'414', b'request line is too long'),
            f'{_SECRET} / HTTP/1.1': (b'400', b'method is malformed'),
            f'GET /{_SECRET} HTTP/9.9': (b'400', b'version of HTTP'),
            f'GET {_SECRET}': (b'400', b'malformed'),
        }
        for line, (status, words) in answers.items():
            self.assert_refused(self.request(line), status, words)
        headers = {
            f'{_SECRET}: {"x" * 8200}': (b'431', b'headers'),
            '\r\n'.join(f'X-{number}: {_SECRET}' for number in range(61)): (b'431', b'headers'),
            f'{_SECRET} : x': (b'400', b'header is malformed'),
            f'{_SECRET}': (b'400', b'header is malformed'),
            f'X-A: 1\r\n {_SECRET}': (b'400', b'header'),
            f'Transfer-Encoding: {_SECRET}': (b'501', b'Transfer-Encoding'),
            'Transfer-Encoding: chunked\r\nContent-Length: 5': (b'400', b'Content-Length'),
            'Content-Length: 5\r\nContent-Length: 6': (b'400', b'Content-Length'),
            f'Expect: {_SECRET}': (b'417', b'Expect'),
        }
        for line, (status, words) in headers.items():
            self.assert_refused(self.request('POST /v2/queues/q/messages HTTP/1.1', line), status, words)
        self.assertEqual(len(answers) + len(headers), len(self.lines('was refused')))
        self.assertNotIn(_SECRET, self.server.output())

    def assert_refused(self, answer, status, words):
        head, _, body = answer.partition(b'\r\n\r\n')
        self.assertTrue(head.startswith(b'HTTP/1.1 ' + status), (words, answer))
        self.assertIn(b'Content-Type: application/json', head)
        self.assertIn(words.decode(), json.loads(body)['description'])
        self.assertNotIn(_SECRET.encode(), answer)

    def test_the_audit_log_is_there_without_being_asked_for(self):
        self.request('DELETE /v2/queues/gone HTTP/1.1')
        [line] = self.lines('queueservice.audit')
        self.assertIn('"action": "queue.delete", "project": "p"', line)


class JsonTest(LogTestCase):
    environment = {'OS_DEFAULT__USE_JSON': 'true'}

    def test_every_line_behind_the_banner_is_an_object(self):
        self.request('DELETE /v2/queues/gone HTTP/1.1', 'User-Agent: me "\x85')
        self.request(f'GET /{_SECRET} HTTP/9.9')
        self.lines('was refused')
        lines = [json.loads(line) for line in self.server.output().splitlines() if line.startswith('{')]
        self.assertEqual(
            {'queueservice.audit', 'gunicorn.access', 'gunicorn.error'}, {line['logger'] for line in lines}
        )
        [audit] = [line for line in lines if 'audit' in line]
        [access] = [line for line in lines if line.get('access', {}).get('method') == 'DELETE']
        self.assertEqual(audit['request_id'], access['request_id'])
        shown = [access['access'][name] for name in ('path', 'status', 'agent')]
        self.assertEqual(['/v2/queues/gone', 204, 'me "\x85'], shown)
