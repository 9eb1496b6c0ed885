"""No project sees or changes what belongs to another, on any route."""

from queueservice.model import queues
from tests.api import base, walk
from tests.fixtures import issuer, services, tables

_OWNER = 'project-1'
_INTRUDER = 'project-2'
#: Places that are about a queue, or whose URL may name the project.
_IN_QUEUES = [row for row in walk.places() if row[1][0].version not in ('buckets', 'staged')]


class TenancyTestCase(walk.WalkTestCase):
    settings = {'admin_mode': False}

    def snapshot(self, fields, project):
        """Everything that the owner can see."""
        if 'schedule_id' in fields:
            return self.snapshot_sequences(fields, project)
        self.version = '3'
        told = self.get('/messages', project='none' if project is base.ABSENT else project).body
        self.version = 'buckets'
        kept = [
            self.get(path.format(**fields), project='none' if project is base.ABSENT else project).body
            for path in (
                '',
                '/{bucket_key}/messages?format=har',
                '/{bucket_key}/collections',
                '/{bucket_key}/collections/{collection_uuid}',
            )
        ]
        self.version = '1' if project is base.ABSENT else '2'
        return (
            told,
            *kept,
            *[
                self.get(path.format(**fields), project=project, status=base.ANY).body
                for path in (
                    '/queues?detailed=true',
                    '/queues/{queue_name}/stats',
                    '/queues/{queue_name}/messages?limit=100&echo=true&include_claimed=true',
                    '/queues/{queue_name}/messages?ids={message_id},{claimed_id}',
                    '/queues/{queue_name}/claims/{claim_id}',
                    '/queues/{queue_name}/subscriptions/{subscription_id}',
                    '/projects/{project_id}',
                )
            ],
        )

    def snapshot_sequences(self, fields, project):
        self.version = 'staged'
        return [
            self.get(path.format(**fields), project=project, status=200).body
            for path in (
                '/v1/schedule/',
                '/v1/messageset/',
                '/v1/messageset/{messageset_id}/messages',
                '/v1/message/',
                '/v1/binarycontent/',
                '/v1/subscriptions/',
                '/v1/failed-tasks/',
            )
        ]

    def assert_kept_out(self, steps, fields, owner=_OWNER, **intruder):
        """The requests lead the intruder to nothing of the owner's, and change nothing there."""
        for step, answer in self.take_in_vain(steps, fields, owner, **intruder):
            said = f'{step}: {answer}'
            self.assertLess(answer.status_int, 500, said)
            ids = ('{message_id}', '{claim_id}', '{subscription_id}')
            if step.method != 'DELETE' and any(one in step.route for one in ids):
                self.assertEqual(404, answer.status_int, said)
            if '{bucket_key}' in step.route:
                self.assertEqual(404, answer.status_int, said)
            if step.version == 'staged' and '{' in step.route:
                self.assertIn(answer.status_int, (400, 404), said)
            if '{user_message_id}' in step.route:
                self.assertIn(answer.status_int, (400, 404), said)
            if '{project_id}' in step.route:
                self.assertEqual(404 if step.method == 'GET' else 403, answer.status_int, said)

    def take_in_vain(self, steps, fields, owner, **intruder):
        """(step, answer) of requests none of which shows or changes anything of the owner's."""
        before = self.snapshot(fields, owner)
        self.assertIn(self.SECRET, str(before))
        for step in steps:
            answer = self.take(step, fields, **intruder)
            self.assertNotIn(self.SECRET, answer.text, str(step))
            self.assertEqual(before, self.snapshot(fields, owner), str(step))
            yield step, answer


class KeptOut(tables.Tables):
    """What holds however it is found out who asks."""

    @tables.each(*walk.places())
    def test_ids_of_another_project_lead_nowhere(self, steps):
        self.assert_kept_out(steps, self.fill_for(steps[0]), project=_INTRUDER)

    @tables.each(*_IN_QUEUES)
    def test_they_lead_nowhere_in_a_queue_of_the_same_name(self, steps):
        fields = self.fill()
        self.make_queue(project=_INTRUDER)
        self.post_messages('mine', project=_INTRUDER)
        self.assert_kept_out(steps, fields, project=_INTRUDER)


class TestEveryRoute(KeptOut, TenancyTestCase):
    def fill(self, project=_OWNER):
        fields = super().fill(project)
        return fields | {'project_id': fields['project_id'] or 'none'}

    @tables.each(*_IN_QUEUES)
    def test_a_header_does_not_open_the_project_of_a_url(self, steps):
        self.assert_kept_out(steps, self.fill(), project=_OWNER, prefix=f'/{_INTRUDER}')

    @tables.each(*_IN_QUEUES)
    def test_queues_without_a_project_belong_to_no_project(self, steps):
        self.version = '1'
        fields = self.fill(base.ABSENT)
        for project in (_INTRUDER, 'shared', 'None', ' '):
            self.assert_kept_out(steps, fields, base.ABSENT, project=project)

    @tables.each(*[row for row in _IN_QUEUES if row[1][0].version == '1'])
    def test_queues_of_a_project_are_not_found_without_one(self, steps):
        self.assert_kept_out(steps, self.fill(), project=base.ABSENT)


