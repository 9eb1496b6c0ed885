import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import messages

QUEUE = 'a' * 12 + '0' * 12
QUEUES = st.text('0123456789abcdef', min_size=24, max_size=24)
POSITIONS = st.integers(1, 2**48 - 1)


class TestPositions(testtools.TestCase):
    @given(QUEUES, POSITIONS)
    def test_a_position_comes_back_from_its_name(self, queue_id, position):
        self.assertEqual(position, messages.decode_position(queue_id, messages.encode_position(queue_id, position)))

    @given(QUEUES, POSITIONS)
    def test_a_name_has_the_form_of_an_id(self, queue_id, position):
        self.assertTrue(messages.is_id(messages.encode_position(queue_id, position)))

    @given(QUEUES, st.lists(POSITIONS, max_size=5))
    def test_many_are_named_as_each_is(self, queue_id, positions):
        self.assertEqual(
            [messages.encode_position(queue_id, position) for position in positions],
            messages.encode_positions(queue_id, positions),
        )

    @given(QUEUES, POSITIONS, st.lists(st.integers(0, 5000), max_size=5))
    def test_neighbours_are_named_as_each_is(self, queue_id, first, steps):
        positions = [min(first + step, 2**48 - 1) for step in steps]
        self.assertEqual(
            [messages.encode_position(queue_id, position) for position in positions],
            messages.encode_positions(queue_id, positions),
        )

    @given(POSITIONS, POSITIONS)
    def test_names_sort_like_positions(self, one, other):
        names = messages.encode_positions(QUEUE, [one, other])
        self.assertEqual(one < other, names[0] < names[1])

    @given(POSITIONS)
    def test_a_name_means_nothing_in_another_queue(self, position):
        self.assertIsNone(messages.decode_position('b' * 24, messages.encode_position(QUEUE, position)))

    @given(st.text(max_size=30))
    def test_any_other_text_names_no_position(self, text):
        self.assertIsNone(messages.decode_position(QUEUE, text))

    @given(st.text(max_size=12))
    def test_only_hex_digits_behind_the_tag_name_a_position(self, text):
        decoded = messages.decode_position(QUEUE, messages.tag(QUEUE) + text)
        if len(text) == 12 and set(text) <= set('0123456789abcdef'):
            self.assertEqual(int(text, 16), decoded)
        else:
            self.assertIsNone(decoded)


class TestIds(testtools.TestCase):
    def test_a_new_id_is_an_id(self):
        self.assertTrue(messages.is_id(messages.new_id()))

    def test_new_ids_differ(self):
        self.assertEqual(1000, len({messages.new_id() for _ in range(1000)}))

    def test_other_texts_are_no_ids(self):
        for text in ('', 'a' * 23, 'a' * 25, 'g' * 24, 'A' * 24, 'a' * 24 + '\n', '٣' * 24):
            self.assertFalse(messages.is_id(text), text)


class TestMessage(testtools.TestCase):
    def message(self, created_at=1000.0, expires_at=1060.0):
        return messages.Message(1, b'1', b'', created_at, expires_at, 0, None, 0, 0, None, b'')

    def test_its_ttl_is_the_time_from_post_to_expiry(self):
        self.assertEqual(60, self.message().ttl)

    def test_its_age_is_in_whole_seconds(self):
        self.assertEqual(9, self.message().age(1009.9))

    def test_its_age_is_never_negative(self):
        self.assertEqual(0, self.message().age(999.0))


class TestForms(testtools.TestCase):
    def test_a_checksum_covers_the_bytes_of_the_body(self):
        self.assertEqual('MD5:42b7b4f2921788ea14dac5566e6f06d0', messages.checksum(b'{"a": 1}'))

    def test_an_instant_is_written_in_utc(self):
        self.assertEqual('2013-08-12T20:44:55Z', messages.timestamp(1376340295.9))
