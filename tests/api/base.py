"""What the suites of the API have in common: a service, clients that speak HTTP to it, and a phrase for
everything that the versions spell differently.

A suite is written once and runs for each version:

    @base.in_versions('1', '1.1', '2')
    class TestPost(base.ApiTestCase): ...

Whatever is asked, each answer is held against what holds for every answer (`ApiTestCase.check_answer`).
"""

import json
import os
import re
import sys
import tempfile
from urllib import parse

import testtools
import webtest

from queueservice.api import dialects
from queueservice.model import limits
from tests.fixtures import drivers, mongodb, services, tables

PRODUCER = '11111111-1111-4111-8111-111111111111'
CONSUMER = '22222222-2222-4222-8222-222222222222'
PROJECT = 'project-1'

#: What a client gives where it wants a header not to be sent.
ABSENT = None
#: Where a test looks at the status itself.
ANY = object()

PATCH = 'application/openstack-messaging-v2.0-json-patch'

#: What else a request to an API needs.
HEADERS = {'3': {'OpenStack-API-Version': 'volume 3.71'}}

_REQUEST_ID = re.compile(r'req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')


def in_versions(*versions):
    """Let a suite run for each of `versions`: the last one under its own name, the others beside it."""

    def multiply(suite):
        suite.version = versions[-1]
        for version in versions[:-1]:
            name = f'{suite.__name__}V{version.replace(".", "_")}'
            copy = type(name, (suite,), {'__module__': suite.__module__, 'version': version})
            setattr(sys.modules[suite.__module__], name, copy)
        return suite

    return multiply


