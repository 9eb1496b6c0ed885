"""A rate that the processes of a server share."""

import http.client
import json
import threading
import time

import testtools

from tests.fixtures import server

_HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p', 'X-Roles': 'admin'}
_RATE, _BURST, _BLOCK, _WORKERS = 50, 20, 10, 2


class TestRate(testtools.TestCase):
    def call(self, port, method, path, document=None):
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        try:
            connection.request(method, path, None if document is None else json.dumps(document), _HEADERS)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def hammer(self, port, seconds, clients=8):
        """Ask as often as can be for so long: (how many were answered with each status, how long it took)."""
        statuses = []
        began = time.monotonic()

        def ask():
            while time.monotonic() - began < seconds:
                statuses.append(self.call(port, 'GET', '/v2/queues'))

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {status: statuses.count(status) for status in set(statuses)}, time.monotonic() - began

    def test_two_workers_together_keep_to_it(self):
        limits = {'OS_LIMITS__REQUESTS_PER_SECOND': str(_RATE), 'OS_LIMITS__REQUEST_BURST': str(_BURST)}
        with server.Server('--workers', str(_WORKERS), **limits) as running:
            answered, seconds = self.hammer(running.port, 3)
            self.assertEqual({200, 429}, set(answered), running.output())
            self.assertLessEqual(answered[200], _RATE * seconds + _BURST + _BLOCK * _WORKERS)
            self.assertGreaterEqual(answered[200], 0.7 * _RATE * 3)
            self.assertEqual(204, self.call(running.port, 'GET', '/v2/ping'))

    def test_a_limit_of_one_project_reaches_all_workers(self):
        with server.Server('--workers', str(_WORKERS)) as running:
            self.assertEqual({200}, set(self.hammer(running.port, 0.5)[0]))
            change = {'limits': {'requests_per_second': 5}}
            self.assertEqual(200, self.call(running.port, 'PATCH', '/v2/projects/p', change))
            time.sleep(5)
            answered, seconds = self.hammer(running.port, 2)
            self.assertLessEqual(answered[200], 5 * seconds + 5 + _WORKERS)
