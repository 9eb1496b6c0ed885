"""Headers: who asks, what is sent and what is wanted; and the order in which they are looked at."""

from tests.api import base
from tests.fixtures import tables


@base.in_versions('1', '1.1', '2')
class TestRequestId(base.ApiTestCase):
    def test_every_answer_has_one_of_its_own(self):
        answers = [
            self.put('/queues/demo', status=201),
            self.get('/queues/demo/unknown', status=404),
            self.request('PUT', '/queues/demo/messages', status=405),
            self.get('/queues', headers={'Accept': 'text/html'}, status=406),
            self.post('/queues/demo/messages', b'{', status=400),
            self.request('OPTIONS', '/queues', status=200),
        ]
        self.assertEqual(len(answers), len({answer.headers['X-Openstack-Request-Id'] for answer in answers}))

    def test_the_client_does_not_choose_it(self):
        answer = self.put('/queues/demo', headers={'X-Openstack-Request-Id': 'mine'})
        self.assertNotEqual('mine', answer.headers['X-Openstack-Request-Id'])

    def test_public_routes_have_one_too(self):
        for path in ('/', '/healthz', '/readyz', '/nowhere'):
            self.assertIn('X-Openstack-Request-Id', self.app.get(path, status='*').headers)


def routes_of(version):
    """A request for each route that needs no body."""
    return (
        ('GET', '/'),
        *([] if version == '1' else [('GET', '/ping')]),
        ('GET', '/queues'),
        ('PUT', '/queues/demo'),
        ('GET', '/queues/demo'),
        ('GET', '/queues/demo/stats'),
        ('GET', '/queues/demo/messages?ids=abc'),
        ('DELETE', '/queues/demo/messages?ids=abc'),
        ('GET', '/queues/demo/messages/abc'),
        ('DELETE', '/queues/demo/messages/abc'),
        ('POST', '/queues/demo/claims'),
        ('GET', '/queues/demo/claims/abc'),
        ('DELETE', '/queues/demo/claims/abc'),
        ('DELETE', '/queues/demo'),
    )


@base.in_versions('1.1', '2')
class TestRequired(base.ApiTestCase):
    def test_every_route_wants_a_client(self):
        for method, path in routes_of(self.version):
            answer = self.request(method, path, client=base.ABSENT, status=400)
            self.assertEqual('Missing header value', answer.json['title'])
            self.assert_refused(answer, 'The "Client-ID" header is required.')

    def test_every_route_wants_a_project(self):
        for method, path in routes_of(self.version):
            answer = self.request(method, path, project=base.ABSENT, status=400)
            self.assertEqual('Project-Id Missing', answer.json['title'])
            self.assert_refused(answer, 'X-Project-Id')

    def test_an_empty_project_is_none(self):
        answer = self.get('/queues', project='', status=400)
        self.assert_refused(answer, 'Empty project header not allowed', 'X-Project-Id')


class TestOptional(base.ApiTestCase):
    version = '1'

    def test_the_project_may_be_left_out(self):
        for method, path in routes_of('1'):
            answer = self.request(method, path, project=base.ABSENT, status=base.ANY)
            self.assertNotIn('Project', answer.text)
            self.assertLess(answer.status_int, 500)
        self.put('/queues/demo', project=base.ABSENT, client=base.ABSENT, status=201)

    def test_an_empty_project_is_an_error(self):
        self.assert_refused(self.get('/queues', project='', status=400), 'Empty project header not allowed')

    def test_messages_are_listed_and_posted_by_a_client(self):
        self.make_queue()
        for method, path, body in (
            ('GET', '/queues/demo/messages', b''),
            ('POST', '/queues/demo/messages', b'[{"ttl":60,"body":1}]'),
        ):
            answer = self.request(method, path, body, client=base.ABSENT, status=400)
            self.assertEqual('Missing header value', answer.json['title'])
        self.assertEqual((0, 0, 0), self.counts())

    def test_everything_else_needs_none(self):
        self.make_queue(client=base.ABSENT)
        [path] = self.post_messages(1)
        self.get(path, client=base.ABSENT, status=200)
        self.get(f'/queues/demo/messages?ids={base.id_of(path)}', client=base.ABSENT, status=200)
        claim, _ = self.claim(client=base.ABSENT)
        self.held(claim, client=base.ABSENT)
        self.delete(f'{path}?claim_id={base.id_of(claim)}', client=base.ABSENT, status=204)
        self.get('/queues', client=base.ABSENT, status=200)
        self.get('/', client=base.ABSENT, project=base.ABSENT, status=200)


