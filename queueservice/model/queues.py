"""Queues: who owns one, what it is called and how it is set up."""

import functools
import re
import typing

import msgspec

from queueservice.model import errors

#: Queues that belong to a project.
PROJECT = 'project'
#: Queues of API v1 requests that name no project: a namespace of its own, not a project called "".
SHARED = 'shared'
#: Queues that the service keeps for itself. No header, URL or body can name this namespace.
INTERNAL = 'internal'

NAME = re.compile(r'[A-Za-z0-9_.-]{1,64}')
#: Control characters, and what stands for bytes that were not UTF-8.
_UNREADABLE = re.compile(r'[\x00-\x1f\x7f-\x9f\ufffd]')


class QueueKey(typing.NamedTuple):
    """The whole name of a queue. Two queues are the same exactly if all three parts are equal."""

    namespace: str
    project: str
    name: str


class Settings(msgspec.Struct, frozen=True):
    """The reserved attributes of a queue, as stored; None where the operator's default holds."""

    max_messages_post_size: int | None = None  # bytes
    default_message_ttl: int | None = None  # s
    default_message_delay: int | None = None  # s
    dead_letter_queue: str | None = None
    dead_letter_queue_messages_ttl: int | None = None  # s
    max_claim_count: int | None = None
    retry_policy: dict | None = None  # for deliveries to its subscribers: fields of model.retry.Policy
    enable_encrypt_messages: bool | None = None  # None: it never was, so nothing in the queue is encrypted
    show_origin: bool | None = None  # whether messages say where they come from; only False keeps them from it


class Queue(msgspec.Struct, frozen=True):
    """One life of a queue: deleting it and making it again gives another `id`."""

    id: str  # 24 hex digits, random, never used again
    key: QueueKey
    revision: int  # rises with every change of metadata, settings or subscribers
    metadata: dict  # as the client sent it, decoded
    settings: Settings
    created_at: float  # s, UTC
    subscribers: tuple[str, ...] = ()


@functools.lru_cache(maxsize=65536)
def check_key(namespace: str, project: str, name: str) -> QueueKey:
    """The key of a tenant's queue, if it may be called so. `project` has been checked."""
    return QueueKey(namespace, project, check_name(name))


def check_name(name: str) -> str:
    """Return `name` if a queue may have it.

    "." and ".." are refused because a proxy on the way would fold them.
    """
    if not NAME.fullmatch(name) or name in ('.', '..'):
        raise errors.NameInvalid(
            description='Queue names consist of 1 to 64 of the characters A-Z a-z 0-9 "_" "." "-", '
            'and are not "." or "..".'
        )
    return name


@functools.lru_cache(maxsize=65536)
def check_project(project: str) -> str:
    """Return `project` if it can be a project id.

    A comma means that the header came twice (WSGI joins the two), so nobody can tell which is meant.
    """
    if not project:
        raise errors.HeaderInvalid(description='Empty project header not allowed. Set X-Project-Id to your project id.')
    if len(project) > 256:
        raise errors.NameInvalid(description='Project ids may not be longer than 256 characters.')
    if ',' in project or _UNREADABLE.search(project):
        raise errors.NameInvalid(
            description='Project ids are UTF-8 without commas and control characters. Send X-Project-Id once.'
        )
    return project
