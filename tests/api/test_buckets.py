"""Buckets, and the messages in them, call by call."""

import re

from queueservice.delivery import base as delivery
from queueservice.model import captures
from queueservice.services import captures as captures_service
from tests.api import base
from tests.fixtures import services, subscribers, tables

URL = 'https://a.example/hooks/orders?source=queue&tag=a&tag=b&token=secret'
REQUEST = {
    'method': 'POST',
    'url': URL,
    'headers': {'Content-Type': 'application/json', 'A': ['1', '2'], 'Authorization': 'Bearer secret'},
    'body': '{"order": 1201}',
    'timestamp': 1_700_000_000.123456,
}
RESPONSE = {
    'status': 200,
    'headers': {'B': '1', 'Set-Cookie': 'session=secret'},
    'body': '/wA=',
    'body_encoding': 'base64',
    'response_time': 0.25,
    'timestamp': 1_700_000_000.373456,
}
MESSAGE = {'unique_identifier': 'order-1201', 'request': REQUEST, 'response': RESPONSE}


class BucketsTestCase(base.ApiTestCase):
    version = 'buckets'
    rules = captures.Rules()

    def setUp(self):
        super().setUp()
        if self.rules != captures.Rules():
            self.use(services.Service(self.make_driver(), capture=self.rules))

    def request(self, method, path, body=b'', *, client=base.ABSENT, **options):
        if self.version != 'buckets':
            return super().request(method, path, body, **options)
        answer = super().request(method, path, body, client=client, **options)
        if answer.status_int < 300 and answer.body and 'format=har' not in path:
            self.assertEqual(['data', 'error', 'meta'], list(answer.json))
            self.assertEqual((None, 'success'), (answer.json['error'], answer.json['meta']['status']))
        return answer

    def make_bucket(self, name='demo', **options):
        return self.post('', {'name': name}, status=201, **options).json['data']['key']

    def post_one(self, key, message, status='success'):
        [result] = self.post(f'/{key}/messages', message, status=200).json['data']
        self.assertEqual(status, result['status'], result)
        return result['uuid']

    def page(self, key, query='', kind='messages', **options):
        return self.get(f'/{key}/{kind}{query}', status=200, **options).json['data']

    def identifiers(self, *arguments, **options):
        return [one['unique_identifier'] for one in self.page(*arguments, **options)]

    def show(self, key, uuid):
        return self.get(f'/{key}/messages/{uuid}', status=200).json['data']

    def problem(self, answer):
        return answer.json['error']['message']


