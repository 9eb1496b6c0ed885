"""A short run of the fuzzer, with and without authentication."""

import schemathesis
import testtools

from queueservice.api import app
from tests.faults import fuzz
from tests.fixtures import drivers, services


class FuzzTest(testtools.TestCase):
    def run_fuzzer(self, seconds, examples, roles=(), **settings):
        driver = drivers.build_memory()
        self.addCleanup(driver.close)
        service = services.Service(driver)
        token = service.services.tokens.create('fuzz', list(roles))[1] if roles else None
        schema = schemathesis.openapi.from_wsgi(
            '/openapi.json',
            app.build_app(service.services, app.Settings(**settings)),
            config=fuzz.settings(1, seconds, examples, token, phases=('coverage', 'fuzzing')),
        )
        findings = fuzz.Findings()
        fuzz.judge(schema, findings)
        self.assertEqual({}, findings.wrong)
        return findings

    def test_headers_are_believed(self):
        findings = self.run_fuzzer(20, 5, admin_mode=True)
        self.assertGreater(findings.requests, 500)
        self.assertIn('POST /v2/queues/{queue_name}/messages', findings.answered)

    def test_tokens_are_needed(self):
        findings = self.run_fuzzer(15, 5, roles=('admin',), admin_mode=True, auth_strategy='tokens', versions=('2',))
        self.assertGreater(findings.requests, 200)
        self.assertIn('POST /v2/queues/{queue_name}/messages', findings.answered)
        self.assertGreater(findings.statuses[401], 0)
