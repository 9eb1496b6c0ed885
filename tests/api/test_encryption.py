"""Queues with _enable_encrypt_messages: what is stored says nothing, and everybody reads what was posted."""

import base64
import tempfile

import msgspec

from queueservice.model import limits, messages, queues
from queueservice.services import sealing
from queueservice.storage import messages as store
from queueservice.storage import records, tables
from tests.api import base
from tests.fixtures import drivers, mongodb, services

_OLD = sealing.Key('old', bytes(range(32)))
_NEW = sealing.Key('new', bytes(range(32, 64)))
_SECRET = 'the launch code is 0000'
_ENCRYPTS = '_enable_encrypt_messages'


class EncryptionTestCase(base.ApiTestCase):
    keys = (_OLD,)

    def setUp(self):
        super().setUp()
        self.driver = self.service.driver
        self.serve(*self.keys)

    def serve(self, *keys, **bounds):
        """Speak to a service with these keys on the same store from now on."""
        clock = self.clock
        self.service = services.Service(
            self.driver, limits=limits.Limits(**{**self.limits, **bounds}), keys=keys, **self.settings
        )
        self.service.clock.advance(clock() - self.service.clock())
        self.use(self.service)

    def encrypt(self, name='demo', **metadata):
        version, self.version = self.version, '2'
        self.make_queue(name, {_ENCRYPTS: True, **metadata})
        self.version = version

    def switch(self, value, name='demo'):
        version, self.version = self.version, '2'
        self.change(('replace', _ENCRYPTS, value), name=name, status=200)
        self.version = version

    def find_queue(self, name='demo', project=base.PROJECT):
        where = (records.Condition('name', '=', name), records.Condition('project', '=', project))
        [record] = self.driver.records.find(tables.QUEUES, records.Query(where=where)).records
        key = queues.QueueKey(record['namespace'], record['project'], record['name'])
        return queues.Queue(record['id'], key, record['revision'], {}, queues.Settings(), record['created_at'])

    def stored(self, name='demo', project=base.PROJECT):
        """What the store has of the queue, with whatever state it is in."""
        selection = store.Selection(limit=1000, include_claimed=True, include_delayed=True)
        return self.driver.messages.select(self.find_queue(name, project), selection, self.clock()).messages

    def plant(self, *bodies, name='demo', project=base.PROJECT):
        """Store bodies behind the back of the service."""
        drafts = [messages.Draft(body, self.clock() + 300) for body in bodies]
        self.driver.messages.append(self.find_queue(name, project), drafts, self.clock())

    def damage(self, body):
        """Seal a body for the queue and change one bit of what is to be stored."""
        draft = messages.Draft(body, 0)
        queue = self.find_queue()
        sealed = msgspec.structs.replace(queue, settings=queues.Settings(enable_encrypt_messages=True))
        sealing.Sealing([_OLD]).seal(sealed, [draft])
        return draft.body[:-1] + bytes((draft.body[-1] ^ 1,))


@base.in_versions('1', '1.1', '2')
class TestEveryPath(EncryptionTestCase):
    """On every path that delivers a message."""

    def test_what_is_stored_says_nothing(self):
        self.encrypt()
        self.post_messages(_SECRET, {'a': _SECRET})
        for message in self.stored():
            self.assertEqual(b'\x01', message.body[:1])
            self.assertNotIn(b'launch', message.body)
            self.assertIsNone(message.checksum)

    def test_equal_bodies_are_stored_unequally(self):
        self.encrypt()
        self.post_messages(1, 1, 1)
        self.assertEqual(3, len({message.body for message in self.stored()}))

    def test_lists_show_what_was_posted(self):
        self.encrypt()
        self.post_messages(_SECRET, 2)
        self.assertEqual([_SECRET, 2], self.list_bodies())
        page, href = self.message_page(params={'limit': 1})
        self.assertEqual([_SECRET], base.bodies(page))
        self.assertEqual([2], base.bodies(self.message_page(href)[0]))

    def test_single_reads_and_reads_by_ids_do(self):
        self.encrypt()
        hrefs = self.post_messages(_SECRET, 2)
        self.assertEqual(_SECRET, self.read(hrefs[0])['body'])
        self.assertEqual([_SECRET, 2], base.bodies(self.get_by_ids(*hrefs)))

    def test_claims_do_and_reading_them_does(self):
        self.encrypt()
        self.post_messages(_SECRET, 2)
        claim, claimed = self.claim()
        self.assertEqual([_SECRET, 2], base.bodies(claimed))
        self.assertEqual([_SECRET, 2], base.bodies(self.held(claim)['messages']))

    def test_bytes_are_what_was_sent(self):
        self.encrypt()
        raw = b'{"n": 123456789012345678901234567890 , "n":1.10, "s":"\\u00e4\xc3\xa4"}'
        self.post_raw(raw, status=201)
        self.assertIn(raw, self.get('/queues/demo/messages').body)

    def test_messages_of_before_and_after_a_change_of_the_setting_stay_readable(self):
        self.make_queue()
        self.post_messages(1)
        self.switch(True)
        self.post_messages(2)
        self.switch(False)
        self.post_messages(3)
        self.assertEqual([1, 2, 3], self.list_bodies())
        self.assertEqual([1, 2, 3], base.bodies(self.claim()[1]))
        self.assertEqual([False, True, False], [message.body[:1] == b'\x01' for message in self.stored()])


