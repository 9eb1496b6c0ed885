"""What can go wrong, as the callers of this service need to tell it apart.

::

    ServiceError
    ├── Invalid                    400  the request cannot be meant as it stands
    │   ├── BodyInvalid                 its document
    │   ├── BodyTooLarge                its length
    │   ├── FieldsInvalid               fields of its document, each with what is wrong
    │   ├── ParameterInvalid            its query string
    │   ├── HeaderInvalid, HeaderMissing
    │   ├── NameInvalid                 a queue name or a project id
    │   ├── LimitExceeded               a value outside the operator's bounds
    │   └── ClaimMismatch               a delete under a claim that does not hold the message
    ├── Forbidden                  403
    │   ├── MessageClaimed              held by a claim that the caller did not name
    │   ├── QuotaExceeded               the project has as much as it may have
    │   ├── ConfirmationNeeded          only the subscriber can say that he wants messages
    │   └── NotAuthorized               the policy says no
    ├── NotFound                   404
    │   ├── QueueNotFound
    │   ├── MessageNotFound, MessagesNotFound
    │   ├── ClaimNotFound
    │   ├── SubscriptionNotFound
    │   └── DeliveryNotFound
    ├── Conflict                   409
    │   ├── InUse                       what cannot go while others need it
    │   ├── MetadataConflict            a JSON patch of a key that is not there
    │   ├── KeyReused                   an Idempotency-Key that came with another body before
    │   ├── SubscriptionExists          the queue has this subscriber
    │   ├── ConcurrentUpdate            somebody else kept changing the same thing
    │   ├── DeliveryOpen                it cannot go before it has ended
    │   └── NotSentAgain                a delivery, or those of a subscription, cannot be sent again
    ├── RateExceeded               429  the project asks too often
    ├── Busy                       503  the process does as much of this as it may
    └── EncryptionFailed           503  the service cannot do its part
        ├── EncryptionKeyMissing        a key that it needs is not configured
        └── MessageDamaged              what is stored is not what was encrypted for this queue

A store that does not answer is `storage.errors.Unavailable`: nothing was acknowledged, and 503 says so.
The docstring of a class is its message; the constructor takes the facts that the message names.
"""


class ServiceError(Exception):
    """The request could not be carried out."""

    def __init__(self, **facts):
        super().__init__((self.__doc__ or '').format(**facts))
        self.facts = facts


class Invalid(ServiceError):
    """{description}"""


class BodyInvalid(Invalid):
    """{description}"""


class BodyTooLarge(Invalid):
    """{what} is too large: {size} bytes, and at most {most} are allowed ({name})."""


class FieldsInvalid(Invalid):
    """Fields of the request are not as they may be: {problems}"""


class ParameterInvalid(Invalid):
    """{description}"""


class HeaderInvalid(Invalid):
    """{description}"""


class HeaderMissing(Invalid):
    """{description}"""


class NameInvalid(Invalid):
    """{description}"""


class LimitExceeded(Invalid):
    """{what} must be at least {least} and may not be greater than {most}."""


class ClaimMismatch(Invalid):
    """{description}"""


class Forbidden(ServiceError):
    """{description}"""


class MessageClaimed(Forbidden):
    """{description}"""


class QuotaExceeded(Forbidden):
    """The limit "{limit}" is {most}: {used} in use, {wanted} more wanted. {remedy}, or ask the operator for more."""


class ConfirmationNeeded(Forbidden):
    """The subscriber has to confirm it, by the link that was sent to the address. Subscribe again to have one sent."""


class NotAuthorized(Forbidden):
    """You are not authorized to complete this action: it needs the policy rule "{rule}"."""


class NotFound(ServiceError):
    """{description}"""


class QueueNotFound(NotFound):
    """Queue {queue} does not exist."""


class MessageNotFound(NotFound):
    """Message {message_id} does not exist in queue {queue}, or has expired."""


class MessagesNotFound(NotFound):
    """None of the messages named by "ids" exists in queue {queue}."""


class ClaimNotFound(NotFound):
    """Claim {claim_id} does not exist in queue {queue}, or has ended."""


class SubscriptionNotFound(NotFound):
    """Subscription {subscription_id} does not exist for queue {queue}, or has ended."""


class DeliveryNotFound(NotFound):
    """Delivery {delivery_id} does not exist for subscription {subscription_id}, or is remembered no more."""


class Conflict(ServiceError):
    """{description}"""


class InUse(Conflict):
    """{what} cannot be deleted: it is used by {by}. Delete those first, or let them use another."""


class MetadataConflict(Conflict):
    """Can't {operation} non-existent object {key}."""


class KeyReused(Conflict):
    """This Idempotency-Key was used for another request body within the last day. Use a new key for a new request."""


class SubscriptionExists(Conflict):
    """Such a subscription exists: a queue has each subscriber once. Change the one that queue {queue} has."""


class ConcurrentUpdate(Conflict):
    """Queue {queue} kept being changed by others. Read it again and repeat the request."""


class DeliveryOpen(Conflict):
    """Delivery {delivery_id} has not ended yet. It can be deleted when it has, and ends with its subscription."""


class NotSentAgain(Conflict):
    """{description}"""


class RateExceeded(ServiceError):
    """The limit "requests_per_second" is {most}. Send this again in {wait} s, or ask the operator for more."""


class Busy(ServiceError):
    """Too much of this is being done at the moment. Send this again in a few seconds."""


class EncryptionFailed(ServiceError):
    """{description}"""


class EncryptionKeyMissing(EncryptionFailed):
    """Queue {queue} is encrypted, and {which} for it is not configured. The operator must set [encryption] keys."""


class MessageDamaged(EncryptionFailed):
    """A message of queue {queue} cannot be decrypted: it is not what was stored. The operator finds it in the log."""
