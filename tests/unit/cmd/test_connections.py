import socket

import testtools

from queueservice.cmd import connections


class SocketTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.near = connections._Socket(near)
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)

    def test_waits_as_long_as_was_set_last(self):
        self.near.settimeout(0.01)
        self.assertRaises(TimeoutError, self.near.recv, 1)
        self.near.setblocking(False)
        self.assertRaises(BlockingIOError, self.near.recv, 1)
        self.assertRaises(BlockingIOError, self.near.sendall, bytes(10_000_000))

    def test_hands_on_what_comes_after_a_timeout(self):
        self.near.settimeout(0.01)
        self.assertRaises(TimeoutError, self.near.recv, 1)
        self.near.settimeout(None)
        self.assertIsNone(self.near.gettimeout())
        self.far.sendall(b'x')
        self.assertEqual(b'x', self.near.recv(1))
        self.assertIsNone(socket.socket.gettimeout(self.near))
