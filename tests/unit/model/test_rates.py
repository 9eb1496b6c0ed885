"""The bucket that a rate is kept in."""

import hypothesis
import testtools
from hypothesis import strategies

from queueservice.model import rates

RATES = strategies.integers(1, 5000)
BURSTS = strategies.integers(1, 10000)
STEPS = strategies.lists(strategies.floats(-30, 30), max_size=40)


class TestBucket(testtools.TestCase):
    def test_it_fills_by_the_rate_up_to_the_burst(self):
        empty = rates.Bucket(0.0, 100.0)
        self.assertEqual(rates.Bucket(5.0, 100.5), empty.fill(10, 20, 100.5))
        self.assertEqual(rates.Bucket(20, 103.0), empty.fill(10, 20, 103.0))

    def test_a_clock_that_is_a_little_behind_adds_nothing_and_takes_nothing(self):
        bucket = rates.Bucket(3.0, 100.0)
        self.assertEqual(bucket, bucket.fill(10, 20, 95.0))

    def test_a_clock_that_was_put_back_counts_anew(self):
        bucket = rates.Bucket(3.0, 10_000.0).fill(10, 20, 100.0)
        self.assertEqual(rates.Bucket(3.0, 100.0), bucket)
        self.assertEqual(13.0, bucket.fill(10, 20, 101.0).tokens)

    def test_a_lower_burst_holds_at_once(self):
        self.assertEqual(5, rates.Bucket(100.0, 100.0).fill(10, 5, 100.0).tokens)

    def test_a_block_is_a_fifth_of_a_second_and_one_at_least(self):
        self.assertEqual(20, rates.Bucket(100.0, 0.0).block(100, 100))
        self.assertEqual(1, rates.Bucket(3.0, 0.0).block(3, 3))
        self.assertEqual(2, rates.Bucket(5.0, 0.0).block(5000, 5))

    def test_a_block_leaves_half_to_others(self):
        blocks = {50: 20, 30: 15, 15: 7, 3: 2, 2.5: 2, 1: 1, 0.9: 0}
        self.assertEqual(blocks, {tokens: rates.Bucket(tokens, 0.0).block(100, 100) for tokens in blocks})

    def test_the_wait_is_for_a_whole_block(self):
        bucket = rates.Bucket(0.5, 0.0)
        wait = bucket.wait(100, 100)
        self.assertEqual(0.195, wait)
        self.assertEqual(20, bucket.fill(100, 100, wait).tokens)

    @hypothesis.given(RATES, BURSTS, STEPS)
    def test_no_more_is_taken_than_came_in(self, rate, burst, steps):
        now = 1000.0
        forward = 0.0
        taken = 0
        bucket = rates.Bucket(burst, now)
        for step in steps:
            now += step
            forward += max(0.0, step)
            bucket = bucket.fill(rate, burst, now)
            block = bucket.block(rate, burst)
            bucket = rates.Bucket(bucket.tokens - block, bucket.at)
            taken += block
            self.assertTrue(0 <= bucket.tokens <= burst)
            self.assertLessEqual(block, rates.size(rate, burst))
            self.assertLessEqual(taken, burst + rate * forward * (1 + 1e-9))

    @hypothesis.given(RATES, BURSTS, strategies.floats(0, 1))
    def test_after_the_wait_there_is_a_token(self, rate, burst, tokens):
        bucket = rates.Bucket(min(tokens, 0.999), 1000.0)
        later = bucket.fill(rate, burst, 1000.0 + bucket.wait(rate, burst) + 1e-6)
        self.assertGreaterEqual(later.block(rate, burst), 1)
