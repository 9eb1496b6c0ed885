"""kill -9 of workers that send the messages of a course."""

import random

import testtools

from tests.faults import staged


class KillTest(testtools.TestCase):
    def test_no_step_is_lost_and_none_is_posted_twice(self):
        seed = random.SystemRandom().randrange(10**6)
        found = staged.run(kills=4, enrolments=600, seed=seed)
        expected = {'kills': 4, 'posted': 600, 'lost': [], 'twice': [], 'enrolments': 1200, 'unaccounted': 0}
        again = f'again: python -m tests.faults.staged --kills 4 --enrolments 600 --seed {seed}'
        self.assertEqual(expected, found, again)
