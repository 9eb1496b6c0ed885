"""Pre-signed URLs: made, used, and useless for everything else."""

import datetime

from queueservice.model import signatures
from tests.api import base, test_identity, test_policy, walk
from tests.fixtures import drivers, services, tables

_SECRET = b'a secret that only the service has'


def headers_of(share, **others):
    """What a request is sent with that uses a share."""
    return {
        'URL-Signature': share['signature'],
        'URL-Paths': ','.join(share['paths']),
        'URL-Methods': ','.join(share['methods']),
        'URL-Expires': share['expires'],
        **others,
    }


class SharesTestCase(walk.WalkTestCase):
    def share(self, queue='demo', status=200, **wanted):
        return self.post(f'/queues/{queue}/share', wanted, status=status)

    def text(self, seconds):
        """The time in so many seconds, as a share has it."""
        return datetime.datetime.fromtimestamp(self.clock() + seconds, datetime.UTC).strftime('%Y-%m-%dT%H:%M:%S')


class TestMaking(SharesTestCase):
    def test_by_default_messages_can_be_read_for_a_day(self):
        share = self.share().json
        self.assertEqual(
            {
                'paths': ['/v2/queues/demo/messages'],
                'methods': ['GET'],
                'project': base.PROJECT,
                'expires': self.text(86400),
                'signature': share['signature'],
            },
            share,
        )
        self.assertRegex(share['signature'], '^[0-9a-f]{64}$')

    def test_lists_are_sorted_and_have_everything_once(self):
        share = self.share(paths=['subscriptions', 'messages', 'claims', 'messages'], methods=['POST', 'GET', 'POST'])
        self.assertEqual(
            [f'/v2/queues/demo/{resource}' for resource in ('claims', 'messages', 'subscriptions')], share.json['paths']
        )
        self.assertEqual(['GET', 'POST'], share.json['methods'])

    def test_the_queue_need_not_exist_and_is_not_made(self):
        self.share('other')
        self.assertEqual(([], None), self.queue_page())

    def test_the_expiry_is_taken_in_utc_without_its_fraction(self):
        for suffix in ('', '.999999', 'Z', '.5+00:00'):
            self.assertEqual(self.text(60), self.share(expires=self.text(60) + suffix).json['expires'])
        self.share(expires=self.text(7 * 86400))

    @tables.each(
        ('nothing', b'', 'can not be empty'),
        ('a list', b'[]', 'must be a dict'),
        ('an unknown field', b'{"ttl":60}', '"ttl"'),
        ('a path of its own', b'{"paths":["/v2/queues/demo/messages"]}', 'messages, subscriptions, claims'),
        ('a path to itself', b'{"paths":["share"]}', 'messages, subscriptions, claims'),
        ('no paths', b'{"paths":[]}', '"paths"'),
        ('paths as a text', b'{"paths":"messages"}', '"paths"'),
        ('no methods', b'{"methods":[]}', '"methods"'),
        ('methods as a text', b'{"methods":"GET"}', '"methods"'),
        ('a method in small letters', b'{"methods":["get"]}', 'GET, HEAD, PUT'),
        ('a method that nobody knows', b'{"methods":["BREW"]}', 'GET, HEAD, PUT'),
        ('a number for an expiry', b'{"expires":1}', '"expires"'),
        ('a word for an expiry', b'{"expires":"never"}', '"expires"'),
        ('an expiry in another zone', b'{"expires":"2023-11-15T00:00:00+02:00"}', '"expires"'),
        ('a past expiry', b'{"expires":"2001-01-01T00:00:00"}', '"expires"'),
        ('an expiry far ahead', b'{"expires":"2101-01-01T00:00:00"}', '7 days'),
    )
    def test_it_is_not_made_of(self, raw, words):
        self.assert_refused(self.post('/queues/demo/share', raw, status=400), words)

    def test_readers_cannot_make_one(self):
        self.post('/queues/demo/share', {}, headers={'X-Roles': 'reader'}, status=403)

    def test_it_is_for_v2_alone(self):
        for version in ('1', '1.1'):
            self.version = version
            self.post('/queues/demo/share', {}, status=404)


