"""The documents that messages come and go in."""

import typing

import msgspec

from queueservice.model import limits, messages

Unset = msgspec.UNSET

#: A message as readers of some version see it. Where messages were encoded already, they stand as one
#: `msgspec.Raw` where the annotation says that there is a list of them.
Shown = typing.TypeVar('Shown')


class PostedV1_1(msgspec.Struct, gc=False):
    """`model.messages.Posted` as API v1.1 knows it."""

    body: msgspec.Raw
    ttl: limits.MessageTtl | msgspec.UnsetType = Unset
    delay: typing.ClassVar = Unset


class PostedV1(msgspec.Struct, gc=False):
    ttl: limits.MessageTtl
    body: msgspec.Raw
    delay: typing.ClassVar = Unset


_NOT_EMPTY = msgspec.Meta(extra_json_schema={'minItems': 1})  # `dialects` checks it


class PostIn(msgspec.Struct):
    messages: typing.Annotated[list[messages.Posted], _NOT_EMPTY]


class PostInV1_1(msgspec.Struct):
    messages: typing.Annotated[list[PostedV1_1], _NOT_EMPTY]


PostInV1 = typing.Annotated[list[PostedV1], _NOT_EMPTY]


class PostOut(msgspec.Struct, gc=False):
    resources: list[str]


class PostOutV1(msgspec.Struct, gc=False):
    resources: list[str]
    partial: bool = False


class MessageOutV1_1(msgspec.Struct):
    id: str
    href: str
    ttl: int
    age: int
    body: msgspec.Raw


class MessageOut(MessageOutV1_1):
    """A message as readers of API v2 see it. `dialects.V2.messages` writes the same as text."""

    checksum: str | msgspec.UnsetType = Unset
    dead_letter: messages.DeadLetter | msgspec.UnsetType = Unset
    copied_from: messages.Origin | msgspec.UnsetType = Unset


class Annotation(msgspec.Struct, gc=False):
    """What only some messages have."""

    checksum: str | msgspec.UnsetType
    dead_letter: messages.DeadLetter | msgspec.UnsetType
    copied_from: messages.Origin | msgspec.UnsetType


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
    copied_from: messages.Origin | msgspec.UnsetType = Unset


class Link(msgspec.Struct, gc=False):
    href: str
    rel: str = 'next'


class PageOut(msgspec.Struct, typing.Generic[Shown], gc=False):
    messages: list[Shown]
    links: list[Link]


class MessagesOut(msgspec.Struct, typing.Generic[Shown], gc=False):
    messages: list[Shown]
