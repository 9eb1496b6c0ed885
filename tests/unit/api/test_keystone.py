"""What becomes of requests while Keystone is slow, or away."""

import threading

import falcon
import testtools
from oslo_config import cfg

from queueservice.api.middleware import keystone
from tests.fixtures import clock, issuer


class TestOutage(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.issuer = issuer.Issuer()
        self.keystone = self.issuer.connect(self.clock)

    def test_it_is_tried_again_after_two_seconds(self):
        token = self.issuer.make('p')
        self.issuer.is_down = True
        for _ in range(3):
            self.assertRaises(falcon.HTTPServiceUnavailable, self.keystone.identify, token)
        self.assertEqual(1, len(self.issuer.asked))
        self.issuer.is_down = False
        self.clock.advance(1.75)
        self.assertRaises(falcon.HTTPServiceUnavailable, self.keystone.identify, token)
        self.clock.advance(0.25)
        self.assertEqual('p', self.keystone.identify(token).project)

    def test_one_thread_at_a_time_tries_again(self):
        self.issuer.is_down = True
        self.assertRaises(falcon.HTTPServiceUnavailable, self.keystone.identify, 'a')
        self.clock.advance(2)
        may_go, is_asked = threading.Event(), threading.Event()

        def hang(token):
            is_asked.set()
            may_go.wait(10)
            raise keystone.Unreachable('It hangs.')

        self.keystone._ask = hang
        errors = []

        def identify():
            try:
                self.keystone.identify('b')
            except falcon.HTTPServiceUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=identify)
        thread.start()
        self.assertTrue(is_asked.wait(10))
        self.assertRaises(falcon.HTTPServiceUnavailable, self.keystone.identify, 'c')
        self.assertEqual([], errors)
        may_go.set()
        thread.join(10)
        self.assertEqual(1, len(errors))

    def test_the_cache_time_is_the_operator_s_and_bounded(self):
        for seconds, expected in ((60, 60), (100_000, 300), (-1, 0), (0, 0)):
            self.issuer = issuer.Issuer()
            connected = self.issuer.connect(self.clock, longest=seconds)
            token = self.issuer.make('p')
            connected.identify(token)
            self.issuer.revoke(token)
            if expected:
                self.clock.advance(expected - 1)
                self.assertIsNotNone(connected.identify(token))
                self.clock.advance(1)
            self.assertIsNone(connected.identify(token))


class TestLoad(testtools.TestCase):
    def configure(self, **values):
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        for group, options in keystone.auth_token.list_opts():
            conf.register_opts(options, group)
        for name, value in values.items():
            conf.set_override(name, value, 'keystone_authtoken')
        return conf

    def test_what_is_missing_is_named(self):
        for values, words in (
            ({}, 'auth_type is missing'),
            ({'auth_type': 'password'}, 'auth_url'),
            ({'auth_type': 'nosuch'}, 'nosuch'),
        ):
            error = self.assertRaises(ValueError, keystone.load, self.configure(**values))
            self.assertTrue(str(error).startswith('[keystone_authtoken] '), error)
            self.assertIn(words, str(error))

    def test_clients_are_sent_to_the_public_address(self):
        uri = 'https://keystone.example.com'
        conf = self.configure(auth_type='none', www_authenticate_uri=uri)
        self.assertEqual(f'Keystone uri="{uri}"', keystone.load(conf).challenge)

    def test_a_keystone_that_never_answers_is_not_waited_for(self):
        conf = self.configure(auth_type='none', www_authenticate_uri='x')
        keystone.load(conf)
        self.assertEqual(5, conf.keystone_authtoken.http_connect_timeout)
        self.assertEqual(1, conf.keystone_authtoken.http_request_max_retries)
