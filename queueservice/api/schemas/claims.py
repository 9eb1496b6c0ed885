"""The documents that claims come and go in."""

import typing

import msgspec

from queueservice.api.schemas import messages
from queueservice.model import limits

Unset = msgspec.UNSET


class ClaimIn(msgspec.Struct):
    ttl: limits.ClaimTtl | msgspec.UnsetType = Unset
    grace: limits.ClaimGrace | msgspec.UnsetType = Unset


#: Of which at least one must be there: `dialects` checks it.
ClaimPatchIn = typing.Annotated[
    ClaimIn, msgspec.Meta(extra_json_schema={'anyOf': [{'required': ['ttl']}, {'required': ['grace']}]})
]


class ClaimInV1(msgspec.Struct):
    ttl: limits.ClaimTtl
    grace: limits.ClaimGrace


class ClaimPatchInV1(msgspec.Struct):
    ttl: limits.ClaimTtl
    grace: limits.ClaimGrace | msgspec.UnsetType = Unset


class ClaimOut(msgspec.Struct, typing.Generic[messages.Shown]):
    age: int
    ttl: int
    messages: list[messages.Shown]
    href: str
