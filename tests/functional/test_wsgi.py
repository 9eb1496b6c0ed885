"""The application behind other servers than its own, and requests that only sockets can make."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import testtools

from tests.fixtures import server

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}


def chunked(port, path, chunks):
    """POST a body of unknown length; (status, document)."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    with contextlib.closing(connection):
        connection.request('POST', path, iter(chunks), {**HEADERS, 'Transfer-Encoding': 'chunked'}, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


class BodiesMixin:
    """Bodies as they come over a socket; needs `port`."""

    def test_chunked_body(self):
        status, posted = chunked(self.port, '/v2/queues/q/messages', [b'{"messages": [', b'{"body": 1}', b']}'])
        self.assertEqual(201, status, posted)
        self.assertEqual(1, len(posted['resources']))

    def test_chunked_body_over_the_limit(self):
        body = b'{"messages": [{"body": "' + b'x' * (300 * 1024) + b'"}]}'
        chunks = [body[start : start + 8192] for start in range(0, len(body), 8192)]
        status, refused = chunked(self.port, '/v2/queues/q/messages', chunks)
        self.assertEqual(400, status)
        self.assertIn('too large', refused['description'])

    def test_chunked_body_that_is_packed_is_refused(self):
        head = ''.join(f'{name}: {value}\r\n' for name, value in HEADERS.items())
        body = gzip.compress(b'{"messages": [{"body": 1}]}')
        with socket.create_connection(('127.0.0.1', self.port), timeout=10) as connection:
            connection.sendall(
                f'POST /v2/queues/q/messages HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n'
                f'Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n'.encode()
                + body
                + b'\r\n0\r\n\r\n'
            )
            answer = connection.recv(65536)
        self.assertTrue(answer.startswith(b'HTTP/1.1 415'), answer)

    def test_announced_body_over_the_limit_is_refused_unread(self):
        with socket.create_connection(('127.0.0.1', self.port), timeout=10) as connection:
            head = ''.join(f'{name}: {value}\r\n' for name, value in HEADERS.items())
            connection.sendall(
                f'POST /v2/queues/q/messages HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 6000000\r\n\r\n'.encode()
            )
            answer = connection.recv(65536)
        self.assertTrue(answer.startswith(b'HTTP/1.1 400'), answer)


class OwnServerTest(BodiesMixin, testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server(OS_STORAGE__DRIVER='memory').start()
        cls.port = cls.server.port

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()
        super().tearDownClass()


class GranianTest(BodiesMixin, testtools.TestCase):
    """The documented fast option: granian with its blocking threads."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.port = server.free_port()
        cls.state = tempfile.TemporaryDirectory()
        environment = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
        cls.process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'granian', '--interface', 'wsgi', '--workers', '2', '--blocking-threads', '8'),
                *('--host', '127.0.0.1', '--port', str(cls.port), 'queueservice.wsgi:application'),
            ],
            env={**environment, 'XDG_STATE_HOME': cls.state.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', cls.port), timeout=1):
                return
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        # A granian that is told to end while a worker is still starting may wait for that worker for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            cls.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(cls.process.pid, signal.SIGKILL)
        cls.process.wait()
        cls.state.cleanup()
        super().tearDownClass()

    def test_post_claim_delete(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        with contextlib.closing(connection):

            def call(method, path, document=None):
                connection.request(method, path, None if document is None else json.dumps(document), HEADERS)
                answer = connection.getresponse()
                raw = answer.read()
                return answer.status, json.loads(raw) if raw else None

            self.assertEqual(201, call('POST', '/v2/queues/g/messages', {'messages': [{'body': 'hello'}]})[0])
            status, claimed = call('POST', '/v2/queues/g/claims')
            self.assertEqual((201, 'hello'), (status, claimed['messages'][0]['body']))
            self.assertEqual((204, None), call('DELETE', claimed['messages'][0]['href']))
