"""Messages, and the claims that hold them.

Bodies are bytes: the JSON text that the client sent, never decoded again. Positions are the order of a
queue: whole numbers that only grow, starting at 1, unique within one life of the queue.
"""

import collections.abc
import datetime
import hashlib
import os
import re
import time

import msgspec

from queueservice.model import limits

ID = re.compile(r'[0-9a-f]{24}')
#: An instant as people and programs write it, always UTC.
TIMESTAMP = re.compile(r'([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)(?:Z|\+00:00)?')
_PLACE = '%.12s%012x'  # the tag of a queue, a position
#: How many of a position's 12 digits are looked up instead of written: its neighbours share all the others.
_NEAR_DIGITS = 3
NEAR_BITS = 4 * _NEAR_DIGITS
NEAR_MASK = (1 << NEAR_BITS) - 1
NEAR = [f'{low:0{_NEAR_DIGITS}x}' for low in range(1 << NEAR_BITS)]


class Posted(msgspec.Struct, gc=False):
    """A message as a client posts it; UNSET where it leaves the choice to the queue and the operator."""

    body: msgspec.Raw
    ttl: limits.MessageTtl | msgspec.UnsetType = msgspec.UNSET  # s
    delay: limits.MessageDelay | msgspec.UnsetType = msgspec.UNSET  # s


class Draft(msgspec.Struct, gc=False):
    """A message on its way into a store, which gives it a position."""

    body: bytes
    expires_at: float  # s, UTC
    available_at: float = 0  # s, UTC; 0: at once
    client: bytes = b''  # who posted it; readers may ask not to see their own
    checksum: str | None = None
    claim_count: int = 0
    state: bytes = b''  # small opaque JSON of the service's own: where a dead letter came from
    key: str | None = None  # a draft whose key the queue has seen is not stored again ...
    key_until: float = 0  # s, UTC; ... until then, whatever became of the message meanwhile
    key_digest: bytes = b''  # tells a repetition from another use of the same key


class Message(msgspec.Struct, gc=False):
    """A stored message as it stands at the instant of the call that returned it."""

    position: int
    body: bytes
    client: bytes
    created_at: float  # s, UTC
    expires_at: float  # s, UTC
    available_at: float  # s, UTC; 0: free now, otherwise delayed or claimed until then
    claim_id: str | None  # only while the claim lives
    claim_ttl: int  # s; the ttl of that claim when it was made or last renewed; 0 without one
    claim_count: int  # only ever rises
    checksum: str | None
    state: bytes

    @property
    def ttl(self) -> int:
        """Seconds from post to expiry; longer than asked for where a claim kept the message alive."""
        return round(self.expires_at - self.created_at)

    def age(self, now: float) -> int:
        """Whole seconds since the post."""
        return max(0, int(now - self.created_at))


def store(draft: Draft, position: int, now: float) -> Message:
    """What `draft` is as a message that is stored at `position` at the instant `now`."""
    return Message(
        position=position,
        body=draft.body,
        client=draft.client,
        created_at=now,
        expires_at=draft.expires_at,
        available_at=draft.available_at if draft.available_at > now else 0,
        claim_id=None,
        claim_ttl=0,
        claim_count=draft.claim_count,
        checksum=draft.checksum,
        state=draft.state,
    )


class Claim(msgspec.Struct, frozen=True):
    """A lease on messages. It has no record of its own: the messages that it holds carry it."""

    id: str  # 24 hex digits
    ttl: int  # s
    ends_at: float  # s, UTC


class Change(msgspec.Struct, frozen=True):
    """What becomes of messages under a claim.

    With `ends_at` the claim goes on until then; without, the messages are let go and are free from
    `available_at` on.
    """

    positions: tuple[int, ...] | None = None  # None: all that the claim holds
    ends_at: float | None = None  # s, UTC
    ttl: int = 0  # s; the claim's new ttl, with ends_at
    available_at: float = 0  # s, UTC; without ends_at; 0: at once
    keep_until: float = 0  # s, UTC; messages must not expire before
    state: bytes | None = None  # None: as it was


def new_id() -> str:
    """A random identifier for queues and claims: 24 hex digits."""
    return os.urandom(12).hex()


def is_id(text: str) -> bool:
    """Whether `text` has the form of the identifiers that this service gives out."""
    return ID.fullmatch(text) is not None


def tag(queue_id: str) -> str:
    """The part of a queue's id with which its messages' ids begin."""
    return queue_id[:12]


def encode_position(queue_id: str, position: int) -> str:
    """Name a place in one life of a queue: the id of the message there, and the marker to go on from it.

    12 hex digits of the queue's id, 12 of the position: of the form of the 24-digit object ids that
    clients of this API have stored for years.
    """
    return _PLACE % (queue_id, position)


def encode_positions(queue_id: str, positions: collections.abc.Collection[int]) -> list[str]:
    """`encode_position` of many."""
    ordered = sorted(positions)
    if not ordered or ordered[0] >> NEAR_BITS != ordered[-1] >> NEAR_BITS:
        return [encode_position(queue_id, position) for position in positions]
    far = encode_far(queue_id, ordered[0] >> NEAR_BITS)
    return [far + NEAR[position & NEAR_MASK] for position in positions]


def encode_far(queue_id: str, far: int) -> str:
    """What the names of all positions begin with that have these digits before the last NEAR_BITS bits; what is missing
    is in NEAR."""
    return f'{tag(queue_id)}{far:0{12 - _NEAR_DIGITS}x}'


def decode_position(queue_id: str, text: str) -> int | None:
    """The position that `text` names in this life of the queue; None if it names none."""
    if len(text) != 24 or text[:12] != tag(queue_id) or ID.fullmatch(text) is None:
        return None
    return int(text[12:], 16)


class DeadLetter(msgspec.Struct, frozen=True):
    """Where a message was before it came to the dead-letter queue, and why it came."""

    queue: str
    message_id: str
    reason: str  # max_claim_count
    claim_count: int
    at: str  # timestamp()


class Origin(msgspec.Struct, frozen=True):
    """The message that a copy was made of."""

    queue: str
    message_id: str


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `Message.state` holds, as JSON."""

    dead_letter: DeadLetter | None = None
    copied_from: Origin | None = None
    hops: int = 0  # how often it was copied from queue to queue
    visited: tuple[str, ...] = ()  # the queues that it was copied from, the first one first
    first: str = ''  # the id that it had in the first of them
    ttl: int = 0  # s; of a dead letter: for how long the message was posted; 0: for as long as it lives now


_STATE = msgspec.json.Decoder(State)
_NO_STATE = State()


def read_state(message: Message) -> State:
    """What the service noted about the message."""
    return _STATE.decode(message.state) if message.state else _NO_STATE


def checksum(body: bytes) -> str:
    """The checksum of a body: MD5 over its bytes as they were sent, and marked as such."""
    return 'MD5:' + hashlib.md5(body, usedforsecurity=False).hexdigest()


def timestamp(at: float) -> str:
    """An instant (s, UTC) as the API writes it."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(at))


def read_timestamp(text: str) -> float | None:
    """The instant (s, UTC) that `text` names, as TIMESTAMP; None if it names none."""
    match = TIMESTAMP.fullmatch(text)
    try:
        return match and datetime.datetime.fromisoformat(match[1]).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:  # a 31st of February
        return None
