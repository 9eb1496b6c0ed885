"""User messages, in the words of the block storage API: microversions, lists, faults, projects in URLs."""

from unittest import mock
from urllib import parse

from queueservice.model import user_messages
from tests.api import base
from tests.fixtures import tables

_HEADER = 'OpenStack-API-Version'


class UserMessageTestCase(base.ApiTestCase):
    version = '3'

    def write(
        self, name='delivery', project=base.PROJECT, detail='timeout', subscription='s', request_id='req-1', at=0
    ):
        """The id of a new message of `project`, written `at` seconds ago."""
        now = self.clock() - at
        self.service.services.user_messages.write(
            project, 'message', detail, 'SUBSCRIPTION', subscription, request_id, now, name
        )
        return user_messages.new_id(project, name)

    def ids(self, query='', microversion='3.71', **options):
        answer = self.get(f'/messages?{query}', headers=volume(microversion), **options)
        return [one['id'] for one in answer.json['messages']]

    def assert_fault(self, name, answer, *words):
        [(found, fault)] = answer.json.items()
        self.assertEqual((name, answer.status_int), (found, fault['code']))
        for word in words:
            self.assertIn(word, fault['message'])


def volume(microversion, **others):
    return {_HEADER: f'volume {microversion}', **others}


class TestMicroversions(UserMessageTestCase):
    def ask(self, header, status):
        return self.get('/messages', headers={_HEADER: header}, status=status)

    @tables.each(
        ('the last', 'volume 3.71', '3.71'), ('the first with messages', 'volume 3.3', '3.3'),
        ('latest', 'volume latest', '3.71'), ('one among others', 'compute 2.1, volume 3.5,placement 1.6', '3.5'),
        ('one with blanks', '  volume   3.5 ', '3.5'),
    )  # fmt: skip
    def test_the_answer_is_in(self, header, expected):
        answer = self.ask(header, 200)
        self.assertEqual(f'volume {expected}', answer.headers[_HEADER])
        self.assertIn(_HEADER, answer.headers['Vary'])

    @tables.each(('none', base.ABSENT), ('3 0', 'volume 3.0'), ('3 2', 'volume 3.2'))
    def test_there_are_no_messages_in(self, header):
        message_id = self.write()
        for method, path in (
            ('GET', '/messages'), ('GET', f'/messages/{message_id}'), ('DELETE', f'/messages/{message_id}'),
        ):  # fmt: skip
            answer = self.request(method, path, headers={_HEADER: header}, status=404)
            self.assert_fault('itemNotFound', answer, 'from microversion 3.3 on')
            self.assertEqual('volume 3.2' if header == 'volume 3.2' else 'volume 3.0', answer.headers[_HEADER])
        self.assertEqual([message_id], self.ids())

    @tables.each(
        ('too new', '3.72'), ('much too new', '9.9'), ('of another major version', '2.5'),
        ('with a large number', '3.999999'),
    )  # fmt: skip
    def test_one_is_not_served_that_is(self, number):
        answer = self.ask(f'volume {number}', 406)
        said = f'Version {number} is not supported by the API. Minimum is 3.0 and maximum is 3.71.'
        self.assert_fault('computeFault', answer, said)
        self.assertIn(_HEADER, answer.headers['Vary'])

    @tables.each(
        ('nothing', ''), ('another service', 'compute 2.1'), ('a word', 'volume new'), ('no number', 'volume'),
        ('no minor number', 'volume 3'), ('three numbers', 'volume 3.5.1'), ('a leading zero', 'volume 3.05'),
        ('a sign', 'volume 3.-5'), ('other digits', 'volume 3.\xb2'), ('5000 digits', f'volume 3.{"9" * 5000}'),
        ('latest in capitals', 'volume LATEST'),
    )  # fmt: skip
    def test_it_cannot_be(self, header):
        answer = self.get('/messages', environ={'HTTP_OPENSTACK_API_VERSION': header}, status=400, lint=False)
        self.assert_fault('badRequest', answer, _HEADER)

    def test_queries_mean_nothing_before_3_5(self):
        ids = [self.write(str(number), at=number) for number in range(3)]
        for minor in (3, 4):
            self.assertEqual(ids, self.ids('limit=1&sort=colour&limit=-1&x=1&offset=2', f'3.{minor}'))
            self.assertNotIn('messages_links', self.get('/messages', headers=volume(f'3.{minor}')).json)
        self.assertEqual(ids[:1], self.ids('limit=1', '3.5'))

    def test_unknown_filters_find_nothing_and_are_refused_from_3_31_on(self):
        self.write()
        self.assertEqual([], self.ids('colour=red', '3.30'))
        self.assertEqual([], self.ids('resource_type~=SUBSCRIPTION', '3.30'))
        for minor in (31, 34, 71):
            for query, name in (
                ('colour=red', 'colour'),
                ('resource_type~=S', 'resource_type~'),
                ('project_id=p', 'pro'),
            ):
                answer = self.get(f'/messages?{query}', headers=volume(f'3.{minor}'), status=400)
                self.assert_fault('badRequest', answer, name, 'resource_uuid, resource_type, event_id')
        admin = volume('3.71', **{'X-Roles': 'admin'})
        self.assertEqual([], self.get('/messages?colour=red', headers=admin).json['messages'])

    def test_nobody_sees_all_tenants(self):
        mine = self.write()
        self.write(project='other')
        for roles in ('member', 'admin'):
            for minor in (5, 31):
                headers = volume(f'3.{minor}', **{'X-Roles': roles})
                answer = self.get('/messages?all_tenants=1', headers=headers)
                self.assertEqual([mine], [one['id'] for one in answer.json['messages']])

    def test_administrators_see_and_delete_only_their_own_too(self):
        other = self.write(project='other')
        for method in ('GET', 'DELETE'):
            self.request(method, f'/messages/{other}', headers={'X-Roles': 'admin'}, status=404)


