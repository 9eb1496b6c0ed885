"""The OpenAPI document says what the API does: routes, parameters, bounds, versions."""

from unittest import mock

import falcon
import openapi_spec_validator

from queueservice.api import dialects, openapi, operations, params, routes
from queueservice.api.resources import base as resources
from queueservice.model import limits, queues, signatures
from tests.api import base, walk
from tests.fixtures import drivers, services, tables

ALL = limits.Limits()


class DocumentTestCase(base.ApiTestCase):
    def document(self):
        return self.app.get('/openapi.json').json

    def methods(self):
        """(method, path) of everything that is in the document."""
        return {
            (method.upper(), path)
            for path, item in self.document()['paths'].items()
            for method in item
            if method != 'parameters'
        }


class TestDocument(DocumentTestCase):
    settings = {'admin_mode': True}

    def test_it_is_valid(self):
        openapi_spec_validator.validate(self.document())

    def test_it_needs_no_headers_and_is_json(self):
        answer = self.app.get('/openapi.json')
        self.assertEqual((200, 'application/json'), (answer.status_int, answer.content_type))
        self.assertEqual('3.1.0', answer.json['openapi'])

    def test_every_route_of_every_version_is_in_it_and_nothing_else(self):
        expected = {('GET', '/'), ('GET', '/v1/'), ('GET', '/v1.1/'), ('GET', '/v2/'), ('GET', '/v3/')}
        served = [(route.path, route.resource) for route in routes.PUBLIC_ROUTES]
        for name in routes.APIS:
            served += [(dialects.APIS[name].path + route.path, route.resource) for route in routes.served(name)]
        for path, resource in served:
            expected |= {(method, path) for method in walk.METHODS if hasattr(resource, f'on_{method.lower()}')}
        self.assertEqual(expected, self.methods())

    def test_every_operation_has_a_name_of_its_own_and_a_sentence(self):
        names = []
        for item in self.document()['paths'].values():
            for operation in [one for method, one in item.items() if method != 'parameters']:
                names.append(operation['operationId'])
                self.assertRegex(operation['summary'], r'^[A-Z].*\.$')
        self.assertEqual(len(names), len(set(names)))

    def test_every_refusal_that_it_names_is_described(self):
        text = self.app.get('/openapi.json').text
        self.assertNotIn('x-bound', text)
        self.assertNotIn('x-type', text)
        self.assertIn('"#/components/responses/409"', text)


class TestSettings(DocumentTestCase):
    def test_administrative_routes_are_left_out_where_they_are_not_served(self):
        self.assertNotIn(('GET', '/v2/health'), self.methods())
        self.assertIn(('GET', '/v2/ping'), self.methods())

    def test_versions_that_are_not_served_are_left_out(self):
        self.use(services.Service(drivers.build_memory(), versions=('1.1', '2')))
        self.assertEqual(
            {'/', '/healthz', '/readyz', '/media/{file_token}/{file_name}'},
            {path for _, path in self.methods() if not path.startswith(('/v1', '/v2', '/v3', '/buckets', '/api/'))},
        )
        self.assertEqual(set(), {path for _, path in self.methods() if path.startswith('/v1/')})
        self.assertIn(('GET', '/v1.1/queues'), self.methods())

    def test_bounds_are_those_in_force(self):
        self.use(
            services.Service(drivers.build_memory(), limits=limits.Limits(max_message_ttl=77, max_messages_per_page=5))
        )
        document = self.document()
        self.assertEqual(
            {'type': 'integer', 'minimum': 60, 'maximum': 77},
            document['components']['schemas']['Posted']['properties']['ttl'],
        )
        self.assertEqual(
            77, document['components']['schemas']['Metadata']['properties']['_default_message_ttl']['maximum']
        )
        query = {
            one['name']: one['schema']
            for one in document['paths']['/v2/queues/{queue_name}/messages']['get']['parameters']
        }
        self.assertEqual((1, 5), (query['limit']['minimum'], query['limit']['maximum']))
        self.assertEqual(5, query['ids']['maxItems'])

    def test_what_a_version_requires_is_required(self):
        paths = self.document()['paths']

        def required(path, method='get'):
            return {one['name']: one['required'] for one in paths[path][method]['parameters'] if one['in'] == 'header'}

        self.assertEqual({'X-Project-Id': True, 'Client-ID': True}, required('/v2/queues'))
        self.assertEqual({'X-Project-Id': False, 'Client-ID': False}, required('/v1/queues'))
        self.assertEqual(
            {'X-Project-Id': False, 'Client-ID': True}, required('/v1/queues/{queue_name}/messages', 'post')
        )
        self.assertEqual({}, required('/v1/health'))

    def test_a_token_may_be_sent_where_headers_are_believed(self):
        document = self.document()
        self.assertEqual([{}, {'token': []}, {'bearer': []}], document['security'])
        self.assertIn('401', document['paths']['/v2/queues']['get']['responses'])

    def test_a_token_must_be_sent_where_they_are_not(self):
        self.use(services.Service(drivers.build_memory(), auth_strategy='tokens'))
        document = self.document()
        self.assertEqual([{'token': []}, {'bearer': []}], document['security'])
        queues = document['paths']['/v2/queues']['get']
        self.assertNotIn('X-Project-Id', [one['name'] for one in queues['parameters']])
        self.assertNotIn('security', queues)
        for path in ('/', '/healthz', '/readyz', '/v1/health'):
            self.assertEqual([], document['paths'][path]['get']['security'])

    def test_a_pre_signed_url_may_be_sent_where_there_can_be_one(self):
        names = ['URL-Signature', 'URL-Paths', 'URL-Methods', 'URL-Expires', 'X-Project-Id']
        queue = queues.QueueKey(queues.PROJECT, 'p', 'q')
        expires_at = self.clock() + 60
        grants = [
            signatures.build(queue, signatures.RESOURCES, signatures.METHODS, expires_at),
            signatures.build_link(queue, 'a' * 24, expires_at),
        ]
        for strategy in ('noauth', 'tokens'):
            self.use(services.Service(drivers.build_memory(), auth_strategy=strategy))
            document = self.document()
            schemes = document['components']['securitySchemes']
            for method, path in self.methods():
                credentials = document['paths'][path][method.lower()].get('security', document['security'])
                signed = [[schemes[one]['name'] for one in each] for each in credentials if 'signature' in each]
                filled = path.format(queue_name='q', **dict.fromkeys(openapi._FIELDS.keys() - {'queue_name'}, 'a' * 24))
                is_good = any(grant.is_for(method, filled, self.clock()) for grant in grants)
                self.assertEqual([names] if is_good else [], signed, f'{method} {path}')
            self.assertIn({'token': []}, document['paths']['/v2/queues/{queue_name}/messages']['get']['security'])

    def test_a_client_id_of_any_form_is_described_so(self):
        self.use(services.Service(drivers.build_memory(), any_client_id=(3, 9)))
        [schema] = [
            one['schema']
            for one in self.document()['paths']['/v2/queues']['get']['parameters']
            if one['name'] == 'Client-ID'
        ]
        self.assertEqual({'type': 'string', 'minLength': 3, 'maxLength': 9}, schema)


