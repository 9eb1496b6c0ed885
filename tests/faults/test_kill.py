"""kill -9 under load: nothing acknowledged is lost, nothing happens twice."""

import contextlib
import http.client
import random

import testtools

from tests.faults import history
from tests.fixtures import server

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}


class KillTest(testtools.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        seed = random.SystemRandom().randrange(10**6)
        result = history.run(seconds=8, kills=6, seed=seed)
        again = f'python -m tests.faults.history --seconds 8 --kills 6 --seed {seed}'
        self.assertEqual(dict.fromkeys(result['faults'], 0), result['faults'], f'{result}; again: {again}')
        self.assertGreater(result['acknowledged'], 200)
        self.assertGreater(result['claimed'], 100)

    def test_an_idempotency_key_outlives_every_process(self):
        running = server.Server('--workers', '2').start()
        self.addCleanup(running.remove)
        headers = {**HEADERS, 'Idempotency-Key': 'once'}
        first = self.post(running.port, headers)
        running.kill()
        running.start()
        try:
            self.assertEqual(first, self.post(running.port, headers))
            self.assertEqual(first, self.post(running.port, headers))
        finally:
            running.stop()

    def post(self, port, headers):
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        with contextlib.closing(connection):
            connection.request('POST', '/v2/queues/q/messages', '{"messages": [{"body": 1}, {"body": 2}]}', headers)
            answer = connection.getresponse()
            self.assertEqual(201, answer.status)
            return answer.read()
