"""Staged messaging, as clients of the Seed Stage-Based Messaging Store know it."""

import contextlib
import json
import threading
from unittest import mock

from queueservice.model import errors, sequences
from queueservice.services import enrolments
from queueservice.services import sequences as services_sequences
from tests.api import base
from tests.fixtures import services, tables

BOUNDARY = 'of-the-form'
FORM = {'Content-Type': f'multipart/form-data; boundary={BOUNDARY}'}


def upload(content=b'x', name='a.mp3', part='content'):
    file_name = '' if name is None else f'; filename="{name}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"{file_name}\r\n\r\n'
    return head.encode() + content + f'\r\n--{BOUNDARY}--\r\n'.encode()


class StagedTestCase(base.ApiTestCase):
    version = 'staged'
    rules: dict = {}

    def setUp(self):
        super().setUp()
        if self.rules:
            staged = services_sequences.Rules(**self.rules)
            self.use(services.Service(self.make_driver(), staged=staged, **self.settings))

    def make(self, noun, **fields):
        return self.post(f'/v1/{noun}/', fields, status=201).json

    def make_schedule(self, **fields):
        return self.make('schedule', **fields)['id']

    def make_set(self, *texts, name='set', schedule=None, lang='eng', **fields):
        """Make a set with messages from number 1 on; the ids of the set and of a schedule."""
        schedule = schedule or self.make_schedule(minute='0')
        made = self.make('messageset', short_name=name, default_schedule=schedule, **fields)['id']
        for number, text in enumerate(texts, 1):
            self.make('message', messageset=made, sequence_number=number, lang=lang, text_content=text)
        return made, schedule

    def enrol(self, messageset, schedule, identity='i', lang='eng', **fields):
        return self.make(
            'subscriptions', identity=identity, messageset=messageset, schedule=schedule, lang=lang, **fields
        )['id']

    def read_one(self, enrolment):
        return self.get(f'/v1/subscriptions/{enrolment}/', status=200).json

    def ids(self, path):
        return [one['id'] for one in self.get(path, status=200).json['results']]

    def problems(self, answer):
        self.assertEqual(400, answer.status_int, answer.text)
        return answer.json


class TestPaths(StagedTestCase):
    def test_a_record_without_its_slash_is_elsewhere(self):
        id = self.make_schedule()
        for path, query in (('/v1/schedule', ''), (f'/v1/schedule/{id}', ''), ('/v1/subscriptions', '?limit=1')):
            answer = self.get(path + query, status=301)
            self.assertEqual(f'http://localhost:80/api{path}/{query}', answer.headers['Location'])

    def test_everything_else_is_found_with_and_without(self):
        id = self.make_set('one')[0]
        for slash in ('', '/'):
            self.get(f'/v1/messageset/{id}/messages{slash}', status=200)
            self.get(f'/v1/message/1/content{slash}', status=200)
            self.post(f'/v1/schedule{slash}', {}, status=201)
            self.patch(f'/v1/messageset/{id}{slash}', {'label': 'x'}, status=200)

    def test_links_begin_with_the_address_that_the_client_used(self):
        for _ in range(3):
            self.make_schedule()
        headers = {'Host': 'seed.example.org:8443'}
        answer = self.get('/v1/schedule/?limit=1&offset=1', headers=headers, environ={'wsgi.url_scheme': 'https'}).json
        start = 'https://seed.example.org:8443/api/v1/schedule/?limit=1'
        self.assertEqual((f'{start}&offset=2', start), (answer['next'], answer['previous']))

    @tables.each(('none', base.ABSENT), ('an unknown one', {'Authorization': f'Token {"0" * 40}'}))
    def test_without_a_token_it_is_401(self, headers):
        headers = {} if headers is base.ABSENT else headers
        answer = self.get('/v1/schedule/', headers=headers, project=base.ABSENT, status=401)
        self.assertEqual(['detail'], list(answer.json))
        self.assertIn('WWW-Authenticate', answer.headers)

    def test_another_method_is_405(self):
        answer = self.put('/v1/schedule/', {}, status=405)
        self.assertEqual(['detail'], list(answer.json))

    @tables.each(
        ('a word', 'x'), ('minus one', '-1'), ('a fraction', '1.0'), ('nobody', '7'), ('too much', '9' * 30),
        ('digits', '٣'), ('zero', '0'),
    )  # fmt: skip
    def test_no_schedule_has_an_id_that_is(self, id):
        for method in ('GET', 'PUT', 'PATCH', 'DELETE'):
            body = b'' if method in ('GET', 'DELETE') else {}
            self.assertEqual(404, self.request(method, f'/v1/schedule/{id}/', body, status=base.ANY).status_int)