class TestBuckets(BucketsTestCase):
    def test_one_that_was_made_is_shown(self):
        answer = self.post('', {'name': 'demo'}, status=201)
        bucket = answer.json['data']
        self.assertRegex(bucket['key'], '^[0-9a-z]{12}$')
        self.assertEqual(f'/buckets/{bucket["key"]}', answer.headers['Location'])
        self.assertEqual(('demo', {'id': base.PROJECT, 'name': base.PROJECT}), (bucket['name'], bucket['team']))
        self.assertEqual((False, True, None), (bucket['default'], bucket['verify_ssl'], bucket['auth_token']))
        self.assertEqual(bucket, self.get(f'/{bucket["key"]}', status=200).json['data'])
        self.assertEqual([], self.get(bucket['messages_url'], status=200).json['data'])
        self.assertEqual([], self.get(bucket['collections_url'], status=200).json['data'])

    @tables.each(
        ('a document with team_id', '', {'name': 'demo', 'team_id': base.PROJECT}, {}),
        ('a document with team_uuid', '', {'name': 'demo', 'team_uuid': base.PROJECT}, {}),
        ('a query', f'?name=demo&team_uuid={base.PROJECT}', b'', {}),
        (
            'a form',
            '',
            f'name=demo&team_uuid={base.PROJECT}'.encode(),
            {'Content-Type': 'application/x-www-form-urlencoded'},
        ),
        # As curl sends it to which nobody has said what it is.
        ('a document called a form', '', {'name': 'demo'}, {'Content-Type': 'application/x-www-form-urlencoded'}),
    )
    def test_it_can_be_asked_for_with(self, query, body, headers):
        made = self.post(query, body, headers=headers, status=201).json['data']
        self.assertEqual('demo', made['name'])

    def test_of_another_team_there_is_none(self):
        self.post('', {'name': 'demo', 'team_id': 'project-2'}, status=404)
        self.post('?name=demo&team_uuid=project-2', status=404)
        self.assertEqual([], self.get('').json['data'])

    @tables.each(
        ('no name', {}), ('null', {'name': None}), ('an empty name', {'name': ''}), ('a number', {'name': 1}),
        ('a long name', {'name': 'x' * 101}), ('a list', []), ('no json', b'{'), ('nothing', b''),
    )  # fmt: skip
    def test_it_is_not_made_of(self, body):
        self.post('', body, status=400)
        self.assertEqual([], self.get('').json['data'])

    def test_a_project_lists_its_own(self):
        keys = []
        for name in 'abc':
            keys.append(self.make_bucket(name))
            self.clock.advance(1)
        self.make_bucket('other', project='project-2')
        listed = self.get('', status=200).json['data']
        self.assertEqual(keys, [one['key'] for one in listed])
        self.assertEqual(keys[:2], [one['key'] for one in self.get('?count=2').json['data']])
        self.assertEqual(keys[2:], [one['key'] for one in self.get(f'?marker={keys[1]}').json['data']])
        self.assertEqual([], self.get('?marker=nowhere').json['data'])

    def test_a_deleted_one_is_gone_with_all_in_it(self):
        key = self.make_bucket()
        uuid = self.post_one(key, MESSAGE)
        collection = self.post(f'/{key}/collections', {'name': 'c'}).json['data']['uuid']
        self.put(f'/{key}/collections/{collection}/{uuid}', status=201)
        self.delete(f'/{key}', status=204)
        for path in ('', '/messages', f'/messages/{uuid}', '/errors', '/collections', f'/collections/{collection}'):
            self.get(f'/{key}{path}', status=404)
        self.delete(f'/{key}', status=404)

    def test_there_is_none_of_a_key_that_is_none(self):
        for key in ('nope', 'R55KPRAOQOHH', 'r55kpraoqoh-', '%00', '..', 'a' * 3000):
            self.get(f'/{key}', status=404)
            self.get(f'/{key}/messages', status=404)
            self.delete(f'/{key}', status=404)

    def test_other_methods_are_405(self):
        key = self.make_bucket()
        for method, path in (('PUT', ''), ('POST', f'/{key}'), ('PUT', f'/{key}/messages'), ('POST', f'/{key}/errors')):
            self.request(method, path, b'{}', status=405)


