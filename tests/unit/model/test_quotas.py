"""What an administrator may write as limits of a project."""

import testtools

from queueservice.model import errors, quotas
from tests.fixtures import tables


class TestChanges(tables.Tables, testtools.TestCase):
    @tables.each(
        ('nothing', {}), ('no limit', {'messages': 0}), ('the default', {'bytes': None}),
        ('all', dict.fromkeys(quotas.NAMES, 7)),
        ('the most there is', {'queues': quotas.MOST}),
    )  # fmt: skip
    def test_it_may_be(self, changes):
        quotas.check_changes(changes)

    @tables.each(
        ('negative', -1), ('too large', quotas.MOST + 1), ('a fraction', 1.5), ('a text', '5'), ('a truth', True),
        ('a list', [1]), ('of very many digits', 10**400),
    )  # fmt: skip
    def test_a_value_may_not_be(self, value):
        refused = self.assertRaises(errors.BodyInvalid, quotas.check_changes, {'queues': 1, 'messages': value})
        self.assertIn('"messages" must be a whole number from 0', str(refused))

    def test_an_unknown_name_is_named_beside_those_there_are(self):
        refused = self.assertRaises(errors.BodyInvalid, quotas.check_changes, {'mesages': 1})
        for word in ('"mesages"', *quotas.NAMES):
            self.assertIn(word, str(refused))

    def test_the_burst_is_a_second_unless_it_is_set(self):
        self.assertEqual(5, quotas.Quotas(requests_per_second=5).burst)
        self.assertEqual(2, quotas.Quotas(requests_per_second=5, request_burst=2).burst)
