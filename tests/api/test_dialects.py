"""What the versions answer differently, row by row as the reference of the API has it.

Each table has a column for each version; None where a version does not have the route.
"""

import typing

from tests.api import base
from tests.fixtures import tables

#: What is posted, claimed and read in these tests.
_ONE = {'1': b'[{"ttl":60,"body":1}]', '1.1': b'{"messages":[{"body":1}]}', '2': b'{"messages":[{"body":1}]}'}
_CLAIM = b'{"ttl":60,"grace":60}'
_EMPTY_PAGE = {'messages': [], 'links': []}
_NO_QUEUES = {'queues': [], 'links': []}
_ZEROS = {'messages': {'claimed': 0, 'free': 0, 'total': 0}}
_DEFAULTS = {
    '_max_messages_post_size': 262144,
    '_default_message_ttl': 3600,
    '_default_message_delay': 0,
    '_dead_letter_queue': None,
    '_dead_letter_queue_messages_ttl': None,
    '_max_claim_count': None,
    '_enable_encrypt_messages': False,
}


class Row(typing.NamedTuple):
    method: str
    path: str
    v1: typing.Any  # status, or (status, document)
    v1_1: typing.Any
    v2: typing.Any
    body: typing.Any = b''  # or a dict by version


#: Section 10: what is answered where something is empty or missing. The queue "empty" is there; "none" is not.
EMPTY_OR_MISSING = {
    'list queues behind the last': Row('GET', '/queues?marker=zzz', 204, (200, _NO_QUEUES), (200, _NO_QUEUES)),
    'get a queue that is missing': Row('GET', '/queues/none', 404, (200, {}), (200, _DEFAULTS)),
    'get the metadata of a queue that is missing': Row('GET', '/queues/none/metadata', 404, 404, 404),
    'get metadata where none are set': Row('GET', '/queues/empty/metadata', (200, {}), 404, 404),
    'stats of a queue that is missing': Row('GET', '/queues/none/stats', 404, (200, _ZEROS), (200, _ZEROS)),
    'list messages where there are none': Row(
        'GET', '/queues/empty/messages', 204, (200, _EMPTY_PAGE), (200, _EMPTY_PAGE)
    ),
    'list messages of a queue that is missing': Row(
        'GET', '/queues/none/messages', 204, (200, _EMPTY_PAGE), (200, _EMPTY_PAGE)
    ),
    'list messages behind a bad marker': Row(
        'GET', '/queues/empty/messages?marker=junk', 204, (200, _EMPTY_PAGE), (200, _EMPTY_PAGE)
    ),
    'get messages by ids and find none': Row('GET', '/queues/empty/messages?ids=abc', 204, 404, 404),
    'get a message that is missing': Row('GET', '/queues/empty/messages/abc', 404, 404, 404),
    'post to a queue that is missing': Row('POST', '/queues/none/messages', 404, 201, 201, _ONE),
    'delete a message that is missing': Row('DELETE', '/queues/empty/messages/abc', 204, 204, 204),
    'delete a message of a queue that is missing': Row('DELETE', '/queues/none/messages/abc', 204, 204, 204),
    'delete messages that are missing': Row('DELETE', '/queues/empty/messages?ids=abc', 204, 204, 204),
    'delete a queue that is missing': Row('DELETE', '/queues/none', 204, 204, 204),
    'pop where there is nothing': Row(
        'DELETE', '/queues/empty/messages?pop=1', 400, (200, {'messages': []}), (200, {'messages': []})
    ),
    'pop from a queue that is missing': Row(
        'DELETE', '/queues/none/messages?pop=1', 400, (200, {'messages': []}), (200, {'messages': []})
    ),
    'claim where there is nothing': Row('POST', '/queues/empty/claims', 204, 204, 204, _CLAIM),
    'claim from a queue that is missing': Row('POST', '/queues/none/claims', 204, 204, 204, _CLAIM),
    'get a claim that is missing': Row('GET', '/queues/empty/claims/abc', 404, 404, 404),
    'update a claim that is missing': Row('PATCH', '/queues/empty/claims/abc', 404, 404, 404, _CLAIM),
    'delete a claim that is missing': Row('DELETE', '/queues/empty/claims/abc', 204, 204, 204),
    'delete a claim of a queue that is missing': Row('DELETE', '/queues/none/claims/abc', 204, 204, 204),
    'patch a queue that is missing': Row('PATCH', '/queues/none', 405, 405, 404, b'[]'),
    'purge a queue that is missing': Row('POST', '/queues/none/purge', 404, 404, 204),
    'list subscriptions': Row('GET', '/queues/none/subscriptions', 404, 404, (200, {'subscriptions': [], 'links': []})),
    'list pools, which do not exist': Row('GET', '/pools', 404, 404, 404),
}

