"""kill -9 under load: nothing acknowledged is lost, nothing happens twice."""

import random

import testtools

from tests.faults import history


class KillTest(testtools.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        seed = random.SystemRandom().randrange(10**6)
        result = history.run(seconds=8, kills=6, seed=seed)
        again = f'python -m tests.faults.history --seconds 8 --kills 6 --seed {seed}'
        self.assertEqual(dict.fromkeys(result['faults'], 0), result['faults'], f'{result}; again: {again}')
        self.assertGreater(result['acknowledged'], 200)
        self.assertGreater(result['claimed'], 100)
