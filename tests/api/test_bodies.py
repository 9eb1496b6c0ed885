"""Bodies of messages: what comes in goes out byte for byte, and what cannot be kept does not come in."""

import io
import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from queueservice import bootstrap
from queueservice.model import metadata, queues
from tests.api import base
from tests.fixtures import tables

#: Every one of these is a body that is given back as it came.
KEPT = (
    ('null', b'null'),
    ('true', b'true'),
    ('an empty text', b'""'),
    ('an empty object', b'{}'),
    ('an empty list', b'[ ]'),
    ('a fraction without a need', b'1.0'),
    ('a fraction with many zeros', b'1.50000'),
    ('an exponent', b'1E5'),
    ('an exponent with a sign', b'-1.5e+07'),
    ('minus zero', b'-0'),
    ('minus zero with a fraction', b'-0.0'),
    ('the largest double', b'1.7976931348623157e308'),
    ('a double that vanishes', b'1e-400'),
    ('a whole number beyond a double', b'9007199254740993'),
    ('a whole number beyond 64 bits', b'18446744073709551617'),
    ('a whole number of 400 digits', b'-' + b'7' * 400),
    ('a whole number of 5000 digits', b'7' * 5000),
    ('a fraction of 5000 digits', b'0.' + b'7' * 5000),
    ('digits in a text that look like a number', b'"1e999 [[[{{{"'),
    ('duplicate keys', b'{"a":1,"a":2,"a":{"a":3,"a":4}}'),
    ('keys in their order', b'{"b":1,"a":2}'),
    ('blanks inside', b'{ "a" :\t[ 1 ,\r\n 2 ] }'),
    ('letters', '"äöü ß € \U0001f600 \u2028 \ufeff"'.encode()),
    ('escaped letters', rb'"\u00e4\ud83d\ude00\/\b\f\n\r\t\"\\"'),
    ('an escaped nul', rb'"\u0000"'),
    ('an escaped nul in a key', rb'{"\u0000": "\u0000"}'),
    ('a delete character', b'"\x7f"'),
    ('a noncharacter', '"\uffff\ufdd0"'.encode()),
    ('a key that is empty', b'{"": 1}'),
    ('keys that mean something elsewhere', b'{"$where": 1, "__proto__": 2, "ttl": "x", "body": null}'),
    ('64 levels of lists', b'[' * 64 + b']' * 64),
    ('64 levels of objects', b'{"a":' * 63 + b'{}' + b'}' * 63),
    ('brackets in a text', b'"' + b'[{' * 100 + b'"'),
    ('escaped quotes and brackets', rb'"\"[[[[\\\"{{{{\\"'),
    ('many lists side by side', b'[' + b','.join([b'[]'] * 200) + b']'),
    ('an empty list of lists', b'[[],{},""]'),
)

#: None of these is JSON that can be kept.
MALFORMED = (
    ('nothing', b''),
    ('a bare word', b'abc'),
    ('a word in capitals', b'NULL'),
    ('a word that goes on', b'truefalse'),
    ('python s none', b'None'),
    ('nan', b'NaN'),
    ('infinity', b'Infinity'),
    ('minus infinity', b'-Infinity'),
    ('nan inside', b'[1, NaN]'),
    ('a leading zero', b'01'),
    ('a leading plus', b'+1'),
    ('a leading point', b'.5'),
    ('a trailing point', b'5.'),
    ('an exponent without digits', b'1e'),
    ('two exponents', b'1e5e5'),
    ('hex', b'0x1F'),
    ('an underscore', b'1_000'),
    ('a lonely minus', b'-'),
    ('an open text', b'"abc'),
    ('an open list', b'[1, 2'),
    ('an open object', b'{"a": 1'),
    ('a trailing comma in a list', b'[1,]'),
    ('a trailing comma in an object', b'{"a":1,}'),
    ('two commas', b'[1,,2]'),
    ('no comma', b'[1 2]'),
    ('no colon', b'{"a" 1}'),
    ('a key without quotes', b'{a: 1}'),
    ('a key that is a number', b'{1: 2}'),
    ('single quotes', b"'a'"),
    ('a comment', b'1 /* one */'),
    ('a line comment', b'[1, // one\n2]'),
    ('a line break in a text', b'"a\nb"'),
    ('a tab in a text', b'"a\tb"'),
    ('a nul in a text', b'"a\x00b"'),
    ('a nul', b'\x00'),
    ('an unknown escape', rb'"\q"'),
    ('an escape in hex', rb'"\x41"'),
    ('a short escape', rb'"\u12"'),
    ('an escape that is no hex', rb'"\u12G4"'),
    ('a high surrogate alone', rb'"\ud800"'),
    ('a low surrogate alone', rb'"\udc00"'),
    ('surrogates in the wrong order', rb'"\udc00\ud800"'),
    ('a high surrogate and a letter', rb'"\ud83d\u0041"'),
    ('a surrogate in capitals', rb'"\uD83D x"'),
    ('a surrogate in a key', rb'{"\ud800": 1}'),
    ('a surrogate deep inside', rb'[{"a": ["\ud800"]}]'),
    ('a raw surrogate', b'"\xed\xa0\x80"'),
    ('a byte that is no utf 8', b'"\xff"'),
    ('an overlong slash', b'"\xc0\xaf"'),
    ('an overlong nul', b'"\xc0\x80"'),
    ('a character beyond unicode', b'"\xf4\x90\x80\x80"'),
    ('half a character', b'"\xe2\x82"'),
    ('latin 1', 'b"ä"'.encode('latin-1')),
    ('utf 16', '"a"'.encode('utf-16')),
    ('a byte order mark', b'\xef\xbb\xbf1'),
    ('a second value', b'1 2'),
    ('a closing bracket too many', b'[]]'),
)

