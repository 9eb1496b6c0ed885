"""Who asks: tokens under every strategy, and what headers may say beside them."""

from tests.api import base
from tests.fixtures import faulty, issuer, services, tables

OTHER = 'project-2'

#: Headers in which a client might claim to be somebody.
CLAIMS = {
    'X-Project-Id': OTHER,
    'X-Roles': 'admin',
    'X-Role': 'admin',
    'X-User': 'somebody',
    'X-User-Id': 'somebody',
    'X-User-Name': 'somebody',
    'X-User-Roles': 'admin',
    'X-Tenant': OTHER,
    'X-Tenant-Id': OTHER,
    'X-Tenant-Name': OTHER,
    'X-Project-Name': OTHER,
    'X-Domain-Id': OTHER,
    'X-Identity-Status': 'Confirmed',
    'X-Is-Admin-Project': 'True',
    'X-Service-Token': 'anything',
    'X-Service-Roles': 'admin',
    'X-Service-Project-Id': OTHER,
    'X-Service-Identity-Status': 'Confirmed',
    'X-Service-Catalog': '[]',
    'OpenStack-System-Scope': 'all',
}

#: How a token can be sent, and spelled.
WAYS = (
    ('as x auth token', 'X-Auth-Token', '{}'),
    ('as bearer', 'Authorization', 'Bearer {}'),
    ('as token', 'Authorization', 'Token {}'),
    ('in small letters', 'Authorization', 'bearer {}'),
    ('in capitals and with blanks', 'Authorization', '  TOKEN   {} '),
)


class IdentityTestCase(base.ApiTestCase):
    """Requests name no project of their own accord."""

    def make_token(self, project=base.PROJECT, roles=('member',), **options):
        return self.service.services.tokens.create(project, list(roles), **options)[1]

    def ask(self, token, method='GET', path='/queues', *, status=200, headers=None, project=base.ABSENT, **options):
        sent = {'X-Auth-Token': token, **(headers or {})}
        return self.request(method, path, status=status, project=project, headers=sent, **options)

    def check_answer(self, request, answer):
        super().check_answer(request, answer)
        if answer.status_int == 401:
            self.assertIn('Bearer realm="queueservice"', answer.headers['WWW-Authenticate'])
        else:
            self.assertNotIn('WWW-Authenticate', answer.headers)

    def assert_unauthorized(self, answer, *words):
        self.assertEqual('Unauthorized', answer.json['title'])
        self.assert_refused(answer, *words)


class TokensMixin(tables.Tables):
    """What holds for tokens of the service's own under every strategy."""

    @tables.each(*WAYS)
    def test_a_token_can_be_sent(self, header, form):
        value = form.format(self.make_token())
        self.put('/queues/demo', project=base.ABSENT, headers={header: value}, status=201)
        self.assertEqual(['demo'], self.names(self.make_token()))

    def names(self, token):
        return [queue['name'] for queue in self.ask(token).json['queues']]

    def test_it_works_in_every_version(self):
        token = self.make_token()
        self.ask(token, 'PUT', '/queues/demo', status=201)
        for self.version in ('1', '1.1', '2'):
            self.assertEqual(['demo'], self.names(token))

    def test_it_opens_its_own_project_only(self):
        self.ask(self.make_token(), 'PUT', '/queues/demo', status=201)
        self.assertEqual([], self.names(self.make_token(OTHER)))

    def test_its_project_wins_over_every_header(self):
        for self.version in ('1', '1.1', '2'):
            token = self.make_token(roles=['reader'])
            self.ask(token, 'PUT', f'/queues/q{self.version}', headers=CLAIMS, status=403)
            self.ask(self.make_token(), 'PUT', f'/queues/q{self.version}', headers=CLAIMS, status=201)
        self.version = '2'
        self.assertEqual(['q1', 'q1.1', 'q2'], self.names(self.make_token()))
        self.assertEqual([], self.names(self.make_token(OTHER)))

    def test_a_header_that_came_twice_says_as_little(self):
        self.ask(self.make_token(), project='project-1,project-2', status=200)

    def test_another_project_in_the_url_is_not_found(self):
        for self.version in ('1', '1.1', '2'):
            token = self.make_token(roles=['admin'])
            answer = self.ask(token, 'GET', f'/{OTHER}/queues', status=404)
            self.assert_refused(answer, 'no such project')
            self.ask(token, 'PUT', f'/{OTHER}/queues/demo', headers={'X-Project-Id': OTHER}, status=404)

    def test_its_own_project_in_the_url_is_found(self):
        token = self.make_token()
        self.ask(token, 'PUT', f'/{base.PROJECT}/queues/demo', status=201)
        [queue] = self.ask(token, path=f'/{base.PROJECT}/queues').json['queues']
        self.assertEqual(f'/v2/{base.PROJECT}/queues/demo', queue['href'])

    def test_roles_are_its_own(self):
        reader = self.make_token(roles=['reader'])
        self.ask(reader)
        self.ask(reader, 'PUT', '/queues/demo', status=403)
        self.ask(reader, 'PUT', '/queues/demo', headers={'X-Roles': 'admin'}, status=403)
        self.ask(self.make_token(roles=['Member']), 'PUT', '/queues/demo', status=201)
        self.ask(self.make_token(roles=['nobody']), status=403)

    def test_admins_alone_do_what_admins_do(self):
        for roles, status in ((['member'], 403), (['reader', 'member'], 403), (['admin'], 200)):
            self.ask(self.make_token(roles=roles), path='/projects', status=status, headers={'X-Roles': 'admin'})

    def test_a_revoked_token_is_refused_ten_seconds_later_at_the_latest(self):
        made, token = self.service.services.tokens.create(base.PROJECT, ['member'])
        self.ask(token)
        self.service.services.tokens.revoke(made.id)
        self.clock.advance(10)
        self.assert_unauthorized(self.ask(token, status=401), 'revoked')

    def test_an_expired_token_is_refused_at_once(self):
        token = self.make_token(ttl=5)
        self.clock.advance(4)
        self.ask(token)
        self.clock.advance(1)
        self.assert_unauthorized(self.ask(token, status=401), 'expired')

    def test_an_invention_is_refused(self):
        self.assert_unauthorized(self.ask('qs_' + 'a' * 43, project=base.PROJECT, status=401), 'not known')

    def test_public_routes_ask_for_nothing(self):
        for path in ('/', '/healthz', '/readyz', '/v1/health'):
            for headers in ({}, {'X-Auth-Token': 'qs_' + 'a' * 43}, {'X-Auth-Token': 'x'}):
                self.assertIn(self.app.get(path, headers=headers).status_int, (200, 204, 300))

    def test_unknown_routes_are_not_found_whoever_asks(self):
        for token in (self.make_token(), 'qs_' + 'a' * 43, 'x', ''):
            self.ask(token, path='/queues/demo/nowhere', status=404)


