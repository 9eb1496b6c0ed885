"""URLs: the project in the path, what is a route and what is none."""

import json
from urllib import parse

from tests.api import base
from tests.fixtures import tables


class LongFormTestCase(base.ApiTestCase):
    """Clients that name their project in the URL and send no header."""

    project = 'shop-1'

    def long(self, path='', project=None):
        return f'{self.path}/{project or self.project}{path}'

    def ask(self, method, path, body=b'', **options):
        """Send a request without a project header."""
        options.setdefault('project', base.ABSENT)
        return self.request(method, path, body, **options)


@base.in_versions('1', '1.1', '2')
class TestLongForm(LongFormTestCase):
    def setUp(self):
        super().setUp()
        self.ask('PUT', self.long('/queues/demo'), status=201)

    def fill(self, *bodies):
        messages = self.envelope([{'ttl': 300, 'body': body} for body in bodies])
        return self.ask('POST', self.long('/queues/demo/messages'), messages, client=base.PRODUCER, status=201)

    def test_it_is_the_project_of_the_header(self):
        self.fill(1)
        self.assertEqual([1], base.bodies(self.message_page(project=self.project)[0]))

    def test_it_wins_over_the_header(self):
        self.fill(1)
        for header in ('project-2', '', 'a,b', 'x' * 300):
            messages, _ = self.message_page(self.long('/queues/demo/messages'), project=header)
            self.assertEqual([1], base.bodies(messages))
        self.assertEqual([], self.list_of('project-2'))

    def list_of(self, project):
        return [queue['name'] for queue in self.queue_page(project=project)[0]]

    def test_every_link_works_without_a_header(self):
        answer = self.fill(1, 2, 3)
        paths = answer.json['resources']
        for path in paths:
            self.assertTrue(path.startswith(self.long('/queues/demo/messages/')))
            self.ask('GET', path, status=200)
        self.ask('GET', answer.headers['Location'], status=200)
        location = self.ask('PUT', self.long('/queues/demo'), status=204).headers['Location']
        self.assertEqual(self.long('/queues/demo'), location)

        messages, href = self.message_page(self.long('/queues/demo/messages?limit=1'), project=base.ABSENT)
        self.assertEqual(paths[0], messages[0]['href'])
        messages, href = self.message_page(href, project=base.ABSENT)
        self.assertEqual([2], base.bodies(messages))
        self.assertTrue(href.startswith(self.long('/queues/demo/messages?')))

        queues, href = self.queue_page(self.long('/queues?limit=1'), project=base.ABSENT)
        self.assertEqual(self.long('/queues/demo'), queues[0]['href'])
        self.assertEqual(([], None), self.queue_page(href, project=base.ABSENT))

        stats = self.ask('GET', self.long('/queues/demo/stats'), status=200).json['messages']
        self.ask('GET', stats['oldest']['href'], status=200)
        self.ask('GET', stats['newest']['href'], status=200)

        answer = self.ask('POST', self.long('/queues/demo/claims'), {'ttl': 60, 'grace': 60}, status=201)
        claim = answer.headers['Location']
        held = self.ask('GET', claim, status=200).json
        self.assertEqual(claim, held['href'])
        self.assertTrue(claim.startswith(self.long('/queues/demo/claims/')))
        self.ask('DELETE', held['messages'][0]['href'], status=204)
        self.ask('PATCH', claim, {'ttl': 60, 'grace': 60}, status=204)
        self.ask('DELETE', claim, status=204)

    def test_the_home_document_leads_back_to_the_project(self):
        for path in (self.long(), self.long('/')):
            document = json.loads(self.ask('GET', path, status=200).body)
            for entry in document['resources'].values():
                template = entry.get('href-template') or entry['href']
                self.assertTrue(template.startswith(self.long('/')), template)

    @tables.each(
        ('a word of the API with more behind it', 'queues-of-mine'),
        ('another word with more behind it', 'healthy'),
        ('ping in capitals', 'PING'),
        ('the name of a version', 'v2'),
        ('digits', '12345'),
        ('dots', 'a.b'),
        ('a blank', 'a%20b'),
        ('a letter outside ASCII', '%C3%A4'),
        ('a percent sign', '100%25'),
        ('a question mark', 'a%3Fb'),
        ('a hash', 'a%23b'),
        ('a plus', 'a+b'),
        ('an at sign', 'a@b'),
        ('quotes', '%22a%22'),
        ('256 characters', 'p' * 256),
    )
    def test_a_project_may_be_called_by(self, project):
        self.ask('PUT', self.long('/queues/mine', project), status=201)
        queues, href = self.queue_page(self.long('/queues', project), project=base.ABSENT)
        self.assertEqual(['mine'], [queue['name'] for queue in queues])
        self.assertEqual(([], None), self.queue_page(href, project=base.ABSENT))
        self.ask('PUT', queues[0]['href'], status=204)
        header = parse.unquote_to_bytes(project).decode('latin-1')
        self.assertEqual(['mine'], self.list_of(header))

    @tables.each(
        ('257 characters', 'p' * 257),
        ('a comma', 'a,b'),
        ('a dot', '.'),
        ('two dots', '..'),
        ('a nul', 'a%00b'),
        ('a line break', 'a%0Ab'),
        ('a byte that is no utf 8', 'a%FFb'),
        ('a control character of latin 1', 'a%C2%85b'),
    )
    def test_a_project_cannot_be_called_by(self, project):
        self.assert_refused(self.ask('GET', self.long('/queues', project), status=400, lint=False), 'Project ids')

    def test_words_of_the_api_are_never_a_project(self):
        for word in ('health', 'ping', 'pools', 'flavors', 'topics', 'projects', 'shards', 'subscriptions'):
            self.ask('GET', self.long('/queues', word), project='p', status=404)

    def test_the_project_is_named_once(self):
        self.ask('GET', self.long('/shop-2/queues'), status=404)


