import json

import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import errors, limits, metadata, queues
from tests.fixtures import tables

LIMITS = limits.Limits()
KEY = queues.QueueKey(queues.PROJECT, 'p', 'demo')
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=3)
DOCUMENTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=5)


def add(key, value):
    return metadata.Operation('add', key, value)


def replace(key, value):
    return metadata.Operation('replace', key, value)


def remove(key):
    return metadata.Operation('remove', key)


class TestPatch(testtools.TestCase):
    def test_adds_replaces_and_removes_in_order(self):
        patched = metadata.patch({'a': 1, 'b': 2}, [add('c', 3), replace('a', 4), remove('b'), replace('c', 5)])
        self.assertEqual({'a': 4, 'c': 5}, patched)

    def test_adding_what_is_there_replaces_it(self):
        self.assertEqual({'a': 2}, metadata.patch({'a': 1}, [add('a', 2)]))

    def test_replacing_what_is_not_there_conflicts(self):
        error = self.assertRaises(errors.MetadataConflict, metadata.patch, {}, [replace('a', 1)])
        self.assertEqual("Can't replace non-existent object a.", str(error))

    def test_removing_what_is_not_there_conflicts(self):
        self.assertRaises(errors.MetadataConflict, metadata.patch, {'a': 1}, [remove('a'), remove('a')])

    def test_reserved_attributes_are_always_there(self):
        patched = metadata.patch({}, [replace('_default_message_ttl', 60), remove('_max_claim_count')])
        self.assertEqual({'_default_message_ttl': 60}, patched)

    def test_a_key_with_the_value_null_is_there(self):
        self.assertEqual({'a': 1}, metadata.patch({'a': None}, [replace('a', 1)]))

    @given(DOCUMENTS)
    def test_no_operation_changes_nothing(self, document):
        self.assertEqual(document, metadata.patch(document, []))

    @given(DOCUMENTS, st.text(max_size=5), VALUES)
    def test_the_document_that_was_there_stays_as_it_was(self, document, key, value):
        before = dict(document)
        metadata.patch(document, [add(key, value)])
        self.assertEqual(before, document)

    @given(DOCUMENTS, st.text(max_size=5), VALUES)
    def test_what_was_added_can_be_removed_again(self, document, key, value):
        expected = {name: kept for name, kept in document.items() if name != key}
        self.assertEqual(expected, metadata.patch(document, [add(key, value), remove(key)]))


class TestCheck(tables.Tables, testtools.TestCase):
    def check(self, **document):
        metadata.check(document, KEY, LIMITS)

    @tables.each(
        ('the size of a post', '_max_messages_post_size', 1, 262144),
        ('the ttl of messages', '_default_message_ttl', 60, 1209600),
        ('the delay of messages', '_default_message_delay', 0, 900),
        ('the ttl of dead letters', '_dead_letter_queue_messages_ttl', 60, 1209600),
        ('the number of claims', '_max_claim_count', 1, 2**31),
    )
    def test_bounds(self, name, least, most):
        for value in (least, most, None):
            self.check(**{name: value})
        for value in (least - 1, most + 1, -1, 10**30):
            error = self.assertRaises(errors.LimitExceeded, self.check, **{name: value})
            self.assertIn(name, str(error))
        for value in ('60', 60.0, True, [], {}):
            error = self.assertRaises(errors.BodyInvalid, self.check, **{name: value})
            self.assertIn(f'"{name}" attribute must be a int', str(error))

    @tables.each(
        ('itself', 'demo'),
        ('a bad name', 'a b'),
        ('two dots', '..'),
        ('a number', 7),
        ('a list', ['other']),
    )
    def test_a_dead_letter_queue_cannot_be(self, value):
        error = self.assertRaises(errors.BodyInvalid, self.check, _dead_letter_queue=value)
        self.assertIn('_dead_letter_queue', str(error))

    def test_a_dead_letter_queue_is_another_queue(self):
        self.check(_dead_letter_queue='other')

    def test_an_empty_dead_letter_queue_is_none(self):
        self.check(_dead_letter_queue='')
        self.assertIsNone(metadata.read({'_dead_letter_queue': ''}).dead_letter_queue)

    def test_encryption_needs_a_key(self):
        self.check(_enable_encrypt_messages=False)
        error = self.assertRaises(errors.BodyInvalid, self.check, _enable_encrypt_messages=True)
        self.assertIn('_enable_encrypt_messages', str(error))
        metadata.check({metadata.ENCRYPTS: True}, KEY, limits.Limits(), can_encrypt=True)

    def test_what_once_was_encrypted_may_be_encrypted_still(self):
        self.assertIsNone(metadata.read({}).enable_encrypt_messages)
        self.assertIs(True, metadata.read({metadata.ENCRYPTS: True}).enable_encrypt_messages)
        for step in (('remove',), ('replace', False), ('add', None)):
            operation = metadata.Operation(step[0], metadata.ENCRYPTS, *step[1:])
            left = metadata.patch({metadata.ENCRYPTS: True}, [operation])
            self.assertIs(False, metadata.read(left).enable_encrypt_messages)

    def test_a_document_replaces_all_but_reserved_attributes(self):
        stored = {'a': 1, '_mine': 2, '_max_claim_count': 3, metadata.ENCRYPTS: True}
        replaced = metadata.replace(stored, {'b': 4})
        self.assertEqual({'_max_claim_count': 3, metadata.ENCRYPTS: True, 'b': 4}, replaced)

    def test_a_retry_policy_is_an_object(self):
        self.check(_retry_policy={})
        error = self.assertRaises(errors.BodyInvalid, self.check, _retry_policy=[])
        self.assertIn('must be a dict', str(error))

    def test_other_keys_may_be_anything(self):
        self.check(_mine=1, a=[1, {'b': None}])


class TestDefaults(testtools.TestCase):
    def test_attributes_that_are_not_set_show_what_holds(self):
        expected = {
            '_max_messages_post_size': 262144,
            '_default_message_ttl': 3600,
            '_default_message_delay': 0,
            '_dead_letter_queue': None,
            '_dead_letter_queue_messages_ttl': None,
            '_max_claim_count': None,
            '_enable_encrypt_messages': False,
        }
        self.assertEqual(expected, metadata.with_defaults({}, LIMITS))

    def test_attributes_that_are_set_show_their_value(self):
        shown = metadata.with_defaults({'_default_message_ttl': 60, 'a': 1}, LIMITS)
        self.assertEqual((60, 1), (shown['_default_message_ttl'], shown['a']))

    def test_the_defaults_are_the_operator_s(self):
        shown = metadata.with_defaults({}, limits.Limits(default_message_ttl=120, default_message_delay=5))
        self.assertEqual((120, 5), (shown['_default_message_ttl'], shown['_default_message_delay']))


class TestFacets(testtools.TestCase):
    @given(DOCUMENTS)
    def test_texts_and_whole_numbers_can_be_looked_for(self, document):
        expected = [name for name, value in document.items() if type(value) in (int, str)]
        self.assertEqual(expected, [json.loads(facet)[0] for facet in metadata.facets(document)])

    @given(st.text(max_size=5), st.integers() | st.text(max_size=5))
    def test_what_was_stored_is_what_is_looked_for(self, name, value):
        self.assertEqual([metadata.facet(name, value)], metadata.facets({name: value}))

    def test_a_number_is_not_its_text(self):
        self.assertNotEqual(metadata.facet('a', 1), metadata.facet('a', '1'))
