"""Posts, claims, queries and paths that no honest client sends: 4xx with a reason, and nothing happens.

What a body, a header, a name, a marker or a metadata document can be is tested where they are.
"""

from tests.api import base
from tests.fixtures import tables

_HUGE = b'9' * 5000

#: Values of a number of seconds, and what the answer says of them beside the name of the field.
_NO_SECONDS = (
    ('null', b'null', 'must be a int, not null'),
    ('a text', b'"60"', 'must be a int, not str'),
    ('an empty text', b'""', 'must be a int, not str'),
    ('a fraction', b'60.5', 'must be a int, not float'),
    ('a fraction that is whole', b'60.0', 'must be a int, not float'),
    ('an exponent', b'6e1', 'must be a int, not float'),
    ('true', b'true', 'must be a int, not bool'),
    ('false', b'false', 'must be a int, not bool'),
    ('a list', b'[60]', 'must be a int, not array'),
    ('an object', b'{"s":60}', 'must be a int, not object'),
    ('minus one', b'-1', 'must be at least'),
    ('minus much', b'-9223372036854775809', 'must be at least'),
    ('too much', b'1209601', 'may not be greater than'),
    ('two to the 31st', b'2147483648', 'may not be greater than'),
    ('two to the 63rd', b'9223372036854775808', 'may not be greater than'),
    ('two to the 64th', b'18446744073709551616', 'may not be greater than'),
    ('thirty digits', b'9' * 30, 'may not be greater than'),
    ('5000 digits', _HUGE, 'out of range'),
    ('beyond a double', b'1e400', 'out of range'),
)

_MALFORMED_SECONDS = (
    ('nan', b'NaN'), ('infinity', b'Infinity'), ('a leading zero', b'060'), ('hex', b'0x3c'), ('a plus', b'+60'),
    ('nothing', b''), ('a word', b'sixty'), ('an underscore', b'6_0'), ('arabic digits', '٦٠'.encode()),
    ('a surrogate', rb'"\ud800"'), ('no utf 8', b'"\xff"'), ('a nul', b'\x00'),
)  # fmt: skip


class HostileTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.put('/queues/demo')
        self.before = self.everything()

    def everything(self):
        return self.get('/queues?detailed=true').body, self.get('/queues/demo/stats').body

    def assert_refused_without_effect(self, answer, *words):
        self.assertEqual(400, answer.status_int, answer.text)
        self.assert_refused(answer, *words)
        self.assertEqual(self.before, self.everything())

    def post_message(self, fields):
        """Post one message whose fields are this JSON text."""
        message = b'{' + fields + b'}'
        raw = b'[' + message + b']' if self.version == '1' else b'{"messages":[' + message + b']}'
        return self.post('/queues/demo/messages', raw, status=base.ANY)


@base.in_versions('1', '1.1', '2')
class TestMessages(HostileTestCase):
    @tables.each(*_NO_SECONDS, ('zero', b'0', 'at least 60'), ('a second too few', b'59', 'at least 60'))
    def test_a_ttl_cannot_be(self, value, words):
        answer = self.post_message(b'"body":1,"ttl":' + value)
        self.assert_refused_without_effect(answer, words)
        self.assertRegex(answer.json['description'], 'ttl|TTL')

    @tables.each(*_MALFORMED_SECONDS)
    def test_a_ttl_is_no_json_if_it_is(self, value):
        self.assert_refused_without_effect(self.post_message(b'"body":1,"ttl":' + value))

    def test_of_two_ttls_both_are_looked_at(self):
        self.assert_refused_without_effect(self.post_message(b'"body":1,"ttl":"60","ttl":60'), '"ttl"')
        self.assert_refused_without_effect(self.post_message(b'"body":1,"ttl":60,"ttl":"60"'), '"ttl"')

    def test_a_body_must_be_there(self):
        self.assert_refused_without_effect(self.post_message(b'"ttl":60'), 'Missing "body" field')
        self.assert_refused_without_effect(self.post_message(b'"ttl":60,"Body":1'), 'Missing "body" field')
        self.assert_refused_without_effect(self.post_message(b''), 'field')

    @tables.each(
        ('a number', b'1'), ('null', b'null'), ('a text', b'"a"'), ('a list', b'[]'), ('true', b'true'),
        ('a list of lists', b'[[]]'),
    )  # fmt: skip
    def test_a_message_cannot_be(self, message):
        raw = b'[' + message + b']' if self.version == '1' else b'{"messages":[' + message + b']}'
        answer = self.post('/queues/demo/messages', raw, status=400)
        self.assert_refused_without_effect(answer, 'must be a dict')

    @tables.each(
        ('a number', b'1', 'Document type not supported'),
        ('null', b'null', 'Document type not supported'),
        ('a text', b'"messages"', 'Document type not supported'),
        ('true', b'true', 'Document type not supported'),
        ('malformed', b'nonsense', 'could not be parsed'),
        ('blank', b'   ', 'could not be parsed'),
        ('nothing', b'', 'can not be empty'),
        ('two documents', b'[][]', ''),
        ('a nul', b'\x00', 'could not be parsed'),
        ('a form', b'messages=1', 'could not be parsed'),
        ('xml', b'<messages/>', 'could not be parsed'),
        ('compressed', b'\x1f\x8b\x08\x00', 'could not be parsed'),
        ('utf 16', '[]'.encode('utf-16'), 'could not be parsed'),
    )
    def test_a_post_cannot_be(self, raw, words):
        self.assert_refused_without_effect(self.post('/queues/demo/messages', raw, status=400), words)

    def test_no_messages_are_no_post(self):
        raw = b'[]' if self.version == '1' else b'{"messages":[]}'
        answer = self.post('/queues/demo/messages', raw, status=400)
        self.assert_refused_without_effect(answer, 'No messages were found in the request body')

    def test_the_place_of_a_mistake_is_told(self):
        messages = [{'ttl': 60, 'body': 1}, {'ttl': 60, 'body': 2}, {'ttl': 'x', 'body': 3}]
        answer = self.post('/queues/demo/messages', self.envelope(messages), status=400)
        self.assert_refused_without_effect(answer, '[2].ttl')