#: Section 12, where a difference is one of status. The queue "filled" has a message, free and not the reader's.
DIFFERENCES = {
    'queues are asked for with get': Row('GET', '/queues/empty', 204, (200, {}), (200, _DEFAULTS)),
    'queues are asked for with head': Row('HEAD', '/queues/empty', 204, 405, 405),
    'metadata are a resource of their own': Row('PUT', '/queues/empty/metadata', 204, 404, 404, b'{"a":1}'),
    'metadata come with the queue': Row('PUT', '/queues/none', 201, 400, 400, b'[]'),
    'metadata can be patched': Row('PATCH', '/queues/empty', 405, 405, (200, _DEFAULTS), b'[]'),
    'a post is a bare list': Row('POST', '/queues/empty/messages', 201, 400, 400, _ONE['1']),
    'a post has an envelope': Row(
        'POST', '/queues/empty/messages', 400, 201, 201, b'{"messages":[{"ttl":60,"body":1}]}'
    ),
    'a message has a ttl': Row(
        'POST', '/queues/empty/messages', 400, 201, 201,
        {'1': b'[{"body":1}]', '1.1': b'{"messages":[{"body":1}]}', '2': b'{"messages":[{"body":1}]}'},
    ),
    'a claim has a body': Row('POST', '/queues/filled/claims', 400, 201, 201),
    'a claim has a ttl': Row('POST', '/queues/filled/claims', 400, 201, 201, b'{"grace":60}'),
    'a claim has a grace': Row('POST', '/queues/filled/claims', 400, 201, 201, b'{"ttl":60}'),
    'messages can be popped': Row('DELETE', '/queues/filled/messages?pop=1', 400, 200, 200),
    'messages can be deleted by ids': Row('DELETE', '/queues/filled/messages?ids=abc', 204, 204, 204),
    'queues can be purged': Row('POST', '/queues/filled/purge', 404, 404, 204),
    'queues can be shared': Row('POST', '/queues/filled/share', 404, 404, 200, b'{}'),
    'there are no topics': Row('GET', '/topics', 404, 404, 404),
    'there are no flavors': Row('GET', '/flavors', 404, 404, 404),
    'there are projects': Row('GET', '/projects/project-1', 404, 404, 200),
    'health is public': Row('GET', '/health', 204, 404, 404),
    'there is a ping': Row('GET', '/ping', 404, 204, 204),
    'there is a ping with head': Row('HEAD', '/ping', 404, 204, 204),
    'there is a home document': Row('GET', '/', 200, 200, 200),
}  # fmt: skip


def rows(table):
    return [(sentence, row) for sentence, row in table.items()]


