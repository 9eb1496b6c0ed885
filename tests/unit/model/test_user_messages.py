import uuid

import testtools

from queueservice.model import deliveries, user_messages
from tests.fixtures import tables


def told(event_id):
    return user_messages.UserMessage('id', event_id, 'ERROR', None, None, None, 0.0, 1.0).text


class TestVocabulary(testtools.TestCase):
    def test_every_error_of_a_delivery_has_a_detail_and_every_kind_is_an_action(self):
        # What was deleted meanwhile is nobody's failure.
        self.assertEqual({'deleted'}, {*deliveries.ERRORS, user_messages.UNKNOWN} - set(user_messages.DETAILS))
        for kind in (deliveries.MESSAGE, deliveries.CONFIRMATION, deliveries.FAREWELL):
            self.assertIn(kind, user_messages.ACTIONS)

    def test_no_number_means_two_things(self):
        self.assertEqual(len(user_messages.DETAILS), len(set(user_messages.DETAILS.values())))
        numbers = [number for number, _ in user_messages.ACTIONS.values()]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_numbers_stay_what_they_are(self):
        # Those of stored messages are read by what is written here.
        numbers = [user_messages.DETAILS[error] for error in ('unknown', 'status', 'timeout', 'expired', 'unconfirmed')]
        self.assertEqual(['001', '002', '003', '015', '017'], numbers)


class TestEvents(tables.Tables, testtools.TestCase):
    @tables.each(
        ('a timeout', 'message', 'timeout', 'QUEUE_SUBSCRIPTION_001_003'),
        ('a mail that was refused', 'confirmation', 'mail', 'QUEUE_SUBSCRIPTION_002_010'),
        ('no detail', 'farewell', None, 'QUEUE_SUBSCRIPTION_003_001'),
        ('a detail that nobody knows', 'message', 'the disk is full', 'QUEUE_SUBSCRIPTION_001_001'),
    )
    def test_there_is_a_name_for(self, action, detail, expected):
        self.assertEqual(expected, user_messages.event_id(action, detail, user_messages.SUBSCRIPTION))

    def test_an_action_must_be_known(self):
        self.assertRaises(KeyError, user_messages.event_id, 'dance', None, user_messages.SUBSCRIPTION)

    @tables.each(
        ('both', 'QUEUE_SUBSCRIPTION_001_003', 'deliver message:The subscriber did not answer in time.'),
        ('an unknown action', 'QUEUE_SUBSCRIPTION_999_003', 'unknown action:The subscriber did not answer in time.'),
        ('an unknown detail', 'QUEUE_SUBSCRIPTION_001_999', 'deliver message:An unknown error occurred.'),
        ('another thing', 'QUEUE_LATER_THING_001_003', 'deliver message:The subscriber did not answer in time.'),
        ('nothing', 'VOLUME_000001', 'unknown action:An unknown error occurred.'),
    )
    def test_it_is_put_into_words_by(self, event_id, expected):
        self.assertEqual(expected, told(event_id))


class TestIds(testtools.TestCase):
    def test_an_id_is_a_uuid_and_always_the_same(self):
        first = user_messages.new_id('p', 'delivery')
        self.assertEqual(first, str(uuid.UUID(first)))
        self.assertEqual(first, user_messages.new_id('p', 'delivery'))

    def test_others_have_others(self):
        ids = {
            user_messages.new_id(project, name)
            for project, name in (('p', 'a'), ('p', 'b'), ('q', 'a'), ('pa', ''), ('', 'pa'))
        }
        self.assertEqual(5, len(ids))
