"""What subscribers are sent.

Source: the notification of the Zaqar API (its fields keep their names), and what it lacks to be trusted.
"""

import msgspec

from queueservice.model import messages

#: In post_data, the quoted token that stands for the notification.
TOKEN = b'"$zaqar_message$"'


class Notification(msgspec.Struct, omit_defaults=True):
    """The body of a push."""

    ttl: int  # s, from the post
    body: msgspec.Raw
    Message_Type: str
    queue_name: str
    message_id: str
    subscription_id: str
    delivery_id: str
    attempt: int  # the first is 1
    timestamp: str  # of the attempt
    delay: int | None = None  # s; where the message was delayed


class Answer(msgspec.Struct, frozen=True):
    """The body of the request that confirms a subscription, or declines it."""

    confirmed: bool


class Confirmation(
    msgspec.Struct,
    rename={
        'signature': 'URL-Signature',
        'methods': 'URL-Methods',
        'paths': 'URL-Paths',
        'project': 'X-Project-ID',
        'expires': 'URL-Expires',
    },
):
    """The body that asks a subscriber whether he wants to be one, or again. It holds the link to answer with."""

    Message_Type: str  # SubscriptionConfirmation or UnsubscribeConfirmation
    Message: str  # for people
    signature: str
    methods: str
    paths: str
    project: str
    expires: str
    queue_name: str
    subscription_id: str
    timestamp: str  # of the attempt
    SubscribeBody: Answer = Answer(True)
    UnsubscribeBody: Answer = Answer(False)
    WSGISubscribeURL: str | msgspec.UnsetType = msgspec.UNSET  # where it is known


def build(
    message: messages.Message,
    *,
    queue: str,
    message_id: str,
    subscription_id: str,
    delivery_id: str,
    attempt: int,
    now: float,
    delay: int | None = None,
) -> bytes:
    """The body of attempt number `attempt` to deliver `message`, which has been decrypted."""
    return msgspec.json.encode(
        Notification(
            ttl=message.ttl,
            body=msgspec.Raw(message.body),
            Message_Type='Notification',
            queue_name=queue,
            message_id=message_id,
            subscription_id=subscription_id,
            delivery_id=delivery_id,
            attempt=attempt,
            timestamp=messages.timestamp(now),
            delay=delay,
        )
    )


def fill(template: str, notification: bytes) -> bytes:
    """post_data with the notification in place of its token, as often as it stands there."""
    return template.encode().replace(TOKEN, notification)