#: JSON, but not to be kept.
REFUSED = (
    ('65 levels of lists', b'[' * 65 + b']' * 65, 'nested too deeply'),
    ('65 levels of objects', b'{"a":' * 64 + b'{}' + b'}' * 64, 'nested too deeply'),
    ('65 levels behind a text with brackets', b'["]]]]",' + b'[' * 64 + b']' * 65, 'nested too deeply'),
    ('65 levels behind escaped quotes', rb'["\"]]\\",' + b'[' * 64 + b']' * 65, 'nested too deeply'),
    ('2000 levels', b'[' * 2000 + b']' * 2000, 'nested too deeply'),
    ('100000 levels', b'[' * 100_000 + b']' * 100_000, 'nested too deeply'),
    ('40000 levels of objects', b'{"a":' * 40_000 + b'1' + b'}' * 40_000, 'nested too deeply'),
    ('a number beyond a double', b'1e400', 'out of range'),
    ('a number beyond a double with a sign', b'-1.5E+400', 'out of range'),
    ('a number beyond a double by a long exponent', b'1e' + b'9' * 50, 'out of range'),
    ('a number beyond a double by an exponent with zeros', b'1e0000400', 'out of range'),
    ('a number beyond a double by many digits', b'9' * 400 + b'.0', 'out of range'),
    ('a number beyond a double by digits and exponent', b'1' + b'0' * 250 + b'e99', 'out of range'),
    ('a number beyond a double just so', b'1.8e308', 'out of range'),
    ('a number beyond a double deep inside', b'{"a": ["1e5", {"b": [1e999]}]}', 'out of range'),
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


class BodyTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.put('/queues/demo')

    def assert_nothing_stored(self):
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())

    def raw(self, body, ttl=b'60'):
        """A post of one message, as JSON text."""
        message = b'{"ttl":' + ttl + b',"body":' + body + b'}'
        return b'[' + message + b']' if self.version == '1' else b'{"messages":[' + message + b']}'


@base.in_versions('1', '1.1', '2')
class TestRoundTrip(BodyTestCase):
    @tables.each(*KEPT)
    def test_every_answer_holds_the_very_bytes_of(self, body):
        [path] = self.post_raw(body, status=201).json['resources']
        shown = b'"body":' + body + b'}'
        self.assertIn(shown, self.get(path).body)
        self.assertIn(shown, self.get('/queues/demo/messages').body)
        self.assertIn(shown, self.get(f'/queues/demo/messages?ids={base.id_of(path)}').body)
        answer = self.post('/queues/demo/claims', {'ttl': 60, 'grace': 60}, status=201)
        self.assertIn(shown, answer.body)
        self.assertIn(shown, self.get(answer.headers['Location']).body)
        self.release(answer.headers['Location'])
        if self.version != '1':
            popped = self.delete('/queues/demo/messages?pop=1').body
            self.assertTrue(b'"body":' + body in popped)

    def test_blanks_around_a_body_are_not_part_of_it(self):
        [path] = self.post_raw(b' \n 1 \t ', status=201).json['resources']
        self.assertIn(b'"body":1}', self.get(path).body)

    def test_a_batch_of_all_of_them(self):
        bodies = [body for _, body in KEPT]
        paths = self.post_raw(*bodies, status=201).json['resources']
        for path, body in zip(paths, bodies, strict=True):
            self.assertIn(b'"body":' + body + b'}', self.get(path).body)