class TestShow(UserMessageTestCase):
    def test_it_has_these_members_and_no_others(self):
        message_id = self.write(subscription='6f0a', request_id='req-7')
        answer = self.get(f'/messages/{message_id}', environ={'HTTP_HOST': 'queues.example.com'})
        self.assertEqual(
            {
                'id': message_id,
                'event_id': 'QUEUE_SUBSCRIPTION_001_003',
                'user_message': 'deliver message:The subscriber did not answer in time.',
                'message_level': 'ERROR',
                'created_at': '2023-11-14T22:13:20.000000',
                'guaranteed_until': '2023-12-14T22:13:20.000000',
                'request_id': 'req-7',
                'resource_type': 'SUBSCRIPTION',
                'resource_uuid': '6f0a',
                'links': [
                    {'rel': 'self', 'href': f'http://queues.example.com/v3/messages/{message_id}'},
                    {'rel': 'bookmark', 'href': f'http://queues.example.com/messages/{message_id}'},
                ],
            },
            answer.json['message'],
        )

    def test_the_project_of_the_url_is_in_the_links(self):
        message_id = self.write()
        [own, bookmark] = self.get(f'/{base.PROJECT}/messages/{message_id}').json['message']['links']
        self.assertEqual(f'http://localhost:80/v3/{base.PROJECT}/messages/{message_id}', own['href'])
        self.assertEqual(f'http://localhost:80/{base.PROJECT}/messages/{message_id}', bookmark['href'])

    def test_what_it_is_not_about_is_left_out(self):
        message_id = self.write(subscription='', request_id=None)
        shown = self.get(f'/messages/{message_id}').json['message']
        self.assertNotIn('resource_uuid', shown)
        self.assertIsNone(shown['request_id'])

    @tables.each(
        ('a word', 'x'), ('a uuid of nobody', 'b80abb98-0a8d-5afa-8187-944a09e2a46b'), ('a nul', '%00'),
        ('no utf 8', '%ff'), ('much', 'a' * 3000), ('quotes', '%22%27'), ('dots', '..%2f..'), ('messages', 'messages'),
    )  # fmt: skip
    def test_there_is_none_of_the_id(self, message_id):
        for method in ('GET', 'DELETE'):
            answer = self.request(method, f'/messages/{message_id}', status=404, lint=False)
            self.assert_fault('itemNotFound', answer)

    def test_the_request_id_is_told_twice(self):
        for path, status in (('/messages', 200), ('/messages/x', 404), ('/messages?x=1', 400), ('/nothing/x', 404)):
            answer = self.get(path, status=status)
            self.assertEqual(answer.headers['X-Openstack-Request-Id'], answer.headers['X-Compute-Request-Id'])
        self.assertNotIn('X-Compute-Request-Id', self.app.get('/v2/', status=400).headers)


