"""Purge: everything goes in one step, whatever state it is in."""

from tests.api import base
from tests.fixtures import tables


class TestPurge(base.ApiTestCase):
    def purge(self, body=b'', queue='demo', status=204):
        return self.post(f'/queues/{queue}/purge', body, status=status)

    def test_free_claimed_and_delayed_messages_go(self):
        self.make_queue(metadata={'a': 1})
        paths = [*self.post_messages(*range(200)), *self.post_messages(*range(50), delay=900)]
        claim, _ = self.claim(limit=100)
        self.purge()

        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())
        self.assertEqual([], self.list_bodies(echo=True, include_claimed=True, include_delayed=True))
        self.get(paths[0], status=404)
        self.get(paths[-1], status=404)
        self.get(claim, status=404)
        self.assertEqual((None, []), self.claim())
        self.assertEqual([], self.pop())
        self.clock.advance(900)
        self.assertEqual((0, 0, 0), self.counts())

    def test_the_queue_and_its_metadata_stay(self):
        self.make_queue(metadata={'a': 1})
        self.purge()
        self.assertEqual(1, self.metadata()['a'])
        self.assertEqual(['demo'], [queue['name'] for queue in self.queue_page()[0]])

    def test_saved_markers_stay_good(self):
        self.post_messages(1)
        _, href = self.message_page()
        self.purge()
        self.assertEqual(([], None), self.message_page(href))
        self.post_messages(2, 3)
        messages, _ = self.message_page(href)
        self.assertEqual([2, 3], base.bodies(messages))

    def test_what_comes_later_is_not_touched(self):
        [old] = self.post_messages(1)
        self.purge()
        [new] = self.post_messages(2)
        self.assertNotEqual(old, new)
        self.assertEqual([2], base.bodies(self.claim()[1]))

    def test_a_missing_queue_is_purged_and_not_made(self):
        self.purge()
        self.assertEqual(([], None), self.queue_page())

    def test_other_queues_keep_their_messages(self):
        self.post_messages(1)
        self.post_messages(2, queue='other')
        self.purge()
        self.assertEqual([2], self.list_bodies('other'))

    def test_what_goes_can_be_chosen(self):
        for resource_types, left in ((['subscriptions'], 1), ([], 1), (['messages', 'subscriptions'], 0)):
            self.purge()
            self.post_messages(1)
            self.purge({'resource_types': resource_types})
            self.assertEqual((0, left, left), self.counts())
        self.post_messages(1)
        self.purge({'resource_types': ['messages']})
        self.assertEqual((0, 0, 0), self.counts())

    @tables.each(
        ('an empty object', b'{}', 'resource_types'),
        ('a list', b'[]', 'Document type not supported'),
        ('an unknown type', b'{"resource_types": ["messages", "queues"]}', 'list: messages, subscriptions'),
        ('a type in capitals', b'{"resource_types": ["Messages"]}', 'resource_types'),
        ('a type that is a number', b'{"resource_types": [1]}', 'resource_types'),
        ('types that are a text', b'{"resource_types": "messages"}', 'resource_types'),
        ('types that are null', b'{"resource_types": null}', 'resource_types'),
        ('malformed', b'{"resource_types": [', 'could not be parsed'),
    )
    def test_the_body_cannot_be(self, raw, words):
        self.post_messages(1)
        self.assert_refused(self.purge(raw, status=400), words)
        self.assertEqual((0, 1, 1), self.counts())

    def test_there_is_none_in_the_older_versions(self):
        for version in ('1', '1.1'):
            self.version = version
            self.post('/queues/demo/purge', status=404)
