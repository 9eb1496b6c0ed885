import testtools

from queueservice.model import errors, limits
from tests.fixtures import tables

LIMITS = limits.Limits()


class TestBounds(tables.Tables, testtools.TestCase):
    @tables.each(
        ('the ttl of a message', LIMITS.check_message_ttl, 60, 1209600),
        ('the delay of a message', LIMITS.check_message_delay, 0, 900),
        ('the ttl of a claim', LIMITS.check_claim_ttl, 60, 43200),
        ('the grace of a claim', LIMITS.check_claim_grace, 60, 43200),
        ('a page of queues', LIMITS.check_queue_page, 1, 1000),
        ('a page of messages', LIMITS.check_message_page, 1, 100),
        ('the ids of a request', LIMITS.check_message_ids, 1, 100),
        ('a claim', LIMITS.check_claim_limit, 1, 100),
        ('a pop', LIMITS.check_pop, 1, 100),
    )
    def test_both_ends_belong_to_the_range_of(self, check, least, most):
        for value in (least, most):
            self.assertEqual(value, check(value))
        for value in (least - 1, most + 1, -(10**30), 10**30):
            error = self.assertRaises(errors.LimitExceeded, check, value)
            self.assertIn(f'must be at least {least} and may not be greater than {most}.', str(error))

    @tables.each(*[(name.replace('_', ' '), name) for name in LIMITS.bounds()])
    def test_what_is_said_of_a_check_is_what_it_does(self, name):
        own = limits.Limits(max_message_ttl=120, max_claim_grace=90, max_queues_per_page=7)
        check = getattr(own, f'check_{name}')
        least, most = own.bounds()[name]
        for value in (least, most):
            self.assertEqual(value, check(value))
        for value in (least - 1, most + 1):
            self.assertRaises(errors.LimitExceeded, check, value)

    def test_what_the_operator_set_holds(self):
        own = limits.Limits(max_message_ttl=120)
        self.assertEqual(120, own.check_message_ttl(120))
        self.assertRaises(errors.LimitExceeded, own.check_message_ttl, 121)

    def test_the_error_names_what_is_out_of_range(self):
        error = self.assertRaises(errors.LimitExceeded, LIMITS.check_message_ttl, 1)
        self.assertIn('TTL for a message', str(error))


class TestSizes(testtools.TestCase):
    def test_metadata_may_have_just_the_size_allowed(self):
        own = limits.Limits(max_queue_metadata=100)
        self.assertEqual(100, own.check_metadata_size(100))
        error = self.assertRaises(errors.BodyTooLarge, own.check_metadata_size, 101)
        self.assertEqual(
            'Queue metadata is too large: 101 bytes, and at most 100 are allowed (max_queue_metadata).', str(error)
        )

    def test_a_queue_may_ask_for_smaller_posts(self):
        self.assertEqual(10, LIMITS.check_post_size(10, 10))
        error = self.assertRaises(errors.BodyTooLarge, LIMITS.check_post_size, 11, 10)
        self.assertIn('_max_messages_post_size', str(error))

    def test_a_queue_cannot_ask_for_larger_posts_than_the_operator_allows(self):
        own = limits.Limits(max_messages_post_size=100)
        self.assertEqual(100, own.check_post_size(100, 1000))
        self.assertRaises(errors.BodyTooLarge, own.check_post_size, 101, 1000)
        self.assertRaises(errors.BodyTooLarge, own.check_post_size, 101, None)