@base.in_versions('1', '1.1', '2')
class TestClientId(base.ApiTestCase):
    @tables.each(
        ('hyphens', '3381af92-2b9e-11e3-b191-71861300734c'),
        ('no hyphens', '3381af922b9e11e3b19171861300734c'),
        ('capitals', '3381AF92-2B9E-11E3-B191-71861300734C'),
        ('braces', '{3381af92-2b9e-11e3-b191-71861300734c}'),
        ('a urn', 'urn:uuid:3381af92-2b9e-11e3-b191-71861300734c'),
        ('zeros', '00000000-0000-0000-0000-000000000000'),
    )
    def test_it_may_be_written_with(self, client):
        self.get('/queues', client=client)

    @tables.each(
        ('empty', ''),
        ('a word', 'me'),
        ('31 digits', '3381af922b9e11e3b19171861300734'),
        ('33 digits', '3381af922b9e11e3b19171861300734c0'),
        ('not hex', '3381af92-2b9e-11e3-b191-71861300734g'),
        ('sent twice', '3381af92-2b9e-11e3-b191-71861300734c, 3381af92-2b9e-11e3-b191-71861300734c'),
        ('a letter outside ASCII', '3381af92-2b9e-11e3-b191-7186130073\xe4'),
        ('a nul', '3381af92-2b9e-11e3-b191-71861300734\0'),
        ('very long', 'a' * 5000),
        ('braces alone', '{}'),
        ('an arabic digit', '3381af922b9e11e3b1917186130073\xd9\xa3'),
    )
    def test_it_cannot_be(self, client):
        for method, path in routes_of(self.version):
            answer = self.request(method, path, client=client, status=400, lint=False)
            self.assertEqual('Wrong UUID value', answer.json['title'])
            self.assert_refused(answer, 'Malformed hexadecimal UUID.', '"Client-ID"')


class TestAnyClientId(base.ApiTestCase):
    settings = {'any_client_id': (10, 36)}

    def test_any_text_of_the_length_is_a_client(self):
        self.post_messages(1, client='any text at all')
        self.assertEqual([1], self.list_bodies())
        self.assertEqual([], base.bodies(self.message_page(client='any text at all')[0]))
        for client in ('x' * 10, 'x' * 36, 'caf\xe9 caf\xe9 caf\xe9'):
            self.post_messages(1, client=client, lint=False)

    def test_the_length_is_bounded(self):
        for client in ('', 'x' * 9, 'x' * 37):
            self.assert_refused(self.get('/queues', client=client, status=400), '"Client-ID"', '10', '36')


@base.in_versions('1', '1.1', '2')
class TestProject(base.ApiTestCase):
    @tables.each(
        ('a letter', 'p'),
        ('256 characters', 'p' * 256),
        ('a path', '../../etc'),
        ('a blank inside', 'a b'),
        ('quotes', '\'"`'),
        ('a query', '{"$ne": null}'),
        ('an asterisk', '*'),
        ('utf 8', 'é😀'.encode().decode('latin-1')),
        ('the word null', 'null'),
        ('what a namespace is called', 'shared'),
        ('what another namespace is called', 'internal'),
        ('a percent sign', '%2e%2e'),
    )
    def test_it_may_be(self, project):
        self.make_queue('mine', project=project)
        self.assertEqual(['mine'], [queue['name'] for queue in self.queue_page(project=project)[0]])
        self.assertEqual(([], None), self.queue_page())

    @tables.each(
        ('257 characters', 'p' * 257),
        ('sent twice', 'project-1, project-2'),
        ('a comma', ','),
        ('a nul', 'a\0b'),
        ('a tab', 'a\tb'),
        ('a delete character', 'a\x7f'),
        ('a byte that is no utf 8', 'a\xff'),
        ('half a character', 'a\xc3'),
        ('a control character of latin 1', 'a\xc2\x85'),
    )
    def test_it_cannot_be(self, project):
        for method, path in routes_of(self.version):
            answer = self.request(method, path, project=project, status=400, lint=False)
            self.assert_refused(answer, 'Project ids')