class TestAnyValue(BodyTestCase):
    @settings(max_examples=100, deadline=None)
    @given(_JSON, st.booleans(), st.sampled_from([None, 1, '\t']))
    def test_any_json_value_comes_back(self, value, ascii_only, indent):
        body = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        try:
            raw = body.encode()
        except UnicodeEncodeError:
            return  # a surrogate alone, which JSON text cannot be
        if '\\ud' in body and not _is_encodable(value):
            return
        [path] = self.post_raw(raw, status=201).json['resources']
        self.assertIn(b'"body":' + raw + b'}', self.get(path).body)
        self.delete(path)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=20) | st.text('[]{}",:0123456789eE.+-\\u truefalsn', max_size=12).map(str.encode))
    def test_any_bytes_are_taken_or_refused(self, body):
        answer = self.post(
            '/queues/demo/messages', self.raw(body), client=base.PRODUCER, status=_either(self.raw(body))
        )
        if answer.status_int == 201:
            self.delete(answer.json['resources'][0])
        else:
            self.assert_refused(answer)
        self.assert_nothing_stored()


@base.in_versions('1', '1.1', '2')
class TestRefusal(BodyTestCase):
    @tables.each(*MALFORMED)
    def test_a_body_cannot_be(self, body):
        answer = self.post('/queues/demo/messages', self.raw(body), status=400)
        self.assertEqual('Invalid request body', answer.json['title'])
        self.assert_refused(answer, 'Request body could not be parsed')
        self.assert_nothing_stored()

    @tables.each(*REFUSED)
    def test_a_body_has_not(self, body, words):
        self.assert_refused(self.post('/queues/demo/messages', self.raw(body), status=400), words)
        self.assert_nothing_stored()

    def test_one_bad_body_keeps_its_batch_out(self):
        for _, bad, _ in REFUSED:
            answer = self.post_raw(b'1', bad, b'2', status=400)
            self.assert_refused(answer)
        self.assert_nothing_stored()

    def test_unknown_fields_are_parsed_too(self):
        for bad in (b'NaN', b'"\xff"', rb'"\ud800"', b'01', b'[' * 2000 + b']' * 2000):
            answer = self.post('/queues/demo/messages', self.raw(b'1,"unknown":' + bad), status=400)
            self.assert_refused(answer)
        self.assert_nothing_stored()


@base.in_versions('1', '1.1', '2')
class TestSizes(BodyTestCase):
    limits = {'max_messages_post_size': 1000}

    def sized(self, size):
        raw = self.raw(b'"' + b'x' * (size - len(self.raw(b'""'))) + b'"')
        self.assertEqual(size, len(raw))
        return raw

    def send(self, raw, status, **environ):
        body = environ.pop('body', raw)
        answer = self.post(
            '/queues/demo/messages', raw, status=status, lint=False, environ={'wsgi.input': io.BytesIO(body), **environ}
        )
        if status == 400:
            self.assert_refused(answer)
            self.assert_nothing_stored()
        return answer

    def test_the_bound_belongs_to_what_is_allowed(self):
        self.send(self.sized(1000), 201)

    def test_a_byte_more_is_too_large(self):
        answer = self.send(self.sized(1001), 400)
        self.assert_refused(answer, 'Message collection size', '1001 bytes', '1000', 'max_messages_post_size')

    def test_blanks_count(self):
        self.send(self.sized(999) + b'  ', 400)

    def test_a_declared_length_is_refused_unread(self):
        class Unreadable:
            def read(self, *_):
                raise AssertionError('it was read')

        answer = self.post(
            '/queues/demo/messages',
            status=400,
            lint=False,
            environ={'CONTENT_LENGTH': str(6 * 2**20), 'wsgi.input': Unreadable()},
        )
        self.assert_refused(answer, 'Message collection size', '6291456')

    def test_a_length_that_is_too_small_cuts_the_body(self):
        self.assert_refused(self.send(self.sized(500), 400, CONTENT_LENGTH='499'), 'could not be parsed')

    def test_a_length_that_is_too_large_is_told(self):
        self.assert_refused(self.send(self.sized(500), 400, CONTENT_LENGTH='501'), '500', '501', 'Content-Length')

    @tables.each(
        ('negative', '-1'), ('a word', 'ten'), ('a fraction', '5.0'), ('hex', '0x10'), ('two numbers', '10, 10'),
        ('a blank', ' '), ('a huge number', '9' * 30), ('a very huge number', '9' * 5000), ('arabic', '\xd9\xa3'),
    )  # fmt: skip
    def test_a_length_cannot_be(self, length):
        self.send(self.sized(500), 400, CONTENT_LENGTH=length)

    def test_a_chunked_body_is_read_to_its_end(self):
        self.send(self.sized(1000), 201, **{'CONTENT_LENGTH': '', 'wsgi.input_terminated': True})

    def test_a_chunked_body_has_the_same_bound(self):
        for size in (1001, 5000, 500_000):
            answer = self.send(self.sized(size), 400, **{'CONTENT_LENGTH': '', 'wsgi.input_terminated': True})
            self.assert_refused(answer, 'Message collection size', 'more than 1000')

    def test_an_empty_chunked_body_is_none(self):
        answer = self.send(b'', 400, **{'CONTENT_LENGTH': '', 'wsgi.input_terminated': True})
        self.assert_refused(answer, 'can not be empty')

    def test_no_more_than_the_bound_is_read_of_a_chunked_body(self):
        body = io.BytesIO(self.sized(500_000))
        self.send(b'', 400, **{'CONTENT_LENGTH': '', 'wsgi.input_terminated': True, 'wsgi.input': body})
        self.assertLessEqual(body.tell(), 1001)

    def test_a_body_that_the_server_cannot_read_is_a_mistake_of_the_client(self):
        class Malformed:
            def read(self, *_):
                raise ValueError('Invalid chunk size: zz')

        for environ in ({'wsgi.input_terminated': True, 'CONTENT_LENGTH': ''}, {'CONTENT_LENGTH': '10'}):
            answer = self.send(b'', 400, **environ, **{'wsgi.input': Malformed()})
            self.assert_refused(answer, 'cannot be read to its end')

    def test_a_body_without_length_and_end_is_none(self):
        answer = self.send(self.sized(500), 400, CONTENT_LENGTH='')
        self.assert_refused(answer, 'can not be empty')

    def test_other_bodies_are_bounded_too(self):
        self.post_messages(1)
        claim, _ = self.claim()
        large = b'{"ttl": 60, "grace": 60}' + b' ' * 70_000
        answer = self.post('/queues/demo/claims', large, status=400)
        self.assert_refused(answer, 'too large')
        self.assert_refused(self.patch(claim, large, status=400), 'too large')