class TestTokensWithoutAuthentication(TokensMixin, IdentityTestCase):
    def test_without_one_the_headers_are_believed(self):
        self.put('/queues/demo', project=OTHER, status=201)
        self.put('/queues/demo', project=base.PROJECT, headers={'X-Roles': 'reader'}, status=403)

    @tables.each(
        ('for keystone', {'X-Auth-Token': 'user:project'}),
        ('of a proxy s users', {'Authorization': 'Basic dXNlcjpwYXNz'}),
        ('of somebody else', {'Authorization': 'Bearer eyJhbGciOi.x.y'}),
        ('that are empty', {'X-Auth-Token': '', 'Authorization': '', 'URL-Signature': ''}),
    )
    def test_they_are_believed_beside_credentials(self, headers):
        self.put('/queues/demo', headers=headers, status=201)
        self.put('/queues/other', headers={**headers, 'X-Roles': 'reader'}, status=403)


class RequiredMixin(tables.Tables):
    """What holds where everybody must authenticate."""

    @tables.each(
        ('nothing', {}),
        ('every claim there is', CLAIMS),
        ('empty credentials', {'X-Auth-Token': '', 'Authorization': '', 'URL-Signature': ''}),
        ('a blank', {'X-Auth-Token': ' '}),
        ('a password', {'Authorization': 'Basic dXNlcjpwYXNz'}),
        ('a scheme alone', {'Authorization': 'Bearer'}),
        ('no scheme', {'Authorization': 'qs_' + 'a' * 43}),
        ('a word', {'X-Auth-Token': 'anything'}),
        ('a token that is cut off', {'X-Auth-Token': 'qs_' + 'a' * 42}),
        ('a token and more', {'X-Auth-Token': 'qs_' + 'a' * 44}),
        ('a long token', {'X-Auth-Token': 'x' * 100_000}),
        ('no ascii', {'X-Auth-Token': 'qs_\xe9\xff'}),
        ('control characters', {'X-Auth-Token': 'a\x00\x7f'}),
        ('a service token alone', {'X-Service-Token': 'anything'}),
        ('the token in the wrong header', {'X-Token': 'anything'}),
    )
    def test_nobody_is_let_in_with(self, headers):
        for self.version in ('1', '1.1', '2'):
            answer = self.get('/queues', project=base.PROJECT, headers=headers, status=401)
            self.assert_unauthorized(answer, 'token')
            self.put('/queues/demo', project=base.PROJECT, headers=headers, status=401)
        self.assertEqual([], self.ask(self.make_token()).json['queues'])

    def test_two_tokens_at_once_are_none(self):
        both = f'{self.make_token()},{self.make_token(OTHER)}'
        self.assert_unauthorized(self.ask(both, status=401), 'alone')

    def test_it_is_looked_at_before_everything_else(self):
        for headers in ({'Accept': 'text/html'}, {'Content-Type': 'application/x-www-form-urlencoded'}):
            self.post('/queues/demo/messages', b'{', client=base.ABSENT, headers=headers, status=401)
        self.request('DELETE', '/queues', status=401)

    def test_the_administrator_s_mode_makes_nobody_an_administrator(self):
        self.ask(self.make_token(), path='/health', status=403)
        self.ask(self.make_token(roles=['admin']), path='/health', status=200)

    def test_v1_without_a_project_cannot_be_reached(self):
        self.version = '1'
        self.ask(self.make_token(), 'PUT', '/queues/demo', status=201)
        self.version = '2'
        self.assertEqual(['demo'], [queue['name'] for queue in self.ask(self.make_token()).json['queues']])


