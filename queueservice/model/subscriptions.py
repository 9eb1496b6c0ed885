"""Subscriptions: who wants to be told of what comes into a queue, and how."""

import base64
import os
import re
import typing

import msgspec

from queueservice.model import errors, queues, retry, subscribers

#: Seconds for which the secret before the present one still signs.
OLD_SECRET_LIFE = 24 * 3600
_SECRET_LENGTH = 32  # bytes

#: The most subscriptions that one queue can have: the queue's record has the ids of those that are confirmed.
MOST = 10_000

#: Whose consent is asked, where the operator wants it to be. Queues are the project's own.
_ASKED = ('http', 'https', 'mailto')

#: Control characters, and what ends a line of mail for somebody.
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_MOST_CHARACTERS = 256


class Subscription(msgspec.Struct, frozen=True):
    """One subscriber of one life of a queue."""

    id: str  # new_id()
    queue: queues.QueueKey
    queue_id: str  # of that life of the queue
    subscriber: str  # a URI, as the client sent it
    options: dict[str, typing.Any]  # as the client sent them, decoded
    ttl: int  # s
    created_at: float  # s, UTC
    renewed_at: float  # s, UTC; its life counts from here
    expires_at: float  # s, UTC
    confirmed: bool  # only then messages are delivered
    nonce: str  # what confirmation links are bound to; another one whenever the subscriber changes
    secret: bytes  # signs what is delivered
    old_secret: bytes | None  # signs, too, ...
    old_secret_until: float  # s, UTC; ... until then
    revision: int

    @property
    def scheme(self) -> str:
        return self.subscriber.partition(':')[0].lower()

    def secrets(self, now: float) -> tuple[bytes, ...]:
        """What signs at `now`, the present secret first."""
        old = self.old_secret is not None and now < self.old_secret_until
        return (self.secret, self.old_secret) if old else (self.secret,)


class Wanted(msgspec.Struct, frozen=True):
    """What a client wants a subscription to be; None where it does not say."""

    subscriber: str | None = None
    ttl: int | None = None  # s
    options: dict[str, typing.Any] | None = None


def new_id(now: float) -> str:
    """An identifier for a subscription: 24 hex digits, in the order in which they are made (to the microsecond)."""
    return f'{int(now * 1_000_000):013x}{os.urandom(6).hex()[1:]}'


def new_nonce() -> str:
    return os.urandom(12).hex()


def new_secret() -> bytes:
    return os.urandom(_SECRET_LENGTH)


def show_secret(secret: bytes) -> str:
    """The secret as receivers are given it: so Standard Webhooks writes one."""
    return f'whsec_{base64.b64encode(secret).decode()}'


def is_asked(scheme: str) -> bool:
    """Whether a subscriber of this kind has to confirm, where the operator requires it."""
    return scheme in _ASKED


def read_new(document: typing.Any) -> Wanted:
    """A subscription that a client wants to be made.

    :param document: decoded JSON.
    :raises BodyInvalid: naming the field and what it may be.
    """
    _check_document(document)
    if 'subscriber' not in document:
        raise errors.BodyInvalid(description='Missing parameter "subscriber": say where messages are to be delivered.')
    return _read(document)


def read_changes(document: typing.Any) -> Wanted:
    """What a client wants to be changed in a subscription.

    :raises BodyInvalid: naming the field and what it may be; or nothing is to be changed.
    """
    _check_document(document)
    if not document.keys() & {'subscriber', 'ttl', 'options'}:
        raise errors.BodyInvalid(
            description='No subscription to create. Send at least one of "subscriber", "ttl" and "options".'
        )
    return _read(document)


def read_confirmation(document: typing.Any) -> bool:
    """What the subscriber says.

    :raises BodyInvalid: neither yes nor no.
    """
    _check_document(document)
    confirmed = document.get('confirmed')
    if not isinstance(confirmed, bool):
        raise errors.BodyInvalid(description="The 'confirmed' should be boolean. Send true or false.")
    return confirmed


def _check_document(document):
    if not isinstance(document, dict):
        raise errors.BodyInvalid(description='Subscriptions must be a dict. Send a JSON object.')


def _read(document):
    values = {name: document[name] for name in Wanted.__struct_fields__ if name in document}
    if not isinstance(values.get('subscriber', ''), str):
        raise errors.BodyInvalid(description='The value of "subscriber" must be a string, such as "https://host/path".')
    if type(values.get('ttl', 0)) is not int:
        raise errors.BodyInvalid(
            description='TTL must be an integer: "ttl" is a number of seconds. Leave it out for the default.'
        )
    if 'options' in values:
        _check_options(values['options'])
    return Wanted(**values)


def _check_options(options):
    if not isinstance(options, dict):
        raise errors.BodyInvalid(description='Options must be a dict. Send a JSON object, or leave "options" out.')
    if '_retry_policy' in options:
        retry.read(options['_retry_policy'], name='options._retry_policy')
    if 'post_headers' in options:
        subscribers.check_headers(options['post_headers'])
    if not isinstance(options.get('post_data', ''), str):
        raise errors.BodyInvalid(
            description='The value of "options.post_data" must be a string: the text to send, with "$zaqar_message$" '
            'in quotation marks where the notification is to stand.'
        )
    for name in ('from', 'subject'):
        value = options.get(name, '')
        if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or _CONTROL.search(value):
            raise errors.BodyInvalid(
                description=f'The value of "options.{name}" must be a string of at most {_MOST_CHARACTERS} characters '
                'without line breaks and other control characters.'
            )