class TestDelete(UserMessageTestCase):
    def test_it_is_202_and_then_404(self):
        message_id, other = self.write(), self.write('other')
        answer = self.delete(f'/messages/{message_id}', status=202)
        self.assertEqual(b'', answer.body)
        for method in ('GET', 'DELETE'):
            self.request(method, f'/messages/{message_id}', status=404)
        self.assertEqual([other], self.ids())

    def test_nothing_can_be_made_or_changed(self):
        message_id = self.write()
        for method, path in (('POST', '/messages'), ('PUT', f'/messages/{message_id}'), ('PATCH', '/messages')):
            self.assert_fault('badMethod', self.request(method, path, b'{}', status=405))

    def test_readers_cannot(self):
        message_id = self.write()
        headers = {'X-Roles': 'reader'}
        answer = self.delete(f'/messages/{message_id}', headers=headers, status=403)
        self.assert_fault('forbidden', answer, 'user_messages:delete')
        self.assertEqual('volume 3.71', answer.headers[_HEADER])
        self.get(f'/messages/{message_id}', headers=headers, status=200)
        self.get('/messages', headers=headers, status=200)


class TestList(UserMessageTestCase):
    def setUp(self):
        super().setUp()
        self.all = [
            self.write(
                str(number),
                detail='timeout' if number < 4 else 'dns',
                subscription=f's{number % 2}',
                request_id=f'req-{number}',
                at=number,
            )
            for number in range(6)
        ]
        self.write('theirs', project='project-2')

    def page(self, query):
        """(the ids of a page, its next link or None)."""
        document = self.get(query).json
        [link] = document.get('messages_links') or [None]
        if link:
            self.assertEqual('next', link['rel'])
        return [one['id'] for one in document['messages']], link and link['href'].removeprefix('http://localhost:80')

    def test_pages_are_followed_by_their_links(self):
        for query in ('limit=2', 'limit=2&sort=created_at', 'limit=2&sort_key=id&sort_dir=asc', 'limit=4&offset=1'):
            seen, href = [], f'/messages?{query}'
            while href:
                ids, href = self.page(href)
                seen += ids
            expected = self.all[1:] if 'offset' in query else sorted(self.all) if 'id' in query else self.all
            self.assertEqual(expected, seen, query)

    def test_a_link_keeps_what_was_asked(self):
        _, href = self.page('/messages?resource_uuid=s1&limit=1&offset=1&sort=created_at:asc')
        query = dict(parse.parse_qsl(href.partition('?')[2]))
        self.assertEqual({'resource_uuid': 's1', 'limit': '1', 'sort': 'created_at:asc', 'marker': self.all[3]}, query)

    def test_a_page_that_is_just_full_has_a_link_to_an_empty_one(self):
        ids, href = self.page('/messages?limit=6')
        self.assertEqual(self.all, ids)
        self.assertEqual(([], None), self.page(href))
        self.assertEqual((self.all, None), self.page('/messages?limit=7'))
        self.assertEqual((self.all, None), self.page('/messages'))

    def test_no_more_than_a_thousand_are_on_a_page(self):
        for number in range(1000):
            self.write(f'more-{number}', at=100)
        ids, href = self.page('/messages?limit=5000')
        self.assertEqual(1000, len(ids))
        self.assertEqual(6, len(self.page(href)[0]))
        self.assertEqual(1000, len(self.ids('', '3.3')))

    def test_the_links_have_the_form_of_the_url(self):
        href = self.get(f'/{base.PROJECT}/messages?limit=1').json['messages_links'][0]['href']
        self.assertTrue(href.startswith(f'http://localhost:80/v3/{base.PROJECT}/messages?'), href)

    @tables.each(
        ('nothing', '', 'all'), ('time', 'sort=created_at:asc', 'reversed'),
        ('time by default down', 'sort=created_at', 'all'),
        ('an older way', 'sort_key=created_at&sort_dir=asc', 'reversed'),
        ('a direction alone', 'sort_dir=asc', 'reversed'),
        ('its end', 'sort=guaranteed_until:desc', 'all'), ('its end as stored', 'sort=expires_at:asc', 'reversed'),
        ('several', 'sort=message_level,resource_type:asc,request_id:asc', 'all'),
        ('the same twice', 'sort=created_at:asc,created_at:desc', 'reversed'),
        ('blanks', 'sort= created_at : asc ', 'reversed'),
    )  # fmt: skip
    def test_it_is_sorted_by(self, query, expected):
        self.assertEqual(self.all if expected == 'all' else self.all[::-1], self.ids(query))

    @tables.each(
        ('resource_uuid', 'resource_uuid=s1', (1, 3, 5)), ('resource_type', 'resource_type=SUBSCRIPTION', range(6)),
        ('event_id', 'event_id=QUEUE_SUBSCRIPTION_001_006', (4, 5)), ('request_id', 'request_id=req-2', (2,)),
        ('message_level', 'message_level=ERROR', range(6)), ('another level', 'message_level=INFO', ()),
        ('another type', 'resource_type=VOLUME', ()), ('another case', 'message_level=error', ()),
        ('two', 'resource_uuid=s1&event_id=QUEUE_SUBSCRIPTION_001_006', (5,)), ('nothing', 'resource_uuid=', range(6)),
        ('a pattern', 'resource_uuid=s%25', ()), ('a nul', 'resource_uuid=%00', ()),
        ('no utf 8', 'resource_uuid=%ff', ()),
    )  # fmt: skip
    def test_it_is_narrowed_by(self, query, expected):
        self.assertEqual([self.all[number] for number in expected], self.ids(query))

    @tables.each(
        ('a negative limit', 'limit=-1', 'Limit'), ('a limit that is a word', 'limit=ten', 'limit'),
        ('a limit that is a fraction', 'limit=1.5', 'limit'), ('a huge limit', 'limit=' + '9' * 5000, 'limit'),
        ('a negative offset', 'offset=-1', 'Offset'), ('a far offset', 'offset=10001', '10000'),
        ('an offset that is a word', 'offset=x', 'offset'), ('a blank limit', 'limit=%201', 'limit'),
        ('no key', 'sort=', 'sorted by ""'), ('an unknown key', 'sort=colour', 'colour'),
        ('a key that is not shown', 'sort=project', 'project'), ('a text', 'sort=user_message', 'user_message'),
        ('an unknown direction', 'sort=id:up', 'asc'), ('no direction', 'sort=id:', 'asc'),
        ('a comma too many', 'sort=id,', 'sorted by ""'), ('both ways', 'sort=id&sort_key=id', 'either'),
        ('both ways of the direction', 'sort=id&sort_dir=asc', 'either'), ('an unknown old key', 'sort_key=x', '"x"'),
        ('an unknown old direction', 'sort_dir=up', 'asc'), ('a filter twice', 'event_id=a&event_id=b', 'event_id'),
        ('a limit twice', 'limit=1&limit=2', 'limit'), ('a name that is not ascii', '%C3%A9=1', 'ASCII'),
        ('three thousand parameters', '&'.join(f'p{number}=1' for number in range(3000)), 'filtered by'),
    )  # fmt: skip
    def test_it_cannot_have(self, query, words):
        answer = self.get(f'/messages?{query}', status=400, lint=False)
        self.assert_fault('badRequest', answer, words)

    def test_an_unknown_marker_is_404(self):
        for marker in ('x', '%00', user_messages.new_id('project-2', 'theirs')):
            self.assert_fault('itemNotFound', self.get(f'/messages?marker={marker}', status=404))

    def test_no_limit_is_nothing(self):
        self.assertEqual(([], None), self.page('/messages?limit=0'))

    def test_odd_queries_do_no_harm(self):
        for query in ('&&', 'limit=&marker=&offset=&event_id=', 'all_tenants=%0d%0aX-Injected:1'):
            answer = self.get(f'/messages?{query}', status=200, lint=False)
            self.assertEqual(6, len(answer.json['messages']))
            self.assertNotIn('X-Injected', answer.headers)


