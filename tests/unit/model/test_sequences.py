"""Where recipients are in a sequence, and what they are sent."""

import json

import msgspec
import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import sequences
from tests.fixtures import tables

NOW = 1_700_000_000.0
NUMBERS = st.lists(st.integers(-5, 50), unique=True).map(sorted)


def enrol(**fields):
    values = {
        'id': '0c4ad2b6-9e07-4c8e-8a8e-2b6ad3a0c1d7',
        'project': 'p',
        'version': 1,
        'identity': 'i',
        'messageset': 1,
        'lang': 'eng',
        'schedule': 1,
        'next_sequence_number': 1,
        'initial_sequence_number': 1,
        'active': True,
        'completed': False,
        'process_status': sequences.READY,
        'metadata': None,
        'metadata_keys': [],
        'created_at': NOW,
        'updated_at': NOW,
        'ticked_at': NOW,
    }
    metadata = fields.pop('metadata', None)
    return sequences.Enrolment(
        **values | fields | {'metadata': None if metadata is None else json.dumps(metadata).encode()}
    )


def make_set(**fields):
    values = {
        'id': 1,
        'project': 'p',
        'short_name': 's',
        'label': '',
        'content_type': sequences.TEXT,
        'notes': None,
        'next_set': None,
        'default_schedule': 1,
        'channel': None,
        'created_at': NOW,
        'updated_at': NOW,
    }
    return sequences.MessageSet(**values | fields)


def make_message(text='hello', metadata='{}'):
    return sequences.SetMessage(1, 'p', 1, 1, 'eng', metadata.encode(), text, None, NOW, NOW)


def walk(enrolment, numbers):
    """The numbers that are sent one after the other; the enrolment at the end."""
    sent = []
    while enrolment.is_ready:
        place = sequences.locate(enrolment.next_sequence_number, numbers)
        if place.number is not None:
            sent.append(place.number)
        enrolment = sequences.advance(enrolment, place, NOW)
    return sent, enrolment


class TestAdvance(testtools.TestCase):
    @given(NUMBERS, st.integers(-10, 60))
    def test_every_message_from_the_next_one_on_is_sent_once_and_in_order(self, numbers, start):
        sent, end = walk(enrol(next_sequence_number=start), numbers)
        self.assertEqual([number for number in numbers if number >= start], sent)
        self.assertEqual((False, True, sequences.COMPLETED), (end.active, end.completed, end.process_status))
        self.assertEqual(sent[-1] if sent else start, end.next_sequence_number)

    @given(NUMBERS, st.integers(-10, 60))
    def test_two_numbers_suffice_to_locate(self, numbers, start):
        left = [number for number in numbers if number >= start]
        self.assertEqual(sequences.locate(start, numbers), sequences.locate(start, left[:2]))

    def test_what_was_prepended_is_used_up_and_its_key_stays(self):
        enrolment = enrol(metadata={'prepend_next_delivery': 'Hi', 'a': 1})
        after = sequences.advance(enrolment, sequences.Place(1, 2), NOW)
        self.assertEqual({'prepend_next_delivery': None, 'a': 1}, json.loads(after.metadata))

    def test_the_next_set_begins_at_its_beginning(self):
        done = enrol(next_sequence_number=9, metadata={'to_addr': '1'}, lang='zul')
        follow = make_set(id=7, default_schedule=3)
        begun = sequences.succeed(done, follow, NOW)
        self.assertEqual((7, 3, 1, 'zul', 'i', None), (
            begun.messageset, begun.schedule, begun.next_sequence_number, begun.lang, begun.identity, begun.metadata
        ))  # fmt: skip
        self.assertEqual(begun.id, sequences.succeed(done, follow, NOW + 9).id)
        self.assertNotEqual(begun.id, sequences.succeed(msgspec.structs.replace(done, round=1), follow, NOW).id)


