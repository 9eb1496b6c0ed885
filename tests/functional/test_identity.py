"""Who is let in by the real server, and what only sockets can send."""

import pathlib
import socket
import subprocess
import sys
import tempfile

import testtools

from tests.fixtures import server
from tests.functional import test_server

_CLIENT = 'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c'


def send(port, *headers, method='GET', path='/v2/queues'):
    """The status and the body of the answer to a request with these lines."""
    with socket.create_connection(('127.0.0.1', port), timeout=10) as connection:
        head = '\r\n'.join((f'{method} {path} HTTP/1.1', 'Host: x', 'Connection: close', _CLIENT, *headers))
        connection.sendall(head.encode() + b'\r\n\r\n')
        answer = b''
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.decode().partition('\r\n\r\n')
    return int(head.split()[1]), body


class HeadersTest(testtools.TestCase):
    """Without authentication, where headers are believed: only those that are meant."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server(OS_STORAGE__DRIVER='memory').start()
        cls.addClassCleanup(cls.server.remove)
        cls.addClassCleanup(cls.server.stop)
        assert send(cls.server.port, 'X-Project-Id: mine', method='PUT', path='/v2/queues/secret')[0] == 201

    def assert_kept_out(self, *headers, **options):
        status, body = send(self.server.port, *headers, **options)
        self.assertLess(status, 500)
        self.assertNotIn('secret', body)
        return status

    def test_a_twin_with_underscores_names_no_project(self):
        for name in ('X_Project_Id', 'X-Project_Id', 'x_project-id'):
            self.assertEqual(400, self.assert_kept_out(f'{name}: mine'))
            self.assertEqual(200, self.assert_kept_out('X-Project-Id: other', f'{name}: mine'))
            self.assertEqual(200, self.assert_kept_out(f'{name}: mine', 'X-Project-Id: other'))

    def test_a_twin_with_underscores_gives_no_role(self):
        reader = ('X-Project-Id: mine', 'X-Roles: reader')
        for name in ('X_Roles', 'X-Roles_', 'x_roles'):
            status, _ = send(self.server.port, *reader, f'{name}: admin', method='DELETE', path='/v2/queues/secret')
            self.assertEqual(403, status)

    def test_two_projects_are_none(self):
        for headers in (('X-Project-Id: mine', 'X-Project-Id: other'), ('X-Project-Id: mine', 'x-project-id: mine')):
            self.assertEqual(400, self.assert_kept_out(*headers))

    def test_no_header_changes_the_method_or_the_path(self):
        for header in (
            'X-HTTP-Method-Override: PUT',
            'X-HTTP-Method: PUT',
            'X-Method-Override: PUT',
            'SCRIPT_NAME: /v2/queues',
            'SCRIPT_NAME: /v2',
            'PATH_INFO: /v2/queues/secret',
            'X-Original-URL: /v2/queues/secret',
            'X-Rewrite-URL: /v2/queues/secret',
            'X-Script-Name: /v2',
            'X-Forwarded-Prefix: /v2',
        ):
            self.assertEqual(200, self.assert_kept_out('X-Project-Id: other', header))
        self.assertEqual(200, send(self.server.port, 'X-Project-Id: mine', path='/v2/queues/secret')[0])

    def test_no_header_changes_where_links_lead(self):
        for header in ('X-Forwarded-Host: evil', 'X-Forwarded-Proto: https', 'Forwarded: host=evil', 'X-Host: evil'):
            status, body = send(self.server.port, 'X-Project-Id: mine', header)
            self.assertEqual(200, status)
            self.assertIn('"href":"/v2/queues/secret"', body)
            self.assertNotIn('evil', body)


class TokensTest(test_server.FunctionalTestCase):
    def test_a_token_opens_its_project_and_a_revoked_one_nothing(self):
        with server.Server('--workers', '2', OS_DEFAULT__AUTH_STRATEGY='tokens') as running:
            self.assertIn('authentication: tokens', running.output())
            self.assertEqual(401, send(running.port, 'X-Project-Id: demo')[0])
            self.assertEqual(300, send(running.port, path='/')[0])
            said = self.manage(running, 'create', '--project', 'demo')
            token, token_id = said.split()[-1], said.split()[1]
            header = f'Authorization: Bearer {token}'
            self.assertEqual(201, send(running.port, header, method='PUT', path='/v2/queues/a')[0])
            self.assertEqual(404, send(running.port, header, path='/v2/other/queues')[0])
            self.manage(running, 'revoke', token_id)
            self.wait_for(lambda: send(running.port, header)[0] == 401 and send(running.port, header)[0] == 401, 25)
            self.assertNotIn(token, running.output())

    def manage(self, running, *words):
        return subprocess.run(
            [sys.executable, '-m', 'queueservice.cmd.manage', 'token', *words],
            env={'XDG_STATE_HOME': str(running.state), 'HOME': str(running.state)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


class RefusalTest(testtools.TestCase):
    assert_refused = test_server.RefusalTest.assert_refused

    def test_authentication_makes_an_open_address_acceptable(self):
        with socket.socket() as busy:
            busy.bind(('0.0.0.0', 0))
            busy.listen()
            # It gets as far as trying.
            self.assert_refused(
                'Cannot listen on 0.0.0.0',
                *('--bind', f'0.0.0.0:{busy.getsockname()[1]}'),
                OS_DEFAULT__AUTH_STRATEGY='tokens',
            )

    def test_unknown_strategy(self):
        self.assert_refused('auth_strategy', OS_DEFAULT__AUTH_STRATEGY='none')

    def test_tokens_on_a_driver_that_keeps_none(self):
        self.assert_refused('Use sqlite or mongodb', OS_DEFAULT__AUTH_STRATEGY='tokens', OS_STORAGE__DRIVER='memory')

    def test_keystone_that_is_not_named(self):
        self.assert_refused(r'\[keystone_authtoken\] auth_type is missing', OS_DEFAULT__AUTH_STRATEGY='keystone')

    def test_keystone_without_its_package(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / 'keystonemiddleware').mkdir()
        (folder / 'keystonemiddleware' / '__init__.py').write_text(
            "raise ModuleNotFoundError('gone', name='keystonemiddleware')\n"
        )
        self.assert_refused(
            r'pip install queueservice\[keystone\]',
            OS_DEFAULT__AUTH_STRATEGY='keystone',
            PYTHONPATH=str(folder),
        )
