"""The documents that say what there is: versions, relations, errors."""

import typing

import msgspec

Unset = msgspec.UNSET


class MediaTypeOut(msgspec.Struct):
    base: str
    type: str


class VersionLinkOut(msgspec.Struct):
    href: str
    rel: typing.Literal['self', 'describedby']


class VersionOut(msgspec.Struct, rename={'media_types': 'media-types'}):
    id: str
    status: typing.Literal['CURRENT', 'DEPRECATED']
    updated: str
    media_types: list[MediaTypeOut]
    links: list[VersionLinkOut]
    version: str | msgspec.UnsetType = Unset  # the last microversion, where there are any
    min_version: str | msgspec.UnsetType = Unset


class VersionsOut(msgspec.Struct):
    versions: list[VersionOut]


class HomeOut(msgspec.Struct):
    """A JSON home document: relation to where it leads, with hints."""

    resources: dict[str, dict[str, typing.Any]]


class StatusOut(msgspec.Struct):
    status: typing.Literal['ok']


class ErrorOut(msgspec.Struct):
    """What was wrong with the request, and what to change."""

    title: str
    description: str | msgspec.UnsetType = Unset
