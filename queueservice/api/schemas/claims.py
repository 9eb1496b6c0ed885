"""The documents that claims come and go in."""

import msgspec

Unset = msgspec.UNSET


class ClaimIn(msgspec.Struct):
    ttl: int | msgspec.UnsetType = Unset
    grace: int | msgspec.UnsetType = Unset


class ClaimInV1(msgspec.Struct):
    ttl: int
    grace: int


class ClaimPatchInV1(msgspec.Struct):
    ttl: int
    grace: int | msgspec.UnsetType = Unset


class ClaimOut(msgspec.Struct):
    age: int
    ttl: int
    messages: msgspec.Raw  # list[schemas.messages.MessageOut]
    href: str