class TestProjects(UserMessageTestCase):
    def test_the_url_alone_says_whose_they_are(self):
        message_id = self.write(project='c0ffee')
        answer = self.get('/c0ffee/messages', project=base.ABSENT, client=base.ABSENT)
        self.assertEqual([message_id], [one['id'] for one in answer.json['messages']])

    def test_another_in_the_header_is_400(self):
        answer = self.get('/c0ffee/messages', project='other', status=400)
        self.assert_fault('badRequest', answer, 'Malformed request url')

    def test_there_must_be_one(self):
        self.assert_fault('badRequest', self.get('/messages', project=base.ABSENT, status=400), 'X-Project-Id')
        self.assert_fault('badRequest', self.get('/messages', project='', status=400), 'Project')

    def test_it_may_be_any_text(self):
        for project in ('a b', 'é', 'v2', 'a/b'):
            message_id = self.write(project=project)
            path = f'/{parse.quote(project, safe="")}/messages'
            if '/' not in project:
                self.assertEqual(
                    [message_id], [one['id'] for one in self.get(path, project=base.ABSENT).json['messages']]
                )
            header = project.encode().decode('latin-1')
            self.assertEqual([message_id], self.ids(project=header))

    def test_client_ids_are_not_looked_at(self):
        for client in (base.ABSENT, 'no uuid', ''):
            self.get('/messages', client=client, status=200)

    def test_slashes_count(self):
        for path in ('/messages/', '/messages/x/', '/messages/x/y', '/p/messages/x/y', '/p/queues', '//messages'):
            self.get(path, project='p', status=404)