class ApiTestCase(tables.Tables, testtools.TestCase):
    version = '2'
    #: Fields of `model.limits.Limits` and of `api.app.Settings` that are not as they are by default.
    limits: dict = {}
    settings: dict = {}

    def setUp(self):
        super().setUp()
        self.use(services.Service(self.make_driver(), limits=limits.Limits(**self.limits), **self.settings))

    def make_driver(self):
        """The memory driver; or, for a run by hand, the one that QUEUESERVICE_TEST_DRIVER names."""
        match os.environ.get('QUEUESERVICE_TEST_DRIVER', 'memory'):
            case 'memory':
                return drivers.build_memory()
            case 'sqlite':
                folder = tempfile.TemporaryDirectory()
                self.addCleanup(folder.cleanup)
                return drivers.build_sqlite(folder.name)
            case 'mongodb':
                return mongodb.build_driver(self)

    def use(self, service):
        """Speak to `service` from now on."""
        self.service = service
        self.clock = service.clock
        self.app = webtest.TestApp(service.app)
        self.addCleanup(service.driver.close)

    # -- HTTP ------------------------------------------------------------------------------------

    @property
    def path(self):
        return dialects.APIS[self.version].path

    def request(
        self,
        method,
        path,
        body=b'',
        *,
        status=None,
        project=PROJECT,
        client=CONSUMER,
        headers=None,
        params=None,
        environ=None,
        lint=True,
    ):
        """Send a request and return the answer.

        :param path: below the version, or a path that the service gave out; with a query or without.
        :param body: bytes as they are; anything else is sent as JSON.
        :param status: the status that must be answered, or ANY; None: one that means success.
        :param params: the query, as a dict or a list of pairs.
        :param environ: what WSGI is to be told beside or instead.
        """
        sent = {'X-Project-Id': project, 'Client-ID': client, **HEADERS.get(self.version, {}), **(headers or {})}
        path, _, query = (path if path.startswith(f'{self.path}/') else self.path + path).partition('?')
        request = webtest.TestRequest.blank(
            '/', method=method, headers={name: value for name, value in sent.items() if value is not ABSENT}
        )
        # As a server does it, which looks into neither.
        request.environ['PATH_INFO'] = parse.unquote_to_bytes(path).decode('latin-1')
        request.environ['QUERY_STRING'] = parse.urlencode(params) if params else query
        if body != b'':
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.environ.setdefault('CONTENT_TYPE', 'application/json')
        request.environ.update(environ or {})
        self.app.lint = lint
        answer = self.app.do_request(request, status='*', expect_errors=True)
        self.check_answer(request, answer)
        if status is None:
            self.assertIn(answer.status_int // 100, (2, 3), self.describe(request, answer))
        elif status is not ANY:
            self.assertEqual(status, answer.status_int, self.describe(request, answer))
        return answer

    def get(self, path, **options):
        return self.request('GET', path, **options)

    def head(self, path, **options):
        return self.request('HEAD', path, **options)

    def put(self, path, body=b'', **options):
        return self.request('PUT', path, body, **options)

    def post(self, path, body=b'', **options):
        return self.request('POST', path, body, **options)

    def patch(self, path, body=b'', **options):
        return self.request('PATCH', path, body, **options)

    def delete(self, path, **options):
        return self.request('DELETE', path, **options)

    def describe(self, request, answer):
        return f'{request.method} {request.environ["PATH_INFO"][:300]} answers {answer.status} {answer.body[:300]!r}'

    def check_answer(self, request, answer):
        """What holds for every answer."""
        said = self.describe(request, answer)
        self.assertRegex(answer.headers.get('X-Openstack-Request-Id', ''), f'^{_REQUEST_ID.pattern}$', said)
        self.assertNotIn(b'Traceback', answer.body, said)
        if 'Location' in answer.headers:
            self.assertTrue(answer.headers['Location'].startswith(('/v', '/buckets/', 'http://localhost')), said)
        if answer.status_int == 204 or request.method == 'HEAD':
            self.assertEqual(b'', answer.body, said)
        if answer.status_int == 503:
            self.assertRegex(answer.headers.get('Retry-After', ''), '^[1-9][0-9]*$', said)
        if answer.status_int >= 400 and request.method != 'HEAD':
            self.check_error(answer, said)
        elif answer.body:
            self.assertIn(answer.content_type, ('application/json', 'application/json-home'), said)
            json.loads(answer.body, parse_int=str)  # of any length

    def check_error(self, answer, said):
        self.assertEqual('application/json', answer.content_type, said)
        self.assertIn('Accept', answer.headers.get('Vary', ''), said)
        document = json.loads(answer.body)
        if self.version == '3':
            [fault] = document.values()
            self.assertEqual(answer.status_int, fault['code'], said)
            self.assertTrue(fault['message'], said)
            return
        if self.version == 'buckets':
            self.assertEqual({'data', 'error', 'meta'}, set(document), said)
            self.assertEqual(({}, 'error'), (document['data'], document['meta']['status']), said)
            self.assertEqual(answer.status_int, document['error']['status'], said)
            self.assertTrue(document['error']['message'], said)
            return
        if self.version == 'staged':
            self.assertTrue(description(answer), said)
            return
        self.assertTrue(set(document) <= {'title', 'description'}, said)
        self.assertTrue(document['title'], said)
        # What the framework says itself is in the title: that there is no such route or method.
        if document['title'] not in ('404 Not Found', '405 Method Not Allowed'):
            self.assertTrue(document.get('description'), said)

    def assert_refused(self, answer, *words):
        """The answer blames the request, in a description that has all of `words` in it."""
        self.assertIn(answer.status_int, range(400, 500))
        for word in words:
            self.assertIn(word, description(answer))

    # -- queues ----------------------------------------------------------------------------------

    def make_queue(self, name='demo', metadata=None, **options):
        """Create a queue; its metadata are set in the way of the version."""
        self.put(f'/queues/{name}', b'' if self.version == '1' or not metadata else metadata, status=201, **options)
        if self.version == '1' and metadata:
            self.put(f'/queues/{name}/metadata', metadata, status=204, **options)

    def metadata(self, name='demo', **options):
        path = f'/queues/{name}/metadata' if self.version == '1' else f'/queues/{name}'
        return self.get(path, status=200, **options).json

    def change(self, *operations, name='demo', **options):
        """PATCH the metadata of a queue (v2): operations as (op, key, value) or ('remove', key)."""
        steps = [
            {'op': op, 'path': f'/metadata/{key}', **({'value': rest[0]} if rest else {})}
            for op, key, *rest in operations
        ]
        return self.patch(f'/queues/{name}', steps, headers={'Content-Type': PATCH}, **options)

    def queue_page(self, href='/queues', **options):
        """(the queues of a page, the next link or None)."""
        return self._page(self.get(href, **options), 'queues')

    def stats(self, name='demo', **options):
        return self.get(f'/queues/{name}/stats', status=200, **options).json['messages']

    def counts(self, name='demo', **options):
        """(claimed, free, total) of a queue; free counts delayed ones, too."""
        stats = self.stats(name, **options)
        return stats['claimed'], stats['free'], stats['total']

    # -- messages --------------------------------------------------------------------------------

    def envelope(self, messages):
        """What a post of these messages looks like."""
        return messages if self.version == '1' else {'messages': messages}

    def post_raw(self, *bodies, queue='demo', ttl=300, headers=None, **options):
        """Post bodies that are JSON texts; the answer."""
        messages = b','.join(b'{"ttl":%d,"body":%b}' % (ttl, body) for body in bodies)
        raw = b'[%b]' % messages if self.version == '1' else b'{"messages":[%b]}' % messages
        options.setdefault('client', PRODUCER)
        return self.post(f'/queues/{queue}/messages', raw, headers=headers, **options)

    def post_messages(self, *bodies, queue='demo', ttl=300, delay=None, **options):
        """Post a message for each of `bodies`; the paths of the messages."""
        messages = [
            {'body': body, **({} if ttl is None else {'ttl': ttl}), **({} if delay is None else {'delay': delay})}
            for body in bodies
        ]
        options.setdefault('client', PRODUCER)
        options.setdefault('status', 201)
        return self.post(f'/queues/{queue}/messages', self.envelope(messages), **options).json['resources']

    def message_page(self, href=None, queue='demo', **options):
        """(the messages of a page, the next link or None). `options` may hold `params`."""
        return self._page(self.get(href or f'/queues/{queue}/messages', **options), 'messages')

    def list_bodies(self, queue='demo', **params):
        """The bodies of all the messages that can be seen; they fit on a page."""
        params.setdefault('limit', 100)
        return bodies(self.message_page(queue=queue, params=params)[0])

    def read(self, href, **options):
        return self.get(without_query(href), **options).json

    def get_by_ids(self, *hrefs, queue='demo'):
        answer = self.get(f'/queues/{queue}/messages', params={'ids': ','.join(map(id_of, hrefs))}, status=200)
        return self._bare(answer)

    def pop(self, count=10, queue='demo', **options):
        return self.delete(f'/queues/{queue}/messages', params={'pop': count}, status=200, **options).json['messages']

    def delete_many(self, *hrefs, queue='demo', claims=(), status=204):
        params = {'ids': ','.join(map(id_of, hrefs))}
        if claims:
            params['claim_ids'] = ','.join(map(id_of, claims))
        return self.delete(f'/queues/{queue}/messages', params=params, status=status)

    def _page(self, answer, noun):
        if answer.status_int == 204:
            self.assertEqual('1', self.version)
            return [], None
        document = answer.json
        links = document['links']
        if links:
            [link] = links
            self.assertEqual('next', link['rel'])
            return document[noun], link['href']
        return document[noun], None

    def _bare(self, answer):
        return answer.json if self.version == '1' else answer.json['messages']

    # -- claims ----------------------------------------------------------------------------------

    def claim(self, limit=None, ttl=300, grace=60, queue='demo', **options):
        """(the path of a new claim, its messages); (None, []) if there was nothing to claim."""
        params = {} if limit is None else {'limit': limit}
        answer = self.post(f'/queues/{queue}/claims', {'ttl': ttl, 'grace': grace}, params=params, **options)
        if answer.status_int == 204:
            self.assertNotIn('Location', answer.headers)
            return None, []
        self.assertEqual(201, answer.status_int)
        return answer.headers['Location'], self._bare(answer)

    def held(self, claim, **options):
        """The claim as it can be read now."""
        return self.get(claim, status=200, **options).json

    def release(self, claim):
        self.delete(claim, status=204)

    # -- subscriptions ---------------------------------------------------------------------------

    def subscribe(self, subscriber='https://example.org/hook', options=None, ttl=None, queue='demo', **others):
        """The id of a new subscription to a queue (which only v2 can make)."""
        document = {'subscriber': subscriber, 'options': options or {}, **({} if ttl is None else {'ttl': ttl})}
        path = f'/v2/queues/{queue}/subscriptions'
        version, self.version = self.version, '2'
        try:
            return self.post(path, document, status=201, **others).json['subscription_id']
        finally:
            self.version = version

    def subscription_page(self, href=None, queue='demo', **options):
        """(the subscriptions of a page, the next link or None)."""
        return self._page(self.get(href or f'/queues/{queue}/subscriptions', **options), 'subscriptions')

    def subscription(self, subscription_id, queue='demo', **options):
        """The subscription as it can be read now."""
        return self.get(f'/queues/{queue}/subscriptions/{subscription_id}', status=200, **options).json


def description(answer):
    """What an error says, in whichever form."""
    document = answer.json
    if isinstance(document, list):
        return ' '.join(document)
    for name in ('description', 'detail'):
        if name in document:
            return document[name]
    return next(
        (value['message'] for value in document.values() if isinstance(value, dict) and 'message' in value),
        str(document),
    )


def bodies(messages):
    return [message['body'] for message in messages]


def without_query(href):
    return href.partition('?')[0]


def id_of(href):
    """The id at the end of a path that the service gave out; of a message, too, in every version."""
    if isinstance(href, dict):
        href = href['href'] if 'href' in href else href['id']
    return without_query(href).rpartition('/')[2]
