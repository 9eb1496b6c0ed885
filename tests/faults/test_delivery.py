"""kill -9 of workers under load: every subscriber gets every message, or there is a record of why not."""

import random

import testtools

from tests.faults import delivery


class KillTest(testtools.TestCase):
    def test_no_delivery_is_missing(self):
        seed = random.SystemRandom().randrange(10**6)
        # The flaky one may open its breaker, and then rests for a while.
        result = delivery.run(seconds=6, kills=5, seed=seed, patience=240)
        again = f'python -m tests.faults.delivery --seconds 6 --kills 5 --seed {seed}'
        self.assertEqual(dict.fromkeys(result['faults'], 0), result['faults'], f'{result}; again: {again}')
        self.assertGreater(result['acknowledged'], 100)
        self.assertEqual(0, result['tracebacks'])
