"""Who may do what: the rules of the policy, in every version."""

import itertools
import tempfile

from oslo_config import cfg
from oslo_policy import opts

from queueservice.api import app, policies, routes
from queueservice.api.middleware import policy
from queueservice.api.resources import base as resources
from tests.api import base

WRITES = (
    ('PUT', '/queues/demo', b''),
    ('DELETE', '/queues/demo', b''),
    ('DELETE', '/queues/demo/messages?ids=abc', b''),
    ('DELETE', '/queues/demo/messages/abc', b''),
    ('POST', '/queues/demo/claims', b'{"ttl":60,"grace":60}'),
    ('PATCH', '/queues/demo/claims/abc', b'{"ttl":60}'),
    ('DELETE', '/queues/demo/claims/abc', b''),
)
READS = (
    ('GET', '/'),
    ('GET', '/queues'),
    ('GET', '/queues/demo'),
    ('GET', '/queues/demo/stats'),
    ('GET', '/queues/demo/messages'),
    ('GET', '/queues/demo/messages/abc'),
    ('GET', '/queues/demo/claims/abc'),
)


@base.in_versions('1', '1.1', '2')
class TestRoles(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def ask(self, roles, method, path, body=b'', status=base.ANY):
        return self.request(method, path, body, headers={'X-Roles': roles}, status=status)

    def writes(self):
        post = b'[{"ttl":60,"body":1}]' if self.version == '1' else b'{"messages":[{"body":1}]}'
        return (*WRITES, ('POST', '/queues/demo/messages', post))

    def test_readers_read(self):
        for method, path in READS:
            self.assertIn(self.ask('reader', method, path).status_int, (200, 204, 404))

    def test_readers_change_nothing(self):
        for method, path, body in self.writes():
            answer = self.ask('reader', method, path, body, status=403)
            self.assertEqual('Not authorized', answer.json['title'])
            self.assertIn('policy rule "', answer.json['description'])
        self.assertEqual((0, 0, 0), self.counts())

    def test_members_and_admins_do_both(self):
        for roles in ('member', 'admin', 'Member', ' MEMBER , other'):
            for method, path in READS:
                self.assertIn(self.ask(roles, method, path).status_int, (200, 204, 404))
            for method, path, body in self.writes():
                self.assertIn(self.ask(roles, method, path, body).status_int, (201, 204, 404))

    def test_nobody_without_a_role_does_either(self):
        for roles in ('', 'nobody', ',', 'members', 'x' * 5000):
            for method, path in READS:
                self.ask(roles, method, path, status=403)
            for method, path, body in self.writes():
                self.ask(roles, method, path, body, status=403)

    def test_whoever_says_nothing_is_a_member(self):
        self.put('/queues/other', status=201)

    def test_public_documents_need_no_role(self):
        for path in ('/', '/healthz', '/readyz', '/v1/health'):
            self.assertIn(self.app.get(path, headers={'X-Roles': 'nobody'}).status_int, (200, 204, 300))


class TestRules(base.ApiTestCase):
    def test_every_method_of_every_route_has_a_documented_rule(self):
        known = {rule.name for rule in policies.list_rules()}
        for route in itertools.chain.from_iterable(map(routes.served, routes.APIS)):
            for method in ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'):
                if hasattr(route.resource, f'on_{method.lower()}') and not issubclass(
                    route.resource, resources.PublicResource
                ):
                    self.assertIn(route.resource.policies.get(method), known, f'{method} {route.path}')

    def test_an_unguarded_method_is_not_served(self):
        class Unguarded(resources.Resource):
            policies = {'GET': 'queues:get'}

            def on_get(self, req, resp): ...

            def on_delete(self, req, resp): ...

        error = self.assertRaises(ValueError, policy.check_guarded, Unguarded(None, None), False)
        self.assertIn('Unguarded answers DELETE', str(error))

    def test_a_rule_that_nobody_documents_guards_nothing(self):
        class Misspelled(resources.Resource):
            policies = {'GET': 'queue:get'}

            def on_get(self, req, resp): ...

        self.assertRaises(ValueError, policy.check_guarded, Misspelled(None, None), False)


class PolicyFileTestCase(base.ApiTestCase):
    RULES = ''

    def setUp(self):
        super().setUp()
        rules = self.enterContext(tempfile.NamedTemporaryFile('w', suffix='.yaml'))
        rules.write(self.RULES)
        rules.flush()
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        opts.set_defaults(conf, policy_file=rules.name)
        self.app.app = app.build_app(self.service.services, policy_conf=conf)


class TestPolicyFile(PolicyFileTestCase):
    RULES = '"queues:delete": "role:janitor"\n"queues:get_all": "!"\n"messages:create": ""\n'

    def test_the_operator_s_rules_hold(self):
        self.put('/queues/demo', status=201)
        self.delete('/queues/demo', status=403)
        self.delete('/queues/demo', headers={'X-Roles': 'janitor'}, status=204)
        self.get('/queues', headers={'X-Roles': 'admin'}, status=403)
        self.post('/queues/demo/messages', b'{"messages":[{"body":1}]}', headers={'X-Roles': 'nobody'}, status=201)

    def test_they_hold_in_every_version(self):
        for version in ('1', '1.1'):
            self.version = version
            self.delete('/queues/demo', status=403)
            self.get('/queues', status=403)
