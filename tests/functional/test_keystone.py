"""The service in an OpenStack: a real Keystone, and the clients that people have, unmodified."""

import datetime
import pathlib
import tempfile
import time
import uuid

import requests
import testtools
from openstack.message.v2 import claim
from zaqarclient.queues import client as zaqar_client

from tests.fixtures import keystone_server, server

_CONFIGURATION = """
[DEFAULT]
auth_strategy = keystone

[keystone_authtoken]
auth_type = password
auth_url = {url}
www_authenticate_uri = {url}
username = queueservice
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default
"""


class KeystoneTest(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.keystone = keystone_server.Keystone()
        cls.addClassCleanup(cls.keystone.remove)
        cls.keystone.set_up()
        cls.fill()
        configuration = pathlib.Path(cls.folder.name) / 'queueservice.conf'
        configuration.write_text(
            _CONFIGURATION.format(url=cls.keystone.url, password=keystone_server.PASSWORD.replace('%', '%%'))
        )
        cls.server = server.Server('--config-file', str(configuration), '--workers', '1').start()
        cls.addClassCleanup(cls.server.remove)
        cls.addClassCleanup(cls.server.stop)
        cls.publish()

    @classmethod
    def fill(cls):
        """Two projects, and a user for each role."""
        cls.identity = cls.keystone.connect().identity
        roles = {role.name: role for role in cls.identity.roles()}
        cls.projects = {
            name: cls.identity.create_project(name=name, domain_id='default') for name in ('demo', 'other', 'service')
        }
        for user, project, role in (
            ('queueservice', 'service', 'service'),
            ('alice', 'demo', 'member'),
            ('alice', 'other', 'member'),
            ('rita', 'demo', 'reader'),
            ('bob', 'other', 'admin'),
        ):
            found = cls.identity.find_user(user) or cls.identity.create_user(
                name=user, password=keystone_server.PASSWORD, domain_id='default'
            )
            cls.identity.assign_project_role_to_user(cls.projects[project], found, roles[role])

    @classmethod
    def publish(cls):
        """Enter the service into the catalogue."""
        service = cls.identity.create_service(type='messaging', name='queueservice')
        cls.identity.create_endpoint(service_id=service.id, interface='public', region_id='here', url=cls.server.url)

    def token(self, user='alice', project='demo'):
        return self.keystone.connect(user, project).session.get_token()

    def ask(self, token, method='GET', path='/v2/queues', **headers):
        sent = {'Client-ID': str(uuid.uuid4()), **({} if token is None else {'X-Auth-Token': token})}
        sent |= {name.replace('_', '-'): value for name, value in headers.items()}
        return requests.request(method, self.server.url + path, headers=sent, timeout=30)

    def assert_status(self, status, answer):
        self.assertEqual(status, answer.status_code, answer.text)
        return answer

    def names(self, token, **headers):
        return [queue['name'] for queue in self.assert_status(200, self.ask(token, **headers)).json()['queues']]

    def test_the_server_says_so(self):
        self.assertIn('authentication: Keystone', self.server.output())

    def test_openstacksdk_logs_in_and_uses_a_queue(self):
        name = f'q-{uuid.uuid4().hex}'
        proxy = self.keystone.connect('alice', 'demo').message
        self.assertEqual(self.server.url, proxy.get_endpoint().rstrip('/').removesuffix('/v2'))
        proxy.create_queue(name=name)
        posted = proxy.post_message(name, [{'body': {'n': 1}, 'ttl': 300}, {'body': 2, 'ttl': 300}])
        self.assertEqual([{'n': 1}, 2], [one.body for one in proxy.messages(name, echo=True)])
        # As in test_clients: a claim that belongs to a connection takes its Location for another one.
        claimed = claim.Claim.new(queue_name=name, ttl=300, grace=60).create(proxy)
        self.assertEqual([{'n': 1}, 2], [one['body'] for one in claimed.messages])
        self.assertEqual(2, len(posted))
        self.assertIn(name, self.names(self.token()))
        self.assertNotIn(name, self.names(self.token('bob', 'other')))
        self.assertNotIn(name, self.names(self.token('alice', 'other'), X_Project_Id=self.projects['demo'].id))
        proxy.delete_queue(name)

    def test_zaqarclient_logs_in_and_uses_a_queue(self):
        options = {
            'os_username': 'alice',
            'os_password': keystone_server.PASSWORD,
            'os_project_name': 'demo',
            'os_user_domain_id': 'default',
            'os_project_domain_id': 'default',
            'os_auth_url': self.keystone.url,
            'region_name': 'here',
        }
        client = zaqar_client.Client(
            self.server.url, version=2, conf={'auth_opts': {'backend': 'keystone', 'options': options}}
        )
        used = client.queue(f'q-{uuid.uuid4().hex}')
        used.post({'body': 'hello', 'ttl': 300})
        self.assertEqual(['hello'], [one.body for one in used.claim(ttl=300, grace=60)])
        self.assertIn(used._name, self.names(self.token()))
        used.delete()

    def test_without_a_token_nobody_is_let_in(self):
        answer = self.assert_status(401, self.ask(None, X_Project_Id=self.projects['demo'].id, X_Roles='admin'))
        self.assertIn(f'Keystone uri="{self.keystone.url}"', answer.headers['WWW-Authenticate'])
        self.assert_status(401, self.ask('gAAAAA' + 'x' * 180))

    def test_roles_are_those_of_keystone(self):
        name = f'/v2/queues/q-{uuid.uuid4().hex}'
        self.assert_status(403, self.ask(self.token('rita'), 'PUT', name, X_Roles='admin'))
        self.assert_status(201, self.ask(self.token('alice'), 'PUT', name))
        self.assert_status(200, self.ask(self.token('rita'), 'GET', name))
        self.assert_status(403, self.ask(self.token('alice'), 'GET', '/v2/projects'))
        self.assert_status(200, self.ask(self.token('bob', 'other'), 'GET', '/v2/projects'))

    def test_another_project_in_the_url_is_not_found(self):
        path = f'/v2/{self.projects["demo"].id}/queues'
        self.assert_status(200, self.ask(self.token(), path=path))
        for user in ('alice', 'bob'):
            self.assert_status(404, self.ask(self.token(user, 'other'), path=path))

    def test_a_token_without_a_project_is_refused(self):
        answer = self.assert_status(403, self.ask(self.token(project=None)))
        self.assertIn('scoped to a project', answer.json()['description'])

    def test_a_revoked_token_is_refused(self):
        connection = self.keystone.connect('alice', 'demo')
        token = connection.session.get_token()
        revoked = requests.delete(
            f'{self.keystone.url}/auth/tokens', headers={'X-Auth-Token': token, 'X-Subject-Token': token}, timeout=30
        )
        self.assertEqual(204, revoked.status_code)
        self.assert_status(401, self.ask(token))

    def test_an_expired_token_is_refused_though_it_is_remembered(self):
        credential = self.make_credential(expires_in=6)
        token = self.keystone.connect_by_credential(credential).session.get_token()
        self.assert_status(200, self.ask(token))
        time.sleep(6.5)
        self.assert_status(401, self.ask(token))

    def test_a_token_that_access_rules_bind_is_refused(self):
        rules = [{'method': 'GET', 'path': '/v2/queues', 'service': 'messaging'}]
        credential = self.make_credential(access_rules=rules)
        token = self.keystone.connect_by_credential(credential).session.get_token()
        answer = self.assert_status(403, self.ask(token))
        self.assertIn('access rules', answer.json()['description'])

    def test_while_keystone_is_down_only_known_tokens_are_good(self):
        known, unknown = self.token(), self.token()
        self.assert_status(200, self.ask(known))
        self.keystone.stop()
        try:
            for _ in range(2):
                self.assert_status(200, self.ask(known))
                answer = self.assert_status(503, self.ask(unknown, X_Project_Id=self.projects['demo'].id))
                self.assertEqual('2', answer.headers['Retry-After'])
        finally:
            self.keystone.start()
        deadline = time.monotonic() + 30
        while self.ask(unknown).status_code != 200:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.5)

    def make_credential(self, expires_in=None, **more):
        connection = self.keystone.connect('alice', 'demo')
        wanted = {'name': uuid.uuid4().hex, **more}
        if expires_in is not None:
            end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=expires_in)
            wanted['expires_at'] = end.strftime('%Y-%m-%dT%H:%M:%S.000000')
        answer = connection.session.post(
            f'{self.keystone.url}/users/{connection.session.get_user_id()}/application_credentials',
            json={'application_credential': wanted},
        )
        return answer.json()['application_credential']