class TestSizesOfQueues(BodyTestCase):
    limits = {'max_messages_post_size': 1000}

    def test_a_queue_may_have_a_smaller_bound(self):
        self.change(('add', '_max_messages_post_size', 100))
        raw = self.raw(b'"' + b'x' * (100 - len(self.raw(b'""'))) + b'"')
        self.post('/queues/demo/messages', raw, status=201)
        answer = self.post('/queues/demo/messages', raw + b' ', status=400)
        self.assert_refused(answer, '101', '100', '_max_messages_post_size')
        for version in ('1', '1.1'):
            self.version = version
            self.post('/queues/demo/messages', self.raw(b'"' + b'x' * 100 + b'"'), status=400)

    def test_a_bound_that_another_process_has_moved_holds_no_more(self):
        self.change(('add', '_max_messages_post_size', 100))
        raw = self.raw(b'"' + b'x' * 100 + b'"')
        self.post('/queues/demo/messages', raw, status=400)
        other = bootstrap.build_services(self.service.driver, clock=self.clock)
        key = queues.QueueKey(queues.PROJECT, base.PROJECT, 'demo')
        other.queues.patch_metadata(key, [metadata.Operation('replace', '_max_messages_post_size', 1000)])
        self.post('/queues/demo/messages', raw, status=201)


class TestChecksum(BodyTestCase):
    limits = {'enable_checksum': True}

    def test_it_covers_the_bytes_of_the_body(self):
        [path] = self.post_raw(b'{"a": 1}').json['resources']
        checksum = 'MD5:42b7b4f2921788ea14dac5566e6f06d0'
        self.assertEqual(checksum, self.read(path)['checksum'])
        self.assertEqual(checksum, self.message_page()[0][0]['checksum'])
        claim, [message] = self.claim()
        self.assertEqual(checksum, message['checksum'])
        self.release(claim)
        self.assertEqual(checksum, self.pop()[0]['checksum'])

    def test_the_older_versions_do_not_show_it(self):
        for version in ('1', '1.1'):
            self.version = version
            [path] = self.post_raw(b'1').json['resources']
            self.assertNotIn('checksum', self.read(path))
        self.assertNotIn('checksum', self.pop()[0])


class TestNoChecksum(BodyTestCase):
    def test_there_is_none_unless_it_is_asked_for(self):
        [path] = self.post_messages(1)
        self.assertNotIn('checksum', self.read(path))


def _is_encodable(value):
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _either(raw):
    """The status that a post must be answered with, as another parser of JSON has it."""
    try:
        document = json.loads(raw.decode(), parse_constant=_refuse, parse_int=str, parse_float=_read_float)
        json.dumps(document, ensure_ascii=False).encode()
        [message] = document['messages']
        good = 'body' in message and message['ttl'] == '60'
    except (ValueError, KeyError, TypeError, RecursionError):
        return 400
    return 201 if good else 400


def _refuse(constant):
    raise ValueError(constant)


def _read_float(text):
    if math.isinf(float(text)):
        raise ValueError(text)
    return text
