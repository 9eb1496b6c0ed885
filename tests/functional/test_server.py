"""queueservice-server as an operator meets it."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

import testtools

from tests.fixtures import server

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}
RAW_HEADERS = ''.join(f'{name}: {value}\r\n' for name, value in {'Host': 'x', **HEADERS}.items())


def run(*options, **environment):
    """Run the server until it refuses; (exit status, standard output, standard error)."""
    ended = subprocess.run(
        [*server.COMMAND, *options],
        env={**os.environ, 'XDG_STATE_HOME': '/nonexistent', **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ended.returncode, ended.stdout, ended.stderr


def call(port, method, path, document=None, timeout=10):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    try:
        connection.request(method, path, None if document is None else json.dumps(document), HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get(path, more=''):
    """A request as it is sent."""
    return f'GET {path} HTTP/1.1\r\n{RAW_HEADERS}{more}\r\n'.encode()


class FunctionalTestCase(testtools.TestCase):
    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return pathlib.Path(directory.name)

    def wait_for(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        self.fail('It did not happen in time.')


class RefusalTest(testtools.TestCase):
    """What cannot work is one clear line and exit status 2; 1 where only the storage is not ready."""

    def assert_refused(self, pattern, *options, expected=2, **environment):
        status, _, error = run(*options, **environment)
        self.assertEqual(expected, status, error)
        self.assertEqual(1, len(error.strip().splitlines()), error)
        self.assertRegex(error, pattern)

    def test_unknown_option(self):
        self.assert_refused('unrecognized arguments: --wrong', '--wrong')

    def test_workers_must_be_a_number(self):
        self.assert_refused("--workers: invalid int value: 'many'", '--workers', 'many')

    def test_workers_must_be_positive(self):
        self.assert_refused('workers', '--workers', '0')

    def test_bind_needs_a_port(self):
        self.assert_refused('HOST:PORT', '--bind', 'localhost')

    def test_unknown_driver_lists_those_there_are(self):
        self.assert_refused('"nosuch".*memory, mongodb, sqlite', OS_STORAGE__DRIVER='nosuch')

    def test_bad_value_from_the_environment(self):
        self.assert_refused('port', OS_SERVER__PORT='high')

    def test_missing_configuration_file(self):
        self.assert_refused('/nonexistent/file', '--config-file', '/nonexistent/file')

    def test_malformed_encryption_key(self):
        self.assert_refused(
            r'\[encryption\] keys: entry 2 .*"b:" must be 32 bytes', OS_ENCRYPTION__KEYS=f'a:{"A" * 43}=,b:AES256'
        )
        self.assert_refused('the same id', OS_ENCRYPTION__KEYS=f'a:{"A" * 43}=,a:{"B" * 43}=')

    def test_a_time_zone_that_there_is_not(self):
        self.assert_refused(r'\[staged\] timezone: There is no time zone "Atlantis"', OS_STAGED__TIMEZONE='Atlantis')

    def test_a_network_that_is_none(self):
        self.assert_refused(r'\[delivery\] allowed_networks: .*10/99', OS_DELIVERY__ALLOWED_NETWORKS='10/99')

    def test_uri_of_another_store(self):
        self.assert_refused('sqlite:///PATH', OS_STORAGE__URI='postgresql://x')

    def test_store_that_cannot_be_made(self):
        self.assert_refused(
            '/proc/nowhere',
            '--bind',
            f'127.0.0.1:{server.free_port()}',
            expected=1,
            OS_STORAGE__URI='sqlite:////proc/nowhere/q.db',
        )

    def test_store_that_does_not_answer(self):
        uri = f'mongodb://127.0.0.1:{server.free_port()}'
        self.assert_refused(
            'does not answer',
            '--bind',
            f'127.0.0.1:{server.free_port()}',
            expected=1,
            OS_STORAGE__DRIVER='mongodb',
            OS_STORAGE__URI=uri,
        )

    def test_open_address_without_authentication(self):
        self.assert_refused('allow_open_noauth', '--bind', f'0.0.0.0:{server.free_port()}')

    def test_several_workers_on_the_memory_driver(self):
        self.assert_refused('inside one process', '--workers', '2', OS_STORAGE__DRIVER='memory')

    def test_a_signing_secret_that_can_be_guessed(self):
        self.assert_refused(
            r'\[signed_url\] secret_key', OS_DEFAULT__AUTH_STRATEGY='tokens', OS_SIGNED_URL__SECRET_KEY='sekrit'
        )

    def test_pages_of_every_site_with_credentials(self):
        self.assert_refused('Name the origins', OS_CORS__ALLOWED_ORIGIN='*', OS_CORS__ALLOW_CREDENTIALS='true')

    def test_busy_port(self):
        with socket.socket() as busy:
            busy.bind(('127.0.0.1', 0))
            busy.listen()
            port = busy.getsockname()[1]
            self.assert_refused(f'127.0.0.1:{port}', '--bind', f'127.0.0.1:{port}', OS_STORAGE__DRIVER='memory')


class ServerTest(FunctionalTestCase):
    def test_says_where_it_listens_and_where_the_data_is(self):
        with server.Server('--workers', '2') as running:
            self.assertIn(f'http://127.0.0.1:{running.port}', running.output())
            self.assertIn(f'sqlite:///{running.state}/queueservice/queueservice.db', running.output())
            self.wait_for(lambda: len(running.workers()) == 2)

    def test_says_which_file_shows_its_secrets(self):
        path = self.directory() / 'a.conf'
        path.write_text('[signed_url]\nsecret_key = nobody-shall-read-this\n')
        path.chmod(0o644)
        with server.Server('--config-file', str(path), OS_STORAGE__DRIVER='memory') as running:
            self.assertIn(f'Every user of this machine can read {path}', running.output())
            self.assertIn('fewer than 32 bytes', running.output())
            self.assertNotIn('nobody-shall-read-this', running.output())

    def test_messages_survive_a_restart(self):
        first = server.Server('--workers', '2').start()
        self.addCleanup(first.remove)
        post = {'messages': [{'body': 1}, {'body': {'a': [True]}}]}
        self.assertEqual(201, call(first.port, 'POST', '/v2/queues/q/messages', post)[0])
        self.assertEqual(0, first.stop())
        with server.Server(state=str(first.state)) as second:
            _, raw = call(second.port, 'GET', '/v2/queues/q/messages?echo=true')
        self.assertEqual([1, {'a': [True]}], [one['body'] for one in json.loads(raw)['messages']])

    def test_logs_requests_on_demand(self):
        with server.Server('--access-log', OS_STORAGE__DRIVER='memory') as running:
            call(running.port, 'GET', '/v2/queues?limit=3')
            self.wait_for(lambda: 'GET /v2/queues?..." 200' in running.output())

    def test_takes_options_from_files_and_environment(self):
        state = self.directory()
        (state / 'a.conf').write_text('[transport]\nmax_messages_per_page = 7\ndefault_message_ttl = 90\n')
        running = server.Server(
            '--config-file', str(state / 'a.conf'), OS_STORAGE__DRIVER='memory', OS_TRANSPORT__DEFAULT_MESSAGE_TTL='120'
        )
        with running:
            self.assertEqual(400, call(running.port, 'GET', '/v2/queues/q/messages?limit=8')[0])
            _, raw = call(running.port, 'GET', '/v2/queues/q')
        self.assertEqual(120, json.loads(raw)['_default_message_ttl'])

    def test_reads_its_configuration_again_on_hup(self):
        state = self.directory()
        path = state / 'a.conf'
        path.write_text('[transport]\nmax_messages_per_page = 7\n')
        with server.Server('--config-file', str(path), '--workers', '1') as running:
            old = running.workers()
            path.write_text('[transport]\nmax_messages_per_page = 8\n')
            running.process.send_signal(signal.SIGHUP)
            self.wait_for(lambda: running.workers() and not set(old) & set(running.workers()))
            self.assertEqual(200, call(running.port, 'GET', '/v2/queues/q/messages?limit=8')[0])
            path.write_text('[transport]\nmax_messages_per_page = none\n')
            running.process.send_signal(signal.SIGHUP)
            self.wait_for(lambda: 'the old configuration stays' in running.output())
            self.wait_for(lambda: call(running.port, 'GET', '/v2/queues/q/messages?limit=8')[0] == 200)

    def test_a_reload_that_names_another_store_prepares_it(self):
        directory = self.directory()
        path = directory / 'a.conf'
        path.write_text('')
        with server.Server('--config-file', str(path), '--workers', '1') as running:
            old = running.workers()
            path.write_text(f'[storage]\nuri = sqlite:///{directory}/other.db\n')
            running.process.send_signal(signal.SIGHUP)
            self.wait_for(lambda: running.workers() and not set(old) & set(running.workers()))
            self.wait_for(lambda: call(running.port, 'PUT', '/v2/queues/q')[0] in (201, 204))
            self.assertTrue((directory / 'other.db').exists())

    def test_requests_in_progress_finish_on_sigterm(self):
        self._finishes_on(signal.SIGTERM)

    def test_requests_in_progress_finish_on_sigint(self):
        self._finishes_on(signal.SIGINT)

    def _finishes_on(self, number):
        body = json.dumps({'messages': [{'body': 'slow'}]}).encode()
        running = server.Server('--workers', '1', '--threads', '4').start()
        self.addCleanup(running.remove)
        with socket.create_connection(('127.0.0.1', running.port), timeout=10) as slow:
            head = f'POST /v2/queues/q/messages HTTP/1.1\r\n{RAW_HEADERS}Content-Length: {len(body)}\r\n\r\n'
            slow.sendall(head.encode())
            slow.sendall(body[:10])
            time.sleep(0.5)
            os.killpg(running.process.pid, number)  # as Ctrl-C does: to everybody
            time.sleep(0.5)
            slow.sendall(body[10:])
            answer = slow.recv(65536)
        self.assertTrue(answer.startswith(b'HTTP/1.1 201'), answer)
        self.assertEqual(0, running.process.wait(35))
        running.kill()

    def test_connections_that_are_kept_open_do_not_keep_it_from_ending(self):
        running = server.Server('--workers', '1').start()
        self.addCleanup(running.remove)
        self.addCleanup(running.kill)
        with (
            socket.create_connection(('127.0.0.1', running.port), timeout=10) as idle,
            socket.create_connection(('127.0.0.1', running.port), timeout=10) as silent,
        ):
            idle.sendall(get('/v2/ping'))
            self.assertTrue(idle.recv(65536).startswith(b'HTTP/1.1 204'))
            running.process.send_signal(signal.SIGTERM)
            self.assertEqual((b'', b''), (idle.recv(1), silent.recv(1)))
            self.assertEqual(0, running.process.wait(10))

    def test_requests_that_are_sent_ahead_are_answered_in_order(self):
        paths = '/v2/ping', '/v2/queues/q/stats', '/v2/ping', '/v2/queues/q/nothing', '/v2/queues/q/claims'
        asked = b''.join(get(path) for path in paths[:-1]) + get(paths[-1], 'Connection: close\r\n')
        with server.Server('--workers', '1') as running:
            call(running.port, 'PUT', '/v2/queues/q')
            with socket.create_connection(('127.0.0.1', running.port), timeout=10) as connection:
                connection.sendall(asked)
                with connection.makefile('rb') as stream:
                    answers = stream.read()
        statuses = [int(status) for status in re.findall(rb'HTTP/1.1 (\d+) ', answers)]
        self.assertEqual([204, 200, 204, 404, 405], statuses)

    def test_a_client_that_sends_ahead_lets_others_have_their_turn(self):
        count = 3000
        with (
            server.Server('--workers', '1', '--threads', '1') as running,
            socket.create_connection(('127.0.0.1', running.port), timeout=10) as hasty,
        ):
            hasty.sendall(get('/v2/ping') * count)
            self.assertEqual(204, call(running.port, 'GET', '/v2/ping')[0])
            hasty.setblocking(False)
            received = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    received.append(hasty.recv(65536))
        self.assertLess(b''.join(received).count(b'HTTP/1.1 204'), count)

    def test_more_connections_than_files_may_be_open_stop_nothing(self):
        with server.Server('--workers', '1', OS_STORAGE__DRIVER='memory') as running:
            (worker,) = running.workers()
            most = len(os.listdir(f'/proc/{worker}/fd')) + 10
            _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, hard))
            with contextlib.ExitStack() as stack:
                clients = [socket.create_connection(('127.0.0.1', running.port), timeout=10) for _ in range(20)]
                for client in clients:
                    stack.enter_context(client)
                clients[0].sendall(get('/v2/ping'))
                self.assertTrue(clients[0].recv(65536).startswith(b'HTTP/1.1 204'))
            self.assertEqual(204, call(running.port, 'GET', '/v2/ping')[0])
            self.assertEqual([worker], running.workers())

    def test_a_killed_worker_is_replaced(self):
        with server.Server('--workers', '1') as running:
            (worker,) = running.workers()
            os.kill(worker, signal.SIGKILL)
            self.wait_for(lambda: running.workers() and running.workers() != [worker])
            self.wait_for(lambda: call(running.port, 'GET', '/v2/ping')[0] == 204)

    def test_many_requests_at_once_are_all_answered(self):
        with server.Server('--workers', '2') as running, concurrent.futures.ThreadPoolExecutor(32) as pool:
            post = {'messages': [{'body': 1}]}
            answers = list(pool.map(lambda _: call(running.port, 'POST', '/v2/queues/q/messages', post)[0], range(200)))
            _, raw = call(running.port, 'GET', '/v2/queues/q/stats')
        self.assertEqual([201] * 200, answers)
        self.assertEqual(200, json.loads(raw)['messages']['total'])