class TestPages(StagedTestCase):
    def setUp(self):
        super().setUp()
        for _ in range(5):
            self.make_schedule()

    def test_they_have_counts_and_links(self):
        answer = self.get('/v1/schedule/?limit=2').json
        self.assertEqual(
            (5, None, [1, 2]), (answer['count'], answer['previous'], [one['id'] for one in answer['results']])
        )
        seen, href = [], '/v1/schedule/?limit=2'
        while href:
            page = self.get(href.replace('http://localhost:80/api', '')).json
            seen += [one['id'] for one in page['results']]
            href = page['next']
        self.assertEqual([1, 2, 3, 4, 5], seen)

    @tables.each(
        ('words', 'limit=x&offset=y'), ('negative', 'limit=-1&offset=-1'), ('zero', 'limit=0'),
        ('empty', 'limit=&offset='),
        ('huge', f'limit={"9" * 30}&offset={"9" * 30}'), ('unknown', 'page=2&cursor=abc'),
    )  # fmt: skip
    def test_bad_values_are_passed_over(self, query):
        self.assertEqual([1, 2, 3, 4, 5], self.ids(f'/v1/schedule/?{query}'))

    def test_behind_the_end_there_is_nothing(self):
        answer = self.get('/v1/schedule/?limit=2&offset=100').json
        self.assertEqual((5, [], None), (answer['count'], answer['results'], answer['next']))


class TestSchedules(StagedTestCase):
    def test_defaults_and_changes(self):
        made = self.make('schedule', hour=8)
        self.assertEqual(
            {'id': 1, 'minute': '*', 'hour': '8', 'day_of_week': '*', 'day_of_month': '*', 'month_of_year': '*'}, made
        )
        changed = self.put('/v1/schedule/1/', {'minute': '5'}, status=200).json
        self.assertEqual(made | {'minute': '5'}, changed)
        self.assertEqual(changed, self.get('/v1/schedule/1/').json)
        self.delete('/v1/schedule/1/', status=204)
        self.get('/v1/schedule/1/', status=404)

    def test_nonsense_is_refused_and_changes_nothing(self):
        for fields in ({'hour': '99'}, {'minute': 'not a cron'}, {'minute': 'x' * 65}, {'day_of_week': None}):
            answer = self.post('/v1/schedule/', fields, status=400)
            self.assertEqual(list(fields), list(answer.json))
        self.make_schedule()
        self.patch('/v1/schedule/1/', {'hour': '24'}, status=400)
        self.assertEqual('*', self.get('/v1/schedule/1/').json['hour'])

    def test_a_schedule_in_use_stays(self):
        made, schedule = self.make_set()
        self.delete(f'/v1/schedule/{schedule}/', status=409)
        other = self.make_schedule()
        self.patch(f'/v1/messageset/{made}/', {'default_schedule': other})
        enrolment = self.enrol(made, schedule)
        self.delete(f'/v1/schedule/{schedule}/', status=409)
        self.delete(f'/v1/subscriptions/{enrolment}/', status=204)
        self.delete(f'/v1/schedule/{schedule}/', status=204)

    def test_after_a_refusal_it_can_be_used_again_at_once(self):
        made, schedule = self.make_set()
        self.delete(f'/v1/schedule/{schedule}/', status=409)
        self.enrol(made, schedule)

    @tables.each(('zero', '0'), ('a word', 'x'), ('too many', '101'), ('minus one', '-1'), ('5000 digits', '9' * 5000))
    def test_a_preview_cannot_have_a_count_that_is(self, count):
        self.make_schedule()
        self.assertEqual(['count'], list(self.get(f'/v1/schedule/1/next/?count={count}', status=400).json))

    def test_a_preview(self):
        self.make_schedule(minute='0', hour='8')  # it is the 14th, a quarter past ten in the evening
        self.assertEqual(5, len(self.get('/v1/schedule/1/next/').json['results']))
        answer = self.get('/v1/schedule/1/next?count=2').json
        self.assertEqual(['2023-11-15T08:00:00.000000Z', '2023-11-16T08:00:00.000000Z'], answer['results'])

    def test_a_preview_ends_within_fifty_years(self):
        self.make_schedule(minute='0', hour='0', day_of_month='29', month_of_year='2')
        self.assertEqual(13, len(self.get('/v1/schedule/1/next/?count=100').json['results']))


class TestZone(StagedTestCase):
    rules = {'timezone': 'Africa/Johannesburg'}

    def test_schedules_are_read_in_it(self):
        self.make_schedule(minute='0', hour='8')
        answer = self.get('/v1/schedule/1/next/?count=1').json
        self.assertEqual(['2023-11-15T06:00:00.000000Z'], answer['results'])


