"""What a JSON value may be, where decoding does not look: depth and numbers."""

import json
import math

import msgspec
import testtools
from hypothesis import given, settings
from hypothesis import strategies as st

from queueservice.api import media
from queueservice.model import errors
from tests.fixtures import tables

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('["{\\x'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"}]\\', max_size=3), inner, max_size=3),
    max_leaves=10,
)


def depth(value):
    """Levels of a value, counted in the plainest way."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


class TestDepth(tables.Tables, testtools.TestCase):
    @given(_VALUES, st.integers(55, 68))
    def test_64_levels_are_allowed_and_no_more(self, value, levels):
        for _ in range(levels):
            value = [value]
        raw = json.dumps(value).encode()
        if depth(value) <= 64:
            self.assertEqual(raw, media.check_value(raw, 'It'))
        else:
            error = self.assertRaises(errors.BodyInvalid, media.check_value, raw, 'It')
            self.assertEqual('It is nested too deeply: at most 64 levels are allowed.', str(error))

    @tables.each(
        ('an escaped quote', rb'["\"", "' + b'[' * 100 + b'"]'),
        ('an escaped backslash', rb'["\\", "' + b'{' * 100 + b'"]'),
        ('many escapes', b'["' + rb'\\\"' * 50 + b'[' * 100 + b'"]'),
        ('an empty text', b'["", "' + b'[' * 100 + b'", ""]'),
    )
    def test_brackets_in_a_text_do_not_count_behind(self, raw):
        json.loads(raw)
        self.assertEqual(raw, media.check_value(raw, 'It'))

    def test_levels_side_by_side_do_not_add_up(self):
        raw = b'[' + b','.join([b'[[]]'] * 1000) + b']'
        self.assertEqual(raw, media.check_value(raw, 'It'))

    def test_any_depth_is_counted_without_recursion(self):
        raw = b'[' * 100_000 + b']' * 100_000
        self.assertRaises(errors.BodyInvalid, media.check_value, raw, 'It')


class TestNumbers(tables.Tables, testtools.TestCase):
    @settings(max_examples=300)
    @given(st.from_regex(r'\A-?(0|[1-9][0-9]{0,3}0{0,330})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?\Z'))
    def test_what_is_a_double_is_finite(self, number):
        raw = f'{{"1e999": [{number}, "1e999"]}}'.encode()
        whole = number.lstrip('-').isdigit()
        if whole or math.isfinite(float(number)):
            self.assertEqual(raw, media.check_value(raw, 'It'))
        else:
            error = self.assertRaises(errors.BodyInvalid, media.check_value, raw, 'It')
            self.assertEqual('It holds a number that is out of range for a double.', str(error))

    @tables.each(
        ('the largest double', b'1.7976931348623157e308'),
        ('a whole number of 5000 digits', b'-' + b'9' * 5000),
        ('a number that vanishes', b'1e-99999'),
        ('zero with a long exponent', b'0e99999'),
        ('digits in a text', b'"1e999"'),
        ('digits in a text behind an escaped quote', rb'"\"1e999"'),
        ('hex digits', b'"5e12345678"'),
    )
    def test_takes(self, raw):
        self.assertEqual(raw, media.check_value(raw, 'It'))

    @tables.each(
        ('just more than the largest double', b'1.7976931348623159e308'),
        ('a capital exponent', b'1E400'),
        ('a signed exponent', b'[1, -1e+400]'),
        ('an exponent with zeros', b'1e000400'),
        ('a long fraction', b'9' * 400 + b'.5'),
        ('many digits and a short exponent', b'9' + b'0' * 209 + b'e99'),
        ('many digits and an exponent of one digit', b'1' + b'0' * 300 + b'e9'),
        ('one behind a text', b'{"a\\"1": 1e400}'),
    )
    def test_refuses(self, raw):
        self.assertRaises(errors.BodyInvalid, media.check_value, raw, 'It')


class TestPlain(testtools.TestCase):
    @given(_VALUES, st.sampled_from([b'', b'[1e400]', b'[' * 70 + b']' * 70, b'"e9999"']))
    def test_a_quick_look_clears_nothing_that_is_refused(self, value, extra):
        raw = b'[' + json.dumps(value).encode() + (b',' + extra if extra else b'') + b']'
        if media.is_plain(raw):
            self.assertLessEqual(depth(json.loads(raw)), 64)
            self.assertNotIn('Infinity', json.dumps(json.loads(raw)))


class TestDecode(tables.Tables, testtools.TestCase):
    class Document(msgspec.Struct):
        ttl: int
        items: list[int] = []

    def decode(self, raw):
        return media.decode(raw, msgspec.json.Decoder(self.Document))

    def test_a_good_document_is_decoded(self):
        self.assertEqual(self.Document(1, [2]), self.decode(b'{"ttl":1,"items":[2],"unknown":{}}'))

    @tables.each(
        ('nothing', b'', 'Request body can not be empty. Send a JSON document.'),
        ('another kind', b'[]', 'Document type not supported. It must be a dict, not array.'),
        ('no field', b'{}', 'Missing "ttl" field.'),
        ('another type', b'{"ttl":"1"}', 'The value of the "ttl" field must be a int, not str (at $.ttl).'),
        ('an element of another type', b'{"ttl":1,"items":[1,"2"]}', '(at $.items[1])'),
        ('no utf 8', b'{"ttl":"\xff"}', 'Request body could not be parsed. It is not UTF-8 (byte 8).'),
        ('no json', b'{', 'Request body could not be parsed. Input data was truncated.'),
        ('too many levels', b'{"x":' + b'[' * 5000 + b']' * 5000 + b'}', 'nested too deeply'),
        ('a number out of range', b'{"ttl":' + b'1' * 5000 + b'}', 'out of range'),
    )
    def test_a_bad_document_is(self, raw, words):
        error = self.assertRaises(errors.BodyInvalid, self.decode, raw)
        self.assertIn(words, str(error))
