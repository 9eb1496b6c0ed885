"""When a delivery that failed is tried again: the retry policies of subscriptions and queues.

Four phases, in this order: at once; after `minimum_delay` each; after delays that grow from `minimum_delay` to
`maximum_delay`; after `maximum_delay` each. Then it is given up.

Source: `_retry_policy` of the Zaqar API.
"""

import collections.abc
import functools
import random

import msgspec

from queueservice.model import errors

#: How many delays lie between the shortest and the longest while they grow.
_STEPS = 5
#: The longest delay and the most retries that one phase may have.
_MOST_SECONDS = 7 * 24 * 3600
_MOST_RETRIES = 100

FUNCTIONS = ('linear', 'arithmetic', 'geometric', 'exponential')


class Policy(msgspec.Struct, frozen=True):
    """Field names are those of the API; delays are seconds."""

    retries_with_no_delay: int = 3
    minimum_delay_retries: int = 3
    minimum_delay: int = 5
    maximum_delay: int = 30
    maximum_delay_retries: int = 3
    retry_backoff_function: str = 'linear'
    ignore_subscription_override: bool = False


DEFAULT = Policy()


def read(document: collections.abc.Mapping, name: str = '_retry_policy') -> Policy:
    """The policy that a client sent.

    :param name: what to call the document in errors.
    :raises BodyInvalid: naming the field and what it may be.
    """
    if not isinstance(document, dict):
        raise errors.BodyInvalid(description=f'The value of "{name}" must be an object.')
    values = {}
    for field, value in document.items():
        default = getattr(DEFAULT, field, None) if field in Policy.__struct_fields__ else None
        if default is None:
            known = ', '.join(Policy.__struct_fields__)
            raise errors.BodyInvalid(description=f'"{name}" has no field "{field[:64]}". It may have: {known}.')
        if type(value) is not type(default):
            kind = {int: 'a whole number', str: 'a string', bool: 'true or false'}[type(default)]
            raise errors.BodyInvalid(description=f'The value of "{name}.{field}" must be {kind}.')
        if type(value) is int:
            most = _MOST_SECONDS if field in ('minimum_delay', 'maximum_delay') else _MOST_RETRIES
            if not 0 <= value <= most:
                raise errors.BodyInvalid(description=f'The value of "{name}.{field}" must be from 0 to {most}.')
        values[field] = value
    policy = Policy(**values)
    if policy.retry_backoff_function not in FUNCTIONS:
        raise errors.BodyInvalid(
            description=f'The value of "{name}.retry_backoff_function" must be one of: {", ".join(FUNCTIONS)}.'
        )
    if policy.maximum_delay - policy.minimum_delay < 10:
        raise errors.BodyInvalid(
            description=f'"{name}.maximum_delay" must be at least 10 seconds more than "{name}.minimum_delay".'
        )
    return policy


def choose(of_subscription: dict | None, of_queue: dict | None) -> Policy:
    """The policy that holds. Both were checked when they were stored."""
    own = Policy(**of_subscription) if of_subscription else None
    common = Policy(**of_queue) if of_queue else None
    if common and (common.ignore_subscription_override or (own and own.ignore_subscription_override)):
        return common
    return own or common or DEFAULT


def next_delay(policy: Policy, attempts: int) -> float | None:
    """Seconds from the failure of attempt number `attempts` (the first is 1) to the next; None: there is none."""
    delays = _delays(policy)
    return delays[attempts - 1] if attempts <= len(delays) else None


def jitter(delay: float, most: float) -> float:
    """`delay`, up to a tenth longer so that what failed together is not tried together, and `most` at the most."""
    return min(delay * random.uniform(1, 1.1), most)  # noqa: S311


@functools.lru_cache(maxsize=1024)
def _delays(policy):
    return (
        *(0,) * policy.retries_with_no_delay,
        *(policy.minimum_delay,) * policy.minimum_delay_retries,
        *_growing(policy),
        *(policy.maximum_delay,) * policy.maximum_delay_retries,
    )


def _growing(policy):
    """Delays from the shortest on that stay below the longest; a step is a fifth of what lies between."""
    least, most = policy.minimum_delay, policy.maximum_delay
    match policy.retry_backoff_function:
        case 'linear':
            step = 5
            count = -(-(most - least) // step)
            # A long way in steps of five seconds would take for ever.
            if count > _MOST_RETRIES:
                count, step = _MOST_RETRIES, (most - least) / _MOST_RETRIES
            return [least + step * i for i in range(count)]
        case 'arithmetic':
            return [least + (most - least) * i * (i + 1) / (_STEPS * (_STEPS + 1)) for i in range(_STEPS)]
        case _:
            start = least or 1
            return [start * (most / start) ** (i / _STEPS) for i in range(_STEPS)]
