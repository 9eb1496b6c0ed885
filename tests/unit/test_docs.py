"""What is written about the service is true of the service: options, rules, routes, entry points, examples."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys
import tempfile
import time
from unittest import mock

import testtools
from oslo_config import cfg, types
from oslo_policy import policy

from queueservice.api import dialects, openapi, policies, routes
from queueservice.conf import opts, sample
from queueservice.delivery import base, webhook
from queueservice.model import deliveries, notifications, subscriptions
from tests.fixtures import raw_receiver, server

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / 'doc' / 'source').rglob('*.rst'))
REFERENCE = sorted((ROOT / 'api-ref' / 'source').glob('*.inc'))

_METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')
_ENTRY = re.compile(r'^\.\. rest_method:: (\w+) (\S+)\n(?:\n:Versions: (.+)\n)?', re.MULTILINE)


def load(**variables) -> dict:
    """The value of every option on a machine without files, and with only these environment variables."""
    with tempfile.NamedTemporaryFile(suffix='.conf') as empty, mock.patch.dict(os.environ, variables, clear=True):
        conf = opts.load([empty.name])
        # Options read the environment when they are asked for: ask now.
        return {(group, option.dest): _value(conf, group, option.dest) for group, option in options()}


def options():
    """Each option with the name of its group."""
    for group, listed in opts.list_opts():
        for option in listed:
            yield 'DEFAULT' if group is None else group.name, option


def served(api):
    """The routes of an API: (method, path) -> resource."""
    return {
        (method, route.path): route.resource
        for route in routes.served(api)
        for method in _METHODS
        if hasattr(route.resource, f'on_{method.lower()}')
    }


def _value(conf, group, name):
    return (conf if group == 'DEFAULT' else conf[group])[name]


class TestAuditLog(testtools.TestCase):
    def test_every_action_is_explained(self):
        code = (ROOT / 'queueservice').rglob('*.py')
        actions = {
            found for path in code for found in re.findall(r"audit\(\s*(?:\w+,\s*)?'([a-z.]+)'", path.read_text())
        }
        page = (ROOT / 'doc' / 'source' / 'admin' / 'logging.rst').read_text()
        self.assertIn('subscription.redeliver', actions)
        self.assertEqual(set(), {action for action in actions if f'``{action}``' not in page})


class TestOptions(testtools.TestCase):
    def test_every_option_is_explained_in_sentences(self):
        for group, option in options():
            self.assertRegex(option.help or '', r'^[A-Z].*\.$', f'[{group}] {option.dest}')

    def test_every_option_is_on_the_page_of_options(self):
        # The page lists what the entry point lists, at build time.
        page = (ROOT / 'doc' / 'source' / 'configuration' / 'options.rst').read_text()
        self.assertRegex(page, r'\.\. show-options::\n\n +queueservice\n')

    def test_every_option_is_in_the_sample_file(self):
        written = (ROOT / 'etc' / 'queueservice' / sample.CONFIGURATION).read_text()
        sections = dict(re.findall(r'^\[([^\]]+)\]\n(.*?)(?=^\[|\Z)', written, re.MULTILINE | re.DOTALL))
        for group, option in options():
            self.assertRegex(sections[group], rf'(?m)^#{option.dest} =( |$)', f'[{group}] {option.dest}')

    def test_sample_configuration_is_current(self):
        written = (ROOT / 'etc' / 'queueservice' / sample.CONFIGURATION).read_text()
        self.assertEqual(sample.configuration(), written, 'Run tox -e genconfig.')

    def test_every_option_can_be_set_from_the_environment(self):
        defaults = load()
        for group, option in options():
            default = defaults[group, option.dest]
            text, expected = _another(option, default)
            values = load(**{opts.environment_name(group, option.dest): text})
            self.assertEqual(defaults | {(group, option.dest): expected}, values)

    def test_options_that_pages_mention_exist(self):
        conf = cfg.ConfigOpts()
        opts.register(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        policy.Enforcer(conf)  # registers its own
        for page in PAGES:
            for group, name in re.findall(r'``\[([\w:]+)\] (\w+)', page.read_text()):
                try:
                    _value(conf, group, name)
                except cfg.NoSuchOptError:
                    self.fail(f'{page.name} mentions [{group}] {name}, which does not exist.')

    def test_environment_variables_that_pages_mention_exist(self):
        known = {opts.environment_name(group, option.dest) for group, option in options()}
        for page in PAGES:
            for name in re.findall(r'\bOS_[A-Z_]+__[A-Z_]+\b', page.read_text()):
                self.assertIn(name, known, page.name)


class TestPolicy(testtools.TestCase):
    def test_sample_policy_is_current(self):
        written = (ROOT / 'etc' / 'queueservice' / sample.POLICY).read_text()
        self.assertEqual(sample.policy(), written, 'Run tox -e genconfig.')

    def test_every_rule_names_the_routes_that_it_guards(self):
        guarded = {
            (resource.policies[method], method, dialects.APIS[api].path + path)
            for api in ('2', *routes.FAMILIES)
            for (method, path), resource in served(api).items()
        }
        guarded.add(('home:get', 'GET', '/v2/'))
        named = {
            (rule.name, operation['method'], operation['path'])
            for rule in policies.list_rules()
            for operation in rule.operations
        }
        # HEAD of a route is as its GET.
        self.assertEqual({entry for entry in guarded if entry[1] != 'HEAD'}, named)


class TestReference(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.entries = set()
        for page in REFERENCE:
            for method, path, versions in _ENTRY.findall(page.read_text()):
                path = path.partition('?')[0]
                if versions:
                    path = re.sub(r'^/v[0-9.]+', '', path)
                for version in versions.split(', ') if versions else ['']:
                    self.entries.add((version, method, path))

    def test_every_route_has_an_entry(self):
        expected = {(version, *route) for version in routes.ORDER for route in served(version)}
        expected |= {(version, 'GET', '/') for version in routes.ORDER}
        expected |= {
            ('', method, route.path)
            for route in routes.PUBLIC_ROUTES
            for method in _METHODS
            if hasattr(route.resource, f'on_{method.lower()}')
        }
        for name in routes.FAMILIES:
            expected |= {('', method, dialects.APIS[name].path + path) for method, path in served(name)}
        expected |= {('', 'GET', '/'), ('', 'GET', openapi.PATH), ('', 'GET', '/v3/')}
        self.assertEqual(expected, self.entries)


class TestHardening(testtools.TestCase):
    """What the page on security says of the unit and the container."""

    ETC = ROOT / 'etc' / 'queueservice'

    def test_the_units_take_all_rights_away(self):
        for name in ('server', 'worker'):
            self.check_unit((self.ETC / f'queueservice-{name}.service').read_text().splitlines())

    def check_unit(self, lines):
        for line in (
            'User=queueservice',
            'UMask=0077',
            'CapabilityBoundingSet=',
            'MemoryDenyWriteExecute=yes',
            'NoNewPrivileges=yes',
            'PrivateDevices=yes',
            'PrivateTmp=yes',
            'PrivateUsers=yes',
            'ProtectHome=yes',
            'ProtectProc=invisible',
            'ProtectSystem=strict',
            'RestrictNamespaces=yes',
            'SystemCallFilter=@system-service',
            'SystemCallFilter=~@privileged @resources',
        ):
            self.assertIn(line, lines)

    def test_the_container_is_not_root(self):
        text = (self.ETC / 'Containerfile').read_text()
        self.assertRegex(text, r'(?m)^USER 10001$')
        for copied in re.findall(r'(?m)^COPY ((?:\S+ )+)/source', text):
            for name in copied.split():
                self.assertTrue((ROOT / name).exists(), name)

    def test_reports_go_nowhere_that_does_not_exist(self):
        self.assertNotIn('@', (ROOT / 'SECURITY.rst').read_text())


class TestEntryPoints(testtools.TestCase):
    def test_every_entry_point_loads(self):
        entries = [
            entry
            for entry in importlib.metadata.distribution('queueservice').entry_points
            if entry.value.startswith('queueservice.')
        ]
        self.assertNotEqual([], entries)
        for entry in entries:
            self.assertTrue(callable(entry.load()), entry.name)


class TestCommands(testtools.TestCase):
    def test_commands_that_send_json_say_so(self):
        # curl would call it a form, which is refused.
        found = 0
        for page in PAGES:
            for command in re.findall(r'^ +(?:\$ )?curl (.*)$', page.read_text().replace('\\\n', ' '), re.MULTILINE):
                if re.search(r" -d '[{\[]", command):
                    found += 1
                    self.assertIn('Content-Type: application/json', command, page.name)
        self.assertNotEqual(0, found)


class TestExamples(testtools.TestCase):
    FOLDER = ROOT / 'doc' / 'source' / 'user' / 'examples'
    CLIENTS = {'with_zaqarclient.py': "{'order': 1201}\n", 'with_openstacksdk.py': "{'order': 1202}\n"}
    RECEIVERS = ('print_what_comes.py', 'receive.py', 'verify_by_hand.py')
    COURSE = 'send_a_course.py'

    SECRET = b's' * 32
    BODY = b'{"Message_Type":"Notification","body":{"order":1201}}'

    def test_every_example_is_tested(self):
        self.assertEqual(
            sorted((*self.CLIENTS, *self.RECEIVERS, self.COURSE)), sorted(path.name for path in self.FOLDER.iterdir())
        )

    def test_the_page_for_receivers_has_all_that_arrives(self):
        page = (ROOT / 'doc' / 'source' / 'user' / 'receiving.rst').read_text()
        fields = re.findall(r'^   \* - ``(\w+)``$', page, re.MULTILINE)
        self.assertEqual(sorted(notifications.Notification.__struct_fields__), sorted(fields))
        with raw_receiver.Receiver() as receiver:
            self.send(receiver.url, self.SECRET, 'first')
        shown = re.search(r'POST /hook HTTP/1.1\n(.*?)\n\n', page, re.DOTALL)[1]
        self.assertEqual(list(receiver.requests[0].headers), re.findall(r'^ +([\w-]+): ', shown, re.MULTILINE))

    def test_examples_of_clients_run(self):
        with server.Server(OS_STORAGE__DRIVER='memory') as service:
            for name, expected in self.CLIENTS.items():
                text = (self.FOLDER / name).read_text().replace('http://127.0.0.1:8888', service.url)
                done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, timeout=60)
                self.assertEqual((0, expected), (done.returncode, done.stdout), done.stderr)

    def test_the_course_arrives(self):
        text = (self.FOLDER / self.COURSE).read_text()
        options = {'OS_STORAGE__DRIVER': 'memory', 'OS_DELIVERY__ALLOWED_NETWORKS': '127.0.0.0/8'}
        with raw_receiver.Receiver() as receiver, server.Server(**options) as service:
            text = text.replace('http://127.0.0.1:8888', service.url).replace('http://127.0.0.1:8080/', receiver.url)
            done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, timeout=60)
            self.assertRegex(done.stdout, r'^runs next at \d{4}-\S+T09:00:00.000000Z\ncompleted: True\n$', done.stderr)
            deadline = time.monotonic() + 10
            while len(receiver.requests) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
        bodies = [json.loads(request.body)['body'] for request in receiver.requests]
        self.assertEqual({'Welcome!', 'How are you?', 'Goodbye.'}, {body['content'] for body in bodies})
        self.assertEqual({'+27820001001'}, {body['to_addr'] for body in bodies})
        page = (ROOT / 'doc' / 'source' / 'user' / 'staged.rst').read_text()
        shown = json.loads(re.search(r'code-block:: json\n\n(.*?\n   \})', page, re.DOTALL)[1])
        self.assertIn(shown, bodies)

    @contextlib.contextmanager
    def receiving(self, name, **replaced):
        """An example that receives, as a process: it, and where it listens. The first delivery has come."""
        port = server.free_port()
        text = (self.FOLDER / name).read_text().replace('8080', str(port))
        for word, value in replaced.items():
            self.assertIn(word, text)
            text = text.replace(word, value)
        command = [sys.executable, '-c', text]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            self.addCleanup(process.kill)
            target = f'http://127.0.0.1:{port}/'
            while self.send(target, self.SECRET, 'first').error == 'connection':
                self.assertIsNone(process.poll())
                time.sleep(0.05)
            yield process, target

    def test_the_receiver_of_the_tutorial_prints_what_comes(self):
        with self.receiving('print_what_comes.py') as (process, _):
            process.terminate()
            self.assertEqual(self.BODY + b'\n', process.stdout.read())

    def test_the_example_of_a_receiver_takes_each_delivery_once(self):
        secret = subscriptions.show_secret(self.SECRET)
        question = self.BODY.replace(b'Notification', b'SubscriptionConfirmation').replace(b'"body"', b'"else"')
        with self.receiving('receive.py', **{'whsec_...': secret}) as (process, target):
            sent = [('first', self.SECRET), ('second', b'o' * 32), ('third', self.SECRET), ('third', self.SECRET)]
            answers = [self.send(target, secret, delivery_id).status for delivery_id, secret in sent]
            answers.append(self.send(target, self.SECRET, 'fourth', body=question).status)
            process.terminate()
            printed = process.stdout.read().decode()
        self.assertEqual([204, 401, 204, 204, 204], answers)
        self.assertEqual("Notification {'order': 1201}\n" * 2 + 'SubscriptionConfirmation None\n', printed)

    def test_the_example_of_verifying_by_hand_verifies(self):
        verify = runpy.run_path(str(self.FOLDER / 'verify_by_hand.py'))['verify']
        secret = subscriptions.show_secret(self.SECRET)
        with raw_receiver.Receiver() as receiver:
            self.send(receiver.url, self.SECRET, 'first')
            self.send(receiver.url, (b'n' * 32, self.SECRET), 'second')
            self.send(receiver.url, b'o' * 32, 'third')
            self.send(receiver.url, self.SECRET, 'fourth', now=time.time() - 400)
        good, rotated, forged, old = receiver.requests
        verify(secret, good.headers, good.body)
        verify(secret, rotated.headers, rotated.body)
        for bad in (
            forged,
            old,
            good._replace(body=b'{}'),
            good._replace(headers=good.headers | {'webhook-id': 'another'}),
        ):
            self.assertRaises(ValueError, verify, secret, bad.headers, bad.body)

    def send(self, target, secrets, delivery_id, now=None, body=BODY):
        sender = webhook.Webhook(deliveries.Rules(allowed_networks=('127.0.0.0/8',)))
        self.addCleanup(sender.close)
        secrets = (secrets,) if isinstance(secrets, bytes) else secrets
        return sender.send(base.Push(target, body, delivery_id, now or time.time(), secrets))


def _another(option, default):
    """A value that an option does not have by default: as it is written, and as it is read."""
    if isinstance(option.type, types.Boolean):
        return str(not default).lower(), not default
    if isinstance(option.type, types.Integer):
        number = (default or option.type.min) + 1
        return str(number), number
    if isinstance(option.type, types.List):
        text, value = _another_item(option.type.item_type)
        return text, [value]
    if option.type.choices:
        other = next(choice for choice in option.type.choices if choice != default)
        return other, other
    return 'another', 'another'


def _another_item(kind):
    if isinstance(kind, types.Integer):
        return '1', 1
    return (next(iter(kind.choices)),) * 2 if getattr(kind, 'choices', None) else ('1', '1')
