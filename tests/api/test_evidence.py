"""Why did it not arrive? From a user message to the exchange, by what the answers say."""

from queueservice.model import deliveries
from tests.api import base, test_inside
from tests.fixtures import receiver

_AT_ONCE = {'_retry_policy': {'retries_with_no_delay': 2, 'minimum_delay_retries': 0, 'maximum_delay_retries': 0}}


class TestEvidence(test_inside.InsideTestCase):
    rules = {'allowed_networks': ('127.0.0.0/8',), 'timeout': 2}

    def setUp(self):
        super().setUp()
        self.receiver = receiver.Receiver().__enter__()
        self.addCleanup(self.receiver.__exit__)

    def subscribe_hook(self, path, **options):
        document = {'subscriber': f'{self.receiver.url}{path}', 'ttl': 36000, 'options': options}
        return self.post('/queues/demo/subscriptions', document, status=201).json['subscription_id']

    def told(self, project=base.PROJECT):
        return self.family('/v3/messages', project)['messages']

    def captured(self, key, query=''):
        return self.family(f'/buckets/{key}/messages{query}', base.PROJECT)['data']

    def family(self, path, project):
        headers = {'X-Project-Id': project, 'OpenStack-API-Version': 'volume 3.71'}
        return self.app.get(path, headers=headers).json

    def test_from_a_user_message_to_the_exchange(self):
        subscription_id = self.subscribe_hook('/status/410')
        posted = self.post('/queues/demo/messages', {'messages': [{'body': {'order': 1}}]}, status=201)
        self.work()
        [told] = self.told()
        self.assertEqual(('SUBSCRIPTION', subscription_id), (told['resource_type'], told['resource_uuid']))
        self.assertEqual(posted.headers['X-Openstack-Request-Id'], told['request_id'])
        subscription = self.get(f'/subscriptions/{told["resource_uuid"]}').json
        self.assertEqual(
            self.get(f'/queues/{subscription["source"]}/subscriptions/{subscription_id}').json, subscription
        )
        path = f'/queues/{subscription["source"]}/subscriptions/{subscription_id}/deliveries?outcome=failed'
        [delivery] = self.get(path).json['deliveries']
        self.assertEqual(told['request_id'], delivery['request_id'])
        self.assertEqual(subscription['bucket_key'], delivery['bucket_key'])
        [listed] = self.captured(delivery['bucket_key'], f'?unique_identifier={delivery["delivery_id"]}')
        exchange = self.family(f'/buckets/{delivery["bucket_key"]}/messages/{listed["uuid"]}', base.PROJECT)['data']
        self.assertEqual(410, exchange['response']['status'])
        self.assertIn('"order"', exchange['request']['body'])
        signatures = {value for name, value in exchange['request']['headers'].items() if name == 'webhook-signature'}
        self.assertNotIn('v1,', str(signatures))
        self.assertEqual([], self.told('project-2'))

    def test_every_attempt_is_captured_and_the_end_is_told_once(self):
        self.subscribe_hook('/status/503', **_AT_ONCE)
        self.post_messages(1, ttl=3600)
        for _ in range(40):
            self.work()
            self.clock.advance(60)
        [delivery] = self.get(f'{self.path_of_deliveries()}?outcome=failed').json['deliveries']
        self.assertGreater(delivery['attempts'], 3)
        self.assertEqual(delivery['attempts'], len(self.captured(delivery['bucket_key'])))
        self.assertEqual(1, len(self.told()))

    def test_what_is_asked_for_again_and_fails_again_is_told_again(self):
        subscription_id = self.subscribe_hook('/status/410')
        self.post_messages(1)
        self.work()
        answer = self.post(f'/queues/demo/subscriptions/{subscription_id}/redeliver', {}, status=202)
        self.assertEqual(1, answer.json['redelivered'])
        self.work()
        self.assertEqual(2, len(self.told()))
        [delivery] = self.get(f'{self.path_of_deliveries()}?outcome=failed').json['deliveries']
        self.assertEqual(2, delivery['attempts'])
        self.assertEqual(2, len(self.captured(delivery['bucket_key'])))

    def test_that_a_subscriber_wants_no_more_is_told_of_what_was_on_its_way(self):
        subscription_id = self.subscribe_hook('/ok')
        self.post_messages(1)
        self.put(f'/queues/demo/subscriptions/{subscription_id}/confirm', {'confirmed': False}, status=204)
        self.post_messages(2)
        self.work()
        [told] = self.told()
        self.assertEqual(('QUEUE_SUBSCRIPTION_001_017', subscription_id), (told['event_id'], told['resource_uuid']))
        self.assertIn('has not confirmed', told['user_message'])

    def test_nobody_is_told_of_what_arrived_or_was_deleted(self):
        self.subscribe_hook('/ok')
        [first, second] = self.post_messages(1, 2)
        self.delete(f'/queues/demo/messages/{base.id_of(second)}', status=204)
        self.work()
        self.clock.advance(10)
        self.work()
        outcomes = sorted(one['outcome'] for one in self.get(self.path_of_deliveries()).json['deliveries'])
        self.assertEqual([deliveries.DELETED, deliveries.DELIVERED], outcomes)
        self.assertEqual([base.id_of(first)], [one.document['message_id'] for one in self.receiver.got])
        self.assertEqual([], self.told())

    def test_what_expired_on_its_way_is_told(self):
        self.subscribe_hook('/ok')
        self.post_messages(1, ttl=60)
        self.dispatch()
        self.clock.advance(120)
        self.work()
        [told] = self.told()
        self.assertIn('expired', told['user_message'])
        self.assertEqual([], self.receiver.got)

    def test_another_project_finds_no_subscription_by_its_id(self):
        subscription_id = self.subscribe_hook('/ok')
        self.get(f'/subscriptions/{subscription_id}', status=200)
        self.get(f'/subscriptions/{subscription_id}', project='project-2', status=404)
        self.get(f'/subscriptions/{"0" * 24}', status=404)
        self.delete(f'/queues/demo/subscriptions/{subscription_id}', status=204)
        self.get(f'/subscriptions/{subscription_id}', status=404)

    def path_of_deliveries(self):
        [subscription] = self.get('/queues/demo/subscriptions').json['subscriptions']
        return f'/queues/demo/subscriptions/{subscription["id"]}/deliveries'