class TestMessageSets(StagedTestCase):
    def test_fields_and_defaults(self):
        made = self.make('messageset', short_name='a', default_schedule=self.make_schedule())
        self.assertEqual('2023-11-14T22:13:20.000000Z', made.pop('created_at'))
        self.assertEqual('2023-11-14T22:13:20.000000Z', made.pop('updated_at'))
        self.assertEqual(
            {
                'id': 1,
                'short_name': 'a',
                'label': '',
                'content_type': 'text',
                'notes': None,
                'next_set': None,
                'default_schedule': 1,
                'channel': None,
            },
            made,
        )

    def test_required_fields(self):
        self.assertEqual(
            {'short_name': ['This field is required.'], 'default_schedule': ['This field is required.']},
            self.problems(self.post('/v1/messageset/', {}, status=400)),
        )
        made, _ = self.make_set()
        self.put(f'/v1/messageset/{made}/', {'label': 'x'}, status=400)

    def test_short_names_are_taken_once_in_a_project(self):
        self.make_set(name='a')
        made, schedule = self.make_set(name='b')
        fields = {'short_name': 'a', 'default_schedule': schedule}
        self.assertEqual(['short_name'], list(self.post('/v1/messageset/', fields, status=400).json))
        self.assertEqual(['short_name'], list(self.patch(f'/v1/messageset/{made}/', fields, status=400).json))
        other = self.post('/v1/schedule/', {}, project='other').json['id']
        self.post('/v1/messageset/', {'short_name': 'a', 'default_schedule': other}, project='other', status=201)

    def test_filters(self):
        self.make_set(name='a')
        self.make_set(name='b', content_type='audio')
        self.assertEqual([1], self.ids('/v1/messageset/?short_name=a'))
        self.assertEqual([2], self.ids('/v1/messageset/?content_type=audio'))
        self.get('/v1/messageset/?content_type=video', status=400)

    def test_deleting_one_takes_its_messages_and_ends_those_before(self):
        first, _ = self.make_set('one', name='a')
        before, _ = self.make_set(name='b', next_set=first)
        self.delete(f'/v1/messageset/{first}/', status=204)
        self.assertEqual([], self.ids('/v1/message/'))
        self.assertIsNone(self.get(f'/v1/messageset/{before}/').json['next_set'])

    def test_one_that_somebody_is_in_stays(self):
        made, schedule = self.make_set('one')
        self.enrol(made, schedule)
        self.delete(f'/v1/messageset/{made}/', status=409)
        self.assertEqual([1], self.ids('/v1/message/'))

    def test_its_messages_are_one_object(self):
        made, _ = self.make_set('one', 'two')
        self.make('message', messageset=made, sequence_number=1, lang='zul', text_content='kunye')
        answer = self.get(f'/v1/messageset/{made}/messages').json
        self.assertEqual('set', answer['short_name'])
        self.assertEqual([1, 1, 2], [one['sequence_number'] for one in answer['messages']])
        self.assertNotIn('metadata', answer['messages'][0])
        self.assertEqual({'1': ['eng', 'zul']}, self.get('/v1/messageset_languages/').json)


class TestMessages(StagedTestCase):
    def setUp(self):
        super().setUp()
        self.set, self.schedule = self.make_set()

    def send(self, status=400, **fields):
        fields = {'messageset': self.set, 'sequence_number': 1, 'lang': 'eng', **fields}
        return self.post('/v1/message/', fields, status=status).json

    def test_it_needs_a_text_or_a_file(self):
        self.assertEqual(['Messages must have text or file attached'], self.send())
        self.send(201, text_content='x')
        answer = self.patch('/v1/message/1/', {'text_content': None}, status=400)
        self.assertEqual(['Messages must have text or file attached'], answer.json)

    def test_a_number_is_taken_once_in_a_language(self):
        self.send(201, text_content='x')
        self.assertEqual(['non_field_errors'], list(self.send(text_content='x')))
        self.send(201, text_content='x', lang='zul')

    @tables.each(('quotes', '\u201cx\u201d'), ('an apostrophe', 'it\u2019s'), ('a dash', 'a\u2013b'))
    def test_a_text_cannot_have_curly(self, text):
        self.assertEqual(['text_content'], list(self.send(text_content=text)))

    @tables.each(('a line break', 'a\nb'), ('a tab', 'a\tb'), ('four blanks', 'a    b'))
    def test_a_text_for_whatsapp_cannot_have(self, text):
        self.send(201, text_content=text, sequence_number=2)
        self.patch(f'/v1/messageset/{self.set}/', {'channel': 'WHATSAPP_1'})
        self.assertEqual(['text_content'], list(self.send(text_content=text)))
        self.send(201, text_content='a b')

    def test_metadata_are_kept_as_they_were_sent(self):
        raw = b'{"messageset":1,"sequence_number":1,"lang":"eng","text_content":"x","metadata":{"a":1.10,"b":[]}}'
        self.assertIn(b'"metadata":{"a":1.10,"b":[]}', self.post('/v1/message/', raw, status=201).body)
        self.assertEqual({'metadata': ['Value must be a JSON object.']}, self.send(metadata=[1]))

    def test_filters(self):
        self.send(201, text_content='x')
        self.send(201, text_content='x', lang='zul')
        self.assertEqual([2], self.ids('/v1/message/?lang=zul'))
        self.assertEqual([1, 2], self.ids(f'/v1/message/?messageset={self.set}&sequence_number=1'))
        self.assertEqual([], self.ids('/v1/message/?sequence_number=2'))
        self.get('/v1/message/?sequence_number=x', status=400)
        self.get('/v1/message/?messageset=77', status=400)