class EveryDriver(EncryptionTestCase):
    def test_every_path_and_what_is_stored(self):
        self.encrypt()
        hrefs = self.post_messages(_SECRET, 2, 3)
        self.assertNotIn(b'launch', b''.join(message.body for message in self.stored()))
        self.assertEqual([_SECRET, 2, 3], self.list_bodies())
        self.assertEqual(_SECRET, self.read(hrefs[0])['body'])
        claim, claimed = self.claim(limit=1)
        self.assertEqual([_SECRET], base.bodies(claimed))
        self.assertEqual([_SECRET], base.bodies(self.held(claim)['messages']))
        self.assertEqual([2, 3], base.bodies(self.pop(2)))
        self.assertEqual((1, 0, 1), self.counts())


class TestMemory(EveryDriver):
    pass


class TestSQLite(EveryDriver):
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, synchronous='normal')


class TestMongoDB(EveryDriver):
    def make_driver(self):
        return mongodb.build_driver(self)


del EveryDriver


class TestPop(EncryptionTestCase):
    def test_a_pop_returns_and_deletes_what_was_posted(self):
        self.encrypt()
        self.post_messages(_SECRET, 2, 3)
        popped = self.pop(2)
        self.assertEqual([_SECRET, 2], base.bodies(popped))
        self.assertEqual([0, 0], [message['claim_count'] for message in popped])
        self.assertEqual((0, 1, 1), self.counts())

    def test_what_cannot_be_read_is_not_lost(self):
        self.encrypt()
        self.post_messages(1, 2)
        self.serve(_NEW)
        self.request('DELETE', '/queues/demo/messages', params={'pop': 2}, status=503)
        self.assertEqual((0, 2, 2), self.counts())
        self.serve(_OLD)
        self.clock.advance(30)
        self.assertEqual([1, 2], base.bodies(self.pop(2)))

    def test_it_is_not_lost_either_where_the_queue_is_not_encrypted_any_more(self):
        for change in (('replace', _ENCRYPTS, False), ('remove', _ENCRYPTS), ('add', _ENCRYPTS, None)):
            name = change[0]
            self.encrypt(name)
            self.post_messages(1, queue=name)
            self.change(change, name=name, status=200)
            self.serve()
            self.request('DELETE', f'/queues/{name}/messages', params={'pop': 1}, status=503)
            self.serve(_OLD)
            self.clock.advance(30)
            self.assertEqual([1], base.bodies(self.pop(1, queue=name)))


