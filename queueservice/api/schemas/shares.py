"""The documents that a pre-signed URL is asked for and given in."""

import typing

import msgspec

from queueservice.model import signatures

#: What `model.signatures` knows as RESOURCES and METHODS, as types.
Resource = typing.Literal['messages', 'subscriptions', 'claims']
Method = typing.Literal['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE']


_SOME = msgspec.Meta(extra_json_schema={'minItems': 1})
_EXPIRY = msgspec.Meta(extra_json_schema={'pattern': f'^{signatures.ASKED_EXPIRY.pattern}$'})


class ShareIn(msgspec.Struct, forbid_unknown_fields=True):
    paths: typing.Annotated[list[Resource], _SOME] = msgspec.field(default_factory=lambda: ['messages'])
    methods: typing.Annotated[list[Method], _SOME] = msgspec.field(default_factory=lambda: ['GET'])
    expires: typing.Annotated[str, _EXPIRY] | None = None


class ShareOut(msgspec.Struct):
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    project: str
    expires: str
    signature: str
