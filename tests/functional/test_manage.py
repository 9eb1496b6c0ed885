"""queueservice-manage as an operator meets it."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

import testtools

from queueservice import bootstrap
from queueservice.cmd import manage
from queueservice.storage.drivers.sqlite import driver as sqlite
from tests.fixtures import mongodb


class ManageTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def make_environment(self, environment):
        variables = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
        return {**variables, 'XDG_STATE_HOME': str(self.folder), **environment}

    def run_command(self, *words, **environment):
        """(exit status, standard output, standard error)"""
        ended = subprocess.run(
            [sys.executable, '-m', 'queueservice.cmd.manage', *words],
            env=self.make_environment(environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def run_manage(self, *words, **environment):
        """The same from a child of this process, which has imported everything."""
        with tempfile.TemporaryFile('w+') as output, tempfile.TemporaryFile('w+') as errors:
            child = os.fork()
            if child == 0:
                _become_manage(words, self.make_environment(environment), output, errors)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            errors.seek(0)
            return os.waitstatus_to_exitcode(status), output.read(), errors.read()

    def test_a_file_is_prepared_and_then_passes_the_check(self):
        path = self.folder / 'queueservice' / 'queueservice.db'

        status, said, _ = self.run_command('storage', 'check')
        self.assertEqual(1, status)
        self.assertRegex(said, r'\AFAILED  connection: sqlite:///.*\n\Z')
        self.assertFalse(path.exists())

        self.assertEqual((0, f'sqlite:///{path} is prepared.\n', ''), self.run_command('storage', 'prepare'))

        expected = f'ok      connection: sqlite:///{path} takes writes.\n'
        self.assertEqual((0, expected, ''), self.run_command('storage', 'check'))

    def test_memory_passes_the_check(self):
        status, said, _ = self.run_manage('storage', 'check', OS_STORAGE__DRIVER='memory')
        self.assertEqual((0, 'ok  '), (status, said[:4]))

    def test_a_mongodb_is_prepared_and_then_passes_the_check(self):
        named = {'OS_STORAGE__DRIVER': 'mongodb', 'OS_STORAGE__URI': mongodb.locate(mongodb.make_name(self))}

        status, said, _ = self.run_manage('storage', 'check', **named)
        self.assertEqual(1, status)
        self.assertEqual(['ok', 'ok', 'ok', 'FAILED', 'ok'], [line.split()[0] for line in said.splitlines()])
        self.assertIn('Run queueservice-manage storage prepare.', said)

        self.assertEqual((0, ''), self.run_manage('storage', 'prepare', **named)[::2])

        status, said, _ = self.run_manage('storage', 'check', **named)
        self.assertEqual((0, {'ok'}), (status, {line.split()[0] for line in said.splitlines()}))

    def test_what_cannot_be_prepared_is_said_in_one_line(self):
        file = self.folder / 'mongodb.conf'
        file.write_text('[storage]\ndriver = mongodb\nuri = mongodb://somebody:secret@127.0.0.1:1/?w=1\n')

        status, said, refusal = self.run_manage('--config-file', str(file), 'storage', 'prepare')

        self.assertEqual((1, ''), (status, said))
        self.assertRegex(
            refusal, r'\Aqueueservice-manage: mongodb://127\.0\.0\.1:1/queueservice does not answer: .*\n\Z'
        )
        self.assertNotIn('secret', refusal)

    def test_it_makes_encryption_keys(self):
        first, second = (self.run_manage('encryption', 'key') for _ in range(2))
        self.assertEqual((0, ''), first[::2])
        self.assertRegex(first[1], r'\A[0-9a-f]{8}:[A-Za-z0-9+/]{43}=\n\Z')
        self.assertNotEqual(first, second)
        self.assertRegex(self.run_manage('encryption', 'key', '--id', 'k1')[1], r'\Ak1:')
        status, said, refusal = self.run_manage('encryption', 'key', '--id', 'a:b')
        self.assertEqual((2, ''), (status, said))
        self.assertRegex(refusal, r'\Aqueueservice-manage: .*\n\Z')
        self.assertNotRegex(refusal, '[A-Za-z0-9+/]{43}')

    def test_mistakes_are_said_in_one_line(self):
        for words, environment, expected in (
            (('storage', 'check'), {'OS_STORAGE__DRIVER': 'typo'}, 'no storage driver "typo"'),
            (('storage', 'check'), {'OS_STORAGE__DRIVER': 'mongodb'}, 'Write mongodb://HOST:PORT'),
            (('--config-file', '/nonexistent/file', 'storage', 'check'), {}, '/nonexistent/file'),
            (('--config-file', '/etc', 'storage', 'check'), {}, '/etc: Is a directory'),
            (('token', 'create', '--project', 'p', '--timezone', 'Atlantis'), {}, 'timezone.*no time zone "Atlantis"'),
        ):
            status, said, refusal = self.run_manage(*words, **environment)
            self.assertEqual((2, ''), (status, said))
            self.assertRegex(refusal, rf'\Aqueueservice-manage: .*{expected}.*\n\Z')

    def test_tokens_are_made_listed_and_revoked_in_a_file(self):
        self.make_list_and_revoke_tokens()

    def test_tokens_are_made_listed_and_revoked_in_a_mongodb(self):
        uri = mongodb.locate(mongodb.make_name(self))
        self.make_list_and_revoke_tokens(OS_STORAGE__DRIVER='mongodb', OS_STORAGE__URI=uri)

    def make_list_and_revoke_tokens(self, **environment):
        def manage(*words):
            status, said, log = self.run_manage('token', *words, **environment)
            self.assertEqual((0, []), (status, [line for line in log.splitlines() if 'queueservice.audit' not in line]))
            return said.splitlines()

        *_, token = manage('create', '--project', 'demo')
        self.assertRegex(token, r'\Aqs_[A-Za-z0-9_-]{43}\Z')
        options = ('--role', 'Reader', '--role', 'janitor', '--name', 'the night shift', '--ttl', '3600')
        first_line, *_, other = manage('create', '--project', 'other', *options)
        self.assertNotEqual(token, other)
        self.assertRegex(first_line, r'\AToken [0-9a-f]{16} opens project other as reader, janitor until 2\S+Z\.\Z')

        listed = manage('list')
        self.assertNotIn(token, str(listed))
        rows = [line.split('\t') for line in listed]
        self.assertEqual([['demo', 'member'], ['other', 'reader,janitor']], [row[1:3] for row in rows])
        self.assertEqual(['for ever'], rows[0][4:])
        self.assertEqual('the night shift', rows[1][5])
        self.assertEqual(listed[1:], manage('list', '--project', 'other'))

        self.assertIn('is revoked', manage('revoke', rows[0][0])[0])
        self.assertEqual(listed[1:], manage('list'))
        status, _, refusal = self.run_manage('token', 'revoke', rows[0][0], **environment)
        self.assertEqual(1, status)
        self.assertIn('There is no token', refusal)

    def test_a_token_says_how_its_project_goes_on(self):
        for words in (('--misfire', 'skip', '--timezone', 'Asia/Tokyo'), ('--timezone', '', '--outbound-queue', 'sms')):
            status, _, log = self.run_manage('token', 'create', '--project', 'demo', *words)
            self.assertEqual(0, status, log)
        driver = sqlite.Driver(self.folder / 'queueservice' / 'queueservice.db')
        self.addCleanup(driver.close)
        rules = bootstrap.build_services(driver).project_rules.find('demo')
        self.assertEqual(('UTC', 'skip', 'sms'), (rules.timezone, rules.misfire, rules.outbound_queue))

    def test_tokens_are_in_the_audit_log(self):
        _, said, made = self.run_command('token', 'create', '--project', 'demo')
        first_line, *_, token = said.splitlines()
        token_id = first_line.split()[1]
        _, _, revoked = self.run_manage('token', 'revoke', token_id)
        for line, action in ((made, 'token.create'), (revoked, 'token.revoke')):
            self.assertNotIn(token, line)
            entry = json.loads(line[line.index('{') :])
            self.assertEqual((action, token_id), (entry['action'], entry['token']))
            self.assertEqual(f'uid {os.getuid()} of this machine', entry['user'])

    def test_a_token_itself_is_stored_nowhere(self):
        _, said, _ = self.run_manage('token', 'create', '--project', 'demo')
        token = said.split()[-1]
        kept = b''.join(path.read_bytes() for path in (self.folder / 'queueservice').iterdir() if path.is_file())
        self.assertIn(hashlib.sha256(token.encode()).hexdigest().encode(), kept)
        self.assertNotIn(token.encode(), kept)

    def test_the_memory_driver_keeps_no_tokens(self):
        for verb in (('create', '--project', 'p'), ('list',), ('revoke', 'x')):
            status, said, refusal = self.run_manage('token', *verb, OS_STORAGE__DRIVER='memory')
            self.assertEqual((2, ''), (status, said))
            self.assertRegex(refusal, r'\Aqueueservice-manage: .* Use sqlite or mongodb\.\n\Z')

    def test_what_cannot_be_a_token_is_not_made(self):
        for words in (
            ('--project', ''),
            ('--project', 'a,b'),
            ('--project', 'p', '--role', 'a b'),
            ('--project', 'p', '--name', 'x' * 256),
            ('--project', 'p', '--name', 'a\tb'),
            ('--project', 'p', '--ttl', '0'),
        ):
            status, said, refusal = self.run_manage('token', 'create', *words)
            self.assertEqual((2, ''), (status, said))
            self.assertEqual(1, len(refusal.splitlines()), refusal)
        self.assertEqual((0, '', ''), self.run_manage('token', 'list'))

    def test_a_noun_and_a_verb_are_needed(self):
        for words in ((), ('storage',), ('storage', 'typo'), ('typo',)):
            status, _, refusal = self.run_manage(*words)
            self.assertEqual(2, status)
            self.assertIn('usage: queueservice-manage', refusal)


def _become_manage(words, environment, output, errors):
    """Be the command from now on, and end."""
    status = None
    try:
        sys.stdout, sys.stderr = output, errors
        os.environ.clear()
        os.environ.update(environment)
        status = manage.main(words)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        output.flush()
        errors.flush()
        os._exit(70 if status is None else status)
