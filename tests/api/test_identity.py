"""Who asks: tokens under every strategy, and what headers may say beside them."""

from tests.api import base
from tests.fixtures import tables

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