class TestTokensAlone(TokensMixin, RequiredMixin, IdentityTestCase):
    settings = {'auth_strategy': 'tokens', 'admin_mode': True}

    def test_the_answer_says_how_to_come_in(self):
        answer = self.get('/queues', status=401)
        self.assertEqual('Bearer realm="queueservice"', answer.headers['WWW-Authenticate'])
        self.assert_unauthorized(answer, 'X-Auth-Token', 'Authorization: Bearer')

    def test_a_request_pays_no_read_for_a_token_that_is_known(self):
        driver = faulty.Driver()
        self.use(services.Service(driver, **self.settings))
        token = self.make_token()
        self.ask(token, 'PUT', '/queues/demo', status=201)
        driver.calls.clear()
        self.ask(token, path='/queues/demo/stats')
        with_token = list(driver.calls)
        driver.calls.clear()
        self.use(services.Service(driver))
        self.get('/queues/demo', status=200)
        driver.calls.clear()
        self.get('/queues/demo/stats', status=200)
        self.assertEqual(driver.calls, with_token)

    def test_a_known_token_goes_on_while_the_storage_does_not_answer(self):
        driver = faulty.Driver()
        self.use(services.Service(driver, **self.settings))
        known, unknown = self.make_token(), self.make_token()
        self.ask(known, 'PUT', '/queues/demo', status=201)
        driver.fail('records.find')
        self.ask(known, path='/ping', status=204)
        self.ask(unknown, path='/ping', status=503)
        driver.heal()
        self.ask(unknown, path='/ping', status=204)

    def test_no_token_but_its_own_is_good(self):
        self.assert_unauthorized(self.ask(issuer.Issuer().make(base.PROJECT), status=401), 'not good')


class KeystoneTestCase(IdentityTestCase):
    settings = {'auth_strategy': 'keystone', 'admin_mode': True}

    def setUp(self):
        super().setUp()
        self.issuer = issuer.Issuer()
        self.use(services.Service(self.make_driver(), issuer=self.issuer, **self.settings))


class TestTokensBesideKeystone(TokensMixin, KeystoneTestCase):
    def test_keystone_is_not_asked_about_them(self):
        self.ask(self.make_token())
        self.ask('qs_' + 'a' * 43, status=401)
        self.issuer.is_down = True
        self.ask(self.make_token())
        self.assertEqual([], self.issuer.asked)


