"""What ties a sealed body to its queue, project and key. What clients see of it: tests/api/test_encryption.py."""

import msgspec
import testtools

from queueservice.model import errors, messages, queues
from queueservice.services import sealing

_KEY = sealing.Key('k1', bytes(range(32)))
_QUEUE = queues.Queue(
    id='0123456789abcdef01234567',
    key=queues.QueueKey(queues.PROJECT, 'project-1', 'demo'),
    revision=1,
    metadata={},
    settings=queues.Settings(enable_encrypt_messages=True),
    created_at=0,
)


class TestSealing(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.sealing = sealing.Sealing([_KEY])

    def seal(self, body=b'1'):
        [draft] = self.sealing.seal(_QUEUE, [messages.Draft(body, 0)])
        return draft.body

    def open(self, body, seals=None, **changes):
        """What `body` is to a queue with `changes`: a body, or the error."""
        queue = msgspec.structs.replace(_QUEUE, **changes)
        message = messages.store(messages.Draft(body, 0), 1, 0)
        opened, shut = (seals or self.sealing).open(queue, [message])
        return shut.error if shut else opened[0].body

    def assert_damaged(self, opened):
        self.assertIsInstance(opened, errors.MessageDamaged)

    def test_its_form_is_a_mark_the_key_a_nonce_and_the_text_with_a_tag(self):
        sealed = self.seal(b'{"a":1}')
        self.assertEqual(b'\x01\x02k1', sealed[:4])
        self.assertEqual(4 + 12 + len(b'{"a":1}') + 16, len(sealed))
        self.assertEqual(b'{"a":1}', self.open(sealed))

    def test_nonces_differ(self):
        self.assertEqual(1000, len({self.seal()[4:16] for _ in range(1000)}))

    def test_it_opens_in_its_own_queue_only(self):
        self.assert_damaged(self.open(self.seal(), id='f' * 24))

    def test_it_opens_in_its_own_project_only(self):
        self.assert_damaged(self.open(self.seal(), key=_QUEUE.key._replace(project='project-2')))
        self.assert_damaged(self.open(self.seal(), key=_QUEUE.key._replace(namespace=queues.SHARED)))

    def test_it_opens_under_its_own_key_only(self):
        self.assert_damaged(self.open(self.seal(), sealing.Sealing([sealing.Key('k1', bytes(32))])))

    def test_the_name_of_the_key_is_authenticated(self):
        twins = sealing.Sealing([_KEY, sealing.Key('k2', _KEY.secret)])
        self.assertEqual(b'1', self.open(self.seal(), twins))
        self.assert_damaged(self.open(self.seal().replace(b'k1', b'k2', 1), twins))

    def test_the_key_that_is_missing_is_named(self):
        missing = self.open(self.seal(), sealing.Sealing())
        self.assertIsInstance(missing, errors.EncryptionKeyMissing)
        self.assertIn('"k1"', str(missing))

    def test_a_missing_key_is_told_before_damage(self):
        damaged, missing = self.seal()[:-1], self.seal().replace(b'k1', b'k2', 1)
        for bodies in ((damaged, missing), (missing, damaged)):
            found = [messages.store(messages.Draft(body, 0), 1, 0) for body in bodies]
            opened, shut = self.sealing.open(_QUEUE, found)
            self.assertEqual([], opened)
            self.assertIsInstance(shut.error, errors.EncryptionKeyMissing)

    def test_queues_that_never_asked_for_it_are_not_looked_at(self):
        found = [messages.store(messages.Draft(b'1', 0), 1, 0)]
        opened, shut = self.sealing.open(msgspec.structs.replace(_QUEUE, settings=queues.Settings()), found)
        self.assertIs(found, opened)
        self.assertIsNone(shut)
