"""Statistics of a queue."""

from tests.api import base


@base.in_versions('1', '1.1', '2')
class TestStats(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def test_messages_are_counted_by_state(self):
        self.post_messages(*range(10))
        claim, messages = self.claim(limit=4)
        self.assertEqual((4, 6, 10), self.counts())
        self.delete(messages[0]['href'])
        self.assertEqual((3, 6, 9), self.counts())
        self.release(claim)
        self.assertEqual((0, 9, 9), self.counts())

    def test_the_oldest_and_the_newest_are_shown(self):
        first = self.post_messages(1, 2)[0]
        self.clock.advance(10)
        last = self.post_messages(3, 4)[-1]
        self.clock.advance(5)
        self.assertEqual(
            {
                'claimed': 0,
                'free': 4,
                'total': 4,
                'oldest': {'age': 15, 'created': '2023-11-14T22:13:20Z', 'href': first},
                'newest': {'age': 5, 'created': '2023-11-14T22:13:30Z', 'href': last},
            },
            self.stats(),
        )

    def test_claimed_ones_are_among_the_oldest(self):
        first, _, last = self.post_messages(1, 2, 3)
        self.claim(limit=1)
        stats = self.stats()
        self.assertEqual([first, last], [base.without_query(stats[end]['href']) for end in ('oldest', 'newest')])

    def test_the_ends_are_there_when_there_are_messages(self):
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())
        [path] = self.post_messages(1)
        stats = self.stats()
        self.assertEqual(stats['oldest'], stats['newest'])
        self.delete(path)
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())

    def test_an_ended_claim_is_no_longer_counted(self):
        self.post_messages(1, ttl=1000)
        self.claim(ttl=60)
        self.assertEqual((1, 0, 1), self.counts())
        self.clock.advance(60)
        self.assertEqual((0, 1, 1), self.counts())

    def test_nothing_of_a_message_but_its_place_is_shown(self):
        # The Redis store of the reference leaks bodies here.
        self.post_messages('secret')
        self.assertEqual({'age', 'created', 'href'}, set(self.stats()['oldest']))

    def test_a_missing_queue_has_none(self):
        answer = self.get('/queues/nowhere/stats', status=404 if self.version == '1' else 200)
        if self.version != '1':
            self.assertEqual({'messages': {'claimed': 0, 'free': 0, 'total': 0}}, answer.json)