class TestSetting(EncryptionTestCase):
    def test_it_is_shown(self):
        self.encrypt()
        self.assertIs(True, self.metadata()[_ENCRYPTS])
        self.switch(False)
        self.assertIs(False, self.metadata()[_ENCRYPTS])

    def test_a_change_that_was_answered_holds_for_every_service(self):
        """One that remembers the queue as it was stores nothing in plain text."""
        self.make_queue()
        self.post_messages(1)  # this service remembers the queue from now on
        remembering = self.service
        self.serve(_OLD)
        self.switch(True)
        self.use(remembering)
        self.post_messages(_SECRET)
        plain, sealed = self.stored()
        self.assertEqual(b'1', plain.body)
        self.assertEqual(b'\x01', sealed.body[:1])
        self.assertNotIn(b'launch', sealed.body)

    def test_without_a_key_nothing_is_stored_in_a_queue_that_wants_it_encrypted(self):
        self.encrypt()
        self.serve()
        answer = self.post('/queues/demo/messages', {'messages': [{'body': _SECRET}]}, status=503)
        self.assertIn('[encryption] keys', answer.json['description'])
        self.assertIn('demo', answer.json['description'])
        self.assertEqual([], self.stored())
        self.assert_refused(self.change(('add', 'a', 1), status=400), 'no encryption key')

    def test_a_client_of_v1_does_not_switch_it_off_unknowingly(self):
        self.encrypt(a=1)
        self.version = '1'
        self.put('/queues/demo/metadata', {'b': 2}, status=204)
        self.assertEqual({_ENCRYPTS: True, 'b': 2}, self.metadata())
        self.post_messages(_SECRET)
        self.assertEqual(b'\x01', self.stored()[0].body[:1])

    def test_sizes_count_what_was_sent(self):
        self.encrypt(_max_messages_post_size=100)
        body = 'x' * (100 - len('{"messages":[{"body":""}]}'))
        self.post('/queues/demo/messages', b'{"messages":[{"body":"%b"}]}' % body.encode(), status=201)
        self.post('/queues/demo/messages', b'{"messages":[{"body":"%bx"}]}' % body.encode(), status=400)


class TestKeys(EncryptionTestCase):
    def test_the_first_key_encrypts_and_all_decrypt(self):
        self.encrypt()
        self.post_messages(1)
        self.serve(_NEW, _OLD)
        self.post_messages(2)
        self.assertEqual([1, 2], self.list_bodies())
        self.assertEqual([b'old', b'new'], [message.body[2:5] for message in self.stored()])
        self.serve(_OLD, _NEW)
        self.assertEqual([1, 2], self.list_bodies())

    def test_a_missing_key_lets_no_reader_pass_by(self):
        self.encrypt()
        hrefs = self.post_messages(1)
        self.serve(_NEW)
        hrefs += self.post_messages(2)
        for path in (
            '/queues/demo/messages',
            base.without_query(hrefs[0]),
            f'/queues/demo/messages?ids={",".join(map(base.id_of, hrefs))}',
        ):
            answer = self.get(path, status=503)
            for word in ('demo', '"old"', '[encryption] keys'):
                self.assertIn(word, answer.json['description'])
        self.assertEqual(2, self.read(hrefs[1])['body'])

    def test_a_claim_gives_what_it_can_and_sets_the_rest_aside(self):
        self.encrypt()
        self.post_messages(1)
        self.serve(_NEW)
        self.post_messages(2)
        claim, claimed = self.claim()
        self.assertEqual([2], base.bodies(claimed))
        self.assertEqual([2], base.bodies(self.held(claim)['messages']))
        self.assertEqual((None, []), self.claim(status=204))
        self.clock.advance(30)
        self.post('/queues/demo/claims', status=503)
        self.serve(_OLD, _NEW)
        self.clock.advance(30)
        self.assertEqual([1], base.bodies(self.claim()[1]))

    def test_a_claim_cannot_be_read_without_the_key_of_what_it_holds(self):
        self.encrypt()
        self.post_messages(1)
        claim, _ = self.claim()
        self.serve(_NEW)
        self.get(claim, status=503)
        self.patch(claim, {'ttl': 60}, status=204)
        self.delete(claim, status=204)

    def test_messages_can_be_deleted_without_their_key(self):
        self.encrypt()
        href, *_ = self.post_messages(1, 2)
        self.serve()
        self.delete(base.without_query(href), status=204)
        self.post('/queues/demo/purge', status=204)
        self.assertEqual((0, 0, 0), self.counts())

    def test_another_key_of_the_same_id_opens_nothing(self):
        self.encrypt()
        [href] = self.post_messages(1)
        self.serve(sealing.Key('old', _NEW.secret))
        self.get(href, status=503)
        self.assertEqual([], self.list_bodies())


