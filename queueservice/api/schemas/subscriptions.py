"""The documents that subscriptions come and go in. `model.subscriptions` checks those that come."""

import typing

import msgspec

from queueservice.api.schemas import messages
from queueservice.model import limits, subscribers

Unset = msgspec.UNSET

_Uri = typing.Annotated[str, msgspec.Meta(max_length=subscribers.MAX_LENGTH)]
_SOME = {'anyOf': [{'required': [name]} for name in ('subscriber', 'ttl', 'options')]}


class SubscriptionIn(msgspec.Struct):
    subscriber: _Uri
    ttl: limits.SubscriptionTtl | msgspec.UnsetType = Unset
    options: dict[str, typing.Any] | msgspec.UnsetType = Unset


class Changes(msgspec.Struct):
    subscriber: _Uri | msgspec.UnsetType = Unset
    ttl: limits.SubscriptionTtl | msgspec.UnsetType = Unset
    options: dict[str, typing.Any] | msgspec.UnsetType = Unset


ChangesIn = typing.Annotated[Changes, msgspec.Meta(extra_json_schema=_SOME)]


class ConfirmationIn(msgspec.Struct):
    confirmed: bool


class MadeOut(msgspec.Struct):
    subscription_id: str
    secret: str | msgspec.UnsetType = Unset


class SecretOut(msgspec.Struct):
    secret: str


class DeliveryOut(msgspec.Struct):
    """How it stands with the way to the subscriber."""

    state: typing.Literal['closed', 'open'] = 'closed'  # of the circuit breaker
    failures: int = 0  # in a row
    last_at: str | None = None  # of the last attempt
    last_status: int | None = None
    last_error: str | None = None  # of model.deliveries.ERRORS
    next_at: str | None = None  # nothing is sent before


class SubscriptionOut(msgspec.Struct):
    id: str
    source: str
    subscriber: str
    ttl: int
    age: int
    options: dict[str, typing.Any]
    confirmed: bool
    delivery: DeliveryOut
    bucket_key: str  # of the bucket in which attempts are captured


class SubscriptionsOut(msgspec.Struct):
    subscriptions: list[SubscriptionOut]
    links: list[messages.Link]
