"""Projects: what they keep, and which there are."""

from tests.api import base
from tests.fixtures import tables


class TestUsage(base.ApiTestCase):
    def usage(self, project=base.PROJECT, status=200, **options):
        return self.get(f'/projects/{project}', status=status, **options).json

    def test_a_project_that_never_was_keeps_nothing(self):
        usage = self.usage()
        self.assertEqual(base.PROJECT, usage['project_id'])
        self.assertEqual((0, 0), (usage['queues'], usage['bytes']))
        self.assertEqual({'free': 0, 'claimed': 0, 'delayed': 0, 'total': 0}, usage['messages'])

    def test_queues_messages_by_state_and_bytes_are_counted(self):
        self.post_raw(b'"12345678"', b'"x"', b'1')
        self.post_messages(*range(5), queue='other')
        self.post_messages(1, 2, delay=60)
        self.claim(limit=2)
        usage = self.usage()
        self.assertEqual({'free': 6, 'claimed': 2, 'delayed': 2, 'total': 10}, usage['messages'])
        self.assertEqual(2, usage['queues'])
        self.assertEqual(10 + 3 + 1 + 5 + 2, usage['bytes'])

    def test_what_is_deleted_is_no_longer_counted(self):
        self.post_messages(1, 2)
        self.post_messages(3, queue='other')
        self.pop(1)
        self.delete('/queues/other')
        usage = self.usage()
        self.assertEqual((1, 1, 1), (usage['queues'], usage['messages']['total'], usage['bytes']))
        self.post('/queues/demo/purge')
        self.assertEqual(0, self.usage()['messages']['total'])

    def test_other_projects_do_not_count(self):
        self.post_messages(1, project='project-2')
        self.version = '1'
        self.put('/queues/shared', project=base.ABSENT)
        self.version = '2'
        self.assertEqual(0, self.usage()['queues'])

    def test_the_limits_are_named_like_the_options(self):
        self.assertEqual(
            {
                'max_claim_grace': 43200,
                'max_claim_ttl': 43200,
                'max_message_delay': 900,
                'max_message_ttl': 1209600,
                'max_messages_per_claim_or_pop': 100,
                'max_messages_per_page': 100,
                'max_messages_post_size': 262144,
                'max_queue_metadata': 65536,
                'max_queues_per_page': 1000,
                'max_subscriptions_per_page': 100,
                'requests_per_second': 0,
                'request_burst': 0,
                'queues': 0,
                'messages': 0,
                'bytes': 0,
                'messages_in_flight_per_queue': 0,
                'subscriptions_per_queue': 0,
            },
            self.usage()['limits'],
        )

    def test_another_project_is_404_unless_an_admin_asks(self):
        self.post_messages(1)
        answer = self.get(f'/projects/{base.PROJECT}', project='project-2', status=404)
        self.assertEqual(answer.json, self.get('/projects/nobody', project='project-2', status=404).json)
        seen = self.usage(project='project-1', headers={'X-Project-Id': 'project-2', 'X-Roles': 'admin'})
        self.assertEqual(1, seen['queues'])

    def test_the_project_of_the_url_may_ask_for_itself(self):
        answer = self.get('/v2/shop/projects/shop', project=base.ABSENT, status=200)
        self.assertEqual('shop', answer.json['project_id'])
        self.get('/v2/shop/projects/other', project=base.ABSENT, status=404)

    @tables.each(
        ('a blank', 'a b'), ('an escaped slash', 'a%2Fb'), ('letters', 'é😀'), ('quotes', '"a"'),
        ('a question mark', 'a?b'), ('dots', 'a..b'), ('a plus', 'a+b'), ('an ampersand', 'a&b=c'),
    )  # fmt: skip
    def test_it_may_be_called_by(self, project):
        header = project.encode().decode('latin-1')
        self.make_queue(project=header)
        [listed] = self.get('/projects', headers={'X-Roles': 'admin'}).json['projects']
        self.assertEqual(project, listed['project_id'])
        usage = self.get(listed['href'], project=header, status=200).json
        self.assertEqual((project, 1), (usage['project_id'], usage['queues']))

    @tables.each(
        ('too long', 'p' * 257), ('a comma', 'a,b'), ('a nul', '%00'), ('a byte that is no utf 8', '%ff'),
    )  # fmt: skip
    def test_it_cannot_be_called_by(self, project):
        self.assert_refused(self.get(f'/projects/{project}', status=400, lint=False), 'Project ids')

    def test_there_is_none_in_the_older_versions(self):
        for version in ('1', '1.1'):
            self.version = version
            self.get('/projects', status=404)
            self.get(f'/projects/{base.PROJECT}', status=404)


class TestList(base.ApiTestCase):
    def list_ids(self, path='/projects', **options):
        answer = self.get(path, headers={'X-Roles': 'admin'}, status=200, **options).json
        links = [link['href'] for link in answer['links']]
        return [one['project_id'] for one in answer['projects']], links[0] if links else None

    def test_those_that_ever_had_a_queue_are_listed(self):
        for project in ('b', 'a', 'c'):
            self.make_queue(project=project)
        self.delete('/queues/demo', project='a')
        self.assertEqual(['a', 'b', 'c'], self.list_ids()[0])

    def test_they_come_page_by_page(self):
        names = [f'project {number:02} & é' for number in range(25)]
        for name in names:
            self.make_queue(project=name.encode().decode('latin-1'))
        seen, path = [], '/projects?limit=7'
        while path:
            ids, path = self.list_ids(path)
            seen += ids
        self.assertEqual(names, seen)
        self.assertEqual(names[:10], self.list_ids()[0])

    def test_only_an_admin_may(self):
        for roles in (base.ABSENT, 'member', 'reader', 'member,reader', '', 'administrator'):
            answer = self.get('/projects', headers={'X-Roles': roles}, status=403)
            self.assertEqual('Not authorized', answer.json['title'])

    def test_the_shared_namespace_is_no_project(self):
        self.version = '1'
        self.put('/queues/demo', project=base.ABSENT, status=201)
        self.version = '2'
        self.assertEqual(([], None), self.list_ids())

    def test_the_limit_is_bounded(self):
        for limit in ('0', '1001', 'x'):
            self.get(f'/projects?limit={limit}', headers={'X-Roles': 'admin'}, status=400)


class TestAdminMode(base.ApiTestCase):
    settings = {'admin_mode': True}

    def test_everybody_is_admin(self):
        self.make_queue()
        for roles in (base.ABSENT, 'reader', ''):
            self.get('/projects', headers={'X-Roles': roles}, status=200)
        self.get(f'/projects/{base.PROJECT}', project='project-2', status=200)