class TestDamage(EncryptionTestCase):
    """What was changed or moved in the store is never delivered, and does not hold up what was not."""

    def assert_not_delivered(self, name='demo'):
        before = len(self.stored(name))
        self.assertEqual([], self.list_bodies(name, echo=True))
        for message in self.stored(name):
            path = f'/queues/{name}/messages'
            message_id = messages.encode_position(self.find_queue(name).id, message.position)
            answer = self.get(f'{path}/{message_id}', status=503)
            self.assertIn('decrypted', answer.json['description'])
            self.get(f'{path}?ids={message_id}', status=503)
        self.post(f'/queues/{name}/claims', status=503)
        self.clock.advance(30)
        self.request('DELETE', f'/queues/{name}/messages', params={'pop': 10}, status=503)
        self.assertEqual(before, len(self.stored(name)))

    def test_every_bit_counts(self):
        self.encrypt()
        self.post_messages(_SECRET)
        [message] = self.stored()
        self.delete(f'/queues/demo/messages/{messages.encode_position(self.find_queue().id, message.position)}')
        size = len(message.body)
        for place in (*range(5, size, 7), size - 1):
            changed = bytearray(message.body)
            changed[place] ^= 4
            self.plant(bytes(changed))
        self.assert_not_delivered()

    def test_what_is_cut_off_is_not_delivered(self):
        self.encrypt()
        self.post_messages(_SECRET)
        [message] = self.stored()
        self.request('DELETE', '/queues/demo/messages', params={'pop': 1})
        self.plant(
            *[message.body[:size] for size in (1, 2, 3, 5, 16, 17, 33, len(message.body) - 1)], message.body + b'x'
        )
        self.assert_not_delivered()

    def test_bytes_of_another_queue_do_not_open(self):
        self.encrypt('other')
        self.post_messages(_SECRET, queue='other')
        self.encrypt()
        self.plant(self.stored('other')[0].body)
        self.assert_not_delivered()

    def test_bytes_of_another_project_do_not_open(self):
        self.put('/queues/demo', {_ENCRYPTS: True}, project='project-2', status=201)
        self.post_messages(_SECRET, project='project-2')
        self.encrypt()
        self.plant(self.stored(project='project-2')[0].body)
        self.assert_not_delivered()

    def test_bytes_of_an_earlier_life_do_not_open(self):
        self.encrypt()
        self.post_messages(_SECRET)
        [message] = self.stored()
        self.delete('/queues/demo')
        self.encrypt()
        self.plant(message.body)
        self.assert_not_delivered()

    def test_what_is_whole_is_delivered_past_it(self):
        self.encrypt()
        self.plant(self.damage(b'1'))
        self.post_messages(2)
        self.assertEqual([2], self.list_bodies())
        page, href = self.message_page(params={'limit': 1})
        self.assertEqual([], page)
        self.assertEqual([2], base.bodies(self.message_page(href)[0]))
        self.assertEqual([2], base.bodies(self.claim()[1]))

    def test_it_does_not_become_a_dead_letter(self):
        self.encrypt(_max_claim_count=1, _dead_letter_queue='dead')
        self.plant(self.damage(b'1'))
        for _ in range(3):
            self.post('/queues/demo/claims', status=base.ANY)
            self.clock.advance(60)
        self.assertEqual(1, self.counts()[2])
        self.assertEqual((0, 0, 0), self.counts('dead'))


class TestDeadLetters(EncryptionTestCase):
    def bury(self):
        self.post_messages(_SECRET)
        self.release(self.claim()[0])
        self.assertEqual((None, []), self.claim(status=204))

    def test_the_queue_that_the_first_of_them_makes_is_encrypted_too(self):
        self.encrypt(_max_claim_count=1, _dead_letter_queue='dead')
        self.bury()
        self.assertIs(True, self.metadata('dead')[_ENCRYPTS])
        [message] = self.stored('dead')
        self.assertEqual(b'\x01', message.body[:1])
        self.assertEqual([_SECRET], self.list_bodies('dead', echo=True))

    def test_they_are_sealed_anew_for_the_queue_that_they_come_to(self):
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.encrypt('dead')
        self.bury()
        [message] = self.stored('dead')
        self.assertEqual(b'\x01', message.body[:1])
        self.assertEqual([_SECRET], self.list_bodies('dead', echo=True))

    def test_a_queue_that_is_not_encrypted_gets_them_plain(self):
        self.encrypt(_max_claim_count=1, _dead_letter_queue='dead')
        self.make_queue('dead')
        self.bury()
        self.assertEqual(b'"%b"' % _SECRET.encode(), self.stored('dead')[0].body)

    def test_without_a_key_they_stay_where_they_are(self):
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.encrypt('dead')
        self.serve()
        self.bury()
        self.assertEqual([], self.stored('dead'))
        self.serve(_OLD)
        self.clock.advance(30)
        self.assertEqual((None, []), self.claim(status=204))
        self.assertEqual([_SECRET], self.list_bodies('dead', echo=True))