class TestFiles(StagedTestCase):
    rules = {'max_file_size': 100}

    def send(self, body, status=201, **headers):
        return self.post('/v1/binarycontent/', body, headers={**FORM, **headers}, status=status).json

    def read(self, url):
        return self.app.get(url.replace('http://localhost:80', ''), status='*')

    def test_a_file_comes_back_byte_for_byte_and_as_nothing_that_runs(self):
        content = bytes(range(100))
        for name, kind in (
            ('a.mp3', 'audio/mpeg'),
            ('a.html', 'application/octet-stream'),
            ('a.svg', 'application/octet-stream'),
        ):
            url = self.send(upload(content, name))['content']
            answer = self.read(url)
            self.assertEqual((200, content), (answer.status_int, answer.body))
            self.assertEqual(kind, answer.content_type)
            self.assertEqual(f'attachment; filename="{name}"', answer.headers['Content-Disposition'])
            self.assertEqual('nosniff', answer.headers['X-Content-Type-Options'])
            self.assertRegex(url, r'^http://localhost:80/media/[0-9a-f]{32}/a\.')

    def test_its_size_is_told_without_it(self):
        url = self.send(upload(b'12345', 'a.mp3'))['content']
        answer = self.app.head(url)
        self.assertEqual((b'', '5', 'audio/mpeg'), (answer.body, answer.headers['Content-Length'], answer.content_type))

    @tables.each(
        ('a path', '../../etc/passwd', 'passwd'), ('a windows path', r'C:\a.mp3', 'a.mp3'), ('nothing', '', 'file'),
        ('dots', '..', 'file'), ('markup', '<script>.png', '_script_.png'), ('a long name', 'x' * 300, 'x' * 100),
    )  # fmt: skip
    def test_a_name_that_is(self, name, expected):
        self.assertEqual(expected, self.send(upload(name=name))['content'].rpartition('/')[2])

    @tables.each(
        ('a document', b'{"content":"x"}', {'Content-Type': 'application/json'}),
        ('another part', upload(part='other'), {}),
        ('a text', upload(name=None), {}),
        ('nothing in it', upload(b''), {}),
    )
    def test_no_file_is(self, body, headers):
        self.assertEqual(['content'], list(self.send(body, 400, **headers)))

    @tables.each(
        ('too large', upload(b'x' * 101), {}),
        ('cut off', upload()[:-9], {}),
        ('nothing', b'', {}),
        ('nonsense', b'nonsense', {}),
        ('without a boundary', upload(), {'Content-Type': 'multipart/form-data'}),
    )
    def test_it_cannot_be_read_if_it_is(self, body, headers):
        self.assertEqual(['detail'], list(self.send(body, 400, **headers)))

    def test_another_file_has_another_address(self):
        old = self.send(upload(b'old'))
        new = self.put('/v1/binarycontent/1/', upload(b'new'), headers=FORM, status=200).json
        self.assertNotEqual(old['content'], new['content'])
        self.assertEqual(404, self.read(old['content']).status_int)
        self.assertEqual(b'new', self.read(new['content']).body)

    def test_messages_go_with_their_file(self):
        made, _ = self.make_set('text')
        self.send(upload())
        self.make('message', messageset=made, sequence_number=2, lang='eng', binary_content=1)
        content = self.get('/v1/message/2/content').json['binary_content']
        self.assertEqual((1, 200), (content['id'], self.read(content['content']).status_int))
        self.delete('/v1/binarycontent/1/', status=204)
        self.assertEqual([1], self.ids('/v1/message/'))
        self.assertEqual(404, self.read(content['content']).status_int)


