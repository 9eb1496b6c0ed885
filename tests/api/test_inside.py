"""From a post to mailboxes and other queues, with everything in between."""

import json
import shlex

from queueservice.model import deliveries
from queueservice.services import sealing
from tests.api import base
from tests.fixtures import mail_server, services, tables

_ADDRESS = 'mailto:somebody@example.org'


class InsideTestCase(base.ApiTestCase):
    rules: dict = {}

    def setUp(self):
        super().setUp()
        self.serve()

    def serve(self, **rules):
        """Serve with these rules of delivery, beside those of the suite, from now on."""
        rules = deliveries.Rules(**self.rules, **rules)
        self.use(services.Service(self.make_driver(), keys=(sealing.new_key('key'),), delivery=rules, senders={}))

    def subscribe(self, subscriber, queue='demo'):
        answer = self.post(f'/queues/{queue}/subscriptions', {'subscriber': subscriber, 'ttl': 36000}, status=201)
        return f'/queues/{queue}/subscriptions/{answer.json["subscription_id"]}'

    def work(self):
        """Do what a worker does, until there is nothing to do at this instant."""
        while self.dispatch() + self.turn():
            pass

    def dispatch(self):
        notifications = self.service.services.notifications
        return sum(notifications.dispatch(shard, self.clock()) for shard in range(deliveries.OUTBOXES))

    def turn(self):
        due = self.service.services.lanes.find_due(self.clock(), 100)
        taken = self.service.services.turns.take(due) if due else []
        for lane in taken:
            self.service.services.turns.run(lane)
        self.service.services.evidence.keep()
        return len(taken)


