"""The metadata document of a queue."""

import json

from tests.api import base
from tests.fixtures import tables

DEFAULTS = {
    '_max_messages_post_size': 262144,
    '_default_message_ttl': 3600,
    '_default_message_delay': 0,
    '_dead_letter_queue': None,
    '_dead_letter_queue_messages_ttl': None,
    '_max_claim_count': None,
    '_enable_encrypt_messages': False,
}


class MetadataTestCase(base.ApiTestCase):
    def shown(self, document):
        """What a reader sees of a queue with these metadata."""
        return DEFAULTS | document if self.version == '2' else document

    def set(self, raw, name='demo', **options):
        """Make a queue with this document, as the version does it; the answer that says whether it is good."""
        if self.version == '1':
            self.put(f'/queues/{name}')
            return self.put(f'/queues/{name}/metadata', raw, **options)
        return self.put(f'/queues/{name}', raw, **options)


@base.in_versions('1', '1.1', '2')
class TestDocument(MetadataTestCase):
    def test_a_queue_without_any_shows_what_holds(self):
        self.make_queue()
        self.assertEqual(self.shown({}), self.metadata())

    def test_any_json_object_comes_back(self):
        document = {'a': 1, 'ä': ['é', None, True, 1.5, {'b': {}}], '': '', 'n': -(2**63), '\0': '\U0001f600'}
        self.make_queue(metadata=document)
        self.assertEqual(self.shown(document), self.metadata())

    def test_whole_numbers_are_kept_exactly(self):
        document = {'a': 2**63, 'b': 10**30, 'c': -(10**30)}
        self.make_queue(metadata=document)
        self.assertEqual(self.shown(document), self.metadata())

    @tables.each(
        ('an array', b'[]'),
        ('a string', b'"a"'),
        ('a number', b'1'),
        ('null', b'null'),
        ('true', b'true'),
    )
    def test_it_cannot_be(self, raw):
        answer = self.set(raw, status=400)
        self.assertEqual('Invalid request body', answer.json['title'])
        self.assert_refused(answer, 'Document type not supported', 'must be a dict')

    @tables.each(
        ('malformed', b'{'),
        ('blank', b'  '),
        ('followed by something', b'{} {}'),
        ('not utf 8', b'{"a": "\xff"}'),
        ('with a half of a surrogate pair', b'{"a": "\\ud800"}'),
        ('with a key that is half of a surrogate pair', b'{"\\ud800": 1}'),
        ('with nan', b'{"a": NaN}'),
        ('with infinity', b'{"a": -Infinity}'),
        ('with a line break in a string', b'{"a": "\n"}'),
        ('with a byte order mark', b'\xef\xbb\xbf{}'),
        ('with a number that is none', b'{"a": 1e5e5}'),
    )
    def test_it_is_refused_if_it_is(self, raw):
        answer = self.set(raw, status=400)
        self.assert_refused(answer, 'body could not be parsed')

    @tables.each(
        ('beyond a double', b'{"a": 1e400}'),
        ('beyond a double without a long exponent', b'{"a": 1' + b'0' * 300 + b'e99}'),
        ('beyond a double with a second exponent', b'{"a": 1e400e5}'),
        ('beyond a double with a second sign', b'{"a": 1e999-5}'),
        ('of 5000 digits', b'{"a": ' + b'7' * 5000 + b'}'),
    )
    def test_it_may_not_hold_a_number(self, raw):
        self.assert_refused(self.set(raw, status=400), 'out of range')

    def test_it_is_64_levels_deep_at_the_most(self):
        self.set(b'{"a":' + b'[' * 63 + b']' * 63 + b'}', status=204 if self.version == '1' else 201)
        for depth in (64, 2000, 30_000):
            raw = b'{"a":' + b'[' * depth + b']' * depth + b'}'
            self.assert_refused(self.set(raw, name=f'deep-{depth}', status=400), 'nested too deeply', '64 levels')

    def test_it_has_64_kib_at_the_most(self):
        document = b'{"a":"' + b'x' * (65536 - 8) + b'"}'
        self.set(document, status=204 if self.version == '1' else 201)
        answer = self.set(document + b' ', name='larger', status=400)
        self.assert_refused(answer, 'Queue metadata is too large', '65537', '65536', 'max_queue_metadata')

    def test_a_refused_document_makes_no_queue(self):
        if self.version != '1':
            self.put('/queues/demo', b'[]', status=400)
        self.assertEqual(([], None), self.queue_page())