@base.in_versions('1.1', '2')
class TestEnvelopes(HostileTestCase):
    @tables.each(
        ('a list', b'[]', 'Document type not supported'),
        ('a list of messages', b'[{"ttl":60,"body":1}]', 'Document type not supported'),
        ('an empty object', b'{}', 'No messages were found in the request body'),
        ('a key in capitals', b'{"Messages":[{"body":1}]}', 'No messages were found in the request body'),
        ('messages that are null', b'{"messages":null}', '"messages" field must be a list'),
        ('messages that are a number', b'{"messages":1}', '"messages" field must be a list'),
        ('messages that are a text', b'{"messages":"[]"}', '"messages" field must be a list'),
        ('messages that are an object', b'{"messages":{"body":1}}', '"messages" field must be a list'),
        ('messages twice', b'{"messages":[{"body":1}],"messages":1}', '"messages" field must be a list'),
        ('a message and a comma', b'{"messages":[{"body":1},]}', 'could not be parsed'),
        ('something behind', b'{"messages":[{"body":1}]}x', 'could not be parsed'),
        ('a deep unknown field', b'{"x":' + b'[' * 3000 + b']' * 3000 + b',"messages":[{"body":1}]}', 'too deeply'),
        ('a bad unknown field', b'{"x":NaN,"messages":[{"body":1}]}', 'could not be parsed'),
    )
    def test_a_post_cannot_be(self, raw, words):
        self.assert_refused_without_effect(self.post('/queues/demo/messages', raw, status=400), words)


class TestDelays(HostileTestCase):
    @tables.each(
        *[row for row in _NO_SECONDS if row[0] != 'too much'],
        ('a second too many', b'901', 'may not be greater than 900'),
    )
    def test_a_delay_cannot_be(self, value, words):
        answer = self.post_message(b'"body":1,"delay":' + value)
        self.assert_refused_without_effect(answer, 'delay', words)

    @tables.each(*_MALFORMED_SECONDS)
    def test_a_delay_is_no_json_if_it_is(self, value):
        self.assert_refused_without_effect(self.post_message(b'"body":1,"delay":' + value))


@base.in_versions('1', '1.1', '2')
class TestClaims(HostileTestCase):
    @tables.each(*_NO_SECONDS)
    def test_a_ttl_cannot_be(self, value, words):
        answer = self.post('/queues/demo/claims', b'{"grace":60,"ttl":' + value + b'}', status=400)
        self.assert_refused_without_effect(answer, words)
        self.assertRegex(answer.json['description'], 'ttl|TTL')

    @tables.each(*_NO_SECONDS)
    def test_a_grace_cannot_be(self, value, words):
        answer = self.post('/queues/demo/claims', b'{"ttl":60,"grace":' + value + b'}', status=400)
        self.assert_refused_without_effect(answer, 'grace', words)

    @tables.each(*_NO_SECONDS)
    def test_a_renewal_cannot_have_a_ttl_that_is(self, value, words):
        answer = self.patch('/queues/demo/claims/abc', b'{"ttl":' + value + b'}', status=400)
        self.assert_refused_without_effect(answer, words)

    @tables.each(
        ('a list', b'[]'), ('a number', b'1'), ('null', b'null'), ('malformed', b'{"ttl":60'), ('blank', b' '),
        ('deep', b'{"x":' + b'{"a":' * 5000 + b'1' + b'}' * 5000 + b'}'), ('no utf 8', b'{"ttl":60,"x":"\xff"}'),
    )  # fmt: skip
    def test_a_claim_cannot_be(self, raw):
        self.assert_refused_without_effect(self.post('/queues/demo/claims', raw, status=400))
        self.assert_refused_without_effect(self.patch('/queues/demo/claims/abc', raw, status=400))


