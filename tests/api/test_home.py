"""Documents about the service itself: versions, home documents, liveness and the health report."""

import json
import re

from queueservice.api import routes
from tests.api import base


class TestVersions(base.ApiTestCase):
    def test_all_are_listed_without_any_header(self):
        answer = self.app.get('/', status=300)
        self.assertEqual(
            {
                'versions': [
                    {
                        'id': 'v3.0',
                        'status': 'CURRENT',
                        'version': '3.71',
                        'min_version': '3.0',
                        'updated': '2023-08-31T00:00:00Z',
                        'links': [{'rel': 'describedby', 'href': '/v3/'}],
                        'media-types': [
                            {
                                'base': 'application/json',
                                'type': 'application/vnd.openstack.volume+json;version=3',
                            }
                        ],
                    },
                    version('1', 'DEPRECATED', '2014-9-11T17:47:05Z', 'v1'),
                    version('1.1', 'DEPRECATED', '2016-7-29T02:22:47Z', 'v1_1'),
                    version('2', 'CURRENT', '2014-9-24T04:06:47Z', 'v2'),
                ]
            },
            answer.json,
        )

    def test_clients_of_the_block_storage_api_find_theirs_alone(self):
        first = self.app.get('/', status=300).json['versions'][0] | {'links': [{'rel': 'self', 'href': '/v3/'}]}
        for path in ('/v3', '/v3/', '/v3/p/'):
            self.assertEqual({'versions': [first]}, self.app.get(path, status=200).json)

    def test_no_header_can_be_wrong_there(self):
        for headers in ({'Accept': 'text/html'}, {'Client-ID': 'x'}, {'X-Project-Id': ''}):
            self.app.get('/', headers=headers, status=300)


class TestFewerVersions(base.ApiTestCase):
    settings = {'versions': ('1.1',)}

    def test_those_that_are_not_served_are_not_listed(self):
        self.assertEqual(['v3.0', '1.1', '2'], [one['id'] for one in self.app.get('/', status=300).json['versions']])

    def test_those_that_are_not_served_have_no_routes(self):
        self.version = '1'
        for path in ('/', '/queues', '/queues/demo', '/health'):
            self.get(path, status=404)
        self.version = '1.1'
        self.get('/queues', status=200)


@base.in_versions('1', '1.1', '2')
class TestHome(base.ApiTestCase):
    def home(self, **options):
        answer = self.get('/', status=200, **options)
        self.assertEqual('application/json-home', answer.headers['Content-Type'])
        self.assertEqual('max-age=86400', answer.headers['Cache-Control'])
        return json.loads(answer.body)['resources']

    def test_it_names_its_relations(self):
        v1 = 'queues queue queue-metadata queue-stats messages post-messages claim'
        v1_1 = (
            'queues queue queue_stats messages post_messages messages_delete message_delete claim post_claim '
            'patch_claim delete_claim ping'
        )
        v2 = (
            f'{v1_1} queue_purge queue_share message_get project subscriptions post_subscription subscription '
            'subscription_confirm'
        )
        expected = {'1': v1, '1.1': v1_1, '2': v2}[self.version]
        self.assertEqual({f'rel/{name}' for name in expected.split()}, set(self.home()))

    def test_every_relation_leads_to_a_route_with_its_methods(self):
        known = {}
        for route in routes.ROUTES:
            if route.is_in(self.version):
                known[route.path] = {
                    verb for verb in ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE') if can(route, verb)
                }
        for name, entry in self.home().items():
            template = entry.get('href-template') or entry['href']
            path = re.sub(r'\{\?.*\}', '', template)
            self.assertTrue(path.startswith(f'{self.path}/'), name)
            self.assertLessEqual(set(entry['hints']['allow']), known[path.removeprefix(self.path)], name)

    def test_every_variable_is_described(self):
        for name, entry in self.home().items():
            variables = set(re.findall(r'[a-z_]+', ''.join(re.findall(r'\{[^}]*\}', entry.get('href-template', '')))))
            self.assertEqual(variables, set(entry.get('href-vars', {})), name)

    def test_the_headers_are_wanted_as_everywhere_else(self):
        if self.version == '1':
            self.home(client=base.ABSENT, project=base.ABSENT)
        else:
            self.get('/', client=base.ABSENT, status=400)
            self.get('/', project=base.ABSENT, status=400)


@base.in_versions('1.1', '2')
class TestPing(base.ApiTestCase):
    def test_it_is_204(self):
        self.get('/ping', status=204)
        self.head('/ping', status=204)

    def test_there_is_no_public_health(self):
        self.get('/health', status=404)


class TestHealthOfV1(base.ApiTestCase):
    version = '1'

    def test_it_needs_no_headers(self):
        self.get('/health', client=base.ABSENT, project=base.ABSENT, status=204)
        self.head('/health', client=base.ABSENT, project=base.ABSENT, status=204)
        self.get('/health', headers={'Accept': 'text/html'}, client='x', project='', status=204)

    def test_there_is_no_ping(self):
        self.get('/ping', status=404)


class TestProbes(base.ApiTestCase):
    def test_they_need_no_headers(self):
        self.assertEqual({'status': 'ok'}, self.app.get('/healthz', status=200).json)
        self.app.get('/readyz', status=204)
        self.app.head('/readyz', status=204)


@base.in_versions('1.1', '2')
class TestReport(base.ApiTestCase):
    settings = {'admin_mode': True}

    OPERATIONS = (
        'create_queue', 'post_messages', 'list_messages', 'claim_messages', 'delete_claim', 'delete_messages',
        'bulk_delete_messages', 'delete_queue',
    )  # fmt: skip

    def test_every_operation_was_tried(self):
        report = self.get('/health', status=200).json
        self.assertTrue(report['storage_reachable'])
        self.assertEqual(set(self.OPERATIONS), set(report['operation_status']))
        for name, operation in report['operation_status'].items():
            self.assertTrue(operation['succeeded'], name)
            self.assertGreaterEqual(operation['seconds'], 0)
            self.assertIsNone(operation['ref'])

    def test_nothing_of_it_can_be_seen(self):
        self.get('/health', status=200)
        self.assertEqual(([], None), self.queue_page())
        self.version = '2'
        self.assertEqual([], self.get('/projects').json['projects'])

    def test_the_home_document_names_it(self):
        self.assertIn('rel/health', json.loads(self.get('/').body)['resources'])


def version(number, status, updated, label):
    return {
        'id': number,
        'status': status,
        'updated': updated,
        'media-types': [{'base': 'application/json', 'type': f'application/vnd.openstack.messaging-{label}+json'}],
        'links': [{'href': f'/v{number}/', 'rel': 'self'}],
    }


def can(route, verb):
    return hasattr(route.resource, f'on_{verb.lower()}')
