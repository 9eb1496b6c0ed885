"""The metadata document of a queue: its reserved attributes, its facets, and JSON patches of it."""

import collections.abc
import typing

import msgspec

from queueservice.model import errors, queues, retry
from queueservice.model import limits as limits_module

#: The reserved attribute of queues whose messages are encrypted at rest.
ENCRYPTS = '_enable_encrypt_messages'

#: Reserved attribute -> what is shown while the queue has no value of its own (a name of `Limits`, or a value).
_SHOWN = {
    '_max_messages_post_size': 'max_messages_post_size',
    '_default_message_ttl': 'default_message_ttl',
    '_default_message_delay': 'default_message_delay',
    '_dead_letter_queue': None,
    '_dead_letter_queue_messages_ttl': None,
    '_max_claim_count': None,
    ENCRYPTS: False,
}
_KINDS = {
    '_max_messages_post_size': int,
    '_default_message_ttl': int,
    '_default_message_delay': int,
    '_dead_letter_queue': str,
    '_dead_letter_queue_messages_ttl': int,
    '_max_claim_count': int,
    ENCRYPTS: bool,
    # Shown only where they are set.
    '_retry_policy': dict,
    '_show_origin': bool,
}


class Operation(typing.NamedTuple):
    """One step of a JSON patch, restricted to the members of the metadata document."""

    op: str  # add, replace or remove
    key: str
    value: typing.Any = None


def with_defaults(metadata: dict, limits: limits_module.Limits) -> dict:
    """`metadata` as API v2 shows it: reserved attributes without a value show the default that holds."""
    shown = dict(metadata)
    for name, default in _SHOWN.items():
        if not shown.get(name):
            shown[name] = getattr(limits, default) if isinstance(default, str) else default
    return shown


def attributes(limits: limits_module.Limits) -> dict[str, tuple[type, int | None, int | None]]:
    """Each reserved attribute: what it may be, null apart, and its least and most where it is a whole number."""
    bounds = {
        '_max_messages_post_size': (1, limits.max_messages_post_size),
        '_default_message_ttl': (limits_module.MIN_TTL, limits.max_message_ttl),
        '_default_message_delay': (0, limits.max_message_delay),
        '_dead_letter_queue_messages_ttl': (limits_module.MIN_TTL, limits.max_message_ttl),
        '_max_claim_count': (1, 2**31),
    }
    return {name: (kind, *bounds.get(name, (None, None))) for name, kind in _KINDS.items()}


def check(metadata: dict, key: queues.QueueKey, limits: limits_module.Limits, can_encrypt: bool = False) -> None:
    """Refuse reserved attributes that the queue `key` may not have. null is as good as absent.

    :param can_encrypt: whether there is a key for queues that want their messages encrypted.
    :raises BodyInvalid, LimitExceeded: naming the attribute and what it may be.
    """
    allowed = attributes(limits)
    for name, (kind, _, _) in allowed.items():
        value = metadata.get(name)
        if value is not None and type(value) is not kind:
            raise errors.BodyInvalid(description=f'The value of the "{name}" attribute must be a {kind.__name__}.')
    settings = read(metadata)
    for name, (_, least, most) in allowed.items():
        value = metadata.get(name)
        if value is not None and least is not None and not least <= value <= most:
            raise errors.LimitExceeded(what=name, least=least, most=most)
    if metadata.get(ENCRYPTS) and not can_encrypt:
        raise errors.BodyInvalid(
            description='_enable_encrypt_messages cannot be true: no encryption key is configured in this service.'
        )
    if settings.retry_policy is not None:
        retry.read(settings.retry_policy)
    if settings.dead_letter_queue is not None:
        _check_dead_letter_queue(settings.dead_letter_queue, key)


def read(metadata: dict) -> queues.Settings:
    """The reserved attributes as values. They were checked when they were stored."""
    return queues.Settings(
        max_messages_post_size=metadata.get('_max_messages_post_size'),
        default_message_ttl=metadata.get('_default_message_ttl'),
        default_message_delay=metadata.get('_default_message_delay'),
        dead_letter_queue=metadata.get('_dead_letter_queue') or None,
        dead_letter_queue_messages_ttl=metadata.get('_dead_letter_queue_messages_ttl'),
        max_claim_count=metadata.get('_max_claim_count'),
        retry_policy=metadata.get('_retry_policy') or None,
        enable_encrypt_messages=bool(metadata[ENCRYPTS]) if ENCRYPTS in metadata else None,
        show_origin=metadata.get('_show_origin'),
    )


def facets(metadata: dict) -> list[str]:
    """What a list of queues can be filtered by: one text for each top-level member that is a str or an int."""
    return [facet(name, value) for name, value in metadata.items() if type(value) in (str, int)]


def facet(name: str, value: str | int) -> str:
    return msgspec.json.encode([name, value]).decode()


def patch(metadata: dict, operations: collections.abc.Iterable[Operation]) -> dict:
    """Apply `operations` in their order and return the result.

    A reserved attribute always exists: without a value of its own it has its default.

    :raises MetadataConflict: replace or remove of a key that is not there.
    """
    result = dict(metadata)
    for operation in operations:
        if operation.op != 'add' and operation.key not in result and operation.key not in _KINDS:
            raise errors.MetadataConflict(operation=operation.op, key=operation.key)
        if operation.op != 'remove':
            result[operation.key] = operation.value
        elif operation.key == ENCRYPTS and ENCRYPTS in result:
            result[ENCRYPTS] = False  # and not gone: what was posted before is encrypted still
        else:
            result.pop(operation.key, None)
    return result


def replace(metadata: dict, document: dict) -> dict:
    """`document` instead of `metadata`, from a client that knows no reserved attributes: they stay."""
    return {name: value for name, value in metadata.items() if name in _KINDS} | document


def _check_dead_letter_queue(name, key):
    try:
        queues.check_name(name)
    except errors.NameInvalid as error:
        raise errors.BodyInvalid(description=f'_dead_letter_queue does not name a queue. {error}') from None
    if name == key.name:
        raise errors.BodyInvalid(description='_dead_letter_queue must name another queue than the queue itself.')