@base.in_versions('1', '1.1', '2')
class TestTables(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        for queue in ('empty', 'filled'):
            self.put(f'/queues/{queue}', status=201)
        self.post_messages(1, queue='filled')

    def hold(self, row):
        expected = {'1': row.v1, '1.1': row.v1_1, '2': row.v2}[self.version]
        status, document = expected if isinstance(expected, tuple) else (expected, None)
        body = row.body[self.version] if isinstance(row.body, dict) else row.body
        headers = {'Content-Type': base.PATCH} if row.method == 'PATCH' and body == b'[]' else {}
        answer = self.request(row.method, row.path, body, headers=headers, status=status)
        if document is not None:
            self.assertEqual(document, answer.json)
        return answer

    @tables.each(*rows(EMPTY_OR_MISSING))
    def test_where_it_is_empty_or_missing(self, row):
        self.hold(row)
        if row.method in ('GET', 'DELETE') and '/none' in row.path:
            self.assertNotIn('none', self.get('/queues').text)

    @tables.each(*rows(DIFFERENCES))
    def test_what_differs(self, row):
        self.hold(row)

    def test_listing_queues_where_there_are_none(self):
        for queue in ('empty', 'filled'):
            self.delete(f'/queues/{queue}')
        self.hold(Row('GET', '/queues', 204, (200, _NO_QUEUES), (200, _NO_QUEUES)))


@base.in_versions('1', '1.1', '2')
class TestSpelling(base.ApiTestCase):
    """Section 12, where a difference is one of form."""

    def setUp(self):
        super().setUp()
        self.make_queue()
        self.post_messages('one', 'two')

    def spelled(self, **by_version):
        return by_version['v' + self.version.replace('.', '_')]

    def test_the_answer_to_a_post(self):
        answer = self.post('/queues/demo/messages', _ONE[self.version], status=201).json
        expected = {'resources': answer['resources']}
        self.assertEqual(expected | self.spelled(v1={'partial': False}, v1_1={}, v2={}), answer)

    def test_the_fields_of_a_message(self):
        expected = {'href', 'ttl', 'age', 'body'} | self.spelled(v1=set(), v1_1={'id'}, v2={'id'})
        messages, _ = self.message_page()
        self.assertEqual([expected, expected], [set(message) for message in messages])
        self.assertEqual(expected, set(self.read(messages[0]['href'])))

    def test_a_list_is_an_object(self):
        self.assertEqual({'messages', 'links'}, set(self.get('/queues/demo/messages').json))

    def test_messages_by_ids_and_claimed_ones_are_a_bare_list_in_v1(self):
        message = self.message_page()[0][0]
        by_ids = self.get(f'/queues/demo/messages?ids={base.id_of(message)}').json
        claimed = self.post('/queues/demo/claims?limit=1', _CLAIM, status=201).json
        if self.version == '1':
            self.assertEqual((list, list), (type(by_ids), type(claimed)))
        else:
            self.assertEqual(({'messages'}, {'messages'}), (set(by_ids), set(claimed)))

    def test_a_claim_is_the_same_in_all(self):
        claim, _ = self.claim()
        self.assertEqual({'age', 'ttl', 'messages', 'href'}, set(self.held(claim)))

    def test_a_queue_in_a_list(self):
        [queue] = self.get('/queues?detailed=true').json['queues']
        self.assertEqual(
            {
                'name': 'demo',
                'href': f'{self.path}/queues/demo',
                'metadata': self.spelled(v1={}, v1_1={}, v2=_DEFAULTS),
            },
            queue,
        )

    def test_metadata_show_the_reserved_attributes_in_v2_alone(self):
        self.delete('/queues/demo')
        self.make_queue(metadata={'a': 1})
        self.assertEqual(self.spelled(v1={}, v1_1={}, v2=_DEFAULTS) | {'a': 1}, self.metadata())

    def test_the_ttl_of_a_message_that_has_none(self):
        if self.version == '1':
            return
        self.version, version = '2', self.version
        self.make_queue('short', {'_default_message_ttl': 60})
        self.version = version
        [path] = self.post_messages(1, ttl=None, queue='short')
        self.assertEqual(self.spelled(v1=None, v1_1=3600, v2=60), self.read(path)['ttl'])

    def test_delays_are_known_in_v2_alone(self):
        self.post_messages('later', delay=60)
        self.assertEqual(self.spelled(v1=True, v1_1=True, v2=False), 'later' in self.list_bodies())

    def test_queues_are_filtered_and_counted_in_v2_alone(self):
        self.make_queue('other', {'a': 1})
        answer = self.get('/queues?name=other&with_count=true').json
        self.assertEqual(self.spelled(v1=2, v1_1=2, v2=1), len(answer['queues']))
        self.assertEqual(self.spelled(v1=None, v1_1=None, v2=2), answer.get('count'))

    def test_the_grace_of_a_renewal_that_has_none(self):
        [path] = self.post_messages('short', ttl=60)
        claim, _ = self.claim(ttl=60, grace=60)
        self.patch(claim, b'{"ttl":100}', status=204)
        self.assertEqual(self.spelled(v1=120, v1_1=160, v2=160), self.read(path)['ttl'])

    def test_content_location_is_of_v1_alone(self):
        answer = self.get('/queues?limit=5')
        self.assertEqual(
            self.spelled(v1='/v1/queues?limit=5', v1_1=None, v2=None), answer.headers.get('Content-Location')
        )

    def test_a_client_is_wanted(self):
        for method, path, body in (
            ('GET', '/queues', b''),
            ('PUT', '/queues/other', b''),
            ('GET', '/queues/demo/stats', b''),
            ('POST', '/queues/demo/claims', _CLAIM),
        ):
            status = self.request(method, path, body, client=base.ABSENT, status=base.ANY).status_int
            self.assertEqual(self.spelled(v1=True, v1_1=False, v2=False), status != 400, f'{method} {path}')
        for method, body in (('GET', b''), ('POST', _ONE[self.version])):
            self.request(method, '/queues/demo/messages', body, client=base.ABSENT, status=400)

    def test_a_project_is_wanted(self):
        self.get('/queues', project=base.ABSENT, status=self.spelled(v1=204, v1_1=400, v2=400))

    def test_the_policy_holds_in_all(self):
        # The reference has rules for v2 alone; an older version would be a way around them.
        self.put('/queues/other', headers={'X-Roles': 'reader'}, status=403)

    def test_all_work_on_the_same_queues(self):
        seen = {}
        for version in ('1', '1.1', '2'):
            self.version = version
            seen[version] = [base.id_of(message) for message in self.message_page()[0]]
        self.assertEqual(1, len(set(map(tuple, seen.values()))))
        self.version = '1'
        claim, _ = self.claim()
        self.version = '2'
        self.assertEqual(2, len(self.held(claim.replace('/v1/', '/v2/'))['messages']))
