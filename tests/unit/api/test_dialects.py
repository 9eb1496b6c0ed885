"""What is written as text is what the structs say."""

import msgspec
import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.api import dialects
from queueservice.api.schemas import messages as schemas
from queueservice.model import messages
from queueservice.services import claims as claims_service
from queueservice.services import messages as messages_service

ORIGIN = messages.Origin('other', 'e' * 24)
LETTER = messages.DeadLetter('orders', 'ab' * 12, 'max_claim_count', 3, '2026-01-01T00:00:00Z')


def message(position, **fields):
    plain = messages.store(messages.Draft(b'{"a": [1.0]}', 1100.0), position, 1000.5)
    return msgspec.structs.replace(plain, **fields)


class TestMessages(testtools.TestCase):
    base = '/v2/a%20b/queues/q'
    queue_id = '0123456789ab0123456789ab'

    def shown(self, dialect, *listed):
        page = messages_service.Listed(self.queue_id, list(listed), 1030.0)
        return dialect.messages(self.base, page)

    def expected(self, one, claim='', **annotations):
        message_id = messages.encode_position(self.queue_id, one.position)
        href = f'{self.base}/messages/{message_id}{claim}'
        return schemas.MessageOut(message_id, href, one.ttl, one.age(1030.0), msgspec.Raw(one.body), **annotations)

    def test_text_and_struct_are_the_same(self):
        listed = [
            message(1),
            message(2, claim_id='c' * 24, available_at=2000.0),
            message(3, checksum='MD5:0'),
            message(4, state=msgspec.json.encode(messages.State(dead_letter=LETTER)), checksum='MD5:0'),
            message(5, state=b'{}'),
            message(2**48 - 1, created_at=1031.0),
            message(6, state=msgspec.json.encode(messages.State(copied_from=ORIGIN, hops=2))),
        ]
        expected = [
            self.expected(listed[0]),
            self.expected(listed[1], f'?claim_id={"c" * 24}'),
            self.expected(listed[2], checksum='MD5:0'),
            self.expected(listed[3], checksum='MD5:0', dead_letter=LETTER),
            self.expected(listed[4]),
            self.expected(listed[5]),
            self.expected(listed[6], copied_from=ORIGIN),
        ]
        self.assertEqual(msgspec.json.encode(expected), self.shown(dialects.V2(), *listed))

    def test_older_versions_show_no_annotations(self):
        annotated = message(1, checksum='MD5:0', state=msgspec.json.encode(messages.State(dead_letter=LETTER)))
        self.assertEqual(msgspec.json.encode([self.expected(annotated)]), self.shown(dialects.V1_1(), annotated))

    def test_no_messages_are_an_empty_array(self):
        self.assertEqual(b'[]', self.shown(dialects.V2()))


QUEUE_ID = '0123456789ab0123456789ab'
BASE = '/v2/a%20b/queues/q'
NOW = 1_700_000_000.25

states = st.sampled_from(
    [
        b'',
        b'',
        b'{}',
        msgspec.json.encode(messages.State(dead_letter=LETTER)),
        msgspec.json.encode(messages.State(copied_from=ORIGIN, hops=1)),
    ]
)
#: Few of each, so that neighbours share some and not others; ages around the second, also of what was posted later.
found = st.lists(
    st.builds(
        lambda age, ttl, kept, **fields: messages.Message(
            position=0,
            client=b'',
            created_at=NOW - age,
            expires_at=NOW - age + ttl + kept,
            available_at=0,
            claim_ttl=0,
            claim_count=1,
            **fields,
        ),
        body=st.sampled_from([b'1', b'{"a": [1.0]}', b'"\\u00e9"', '"\u00e9"'.encode()]),
        age=st.sampled_from([0, 0.25, 0.9999, 1, 1.0001, 59.5, 60, -0.5, -3]),
        ttl=st.sampled_from([60, 60, 61, 3600]),
        kept=st.sampled_from([0, 0, 0.25, 0.75]),
        claim_id=st.sampled_from([None, None, 'c' * 24, 'd' * 24]),
        checksum=st.sampled_from([None, None, 'MD5:0']),
        state=states,
    ),
    max_size=12,
)
#: Where the first one lies, so that a page may reach over a border of what is looked up; and how far the next ones are.
starts = st.integers(1, 2**40) | st.integers(1, 2**20).map(lambda near: max(1, (near << messages.NEAR_BITS) - near % 8))
gaps = st.lists(st.sampled_from([1, 1, 1, 2, 5, 100, 10**6]), min_size=12, max_size=12)


class TestPages(testtools.TestCase):
    """Whatever lies on a page: the text is the one that the structs of the schemas are encoded to."""

    def _list(self, shown, start, steps):
        position = start
        for message, step in zip(shown, steps, strict=False):
            message.position = position
            position += step
        return messages_service.Listed(QUEUE_ID, shown, NOW)

    def _show(self, message, version):
        message_id = messages.encode_position(QUEUE_ID, message.position)
        claim = f'?claim_id={message.claim_id}' if message.claim_id else ''
        href = f'{BASE}/messages/{message_id}{claim}'
        times_and_body = message.ttl, message.age(NOW), msgspec.Raw(message.body)
        if version == '1':
            return schemas.MessageOutV1(href, *times_and_body)
        if version == '1.1':
            return schemas.MessageOutV1_1(message_id, href, *times_and_body)
        state = messages.read_state(message)
        return schemas.MessageOut(
            message_id,
            href,
            *times_and_body,
            checksum=message.checksum or msgspec.UNSET,
            dead_letter=state.dead_letter or msgspec.UNSET,
            copied_from=state.copied_from or msgspec.UNSET,
        )

    @given(found, starts, gaps, st.none() | st.text(max_size=20))
    def test_pages_and_bare_messages(self, shown, start, steps, href):
        listed = self._list(shown, start, steps)
        for version, dialect in dialects.VERSIONS.items():
            expected = [self._show(message, version) for message in shown]
            bare = expected if version == '1' else schemas.MessagesOut(expected)
            page = schemas.PageOut(expected, [] if href is None else [schemas.Link(href)])

            self.assertEqual(msgspec.json.encode(bare), dialect.bare(BASE, listed))
            self.assertEqual(msgspec.json.encode(page), dialect.page(BASE, listed, href))

    @given(found, starts, gaps)
    def test_claims(self, shown, start, steps):
        held = claims_service.Held('c' * 24, 300, 7, self._list(shown, start, steps))
        for version, dialect in dialects.VERSIONS.items():
            document = msgspec.json.decode(msgspec.json.encode(dialect.claim(BASE, held)))
            expected = [self._show(message, version) for message in shown]

            self.assertEqual(msgspec.json.decode(msgspec.json.encode(expected)), document['messages'])
            self.assertEqual(
                (300, 7, f'{BASE}/claims/{"c" * 24}'), tuple(document[name] for name in ('ttl', 'age', 'href'))
            )

    @given(starts, gaps)
    def test_answers_to_posts(self, start, steps):
        positions = [start + sum(steps[:count]) for count in range(len(steps))]
        message_ids = messages.encode_positions(QUEUE_ID, positions)
        hrefs = [f'{BASE}/messages/{messages.encode_position(QUEUE_ID, position)}' for position in positions]
        for version, dialect in dialects.VERSIONS.items():
            expected = schemas.PostOutV1(hrefs) if version == '1' else schemas.PostOut(hrefs)
            self.assertEqual(msgspec.json.encode(expected), dialect.posted(BASE, message_ids))
