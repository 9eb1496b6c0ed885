"""The documents that messages come and go in."""

import msgspec

from queueservice.model import messages

Unset = msgspec.UNSET


class MessageIn(msgspec.Struct):
    """A message in a post of API v2. The body is kept as the bytes that were sent."""

    body: msgspec.Raw
    ttl: int | msgspec.UnsetType = Unset
    delay: int | msgspec.UnsetType = Unset


class MessageInV1_1(msgspec.Struct):
    body: msgspec.Raw
    ttl: int | msgspec.UnsetType = Unset


class MessageInV1(msgspec.Struct):
    ttl: int
    body: msgspec.Raw


class PostIn(msgspec.Struct):
    messages: list[MessageIn]


class PostInV1_1(msgspec.Struct):
    messages: list[MessageInV1_1]


class PostOut(msgspec.Struct):
    resources: list[str]


class PostOutV1(msgspec.Struct):
    resources: list[str]
    partial: bool = False


class MessageOut(msgspec.Struct):
    """A message as readers of API v1.1 and v2 see it."""

    id: str
    href: str
    ttl: int
    age: int
    body: msgspec.Raw
    checksum: str | msgspec.UnsetType = Unset
    dead_letter: messages.DeadLetter | msgspec.UnsetType = Unset


class MessageOutV1(msgspec.Struct):
    href: str
    ttl: int
    age: int
    body: msgspec.Raw


class PoppedOut(msgspec.Struct):
    """A message as a pop returns it: there is nothing left that a link could lead to."""

    id: str
    age: int
    ttl: int
    body: msgspec.Raw
    claim_count: int
    claim_id: None = None
    checksum: str | msgspec.UnsetType = Unset
    dead_letter: messages.DeadLetter | msgspec.UnsetType = Unset


class Link(msgspec.Struct):
    href: str
    rel: str = 'next'


class PageOut(msgspec.Struct):
    messages: list
    links: list[Link]


class MessagesOut(msgspec.Struct):
    messages: list