class TestKeystone(RequiredMixin, KeystoneTestCase):
    def make_token(self, project=base.PROJECT, roles=('member',), **options):
        return self.issuer.make(project, roles, **options)

    @tables.each(*WAYS)
    def test_a_token_can_be_sent(self, header, form):
        headers = {header: form.format(self.make_token())}
        self.put('/queues/demo', project=base.ABSENT, headers=headers, status=201)
        self.assertEqual(['demo'], [queue['name'] for queue in self.ask(self.make_token()).json['queues']])

    def test_the_answer_says_where_tokens_are_made(self):
        answer = self.get('/queues', status=401)
        self.assertIn('Keystone uri="https://keystone.example.com/v3"', answer.headers['WWW-Authenticate'])

    def test_the_project_of_the_token_wins_over_every_header(self):
        for self.version in ('1', '1.1', '2'):
            self.ask(self.make_token(roles=['reader']), 'PUT', '/queues/q', headers=CLAIMS, status=403)
            self.ask(self.make_token(), 'PUT', '/queues/q', headers=CLAIMS, status=None)
        self.assertEqual([], self.ask(self.make_token(OTHER)).json['queues'])

    def test_another_project_in_the_url_is_not_found(self):
        for self.version in ('1', '1.1', '2'):
            token = self.make_token(roles=['admin'])
            self.assert_refused(self.ask(token, path=f'/{OTHER}/queues', status=404), 'no such project')
            self.ask(token, 'PUT', f'/{OTHER}/queues/demo', headers={'X-Project-Id': OTHER}, status=404)
            self.ask(token, 'PUT', f'/{base.PROJECT}/queues/demo', status=None)

    @tables.each(
        ('admin', ['Admin'], 201),
        ('member', ['MEMBER'], 201),
        ('reader', ['reader'], 403),
        ('another role', ['creator'], 403),
        ('no role', [], 403),
    )
    def test_roles_are_taken_as_they_are(self, roles, status):
        self.ask(self.make_token(roles=roles), 'PUT', '/queues/demo', status=status)

    @tables.each(
        ('for no project', {}, 'scoped to a project'),
        ('for a domain', {'domain': {'id': 'default'}}, 'scoped to a project'),
        ('for the system', {'system': {'all': True}}, 'scoped to a project'),
    )
    def test_a_token_is_refused(self, more, words):
        token = self.make_token(None, ['admin'], **more)
        for self.version in ('1', '1.1', '2'):
            for headers in ({}, {'X-Project-Id': base.PROJECT}):
                self.assert_refused(self.ask(token, headers=headers, status=403), words)

    def test_a_token_that_access_rules_bind_is_refused(self):
        bound = {'id': 'x', 'access_rules': [{'method': 'GET', 'path': '/v2/queues', 'service': 'messaging'}]}
        for rules in (bound, {**bound, 'access_rules': []}):
            answer = self.ask(self.make_token(application_credential=rules), status=403)
            self.assert_refused(answer, 'access rules')
        self.ask(self.make_token(application_credential={**bound, 'access_rules': None}))

    def test_a_revoked_token_is_refused_five_minutes_later_at_the_latest(self):
        token = self.make_token()
        self.ask(token)
        self.issuer.revoke(token)
        self.clock.advance(299)
        self.ask(token)
        self.clock.advance(1)
        self.assert_unauthorized(self.ask(token, status=401), 'not good')

    def test_an_expired_token_is_refused_at_once(self):
        token = self.make_token(expires_at=self.clock() + 20)
        self.clock.advance(19)
        self.ask(token)
        self.clock.advance(1)
        self.ask(token, status=401)

    def test_a_token_that_keystone_says_has_expired_is_refused(self):
        self.ask(self.make_token(expires_at=self.clock() - 1), status=401)

    def test_keystone_is_asked_once(self):
        token = self.make_token()
        for _ in range(3):
            self.ask(token)
            self.ask('invented', status=401)
        self.assertEqual([token, 'invented'], self.issuer.asked)

    def test_keystone_is_not_asked_about_what_cannot_be_a_token(self):
        for token in ('a b', 'a,b', 'a;b', '{"a": 1}', '../x', 'x' * 5000, 'a?b', 'a\x7f'):
            self.ask(token, status=401)
        self.assertEqual(['../x'], self.issuer.asked)

    def test_while_keystone_is_down_only_known_tokens_are_good(self):
        known, unknown = self.make_token(), self.make_token()
        self.ask(known, 'PUT', '/queues/demo', status=201)
        self.issuer.is_down = True
        self.clock.advance(200)
        for _ in range(2):
            self.assertEqual(['demo'], [queue['name'] for queue in self.ask(known).json['queues']])
            for token in (unknown, 'invented'):
                answer = self.ask(token, headers=CLAIMS, status=503)
                self.assertIn('Keystone does not answer', answer.json['description'])
                self.assertEqual('2', answer.headers['Retry-After'])
            self.ask('', status=401, headers=CLAIMS)
        self.clock.advance(100)
        self.ask(known, status=503)
        self.issuer.is_down = False
        self.clock.advance(2)
        for token in (known, unknown):
            self.ask(token)

    @tables.each(
        ('whose project is a word', {'project': 'x'}),
        ('whose project has no id', {'project': {'name': 'x'}}),
        ('whose project is a number', {'project': {'id': 1}}),
        ('without a user', {'user': None}),
        ('with roles that are none', {'roles': [1]}),
        ('that ends some time', {'expires_at': 'soon'}),
        ('that never ends', {'expires_at': None}),
    )
    def test_a_token_opens_nothing(self, description):
        token = self.make_token()
        self.issuer.change(token, **description)
        self.ask(token, status=503)
        self.ask(self.make_token())

    def test_public_routes_need_no_keystone(self):
        self.issuer.is_down = True
        for path in ('/', '/healthz', '/readyz', '/v1/health'):
            self.assertIn(self.app.get(path, headers={'X-Auth-Token': 'x'}).status_int, (200, 204, 300))
