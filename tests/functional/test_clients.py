"""The clients that people already have, unmodified, against the real server with two workers, on SQLite and MongoDB."""

import time
import uuid

import openstack
import requests
import testtools
from openstack import exceptions
from openstack.message.v2 import claim, message, queue, subscription
from zaqarclient.queues import client as zaqar_client
from zaqarclient.transport import errors as zaqar_errors

from tests.fixtures import mongodb, server

_PROJECT = 'c0ffee'


class ClientTestCase(testtools.TestCase):
    server: server.Server

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server('--workers', '2', OS_DEFAULT__ADMIN_MODE='true', **cls.storage()).start()

    @classmethod
    def storage(cls):
        """What the server is told of its storage, as environment variables."""
        return {}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.name = f'q-{uuid.uuid4().hex[:12]}'

    def assert_soon(self, expected, find):
        """Where several hosts share a store, counts may be of a second ago, and what one posted another shows soon."""
        deadline = time.monotonic() + 30
        while (found := find()) != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(expected, found)


class ZaqarClientTest(ClientTestCase):
    """python-zaqarclient, API v2."""

    def setUp(self):
        super().setUp()
        conf = {
            'auth_opts': {'backend': 'noauth', 'options': {'os_project_id': _PROJECT}},
        }
        self.client = zaqar_client.Client(self.server.url, version=2, conf=conf)
        self.queue = self.client.queue(self.name)

    def test_ping_and_home_and_health(self):
        self.assertTrue(self.client.ping())
        self.assertIn('rel/queues', self.client.homedoc()['resources'])
        self.assertTrue(self.client.health()['storage_reachable'])

    def test_queue_metadata(self):
        self.client.queue(self.name, force_create=True)
        self.queue.metadata({'colour': 'red', '_default_message_ttl': 120})
        shown = self.queue.metadata(force_reload=True)
        self.assertEqual(('red', 120), (shown['colour'], shown['_default_message_ttl']))
        self.queue.metadata({'colour': 'blue'})
        self.assertEqual('blue', self.queue.metadata(force_reload=True)['colour'])

    def test_list_queues(self):
        names = sorted(f'{self.name}-{index:02}' for index in range(25))
        for name in names:
            self.client.queue(name, force_create=True)
        listed, marker = [], None
        while True:
            queues, _ = self.client.queues(limit=7, detailed=True, name=self.name, with_count=True, marker=marker)
            page = [queue.name for queue in queues]
            if not page:
                break
            listed += page
            marker = page[-1]
        self.assertEqual(names, [name for name in listed if name != self.name])

    def test_post_list_get_delete(self):
        posted = self.queue.post([{'body': {'n': index}, 'ttl': 300} for index in range(25)])
        self.assertEqual(25, len(posted['resources']))
        listed = []

        def list_all():
            listed[:] = self.queue.messages(echo=True, limit=10).stream()
            return [message.body['n'] for message in listed]

        self.assert_soon(list(range(25)), list_all)
        one = self.queue.message(listed[3].id)
        self.assertEqual(({'n': 3}, 300), (one.body, one.ttl))
        some = list(self.queue.messages(listed[1].id, listed[2].id))
        self.assertEqual([1, 2], [message.body['n'] for message in some])
        one.delete()
        self.assertRaises(zaqar_errors.ResourceNotFound, self.queue.message, one.id)
        self.queue.delete_messages(listed[1].id, listed[2].id)
        self.assert_soon(22, lambda: self.queue.stats['messages']['total'])

    def test_a_dead_letter_queue(self):
        dead = self.client.queue(f'{self.name}-dead')
        metadata = {'_max_claim_count': 1, '_dead_letter_queue': dead.name}
        headers = {'X-Project-Id': _PROJECT, 'Client-ID': str(uuid.uuid4())}
        for name, document in ((self.name, metadata), (dead.name, {'_show_origin': False})):
            url = f'{self.server.url}/v2/queues/{name}'
            requests.put(url, json=document, headers=headers, timeout=30).raise_for_status()
        self.queue.post([{'body': {'n': number}, 'ttl': 300} for number in range(3)])
        self.queue.claim(ttl=60, grace=60).delete()
        self.assertEqual([], list(self.queue.claim(ttl=60, grace=60)))
        listed = []

        def list_all():
            listed[:] = dead.messages(echo=True)
            return [message.body for message in listed]

        self.assert_soon([{'n': 0}, {'n': 1}, {'n': 2}], list_all)
        self.assertEqual({'n': 0}, dead.message(listed[0].id).body)
        self.assertEqual([{'n': 2}], [message.body for message in dead.messages(listed[2].id)])
        [first] = dead.claim(ttl=60, grace=60, limit=1)
        self.assertEqual({'n': 0}, first.body)
        first.delete()
        self.assertEqual([{'n': 1}, {'n': 2}], [message.body for message in dead.pop(count=2)])

    def test_own_messages_are_hidden_without_echo(self):
        self.queue.post({'body': 1, 'ttl': 300})
        self.assertEqual([], list(self.queue.messages()))

    def test_claim_work_delete(self):
        self.queue.post([{'body': index, 'ttl': 300} for index in range(5)])
        messages = []

        def claim_three():
            nonlocal claim
            claim = self.queue.claim(ttl=600, grace=60, limit=3)
            messages[:] = claim
            return [message.body for message in messages]

        claim = None
        self.assert_soon([0, 1, 2], claim_three)
        self.assertEqual(3, self.queue.stats['messages']['claimed'])
        messages[0].delete()
        claim.update(ttl=120, grace=60)
        self.assertEqual([1, 2], [message.body for message in self.queue.claim(id=claim.id)])
        claim.delete()
        self.assertEqual([1, 2, 3, 4], [message.body for message in self.queue.claim(ttl=60, grace=60)])

    def test_a_claimed_message_is_not_deleted_without_its_claim(self):
        self.queue.post({'body': 1, 'ttl': 300})
        (message,) = self.queue.claim(ttl=60, grace=60)
        plain = self.queue.message(message.href.rpartition('/')[2].partition('?')[0])
        plain.href = plain.href.partition('?')[0]
        self.assertRaises(zaqar_errors.ForbiddenError, plain.delete)

    def test_pop_and_purge_and_delete(self):
        self.queue.post([{'body': index, 'ttl': 300} for index in range(5)])
        self.assert_soon([0, 1], lambda: [message.body for message in self.queue.pop(count=2)])
        self.queue.purge(resource_types=['messages'])
        self.assertEqual(0, self.queue.stats['messages']['total'])
        self.queue.delete()
        self.assertEqual([], list(self.client.queues(name=self.name)[0]))

    def subscribe(self, subscriber, **options):
        return self.client.subscription(self.name, subscriber=subscriber, **options)

    def test_subscriptions(self):
        one = self.subscribe('https://example.org/hook', ttl=600, options={'post_headers': {'X-Shop': 'north'}})
        self.assertEqual((600, True, {'post_headers': {'X-Shop': 'north'}}), (one.ttl, one.confirmed, one.options))
        one.update({'ttl': 1200, 'options': {}})
        again = self.client.subscription(self.name, id=one.id)
        self.assertEqual(('https://example.org/hook', 1200, {}), (again.subscriber, again.ttl, again.options))
        self.assertRaises(zaqar_errors.ConflictError, self.subscribe, 'https://example.org/hook')
        one.delete()
        self.assertRaises(zaqar_errors.ResourceNotFound, self.client.subscription, self.name, id=one.id)
        self.assertEqual([], list(self.client.subscriptions(self.name)))

    def test_list_subscriptions(self):
        made = [self.subscribe(f'https://example.org/{number}').id for number in range(12)]
        self.assertEqual(made, [one.id for one in self.client.subscriptions(self.name, limit=20)])
        listed, marker = [], None
        while page := [one.id for one in self.client.subscriptions(self.name, limit=5, marker=marker)]:
            listed += page
            marker = page[-1]
        self.assertEqual(made, listed)
        self.queue.purge(resource_types=['subscriptions'])
        self.assertEqual([], list(self.client.subscriptions(self.name)))

    def test_a_queue_is_shared_by_a_pre_signed_url(self):
        self.queue.post({'body': 'mine', 'ttl': 300})
        share = self.queue.signed_url(paths=['messages', 'claims'], ttl_seconds=600, methods=['GET', 'POST'])
        options = {name: share[name] for name in ('signature', 'expires', 'paths', 'methods')}
        conf = {'auth_opts': {'backend': 'signed-url', 'options': {**options, 'os_project_id': share['project']}}}
        guest = zaqar_client.Client(self.server.url, version=2, conf=conf)
        theirs = guest.queue(self.name)
        theirs.post({'body': 'theirs', 'ttl': 300})
        self.assertEqual(['mine', 'theirs'], [message.body for message in theirs.messages(echo=True)])
        self.assertEqual(['mine'], [message.body for message in theirs.claim(ttl=60, grace=60, limit=1)])
        for forbidden in (
            theirs.delete,
            theirs.pop,
            theirs.signed_url,
            lambda: theirs.stats,
            guest.queue('other').messages,
        ):
            self.assertRaises(zaqar_errors.ResourceNotFound, forbidden)
        self.assert_soon(2, lambda: self.queue.stats['messages']['total'])


