"""The documents that deliveries are shown in."""

import typing

import msgspec

from queueservice.api.schemas import messages
from queueservice.model import deliveries
from queueservice.model import messages as messages_model

Outcome = typing.Literal['open', 'delivered', 'failed', 'refused', 'expired', 'deleted']


class DeliveryRecordOut(msgspec.Struct):
    delivery_id: str
    href: str
    kind: deliveries.Kind
    message_id: str | None  # None: it is about no message
    outcome: Outcome
    attempts: int
    first_at: str | None
    last_at: str | None
    next_at: str | None
    ended_at: str | None
    status: int | None
    error: str | None
    reason: str | None  # `error` in a sentence
    request_id: str | None
    bucket_key: str  # of the bucket in which its attempts are captured


class DeliveriesOut(msgspec.Struct):
    deliveries: list[DeliveryRecordOut]
    links: list[messages.Link]


_TIME = msgspec.Meta(extra_json_schema={'pattern': f'^{messages_model.TIMESTAMP.pattern}$'})


class RedeliverIn(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be sent again; nothing: all that failed. The resource refuses both."""

    delivery_id: str | None = None
    since: typing.Annotated[str, _TIME] | None = None


class RedeliverOut(msgspec.Struct):
    redelivered: int
    left: int