class TestTasks(testtools.TestCase):
    def test_a_run_is_for_those_who_were_there_and_only_once(self):
        enrolment = enrol(ticked_at=NOW)
        for run_at, handled in ((NOW - 60, True), (NOW, True), (NOW + 60, False)):
            task = sequences.task_of(enrolment, sequences.Range('p', 1, run_at))
            self.assertEqual(handled, sequences.is_handled(enrolment, task))
            self.assertTrue(sequences.is_handled(sequences.handle(enrolment, task, NOW), task))

    def test_requests_are_remembered(self):
        enrolment = enrol()
        for number in range(40):
            task = sequences.Task(sequences.new_id(), 'p', enrolment.id)
            self.assertFalse(sequences.is_handled(enrolment, task))
            enrolment = sequences.handle(enrolment, task, NOW + number * 3600)
            self.assertTrue(sequences.is_handled(enrolment, task))
        self.assertLess(len(enrolment.handled), 20)

    def test_requests_that_were_remembered_without_the_time_are_no_obstacle(self):
        known = [sequences.new_id() for _ in range(20)]
        enrolment = enrol(handled=known)
        task = sequences.Task(sequences.new_id(), 'p', enrolment.id)
        enrolment = sequences.handle(enrolment, task, NOW)
        self.assertEqual(known[-16:], enrolment.handled[:-1])
        self.assertTrue(sequences.is_handled(enrolment, task))

    def test_all_requests_of_the_last_minutes_are_remembered(self):
        enrolment = enrol()
        tasks = [sequences.Task(sequences.new_id(), 'p', enrolment.id) for _ in range(100)]
        for number, task in enumerate(tasks):
            enrolment = sequences.handle(enrolment, task, NOW + number)
        self.assertTrue(all(sequences.is_handled(enrolment, task) for task in tasks))

    def test_a_step_has_one_key_until_the_client_goes_back(self):
        enrolment = enrol()
        one, other = (sequences.Task(sequences.new_id(), 'p', enrolment.id) for _ in range(2))
        self.assertEqual(sequences.key(enrolment, 3, one), sequences.key(enrolment, 3, other))
        self.assertNotEqual(sequences.key(enrolment, 3, one), sequences.key(enrolment, 4, one))
        back = msgspec.structs.replace(enrolment, round=1)
        self.assertNotEqual(sequences.key(enrolment, 3, one), sequences.key(back, 3, one))
        again = msgspec.structs.replace(one, resend=True)
        self.assertNotEqual(sequences.key(enrolment, 3, one), sequences.key(enrolment, 3, again))


class TestOutbound(tables.Tables, testtools.TestCase):
    def build(self, enrolment=None, message_set=None, message=None, file=None, resend=False):
        raw = sequences.build_outbound(
            enrolment or enrol(),
            message_set or make_set(),
            message or make_message(),
            to='+1',
            file=file,
            resend=resend,
        )
        return json.loads(raw)

    def test_a_text(self):
        self.assertEqual(
            {
                'to_addr': '+1',
                'to_identity': 'i',
                'delivered': 'false',
                'resend': 'false',
                'metadata': {'topic': 'start'},
                'content': 'hello',
            },
            self.build(message=make_message(metadata='{"topic":"start"}')),
        )

    def test_a_text_with_all_that_there_can_be(self):
        built = self.build(
            enrol(metadata={'prepend_next_delivery': 'Hi'}), make_set(channel='whatsapp'), file='http://f/a.png'
        )
        self.assertEqual('Hi\nhello', built['content'])
        self.assertEqual('http://f/a.png', built['metadata']['image_url'])
        self.assertEqual('whatsapp', built['channel'])

    @tables.each(('alone', {}, ['f']), ('behind another', {'prepend_next_delivery': 'http://p'}, ['http://p', 'f']))
    def test_audio(self, metadata, expected):
        built = self.build(
            enrol(metadata=metadata), make_set(content_type=sequences.AUDIO), make_message(None), file='f'
        )
        self.assertEqual(expected, built['metadata']['voice_speech_url'])
        self.assertNotIn('content', built)

    def test_what_is_sent_again_is_said_to_be_and_has_nothing_in_front(self):
        built = self.build(enrol(metadata={'prepend_next_delivery': 'Hi'}), resend=True)
        self.assertEqual(('true', 'hello'), (built['resend'], built['content']))

    def test_values_of_metadata_are_handed_on_as_they_were_sent(self):
        message = make_message(metadata='{"n":123456789012345678901234567890,"x":1.10}')
        built = sequences.build_outbound(enrol(), make_set(), message, to='', file='f', resend=False)
        self.assertIn(b'"n":123456789012345678901234567890,"x":1.10', built)

    @tables.each(
        ('none', None, None), ('no metadata', {}, None), ('an empty text', {'to_addr': ''}, None),
        ('a number', {'to_addr': 5}, None), ('a text', {'to_addr': '+27'}, '+27'),
    )  # fmt: skip
    def test_the_address_of_an_enrolment_with(self, metadata, expected):
        self.assertEqual(expected, sequences.address(enrol(metadata=metadata)))
