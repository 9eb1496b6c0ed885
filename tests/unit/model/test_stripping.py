import time

import testtools

from queueservice.model import stripping
from tests.fixtures import tables


class TestNames(tables.Tables, testtools.TestCase):
    @tables.each(
        *[
            (name, name)
            for name in (
                'Authorization', 'Proxy-Authorization', 'Cookie', 'Set-Cookie', 'X-Auth-Token', 'X-Subject-Token',
                'webhook-signature', 'URL-Signature', 'X-Hub-Signature-256', 'X-Api-Key', 'apikey', 'api_key ', 'sig',
                'X-Amz-Signature', 'X-Amz-Security-Token', 'X-Amz-Credential', 'AccessToken', 'access_token',
                'client_secret', 'password', 'temp_url_sig', 'X-CSRFToken', 'PHPSESSID', 'SESSION', 'key', 'otp',
                'Ocp-Apim-Subscription-Key', 'routing_key', 'pass', 'passphrase', 'hmac', 'X-Shopify-Hmac-Sha256',
                'X-Functions-Key', 'bearer',
            )
        ]
    )  # fmt: skip
    def test_it_is_a_secret(self, name):
        self.assertTrue(stripping.is_secret(name))

    @tables.each(
        *[
            (name, name)
            for name in (
                'Content-Type', 'Author', 'signal', 'design', 'webhook-id', 'webhook-timestamp', 'URL-Paths',
                'X-Request-Id', 'WWW-Authenticate', 'significant', 'page', 'Idempotency-Key', 'Sec-WebSocket-Key',
                'Sec-WebSocket-Accept', 'Surrogate-Key', 'keyword', 'monkey', 'passenger', 'sort_key', 'partitionKey',
            )
        ]
    )  # fmt: skip
    def test_it_is_none(self, name):
        self.assertFalse(stripping.is_secret(name))


class TestUrls(tables.Tables, testtools.TestCase):
    @tables.each(
        ('without secrets', 'https://a.example/x?b=1&c=', 'https://a.example/x?b=1&c=', []),
        ('with a user', 'https://u:p@a.example/x', 'https://a.example/x', []),
        ('with a fragment', 'https://a.example/x#token=1', 'https://a.example/x', []),
        ('with a secret alone', 'https://a.example/x?token=1', 'https://a.example/x', ['token']),
        ('with a secret first', 'https://a.example/?sig=1&b=2', 'https://a.example/?b=2', ['sig']),
        ('with a secret last', 'https://a.example/?b=2&sig=1', 'https://a.example/?b=2', ['sig']),
        ('with two', 'https://a.example/?token=1&b=2&sig=3', 'https://a.example/?b=2', ['token', 'sig']),
        ('with an escaped name', 'https://a.example/?%74oken=1&b=2', 'https://a.example/?b=2', ['token']),
        ('with semicolons', 'https://a.example/?b=2;sig=1', 'https://a.example/?b=2', ['sig']),
        ('with a URL inside', 'https://a.example/?to=/x?token=1&b=2', 'https://a.example/?to=/x?b=2', ['token']),
        ('with a question mark in a secret', 'https://a.example/?token=1?x=2&b=2', 'https://a.example/?b=2', ['token']),
        ('with an empty secret', 'https://a.example/?token=', 'https://a.example/', ['token']),
    )  # fmt: skip
    def test_a_url(self, url, expected, names):
        self.assertEqual((expected, names), stripping.strip_url(url))


class TestHeaders(tables.Tables, testtools.TestCase):
    def test_secret_ones_go_and_are_named(self):
        headers = {'Cookie': ['a=1'], 'A': ['1', '2'], 'X-Auth-Token': ['x']}
        self.assertEqual(({'A': ['1', '2']}, ['Cookie', 'X-Auth-Token']), stripping.strip_headers(headers))

    def test_urls_in_others_lose_their_secrets(self):
        headers = {'Location': ['/next?page=2&token=abc'], 'Link': ['<https://u:p@a.example/?sig=1>; rel="next"']}
        kept, names = stripping.strip_headers(headers)
        self.assertEqual({'Location': ['/next?page=2'], 'Link': ['<https://a.example/>; rel="next"']}, kept)
        self.assertEqual(['token', 'sig'], names)

    @tables.each(
        ('with an at sign before letters', '@' + 'a' * 200_000),
        ('with an at sign behind schemes', 'a://' * 50_000 + '@'),
        ('with parameters', '?a' * 100_000 + '='),
        ('with parameters inside parameters', '?a=' * 70_000 + '@'),
        ('with secrets inside secrets', '?token=' * 30_000),
        ('with question marks and at signs', '?@' * 100_000 + '='),
    )
    def test_a_hostile_value_takes_no_longer_than_its_length(self, value):
        began = time.process_time()
        stripping.strip_headers({'Link': [value]})
        self.assertLess(time.process_time() - began, 1)


class TestForms(testtools.TestCase):
    def test_secret_fields_go_and_are_named(self):
        self.assertEqual(({'a': ['1']}, ['password']), stripping.strip_form({'a': ['1'], 'password': ['x']}))
