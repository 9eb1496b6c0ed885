"""queueservice-worker, by itself and beside queueservice-server, as an operator meets it."""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import testtools

from tests.fixtures import server

COMMAND = (sys.executable, '-m', 'queueservice.cmd.worker')
HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}
#: Attempts end within a second, leases after seven.
QUICK = {'OS_DELIVERY__TIMEOUT': '1', 'OS_DELIVERY__ALLOWED_NETWORKS': '127.0.0.0/8'}


class Receiver:
    """Notes what it is sent, and answers when it may; a context manager."""

    def __enter__(self):
        self.ids = []
        self.arrived = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers['Content-Length']))
                receiver.ids.append(self.headers['webhook-id'])
                receiver.arrived.release()
                receiver.may_answer.wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_address[1]}/'
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()


class WorkerTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix='queueservice-')
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)
        self.receiver = Receiver()
        self.receiver.__enter__()
        self.addCleanup(self.receiver.__exit__)

    def serve(self, *options, **environment):
        running = server.Server(*options, '--workers', '1', state=str(self.state), **QUICK, **environment).start()
        self.addCleanup(running.stop)
        self.running = running
        return running

    def work(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
        environment |= {'XDG_STATE_HOME': str(self.state), 'HOME': str(self.state), **QUICK}
        process = subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def call(self, method, path, document):
        connection = http.client.HTTPConnection('127.0.0.1', self.running.port, timeout=30)
        try:
            connection.request(method, f'/v2/queues/q{path}', json.dumps(document), HEADERS)
            answer = connection.getresponse()
            self.assertIn(answer.status, (201, 204), answer.read())
        finally:
            connection.close()

    def subscribe(self):
        self.call('PUT', '', {})
        self.call('POST', '/subscriptions', {'subscriber': self.receiver.url})

    def post(self, count=1):
        self.call('POST', '/messages', {'messages': [{'body': number} for number in range(count)]})

    def assert_arrives(self, count=1, seconds=30):
        for _ in range(count):
            self.assertTrue(self.receiver.arrived.acquire(timeout=seconds), 'It did not arrive.')

    def wait_for(self, condition, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(0.02)
        self.fail('It did not happen in time.')


class RefusalTest(testtools.TestCase):
    """What cannot work is one clear line, and exit status 2; 1 where only the storage is not ready."""

    def assert_refused(self, pattern, *options, expected, **environment):
        ended = subprocess.run(
            [*COMMAND, *options],
            env={**os.environ, 'XDG_STATE_HOME': '/nonexistent', **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(expected, ended.returncode, ended.stderr)
        self.assertEqual(1, len(ended.stderr.strip().splitlines()), ended.stderr)
        self.assertRegex(ended.stderr, pattern)

    def test_the_memory_driver(self):
        self.assert_refused('inside one process', expected=2, OS_STORAGE__DRIVER='memory')

    def test_a_mistake_in_the_configuration(self):
        self.assert_refused('/nonexistent/file', '--config-file', '/nonexistent/file', expected=2)

    def test_a_store_that_cannot_be_made(self):
        self.assert_refused('/proc/nowhere', expected=1, OS_STORAGE__URI='sqlite:////proc/nowhere/q.db')


class WorkerTest(WorkerTestCase):
    def test_it_delivers_and_hands_back_what_it_holds_when_it_is_told_to_end(self):
        self.serve('--no-worker')
        self.assertEqual([], self.running.deliverers())
        self.assertIn('delivery: none from here', self.running.output())
        self.subscribe()
        first = self.work()
        self.post(3)
        self.assert_arrives(3)
        self.receiver.may_answer.clear()
        self.post(3)
        self.assert_arrives()
        first.send_signal(signal.SIGTERM)
        self.receiver.may_answer.set()
        self.assertEqual(0, first.wait(30))
        self.assertEqual(4, len(self.receiver.ids))
        self.assertIn('queueservice.db', first.stdout.read().decode())
        self.work()
        self.assert_arrives(2, seconds=4)  # sooner than a lease ends
        self.assertEqual(6, len(set(self.receiver.ids)))

    def test_what_one_that_was_killed_held_is_delivered_by_the_next(self):
        self.serve('--no-worker')
        self.subscribe()
        first = self.work()
        self.receiver.may_answer.clear()
        self.post(2)
        self.assert_arrives()
        first.kill()
        first.wait()
        self.receiver.may_answer.set()
        self.work()
        self.assert_arrives(2)
        self.assertEqual(2, len(set(self.receiver.ids)))


class ServerTest(WorkerTestCase):
    def test_a_server_sees_to_its_worker(self):
        self.serve()
        self.assertIn('delivery: a process of its own', self.running.output())
        self.subscribe()
        self.post()
        self.assert_arrives()
        (killed,) = self.running.deliverers()
        os.kill(killed, signal.SIGKILL)
        self.wait_for(lambda: self.running.deliverers() not in ([], [killed]))
        self.post()
        self.assert_arrives()
        (before,) = self.running.deliverers()
        self.running.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: self.running.deliverers() and before not in self.running.deliverers())
        self.post()
        self.assert_arrives()
        (last,) = self.running.deliverers()
        self.assertEqual(0, self.running.stop())
        self.assertFalse(pathlib.Path(f'/proc/{last}').exists())

    def test_a_worker_ends_with_its_server(self):
        self.serve()
        self.wait_for(self.running.deliverers)
        (orphan,) = self.running.deliverers()
        self.running.process.kill()
        self.running.process.wait()
        self.wait_for(lambda: not _runs(orphan))

    def test_on_the_memory_driver_the_one_process_delivers(self):
        self.serve(OS_STORAGE__DRIVER='memory')
        self.assertEqual([], self.running.deliverers())
        self.assertIn('delivery: the same process', self.running.output())
        self.subscribe()
        self.post()
        self.assert_arrives()


def _runs(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0] != 'Z'
    except FileNotFoundError:
        return False