class TestForgotten(base.ApiTestCase):
    """A route that does not say what it takes has no document, and the tests above say what is missing."""

    def refusal(self, path, resource):
        openapi.build.cache_clear()
        self.addCleanup(openapi.build.cache_clear)
        with mock.patch.object(routes, 'ROUTES', (*routes.ROUTES, routes.Route(path, resource))):
            return str(self.assertRaises(ValueError, openapi.build, routes.ORDER, True, False, None, ALL))

    def test_a_method_without_an_operation(self):
        class Silent(resources.Resource):
            policies = {'GET': 'queues:get'}

            def on_get(self, req, resp): ...

        self.assertIn('Silent answers GET /silent, but its operations()', self.refusal('/silent', Silent))

    def test_a_field_that_nobody_describes(self):
        class Thing(resources.PublicResource):
            @staticmethod
            def operations(dialect):
                return {'GET': operations.Operation(answers={204: None}, name='things:get', summary='Get a thing.')}

            def on_get(self, req, resp): ...

        self.assertIn('What is {thing} in /{thing}?', self.refusal('/{thing}', Thing))

    def test_two_operations_of_one_name(self):
        self.assertIn('queues_get_all', self.refusal('/others', routes.ROUTES[0].resource))


class _Noting(dict):
    """The query of a request, which notes what it is asked for."""

    def __init__(self, query, noted):
        super().__init__(query)
        self._noted = noted

    def get(self, name, default=None):
        self._noted.add(name)
        return super().get(name, default)


class TestParameters(walk.WalkTestCase):
    """What a handler reads of the query is what the document says that there is."""

    settings = {'admin_mode': True}

    def setUp(self):
        super().setUp()
        self.noted = set()
        query = falcon.Request.params
        noting = property(lambda req: _Noting(query.__get__(req), self.noted))
        self.enterContext(mock.patch.object(falcon.Request, 'params', noting))

    @tables.each(*walk.operations())
    def test_every_parameter_is_described_and_read(self, steps):
        operation = steps[0].resource.operations(dialects.APIS[steps[0].version])[steps[0].method]
        described = {one.name for one in operation.query if not isinstance(one, params.Others)}
        noted = set()
        for index, step in enumerate(steps):
            project = f'project-{index}'
            fields = self.fill_for(steps[0], project)
            self.noted.clear()
            self.take(step, fields, project)
            noted |= self.noted
        if len(described) < len(operation.query):
            noted.discard('a')  # the filter of the walk
        self.assertEqual(described, noted, 'Parameters are declared beside a resource and listed in its operations().')