class TestPost(BucketsTestCase):
    def setUp(self):
        super().setUp()
        self.key = self.make_bucket()

    def test_a_message_is_shown_as_it_was_posted_without_its_secrets(self):
        found = self.show(self.key, self.post_one(self.key, MESSAGE))
        request, response = found['request'], found['response']
        self.assertEqual((self.key, 'order-1201'), (found['bucket_key'], found['unique_identifier']))
        self.assertEqual(
            ('POST', 'https', 'a.example', '/hooks/orders'),
            tuple(map(request.get, ('method', 'scheme', 'host', 'path'))),
        )
        self.assertEqual({'source': ['queue'], 'tag': ['a', 'b']}, request['params'])
        self.assertEqual({'Content-Type': ['application/json'], 'A': ['1', '2']}, request['headers'])
        self.assertEqual(['token', 'Authorization'], request['stripped'])
        self.assertEqual(('{"order": 1201}', 'plaintext'), (request['body'], request['body_encoding']))
        self.assertEqual((200, 'OK', 2), (response['status'], response['reason'], response['size_bytes']))
        self.assertEqual(('/wA=', 'base64'), (response['body'], response['body_encoding']))
        self.assertEqual(({'B': ['1']}, ['Set-Cookie']), (response['headers'], response['stripped']))
        self.assertEqual(0.25, response['response_time'])
        self.assertEqual((1_700_000_000.123456, 1_700_000_000.373456), (request['timestamp'], response['timestamp']))
        self.assertNotIn('secret', str(found))

    def test_of_several_each_has_a_result_in_their_order(self):
        sent = [
            {'unique_identifier': 'a', 'request': REQUEST},
            {'unique_identifier': 'b', 'request': {'method': 'GET', 'url': '/relative'}},
            {'unique_identifier': 'c', 'response': {'status': 204}},
            7,
        ]
        answer = self.post(f'/{self.key}/messages', sent, status=200).json
        results = answer['data']
        self.assertEqual(['a', 'b', 'c', None], [one['unique_identifier'] for one in results])
        self.assertEqual(['success', 'error', 'success', 'error'], [one['status'] for one in results])
        self.assertEqual([True, False, True, False], [one['uuid'] is not None for one in results])
        self.assertEqual([None, 400, None, 400], [one['error'] and one['error']['code'] for one in results])
        self.assertEqual((2, 2, 0), tuple(answer['meta'][f'{kind}_count'] for kind in ('success', 'error', 'warning')))
        self.assertEqual(['c', 'a'], sorted(self.identifiers(self.key), reverse=True))

    def test_what_is_too_long_is_kept_in_part_and_marked(self):
        response = {'status': 200, 'body': 'x' * 70_000}
        answer = self.post(f'/{self.key}/messages', {'response': response}, status=200).json
        [result] = answer['data']
        self.assertEqual(('warning', 413, None), (result['status'], result['warning']['code'], result['error']))
        self.assertEqual(1, answer['meta']['warning_count'])
        found = self.show(self.key, result['uuid'])['response']
        self.assertEqual((65536, 70_000, True), (len(found['body']), found['size_bytes'], found['body_truncated']))

    def test_no_messages_are_no_results(self):
        self.assertEqual([], self.post(f'/{self.key}/messages', [], status=200).json['data'])

    @tables.each(
        ('no json', b'{'), ('nothing', b''), ('a number', b'7'), ('a text', b'"x"'), ('null', b'null'),
        ('no utf 8', b'{"x":"\xff"}'), ('too deep', b'[' * 100 + b']' * 100),
        ('too many', b'[' + b'{},' * 1000 + b'{}]'),
        ('beyond a double', b'{"response":{"status":200,"timestamp":1e400}}'),
        ('an archive without entries', b'{"log":{}}'),
    )  # fmt: skip
    def test_a_document_cannot_be(self, raw):
        self.post(f'/{self.key}/messages', raw, status=400)
        self.assertEqual([], self.page(self.key))

    @tables.each(
        ('nothing in it', {}, 'has a "request"'),
        ('nulls in it', {'request': None, 'response': None}, 'has a "request"'),
        ('a list', [], 'must be a dict'),
        ('no method', {'request': {'url': URL}}, '"method"'),
        ('a method of two words', {'request': {'method': 'GET /', 'url': URL}}, '"method"'),
        ('no url', {'request': {'method': 'GET'}}, '"url"'),
        ('a url of another scheme', {'request': {'method': 'GET', 'url': 'ftp://a.example/'}}, '"url"'),
        ('a url with a bad host', {'request': {'method': 'GET', 'url': 'http://[::1'}}, '"url"'),
        ('headers that are numbers', {'request': {**REQUEST, 'headers': {'A': 1}}}, 'headers'),
        ('headers that are a bad text', {'request': {**REQUEST, 'headers': 'A: 1'}}, 'could not be parsed'),
        ('a body that is an object', {'request': {**REQUEST, 'body': {}}}, '"body"'),
        ('a body that is no base64', {'request': {**REQUEST, 'body': '*', 'body_encoding': 'base64'}}, 'base64'),
        ('another encoding', {'request': {**REQUEST, 'body_encoding': 'rot13'}}, 'plaintext, base64'),
        ('a time that is a text', {'request': {**REQUEST, 'timestamp': 'now'}}, '"timestamp"'),
        ('a time that is true', {'request': {**REQUEST, 'timestamp': True}}, '"timestamp"'),
        ('a time before 1970', {'request': {**REQUEST, 'timestamp': -1}}, '"timestamp"'),
        ('a time in milliseconds', {'request': {**REQUEST, 'timestamp': 1_700_000_000_000}}, '"timestamp"'),
        ('no status', {'response': {}}, '"status"'),
        ('a status that is a text', {'response': {'status': '200'}}, '"status"'),
        ('a status of 99', {'response': {'status': 99}}, '"status"'),
        ('a status of 600', {'response': {'status': 600}}, '"status"'),
        ('a negative response time', {'response': {'status': 200, 'response_time': -1}}, '"response_time"'),
        ('a long reason', {'response': {'status': 200, 'reason': 'x' * 201}}, 'reason'),
        ('a long identifier', {'unique_identifier': 'x' * 513, 'response': {'status': 200}}, 'unique_identifier'),
        ('an identifier that is a number', {'unique_identifier': 1, 'response': {'status': 200}}, 'unique_identifier'),
        ('a long form', {'request': {**REQUEST, 'form': {'a': 'x' * 70_000}}}, 'form'),
    )
    def test_a_message_cannot_have(self, message, words):
        good = {'unique_identifier': 'good', 'response': {'status': 200}}
        bad, other = self.post(f'/{self.key}/messages', [message, good], status=200).json['data']
        self.assertEqual(('error', 'success'), (bad['status'], other['status']))
        self.assertIn(words, bad['error']['message'])
        self.assertEqual(['good'], self.identifiers(self.key))

    @tables.each(
        ('secret headers', {'headers': {f'token-{number}': 'x' for number in range(20_000)}}),
        ('headers with secret parameters', {'headers': {'Link': '?' + '&'.join(f'token-{n}=' for n in range(20_000))}}),
        ('a long secret header', {'headers': {'token-' + 'x' * 100_000: 'x'}}),
    )
    def test_names_of_what_was_stripped_are_kept_up_to_a_length(self, half):
        key = self.make_bucket()
        self.post(f'/{key}/messages', {'request': {**REQUEST, **half}}, status=200)
        self.assertLess(len(self.get(f'/{key}/messages').body), 8192)

    def test_a_wrong_header_is_named(self):
        key = self.make_bucket()
        request = {**REQUEST, 'headers': {'A': ['1', 2]}}
        [result] = self.post(f'/{key}/messages', {'request': request}, status=200).json['data']
        self.assertIn('"headers[1]"', result['error']['message'])

    def test_forms_in_archives_are_capped(self):
        request = {'method': 'POST', 'url': URL, 'postData': {'params': [{'name': 'a', 'value': 'x' * 70_000}]}}
        entry = {'startedDateTime': '2026-01-01T00:00:00Z', 'request': request, 'response': {'status': 200}}
        key = self.make_bucket()
        [result] = self.post(f'/{key}/messages', {'log': {'entries': [entry]}}, status=200).json['data']
        self.assertEqual('error', result['status'])
        self.assertIn('form', result['error']['message'])

    def test_headers_and_forms_may_be_json_in_a_text(self):
        request = {**REQUEST, 'headers': '{"A": ["1", "2"]}', 'form': '{"b": "1", "password": "secret"}'}
        found = self.show(self.key, self.post_one(self.key, {'request': request}))['request']
        self.assertEqual(({'A': ['1', '2']}, {'b': ['1']}), (found['headers'], found['form']))
        self.assertEqual(['token', 'password'], found['stripped'])

    def test_what_says_no_time_happens_now(self):
        found = self.show(self.key, self.post_one(self.key, {'request': {'method': 'GET', 'url': URL}}))
        self.assertEqual((self.clock(), None), (found['request']['timestamp'], found['response']))

    def test_a_request_without_a_time_has_that_of_its_response(self):
        message = {'request': {'method': 'GET', 'url': URL}, 'response': RESPONSE}
        found = self.show(self.key, self.post_one(self.key, message))
        self.assertEqual(RESPONSE['timestamp'], found['request']['timestamp'])

    def test_a_push_becomes_a_message_itself(self):
        headers = {'webhook-id': 'delivery-1', 'webhook-signature': 'v1,secret', 'X-Auth-Token': 'secret'}
        answer = self.post(f'/{self.key}/messages', b'{"body": 1}', headers=headers, status=200)
        [result] = answer.json['data']
        self.assertEqual(f'{self.key}/{result["uuid"]}', answer.headers['X-Captured-Exchange'])
        found = self.show(self.key, result['uuid'])
        self.assertEqual(('delivery-1', '{"body": 1}'), (found['unique_identifier'], found['request']['body']))
        self.assertNotIn('secret', str(found))
        self.assertEqual([], self.page(self.key, kind='errors'))


