"""Message bodies sealed at rest: encrypted and authenticated where a queue asks for it, opened wherever they leave.

A sealed body is one byte 0x01, with which no JSON text begins, then the length of the key's id (one byte), that id, a
random nonce (12 bytes), and the ciphertext of AES-256-GCM with its tag. So a queue may hold sealed and plain messages
side by side, and a store need not know which is which.

Each life of a queue has a cipher key of its own, derived from the configured one. That, and naming the queue in what
is authenticated beside the text, ties a sealed body to its queue: copied to another one it does not open.
"""

import base64
import binascii
import collections.abc
import functools
import hmac
import logging
import os
import re
import typing

from cryptography import exceptions
from cryptography.hazmat.primitives.ciphers import aead

from queueservice.model import errors, messages, queues
from queueservice.storage import messages as store

_LOG = logging.getLogger(__name__)

#: What a sealed body begins with.
_SEALED = b'\x01'
_NONCE = 12  # bytes
_TAG = 16  # bytes
_SECRET = 32  # bytes
#: Seconds for which messages that cannot be opened are set aside.
_REST = 30
_KEY_ID = re.compile(r'[A-Za-z0-9_.-]{1,32}')


class Key(typing.NamedTuple):
    id: str
    secret: bytes

    def __repr__(self):
        return f'Key({self.id!r})'


class Shut(typing.NamedTuple):
    """Messages that could not be opened."""

    positions: list[int]
    error: errors.EncryptionFailed  # why; a missing key comes before damage


def read_key(text: str) -> Key:
    """A key as it is configured, `id:base64`.

    :raises ValueError: saying what is wrong without showing the key.
    """
    key_id, colon, encoded = text.strip().partition(':')
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise ValueError('it must be ID:BASE64, where ID has 1 to 32 of the characters A-Z a-z 0-9 "_" "." "-".')
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        secret = b''
    if len(secret) != _SECRET:
        raise ValueError(f'what follows "{key_id}:" must be {_SECRET} bytes in base64.')
    return Key(key_id, secret)


def write_key(key: Key) -> str:
    """The opposite of `read_key`."""
    return f'{key.id}:{base64.b64encode(key.secret).decode()}'


def new_key(key_id: str | None = None) -> Key:
    """A random key; its id is random, too, unless it is given."""
    return Key(key_id or os.urandom(4).hex(), os.urandom(_SECRET))


class Sealing:
    """Seals and opens bodies.

    :param keys: the first one seals, every one opens.
    :param checksums: whether opened messages get a checksum. It is made then and never stored: the MD5 of a short
        text gives the text away.
    """

    def __init__(self, keys: collections.abc.Sequence[Key] = (), checksums: bool = False):
        self._keys = {key.id.encode(): key for key in keys}
        self._first = keys[0] if keys else None
        self._checksums = checksums

    def seal(self, queue: queues.Queue, drafts: list[messages.Draft]) -> list[messages.Draft]:
        """`drafts` as they are to be stored in `queue`: sealed, in place, if it asks for that.

        :raises EncryptionKeyMissing: it does, and there is no key.
        """
        if not queue.settings.enable_encrypt_messages:
            return drafts
        if self._first is None:
            raise errors.EncryptionKeyMissing(queue=queue.key.name, which='any key')
        key_id = self._first.id.encode()
        header = _SEALED + bytes((len(key_id),)) + key_id
        cipher = _cipher(self._first, queue.id)
        context = _context(queue)
        for draft in drafts:
            nonce = os.urandom(_NONCE)
            opening = header + nonce
            draft.body = opening + cipher.encrypt(nonce, draft.body, opening + context)
            draft.checksum = None
        return drafts

    def open(self, queue: queues.Queue, found: list[messages.Message]) -> tuple[list[messages.Message], Shut | None]:
        """`found` as they are to be delivered, opened in place, and apart from them those that cannot be opened."""
        if queue.settings.enable_encrypt_messages is None:
            return found, None
        opened, positions, error = [], [], None
        context = _context(queue)
        for message in found:
            if message.body.startswith(_SEALED):
                try:
                    message.body = self._open(queue, context, message.body)
                except errors.EncryptionFailed as failure:
                    positions.append(message.position)
                    if error is None or isinstance(failure, errors.EncryptionKeyMissing):
                        error = failure
                    continue
                if self._checksums:
                    message.checksum = messages.checksum(message.body)
            opened.append(message)
        if error is None:
            return opened, None
        shown = ', '.join(messages.encode_positions(queue.id, positions))
        _LOG.error('These messages cannot be decrypted: %s. %s', shown, error)
        return opened, Shut(positions, error)

    def read(
        self, queue: queues.Queue, found: list[messages.Message], may_be_none: bool = False
    ) -> list[messages.Message]:
        """`found` as they are to be shown to a reader, opened in place. Damaged messages are left out.

        :param may_be_none: whether all of them may be left out.
        :raises EncryptionKeyMissing: for any of them. To leave it out would let readers of pages pass it by.
        :raises MessageDamaged: all of them are.
        """
        opened, shut = self.open(queue, found)
        if shut and (isinstance(shut.error, errors.EncryptionKeyMissing) or not (opened or may_be_none)):
            raise shut.error
        return opened

    def digests(self, queue: queues.Queue, digest: bytes) -> list[bytes]:
        """What may be stored to tell later whether a request comes again whose digest is `digest`.

        The first one is to be stored. Where bodies are sealed it is keyed, or the digest of a short text would give
        the text away. The others are what may have been stored before the keys or the queue's setting changed.
        """
        keyed = [hmac.digest(_derive(key, queue.id, b'digest'), digest, 'sha256') for key in self._keys.values()]
        return [*keyed, digest] if queue.settings.enable_encrypt_messages else [digest, *keyed]

    def _open(self, queue, context, body):
        id_ends = 2 + body[1] if len(body) > 1 else 2
        opening_ends = id_ends + _NONCE
        if len(body) < opening_ends + _TAG:
            raise errors.MessageDamaged(queue=queue.key.name)
        key = self._keys.get(body[2:id_ends])
        if key is None:
            key_id = body[2:id_ends].decode(errors='replace')
            if not _KEY_ID.fullmatch(key_id):
                raise errors.MessageDamaged(queue=queue.key.name)
            raise errors.EncryptionKeyMissing(queue=queue.key.name, which=f'the key "{key_id}"')
        nonce, text, opening = body[id_ends:opening_ends], body[opening_ends:], body[:opening_ends]
        try:
            return _cipher(key, queue.id).decrypt(nonce, text, opening + context)
        except exceptions.InvalidTag:
            raise errors.MessageDamaged(queue=queue.key.name) from None


def set_aside(store: store.MessageStore, queue: queues.Queue, claim: messages.Claim, shut: Shut, now: float) -> None:
    """Let go of messages that `claim` took and nobody can read: for a while others come before them.

    If interrupted: they come back when the claim ends.
    """
    change = messages.Change(positions=tuple(shut.positions), available_at=now + _REST)
    store.renew(queue, claim.id, (change,), now)


def _context(queue):
    """What is authenticated beside the text and the opening: whose queue it is, and which life of it."""
    return f'{queue.id}/{queue.key.namespace}/{queue.key.project}'.encode()


def _derive(key, queue_id, purpose):
    return hmac.digest(key.secret, b'queueservice sealing 1/%b/%b' % (purpose, queue_id.encode()), 'sha256')


@functools.lru_cache(maxsize=4096)
def _cipher(key, queue_id):
    # A key of its own for each queue: random nonces of 96 bits are good for 2**32 messages under one key.
    return aead.AESGCM(_derive(key, queue_id, b'cipher'))
