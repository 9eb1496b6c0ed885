"""seed-services-client, unmodified, against the real server: every call that it has for staged messaging."""

import inspect
import io
import json
import os
import subprocess
import sys
import time
import urllib.request

import testtools

from tests.fixtures import server

# Python 3.11 has no getargspec any more, which its HTTP layer asks for while it is imported.
if not hasattr(inspect, 'getargspec'):
    inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]

from seed_services_client import stage_based_messaging

PROJECT = 'clinic'


class SeedClientTest(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server('--workers', '1', OS_DEFAULT__AUTH_STRATEGY='tokens').start()
        made = subprocess.run(
            [
                sys.executable,
                '-m',
                'queueservice.cmd.manage',
                'token',
                'create',
                '--project',
                PROJECT,
                '--role',
                'admin',
            ],
            env={**os.environ, 'XDG_STATE_HOME': str(cls.server.state), 'HOME': str(cls.server.state)},
            capture_output=True,
            text=True,
            check=True,
        )
        cls.admin = made.stdout.split()[-1]

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.api = f'{self.server.url}/api/v1'
        token = self.ask('POST', '/user/token/', {'email': 'nurse@clinic.example.org'})['token']
        self.client = stage_based_messaging.StageBasedMessagingApiClient(token, self.api)

    def ask(self, method, path, document=None):
        """What the client has no call for."""
        request = urllib.request.Request(
            self.api + path,
            json.dumps(document).encode(),
            {'Authorization': f'Token {self.admin}', 'Content-Type': 'application/json'},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def test_every_call(self):
        schedule = self.ask('POST', '/schedule/', {'minute': '0', 'hour': '8'})
        for number in range(3):
            self.ask('POST', '/schedule/', {'hour': str(number)})
        self.assertEqual(schedule, self.client.get_schedule(schedule['id']))
        walked = list(self.client.get_schedules({'limit': 2})['results'])
        self.assertEqual(4, len({one['id'] for one in walked}))

        made = self.ask('POST', '/messageset/', {'short_name': 'course', 'default_schedule': schedule['id']})
        self.assertEqual(made, self.client.get_messageset(made['id']))
        self.assertEqual([made], list(self.client.get_messagesets({'short_name': 'course'})['results']))

        file = self.client.create_binarycontent({'content': ('week-1.mp3', io.BytesIO(b'sound'))})
        with urllib.request.urlopen(file['content'], timeout=10) as answer:
            self.assertEqual(b'sound', answer.read())
        message = self.client.create_message(
            {'messageset': made['id'], 'sequence_number': 1, 'lang': 'eng_ZA', 'text_content': 'one'}
        )
        self.client.create_message(
            {'messageset': made['id'], 'sequence_number': 2, 'lang': 'eng_ZA', 'binary_content': file['id']}
        )
        self.assertEqual(message, self.client.get_message(message['id']))
        changed = self.client.update_message(message['id'], {'text_content': 'first'})
        self.assertEqual('first', changed['text_content'])
        self.assertEqual(2, len(list(self.client.get_messages({'messageset': made['id'], 'limit': 1})['results'])))
        self.assertEqual({str(made['id']): ['eng_ZA']}, self.client.get_messageset_languages())

        enrolment = self.client.create_subscription(
            {'identity': 'i', 'messageset': made['id'], 'lang': 'eng_ZA', 'schedule': schedule['id']}
        )
        self.assertEqual(enrolment, self.client.get_subscription(enrolment['id']))
        found = list(self.client.get_subscriptions({'identity': 'i', 'active': True})['results'])
        self.assertEqual([enrolment], found)
        changed = self.client.update_subscription(enrolment['id'], {'metadata': {'to_addr': '+27'}})
        self.assertEqual({'to_addr': '+27'}, changed['metadata'])

        self.assertEqual({'accepted': True}, self.client.resend_subscription(enrolment['id']))
        self.assertEqual({'accepted': True}, self.ask('POST', f'/subscriptions/{enrolment["id"]}/send'))
        self.wait_for(['first', 'first'])
        self.assertEqual([], list(self.client.get_failed_tasks()['results']))
        self.assertEqual({'requeued_failed_tasks': True}, self.client.requeue_failed_tasks())

        self.client.delete_message(message['id'])
        self.client.delete_binarycontent(file['id'])
        self.assertEqual([], list(self.client.get_messages()['results']))

    def wait_for(self, expected):
        """The worker posts to the outbound queue what was asked for."""
        request = urllib.request.Request(
            f'{self.server.url}/v2/queues/outbound/messages',
            headers={'X-Auth-Token': self.admin, 'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c'},
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found = [one['body']['content'] for one in json.loads(answer.read())['messages']]
            if len(found) >= len(expected):
                break
            time.sleep(0.1)
        self.assertEqual(expected, found)