class TestList(BucketsTestCase):
    def setUp(self):
        super().setUp()
        self.key = self.make_bucket()
        self.post(f'/{self.key}/messages', [self.message(number) for number in range(60)])

    def message(self, number):
        at = 1_700_000_000 + number
        if number % 3 == 2:
            return {'unique_identifier': str(number), 'response': {'status': 400 + number, 'timestamp': at}}
        request = {'method': 'GET', 'url': URL, 'timestamp': at, 'body': 'x', 'form': {'a': '1'}}
        return {
            'unique_identifier': str(number),
            'request': request,
            'response': {'status': 200, 'body': 'x'} if number % 3 else None,
        }

    def numbers(self, query='', kind='messages'):
        return list(map(int, self.identifiers(self.key, query, kind)))

    @tables.each(
        ('nothing', '', range(59, 9, -1)),
        ('a count', '?count=3', [59, 58, 57]),
        ('more than there are', '?count=1000', range(59, -1, -1)),
        ('more than there can be', '?count=99999999999999999999999', range(59, -1, -1)),
        ('a start', '?since=1700000056', [59, 58, 57]),
        ('a start with a fraction', '?since=1700000056.5', [59, 58, 57]),
        ('an end', '?before=1700000003', [2, 1, 0]),
        ('both', '?since=1700000001&before=1700000004', [3, 2]),
        ('an empty window', '?since=1700000004&before=1700000001', []),
        ('a count before', '?count=2&before=1700000010', [9, 8]),
        ('an identifier', '?unique_identifier=7', [7]),
        ('an identifier of none', '?unique_identifier=x', []),
        ('empty values', '?count=&since=&before=', range(59, 9, -1)),
        ('an unknown parameter', '?x=1&count=1', [59]),
    )
    def test_the_newest_are_listed_with(self, query, expected):
        self.assertEqual(list(expected), self.numbers(query))

    @tables.each(
        ('a count of nothing', 'count=0'),
        ('a negative count', 'count=-1'),
        ('a count with a fraction', 'count=1.5'),
        ('a count with an exponent', 'count=1e1'),
        ('a count in words', 'count=ten'),
        ('a count in arabic digits', 'count=%D9%A1'),
        ('a count with a blank', 'count=%201'),
        *[(f'since {value}', f'since={value}') for value in ('now', 'nan', 'inf', '1e9', '2023-11-14', '0x1')],
        *[(f'before {value}', f'before={value}') for value in ('now', 'nan', '-inf', '1_0')],
        ('a format of another kind', 'format=xml'),
    )
    def test_a_list_cannot_be_asked_for_with(self, query):
        answer = self.get(f'/{self.key}/messages?{query}', status=400, lint=False)
        self.assertIn(query.partition('=')[0], self.problem(answer))

    def test_lists_have_no_bodies(self):
        for listed in (self.page(self.key, '?count=1000'), self.page(self.key, '?count=1000', 'errors')):
            for half in [one[name] for one in listed for name in ('request', 'response') if one[name]]:
                self.assertFalse({'body', 'body_encoding', 'form'} & set(half))

    def test_what_failed_is_listed(self):
        failed = [number for number in range(59, -1, -1) if number % 3 != 1]
        self.assertEqual(failed, self.numbers('?count=1000', 'errors'))
        self.assertEqual(failed[:2], self.numbers('?count=2', 'errors'))
        self.assertEqual([3, 2], self.numbers('?since=1700000000&before=1700000005', 'errors'))
        self.assertEqual([], self.numbers('?unique_identifier=1', 'errors'))

    def test_messages_of_another_bucket_are_not_in_it(self):
        other = self.make_bucket()
        [first, *_] = self.page(self.key)
        self.assertEqual([], self.page(other))
        self.get(f'/{other}/messages/{first["uuid"]}', status=404)

    def test_a_message_that_is_none_is_not_found(self):
        for uuid in ('x', captures.new_id(), '%00', 'f' * 3000, captures.new_id().upper()):
            self.get(f'/{self.key}/messages/{uuid}', status=404)

    def test_a_cleared_bucket_is_empty_and_can_be_used(self):
        collection = self.post(f'/{self.key}/collections', {'name': 'c'}).json['data']['uuid']
        [first, *_] = self.page(self.key)
        self.put(f'/{self.key}/collections/{collection}/{first["uuid"]}', status=201)
        self.delete(f'/{self.key}/messages', status=204)
        self.assertEqual([], self.page(self.key, '?count=1000'))
        self.assertEqual([], self.page(self.key, kind=f'collections/{collection}'))
        self.post_one(self.key, MESSAGE)
        self.assertEqual(['order-1201'], self.identifiers(self.key))


