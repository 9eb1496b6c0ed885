"""The hostile requests of `hostile_cases.py`: all of them, shared out among the drivers, with and without tokens."""

import collections
import contextlib
import os
import re
import socketserver
import subprocess
import sys
import threading
from unittest import mock

import testtools

from tests.faults import hostile, hostile_cases
from tests.fixtures import mongodb, server, tables

#: Groups that are asked everywhere.
_ALWAYS = ('smuggling', 'protocol', 'sizes', 'tenants')
_PARTS = 10


_PROJECTS = ('asks', 'other')
#: What queueservice-server runs, too.
_WORKER = 'queueservice.cmd.connections.ThreadWorker'


class TestCases(testtools.TestCase):
    def test_they_are_many_and_each_is_another(self):
        fields = collections.defaultdict(str, queue_name='q', project_id='p')
        cases = hostile_cases.cases(fields, 'p', authenticated=True)
        asker = hostile.Asker('asks', 'token')
        self.assertGreater(len({asker.write(case, 'host') for case in cases}), 8000)
        self.assertEqual(len(cases), len({(case.group, case.name) for case in cases}))


class HostileTestCase(testtools.TestCase):
    def start(self, *options, **environment):
        running = server.Server(*options, **environment)
        self.addCleanup(running.remove)
        running.start()
        self.addCleanup(running.stop)
        return running

    def assert_unharmed(self, running, parts, tokens=None):
        askers = tuple(hostile.Asker(*pair) for pair in zip(_PROJECTS, tokens, strict=True)) if tokens else None
        suite = hostile.Suite(running.url, askers)
        self.addCleanup(suite.close)
        cases = suite.cases()
        chosen = [case for case in cases if case.group in _ALWAYS]
        others = [case for case in cases if case.group not in _ALWAYS]
        chosen += [case for number, case in enumerate(others) if number % _PARTS in parts]
        self.assertGreater(len(chosen), 1000)
        defects = suite.run(chosen)
        self.assertEqual([], [f'{one.case.group}: {one.case.name}: {one.what}' for one in defects])
        said = running.output()
        self.assertNotIn('Traceback', said)
        self.assertNotIn(suite.secret, said)


class TestHeadersBelieved(HostileTestCase):
    def test_memory(self):
        self.assert_unharmed(self.start(OS_STORAGE__DRIVER='memory'), (0, 1))

    def test_sqlite(self):
        self.assert_unharmed(self.start('--workers', '2'), (2, 3))

    def test_mongodb(self):
        uri = mongodb.locate(mongodb.make_name(self))
        self.assert_unharmed(self.start('--workers', '2', OS_STORAGE__DRIVER='mongodb', OS_STORAGE__URI=uri), (4,))


class TestTokensNeeded(HostileTestCase):
    def make_tokens(self, running, **environment):
        return [
            subprocess.run(
                [sys.executable, '-m', 'queueservice.cmd.manage', 'token', 'create', '--project', project],
                env={**os.environ, 'XDG_STATE_HOME': str(running.state), **environment},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
            for project in _PROJECTS
        ]

    def test_memory(self):
        application = 'tests.fixtures.application_in_memory'
        command = (sys.executable, '-m', 'gunicorn', '--worker-class', _WORKER, '--threads', '8', application)
        running = self.start(command=command, PROJECTS=','.join(_PROJECTS))
        self.assert_unharmed(running, (5, 6), re.findall('^TOKEN .*:(.*)$', running.output(), re.MULTILINE))

    def test_sqlite(self):
        running = self.start('--workers', '2', OS_DEFAULT__AUTH_STRATEGY='tokens')
        self.assert_unharmed(running, (7, 8), self.make_tokens(running))

    def test_mongodb(self):
        named = {'OS_STORAGE__DRIVER': 'mongodb', 'OS_STORAGE__URI': mongodb.locate(mongodb.make_name(self))}
        running = self.start('--workers', '2', OS_DEFAULT__AUTH_STRATEGY='tokens', **named)
        self.assert_unharmed(running, (9,), self.make_tokens(running, **named))


def _answer(body=b'', status=200, headers=b''):
    return b'HTTP/1.1 %d So\r\n%bContent-Length: %d\r\n\r\n%b' % (status, headers, len(body), body)


class _Handler(socketserver.StreamRequestHandler):
    """Answers whatever it is asked with `self.server.answer`, but probes as they should be."""

    def handle(self):
        with contextlib.suppress(ConnectionError):
            self._answer()

    def _answer(self):
        while True:
            asked = self.rfile.readline()
            for line in self.rfile:
                if line == b'\r\n':
                    break
            if not asked:
                return
            probe = re.search(rb'hostile-probe-[0-9]+', asked)
            answer = _answer(probe[0], 404) if probe else self.server.answer
            if answer is None:
                self.rfile.read()
                return
            self.wfile.write(answer)
            if not answer:
                return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class JudgeTest(tables.Tables, testtools.TestCase):
    """What the suite says of servers that are not as they should be."""

    def setUp(self):
        super().setUp()
        self.server = _Server(('127.0.0.1', 0), _Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        patience = mock.patch.object(hostile, 'PATIENCE', 0.5)
        patience.start()
        self.addCleanup(patience.stop)
        self.suite = hostile.Suite(f'http://127.0.0.1:{self.server.server_address[1]}')
        self.addCleanup(self.suite.close)

    def ask(self, answer, **fields):
        self.server.answer = answer
        return self.suite.ask(hostile_cases.Case('group', 'name', **fields))

    @tables.each(
        ('an error of the server', _answer(status=500), 'is answered 500'),
        ('a stack trace', _answer(b'Traceback (most recent call last):', 400), 'made of'),
        ('a path', _answer(b'see /usr/lib/python3/x', 400), 'made of'),
        ('an object', _answer(b'<class A>', 400), 'made of'),
        ('a header of the client', _answer(headers=b'X-Injected: 1\r\n'), 'a header of its own making'),
        ('markup', _answer(b'<script>', 400, b'Content-Type: text/html\r\n'), 'markup'),
        ('nothing', b'', 'cut off'),
        ('no end', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na', 'hangs'),
        ('no HTTP', b'220 mail\r\n\r\n', 'cut off'),
        ('two answers', _answer() * 2, 'spoils the connection'),
    )
    def test_finds(self, answer, words):
        wrong = self.ask(answer)
        self.assertEqual(1, len(wrong), wrong)
        self.assertIn(words, wrong[0])

    def test_finds_a_server_that_hangs(self):
        self.assertIn('hangs', self.ask(None)[0])

    def test_finds_what_belongs_to_another_project(self):
        self.assertIn('another project', self.ask(_answer(self.suite.secret.encode()))[0])

    def test_finds_requests_within_requests(self):
        self.assertIn('another request', self.ask(_answer() * 2, protocol=True, closes=True)[0])
        self.assertEqual([], self.ask(_answer(), protocol=True, closes=True))

    def test_finds_nothing_wrong_with_a_refusal(self):
        self.assertEqual([], self.ask(_answer(b'no', 400)))
        self.assertEqual([], self.ask(_answer(b'no', 400, b'Connection: close\r\n')))

    def test_lets_what_is_no_http_be_cut_off(self):
        self.assertEqual([], self.ask(b'', protocol=True))
        self.assertEqual([], self.ask(_answer(status=501), protocol=True))
        self.assertIn('500', self.ask(_answer(status=500), protocol=True)[0])