@base.in_versions('1', '1.1', '2')
class TestAccept(base.ApiTestCase):
    @tables.each(
        ('json', 'application/json'),
        ('anything', '*/*'),
        ('any application', 'application/*'),
        ('json among others', 'text/html, application/json;q=0.5'),
        ('anything at last', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'),
        ('json of a charset', 'application/json; charset=UTF-8'),
        ('json of the very best quality', 'application/json;q=1.000'),
        ('nothing at all', ''),
    )
    def test_it_may_want(self, accept):
        self.get('/queues', headers={'Accept': accept})

    @tables.each(
        ('html', 'text/html'),
        ('xml', 'application/xml'),
        ('text', 'text/*'),
        ('json of a vendor', 'application/vnd.openstack.messaging-v2+json'),
        ('no json', 'application/json;q=0'),
        ('nothing', '*/*;q=0'),
        ('nonsense', 'nonsense'),
        ('a slash', '/'),
        ('commas', ', ,'),
        ('a quality that is none', 'application/json;q=x'),
        ('latin 1', '\xff'),
        ('very much', 'text/html,' * 1000),
    )
    def test_it_cannot_want(self, accept):
        for method, path in routes_of(self.version):
            answer = self.request(method, path, headers={'Accept': accept}, status=406, lint=False)
            self.assert_refused(answer, 'application/json', 'Accept')


@base.in_versions('1', '1.1', '2')
class TestContentType(base.ApiTestCase):
    @tables.each(
        ('as it is written', 'application/x-www-form-urlencoded'),
        ('in capitals', 'APPLICATION/X-WWW-FORM-URLENCODED'),
    )
    def test_a_form_is_refused(self, media_type):
        self.make_queue()
        for body in (b'[]', b''):
            environ = {'CONTENT_LENGTH': str(len(body)), 'CONTENT_TYPE': media_type}
            answer = self.post('/queues/demo/messages', body, environ=environ, status=400)
            self.assertEqual('Invalid Content-Type', answer.json['title'])
            self.assert_refused(answer, 'application/json', 'Content-Type')

    def test_without_a_length_there_is_no_form(self):
        environ = {'CONTENT_TYPE': 'application/x-www-form-urlencoded', 'CONTENT_LENGTH': ''}
        self.put('/queues/demo', environ=environ, status=201, lint=False)

    def test_parameters_make_it_another_type(self):
        raw = b'[{"ttl":60,"body":1}]' if self.version == '1' else b'{"messages":[{"ttl":60,"body":1}]}'
        environ = {'CONTENT_TYPE': 'application/x-www-form-urlencoded; charset=utf-8'}
        self.make_queue()
        self.post('/queues/demo/messages', raw, environ=environ, status=201)

    @tables.each(
        ('gzip', {'Content-Encoding': 'gzip'}, 'Content-Encoding'),
        ('brotli', {'Content-Encoding': 'br'}, 'Content-Encoding'),
        ('two codings', {'Content-Encoding': 'identity, gzip'}, 'Content-Encoding'),
        ('encryption', {'Content-Encoding': 'aes128gcm'}, 'Content-Encoding'),
        ('gzip on the way', {'Transfer-Encoding': 'gzip, chunked'}, 'Transfer-Encoding'),
    )
    def test_a_body_is_not_unpacked_from(self, headers, name):
        self.make_queue()
        raw = b'[{"ttl":60,"body":1}]' if self.version == '1' else b'{"messages":[{"ttl":60,"body":1}]}'
        for environ in ({}, {'CONTENT_LENGTH': '', 'wsgi.input_terminated': True}):
            answer = self.post('/queues/demo/messages', raw, headers=headers, environ=environ, status=415, lint=False)
            self.assert_refused(answer, name)
            self.assertEqual('identity', answer.headers['Accept-Encoding'])
        self.assertEqual((0, 0, 0), self.counts())

    def test_a_body_as_it_is_may_say_so(self):
        raw = b'[{"ttl":60,"body":1}]' if self.version == '1' else b'{"messages":[{"ttl":60,"body":1}]}'
        self.make_queue()
        for coding in ('identity', 'Identity', ''):
            self.post('/queues/demo/messages', raw, headers={'Content-Encoding': coding}, status=201)

    def test_answers_are_not_kept_by_caches_nor_taken_for_something_else(self):
        self.make_queue()
        for answer in (
            self.get('/queues', status=200),
            self.get('/queues/demo/unknown', status=404),
            self.get('/queues?limit=x', status=400),
            self.put('/queues/demo', status=204),
        ):
            self.assertEqual('nosniff', answer.headers['X-Content-Type-Options'])
            self.assertEqual('no-store', answer.headers['Cache-Control'])
        self.assertEqual('nosniff', self.get('/').headers['X-Content-Type-Options'])

    def test_answers_are_json(self):
        self.make_queue()
        answer = self.get('/queues', status=200)
        self.assertEqual('application/json', answer.headers['Content-Type'])
        self.assertEqual(str(len(answer.body)), answer.headers['Content-Length'])


@base.in_versions('1', '1.1', '2')
class TestOrder(base.ApiTestCase):
    """The first thing that is wrong is what is answered (section 1.2)."""

    def titles(self, **wrong):
        """The title of the answer to a request in which everything is wrong but what is said."""
        environ = {'CONTENT_TYPE': 'application/x-www-form-urlencoded', 'CONTENT_LENGTH': '0'}
        headers = {'Accept': 'text/html', 'X-Roles': 'nobody'}
        request = {'client': 'x', 'project': '', 'name': 'a%20b', 'method': 'BREW'}
        request |= {name: wrong[name] for name in request if name in wrong}
        if 'form' in wrong:
            environ = {}
        if 'accept' in wrong:
            del headers['Accept']
        method = 'PUT' if 'method' in wrong else 'TRACE'
        answer = self.request(
            method,
            f'/queues/{request["name"]}/messages',
            client=request['client'],
            project=request['project'],
            headers=headers,
            environ=environ,
            status=wrong['status'],
            lint=False,
        )
        return answer.json['title']

    def test_each_comes_before_the_next(self):
        right = {}
        for status, title, name, value in (
            (400, 'Invalid Content-Type', 'form', None),
            (406, 'Not acceptable', 'accept', None),
            (400, 'Wrong UUID value', 'client', base.CONSUMER),
            (400, 'Invalid header value', 'project', base.PROJECT),
            (400, 'Invalid queue identification', 'name', 'demo'),
            (405, '405 Method Not Allowed', 'method', None),
        ):
            self.assertEqual(title, self.titles(status=status, **right))
            right[name] = value

    def test_the_method_comes_before_the_role_and_the_role_before_the_body(self):
        self.make_queue()
        self.request('PUT', '/queues/demo/messages', headers={'X-Roles': 'nobody'}, status=405)
        answer = self.post('/queues/demo/messages', b'{', headers={'X-Roles': 'nobody'}, status=403)
        self.assertEqual('Not authorized', answer.json['title'])

    def test_options_needs_the_headers(self):
        self.request('OPTIONS', '/queues', headers={'Accept': 'text/html'}, status=406)
        self.request('OPTIONS', '/queues', client='x', status=400)
        self.request('OPTIONS', '/queues', status=200)


class TestContentLocation(base.ApiTestCase):
    version = '1'

    def test_every_get_of_v1_has_one(self):
        self.make_queue()
        [path] = self.post_messages(1)
        claim, _ = self.claim()
        for wanted in (
            '/queues/demo',
            '/queues/demo/metadata',
            '/queues/demo/stats',
            '/queues?limit=1&detailed=true',
            '/queues/demo/messages?limit=1&echo=true',
            f'/queues/demo/messages?ids={base.id_of(path)}',
            path.removeprefix('/v1'),
            claim.removeprefix('/v1'),
        ):
            answer = self.get(wanted)
            self.assertEqual(f'/v1{wanted}', answer.headers['Content-Location'])

    def test_answers_without_a_body_have_it_too(self):
        self.assertEqual('/v1/queues', self.get('/queues', status=204).headers['Content-Location'])
        self.assertEqual('/v1/queues/none', self.get('/queues/none', status=404).headers['Content-Location'])
        path = '/queues/none/messages'
        self.assertEqual(f'/v1{path}', self.get(path, status=204).headers['Content-Location'])

    def test_head_has_the_headers_of_get(self):
        self.make_queue()
        self.assertEqual('/v1/queues/demo', self.head('/queues/demo').headers['Content-Location'])

    def test_nothing_else_has_it(self):
        self.assertNotIn('Content-Location', self.put('/queues/demo').headers)
        for version in ('1.1', '2'):
            self.version = version
            for path in ('/queues', '/queues/demo', '/queues/demo/stats', '/queues/demo/messages'):
                self.assertNotIn('Content-Location', self.get(path).headers)
