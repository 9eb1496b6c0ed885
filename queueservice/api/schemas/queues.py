"""The documents that queues come and go in."""

import typing

import msgspec

from queueservice.api.schemas import messages
from queueservice.model import quotas

Unset = msgspec.UNSET

#: A metadata document. `model.metadata` says what its reserved attributes may be.
Metadata = typing.Annotated[
    dict[str, typing.Any], msgspec.Meta(extra_json_schema={'$ref': '#/components/schemas/Metadata'})
]


#: What a step of a JSON patch does, and what a purge removes.
Op = typing.Literal['add', 'replace', 'remove']
ResourceType = typing.Literal['messages', 'subscriptions']

#: In v1 there is nothing that is reserved.
MetadataV1 = typing.Annotated[
    dict[str, typing.Any], msgspec.Meta(extra_json_schema={'propertyNames': {'not': {'pattern': '^_'}}})
]


class OperationIn(msgspec.Struct):
    """One step of a JSON patch."""

    op: Op
    path: typing.Annotated[str, msgspec.Meta(extra_json_schema={'pattern': '^/metadata/([^/~]|~[01])+$'})]
    value: typing.Any = Unset


#: All but "remove" need a value: the resource checks it.
Patch = list[
    typing.Annotated[
        OperationIn,
        msgspec.Meta(
            extra_json_schema={'anyOf': [{'required': ['value']}, {'properties': {'op': {'const': 'remove'}}}]}
        ),
    ]
]


class PurgeIn(msgspec.Struct):
    resource_types: list[ResourceType]


class QueueOut(msgspec.Struct):
    name: str
    href: str
    metadata: Metadata | msgspec.UnsetType = Unset


class PageOut(msgspec.Struct):
    queues: list[QueueOut]
    links: list[messages.Link]
    count: int | msgspec.UnsetType = Unset


class EndOut(msgspec.Struct):
    """The oldest or the newest message of a queue."""

    age: int
    created: str
    href: str


class CountsOut(msgspec.Struct):
    claimed: int
    free: int
    total: int
    oldest: EndOut | msgspec.UnsetType = Unset
    newest: EndOut | msgspec.UnsetType = Unset


class StatsOut(msgspec.Struct):
    messages: CountsOut


class UsageOut(msgspec.Struct):
    free: int
    claimed: int
    delayed: int
    total: int


#: Limits of a project. `model.quotas` checks them.
Quotas = typing.Annotated[
    dict[str, typing.Any],
    msgspec.Meta(
        extra_json_schema={
            'properties': {
                name: {'type': ['integer', 'null'], 'minimum': 0, 'maximum': quotas.MOST} for name in quotas.NAMES
            },
            'additionalProperties': False,
        }
    ),
]


class ProjectIn(msgspec.Struct, forbid_unknown_fields=True):
    """Limits of a project that are to change; null: back to the default."""

    limits: Quotas


class StagedOut(msgspec.Struct):
    """How staged messaging of a project goes on."""

    timezone: str
    misfire: str
    identity_url: str | None
    outbound_queue: str


class ProjectOut(msgspec.Struct):
    """What a project keeps in the store, and the bounds that hold for it."""

    project_id: str
    queues: int
    messages: UsageOut
    bytes: int
    limits: dict[str, int]
    staged: StagedOut


class ProjectLinkOut(msgspec.Struct):
    project_id: str
    href: str


class ProjectsOut(msgspec.Struct):
    projects: list[ProjectLinkOut]
    links: list[messages.Link]
