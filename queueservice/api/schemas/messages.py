"""The documents that messages come and go in."""

import typing

import msgspec

from queueservice.model import messages

Unset = msgspec.UNSET


class PostedV1_1(msgspec.Struct, gc=False):
    """`model.messages.Posted` as API v1.1 knows it."""

    body: msgspec.Raw
    ttl: int | msgspec.UnsetType = Unset
    delay: typing.ClassVar = Unset


class PostedV1(msgspec.Struct, gc=False):
    ttl: int
    body: msgspec.Raw
    delay: typing.ClassVar = Unset


class PostIn(msgspec.Struct):
    messages: list[messages.Posted]


class PostInV1_1(msgspec.Struct):
    messages: list[PostedV1_1]


class PostOut(msgspec.Struct, gc=False):
    resources: list[str]


class PostOutV1(msgspec.Struct, gc=False):
    resources: list[str]
    partial: bool = False


class MessageOut(msgspec.Struct):
    """A message as readers of API v1.1 and v2 see it. `dialects.V2.messages` writes the same as text."""

    id: str
    href: str
    ttl: int
    age: int
    body: msgspec.Raw
    checksum: str | msgspec.UnsetType = Unset
    dead_letter: messages.DeadLetter | msgspec.UnsetType = Unset


class Annotation(msgspec.Struct, gc=False):
    """What only some messages have."""

    checksum: str | msgspec.UnsetType
    dead_letter: messages.DeadLetter | msgspec.UnsetType


class MessageOutV1(msgspec.Struct, gc=False):
    href: str
    ttl: int
    age: int
    body: msgspec.Raw


class PoppedOut(msgspec.Struct, gc=False):
    """A message as a pop returns it: there is nothing left that a link could lead to."""

    id: str
    age: int
    ttl: int
    body: msgspec.Raw
    claim_count: int
    claim_id: None = None
    checksum: str | msgspec.UnsetType = Unset
    dead_letter: messages.DeadLetter | msgspec.UnsetType = Unset


class Link(msgspec.Struct, gc=False):
    href: str
    rel: str = 'next'


class PageOut(msgspec.Struct, gc=False):
    messages: msgspec.Raw  # list[MessageOut]
    links: list[Link]


class MessagesOut(msgspec.Struct, gc=False):
    messages: msgspec.Raw  # list[MessageOut] or list[PoppedOut]
