"""The judge of concurrent histories notices what it is there for."""

import testtools

from tests.contract import concurrency

ONE, TWO, THREE = (concurrency.make_body(words) for words in ('p-0-0', 'p-0-1', 'q-0-0'))


class JudgeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.first = concurrency.Posted(1, 2, [ONE, TWO], [1, 2])
        self.second = concurrency.Posted(3, 4, [THREE], [3])
        self.read = concurrency.Read(4, 5, 0, 3, [(1, ONE), (2, TWO), (3, THREE)])
        self.lease = concurrency.Leased(10, 11, 'a', 20, [(1, ONE, 1)])
        self.delete = concurrency.Ended(12, 13, 12, 'a', [1], True)
        self.release = concurrency.Ended(12, 13, 12, 'a', [1], False)
        self.left = [(1, ONE), (2, TWO), (3, THREE)]

    def judge(self, *events, left=None, posts=True):
        histories = [[self.first], [self.second]] if posts else []
        return concurrency.Judge([*histories, events], self.left if left is None else left)

    def refuses(self, check):
        self.assertRaises(AssertionError, check)

    def test_a_good_history_passes(self):
        judge = self.judge(self.read, self.lease, self.delete, left=self.left[1:])

        judge.check_posts()
        judge.check_nothing_lost_or_altered()
        judge.check_readers()
        judge.check_claims()

    def test_a_batch_out_of_order_is_noticed(self):
        self.first.positions = [2, 1]
        self.refuses(self.judge().check_posts)

    def test_a_post_in_front_of_one_that_was_acknowledged_before_is_noticed(self):
        self.second.positions, self.first.positions = [1], [2, 3]
        self.refuses(self.judge().check_posts)

    def test_posts_that_overlap_may_stand_in_any_order(self):
        self.second.positions, self.second.start, self.first.positions = [1], 1.5, [2, 3]
        self.judge().check_posts()

    def test_a_position_that_was_given_twice_is_noticed(self):
        self.second.positions = [2]
        self.refuses(self.judge().check_posts)

    def test_a_lost_message_is_noticed(self):
        self.refuses(self.judge(left=self.left[1:]).check_nothing_lost_or_altered)

    def test_a_message_that_nobody_posted_is_noticed(self):
        self.refuses(self.judge(left=[*self.left, (4, ONE)]).check_nothing_lost_or_altered)

    def test_a_message_that_is_there_after_its_deletion_is_noticed(self):
        self.refuses(self.judge(self.lease, self.delete).check_nothing_lost_or_altered)

    def test_a_message_that_was_deleted_twice_is_noticed(self):
        judge = self.judge(self.lease, self.delete, self.delete, left=self.left[1:])
        self.refuses(judge.check_nothing_lost_or_altered)

    def test_an_altered_body_is_noticed(self):
        self.left[0] = (1, ONE.replace(b'p-0-0 p', b'p-0-0 x'))
        self.assertNotEqual((1, ONE), self.left[0])
        self.refuses(self.judge().check_nothing_lost_or_altered)

    def test_bodies_that_changed_places_are_noticed(self):
        self.read.found[:2] = [(1, TWO), (2, ONE)]
        self.refuses(self.judge(self.read).check_nothing_lost_or_altered)

    def test_a_message_that_a_reader_missed_is_noticed(self):
        del self.read.found[1]
        self.refuses(self.judge(self.read).check_readers)
        lease = concurrency.Leased(10, 11, 'a', 20, [(2, TWO, 1)])
        self.refuses(self.judge(self.read, lease, left=[self.left[0], self.left[2]]).check_readers)

    def test_a_message_that_was_deleted_before_the_reader_came_is_not_missed(self):
        del self.read.found[0]
        self.read.start, self.read.end = 14, 15
        self.judge(self.lease, self.delete, self.read, left=self.left[1:]).check_readers()

    def test_a_page_out_of_order_is_noticed(self):
        self.read.found.reverse()
        self.refuses(self.judge(self.read).check_readers)

    def test_a_page_that_did_not_reach_what_it_shows_is_noticed(self):
        self.read.reached = 2
        self.refuses(self.judge(self.read).check_readers)

    def test_a_message_that_is_read_twice_is_noticed(self):
        again = concurrency.Read(6, 7, 2, 3, [(3, THREE)])
        self.refuses(self.judge(self.read, again).check_readers)

    def other_lease(self, start, count=2):
        return concurrency.Leased(start, start + 1, 'b', start + 10, [(1, ONE, count)])

    def test_a_message_in_two_live_claims_is_noticed(self):
        self.refuses(self.judge(self.lease, self.other_lease(12)).check_claims)

    def test_a_claim_may_follow_another_that_ended_or_let_go(self):
        self.judge(self.lease, self.other_lease(20)).check_claims()
        self.judge(self.lease, self.release, self.other_lease(14)).check_claims()

    def test_a_claim_that_does_not_count_up_is_noticed(self):
        self.refuses(self.judge(self.lease, self.other_lease(20, count=1)).check_claims)

    def test_a_renewed_claim_that_is_not_kept_is_noticed(self):
        renewal = concurrency.Renewed(12, 13, 12, 'a', 30, [1])
        self.refuses(self.judge(self.lease, renewal, self.other_lease(22)).check_claims)
        self.judge(self.lease, renewal, self.other_lease(30)).check_claims()

    def test_a_deletion_or_renewal_under_a_claim_that_ended_is_noticed(self):
        self.delete.start = self.delete.now = 20
        self.refuses(self.judge(self.lease, self.delete).check_claims)
        self.refuses(self.judge(self.lease, concurrency.Renewed(20, 21, 20, 'a', 30, [1])).check_claims)

    def test_a_claim_of_what_was_deleted_is_noticed(self):
        self.refuses(self.judge(self.lease, self.delete, self.other_lease(14)).check_claims)

    def test_a_claim_that_acts_on_what_another_took_over_is_noticed(self):
        self.release.start = 16
        self.refuses(self.judge(self.lease, self.release, self.other_lease(14.5)).check_claims)
