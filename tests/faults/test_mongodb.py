"""The database server is killed, stopped, cut off, made to fail: nothing acknowledged is lost or done twice.

Longer, and for figures: ``python -m tests.faults.history --driver mongodb --seconds 300 --kills 60``
"""

import collections
import contextlib
import http.client
import itertools
import json
import random
import time
import uuid
from concurrent import futures

import pymongo
import pymongo.errors
import testtools

from tests.faults import history
from tests.fixtures import mongodb, server

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}
#: Within how many seconds everything is answered, and works again when the server is back.
BAR = 5


class LoadTest(testtools.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        mongodb.need_own_server()
        seed = random.SystemRandom().randrange(10**6)
        result = history.run(seconds=8, kills=6, seed=seed, storage=history.MongoDB(pause=3))
        again = f'python -m tests.faults.history --driver mongodb --pause 3 --seconds 8 --kills 6 --seed {seed}'
        self.assertEqual(dict.fromkeys(result['faults'], 0), result['faults'], f'{result}; again: {again}')
        self.assertGreater(result['acknowledged'], 50)
        # Beside other tests on few cores; the long runs are held against the bar itself.
        self.assertLess(result['slowest'], 2 * BAR, again)


class OutageTest(testtools.TestCase):
    """One service, whose database server comes to harm."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.database = mongodb.own_server(cls.addClassCleanup)
        cls.service = server.Server(
            '--workers', '2', OS_STORAGE__DRIVER='mongodb', OS_STORAGE__URI=f'{cls.database.uri}/outage'
        ).start()
        cls.addClassCleanup(cls.service.remove)
        cls.addClassCleanup(cls.service.kill)

    def setUp(self):
        super().setUp()
        self.queue = f'/v2/queues/{uuid.uuid4().hex}'
        self.posted = []  # bodies that were acknowledged
        self.unknown = []  # bodies that were not
        self.bodies = itertools.count()

    def call(self, method, path, document=None):
        """(status, document); whatever it is, it comes in time, and is no 500."""
        connection = http.client.HTTPConnection('127.0.0.1', self.service.port, timeout=2 * BAR)
        with contextlib.closing(connection):
            began = time.monotonic()
            connection.request(method, path, None if document is None else json.dumps(document), HEADERS)
            answer = connection.getresponse()
            raw = answer.read()
            said = f'{method} {path} answers {answer.status} {raw[:300]!r}'
            self.assertLess(time.monotonic() - began, BAR, said)
            self.assertTrue(answer.status < 500 or answer.status == 503, said)
            if answer.status == 503:
                self.assertGreater(int(answer.getheader('Retry-After')), 0)
        return answer.status, json.loads(raw) if raw else None

    def post(self, count=3):
        """Post so many; whether that was acknowledged."""
        bodies = list(itertools.islice(self.bodies, count))
        document = {'messages': [{'ttl': 3600, 'body': body} for body in bodies]}
        status, _ = self.call('POST', f'{self.queue}/messages', document)
        self.assertIn(status, (201, 503))
        (self.posted if status == 201 else self.unknown).extend(bodies)
        return status == 201

    def ask_everything(self):
        """Do what can be done, all at once; the statuses."""
        requests = [
            ('GET', f'{self.queue}/messages?echo=true', None),
            ('POST', '/v2/queues/other/messages', {'messages': [{'body': 1}, {'body': 2}]}),
            ('POST', '/v2/queues/other/claims?limit=1', {'ttl': 60, 'grace': 60}),
            ('DELETE', '/v2/queues/other/messages?pop=1', None),
            ('GET', f'{self.queue}/stats', None),
            ('GET', '/v2/queues', None),
            ('PUT', f'{self.queue}-{len(self.posted)}', {'a': 1}),
        ]
        with futures.ThreadPoolExecutor(8) as pool:
            posted = pool.submit(self.post)
            answers = list(pool.map(lambda request: self.call(*request), requests))
        return {201 if posted.result() else 503, *(status for status, _ in answers)}

    def wait_until_it_works(self):
        """How many seconds it took."""
        began = time.monotonic()
        while not self.post(1):
            self.assertLess(time.monotonic() - began, 4 * BAR)
            time.sleep(0.05)
        return time.monotonic() - began

    def check(self):
        """Everything that was acknowledged is there once, in its order; of the rest, nothing is there twice."""
        time.sleep(2.5)  # whoever did not come back is not waited for any longer
        found, href = [], f'{self.queue}/messages?echo=true&limit=20'
        while True:
            status, page = self.call('GET', href)
            self.assertEqual(200, status)
            if not page['messages']:
                break
            found += [message['body'] for message in page['messages']]
            href = page['links'][0]['href']
        counts = collections.Counter(found)
        self.assertEqual([], [body for body in self.posted if counts[body] != 1])
        self.assertEqual([], [body for body, count in counts.items() if count > 1])
        self.assertEqual(set(), set(found) - set(self.posted) - set(self.unknown))
        acknowledged = [body for body in found if body in set(self.posted)]
        self.assertEqual(self.posted, acknowledged)

    def test_a_server_that_is_killed_and_comes_back(self):
        self.assertTrue(self.post())
        self.database.kill()
        self.assertEqual({503}, self.ask_everything())
        self.database.start()
        self.assertLess(self.wait_until_it_works(), BAR)
        self.ask_everything()
        self.check()

    def test_a_server_that_is_killed_and_is_back_soon_is_hardly_noticed(self):
        self.assertTrue(self.post())
        for _ in range(2):
            self.database.restart()
            self.assertLess(self.wait_until_it_works(), BAR)
        self.check()

    def test_a_server_that_stands_still_and_goes_on(self):
        self.assertTrue(self.post())
        self.database.pause()
        try:
            self.assertFalse(self.post())
            self.assertEqual(503, self.call('GET', f'{self.queue}/messages?echo=true')[0])
        finally:
            self.database.resume()
        self.assertLess(self.wait_until_it_works(), BAR)
        self.check()

    def test_a_server_that_fails(self):
        """Now and then, in all the ways that MongoDB has."""
        admin = pymongo.MongoClient(self.database.uri)
        self.addCleanup(admin.close)
        self.assertTrue(self.post())
        commands = ['find', 'aggregate', 'findAndModify', 'insert', 'update', 'delete']
        failures = [
            {'closeConnection': True},
            {'errorCode': 91, 'errorLabels': ['RetryableWriteError']},  # ShutdownInProgress
            {'errorCode': 11600, 'errorLabels': ['RetryableWriteError']},  # InterruptedAtShutdown
            {'errorCode': 189, 'errorLabels': ['RetryableWriteError']},  # PrimarySteppedDown
            {'errorCode': 8000},  # some other
            {'writeConcernError': {'code': 91, 'errmsg': 'down', 'errorLabels': ['RetryableWriteError']}},
            {'writeConcernError': {'code': 64, 'errmsg': 'waiting for replication timed out'}},
            {'blockConnection': True, 'blockTimeMS': 300},
        ]
        rounds = [({'times': 4}, commands, failure) for failure in failures]
        rounds += [({'times': 1}, [command], failures[0]) for command in commands]
        for mode, failing, failure in rounds:
            self.fail_in(admin, mode, failing, failure)
            self.ask_everything()
        self.fail_in(admin, 'off', commands, failures[0])
        self.assertLess(self.wait_until_it_works(), BAR)
        self.assertGreater(len(self.posted), len(self.unknown))
        self.check()

    def fail_in(self, admin, mode, commands, failure):
        admin.admin.command('configureFailPoint', 'failCommand', mode=mode, data={'failCommands': commands, **failure})