class TestChecksums(EncryptionTestCase):
    limits = {'enable_checksum': True}
    checksum = messages.checksum(b'"%b"' % _SECRET.encode())

    def test_they_are_shown_and_not_stored(self):
        self.encrypt()
        [href] = self.post_messages(_SECRET)
        self.assertIsNone(self.stored()[0].checksum)
        self.assertEqual(self.checksum, self.read(href)['checksum'])
        self.assertEqual(self.checksum, self.pop(1)[0]['checksum'])

    def test_dead_letters_that_become_plain_have_them(self):
        self.encrypt(_max_claim_count=1, _dead_letter_queue='dead')
        self.make_queue('dead')
        self.post_messages(_SECRET)
        self.release(self.claim()[0])
        self.claim()
        self.assertEqual(self.checksum, self.stored('dead')[0].checksum)

    def test_dead_letters_that_are_sealed_have_none_stored(self):
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.encrypt('dead')
        self.post_messages(_SECRET)
        self.release(self.claim()[0])
        self.claim()
        self.assertIsNone(self.stored('dead')[0].checksum)


class TestIdempotency(EncryptionTestCase):
    def send(self, body=_SECRET, status=201):
        return self.post(
            '/queues/demo/messages',
            {'messages': [{'body': body}]},
            headers={'Idempotency-Key': 'k'},
            status=status,
        )

    def test_a_repeat_stores_nothing_and_another_body_is_409(self):
        self.encrypt()
        first = self.send().json
        self.assertEqual(first, self.send().json)
        self.send('another', status=409)
        self.assertEqual(1, len(self.stored()))

    def test_a_repeat_is_known_over_a_change_of_keys(self):
        self.encrypt()
        first = self.send().json
        self.serve(_NEW, _OLD)
        self.assertEqual(first, self.send().json)
        self.send('another', status=409)
        self.assertEqual(1, len(self.stored()))

    def test_a_repeat_is_known_over_a_change_of_the_setting(self):
        self.make_queue()
        first = self.send().json
        self.switch(True)
        self.assertEqual(first, self.send().json)
        self.delete('/queues/demo')
        self.encrypt()
        first = self.send().json
        self.switch(False)
        self.assertEqual(first, self.send().json)
        self.send('another', status=409)

    def test_the_digest_that_is_stored_is_keyed(self):
        digest = b'd' * 32
        queue = queues.Queue('f' * 24, queues.QueueKey('project', 'p', 'q'), 1, {}, queues.Settings(), 0)
        sealed = msgspec.structs.replace(queue, settings=queues.Settings(enable_encrypt_messages=True))
        seals = sealing.Sealing([_OLD, _NEW])
        self.assertEqual(digest, seals.digests(queue, digest)[0])
        self.assertNotIn(seals.digests(sealed, digest)[0], (digest, sealing.Sealing([_NEW]).digests(sealed, digest)[0]))
        self.assertEqual(3, len(set(seals.digests(sealed, digest))))


class TestConfiguredKeys(base.ApiTestCase):
    def test_a_key_is_read_as_it_is_written(self):
        key = sealing.new_key()
        self.assertEqual(key, sealing.read_key(f' {sealing.write_key(key)} '))
        self.assertNotEqual(key, sealing.new_key())
        self.assertEqual('a', sealing.new_key('a').id)

    def test_a_key_is_not_shown(self):
        self.assertEqual("Key('old')", repr(_OLD))

    def test_a_malformed_key_is_refused_without_showing_it(self):
        secret = base64.b64encode(_OLD.secret).decode()
        for text in ('', 'old', secret, f':{secret}', f'a b:{secret}', f'{"x" * 33}:{secret}', f'old:{secret[:-4]}',
                     f'old:{secret}AAAA', f'old:!{secret}', f'old:{secret}:x', 'old:', 'old:AES256'):  # fmt: skip
            error = self.assertRaises(ValueError, sealing.read_key, text)
            self.assertNotIn(secret[:8], str(error))
            self.assertRegex(str(error), 'ID:BASE64|32 bytes')
