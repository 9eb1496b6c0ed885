"""The configuration, read from whatever says something about it."""

import os
import tempfile
from unittest import mock

import testtools
from oslo_config import cfg

from queueservice.conf import opts


class TestLoad(testtools.TestCase):
    def load(self, text='', variables=(), **overrides):
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
            file.write(text)
            file.flush()
            self.enterContext(mock.patch.dict(os.environ, dict(variables), clear=True))
            return opts.load([file.name], **overrides)

    def test_what_is_given_wins_over_the_environment_and_that_over_files(self):
        text = '[server]\nport = 1\nworkers = 1\nthreads = 1\n[storage:sqlite]\nsynchronous = normal\n'
        variables = {'OS_SERVER__PORT': '2', 'OS_SERVER__WORKERS': '2', 'OS_STORAGE_SQLITE__SYNCHRONOUS': 'full'}
        conf = self.load(
            text, variables, **{'server.port': 3, 'server.threads': None, 'storage:sqlite.synchronous': None}
        )
        self.assertEqual((3, 2, 1), (conf.server.port, conf.server.workers, conf.server.threads))
        self.assertEqual('full', conf['storage:sqlite'].synchronous)
        conf = self.load(text, variables, **{'storage:sqlite.synchronous': 'normal'})
        self.assertEqual('normal', conf['storage:sqlite'].synchronous)

    def test_nothing_of_it_is_left_to_the_next(self):
        first = self.load(
            variables={'OS_STORAGE_SQLITE__SYNCHRONOUS': 'normal'},
            **{'server.workers': 7, 'delivery.timeout': 3, 'debug': True},
        )
        second = self.load()
        names = (('server', 'workers'), ('delivery', 'timeout'), ('storage:sqlite', 'synchronous'))
        self.assertEqual([7, 3, 'normal', True], [*(first[group][name] for group, name in names), first.debug])
        defaults = {
            (group and group.name, option.dest): option.default for group, all in opts.list_opts() for option in all
        }
        self.assertEqual(
            [*(defaults[name] for name in names), False],
            [*(second[group][name] for group, name in names), second.debug],
        )
        self.assertEqual([], [name for name in os.environ if name.startswith('OS_')])

    def test_what_cannot_be_is_refused(self):
        for variables, overrides in (
            ({'OS_STORAGE_SQLITE__SYNCHRONOUS': 'maybe'}, {}),
            ({}, {'storage:sqlite.synchronous': 'maybe'}),
        ):
            error = self.assertRaises((cfg.Error, ValueError), self.load, '', variables, **overrides)
            self.assertIn('synchronous', str(error))
            self.assertIn('maybe', str(error))