class TestSubscriptions(StagedTestCase):
    def setUp(self):
        super().setUp()
        self.set, self.schedule = self.make_set('one', 'two', label='Label')

    def test_fields_and_defaults(self):
        answer = self.post(
            '/v1/subscriptions/',
            {'identity': 'i', 'messageset': self.set, 'lang': 'eng', 'schedule': self.schedule},
            status=201,
        )
        made = answer.json
        url = f'http://localhost:80/api/v1/subscriptions/{made["id"]}/'
        self.assertEqual(url, answer.headers['Location'])
        self.assertEqual(
            {
                'id': made['id'],
                'url': url,
                'version': 1,
                'identity': 'i',
                'messageset': 1,
                'next_sequence_number': 1,
                'initial_sequence_number': 1,
                'lang': 'eng',
                'active': True,
                'completed': False,
                'schedule': 1,
                'process_status': 0,
                'metadata': None,
                'created_at': '2023-11-14T22:13:20.000000Z',
                'updated_at': '2023-11-14T22:13:20.000000Z',
                'messageset_label': 'Label',
            },
            made,
        )
        self.assertEqual(made, self.read_one(made['id']))
        self.assertEqual(made, self.read_one(made['id'].upper()))

    def test_changes(self):
        id = self.enrol(self.set, self.schedule, metadata={'a': 1})
        self.clock.advance(60)
        changed = self.patch(f'/v1/subscriptions/{id}/', {'active': 'False', 'id': 'x', 'url': 'y'}, status=200).json
        self.assertEqual((id, False, {'a': 1}), (changed['id'], changed['active'], changed['metadata']))
        self.assertEqual('2023-11-14T22:14:20.000000Z', changed['updated_at'])
        self.put(f'/v1/subscriptions/{id}/', {'active': True}, status=400)
        self.patch(f'/v1/subscriptions/{id}/', {'messageset': 9}, status=400)
        self.delete(f'/v1/subscriptions/{id}/', status=204)
        self.get(f'/v1/subscriptions/{id}/', status=404)

    @tables.each(
        ('identity', {'identity': 'alice'}, 'identity=alice'), ('lang', {'lang': 'zul'}, 'lang=zul'),
        ('active', {'active': False}, 'active=False'), ('completed', {'completed': True}, 'completed=true'),
        ('status', {'process_status': -1}, 'process_status=-1'), ('version', {'version': 2}, 'version=2'),
        ('number', {'next_sequence_number': 2}, 'next_sequence_number=2'),
        ('a key', {'metadata': {'a"b': 1}}, 'metadata_has_key=a%22b'),
        ('a lack', {'metadata': None}, 'metadata_not_has_key=other'),
        ('metadata', {'metadata': {'a': 1, 'b': [{'c': 'd', 'e': 1e300}]}},
         'metadata={"b":[{"e":1E%2B300, "c":"d"}], "a":1.0}'),
        ('no metadata', {'metadata': None}, 'metadata=null'),
        ('empty metadata', {'metadata': {}}, 'metadata={}'),
        ('all at once', {'metadata': {'a': True}, 'lang': 'zul'},
         'lang=zul&metadata={"a":true}&metadata_not_has_key=b'),
    )  # fmt: skip
    def test_filter_by(self, fields, query):
        other = self.enrol(self.set, self.schedule, metadata={'other': 1})
        wanted = self.enrol(self.set, self.schedule, **fields)
        self.assertEqual([wanted], self.ids(f'/v1/subscriptions/?{query}'))
        self.assertEqual(1, self.get(f'/v1/subscriptions/?{query}').json['count'])
        self.assertEqual({wanted, other}, set(self.ids('/v1/subscriptions/?unknown=1')))

    def test_metadata_are_compared_as_a_whole(self):
        self.enrol(self.set, self.schedule, metadata={'a': 1, 'b': 2})
        for other in ('{"a":1}', '{"a":1,"b":"2"}', '{"a":1,"b":2,"c":3}', '{}', 'null', '{"a":true,"b":2}'):
            self.assertEqual([], self.ids(f'/v1/subscriptions/?metadata={other}'), other)
        self.assertEqual(1, len(self.ids('/v1/subscriptions/?metadata={"a":1,"b":2}')))

    def test_pages_of_those_with_the_same_metadata(self):
        made = []
        for number in range(6):
            made.append(self.enrol(self.set, self.schedule, metadata={'n': number % 2}))
            self.clock.advance(1)
        answer = self.get('/v1/subscriptions/?metadata={"n":1}&limit=2').json
        self.assertEqual((3, [made[5], made[3]]), (answer['count'], [one['id'] for one in answer['results']]))
        answer = self.get(answer['next'].removeprefix('http://localhost:80').removeprefix('/api')).json
        self.assertEqual((3, [made[1]]), (answer['count'], [one['id'] for one in answer['results']]))
        self.assertIsNone(answer['next'])

    @tables.each(('from an index', ''), ('one after the other', '&metadata_not_has_key=x'))
    def test_of_those_made_at_once_none_is_lost(self, query):
        self.enterContext(mock.patch.object(enrolments, '_BATCH', 2))
        early = sorted((self.enrol(self.set, self.schedule) for _ in range(5)), reverse=True)
        self.clock.advance(1)
        late = sorted((self.enrol(self.set, self.schedule) for _ in range(2)), reverse=True)
        pages = [self.ids(f'/v1/subscriptions/?limit=3&offset={offset}{query}') for offset in (0, 3, 6)]
        self.assertEqual([*late, *early], [id for page in pages for id in page])

    def test_filter_by_url(self):
        one, _ = self.enrol(self.set, self.schedule), self.enrol(self.set, self.schedule)
        url = self.get(f'/v1/subscriptions/{one}/').json['url']
        self.assertEqual([one], self.ids(f'/v1/subscriptions/?url={url}'))
        self.assertEqual([one], self.ids(f'/v1/subscriptions/?url={url}&id={one}'))
        self.assertEqual([], self.ids(f'/v1/subscriptions/?url={url}&id={sequences.new_id()}'))
        for other in (url.rstrip('/'), one, url.replace('/v1/', '/v2/'), '/'):
            self.assertEqual([], self.ids(f'/v1/subscriptions/?url={other}'), other)

    def test_filter_by_times_as_they_are_shown(self):
        self.clock.advance(0.1234567)
        made = [self.enrol(self.set, self.schedule) for _ in range(2)]
        self.clock.advance(0.000001)
        later = self.enrol(self.set, self.schedule)
        shown = self.get(f'/v1/subscriptions/{made[0]}/').json['created_at']
        self.assertEqual(set(made), set(self.ids(f'/v1/subscriptions/?created_at={shown}')))
        self.patch(f'/v1/subscriptions/{later}/', {'lang': 'zul'})
        self.clock.advance(60)
        self.patch(f'/v1/subscriptions/{made[1]}/', {'lang': 'zul'})
        shown = self.get(f'/v1/subscriptions/{made[1]}/').json['updated_at']
        self.assertEqual([made[1]], self.ids(f'/v1/subscriptions/?updated_at={shown}'))

    def test_filter_by_what_it_refers_to(self):
        other, schedule = self.make_set(name='another')
        one, two = self.enrol(self.set, self.schedule), self.enrol(other, schedule)
        self.assertEqual([one], self.ids(f'/v1/subscriptions/?messageset={self.set}'))
        self.assertEqual([two], self.ids(f'/v1/subscriptions/?schedule={schedule}'))
        self.assertEqual([two], self.ids('/v1/subscriptions/?messageset_contains=othe'))
        self.assertEqual([], self.ids('/v1/subscriptions/?messageset_contains=%25'))
        self.assertEqual([two], self.ids(f'/v1/subscriptions/?id={two}'))
        self.assertEqual([two], self.ids(f'/v1/subscriptions/?id={two.upper()}'))

    def test_filter_by_time_and_newest_first(self):
        made = []
        for _ in range(3):
            made.append(self.enrol(self.set, self.schedule))
            self.clock.advance(60)
        self.assertEqual(made[::-1], self.ids('/v1/subscriptions/'))
        for query, expected in (
            ('created_after=2023-11-14T22:14:20Z', made[:0:-1]),
            ('created_before=2023-11-14T22:14:20', made[1::-1]),
            ('created_after=2023-11-15T00:14:20+02:00', made[:0:-1]),
            ('created_after=2023-11-14T22:14:20Z&created_before=2023-11-14T22:14:20Z', [made[1]]),
        ):
            self.assertEqual(expected, self.ids(f'/v1/subscriptions/?{query}'), query)

    @tables.each(
        ('a set that is not there', 'messageset=99'), ('a set that is none', 'messageset=x'),
        ('a truth', 'active=maybe'), ('a time', 'created_after=yesterday'), ('a status', 'process_status=x'),
        ('a huge number', f'version={"9" * 40}'), ('a nul', 'identity=%00'),
        ('a schedule that is not there', 'schedule=99'), ('a year', 'created_before=99999-01-01'),
        ('an id that is none', 'id=1'), ('metadata that are a list', 'metadata=[]'), ('no JSON', 'metadata={'),
        ('deep metadata', f'metadata={{"a":{"[" * 2000}{"]" * 2000}}}'), ('a text', 'metadata=x'),
        ('a number too large', 'metadata={"a":1e999}'), ('a time that is none', 'updated_at=1'),
    )  # fmt: skip
    def test_it_cannot_be_filtered_by(self, query):
        self.get(f'/v1/subscriptions/?{query}', status=400, lint=False)

    def test_a_request_of_a_webhook(self):
        fields = {'identity': 'i', 'messageset': self.set, 'lang': 'eng', 'schedule': self.schedule}
        answer = self.post(
            '/v1/subscriptions/request', {'hook': {}, 'data': fields | {'next_sequence_number': 2}}, status=201
        )
        self.assertEqual({'accepted': True}, answer.json)
        self.post('/v1/subscriptions/request', {'data': fields}, status=201)
        found = self.get('/v1/subscriptions/').json['results']
        self.assertEqual({1, 2}, {one['initial_sequence_number'] for one in found})
        self.assertEqual([{}, {}], [one['metadata'] for one in found])

    def test_a_request_that_is_none(self):
        path = '/v1/subscriptions/request'
        self.assertEqual({'data': ['This field is required.']}, self.post(path, {}, status=400).json)
        self.assertEqual(['non_field_errors'], list(self.post(path, {'data': [1]}, status=400).json))
        self.assertEqual(4, len(self.post(path, {'data': {}}, status=400).json))

    def test_send_and_resend_of_nobody(self):
        for verb in ('send', 'resend'):
            for id in ('nonsense', sequences.new_id()):
                answer = self.post(f'/v1/subscriptions/{id}/{verb}', b'null', status=400).json
                self.assertEqual(False, answer['accepted'])
                self.assertIn(id, answer['reason'])