class TestRetention(BucketsTestCase):
    rules = captures.Rules(retention=3, max_body=4)

    def test_the_first_make_room_for_others(self):
        key = self.make_bucket()
        for number in range(5):
            self.clock.advance(1)
            self.post_one(key, {'unique_identifier': str(number), 'response': {'status': 200, 'body': 'abc'}})
        self.assertEqual(['4', '3', '2'], self.identifiers(key))

    def test_bodies_are_kept_as_far_as_is_configured(self):
        key = self.make_bucket()
        uuid = self.post_one(key, {'response': {'status': 200, 'body': 'abcdef'}}, status='warning')
        self.assertEqual('abcd', self.show(key, uuid)['response']['body'])


#: What HAR 1.2 demands of each object: field -> type.
_HAR = {
    'log': {'version': str, 'creator': dict, 'entries': list},
    'creator': {'name': str, 'version': str},
    'entry': {
        'startedDateTime': str, 'time': (int, float), 'request': dict, 'response': dict, 'cache': dict, 'timings': dict,
    },
    'request': {
        'method': str, 'url': str, 'httpVersion': str, 'cookies': list, 'headers': list, 'queryString': list,
        'headersSize': int, 'bodySize': int,
    },
    'postData': {'mimeType': str, 'params': list, 'text': str},
    'response': {
        'status': int, 'statusText': str, 'httpVersion': str, 'cookies': list, 'headers': list, 'content': dict,
        'redirectURL': str, 'headersSize': int, 'bodySize': int,
    },
    'content': {'size': int, 'mimeType': str},
    'timings': {'send': (int, float), 'wait': (int, float), 'receive': (int, float)},
    'pair': {'name': str, 'value': str},
}  # fmt: skip
_HAR_OPTIONAL = {
    'entry': {'comment': str},
    'request': {'postData': dict, 'comment': str},
    'postData': {'encoding': str, 'comment': str},
    'content': {'text': str, 'encoding': str, 'comment': str},
}


