"""What is written as text is what the structs say."""

import msgspec
import testtools

from queueservice.api import dialects
from queueservice.api.schemas import messages as schemas
from queueservice.model import messages
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
        return bytes(dialect.messages(self.base, page))

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
