"""Idle and slow clients keep nobody else waiting."""

import contextlib
import http.client
import socket
import time
import unittest

import testtools

from tests.faults import slow_clients
from tests.fixtures import nginx, server

_SECONDS = 3
_LONGEST = 2  # seconds that an innocent request may take


class SlowClientsTestCase(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # One process with eight threads: the fewest that the service starts with by itself.
        cls.server = server.Server(OS_STORAGE__DRIVER='memory').start()
        cls.addClassCleanup(cls.server.remove)
        cls.addClassCleanup(cls.server.stop)

    def assert_innocent_served(self, url, headers=None, **counts):
        result = slow_clients.run(url, _SECONDS, headers, **counts)
        self.assertEqual([], result.failures, result)
        self.assertLess(result.worst, _LONGEST, result)
        # That there was something to withstand.
        self.assertGreater(len(result.latencies), 25, result)
        self.assertGreater(sum(result.held) / len(result.held), 0.9 * sum(counts.values()), result)


class ServerAloneTest(SlowClientsTestCase):
    def test_connections_that_are_kept_open_after_a_request(self):
        self.assert_innocent_served(self.server.url, idle=300)

    def test_connections_that_never_send_a_byte(self):
        self.assert_innocent_served(self.server.url, silent=300)

    def test_clients_that_vanish_in_the_middle_of_a_request_give_their_threads_back(self):
        begun = (
            b'GET / HTTP/1.1\r\nHost: x\r\n',
            b'POST /v2/queues/q/messages HTTP/1.1\r\nHost: x\r\nClient-ID: 3381af92-2b9e-11e3-b191-71861300734c\r\n'
            b'X-Project-Id: p\r\nContent-Length: 99\r\n\r\n{',
        )
        with contextlib.ExitStack() as stack:
            for number in range(8):
                vanished = socket.create_connection(('127.0.0.1', self.server.port))
                stack.enter_context(vanished)
                vanished.sendall(begun[number % 2])
            time.sleep(0.5)
            connection = http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=20)
            stack.enter_context(contextlib.closing(connection))
            connection.request('GET', '/healthz')
            self.assertEqual(200, connection.getresponse().status)
        self.assertNotIn('Traceback', self.server.output())


@unittest.skipUnless(nginx.COMMAND, nginx.MISSING)
class FrontTest(SlowClientsTestCase):
    """The shipped nginx configuration."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.front = nginx.Front(cls.server.port).start()
        cls.addClassCleanup(cls.front.stop)

    def assert_innocent_served(self, **counts):
        super().assert_innocent_served(self.front.url, nginx.AUTHORIZATION, **counts)

    def test_idle(self):
        self.assert_innocent_served(idle=150, silent=150)

    def test_slow_headers(self):
        self.assert_innocent_served(slow_header=100)

    def test_slow_bodies(self):
        self.assert_innocent_served(slow_body=100)

    def test_all_at_once(self):
        self.assert_innocent_served(idle=150, silent=150, slow_header=50, slow_body=50)
