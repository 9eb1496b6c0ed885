"""Web pages of other sites: shut out, unless the operator names them."""

import testtools

from queueservice.api.middleware import cors
from tests.api import base
from tests.fixtures import tables

_PAGE = 'https://console.example.com'
_QUESTION = {'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'client-id,x-auth-token'}


def allowances(answer):
    return {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith('access-control')}


class CorsTestCase(base.ApiTestCase):
    def ask(self, origin, status=204):
        """What a browser asks before a page of `origin` may post; without the headers that the API wants."""
        headers = {**_QUESTION, 'Origin': origin}
        return self.request(
            'OPTIONS', '/queues/demo/messages', headers=headers, project=base.ABSENT, client=base.ABSENT, status=status
        )


class TestOff(CorsTestCase):
    def test_no_page_is_let_in(self):
        self.assertEqual({}, allowances(self.ask(_PAGE, status=400)))
        answer = self.get('/queues', headers={'Origin': _PAGE})
        self.assertEqual({}, allowances(answer))


class TestOn(CorsTestCase):
    settings = {
        'origins': cors.Rules(
            allowed_origin=(_PAGE, 'http://127.0.0.1:8080'),
            allow_methods=('GET', 'POST'),
            allow_headers=('Client-ID', 'X-Auth-Token'),
            expose_headers=('Location',),
            max_age=60,
        )
    }

    def test_a_named_page_may_ask_and_read(self):
        answer = self.ask(_PAGE)
        self.assertEqual(
            {
                'access-control-allow-origin': _PAGE,
                'access-control-allow-methods': 'GET, POST',
                'access-control-allow-headers': 'Client-ID, X-Auth-Token',
                'access-control-expose-headers': 'Location',
                'access-control-max-age': '60',
            },
            allowances(answer),
        )
        answer = self.get('/queues', headers={'Origin': _PAGE})
        self.assertEqual(
            {'access-control-allow-origin': _PAGE, 'access-control-expose-headers': 'Location'}, allowances(answer)
        )
        self.assertIn('Origin', answer.headers['Vary'])

    def test_it_may_read_what_was_wrong_too(self):
        for path, status in (('/queues?limit=x', 400), ('/queues/demo/unknown', 404)):
            answer = self.get(path, headers={'Origin': _PAGE}, status=status)
            self.assertEqual(_PAGE, answer.headers['Access-Control-Allow-Origin'])

    @tables.each(
        ('another host', 'https://evil.example'),
        ('another scheme', 'http://console.example.com'),
        ('another port', 'https://console.example.com:8443'),
        ('a longer host', 'https://console.example.com.evil.example'),
        ('a host before it', 'https://evil-console.example.com'),
        ('capitals', 'https://CONSOLE.example.com'),
        ('nothing', ''),
        ('null', 'null'),
        ('an asterisk', '*'),
        ('two', f'{_PAGE}, https://evil.example'),
    )
    def test_another_page_is_not_let_in_as(self, origin):
        self.assertEqual({}, allowances(self.ask(origin, status=400)))
        self.assertEqual({}, allowances(self.get('/queues', headers={'Origin': origin})))

    def test_the_answer_differs_by_origin_for_caches(self):
        self.assertIn('Origin', self.get('/queues').headers['Vary'])

    def test_what_is_no_question_is_a_request_as_any(self):
        self.request('OPTIONS', '/queues', headers={'Origin': _PAGE}, client=base.ABSENT, status=400)
        answer = self.request('OPTIONS', '/queues', headers={'Origin': _PAGE}, status=200)
        self.assertIn('GET', answer.headers['Allow'])


class TestEverybody(CorsTestCase):
    settings = {'origins': cors.Rules(allowed_origin=('*',))}

    def test_every_page_is_let_in_and_no_credentials_go_along(self):
        answer = self.get('/queues', headers={'Origin': 'https://any.example'})
        self.assertEqual('*', answer.headers['Access-Control-Allow-Origin'])
        self.assertNotIn('Access-Control-Allow-Credentials', answer.headers)


class TestCredentials(CorsTestCase):
    settings = {'origins': cors.Rules(allowed_origin=(_PAGE,), allow_credentials=True)}

    def test_they_go_along_for_named_pages(self):
        for answer in (self.ask(_PAGE), self.get('/queues', headers={'Origin': _PAGE})):
            self.assertEqual('true', answer.headers['Access-Control-Allow-Credentials'])
            self.assertEqual(_PAGE, answer.headers['Access-Control-Allow-Origin'])


class TestRules(tables.Tables, testtools.TestCase):
    @tables.each(
        ('an asterisk with credentials', {'allowed_origin': ('*',), 'allow_credentials': True}, 'every page'),
        ('a host alone', {'allowed_origin': ('console.example.com',)}, 'console.example.com'),
        ('a path', {'allowed_origin': ('https://console.example.com/',)}, 'without a path'),
        ('a pattern', {'allowed_origin': ('https://*.example.com',)}, 'origin'),
        ('null', {'allowed_origin': ('null',)}, 'null'),
        ('a file', {'allowed_origin': ('file://',)}, 'file://'),
    )
    def test_the_service_does_not_start_with(self, rules, words):
        self.assertIn(words, str(self.assertRaises(ValueError, cors.Rules(**rules).check)))

    def test_origins_have_a_scheme_and_a_host_and_perhaps_a_port(self):
        cors.Rules(allowed_origin=('*', _PAGE, 'http://127.0.0.1:8080', 'http://[::1]:3000')).check()
