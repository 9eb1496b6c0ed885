"""Secrets of the configuration: who can read them, where they show up, and whether they can be guessed."""

import os
import pathlib
import tempfile
from unittest import mock

import testtools

from queueservice import bootstrap
from queueservice.conf import opts, secrecy
from queueservice.model import deliveries
from tests.fixtures import drivers, tables

_SECRET = '0123456789abcdef0123456789abcdef'


class SecrecyTestCase(tables.Tables, testtools.TestCase):
    def write(self, text, mode=0o644):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / 'queueservice.conf'
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def load(self, *paths, **variables):
        self.enterContext(mock.patch.dict(os.environ, variables, clear=True))
        return opts.load(paths)


class TestExposed(SecrecyTestCase):
    @tables.each(
        ('a signing secret', f'[signed_url]\nsecret_key = {_SECRET}\n', '[signed_url] secret_key'),
        ('an encryption key', f'[encryption]\nkeys = a:{_SECRET}\n', '[encryption] keys'),
        ('a password of the store', '[storage]\nuri = mongodb://u:secret@h/q\n', '[storage] uri'),
    )
    def test_a_file_that_all_can_read_is_named_for(self, text, name):
        path = self.write(text)
        [sentence] = secrecy.find_exposed(self.load(path))
        for words in (path, name, '0600'):
            self.assertIn(words, sentence)
        for secret in (_SECRET, 'u:secret'):
            self.assertNotIn(secret, sentence)

    def test_only_the_files_that_hold_secrets_count(self):
        plain = self.write('[server]\nport = 1\n[storage]\nuri = sqlite:////tmp/x\n')
        for mode in (0o600, 0o640):
            closed = self.write(f'[signed_url]\nsecret_key = {_SECRET}\n', mode)
            self.assertEqual([], secrecy.find_exposed(self.load(plain, closed)))

    def test_the_environment_is_no_file(self):
        plain = self.write('[server]\nport = 1\n')
        self.assertEqual([], secrecy.find_exposed(self.load(plain, OS_SIGNED_URL__SECRET_KEY=_SECRET)))

    def test_the_service_says_so_at_its_start(self):
        path = self.write(f'[signed_url]\nsecret_key = {_SECRET}\n')
        self.assertIn(path, bootstrap.find_risks(self.load(path))[0])


class TestGuessable(SecrecyTestCase):
    def conf(self, strategy, *secrets):
        return self.load(
            self.write(''), OS_DEFAULT__AUTH_STRATEGY=strategy, OS_SIGNED_URL__SECRET_KEY=','.join(secrets)
        )

    def test_short_secrets_are_taken_with_a_warning_where_nobody_authenticates(self):
        conf = self.conf('noauth', _SECRET, 'sekrit')
        self.assertEqual((_SECRET.encode(), b'sekrit'), bootstrap.read_signing_secrets(conf))
        [risk] = bootstrap.find_risks(conf)
        self.assertIn('[signed_url] secret_key', risk)
        self.assertNotIn('sekrit', risk)

    def test_they_are_refused_where_somebody_does(self):
        for strategy in ('tokens', 'keystone'):
            for secrets in (('sekrit',), (_SECRET, 'sekrit'), (_SECRET[1:],)):
                conf = self.conf(strategy, *secrets)
                error = self.assertRaises(ValueError, bootstrap.find_risks, conf)
                self.assertIn('32 bytes', str(error))
                self.assertNotIn('sekrit', str(error))

    def test_32_bytes_are_enough(self):
        for strategy in ('noauth', 'tokens', 'keystone'):
            conf = self.conf(strategy, _SECRET, 'é' * 16)
            self.assertEqual([], bootstrap.find_risks(conf))
            self.assertEqual((_SECRET.encode(), ('é' * 16).encode()), bootstrap.read_signing_secrets(conf))


class TestShown(SecrecyTestCase):
    def test_no_secret_is_in_what_the_service_is_made_of(self):
        settings = bootstrap.Settings(
            signing_secrets=(_SECRET.encode(),), delivery=deliveries.Rules(smtp_user_password=_SECRET)
        )
        services = bootstrap.build_services(drivers.build_memory(), settings)
        self.addCleanup(services.driver.close)
        for shown in (
            repr(settings),
            repr(services),
            str(services),
            repr(services.shares),
            repr(vars(services.shares).keys()),
        ):
            self.assertNotIn(_SECRET, shown)

    def test_no_secret_is_in_a_dump_of_the_options(self):
        conf = self.load(
            self.write(
                f'[signed_url]\nsecret_key = {_SECRET}\n[encryption]\nkeys = a:{_SECRET}\n'
                f'[storage]\nuri = mongodb://u:{_SECRET}@h/q\n'
            )
        )
        logger = mock.Mock()
        conf.log_opt_values(logger, 10)
        dump = str(logger.mock_calls)
        self.assertIn('secret_key', dump)
        self.assertNotIn(_SECRET, dump)