@base.in_versions('1', '1.1', '2')
class TestRoutes(base.ApiTestCase):
    @tables.each(
        ('the version without a slash', ''),
        ('a list of queues with a slash behind it', '/queues/'),
        ('a queue with a slash behind it', '/queues/demo/'),
        ('a queue with two slashes', '//queues/demo'),
        ('stats with a slash behind them', '/queues/demo/stats/'),
        ('messages with a slash behind them', '/queues/demo/messages/'),
        ('a message with a slash behind it', '/queues/demo/messages/abc/'),
        ('claims with a slash behind them', '/queues/demo/claims/'),
        ('a slash in the middle', '/queues/demo//messages'),
        ('an escaped slash', '/queues/demo%2Fx/messages'),
        ('something below a message', '/queues/demo/messages/abc/def'),
        ('something below a claim', '/queues/demo/claims/abc/def'),
        ('something below a queue', '/queues/demo/unknown'),
        ('queues in capitals', '/Queues/demo/x'),
        ('pools', '/pools'),
        ('a pool', '/pools/a'),
        ('flavors', '/flavors'),
        ('topics', '/topics'),
        ('a topic', '/topics/a/messages'),
        ('shards', '/shards'),
        ('something below the health', '/health/x'),
        ('dots', '/queues/../../etc/passwd'),
    )  # fmt: skip
    def test_there_is_no_route_to(self, path):
        for method in ('GET', 'POST', 'PUT', 'DELETE', 'PATCH'):
            answer = self.request(method, path, status=404, lint=False)
            self.assertEqual({'title': '404 Not Found'}, answer.json)

    def test_an_unknown_route_is_404_whatever_the_headers_are(self):
        for headers in ({'Accept': 'text/html'}, {'Client-ID': 'x'}, {'X-Project-Id': ''}):
            self.get('/queues/demo/unknown', headers=headers, status=404)
        self.get('/queues/demo/unknown', client=base.ABSENT, project=base.ABSENT, status=404)

    def test_paths_are_spelled_in_small_letters(self):
        self.assertEqual(404, self.app.get(f'{self.path.upper()}/queues', status='*').status_int)

    def test_other_versions_do_not_exist(self):
        for path in (
            '/v0/queues',
            '/v3/queues',
            '/v4/queues',
            '/v1.0/queues',
            '/v2.0/queues',
            '/v11/queues',
            '/queues',
            '/v',
        ):
            self.assertEqual(404, self.app.get(path, status='*').status_int)

    def test_a_method_that_a_resource_lacks_is_405(self):
        for method, path, allow in (
            ('POST', '/queues', {'GET'}),
            ('PUT', '/queues/demo/messages', {'GET', 'POST', 'DELETE'}),
            ('PATCH', '/queues/demo/messages/abc', {'GET', 'DELETE'}),
            ('GET', '/queues/demo/claims', {'POST'}),
            ('PUT', '/queues/demo/claims/abc', {'GET', 'PATCH', 'DELETE'}),
            ('DELETE', '/queues/demo/stats', {'GET'}),
            ('HEAD', '/queues/demo/messages', {'GET', 'POST', 'DELETE'}),
            ('HEAD', '/queues', {'GET'}),
            ('TRACE', '/queues', {'GET'}),
        ):
            answer = self.request(method, path, status=405, lint=False)
            self.assertEqual(allow, set(answer.headers['Allow'].split(', ')) - {'OPTIONS'}, f'{method} {path}')
            if method != 'HEAD':
                self.assertEqual({'title': '405 Method Not Allowed'}, answer.json)

    def test_a_queue_can_be_asked_for_with_head_in_v1_alone(self):
        self.make_queue()
        self.head('/queues/demo', status=204 if self.version == '1' else 405)
        self.head('/queues/missing', status=404 if self.version == '1' else 405)

    def test_options_tells_the_methods(self):
        answer = self.request('OPTIONS', '/queues/demo/messages', status=200)
        self.assertEqual({'GET', 'POST', 'DELETE'}, set(answer.headers['Allow'].split(', ')) - {'OPTIONS'})

    def test_a_method_that_nobody_knows_is_400(self):
        self.request('BREW', '/queues', status=400, lint=False)
