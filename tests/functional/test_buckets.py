"""Buckets and collections from a real server, by a client that is made of the service's OpenAPI document.

The client knows nothing but the document: every call is one of its operations, and every answer must have a status and
a form that the document has for it.
"""

import json
import re
import urllib.error
import urllib.request
from urllib import parse

import jsonschema
import testtools

from tests.fixtures import server

_REF = '#/components/responses/'


class Client:
    """Operations by their names: `client.call('buckets_buckets_get', 200, bucket_key=...)`."""

    def __init__(self, url: str, project: str):
        self._url = url
        self._project = project
        with urllib.request.urlopen(f'{url}/openapi.json') as answer:
            self._document = json.load(answer)
        self.called: set[tuple[str, int]] = set()
        self.operations = {
            operation['operationId']: (method, path, operation)
            for path, item in self._document['paths'].items()
            if path.startswith('/buckets')
            for method, operation in item.items()
            if method != 'parameters'
        }

    def call(self, name: str, status: int, body=None, **fields):
        """The document of the answer, which has this status; None if there is none."""
        method, path, operation = self.operations[name]
        query = {
            parameter['name']: fields.pop(parameter['name'])
            for parameter in operation['parameters']
            if parameter['in'] == 'query' and parameter['name'] in fields
        }
        url = self._url + re.sub(r'{(\w+)}', lambda match: parse.quote(fields.pop(match[1])), path)
        assert not fields, f'{name} has no {sorted(fields)}'
        request = urllib.request.Request(
            f'{url}?{parse.urlencode(query)}' if query else url,
            method=method.upper(),
            headers={'X-Project-Id': self._project, 'Content-Type': 'application/json'},
            data=None if body is None else json.dumps(body).encode(),
        )
        answered, raw = _ask(request)
        assert answered == status, (name, answered, raw)
        self.called.add((name, status))
        return self._check(operation['responses'][str(status)], raw)

    def _check(self, described, raw):
        if '$ref' in described:
            described = self._document['components']['responses'][described['$ref'].removeprefix(_REF)]
        if 'content' not in described:
            assert raw == b'', raw
            return None
        document = json.loads(raw)
        schema = described['content']['application/json']['schema']
        jsonschema.validate(document, {**schema, 'components': self._document['components']})
        return document


class TestBuckets(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = server.Server('--workers', '1').start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove()
        super().tearDownClass()

    def test_every_call_answers_as_it_is_described(self):
        client = Client(self.server.url, 'shop')
        key = client.call('buckets_buckets_create', 201, {'name': 'demo'})['data']['key']
        client.call('buckets_buckets_create', 400, {'name': ''})
        client.call('buckets_buckets_create', 404, {'name': 'x', 'team_id': 'other'})
        [bucket] = client.call('buckets_buckets_get_all', 200)['data']
        self.assertEqual(bucket, client.call('buckets_buckets_get', 200, bucket_key=key)['data'])
        client.call('buckets_buckets_get', 404, bucket_key='0' * 12)

        sent = [
            {'unique_identifier': name, 'request': {'method': 'GET', 'url': 'https://a.example/?b=1', 'timestamp': at}}
            for at, name in enumerate('abc', 1_700_000_000)
        ]
        results = client.call('buckets_bucket_messages_create', 200, [*sent, {}], bucket_key=key)
        self.assertEqual((3, 1), (results['meta']['success_count'], results['meta']['error_count']))
        client.call('buckets_bucket_messages_create', 400, 7, bucket_key=key)
        first, second, third, _ = (one['uuid'] for one in results['data'])
        listed = client.call('buckets_bucket_messages_get_all', 200, bucket_key=key, count=2, since=1_700_000_000)
        self.assertEqual([third, second], [one['uuid'] for one in listed['data']])
        client.call('buckets_bucket_messages_get_all', 400, bucket_key=key, count=0)
        archive = client.call('buckets_bucket_messages_get_all', 200, bucket_key=key, format='har')
        self.assertEqual(3, len(archive['log']['entries']))
        self.assertEqual(3, len(client.call('buckets_bucket_messages_errors', 200, bucket_key=key)['data']))
        shown = client.call('buckets_bucket_messages_get', 200, bucket_key=key, uuid=first)['data']
        self.assertEqual({'b': ['1']}, shown['request']['params'])
        client.call('buckets_bucket_messages_get', 404, bucket_key=key, uuid=key)
        client.call('buckets_bucket_messages_replay', 409, bucket_key=key, uuid=first)

        made = {'name': 'kept', 'description': 'why'}
        place = {'bucket_key': key}
        place['collection_uuid'] = client.call('buckets_collections_create', 201, made, **place)['data']['uuid']
        client.call('buckets_collections_create', 400, {'name': 'x' * 101}, bucket_key=key)
        self.assertEqual(1, len(client.call('buckets_collections_get_all', 200, bucket_key=key)['data']))
        client.call('buckets_collections_put_message', 201, {'rank': 2}, uuid=first, **place)
        client.call('buckets_collections_put_message', 201, {'rank': 1.1}, uuid=second, **place)
        client.call('buckets_collections_put_message', 201, uuid=third, **place)
        client.call('buckets_collections_put_message', 400, {'rank': True}, uuid=third, **place)
        client.call('buckets_collections_put_message', 404, uuid=key, **place)
        items = client.call('buckets_collections_get', 200, **place)['data']
        self.assertEqual([1.1, 2], [one['rank'] for one in items][:2])
        client.call('buckets_collections_remove_message', 204, uuid=first, **place)
        client.call('buckets_collections_remove_message', 404, uuid=first, **place)
        client.call('buckets_collections_remove_message_too', 204, uuid=second, **place)
        client.call('buckets_collections_delete', 204, **place)
        client.call('buckets_collections_get', 404, **place)
        place['collection_uuid'] = client.call('buckets_collections_create', 201, made, bucket_key=key)['data']['uuid']
        client.call('buckets_collections_delete_too', 204, **place)

        client.call('buckets_bucket_messages_delete_all', 204, bucket_key=key)
        self.assertEqual([], client.call('buckets_bucket_messages_get_all', 200, bucket_key=key)['data'])
        client.call('buckets_buckets_delete', 204, bucket_key=key)
        client.call('buckets_buckets_delete', 404, bucket_key=key)
        self.assertEqual(set(client.operations), {name for name, _ in client.called})


def _ask(request):
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
