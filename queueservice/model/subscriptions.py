"""Subscriptions: who wants to be told of what comes into a queue, and how."""

import os
import typing

import msgspec

from queueservice.model import queues

#: Seconds for which the secret before the present one still signs.
OLD_SECRET_LIFE = 24 * 3600


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


def new_id(now: float) -> str:
    """An identifier for a subscription: 24 hex digits, in the order in which they are made (to the millisecond)."""
    return f'{int(now * 1000):012x}{os.urandom(6).hex()}'
