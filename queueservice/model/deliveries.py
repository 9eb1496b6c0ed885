"""Deliveries: one message on its way to one subscriber, or what became of it.

A delivery is open while an entry for it lies in the internal queue of its subscription, the lane; its state is that
entry's. When it has ended, a record says how.
"""

import typing

import msgspec

from queueservice.model import messages, queues

#: What a delivery is about. Confirmations ask the subscriber whether he wants to be one; farewells ask whether again.
MESSAGE, CONFIRMATION, FAREWELL = 'message', 'confirmation', 'farewell'
Kind = typing.Literal['message', 'confirmation', 'farewell']
KINDS = typing.get_args(Kind)

#: How deliveries end.
DELIVERED = 'delivered'
FAILED = 'failed'  # tried as often as the policy says, or answered by something that trying again will not mend
REFUSED = 'refused'  # not tried: it may not be sent there
EXPIRED = 'expired'  # the message's life ended before the subscriber could be reached
DELETED = 'deleted'  # somebody consumed or deleted the message before
OUTCOMES = (DELIVERED, FAILED, REFUSED, EXPIRED, DELETED)
#: And the state of one that has not.
OPEN = 'open'

#: Why an attempt failed, beside the status that it was answered with. The closed list that tenants see.
ERRORS = {
    'status': 'The subscriber answered with a status other than 2xx.',
    'timeout': 'The subscriber did not answer in time.',
    'connection': 'No connection to the subscriber could be made, or it broke.',
    'tls': "The subscriber's certificate could not be verified.",
    'dns': "The subscriber's name could not be resolved.",
    'address': 'The subscriber is at an address to which this service does not deliver.',
    'response': 'The answer of the subscriber was not HTTP.',
    'template': 'The message could not be put into post_data.',
    'mail': 'The mail server refused the message.',
    'mail_off': 'This service sends no mail.',
    'queue': 'The queue to copy into refused the message.',
    'hops': 'The message has been in that queue before, or was copied from queue to queue too often.',
    'encryption': 'The message could not be decrypted.',
    'expired': 'The message expired before it could be delivered.',
    'deleted': 'The message was deleted before it could be delivered.',
    'unconfirmed': 'The subscriber has not confirmed, or not any more, that it wants messages.',
}

#: Internal queues through which what was posted reaches the lanes; one project always uses the same.
OUTBOXES = 16
#: Seconds that internal messages live: what ends them is that they are done.
LIFE = 10 * 365 * 24 * 3600
#: How many times a message may be copied from queue to queue.
MAX_HOPS = 5


class Rules(msgspec.Struct, frozen=True):
    """What the operator has said about delivery. Names are those of the options."""

    subscriber_types: tuple[str, ...] = ('http', 'https', 'mailto', 'queue')
    allowed_networks: tuple[str, ...] = ()  # CIDR
    allowed_ports: tuple[int, ...] = ()  # below 1024, beside 80 and 443
    workers: int = 16
    timeout: int = 10  # s
    max_wait: int = 3600  # s
    retention: int = 24 * 3600  # s
    require_confirmation: bool = False
    public_url: str | None = None
    external_confirmation_url: str | None = None
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_security: str = 'starttls'  # starttls, tls or none
    smtp_user_name: str | None = None
    smtp_user_password: str | None = None
    sender: str = 'queueservice@localhost'

    def __repr__(self):
        return 'Rules(...)'  # there is a password in it


class Place(typing.NamedTuple):
    position: int
    expires_at: float  # s, UTC
    available_at: float = 0  # s, UTC; 0: at once
    size: int = 0  # of the body, in bytes


class Fanout(msgspec.Struct, frozen=True):
    """The body of a message in an outbox: what one post stored, and who is to be told of it."""

    queue_id: str
    subscriptions: tuple[str, ...]  # ids of those that were confirmed at that moment
    places: tuple[Place, ...]
    request_id: str  # of the post


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a message in a lane: the attempts that were made. Without one there were none."""

    attempts: int = 0  # since it was (last) asked for; what its retry policy counts
    total: int = 0  # ever; what the subscriber sees
    first_at: float = 0  # s, UTC
    last_at: float = 0  # s, UTC
    status: int | None = None  # that the last one was answered with
    error: str | None = None  # of ERRORS


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a message in a lane: what is to be delivered. What was posted stays where it was posted."""

    delivery_id: str
    kind: Kind = MESSAGE
    message_id: str = ''
    request_id: str = ''
    expires_at: float = 0  # s, UTC; when the message's life was to end
    available_at: float = 0  # s, UTC; not to be sent before; 0: at once
    size: int = 0  # of what is to be read for it, in bytes
    #: Not 0: it was asked for after it had failed, what was posted lies with the record of that, and this was the
    #: record's revision. So two requests to send it again put one entry into the lane, and a third after it has failed
    #: once more another.
    again: int = 0
    before: Progress | None = None  # with `again`: the attempts that were made before

    @property
    def key(self) -> str:
        """The key under which it lies in its lane."""
        return f'{self.kind}:{self.delivery_id}:{self.again}'


class Delivery(msgspec.Struct, frozen=True):
    """A delivery as its owner sees it."""

    id: str
    subscription_id: str
    message_id: str
    kind: Kind
    outcome: str  # of OUTCOMES, or OPEN
    request_id: str
    attempts: int
    first_at: float | None  # s, UTC; of the first attempt
    last_at: float | None
    status: int | None
    error: str | None
    next_at: float | None = None  # s, UTC; when it is tried again, while it is open
    ended_at: float | None = None  # s, UTC


class Ended(typing.NamedTuple):
    """A delivery that has ended, as it is to be remembered."""

    delivery: Delivery  # with one of OUTCOMES, and `ended_at`
    message: bytes | None  # pack_message() of what was posted, where it may be sent again; None: it is not kept


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was posted, as it is kept with the record of a delivery that failed, in MessagePack.

    Nothing in it is decrypted: a sealed body stays sealed, and opens for the queue that it was posted to.
    """

    position: int
    body: bytes  # as it lay in its queue
    created_at: float  # s, UTC
    expires_at: float  # s, UTC; it is kept, and may be sent again, after that
    client: bytes = b''
    checksum: str | None = None
    claim_count: int = 0
    state: bytes = b''


def pack_message(message: messages.Message) -> bytes:
    """`message` as a record keeps it. To be called before it is opened, or it lies there in the clear."""
    return msgspec.msgpack.encode(Kept(**{name: getattr(message, name) for name in Kept.__struct_fields__}))


def unpack_message(packed: bytes) -> messages.Message:
    """The opposite of `pack_message`: what was posted, free and not opened yet."""
    kept = msgspec.msgpack.decode(packed, type=Kept)
    return messages.Message(**msgspec.structs.asdict(kept), available_at=0, claim_id=None, claim_ttl=0)


def delivery_id(subscription_id: str, message_id: str) -> str:
    """Names the delivery of a message to a subscriber: the same whenever and however often it is tried."""
    return f'{subscription_id}-{message_id}'


def outbox_key(shard: int) -> queues.QueueKey:
    return queues.QueueKey(queues.INTERNAL, '', f'outbox-{shard}')


def lane_key(project: str, subscription_id: str) -> queues.QueueKey:
    return queues.QueueKey(queues.INTERNAL, project, f'lane-{subscription_id}')
