import os
import socket
import struct
import tempfile
import time
from unittest import mock

import testtools
from gunicorn import config
from gunicorn.http import parser
from gunicorn.workers import gthread

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

    def test_who_stalls_has_gone(self):
        stall = struct.pack('ll', 0, 1000)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.near.setsockopt(socket.SOL_SOCKET, option, stall)
        self.assertRaises(ConnectionResetError, self.near.recv, 1)
        self.assertRaises(ConnectionResetError, self.near.sendall, bytes(10_000_000))


class ThreadsTest(testtools.TestCase):
    """None of the threads is started: what they would do is done here, where it does harm."""

    def setUp(self):
        super().setUp()
        self.served = []
        self.threads = connections._Threads(1, self.served.append)
        self.addCleanup(os.close, self.threads._end)
        self.addCleanup(self.threads._poll.close)

    def connect(self, sent=b'', read_ahead=b'', timeout=0.0):
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        conn = gthread.TConn(config.Config(), near, None, None)
        conn.parser = parser.RequestParser(conn.cfg, near, None)
        conn.parser.unreader.unread(read_ahead)
        conn.timeout = timeout
        far.sendall(sent)
        self.threads.add(conn)
        return conn

    def serve(self):
        self.threads.shutdown()
        self.threads._work()

    def test_who_is_silent_for_too_long_is_closed(self):
        silent, patient = self.connect(), self.connect(timeout=time.monotonic() + 60)
        self.assertEqual(1, self.threads.close_silent(0))
        self.assertEqual((-1, 1), (silent.sock.fileno(), self.threads.count()))
        self.assertNotEqual(-1, patient.sock.fileno())

    def test_who_spoke_waits_for_a_thread_and_is_not_looked_at_each_time(self):
        spoke = self.connect(sent=b'x')
        until = time.monotonic() + 60
        self.assertEqual(0, self.threads.close_silent(until))
        self.assertEqual(until, spoke.timeout)
        self.serve()
        self.assertEqual([spoke], self.served)

    def test_who_sent_ahead_waits_for_a_thread(self):
        ahead = self.connect(read_ahead=b'x')
        self.threads.watch(ahead)
        self.assertEqual(0, self.threads.close_silent(time.monotonic() + 60))
        self.serve()
        self.assertEqual([ahead], self.served)

    def test_who_sent_ahead_and_takes_no_answers_is_closed(self):
        ahead = self.connect(read_ahead=b'x')
        with testtools.ExpectedException(BlockingIOError):
            while True:
                ahead.sock.send(bytes(65536))
        self.threads.watch(ahead)
        self.assertEqual(1, self.threads.close_silent(0))

    def test_who_is_answered_at_the_moment_of_being_closed_is_kept(self):
        conn = self.connect()
        until = time.monotonic() + 60

        class Watched(dict):
            def pop(self, *arguments):
                conn.timeout = until
                return super().pop(*arguments)

        self.threads._watched = Watched(self.threads._watched)
        self.assertEqual(0, self.threads.close_silent(until))
        self.assertEqual(1, self.threads.count())
        self.assertNotEqual(-1, conn.sock.fileno())

    def test_who_is_closed_at_the_moment_of_being_watched_harms_no_thread(self):
        conn = self.connect()
        threads = self.threads
        closed = []

        class Watched(dict):
            def __setitem__(self, *item):
                super().__setitem__(*item)
                closed.append(threads.close_all())

        threads._watched = Watched()
        threads.watch(conn)
        self.assertEqual([1], closed)


class ThreadWorkerTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        settings = config.Config()
        settings.set('threads', 1)
        self.worker = connections.ThreadWorker(1, os.getppid(), [], None, 30, settings, mock.Mock())
        self.addCleanup(self.worker.tmp.close)

    def test_what_ends_after_the_worker_writes_into_no_file_of_others(self):
        queue = self.worker.method_queue
        queue.init()
        ends = queue._read_fd, queue._write_fd
        queue.close()
        with tempfile.TemporaryFile(buffering=0) as store:
            others = [os.dup(store.fileno()) for _ in ends]
            queue.defer(print)
            self.assertEqual(0, os.fstat(store.fileno()).st_size)
        for file in (*ends, *others):
            os.close(file)

    def test_a_connection_that_cannot_be_closed_in_order_leaves_its_thread_alone(self):
        self.worker.method_queue.init()
        self.worker.nr_conns = 1
        conn = mock.Mock()
        conn.close.side_effect = [OSError, None]
        with mock.patch.object(self.worker, 'handle', return_value=False):
            self.worker._serve(conn)
        self.worker.method_queue.run_callbacks(None)
        self.assertEqual(0, self.worker.nr_conns)