@base.in_versions('1.1', '2')
class TestCreation(MetadataTestCase):
    def test_the_first_document_stays(self):
        self.put('/queues/demo', {'a': 1}, status=201)
        self.put('/queues/demo', {'a': 2}, status=204)
        self.put('/queues/demo', status=204)
        self.assertEqual(self.shown({'a': 1}), self.metadata())

    def test_a_missing_queue_reads_as_one_without_any(self):
        self.assertEqual(self.shown({}), self.metadata())

    @tables.each(
        ('a size of posts that is no number', {'_max_messages_post_size': '1'}, 'must be a int'),
        ('a size of posts of nothing', {'_max_messages_post_size': 0}, 'at least 1'),
        ('a size of posts above the bound', {'_max_messages_post_size': 262145}, 'greater than 262144'),
        ('a short ttl', {'_default_message_ttl': 59}, 'at least 60'),
        ('a long ttl', {'_default_message_ttl': 1209601}, 'greater than 1209600'),
        ('a ttl that is true', {'_default_message_ttl': True}, 'must be a int'),
        ('a ttl that is a fraction', {'_default_message_ttl': 60.0}, 'must be a int'),
        ('a negative delay', {'_default_message_delay': -1}, 'at least 0'),
        ('a long delay', {'_default_message_delay': 901}, 'greater than 900'),
        ('a dead letter queue that is a number', {'_dead_letter_queue': 1}, 'must be a str'),
        ('a dead letter queue with a bad name', {'_dead_letter_queue': 'a b'}, 'Queue names consist'),
        ('a dead letter queue that is itself', {'_dead_letter_queue': 'demo'}, 'another queue'),
        ('a short ttl of dead letters', {'_dead_letter_queue_messages_ttl': 1}, 'at least 60'),
        ('no claims at all', {'_max_claim_count': 0}, 'at least 1'),
        ('a huge number of claims', {'_max_claim_count': 10**30}, 'may not be greater'),
        ('encryption without a key', {'_enable_encrypt_messages': True}, 'no encryption key'),
        ('encryption that is a number', {'_enable_encrypt_messages': 1}, 'must be a bool'),
        ('a retry policy that is a list', {'_retry_policy': []}, 'must be a dict'),
        ('an origin that is a number', {'_show_origin': 0}, 'must be a bool'),
    )
    def test_reserved_attributes_cannot_be(self, document, words):
        answer = self.put('/queues/demo', document, status=400)
        self.assert_refused(answer, next(iter(document)), words)
        self.assertEqual(([], None), self.queue_page())

    def test_null_is_as_good_as_no_value(self):
        self.put('/queues/demo', dict.fromkeys(DEFAULTS), status=201)
        if self.version == '2':
            self.assertEqual(DEFAULTS, self.metadata())


@base.in_versions('1')
class TestSubresource(MetadataTestCase):
    def test_put_replaces_the_whole_document(self):
        self.make_queue(metadata={'a': 1, 'b': 2})
        answer = self.put('/queues/demo/metadata', {'c': 3}, status=204)
        self.assertEqual('/v1/queues/demo/metadata', answer.headers['Location'])
        self.assertEqual({'c': 3}, self.metadata())

    def test_the_body_of_the_queue_itself_means_nothing(self):
        self.put('/queues/demo', b'[not even json', status=201)
        self.assertEqual({}, self.metadata())

    def test_names_that_begin_with_an_underscore_are_reserved(self):
        self.make_queue()
        answer = self.put('/queues/demo/metadata', {'a': 1, '_mine': 1}, status=400)
        self.assert_refused(answer, '_mine', 'Reserved')
        self.assertEqual({}, self.metadata())

    def test_a_missing_queue_has_none_and_gets_none(self):
        self.get('/queues/demo/metadata', status=404)
        self.put('/queues/demo/metadata', {'a': 1}, status=404)
        self.get('/queues/demo', status=404)

    def test_nothing_is_no_document(self):
        self.make_queue()
        self.assert_refused(self.put('/queues/demo/metadata', status=400), 'can not be empty')