class TestUsing(SharesTestCase):
    def setUp(self):
        super().setUp()
        self.fields = self.fill() | self.fill_sequences(base.PROJECT)

    def test_what_it_names_can_be_done(self):
        everything = headers_of(
            self.share(paths=['messages', 'claims'], methods=['GET', 'POST', 'PATCH', 'DELETE']).json
        )
        self.get('/queues/demo/messages?limit=1&echo=true', headers=everything, status=200)
        [path] = self.post_messages('shared', headers=everything)
        self.assertEqual('shared', self.get(path, headers=everything).json['body'])
        self.delete(path, headers=everything, status=204)
        claim, claimed = self.claim(headers=everything)
        self.assertNotEqual([], claimed)
        self.patch(claim, {'ttl': 60}, headers=everything, status=204)
        self.delete(claim, headers=everything, status=204)

    def test_every_other_route_and_method_is_404(self):
        share = headers_of(self.share(methods=['GET']).json)
        for _, step in walk.steps():
            self.version = step.version
            answer = self.request(
                step.method, step.asked.format(**self.fields), step.sent, headers=share, status=base.ANY
            )
            named = step.version == '2' and step.method == 'GET' and step.route.startswith('/queues/{queue_name}/mess')
            self.assertEqual(200 if named else 404, answer.status_int, f'{step}')

    def test_it_makes_no_other(self):
        share = headers_of(self.share(paths=list(signatures.RESOURCES), methods=list(signatures.METHODS)).json)
        self.post('/queues/demo/share', {}, headers=share, status=404)

    def test_no_header_makes_more_of_it(self):
        share = headers_of(self.share().json, **{'X-Roles': 'admin', 'X-User-Id': 'root', 'X-Auth-Token': 'x'})
        self.get('/queues/demo/messages', headers=share, status=200)
        self.get('/projects', headers=share, status=404)
        self.delete('/queues/demo/messages?pop=1', headers=share, status=404)
        share = headers_of(self.share().json, **{'X-HTTP-Method-Override': 'DELETE'})
        self.get('/queues/demo/messages', headers=share, status=200)

    def test_other_queues_are_404(self):
        share = headers_of(self.share().json)
        self.make_queue('demo2')
        for path in ('/queues/demo2/messages', '/queues/demo/messages2', '/queues/demo/messages/../claims/1'):
            self.get(path, headers=share, status=404)

    def test_a_path_is_decoded_once(self):
        share = headers_of(self.share().json)
        self.get('/queues/%64emo/messages', headers=share, status=200)
        self.get('/queues/%2564emo/messages', headers=share, status=404)
        self.get('/queues/demo%2Fmessages', headers=share, status=200)
        self.get('/queues/demo/messages%2F..%2F..%2Fother%2Fmessages', headers=share, status=404)

    def test_it_ends(self):
        share = headers_of(self.share(expires=self.text(60)).json)
        self.clock.advance(59)
        self.get('/queues/demo/messages', headers=share, status=200)
        self.clock.advance(1)
        self.get('/queues/demo/messages', headers=share, status=404)

    @tables.each(
        ('an expiry', {'URL-Expires': '2099-01-01T00:00:00'}),
        ('an expiry that is none', {'URL-Expires': 'never'}),
        ('no expiry', {'URL-Expires': ''}),
        ('methods', {'URL-Methods': 'DELETE,GET'}),
        ('no methods', {'URL-Methods': ''}),
        ('paths', {'URL-Paths': '/v2/queues/demo/claims,/v2/queues/demo/messages'}),
        ('a path above', {'URL-Paths': '/v2/queues'}),
        ('no paths', {'URL-Paths': ''}),
        ('a signature', {'URL-Signature': '0' * 64}),
        ('a signature outside ascii', {'URL-Signature': '\xff' * 64}),
        ('a project', {'X-Project-Id': 'project-2'}),
        ('a project that is none', {'X-Project-Id': 'a,b'}),
        ('no project', {'X-Project-Id': ''}),
        ('a line feed in the project', {'X-Project-Id': r'project-1\n2099-01-01T00:00:00'}),
    )
    def test_it_is_404_with_other(self, other):
        share = headers_of(self.share().json)
        self.get('/queues/demo/messages', headers=share, status=200)
        answer = self.get('/queues/demo/messages', headers={**share, **other}, status=404, lint=False)
        self.assertEqual(
            self.get('/queues/demo', headers=share, status=404).json, answer.json, 'The answer tells what was wrong.'
        )

    def test_a_project_in_the_url_is_the_same_or_404(self):
        share = headers_of(self.share().json)
        self.get(f'/{base.PROJECT}/queues/demo/messages', headers=share, status=200)
        self.get('/project-2/queues/demo/messages', headers=share, status=404)
        self.get('/project-2/queues/demo/messages', headers=share, project='project-2', status=404)

    def test_an_empty_signature_counts_as_none(self):
        share = headers_of(self.share().json) | {'URL-Signature': ''}
        self.get('/queues', headers=share, status=200)
        self.get('/queues', headers={**share, 'X-Roles': 'nobody'}, status=403)

    def test_the_other_headers_are_wanted_as_ever(self):
        share = headers_of(self.share().json)
        self.get('/queues/demo/messages', headers=share, client=base.ABSENT, status=400)
        self.get('/queues/demo/messages', headers={**share, 'Accept': 'text/html'}, status=406)

    def test_projects_may_have_any_name(self):
        for project in ('é😀', r'a\n2099-01-01T00:00:00', '%2e', 'a b'):
            project = project.encode().decode('latin-1')
            self.make_queue('named', project=project)
            share = self.post('/queues/named/share', {}, project=project).json
            self.assertEqual(project.encode('latin-1').decode(), share['project'])
            self.get('/queues/named/messages', headers=headers_of(share), project=project, status=200)
            self.get('/queues/named/messages', headers=headers_of(share), status=404)

    def test_public_routes_do_not_look_at_it(self):
        for path in ('/', '/healthz', '/readyz'):
            self.assertLess(self.app.get(path, headers={'URL-Signature': 'x'}, status='*').status_int, 400)