class TestBodies(StagedTestCase):
    @tables.each(
        ('nothing', b''), ('malformed', b'{'), ('no utf 8', b'{"minute":"\xff"}'), ('two', b'{}{}'),
        ('a surrogate', rb'{"minute":"\ud800"}'), ('deep', b'{"a":' * 5000 + b'1' + b'}' * 5000),
    )  # fmt: skip
    def test_it_cannot_be_read_if_it_is(self, body):
        self.assertEqual(['detail'], list(self.post('/v1/schedule/', body, status=400).json))

    @tables.each(('null', b'null'), ('a list', b'[]'), ('a text', b'"a"'), ('a number', b'1'))
    def test_no_object_is(self, body):
        self.assertEqual(['non_field_errors'], list(self.post('/v1/schedule/', body, status=400).json))

    @tables.each(
        ('a charset', {'Content-Type': 'application/json;charset=utf-8'}, b'{"minute":"1"}', 201),
        ('a form', {'Content-Type': 'application/x-www-form-urlencoded'}, b'minute=1&x=2', 201),
        ('parts', FORM, upload(b'1', None, 'minute'), 201),
        ('xml', {'Content-Type': 'text/xml'}, b'<minute/>', 415),
        ('a text', {'Content-Type': 'text/plain'}, b'{}', 415),
    )
    def test_sent_as(self, headers, body, status):
        answer = self.post('/v1/schedule/', body, headers=headers, status=status)
        self.assertEqual('1' if status == 201 else None, answer.json.get('minute'))

    def test_what_is_too_large_is_400(self):
        self.post('/v1/schedule/', b'{"minute":"' + b'1' * 300_000 + b'"}', status=400)

    def test_every_mistake_is_told_at_once(self):
        answer = self.post(
            '/v1/subscriptions/',
            {
                'identity': '',
                'messageset': 'x',
                'lang': 'much too long',
                'active': 'perhaps',
                'metadata': 'x',
                'version': 2**40,
            },
            status=400,
        )
        self.assertEqual(
            {
                'identity': ['This field may not be blank.'],
                'messageset': ['A valid integer is required.'],
                'lang': ['Ensure this field has no more than 6 characters.'],
                'schedule': ['This field is required.'],
                'version': ['Ensure this value is less than or equal to 2147483647.'],
                'active': ['Must be a valid boolean.'],
                'metadata': ['Value must be a JSON object.'],
            },
            answer.json,
        )


