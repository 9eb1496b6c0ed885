"""The documents that collections come and go in. What is in one are messages, as `schemas.buckets` has them."""

import typing

import msgspec

from queueservice.api.schemas import buckets
from queueservice.model import captures

_DESCRIPTION = msgspec.Meta(extra_json_schema={'maxLength': captures.MOST_DESCRIPTION})


class CollectionIn(msgspec.Struct):
    name: buckets.Name
    description: typing.Annotated[str, _DESCRIPTION] | None = None


class RankIn(msgspec.Struct):
    rank: int | float | None = None


class CollectionOut(msgspec.Struct):
    uuid: str
    bucket_key: str
    name: str
    description: str
    created_at: str


class CollectionEnvelope(msgspec.Struct):
    data: CollectionOut
    error: None = None
    meta: buckets.MetaOut = buckets.MetaOut()


class CollectionsEnvelope(msgspec.Struct):
    data: list[CollectionOut]
    error: None = None
    meta: buckets.MetaOut = buckets.MetaOut()
