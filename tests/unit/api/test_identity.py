"""Which kind of credentials is looked at."""

import types

import falcon
import testtools
from falcon import testing

from queueservice.api.middleware import identity


class TestSignatures(testtools.TestCase):
    """A signed URL is another way to authenticate; who reads it is not told here."""

    def setUp(self):
        super().setUp()
        self.read = []
        services = types.SimpleNamespace(tokens=types.SimpleNamespace(resolve=lambda token: None))
        self.authentications = [
            identity.Authentication(strategy, services, read_signature=self.read_signature)
            for strategy in ('noauth', 'tokens')
        ]

    def read_signature(self, req, resource):
        self.read.append((req.get_header('X-Project-Id'), resource))
        if req.get_header('URL-Signature') != 'good':
            raise falcon.HTTPNotFound()
        return identity.Identity('p', 'signature', frozenset({'member'}))

    def ask(self, authentication, **headers):
        headers = {name.replace('_', '-'): value for name, value in headers.items()}
        req = falcon.Request(testing.create_environ(headers=headers))
        return authentication.identify(req, 'resource'), req

    def test_a_good_one_is_good_under_every_strategy(self):
        for authentication in self.authentications:
            found, req = self.ask(authentication, URL_Signature='good', X_Project_Id='p', X_Roles='admin')
            self.assertEqual(('p', {'member'}), (found.project, found.roles))
            self.assertIsNone(req.get_header('X-Project-Id') or req.get_header('X-Roles'))
        self.assertEqual([('p', 'resource')] * 2, self.read)

    def test_a_bad_one_is_refused_whatever_else_is_sent(self):
        for authentication in self.authentications:
            for other in ({}, {'X_Auth_Token': 'qs_' + 'a' * 43}, {'X_Project_Id': 'p'}):
                self.assertRaises(falcon.HTTPNotFound, self.ask, authentication, URL_Signature='bad', **other)

    def test_an_empty_one_is_none(self):
        noauth, tokens = self.authentications
        self.assertIsNone(self.ask(noauth, URL_Signature='', X_Project_Id='p')[0])
        self.assertRaises(falcon.HTTPUnauthorized, self.ask, tokens, URL_Signature='', X_Project_Id='p')
        self.assertEqual([], self.read)
