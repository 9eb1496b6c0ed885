"""A short run of the fuzzer, with and without authentication."""

import contextlib
import threading
from wsgiref import simple_server

import schemathesis
import testtools

from queueservice.api import app
from tests.faults import fuzz
from tests.fixtures import drivers, services


class FuzzTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        driver = drivers.build_memory()
        self.addCleanup(driver.close)
        self.service = services.Service(driver)

    def build_app(self, **settings):
        return app.build_app(self.service.services, app.Settings(admin_mode=True, **settings))

    def check(self, findings):
        self.assertEqual('', '\n'.join(f'{what}\n{case}' for what, case in findings.wrong.items()))
        self.assertGreater(findings.requests, 100)
        self.assertGreater(findings.answered.total(), 20)

    def test_headers_are_believed(self):
        settings = fuzz.settings(1, None, 2, phases=('coverage', 'fuzzing'))
        findings = fuzz.Findings()
        fuzz.judge(schemathesis.openapi.from_wsgi('/openapi.json', self.build_app(), config=settings), findings)
        self.check(findings)

    def test_tokens_are_needed(self):
        _, token = self.service.services.tokens.create('fuzz', ['admin'])
        with serve(self.build_app(auth_strategy='tokens', versions=('2',))) as url:
            settings = fuzz.settings(1, None, 3, token, phases=('coverage', 'fuzzing'))
            findings = fuzz.Findings()
            fuzz.judge(schemathesis.openapi.from_url(f'{url}/openapi.json', config=settings), findings)
        self.check(findings)
        self.assertGreater(findings.statuses[401], 0)


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *arguments): ...


@contextlib.contextmanager
def serve(application):
    """The URL of `application` behind a small server in this process."""
    with simple_server.make_server('127.0.0.1', 0, application, handler_class=_Quiet) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{listening.server_port}'
        finally:
            listening.shutdown()
            thread.join()