class TestEveryRouteWithTokens(KeptOut, TenancyTestCase):
    """The same where everybody authenticates. Each request claims beside its token to be the owner, and an admin."""

    settings = {'admin_mode': True, 'auth_strategy': 'tokens'}

    def setUp(self):
        super().setUp()
        self.tokens = {base.ABSENT: base.ABSENT}

    def make_token(self, project):
        return self.service.services.tokens.create(project, ['member'])[1]

    def request(self, method, path, body=b'', *, project=_OWNER, headers=None, **options):
        if project not in self.tokens:
            self.tokens[project] = self.make_token(project)
        claims = {'X-Auth-Token': self.tokens[project], 'X-Roles': 'admin', 'X-Service-Roles': 'admin'}
        return super().request(method, path, body, project=_OWNER, headers={**(headers or {}), **claims}, **options)

    @tables.each(*_IN_QUEUES)
    def test_the_project_of_a_url_is_found_by_its_own_tokens_only(self, steps):
        for step, answer in self.take_in_vain(steps, self.fill(), _OWNER, project=_INTRUDER, prefix=f'/{_OWNER}'):
            self.assertEqual(400 if step.version == '3' else 404, answer.status_int, str(step))

    @tables.each(*walk.places())
    def test_without_a_token_there_is_nothing(self, steps):
        fields = self.fill_for(steps[0])
        # Buckets and staged messaging have no projects in their paths.
        for prefix in ('',) if steps[0].version in ('buckets', 'staged') else ('', f'/{_OWNER}'):
            for step, answer in self.take_in_vain(steps, fields, _OWNER, project=base.ABSENT, prefix=prefix):
                self.assertEqual(401, answer.status_int, str(step))


class TestEveryRouteWithKeystone(TestEveryRouteWithTokens):
    """And where Keystone says who it is."""

    settings = {'admin_mode': True, 'auth_strategy': 'keystone'}

    def setUp(self):
        super().setUp()
        self.issuer = issuer.Issuer()
        self.use(services.Service(self.make_driver(), issuer=self.issuer, **self.settings))

    def make_token(self, project):
        return self.issuer.make(project)


@base.in_versions('1', '1.1', '2')
class TestInternalQueues(base.ApiTestCase):
    """The queues that the service keeps for itself have no name that a client could say."""

    settings = {'admin_mode': True}

    def setUp(self):
        super().setUp()
        for project in ('', 'p'):
            key = queues.QueueKey(queues.INTERNAL, project, 'private')
            self.service.services.queues.create(key, {'secret': 'x'})

    def test_no_header_leads_there(self):
        for project in ('internal', 'p', 'internal:', 'internal/p', '-', '*', ' '):
            self.assertEqual(([], None), self.queue_page('/queues?detailed=true', project=project))
            self.assertNotIn('secret', self.get('/queues/private', project=project, status=base.ANY).text)

    def test_no_missing_header_leads_there(self):
        self.version = '1'
        self.assertEqual(([], None), self.queue_page(project=base.ABSENT))
        self.get('/queues/private', project=base.ABSENT, status=404)

    def test_no_url_leads_there(self):
        for project in ('internal', 'p', 'internal%2Fp', '%20', 'internal%3A'):
            answer = self.get(f'/{project}/queues?detailed=true', project=base.ABSENT, status=base.ANY)
            self.assertNotIn('private', answer.text)

    def test_they_are_not_among_the_projects(self):
        self.version = '2'
        self.assertEqual([], self.get('/projects').json['projects'])
        self.assertEqual(0, self.get('/projects/p').json['queues'])

    def test_no_body_leads_there(self):
        self.version = '2'
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'private'})
        self.post_messages(1)
        self.release(self.claim()[0])
        self.claim()
        self.assertEqual([1], self.list_bodies('private'))
        self.assertNotIn('secret', self.metadata('private'))


class TestNoProject(base.ApiTestCase):
    """v1 without a project is a namespace of its own."""

    version = '1'

    def test_its_queues_are_its_own(self):
        self.put('/queues/demo', project=base.ABSENT, status=201)
        self.put('/queues/demo', status=201)
        [path] = self.post_messages(1, project=base.ABSENT)
        self.assertEqual((0, 0, 0), self.counts())
        self.get(path, status=404)
        self.get(path, project=base.ABSENT, status=200)
        self.delete('/queues/demo', status=204)
        self.assertEqual((0, 1, 1), self.counts(project=base.ABSENT))

    def test_no_project_leads_there(self):
        self.put('/queues/demo', project=base.ABSENT, status=201)
        for project in ('shared', ' ', 'none', 'None', 'null', '0', '-'):
            self.assertEqual(([], None), self.queue_page(project=project))