class OpenStackSdkTest(ClientTestCase):
    """openstacksdk's message proxy, API v2, without Keystone."""

    def setUp(self):
        super().setUp()
        self.proxy = openstack.connection.Connection(
            auth_type='none', message_endpoint_override=self.server.url, app_name='test'
        ).message
        # What the SDK sends about the caller where there is no Keystone to ask.
        self.caller = {'project_id': _PROJECT, 'client_id': str(uuid.uuid4())}

    def create_queue(self):
        return self.proxy.create_queue(name=self.name, **self.caller)

    def post(self, *bodies):
        queue = message.Message.new(queue_name=self.name, **self.caller)
        posted = queue.post(self.proxy, [{'body': body, 'ttl': 300} for body in bodies])
        return [href.rpartition('/')[2] for href in posted]

    def get(self, kind, **attributes):
        return kind.new(queue_name=self.name, **attributes, **self.caller).fetch(self.proxy)

    def test_queues(self):
        self.create_queue()
        self.assertIn(self.name, [queue.name for queue in self.proxy.queues(**self.caller)])
        queue.Queue.new(name=self.name, **self.caller).fetch(self.proxy)
        queue.Queue.new(name=self.name, **self.caller).delete(self.proxy)
        self.assertNotIn(self.name, [queue.name for queue in self.proxy.queues(**self.caller)])

    def test_post_get_list_delete(self):
        ids = self.post(*range(25))
        self.assertEqual(3, self.get(message.Message, id=ids[3]).body)
        # The SDK takes the id of the last message of a page for the marker of the next.
        listed = self.proxy.messages(self.name, echo=True, limit=10, **self.caller)
        self.assertEqual(list(range(25)), [one.body for one in listed])
        message.Message.new(id=ids[3], queue_name=self.name, **self.caller).delete(self.proxy)
        self.assertRaises(exceptions.NotFoundException, self.get, message.Message, id=ids[3])

    def test_claims(self):
        self.post('a', 'b')
        claimed = claim.Claim.new(queue_name=self.name, ttl=300, grace=60, **self.caller).create(self.proxy)
        found = self.get(claim.Claim, id=claimed.id)
        self.assertEqual((300, ['a', 'b']), (found.ttl, [one['body'] for one in found.messages]))
        found.ttl, found.grace = 120, 60
        found.commit(self.proxy)
        self.assertEqual(120, self.get(claim.Claim, id=claimed.id).ttl)
        claim.Claim.new(id=claimed.id, queue_name=self.name, **self.caller).delete(self.proxy)
        self.assertRaises(exceptions.NotFoundException, self.get, claim.Claim, id=claimed.id)

    def test_subscriptions(self):
        made = [
            self.proxy.create_subscription(self.name, subscriber=f'queue:other-{number}', ttl=600, **self.caller)
            for number in range(12)
        ]
        listed = list(self.proxy.subscriptions(self.name, limit=5, **self.caller))
        self.assertEqual([one.subscription_id for one in made], [one.id for one in listed])
        found = self.get(subscription.Subscription, id=listed[3].id)
        self.assertEqual(
            ('queue:other-3', 600, {}, self.name), (found.subscriber, found.ttl, found.options, found.source)
        )
        subscription.Subscription.new(id=listed[3].id, queue_name=self.name, **self.caller).delete(self.proxy)
        self.assertRaises(exceptions.NotFoundException, self.get, subscription.Subscription, id=listed[3].id)


class OnMongoDB:
    @classmethod
    def storage(cls):
        cls.database = f'queueservice_test_{uuid.uuid4().hex}'
        return {'OS_STORAGE__DRIVER': 'mongodb', 'OS_STORAGE__URI': mongodb.locate(cls.database)}

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        mongodb.client().drop_database(cls.database)


class ZaqarClientOnMongoDBTest(OnMongoDB, ZaqarClientTest):
    pass


class OpenStackSdkOnMongoDBTest(OnMongoDB, OpenStackSdkTest):
    pass
