"""The documents of user messages, as clients of the block storage API know them."""

import typing

import msgspec

Unset = msgspec.UNSET


class LinkOut(msgspec.Struct):
    rel: typing.Literal['self', 'bookmark', 'next']
    href: str


class UserMessageOut(msgspec.Struct):
    id: str
    event_id: str
    user_message: str
    message_level: str
    created_at: str
    guaranteed_until: str
    request_id: str | None
    links: list[LinkOut]
    resource_type: str | msgspec.UnsetType = Unset
    resource_uuid: str | msgspec.UnsetType = Unset


class UserMessageShowOut(msgspec.Struct):
    message: UserMessageOut


class UserMessagesOut(msgspec.Struct):
    messages: list[UserMessageOut]
    messages_links: list[LinkOut] | msgspec.UnsetType = Unset


class FaultOut(msgspec.Struct, rename={'retry_after': 'retryAfter'}):
    """What was wrong with the request, under the name of its kind."""

    code: int
    message: str
    retry_after: str | msgspec.UnsetType = Unset