class TestMail(InsideTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mails = mail_server.MailServer()
        cls.mails.start()
        cls.addClassCleanup(cls.mails.stop)
        cls.rules = {
            'smtp_host': '127.0.0.1',
            'smtp_port': cls.mails.port,
            'smtp_security': 'none',
            'public_url': 'https://queues.example.org',
        }

    def setUp(self):
        super().setUp()
        self.mails.received.clear()

    def texts(self):
        """What mail has arrived since this was last asked."""
        texts = [mail.get_content() for mail in self.mails.received]
        self.mails.received.clear()
        return texts

    def test_a_message_arrives(self):
        path = self.subscribe(_ADDRESS)
        [message] = self.post_messages({'text': 'Grüße'})
        self.work()
        [text] = self.texts()
        sent = json.loads(text)
        self.assertEqual({'text': 'Grüße'}, sent['body'])
        self.assertEqual((base.id_of(message), base.id_of(path)), (sent['message_id'], sent['subscription_id']))
        [delivery] = self.get(f'{path}/deliveries').json['deliveries']
        self.assertEqual(('delivered', 250), (delivery['outcome'], delivery['status']))

    def test_what_is_encrypted_arrives_decrypted(self):
        self.make_queue(metadata={'_enable_encrypt_messages': True})
        self.subscribe(_ADDRESS)
        self.post_messages({'secret': 1})
        self.work()
        self.assertEqual([{'secret': 1}], [json.loads(text)['body'] for text in self.texts()])

    def test_a_mailbox_is_asked_and_confirms(self):
        self.serve(require_confirmation=True)
        path = self.subscribe(_ADDRESS)
        self.post_messages('too early')
        self.work()
        [text] = self.texts()
        words = shlex.split(text[text.index('curl') :].replace(' \\\n', ' '))
        _, _, method, url, *options, _, said = words
        headers = dict(value.split(': ', 1) for value in options[1::2])
        client = headers.pop('Client-ID')
        place = url.removeprefix('https://queues.example.org')
        self.request(method, place, said.encode(), headers=headers, client=client, status=204)
        self.post_messages('in time')
        self.work()
        self.assertEqual(['in time'], [json.loads(text)['body'] for text in self.texts()])
        self.put(f'{path}/confirm', {'confirmed': False}, status=204)
        self.post_messages('too late')
        self.clock.advance(60)
        self.work()
        [text] = self.texts()
        self.assertIn('no messages of the queue "demo"', text)

    def test_it_is_asked_once_a_minute(self):
        self.serve(require_confirmation=True)
        for queue in ('a', 'b', 'b', 'a'):
            self.subscribe(_ADDRESS, queue)
            self.work()
        self.assertEqual(1, len(self.texts()))
        self.clock.advance(61)
        self.work()
        self.assertEqual(1, len(self.texts()))

    def test_what_the_server_refuses_is_on_record(self):
        path = self.subscribe('mailto:refuse-550@example.org')
        self.post_messages(1)
        self.work()
        [delivery] = self.get(f'{path}/deliveries').json['deliveries']
        self.assertEqual(
            ('failed', 550, 'mail', 1), tuple(delivery[name] for name in ('outcome', 'status', 'error', 'attempts'))
        )

    def test_a_chain_brings_it_to_the_mailbox_at_its_end(self):
        self.subscribe('queue:other')
        self.subscribe(_ADDRESS, 'other')
        self.post_messages('hello')
        self.work()
        [text] = self.texts()
        self.assertEqual(('hello', 'other'), (json.loads(text)['body'], json.loads(text)['queue_name']))


class TestCopies(InsideTestCase):
    def test_a_copy_says_where_it_comes_from(self):
        path = self.subscribe('queue:copies')
        [message] = self.post_messages({'a': 1}, ttl=100)
        self.clock.advance(10)
        self.work()
        [copy], _ = self.message_page(queue='copies')
        self.assertEqual(
            ({'a': 1}, 100, 0, {'queue': 'demo', 'message_id': base.id_of(message)}),
            (copy['body'], copy['ttl'], copy['age'], copy['copied_from']),
        )
        self.assertEqual(copy['copied_from'], self.pop(queue='copies')[0]['copied_from'])
        self.assertTrue(self.get(path).json['confirmed'])
        self.assertEqual([{'a': 1}], self.list_bodies())

    def test_older_versions_do_not(self):
        self.subscribe('queue:copies')
        self.post_messages(1)
        self.work()
        self.version = '1.1'
        self.assertNotIn('copied_from', self.message_page(queue='copies')[0][0])

    def test_a_delayed_message_is_copied_when_it_comes_due(self):
        self.subscribe('queue:copies')
        self.post_messages(1, delay=60)
        self.work()
        self.assertEqual([], self.list_bodies('copies'))
        self.clock.advance(61)
        self.work()
        self.assertEqual([1], self.list_bodies('copies'))

    @tables.each(
        ('where the queue is there', {'_enable_encrypt_messages': False}),
        ('where it is made', None),
    )
    def test_what_is_encrypted_arrives_decrypted(self, metadata):
        self.make_queue(metadata={'_enable_encrypt_messages': True})
        if metadata:
            self.make_queue('copies', metadata)
        self.subscribe('queue:copies')
        self.post_messages({'secret': 1})
        self.work()
        self.assertEqual([{'secret': 1}], self.list_bodies('copies'))
        self.assertEqual(metadata is None, self.metadata('copies')['_enable_encrypt_messages'])

    def test_queues_that_feed_each_other_come_to_an_end(self):
        path = self.subscribe('queue:other')
        self.subscribe('queue:demo', 'other')
        self.post_messages(1)
        self.work()
        self.assertEqual([1], self.list_bodies())
        self.assertEqual([1], self.list_bodies('other'))
        deliveries_ = self.get('/queues/other/subscriptions').json['subscriptions']
        found = [
            one
            for place in (path, f'/queues/other/subscriptions/{deliveries_[0]["id"]}')
            for one in self.get(f'{place}/deliveries').json['deliveries']
            if one['outcome'] != 'delivered'
        ]
        self.assertEqual([('refused', 'hops')], [(one['outcome'], one['error']) for one in found])