class TestHelpers(StagedTestCase):
    settings = {'auth_strategy': 'tokens'}

    def setUp(self):
        super().setUp()
        self.admin, self.member = (self.service.services.tokens.create('p', [role])[1] for role in ('admin', 'member'))

    def ask(self, token, method='POST', path='/v1/user/token/', body=b'', **options):
        return self.request(method, path, body, headers={'Authorization': f'Token {token}'}, **options)

    def test_an_administrator_makes_tokens_of_his_own_project(self):
        made = [self.ask(self.admin, body={'email': 'bob@example.org'}, status=201).json['token'] for _ in range(2)]
        self.assertEqual(2, len(set(made)))
        self.ask(made[0], body={}, path='/v1/schedule/', status=201)
        self.assertEqual(1, self.ask(self.member, 'GET', '/v1/schedule/').json['count'])
        self.ask(made[0], body={'email': 'bob@example.org'}, status=403)

    @tables.each(
        ('nothing', {}), ('a name', {'email': 'bob'}), ('null', {'email': None}), ('a list', {'email': ['a@b.c']})
    )
    def test_no_token_is_made_for(self, body):
        self.assertEqual(['email'], list(self.ask(self.admin, body=body, status=400).json))

    def staged(self, project='p'):
        token = self.service.services.tokens.create(project, ['member'])[1]
        headers = {'X-Auth-Token': token, 'Client-ID': base.CONSUMER}
        return self.app.get(f'/v2/projects/{project}', headers=headers).json['staged']

    def test_a_token_says_how_its_project_goes_on(self):
        rules = {
            'timezone': 'Africa/Johannesburg',
            'misfire': 'skip',
            'identity_url': 'https://identities.example.org/api/v1',
            'outbound_queue': 'mine',
        }
        before = self.staged()
        self.assertEqual(
            {'timezone': 'UTC', 'misfire': 'once', 'identity_url': None, 'outbound_queue': 'outbound'}, before
        )
        self.ask(self.admin, body={'email': 'bob@example.org'} | rules, status=201)
        self.assertEqual((rules, before), (self.staged(), self.staged('other')))
        self.ask(self.admin, body={'email': 'bob@example.org', 'misfire': None}, status=201)
        self.assertEqual(rules | {'misfire': 'once'}, self.staged())
        self.ask(self.member, path='/v1/schedule/', body={'minute': '0', 'hour': '8'}, status=201)
        answer = self.ask(self.member, 'GET', '/v1/schedule/1/next/?count=1').json
        self.assertEqual(['2023-11-15T06:00:00.000000Z'], answer['results'])

    @tables.each(
        ('no zone', {'timezone': 'Atlantis'}), ('a way out', {'timezone': '../../etc/passwd'}),
        ('an empty zone', {'timezone': ''}), ('no policy', {'misfire': 'twice'}),
        ('a path', {'identity_url': '/identities'}), ('a mail address', {'identity_url': 'mailto:a@example.org'}),
        ('a query', {'identity_url': 'https://i.example.org/?a'}), ('a name in it', {'identity_url': 'https://a@i.example.org/'}),
        ('loopback', {'identity_url': 'http://127.0.0.1:8888/'}), ('metadata', {'identity_url': 'http://169.254.169.254/'}),
        ('a long one', {'identity_url': 'https://i.example.org/' + 'x' * 3000}), ('no host', {'identity_url': 'https://'}),
        ('a queue that is none', {'outbound_queue': 'a b'}), ('a parent', {'outbound_queue': '..'}),
    )  # fmt: skip
    def test_no_token_says(self, rules):
        answer = self.ask(self.admin, body={'email': 'bob@example.org', 'timezone': 'Europe/Rome'} | rules, status=400)
        self.assertEqual(list(rules), list(answer.json))
        self.assertEqual('UTC', self.staged()['timezone'])

    def test_health_and_metrics_need_a_token(self):
        for path in ('/health/', '/metrics/'):
            self.get(path, status=401)
        health = self.ask(self.member, 'GET', '/health/').json
        self.assertEqual((True, 'Accessible'), (health['up'], health['result']['database']))


