"""What requests leave in the log: who did what, under the ids of the request; no bodies, no tokens, no signatures."""

import io
import json
import logging

from queueservice import logs
from tests.api import base
from tests.fixtures import faulty, services

_BODY = 'what-the-message-says'
_TOKEN = 'what-lets-somebody-in'
_CLIENT_ID = 'req-of-the-client'


class LogsTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(logs.JsonFormatter())
        logger = logging.getLogger('queueservice')
        self.addCleanup(logger.setLevel, logger.level)
        self.addCleanup(logger.removeHandler, handler)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)

    def lines(self):
        """The lines since this was last asked."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        self.stream.seek(0)
        self.stream.truncate()
        return lines


class TestAudit(LogsTestCase):
    def assert_audited(self, answer, action, **facts):
        [line] = self.lines()
        self.assertEqual(('queueservice.audit', 'INFO'), (line['logger'], line['level']))
        self.assertEqual(answer.headers['X-Openstack-Request-Id'], line['request_id'])
        caller = {'project': base.PROJECT, 'user': None, 'roles': ['member', 'reader']}
        self.assertEqual({'action': action, **caller, **facts}, line['audit'])
        self.assertEqual(line['audit'], json.loads(line['message']))

    def test_deletes_of_queues(self):
        for self.version in ('1', '1.1', '2'):
            self.put('/queues/demo')
            self.assert_audited(self.delete('/queues/demo'), 'queue.delete', queue='demo')

    def test_purges(self):
        self.make_queue()
        both = ['messages', 'subscriptions']
        self.assert_audited(self.post('/queues/demo/purge'), 'queue.purge', queue='demo', resource_types=both)
        one = ['subscriptions']
        answer = self.post('/queues/demo/purge', {'resource_types': one})
        self.assert_audited(answer, 'queue.purge', queue='demo', resource_types=one)
        self.post('/queues/demo/purge', {'resource_types': []})
        self.assertEqual([], self.lines())

    def test_deletes_of_staged_messaging(self):
        self.version = 'staged'
        self.post('/v1/schedule/', {}, status=201)
        self.assert_audited(self.delete('/v1/schedule/1/'), 'schedule.delete', id=1)

    def test_subscriptions_without_their_secrets(self):
        path = '/queues/demo/subscriptions'
        options = {'post_headers': {'Authorization': 'hidden'}}
        made = self.post(path, {'subscriber': 'https://example.org/?token=hidden', 'options': options})
        one = made.json['subscription_id']
        facts = {'queue': 'demo', 'subscription': one}
        self.assert_audited(made, 'subscription.create', **facts)
        answer = self.patch(f'{path}/{one}', {'ttl': 60, 'options': options})
        self.assert_audited(answer, 'subscription.update', **facts, fields=['ttl', 'options'])
        answer = self.put(f'{path}/{one}/confirm', {'confirmed': False})
        self.assert_audited(answer, 'subscription.confirm', **facts, confirmed=False)
        answer = self.post(f'{path}/{one}/secret')
        self.assert_audited(answer, 'subscription.secret', **facts)
        self.assertNotIn(answer.json['secret'], self.stream.getvalue())
        self.assert_audited(self.delete(f'{path}/{one}'), 'subscription.delete', **facts)
        self.assertNotIn('hidden', self.stream.getvalue())

    def test_shares_without_their_signatures(self):
        answer = self.post('/queues/demo/share', {'methods': ['POST', 'GET']})
        share = answer.json
        self.assertNotIn(share['signature'], self.stream.getvalue())
        facts = {name: share[name] for name in ('paths', 'methods', 'expires')}
        self.assert_audited(answer, 'queue.share', queue='demo', **facts)

    def test_changes_of_reserved_attributes(self):
        self.make_queue()
        answer = self.change(('add', '_max_claim_count', 5), ('add', 'colour', 'red'), ('add', '_mine', 1))
        self.assert_audited(answer, 'queue.update', queue='demo', attributes=['_max_claim_count'])
        self.change(('add', 'colour', 'blue'))
        self.assertEqual([], self.lines())

    def test_changes_of_limits(self):
        answer = self.patch('/projects/other', {'limits': {'queues': 5}}, headers={'X-Roles': 'admin'})
        [line] = self.lines()
        self.assertEqual(answer.headers['X-Openstack-Request-Id'], line['request_id'])
        self.assertEqual(['admin', 'member', 'reader'], line['audit']['roles'])
        self.assertEqual(('other', {'queues': 5}), (line['audit']['of_project'], line['audit']['limits']))

    def test_what_was_not_done_is_not_written(self):
        self.make_queue()
        self.delete('/queues/demo', headers={'X-Roles': 'reader'}, status=403)
        self.post('/queues/demo/purge', b'{', status=400)
        self.post('/queues/demo/share', {'methods': ['BREW']}, status=400)
        self.change(('add', '_max_claim_count', 'x'), status=400)
        self.assertEqual([], self.lines())

    def test_whoever_has_a_pre_signed_url_is_called_so(self):
        self.make_queue()
        share = self.post('/queues/demo/share', {}).json
        headers = {'URL-Signature': share['signature'], 'URL-Expires': share['expires'], 'URL-Methods': 'GET'}
        self.get('/queues/demo/messages', headers={**headers, 'URL-Paths': '/v2/queues/demo/messages'})
        self.assertEqual(['queue.share'], [line['audit']['action'] for line in self.lines()])


class TestFaults(LogsTestCase):
    def make_driver(self):
        return faulty.Driver()

    def test_they_are_under_both_ids_of_the_request(self):
        self.service.driver.fail()
        answer = self.get('/queues', headers={'X-Openstack-Request-Id': _CLIENT_ID}, status=503)
        [line] = self.lines()
        self.assertEqual(answer.headers['X-Openstack-Request-Id'], line['request_id'])
        self.assertEqual(_CLIENT_ID, line['client_request_id'])
        self.get('/queues', headers={'X-Request-Id': 'x' * 64}, status=503)
        self.assertEqual('x' * 64, self.lines()[0]['client_request_id'])
        self.get('/queues', headers={'X-Openstack-Request-Id': 'forged"] [req-0'}, status=503)
        self.assertNotIn('client_request_id', self.lines()[0])

    def test_a_fault_of_the_service_has_its_cause_and_nothing_of_the_request(self):
        class Broken(faulty.Driver):
            def call(self, verb, function, *arguments, **options):
                raise RuntimeError('out of order')

        self.use(services.Service(Broken()))
        answer = self.post_raw(
            json.dumps(_BODY).encode(),
            status=500,
            headers={'X-Auth-Token': _TOKEN, 'Authorization': f'Bearer {_TOKEN}', 'Cookie': _TOKEN},
            params={'token': _TOKEN},
        )
        self.assertIn(answer.headers['X-Openstack-Request-Id'], answer.text)
        self.assertNotIn('out of order', answer.text)
        raw = self.stream.getvalue()
        [line] = self.lines()
        self.assertEqual(answer.headers['X-Openstack-Request-Id'], line['request_id'])
        self.assertEqual('POST /v2/queues/demo/messages failed', line['message'])
        self.assertEqual('RuntimeError: out of order', line['exception'][-1])
        for secret in (_BODY, _TOKEN):
            self.assertNotIn(secret, raw)

    def test_mistakes_of_clients_leave_nothing(self):
        self.get('/queues?limit=x', status=400)
        self.get('/queues/demo/unknown', status=404)
        self.post('/queues/demo/messages', b'{', status=400)
        self.assertEqual([], self.lines())
