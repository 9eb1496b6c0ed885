"""Subscribers of the real server, which has its worker beside it: from the question whether they want messages to the
reason why one did not arrive. By the clients that people have, unmodified, and by what the answers say.
"""

import re
import subprocess
import sys
import time
import uuid
from urllib import parse

import requests
import standardwebhooks
import testtools
from cinderclient import client as cinder_client
from cinderclient.contrib import noauth
from keystoneauth1 import session
from zaqarclient.queues import client as zaqar_client

from queueservice.model import deliveries
from tests.fixtures import mail_server, mongodb, receiver, server

_PROJECT = 'c0ffee'
#: What a subscriber takes from the question for the headers of the answer.
_LINK = ('URL-Signature', 'URL-Methods', 'URL-Paths', 'URL-Expires', 'X-Project-ID')


class Receiver(receiver.Receiver):
    """One that may change its mind: paths in `gone` answer 410."""

    def __init__(self):
        super().__init__()
        self.gone = set()

    def answer(self, path):
        return 410 if path in self.gone else super().answer(path)


class SubscriptionTestCase(testtools.TestCase):
    """A server that asks subscribers, and a receiver, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.receiver = Receiver().__enter__()
        cls.addClassCleanup(cls.receiver.__exit__)
        cls.port = server.free_port()
        environment = {
            'OS_NOTIFICATION__REQUIRE_CONFIRMATION': 'true',
            'OS_DELIVERY__ALLOWED_NETWORKS': '127.0.0.0/8',
            **cls.environment(),
        }
        cls.server = server.Server(port=cls.port, **environment).start()
        cls.addClassCleanup(cls.server.remove)
        cls.addClassCleanup(cls.server.stop)

    @classmethod
    def environment(cls):
        """What else the server is told, as environment variables."""
        return {}

    def setUp(self):
        super().setUp()
        self.name = f'q-{uuid.uuid4().hex[:12]}'
        self.client = zaqar_client.Client(self.server.url, version=2, conf={'auth_opts': self.login()})
        self.queue = self.client.queue(self.name)

    def login(self):
        """How zaqarclient says who it is."""
        return {'backend': 'noauth', 'options': {'os_project_id': _PROJECT}}

    def headers(self):
        """How requests by hand say it."""
        return {'X-Project-Id': _PROJECT}

    def call(self, method, path, document=None, status=200, **headers):
        """What a request by hand is answered with."""
        headers = {'Client-ID': str(uuid.uuid4()), **(headers or self.headers())}
        answer = requests.request(method, self.server.url + path, json=document, headers=headers, timeout=30)
        self.assertEqual(status, answer.status_code, answer.text)
        return answer

    def soon(self, find, seconds=10):
        """What `find` finds, as soon as that is anything."""
        deadline = time.monotonic() + seconds
        while not (found := find()):
            self.assertLess(time.monotonic(), deadline, 'It did not happen in time.')
            time.sleep(0.05)
        return found

    def subscribe(self):
        """A subscription of the receiver that it has confirmed, and its path there."""
        path = f'/ok/{self.name}'
        made = self.client.subscription(self.name, subscriber=f'{self.receiver.url}{path}', ttl=3600)
        [asked] = self.receiver.wait_for(1, path=path)
        self.assertFalse(self.client.subscription(self.name, id=made.id).confirmed)
        self.assertEqual('SubscriptionConfirmation', asked.document['Message_Type'])
        link = {name: asked.document[name] for name in _LINK}
        self.call('PUT', asked.document['URL-Paths'], asked.document['SubscribeBody'], status=204, **link)
        self.assertTrue(self.client.subscription(self.name, id=made.id).confirmed)
        return made, path

    def subscribe_copies(self):
        """Let another queue have copies. zaqarclient takes none that say what they were made of."""
        self.call('PUT', f'/v2/queues/{self.name}-copy', {'_show_origin': False}, status=201)
        self.client.subscription(self.name, subscriber=f'queue:{self.name}-copy', ttl=3600)

    def copies(self):
        """The bodies in the queue that subscribes."""
        return [one.body for one in self.client.queue(f'{self.name}-copy').messages(echo=True)]


class StoryTest(SubscriptionTestCase):
    """On SQLite, as the server is out of the box but that it asks."""

    def test_who_confirms_gets_what_is_posted_until_the_end(self):
        self.subscribe_copies()
        self.queue.post({'body': 'too early', 'ttl': 300})
        made, path = self.subscribe()
        # zaqarclient does not show the secret that it is sent: ask for another.
        secret = self.call('POST', f'/v2/queues/{self.name}/subscriptions/{made.id}/secret').json()['secret']
        posted = self.queue.post([{'body': {'order': number}, 'ttl': 300} for number in range(3)])
        came = self.receiver.wait_for(4, path=path)[1:]
        for one in came:
            standardwebhooks.Webhook(secret).verify(one.body, one.headers)
        self.assertEqual([{'order': 0}, {'order': 1}, {'order': 2}], [one.document['body'] for one in came])
        self.assertEqual(
            [href.rpartition('/')[2] for href in posted['resources']], [one.document['message_id'] for one in came]
        )
        made.delete()
        self.queue.post({'body': 'too late', 'ttl': 300})
        self.soon(lambda: 'too late' in self.copies())
        self.assertEqual(4, len(self.receiver.wait_for(4, path=path)))


class StoryInMemoryTest(StoryTest):
    """The process that answers requests delivers."""

    @classmethod
    def environment(cls):
        return {'OS_STORAGE__DRIVER': 'memory'}


class StoryOnMongoDBTest(StoryTest):
    @classmethod
    def environment(cls):
        database = f'queueservice_test_{uuid.uuid4().hex}'
        cls.addClassCleanup(lambda: mongodb.client().drop_database(database))
        return {'OS_STORAGE__DRIVER': 'mongodb', 'OS_STORAGE__URI': mongodb.locate(database)}


class StoryWithTokensTest(StoryTest):
    """With a token one subscribes; to confirm, the link that one was sent is enough."""

    @classmethod
    def environment(cls):
        return {'OS_DEFAULT__AUTH_STRATEGY': 'tokens'}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        words = ('token', 'create', '--project', _PROJECT)
        cls.token = (
            subprocess.run(
                [sys.executable, '-m', 'queueservice.cmd.manage', *words],
                env={'XDG_STATE_HOME': str(cls.server.state), 'HOME': str(cls.server.state)},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            .stdout.split()
            .pop()
        )

    def login(self):
        return {'backend': 'keystone', 'options': {'os_auth_token': self.token}}

    def headers(self):
        return {'X-Auth-Token': self.token}


class EvidenceTest(SubscriptionTestCase):
    """One server with everything that delivers: webhooks, mail and queues."""

    @classmethod
    def environment(cls):
        cls.mail = mail_server.MailServer().__enter__()
        cls.addClassCleanup(cls.mail.stop)
        return {
            'OS_NOTIFICATION__PUBLIC_URL': f'http://127.0.0.1:{cls.port}',
            'OS_NOTIFICATION__SMTP_HOST': '127.0.0.1',
            'OS_NOTIFICATION__SMTP_PORT': str(cls.mail.port),
            'OS_NOTIFICATION__SMTP_SECURITY': 'none',
        }

    def mails(self, word):
        return [mail for mail in list(self.mail.received) if word in mail.get_content()]

    def captured(self, delivery):
        """The exchanges of a delivery, whole."""
        path = f'/buckets/{delivery["bucket_key"]}/messages'
        found = self.call('GET', f'{path}?unique_identifier={delivery["delivery_id"]}').json()['data']
        return [self.call('GET', f'{path}/{one["uuid"]}').json()['data'] for one in found]

    def deliveries_of(self, subscription, **filters):
        path = f'/v2/queues/{subscription["source"]}/subscriptions/{subscription["id"]}/deliveries'
        return self.call('GET', f'{path}?{parse.urlencode(filters)}').json()['deliveries']

    def run_what_is_to_be_pasted(self, text):
        """The command in a mail that asks, as a shell takes it."""
        [command] = re.findall(r'curl (?:.*\\\n)*.*', text)
        subprocess.run(['sh', '-c', command.replace('curl', 'curl -sSf', 1)], check=True, timeout=30)

    def test_a_post_reaches_subscribers_of_every_kind(self):
        hook, path = self.subscribe()
        self.client.subscription(self.name, subscriber='mailto:ann@example.org', ttl=3600)
        self.subscribe_copies()
        [question] = self.soon(lambda: self.mails(self.name))
        self.run_what_is_to_be_pasted(question.get_content())
        self.queue.post({'body': {'order': 1201}, 'ttl': 300})
        [_, came] = self.receiver.wait_for(2, path=path)
        self.assertEqual({'order': 1201}, came.document['body'])
        self.assertEqual([{'order': 1201}], self.soon(self.copies))
        [mail] = self.soon(lambda: self.mails('1201'))
        self.assertEqual('ann@example.org', mail['To'])
        shown = self.call('GET', f'/v2/subscriptions/{hook.id}').json()
        filters = {'outcome': deliveries.DELIVERED, 'message_id': came.document['message_id']}
        [delivery] = self.soon(lambda: self.deliveries_of(shown, **filters))
        self.assertEqual(came.delivery_id, delivery['delivery_id'])
        [exchange] = self.soon(lambda: self.captured(delivery))
        self.assertEqual((204, came.body.decode()), (exchange['response']['status'], exchange['request']['body']))

    def test_from_what_cinder_shows_to_what_was_answered_by_ids_alone(self):
        _, path = self.subscribe()
        self.receiver.gone.add(path)
        self.queue.post({'body': {'order': 1202}, 'ttl': 300})
        auth = noauth.CinderNoAuthPlugin('ann', _PROJECT, None, f'{self.server.url}/v3')
        cinder = cinder_client.Client('3.71', session=session.Session(auth=auth))
        [told] = self.soon(cinder.messages.list)
        subscription = self.call('GET', f'/v2/subscriptions/{told.resource_uuid}').json()
        [delivery] = self.deliveries_of(subscription, outcome=deliveries.FAILED)
        self.assertEqual(told.request_id, delivery['request_id'])
        [exchange] = self.soon(lambda: self.captured(delivery))
        self.assertEqual((path, 410), (exchange['request']['path'], exchange['response']['status']))
        self.assertIn('1202', exchange['request']['body'])
        self.receiver.gone.clear()
        again = f'/v2/queues/{self.name}/subscriptions/{subscription["id"]}/redeliver'
        self.assertEqual({'redelivered': 1, 'left': 0}, self.call('POST', again, {}, status=202).json())
        came = self.receiver.wait_for(3, path=path)
        self.assertEqual((204, delivery['delivery_id']), (came[-1].status, came[-1].delivery_id))
        self.assertEqual([told.id], [one.id for one in cinder.messages.list()])