@base.in_versions('1', '1.1', '2')
class TestQueries(HostileTestCase):
    @tables.each(
        ('a bad escape', 'limit=%zz'),
        ('half an escape', 'limit=%'),
        ('no utf 8', 'limit=%ff'),
        ('a surrogate', 'limit=%ED%A0%80'),
        ('a nul', 'limit=1%00'),
        ('a line break', 'limit=1%0d%0aX-Injected:1'),
        ('a bracket', 'limit=1]'),
        ('a sum', 'limit=1%2B1'),
        ('a large number', 'limit=99999999999999999999999999'),
        ('5000 digits', 'limit=' + '9' * 5000),
        ('the last of several', 'limit=1&limit=x'),
        ('minus zero', 'limit=-0'),
        ('a fraction', 'limit=1.0'),
        ('an exponent', 'limit=1e1'),
        ('a blank before', 'limit=%201'),
        ('a tab behind', 'limit=1%09'),
        ('a word', 'limit=ten'),
        ('true', 'limit=true'),
        ('null', 'limit=null'),
        ('fullwidth digits', 'limit=%EF%BC%91'),
    )
    def test_a_limit_cannot_be(self, query):
        for path in ('/queues', '/queues/demo/messages'):
            answer = self.get(f'{path}?{query}', status=400, lint=False)
            self.assert_refused_without_effect(answer)
            self.assertRegex(answer.json['description'], '[Ll]imit')
            self.assertNotIn('X-Injected', answer.headers)

    @tables.each(
        ('fifty parameters', '&'.join(f'p{number}={number}' for number in range(50))),
        ('a very long value', 'x=' + 'y' * 60_000),
        ('a very long name', 'y' * 60_000 + '=1'),
        ('latin 1', 'x=\xe4'),
        ('escapes that are no utf 8', 'x=%ff%fe&%ff=1'),
        ('nothing but separators', '&&&===&&'),
        ('a line break', 'x=%0d%0aSet-Cookie:%20a=b'),
        ('markup', 'x=%3Cscript%3Ealert(1)%3C/script%3E'),
        ('quotes', 'x=%27%22%60'),
        ('a template', 'x={queue_name}%7B0%7D%25s'),
    )
    def test_odd_queries_do_no_harm(self, query):
        self.post_messages(1)
        for path in ('/queues', '/queues/demo/messages'):
            answer = self.get(f'{path}?{query}', lint=False)
            self.assertIn(answer.status_int, (200, 204))
            self.assertFalse({'Set-Cookie', 'X-Injected'} & set(answer.headers))

    def test_thousands_of_parameters_are_refused_where_they_would_be_filters(self):
        query = '&'.join(f'p{number}={number}' for number in range(3000))
        answer = self.get(f'/queues?{query}', status=400 if self.version == '2' else base.ANY)
        if self.version == '2':
            self.assert_refused(answer, 'parameters', '50')
        self.get(f'/queues/demo/messages?{query}')

    def test_thousands_of_claims_are_refused(self):
        answer = self.delete(f'/queues/demo/messages?ids=abc&claim_ids={"a," * 3000}', status=400)
        self.assert_refused(answer, 'claim_ids', '100')

    def test_ids_of_every_kind_are_passed_over(self):
        ids = ['%00', '%ff', '..%2f..', "'", '%22', '%7B%7D', 'f' * 24, 'f' * 3000, '%F0%9F%98%80', '-1', 'null']
        for one in ids:
            status = 204 if self.version == '1' else 404
            self.get(f'/queues/demo/messages?ids={one}', status=status, lint=False)
            self.delete(f'/queues/demo/messages?ids={one}', status=204, lint=False)
            self.delete(f'/queues/demo/messages?ids={one}&claim_ids={one}', status=204, lint=False)
        self.assertEqual(self.before, self.everything())


@base.in_versions('1', '1.1', '2')
class TestHeaders(HostileTestCase):
    @tables.each(
        ('a method in a header', {'X-HTTP-Method-Override': 'DELETE'}),
        ('a host', {'Host': 'evil.example/..'}),
        ('a forwarded host', {'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'gopher'}),
        ('a forwarded prefix', {'X-Forwarded-Prefix': '/evil', 'X-Script-Name': '/evil'}),
        ('an original url', {'X-Original-Url': '/v2/queues/demo', 'X-Rewrite-Url': '/v2/queues/demo'}),
        ('an encoding', {'Content-Encoding': 'gzip', 'Accept-Encoding': 'identity;q=0'}),
        ('a range', {'Range': 'bytes=0-1'}),
        ('a condition', {'If-None-Match': '*', 'If-Match': '"x"', 'If-Modified-Since': 'yesterday'}),
        ('an expectation', {'Expect': '100-continue'}),
        ('a cookie', {'Cookie': 'a=b; ' * 500}),
        ('a token', {'X-Auth-Token': 'x' * 5000, 'Authorization': 'Basic ====='}),
    )
    def test_a_header_that_means_nothing_changes_nothing(self, headers):
        self.post_messages(1)
        answer = self.get('/queues/demo/messages', headers=headers, status=200, lint=False)
        self.assertEqual([1], base.bodies(answer.json['messages']))
        self.assertNotIn('evil', answer.text + str(answer.headers))
        self.put('/queues/demo', headers=headers, status=204, lint=False)
        self.assertEqual([1], self.list_bodies())