class TestTokens(UserMessageTestCase):
    settings = {'auth_strategy': 'tokens'}

    def setUp(self):
        super().setUp()
        _, token = self.service.services.tokens.create('mine', ['member'])
        self.token = {'X-Auth-Token': token}

    def test_the_project_is_that_of_the_token(self):
        message_id = self.write(project='mine')
        self.write(project='other')
        for path in ('/messages', '/mine/messages'):
            answer = self.get(path, project='other', headers=self.token)
            self.assertEqual([message_id], [one['id'] for one in answer.json['messages']])

    def test_another_in_the_url_is_400(self):
        answer = self.get('/other/messages', headers=self.token, status=400)
        self.assert_fault('badRequest', answer, 'Malformed request url')

    def test_without_one_it_is_401(self):
        for path in ('/messages', '/mine/messages', '/mine/messages/x'):
            answer = self.get(path, status=401)
            self.assert_fault('unauthorized', answer, 'token')
            self.assertIn('Bearer', answer.headers['WWW-Authenticate'])

    def test_the_versions_need_none(self):
        for path in ('/', ''):
            self.app.get(f'/v3{path}', status=200)


class TestFaults(UserMessageTestCase):
    def test_a_rate_is_told_with_its_end(self):
        self.service.services.quotas.change(base.PROJECT, {'requests_per_second': 1, 'request_burst': 1})
        self.get('/messages')
        answer = self.get('/messages', status=429)
        self.assert_fault('overLimit', answer)
        self.assertEqual(answer.headers['Retry-After'], answer.json['overLimit']['retryAfter'])

    def test_what_accepts_no_json_is_406(self):
        self.assert_fault('computeFault', self.get('/messages', headers={'Accept': 'text/html'}, status=406))

    def test_a_fault_of_the_service_says_nothing_of_it(self):
        self.enterContext(mock.patch.object(self.service.services.user_messages, 'page', None))
        answer = self.get('/messages', status=500)
        self.assert_fault('computeFault', answer, 'req-')
        self.assertNotIn('NoneType', answer.text)

    def test_other_apis_keep_their_own_form(self):
        self.version = '2'
        self.assertEqual({'title', 'description'}, set(self.get('/queues/demo/messages/x', status=404).json))
        self.assertEqual({'title': '404 Not Found'}, self.app.get('/v33/messages', status=404).json)
