"""Every bound that the operator may set, as values, and the checks against them.

Field names are the option names of the configuration; units are seconds, bytes and counts.
"""

import typing

import msgspec

from queueservice.model import errors, quotas

#: Fixed by the API, not by the operator.
MIN_TTL = 60
DEFAULT_PAGE = 10  # where the operator allows so many
MAX_DEPTH = 64
MOST_USER_MESSAGES = 1000  # in one page; whoever asks for more gets so many
_MOST_ASKED = 9_999_999_999
MOST_USER_MESSAGES_PASSED = 10_000  # counted one by one, so pages begin no further behind their marker
#: A hundred years: those who want a subscription to last for ever may say so.
MOST_SUBSCRIPTION_TTL = 100 * 365 * 24 * 3600
#: How much one request moves back to its queues, or sends again.
MOST_AGAIN = 1000


def _bounded(name):
    return typing.Annotated[int, msgspec.Meta(extra_json_schema={'x-bound': name})]


#: Whole numbers in documents. Decoding does not check the operator's bounds; the name leads to them (`Limits.bounds`).
MessageTtl = _bounded('message_ttl')
MessageDelay = _bounded('message_delay')
ClaimTtl = _bounded('claim_ttl')
ClaimGrace = _bounded('claim_grace')
SubscriptionTtl = _bounded('subscription_ttl')
RedriveLimit = _bounded('redrive_limit')


class Limits(msgspec.Struct, frozen=True):
    default_message_ttl: int = 3600
    default_message_delay: int = 0
    default_claim_ttl: int = 300
    default_claim_grace: int = 60
    default_subscription_ttl: int = 3600
    max_queues_per_page: int = 1000
    max_subscriptions_per_page: int = 100
    max_messages_per_page: int = 100
    max_messages_per_claim_or_pop: int = 100
    max_queue_metadata: int = 64 * 1024
    max_messages_post_size: int = 256 * 1024
    max_message_ttl: int = 1209600
    max_message_delay: int = 900
    max_claim_ttl: int = 43200
    max_claim_grace: int = 43200
    message_delete_with_claim_id: bool = False
    enable_checksum: bool = False
    project: quotas.Quotas = quotas.Quotas()  # for each one of which an administrator has not said otherwise

    def bounds(self) -> dict[str, tuple[int, int]]:
        """The least and the most that each check lets pass, by the rest of the check's name."""
        return {
            'message_ttl': (MIN_TTL, self.max_message_ttl),
            'message_delay': (0, self.max_message_delay),
            'claim_ttl': (MIN_TTL, self.max_claim_ttl),
            'subscription_ttl': (MIN_TTL, MOST_SUBSCRIPTION_TTL),
            'claim_grace': (MIN_TTL, self.max_claim_grace),
            'queue_page': (1, self.max_queues_per_page),
            'subscription_page': (1, self.max_subscriptions_per_page),
            'message_page': (1, self.max_messages_per_page),
            'message_ids': (1, self.max_messages_per_page),
            'claim_ids': (0, self.max_messages_per_page),
            'claim_limit': (1, self.max_messages_per_claim_or_pop),
            'pop': (1, self.max_messages_per_claim_or_pop),
            'delivery_page': (1, self.max_subscriptions_per_page),
            'redrive_limit': (1, MOST_AGAIN),
            'user_message_page': (0, _MOST_ASKED),
            'user_message_offset': (0, MOST_USER_MESSAGES_PASSED),
        }

    def check_message_ttl(self, ttl: int, what: str = 'The TTL for a message') -> int:
        if MIN_TTL <= ttl <= self.max_message_ttl:
            return ttl
        raise errors.LimitExceeded(what=f'{what}, in seconds,', least=MIN_TTL, most=self.max_message_ttl)

    def check_message_delay(self, delay: int, what: str = 'The delay of a message') -> int:
        return _check_range(delay, 0, self.max_message_delay, f'{what}, in seconds,')

    def check_claim_ttl(self, ttl: int) -> int:
        return _check_range(ttl, MIN_TTL, self.max_claim_ttl, 'The TTL for a claim, in seconds,')

    def check_claim_grace(self, grace: int) -> int:
        return _check_range(grace, MIN_TTL, self.max_claim_grace, 'The grace for a claim, in seconds,')

    def check_metadata_size(self, size: int) -> int:
        return _check_size(size, self.max_queue_metadata, 'Queue metadata', 'max_queue_metadata')

    def check_post_size(self, size: int, of_queue: int | None) -> int:
        return _check_size(
            size,
            min(self.max_messages_post_size, of_queue or self.max_messages_post_size),
            'Message collection size',
            '_max_messages_post_size',
        )

    def check_queue_page(self, limit: int | None) -> int:
        return _check_page(limit, self.max_queues_per_page)

    def check_subscription_page(self, limit: int | None) -> int:
        return _check_page(limit, self.max_subscriptions_per_page)

    def check_subscription_ttl(self, ttl: int) -> int:
        return _check_range(ttl, MIN_TTL, MOST_SUBSCRIPTION_TTL, 'The TTL for a subscription, in seconds,')

    def check_message_page(self, limit: int | None) -> int:
        return _check_page(limit, self.max_messages_per_page)

    def check_message_ids(self, count: int) -> int:
        return _check_range(count, 1, self.max_messages_per_page, 'The number of ids in one request')

    def check_claim_ids(self, count: int) -> int:
        return _check_range(count, 0, self.max_messages_per_page, 'The number of claim_ids in one request')

    def check_user_message_page(self, limit: int) -> int:
        return _check_range(limit, 0, _MOST_ASKED, 'Limit')

    def check_user_message_offset(self, offset: int) -> int:
        return _check_range(
            offset, 0, MOST_USER_MESSAGES_PASSED, 'Offset (behind the marker, which can be used to go on)'
        )

    def check_claim_limit(self, limit: int | None) -> int:
        return _check_page(limit, self.max_messages_per_claim_or_pop)

    def check_delivery_page(self, limit: int | None) -> int:
        return _check_page(limit, self.max_subscriptions_per_page)

    def check_redrive_limit(self, limit: int | None) -> int:
        return MOST_AGAIN if limit is None else _check_range(limit, 1, MOST_AGAIN, 'Limit')

    def check_pop(self, count: int) -> int:
        return _check_range(count, 1, self.max_messages_per_claim_or_pop, 'Pop')


def _check_range(value: int, least: int, most: int, what: str) -> int:
    if not least <= value <= most:
        raise errors.LimitExceeded(what=what, least=least, most=most)
    return value


def _check_page(limit: int | None, most: int) -> int:
    if limit is None:
        return min(DEFAULT_PAGE, most)
    return _check_range(limit, 1, most, 'Limit')


def _check_size(size: int, most: int, what: str, name: str) -> int:
    if size > most:
        raise errors.BodyTooLarge(what=what, size=size, most=most, name=name)
    return size