@base.in_versions('1.1', '2')
class TestNoSubresource(base.ApiTestCase):
    def test_there_is_none(self):
        self.make_queue()
        self.get('/queues/demo/metadata', status=404)
        self.put('/queues/demo/metadata', {}, status=404)


class TestPatch(MetadataTestCase):
    def test_adds_replaces_and_removes(self):
        self.make_queue(metadata={'a': 1, 'b': 2})
        answer = self.change(('add', 'c', [3]), ('replace', 'a', None), ('remove', 'b'), status=200)
        self.assertEqual(DEFAULTS | {'a': None, 'c': [3]}, answer.json)
        self.assertEqual(answer.json, self.metadata())

    def test_no_operation_changes_nothing(self):
        self.make_queue(metadata={'a': 1})
        self.assertEqual(DEFAULTS | {'a': 1}, self.change(status=200).json)

    def test_keys_are_escaped_as_in_json_pointers(self):
        self.make_queue()
        self.change(('add', 'a~1b', 1), ('add', 'c~0d', 2), ('add', 'e~01f', 3), status=200)
        self.assertEqual(DEFAULTS | {'a/b': 1, 'c~d': 2, 'e~1f': 3}, self.metadata())

    def test_reserved_attributes_can_be_set_and_reset(self):
        self.make_queue()
        self.change(('replace', '_default_message_ttl', 60), status=200)
        self.assertEqual(60, self.metadata()['_default_message_ttl'])
        self.change(('remove', '_default_message_ttl'), status=200)
        self.assertEqual(DEFAULTS, self.metadata())
        self.change(('remove', '_default_message_ttl'), status=200)

    def test_a_reserved_attribute_holds_at_once(self):
        self.make_queue()
        self.post_messages(1, ttl=None)
        self.change(('add', '_default_message_ttl', 60), status=200)
        [href] = self.post_messages(2, ttl=None)
        self.assertEqual(60, self.read(href)['ttl'])

    def test_what_is_not_there_cannot_be_replaced_or_removed(self):
        self.make_queue(metadata={'a': 1})
        for op in ('replace', 'remove'):
            answer = self.change(('add', 'b', 1), (op, 'k', 1), status=409)
            self.assertEqual(f"Can't {op} non-existent object k.", answer.json['description'])
        self.assertEqual(DEFAULTS | {'a': 1}, self.metadata())

    def test_a_missing_queue_is_404_and_not_made(self):
        self.change(('add', 'a', 1), status=404)
        self.assertEqual(([], None), self.queue_page())

    @tables.each(
        ('an object', b'{}', 'Document type not supported'),
        ('nothing', b'', 'can not be empty'),
        ('malformed', b'[', 'could not be parsed'),
        ('a list of numbers', b'[1]', 'must be a dict'),
        ('without an op', b'[{"path": "/metadata/a", "value": 1}]', 'Missing "op"'),
        ('without a path', b'[{"op": "add", "value": 1}]', 'Missing "path"'),
        ('without a value', b'[{"op": "add", "path": "/metadata/a"}]', '"value"'),
        ('a replacement without a value', b'[{"op": "replace", "path": "/metadata/a"}]', '"value"'),
        ('a move', b'[{"op": "move", "path": "/metadata/a", "from": "/metadata/b"}]', 'list: add, replace, remove'),
        ('a test', b'[{"op": "test", "path": "/metadata/a", "value": 1}]', 'op'),
        ('an op that is null', b'[{"op": null, "path": "/metadata/a", "value": 1}]', 'op'),
        ('an op in capitals', b'[{"op": "ADD", "path": "/metadata/a", "value": 1}]', 'op'),
        ('a path that is a number', b'[{"op": "add", "path": 1, "value": 1}]', 'path'),
        ('a path to elsewhere', b'[{"op": "remove", "path": "/foo/a"}]', '/metadata/'),
        ('a path to the document', b'[{"op": "add", "path": "/metadata", "value": {}}]', '/metadata/'),
        ('a path to nothing', b'[{"op": "add", "path": "", "value": {}}]', '/metadata/'),
        ('a path to an empty key', b'[{"op": "add", "path": "/metadata/", "value": 1}]', '/metadata/'),
        ('a path too deep', b'[{"op": "add", "path": "/metadata/a/b", "value": 1}]', '/metadata/'),
        ('a path without a slash', b'[{"op": "add", "path": "metadata/a", "value": 1}]', '/metadata/'),
        ('a path with an escape that is none', b'[{"op": "add", "path": "/metadata/a~2", "value": 1}]', '~'),
        ('a path that ends in a tilde', b'[{"op": "add", "path": "/metadata/a~", "value": 1}]', '~'),
        ('a bad attribute', b'[{"op": "add", "path": "/metadata/_max_claim_count", "value": "1"}]', '_max_claim_count'),
        ('a deep value', b'[{"op": "add", "path": "/metadata/a", "value": ' + b'[' * 70 + b']' * 70 + b'}]', 'deep'),
        ('an infinite value', b'[{"op": "add", "path": "/metadata/a", "value": 1e999}]', 'out of range'),
    )
    def test_a_patch_cannot_be(self, raw, words):
        self.make_queue(metadata={'a': 1})
        answer = self.patch('/queues/demo', raw, headers={'Content-Type': base.PATCH}, status=400)
        self.assert_refused(answer, words)
        self.assertEqual(DEFAULTS | {'a': 1}, self.metadata())

    @tables.each(
        ('json', 'application/json'),
        ('the json patch of the rfc', 'application/json-patch+json'),
        ('the old version', 'application/openstack-messaging-v1.1-json-patch'),
        ('a parameter', base.PATCH + '; charset=utf-8'),
        ('nothing', ''),
    )
    def test_the_media_type_of_a_patch_is_its_own_and_not(self, media_type):
        self.make_queue()
        answer = self.patch('/queues/demo', [], headers={'Content-Type': media_type}, status=415)
        self.assertEqual(base.PATCH, answer.headers['Accept-Patch'])
        self.assertIn(base.PATCH, answer.json['description'])

    def test_the_result_has_a_bounded_size(self):
        self.make_queue(metadata={'a': 'x' * 60_000})
        self.assert_refused(self.change(('add', 'b', 'x' * 6000), status=400), 'too large', 'max_queue_metadata')
        self.assertNotIn('b', self.metadata())

    def test_there_is_none_in_the_older_versions(self):
        for version in ('1', '1.1'):
            self.version = version
            self.patch('/queues/demo', [], headers={'Content-Type': base.PATCH}, status=405)


class TestBounds(MetadataTestCase):
    limits = {'default_message_ttl': 120, 'default_message_delay': 5, 'max_messages_post_size': 1000}

    def test_the_operator_s_defaults_are_shown(self):
        shown = {'_default_message_ttl': 120, '_default_message_delay': 5, '_max_messages_post_size': 1000}
        self.assertEqual(DEFAULTS | shown, self.metadata())

    def test_and_they_hold(self):
        [href] = self.post_messages(1, ttl=None)
        self.assertEqual(120, self.read(href)['ttl'])
        self.assertEqual([], self.list_bodies())
        self.clock.advance(5)
        self.assertEqual([1], self.list_bodies())

    def test_json_is_measured_as_it_was_sent(self):
        raw = json.dumps(self.envelope([{'ttl': 60, 'body': 'x' * 900}])).encode()
        self.post('/queues/demo/messages', raw + b' ' * (1000 - len(raw)), status=201)
        self.post('/queues/demo/messages', raw + b' ' * (1001 - len(raw)), status=400)
