"""Tokens of the service's own, on a store that is read as it is."""

import testtools

from queueservice import bootstrap
from queueservice.model import deliveries, errors
from queueservice.services import project_rules, sequences, tokens
from queueservice.storage import records, tables
from tests.fixtures import clock, drivers


class TestTokens(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = drivers.build_memory()
        self.addCleanup(self.driver.close)
        self.rules = project_rules.ProjectRules(self.driver, sequences.Rules(), deliveries.Rules(), self.clock)
        self.tokens = tokens.Tokens(self.driver, self.rules, self.clock)

    def stored(self):
        return self.driver.records.find(tables.TOKENS, records.Query(limit=100)).records

    def test_a_token_is_what_it_was_made_as(self):
        made, token = self.tokens.create('p', ['Admin', 'admin', 'janitor'], 'x', ttl=60)
        self.assertEqual(made, self.tokens.resolve(token))
        self.assertEqual(('p', 'x', ('admin', 'janitor')), (made.project, made.name, made.roles))
        self.assertEqual(self.clock() + 60, made.expires_at)

    def test_no_two_are_the_same(self):
        self.assertEqual(100, len({self.tokens.create('p', ['reader'])[1] for _ in range(100)}))

    def test_neither_it_nor_a_part_of_it_is_stored(self):
        _, token = self.tokens.create('p', ['member'])
        stored = str(self.stored())
        for start in range(len('qs_'), len(token) - 8):
            self.assertNotIn(token[start : start + 8], stored)

    def test_a_change_of_one_letter_makes_it_nothing(self):
        _, token = self.tokens.create('p', ['member'])
        for position in (3, 20, len(token) - 2):
            other = 'A' if token[position] != 'A' else 'B'
            self.assertIsNone(self.tokens.resolve(token[:position] + other + token[position + 1 :]))

    def test_neither_its_id_nor_its_digest_is_a_token(self):
        made, _ = self.tokens.create('p', ['member'])
        for text in (made.id, self.stored()[0]['digest']):
            self.assertIsNone(self.tokens.resolve(text))

    def test_a_revoked_token_is_forgotten_within_ten_seconds(self):
        made, token = self.tokens.create('p', ['member'])
        self.tokens.resolve(token)
        self.tokens.revoke(made.id)
        self.assertIsNotNone(self.tokens.resolve(token))
        self.clock.advance(10)
        self.assertIsNone(self.tokens.resolve(token))
        self.assertIsNone(tokens.Tokens(self.driver, self.rules, self.clock).resolve(token))

    def test_revoking_what_is_not_there_is_an_error(self):
        made, _ = self.tokens.create('p', ['member'])
        self.tokens.revoke(made.id)
        self.assertRaises(errors.NotFound, self.tokens.revoke, made.id)

    def test_the_list_has_every_token_that_can_be_used_oldest_first(self):
        made = []
        for index in range(1203):
            made.append(self.tokens.create(f'p{index % 2}', ['member'], ttl=305 if index == 5 else None)[0])
            self.clock.advance(0.25)
        self.assertEqual(made, list(self.tokens.list()))
        self.clock.advance(60)
        self.assertEqual([token for token in made[1::2] if token is not made[5]], list(self.tokens.list('p1')))
        self.assertEqual([], list(self.tokens.list('p')))

    def test_expired_tokens_are_swept(self):
        self.tokens.create('p', ['member'], ttl=60)
        keeper, _ = self.tokens.create('p', ['member'])
        self.clock.advance(60)
        bootstrap.build_services(self.driver, clock=self.clock).housekeeping.sweep()
        self.assertEqual([keeper.id], [record['id'] for record in self.stored()])