class TestArchives(BucketsTestCase):
    def setUp(self):
        super().setUp()
        self.key = self.make_bucket()

    def archive(self, query=''):
        return self.get(f'/{self.key}/messages?format=har{query}', status=200).json

    def assert_is(self, kind, value):
        self.assertIsInstance(value, dict)
        allowed = _HAR[kind] | _HAR_OPTIONAL.get(kind, {})
        self.assertTrue(_HAR[kind].keys() <= value.keys() <= allowed.keys(), f'{kind}: {sorted(value)}')
        for field, content in value.items():
            self.assertIsInstance(content, allowed[field], f'{kind}.{field}')

    def assert_valid(self, archive):
        self.assertEqual(['log'], list(archive))
        log = archive['log']
        self.assert_is('log', log)
        self.assertEqual('1.2', log['version'])
        self.assert_is('creator', log['creator'])
        for entry in log['entries']:
            request, response = entry['request'], entry['response']
            self.assert_is('entry', entry)
            self.assertRegex(entry['startedDateTime'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$')
            self.assert_is('request', request)
            if 'postData' in request:
                self.assert_is('postData', request['postData'])
            self.assert_is('response', response)
            self.assert_is('content', response['content'])
            self.assert_is('timings', entry['timings'])
            for pair in (*request['headers'], *request['queryString'], *response['headers']):
                self.assert_is('pair', pair)

    def test_what_is_in_a_bucket_is_an_archive(self):
        self.post(
            f'/{self.key}/messages',
            [
                MESSAGE,
                {'request': {**REQUEST, 'form': {'a': ['1', '2']}}},
                {'response': {'status': 302, 'headers': {'Location': '/x?sig=1', 'Content-Type': 'text/plain'}}},
                {'response': {'status': 200, 'body': 'x' * 70_000}},
            ],
        )
        archive = self.archive()
        self.assert_valid(archive)
        self.assertEqual(4, len(archive['log']['entries']))
        times = [entry['startedDateTime'] for entry in archive['log']['entries']]
        self.assertEqual(sorted(times), times)
        self.assertNotIn('secret', str(archive))
        entry = next(one for one in archive['log']['entries'] if 'order-1201' in one.get('comment', ''))
        self.assertEqual('{"order": 1201}', entry['request']['postData']['text'])
        self.assertEqual(
            ('/wA=', 'base64'), (entry['response']['content']['text'], entry['response']['content']['encoding'])
        )
        self.assertEqual(250, entry['time'])

    def test_an_empty_bucket_is_one_too(self):
        self.assert_valid(self.archive())

    def test_a_list_is_chosen_as_ever(self):
        self.post(f'/{self.key}/messages', [MESSAGE, {'request': REQUEST}])
        self.assertEqual(1, len(self.archive('&unique_identifier=order-1201')['log']['entries']))

    def test_an_archive_can_be_posted_and_comes_back_the_same(self):
        self.post(
            f'/{self.key}/messages',
            [{'request': REQUEST, 'response': RESPONSE}, {'request': {**REQUEST, 'timestamp': 1_700_000_001}}],
        )
        archive = self.archive()
        self.delete(f'/{self.key}/messages')
        results = self.post(f'/{self.key}/messages', archive, status=200).json['data']
        self.assertEqual(['success'] * 2, [one['status'] for one in results])
        again = self.archive()
        self.assertEqual(archive, again)

    def test_an_archive_of_a_browser_can_be_posted(self):
        entry = {
            'pageref': 'page_1',
            'startedDateTime': '2023-11-14T23:13:20.500+01:00',
            'time': 12.5,
            'request': {
                'method': 'POST',
                'url': URL,
                'httpVersion': 'http/2.0',
                'headers': [{'name': 'cookie', 'value': 'secret'}, {'name': 'a', 'value': '1'}],
                'cookies': [{'name': 'session', 'value': 'secret'}],
                'queryString': [],
                'headersSize': -1,
                'bodySize': 3,
                'postData': {
                    'mimeType': 'application/x-www-form-urlencoded',
                    'text': 'a=1',
                    'params': [{'name': 'a', 'value': '1'}],
                },
            },
            'response': {
                'status': 200,
                'statusText': '',
                'headers': [],
                'content': {'size': 2, 'mimeType': 'image/png', 'text': '/wA=', 'encoding': 'base64'},
                '_transferSize': 100,
            },
            'cache': {},
            'timings': {'wait': 12.5},
        }
        broken = {**entry, 'startedDateTime': 'yesterday'}
        good, bad = self.post(f'/{self.key}/messages', {'log': {'entries': [entry, broken]}}, status=200).json['data']
        self.assertEqual(('success', 'error'), (good['status'], bad['status']))
        self.assertIn('startedDateTime', bad['error']['message'])
        found = self.show(self.key, good['uuid'])
        self.assertEqual((1_700_000_000.5, 0.0125), (found['request']['timestamp'], found['response']['response_time']))
        self.assertEqual(({'a': ['1']}, 'a=1'), (found['request']['form'], found['request']['body']))
        self.assertEqual((b'/wA=', 'OK'), (found['response']['body'].encode(), found['response']['reason']))
        self.assertNotIn('secret', str(found))

    def test_no_answer_stays_none(self):
        entry = {
            'startedDateTime': '2023-11-14T22:13:20Z',
            'request': {'method': 'GET', 'url': URL},
            'response': {'status': 0},
        }
        uuid = self.post_one(self.key, {'log': {'entries': [entry]}})
        self.assertIsNone(self.show(self.key, uuid)['response'])


class TestReplay(BucketsTestCase):
    def setUp(self):
        super().setUp()
        self.sender = subscribers.Sender(subscribers.welcome)
        self.use(services.Service(self.make_driver(), senders={'https': self.sender, 'mailto': self.sender}))
        self.version = '2'
        self.subscription = self.subscribe('https://receiver.example/hook', {'post_data': '[1]', 'a': 1})
        self.version = 'buckets'
        self.key = captures.bucket_key(base.PROJECT, 'demo')

    def capture(self, body=b'{"n": 1}', **fields):
        """Let an attempt be captured; the id of its message."""
        sent = delivery.Exchange('POST', 'https://old.example/', (), body, self.clock(), 0.25, 503, **fields)
        captured = captures_service.Captured(f'{self.subscription}-1', self.subscription, 1, sent, 'status')
        self.service.services.captures.capture(base.PROJECT, 'demo', [captured], self.clock())
        [message, *_] = self.page(self.key)
        return message['uuid']

    def replay(self, uuid, **options):
        return self.post(f'/{self.key}/messages/{uuid}/replay', **options)

    def test_it_goes_to_where_the_subscriber_is_now(self):
        uuid = self.capture()
        self.clock.advance(60)
        found = self.replay(uuid, status=200).json['data']
        [push] = self.sender.pushes
        self.assertEqual(('https://receiver.example/hook', b'{"n": 1}'), (push.target, push.body))
        self.assertEqual((f'{self.subscription}-1', self.clock()), (push.delivery_id, push.sent_at))
        self.assertEqual({'a': 1}, push.options)
        self.assertEqual(1, len(push.secrets))
        self.assertEqual((f'{self.subscription}-1', None), (found['unique_identifier'], found['attempt']))
        self.assertEqual((204, 0.25), (found['response']['status'], found['response']['response_time']))
        self.assertEqual(['webhook-signature'], found['request']['stripped'])
        self.assertEqual(found, self.show(self.key, found['uuid']))

    def test_every_time_is_captured(self):
        uuid = self.capture()
        again = self.replay(uuid).json['data']['uuid']
        self.replay(again, status=200)
        self.assertEqual(3, len(self.page(self.key, f'?unique_identifier={self.subscription}-1')))

    def test_what_is_refused_is_409_and_says_why(self):
        uuid = self.capture()
        self.sender.answer = lambda push: delivery.Result(ok=False, sent=False, error='address')
        answer = self.replay(uuid, status=409)
        self.assertIn('does not deliver', self.problem(answer))
        self.assertEqual(1, len(self.page(self.key)))

    def test_without_its_subscription_it_is_409(self):
        uuid = self.capture()
        self.version = '2'
        self.delete(f'/queues/demo/subscriptions/{self.subscription}', status=204)
        self.version = 'buckets'
        self.assertIn('subscription', self.problem(self.replay(uuid, status=409)))
        self.assertEqual([], self.sender.pushes)

    def test_what_was_no_delivery_is_409(self):
        self.capture()
        uuid = self.post_one(self.key, {'unique_identifier': f'{self.subscription}-1', 'request': REQUEST})
        self.replay(uuid, status=409)
        self.assertEqual([], self.sender.pushes)

    def test_a_body_that_is_not_whole_is_409(self):
        uuid = self.capture(b'x' * 70_000)
        self.assertIn('body', self.problem(self.replay(uuid, status=409)))
        self.assertEqual([], self.sender.pushes)

    def test_a_subscriber_by_mail_is_409(self):
        self.version = '2'
        self.patch(f'/queues/demo/subscriptions/{self.subscription}', {'subscriber': 'mailto:a@b.example'}, status=204)
        self.version = 'buckets'
        self.replay(self.capture(), status=409)
        self.assertEqual([], self.sender.pushes)

    def test_only_a_few_are_sent_at_a_time(self):
        uuid = self.capture()
        statuses = []

        def answer(push):
            if len(statuses) < 2:
                statuses.append(self.replay(uuid, status=base.ANY).status_int)
            return subscribers.welcome(push)

        self.sender.answer = answer
        self.replay(uuid, status=200)
        self.assertIn(503, statuses)
        self.replay(uuid, status=200)

    def test_what_is_not_there_is_404(self):
        self.capture()
        for uuid in (captures.new_id(), 'x'):
            self.replay(uuid, status=404)


class TestErrors(BucketsTestCase):
    """In the envelope, whatever it is."""

    def test_statuses(self):
        key = self.make_bucket()
        self.get('/nope', status=404)
        self.get(f'/{key}/nope', status=404)
        self.post('', {'name': 'x'}, project=base.ABSENT, status=400)
        self.post('', {'name': 'x'}, headers={'X-Roles': 'reader'}, status=403)
        self.get('', headers={'Accept': 'text/html'}, status=406)
        self.put('', b'{}', status=405)
        self.post('', {'name': 'x'}, headers={'Content-Encoding': 'gzip'}, status=415)
        self.post(f'/{key}/messages', b' ' * (4 * 1024 * 1024 + 1), status=400)

    def test_a_token_is_asked_for(self):
        self.use(services.Service(self.make_driver(), auth_strategy='tokens'))
        self.get('', status=401)
        token = self.service.services.tokens.create('project-1', ['member'])[1]
        for headers in ({'Authorization': f'Bearer {token}'}, {'X-Auth-Token': token}):
            self.assertEqual([], self.get('', headers=headers, project=base.ABSENT, status=200).json['data'])
        self.get('', headers={'Authorization': 'Bearer x'}, status=401)

    def test_too_many_buckets_are_403(self):
        for _ in range(captures.MOST_BUCKETS):
            self.service.services.captures.create(base.PROJECT, 'x')
        answer = self.post('', {'name': 'x'}, status=403)
        self.assertIn('1000 buckets', self.problem(answer))

    def test_a_key_is_never_in_two_forms(self):
        self.assertTrue(re.fullmatch('[0-9a-z]{12}', self.make_bucket()))