class TestMetrics(StagedTestCase):
    def posted(self):
        self.version = '2'
        found = self.list_bodies('metrics', echo='true')
        self.version = 'staged'
        return found

    def test_they_are_counted_and_posted(self):
        made, schedule = self.make_set('one', name='a')
        self.enrol(made, schedule)
        self.enrol(made, schedule, active=False, completed=True)
        self.enrol(made, schedule, process_status=-1)
        self.assertEqual([], self.posted())
        self.post('/metrics/', b'null', status=201)
        expected = {
            'subscriptions.active.last': 2,
            'subscriptions.created.last': 3,
            'subscriptions.broken.last': 1,
            'subscriptions.completed.last': 1,
            'subscriptions.a.active.last': 2,
        }
        self.assertEqual([{name: value} for name, value in expected.items()], self.posted())
        names = self.get('/metrics/').json['metrics_available']
        self.assertEqual(
            {*expected, 'subscriptions.created.sum', 'subscriptions.send_next_message_errored.sum'}, set(names)
        )

    def test_what_happens_is_posted_to_those_who_want_to_know(self):
        self.version = '2'
        self.make_queue('metrics')
        self.version = 'staged'
        self.enrol(*self.make_set('one'))
        self.assertEqual([{'subscriptions.created.sum': 1}], self.posted())


class TestProtection(StagedTestCase):
    """Nothing goes that somebody begins to refer to at the same moment."""

    def test_a_schedule_is_never_deleted_under_a_set(self):
        for number in range(30):
            schedule = self.make_schedule()
            fields = {'short_name': f's{number}', 'default_schedule': schedule}
            barrier = threading.Barrier(2)
            threads = [
                threading.Thread(target=self.try_to, args=(barrier, self.service.services.message_sets.create, fields)),
                threading.Thread(target=self.try_to, args=(barrier, self.service.services.schedules.delete, schedule)),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            there = set(self.ids('/v1/schedule/'))
            used = {one['default_schedule'] for one in self.get('/v1/messageset/').json['results']}
            self.assertLessEqual(used, there)

    def try_to(self, barrier, action, argument):
        barrier.wait()
        with contextlib.suppress(errors.FieldsInvalid, errors.InUse):
            action(base.PROJECT, argument)


class TestDocuments(StagedTestCase):
    def test_answers_are_json_whatever_is_accepted(self):
        self.get('/v1/schedule/', headers={'Accept': 'text/html'}, status=406)
        self.assertEqual([], json.loads(self.get('/v1/schedule/', headers={'Accept': '*/*'}).body)['results'])