class TestWithTokens(SharesTestCase):
    settings = {'auth_strategy': 'tokens', 'admin_mode': True}

    def setUp(self):
        super().setUp()
        token = self.service.services.tokens.create(base.PROJECT, ['member'])[1]
        self.token = {'X-Auth-Token': token}
        self.share_headers = headers_of(
            self.post('/queues/demo/share', {'methods': ['GET', 'POST']}, headers=self.token).json
        )

    def test_it_takes_the_place_of_a_token(self):
        self.get('/queues/demo/messages', status=401)
        self.post_messages('hello', headers=self.share_headers)
        self.get('/queues/demo/messages', headers=self.share_headers, status=200)

    def test_a_token_beside_it_does_not_count(self):
        self.get('/queues', headers=self.token, status=200)
        self.get('/queues', headers={**self.token, **self.share_headers}, status=404)

    def test_an_empty_signature_takes_the_place_of_nothing(self):
        for path in ('/queues/demo/messages', '/queues'):
            self.get(path, headers={**self.share_headers, 'URL-Signature': ''}, status=401)

    def test_it_has_no_role_beside_member_and_no_other_project(self):
        for headers in ({'X-Roles': 'admin'}, {'X-Is-Admin-Project': 'True'}):
            self.get('/projects', headers={**self.share_headers, **headers}, status=404)
        self.get('/queues/demo/messages', headers=self.share_headers, project='project-2', status=404)
        self.get('/queues/demo/messages', headers=self.share_headers, project=base.ABSENT, status=404)

    def test_nobody_makes_one_without_a_token(self):
        self.post('/queues/demo/share', {}, status=401)


class TestWithKeystone(TestWithTokens, test_identity.KeystoneTestCase):
    settings = test_identity.KeystoneTestCase.settings


class TestRoles(test_policy.PolicyFileTestCase):
    RULES = '"messages:get_all": "role:admin"\n'

    def test_it_opens_nothing_that_members_may_not(self):
        share = headers_of(self.post('/queues/demo/share', {'methods': ['GET', 'POST']}).json)
        self.post_messages(1, headers=share)
        self.get('/queues/demo/messages', headers=share, status=403)
        self.get('/queues/demo/messages', headers={'X-Roles': 'admin'}, status=200)


class TestSecrets(SharesTestCase):
    def share_with(self, *secrets, driver=None):
        """A share that a service with these secrets makes; the suite speaks to that service from then on."""
        self.use(services.Service(driver or drivers.build_memory(), signing_secrets=secrets))
        return headers_of(self.share().json)

    def assert_good(self, share, *secrets, status=200, driver=None):
        self.use(services.Service(driver or drivers.build_memory(), signing_secrets=secrets))
        self.get('/queues/demo/messages', headers=share, status=status)

    def test_the_first_signs_and_each_is_good(self):
        share = self.share_with(_SECRET, b'old')
        self.assert_good(share, _SECRET)
        self.assert_good(share, b'new', _SECRET)
        self.assert_good(share, b'old', status=404)

    def test_without_one_the_store_keeps_it_for_all(self):
        driver = drivers.build_memory()
        share = self.share_with(driver=driver)
        self.assert_good(share, driver=driver)
        self.assert_good(share, status=404)
        self.assert_good(share, _SECRET, status=404, driver=driver)
