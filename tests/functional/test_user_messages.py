"""User messages read and deleted by the clients of the block storage API, unmodified, from a real server on SQLite.

The messages are written on the server's own database, as the worker does it.
"""

import re
import subprocess
import sys
import time

import openstack
import testtools
from cinderclient import client as cinder_client
from cinderclient import exceptions as cinder_exceptions
from cinderclient.contrib import noauth
from keystoneauth1 import session
from openstack import exceptions

from queueservice import bootstrap
from queueservice.model import user_messages
from queueservice.storage.drivers.sqlite import driver
from tests.fixtures import server

_PROJECT = 'c0ffee'
_REQUEST_ID = 'req-5e4d1a90-7c3b-4000-8000-0000000001f4'


class UserMessageTestCase(testtools.TestCase):
    """Five messages of a project, from the oldest to the newest, and one of another project."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server('--workers', '2').start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        store = driver.Driver(self.server.state / 'queueservice' / 'queueservice.db')
        self.addCleanup(store.close)
        written = bootstrap.build_services(store).user_messages
        now = time.time()
        self.addCleanup(self.forget, written)
        for number, detail in enumerate(('timeout', 'status', 'dns', 'tls', 'expired')):
            self.write(written, _PROJECT, detail, f'subscription-{number % 2}', now + number, f'{self.id()}-{number}')
        self.write(written, 'other', 'timeout', 'subscription-0', now, self.id())
        self.ids = [user_messages.new_id(_PROJECT, f'{self.id()}-{number}') for number in range(5)]
        self.other = user_messages.new_id('other', self.id())

    def write(self, written, project, detail, subscription, at, name):
        written.write(project, 'message', detail, 'SUBSCRIPTION', subscription, _REQUEST_ID, at, name)

    def forget(self, written):
        for one in written.page(_PROJECT):
            written.delete(_PROJECT, one.id)


class CinderClientTest(UserMessageTestCase):
    def connect(self, version='3.71', project=_PROJECT):
        auth = noauth.CinderNoAuthPlugin('user', project, None, f'{self.server.url}/v3')
        return cinder_client.Client(version, session=session.Session(auth=auth))

    def list_ids(self, version='3.71', **options):
        return [one.id for one in self.connect(version).messages.list(**options)]

    def test_all_are_listed_the_newest_first(self):
        self.assertEqual(self.ids[::-1], self.list_ids())
        self.assertEqual(self.ids[::-1], self.list_ids('3.3'))

    def test_lists_are_narrowed_sorted_and_paged(self):
        self.assertEqual([self.ids[3], self.ids[1]], self.list_ids(search_opts={'resource_uuid': 'subscription-1'}))
        self.assertEqual([self.ids[2]], self.list_ids(search_opts={'event_id': 'QUEUE_SUBSCRIPTION_001_006'}))
        self.assertEqual([], self.list_ids(search_opts={'message_level': 'WARNING'}))
        self.assertEqual(self.ids, self.list_ids(sort='created_at:asc'))
        self.assertEqual(self.ids[::-1], self.list_ids(sort='guaranteed_until,request_id:asc'))
        self.assertEqual(self.ids[2:4], self.list_ids(sort='created_at:asc', marker=self.ids[1], limit=2))

    def test_what_the_server_refuses_is_told(self):
        messages = self.connect().messages
        refused = self.assertRaises(cinder_exceptions.BadRequest, messages.list, search_opts={'colour': 'red'})
        self.assertIn('cannot be filtered by "colour"', refused.message)
        self.assertRegex(refused.request_id, '^req-')
        self.assertEqual([], self.list_ids('3.30', search_opts={'colour': 'red'}))

    def test_one_is_shown(self):
        shown = self.connect().messages.get(self.ids[0])
        self.assertEqual('deliver message:The subscriber did not answer in time.', shown.user_message)
        self.assertEqual(('SUBSCRIPTION', 'subscription-0'), (shown.resource_type, shown.resource_uuid))
        self.assertEqual((_REQUEST_ID, 'ERROR'), (shown.request_id, shown.message_level))
        self.assertEqual(f'{self.server.url}/v3/{_PROJECT}/messages/{shown.id}', shown.links[0]['href'])

    def test_one_is_deleted(self):
        messages = self.connect().messages
        messages.delete(self.ids[0])
        self.assertRaises(cinder_exceptions.NotFound, messages.get, self.ids[0])
        self.assertEqual(self.ids[:0:-1], self.list_ids())

    def test_those_of_others_are_not_there(self):
        messages = self.connect().messages
        self.assertRaises(cinder_exceptions.NotFound, messages.get, self.other)
        self.assertRaises(cinder_exceptions.NotFound, messages.delete, self.other)
        self.assertEqual([self.other], [one.id for one in self.connect(project='other').messages.list()][:1])

    def test_the_client_learns_what_the_server_can(self):
        found = cinder_client.get_server_version(f'{self.server.url}/v3/{_PROJECT}')
        self.assertEqual(('3.0', '3.71'), tuple(version.get_string() for version in found))


class CinderCommandTest(UserMessageTestCase):
    """The command cinder, which asks for the versions before anything else."""

    def cinder(self, *words):
        """What the command prints, on its standard output."""
        options = {
            'auth-type': 'noauth',
            'endpoint': f'{self.server.url}/v3',
            'user-id': 'user',
            'project-id': _PROJECT,
        }
        done = subprocess.run(
            [
                sys.executable,
                '-m',
                'cinderclient.shell',
                *(f'--os-{name}={value}' for name, value in options.items()),
                '--os-volume-api-version=3.71',
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def test_list_show_and_delete(self):
        listed = self.cinder('message-list', '--sort', 'created_at:asc', '--limit', '2')
        self.assertEqual(self.ids[:2], re.findall('[0-9a-f]{8}-[0-9a-f-]{27}', listed))
        self.assertIn('QUEUE_SUBSCRIPTION_001_003', listed)
        shown = self.cinder('message-show', self.ids[4])
        self.assertIn('deliver message:The message expired before it could be delivered.', shown)
        self.assertIn(_REQUEST_ID, shown)
        self.cinder('message-delete', self.ids[4], self.ids[3])
        left = self.cinder('message-list', '--resource_uuid', 'subscription-0')
        self.assertEqual({self.ids[0], self.ids[2]}, set(re.findall('[0-9a-f]{8}-[0-9a-f-]{27}', left)))


class OpenStackSdkTest(UserMessageTestCase):
    """openstacksdk's block-storage proxy, without Keystone."""

    def setUp(self):
        super().setUp()
        self.proxy = openstack.connect(
            auth_type='admin_token',
            auth={'endpoint': self.server.url, 'token': f'user:{_PROJECT}'},
            block_storage_endpoint_override=f'{self.server.url}/v3/{_PROJECT}',
            block_storage_api_version='3',
            block_storage_default_microversion='3.71',
        ).block_storage

    def test_all_are_listed_page_by_page(self):
        self.assertEqual(self.ids[::-1], [one.id for one in self.proxy.messages()])
        listed = list(self.proxy.messages(limit=2, sort='created_at:asc'))
        self.assertEqual(self.ids, [one.id for one in listed])
        self.assertEqual('deliver message:The subscriber did not answer in time.', listed[0].user_message)

    def test_one_is_found_and_deleted(self):
        self.assertEqual(self.ids[1], self.proxy.get_message(self.ids[1]).id)
        self.proxy.delete_message(self.ids[1])
        self.assertRaises(exceptions.NotFoundException, self.proxy.get_message, self.ids[1])
        self.assertRaises(exceptions.NotFoundException, self.proxy.delete_message, self.ids[1], ignore_missing=False)

    def test_those_of_others_are_not_there(self):
        self.assertRaises(exceptions.NotFoundException, self.proxy.get_message, self.other)
        self.proxy.delete_message(self.other)
