"""Tokens that this service makes itself: each lets its bearer act in one project, with the roles it was made with."""

import hashlib
import re
import secrets

import msgspec

from queueservice.model import errors

#: What every token begins with, so that it is recognised wherever it turns up.
PREFIX = 'qs_'
_TOKEN = re.compile(rf'{PREFIX}[A-Za-z0-9_-]{{43}}')
_ROLE = re.compile(r'[a-z0-9_.:-]{1,64}')
_MOST_ROLES = 32
_MOST_NAME = 255
#: Seconds a token may live: no longer than a clock can count with.
_MOST_TTL = 100 * 366 * 86400


class Token(msgspec.Struct, frozen=True):
    """What is kept of a token. The token itself is known to its bearer alone."""

    id: str  # 16 hex digits: to name it by, of no use to whoever wants to be let in
    project: str
    name: str  # whose it is, for people; may be empty
    roles: tuple[str, ...]
    created_at: float  # s, UTC
    expires_at: float | None = None  # s, UTC; None: never


def new_token() -> str:
    """A token that nobody can guess: 256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def new_id() -> str:
    return secrets.token_hex(8)


def is_token(text: str) -> bool:
    """Whether `text` is written like a token of this service, whether it is one or not."""
    return _TOKEN.fullmatch(text) is not None


def digest(token: str) -> str:
    """What is stored instead of the token. 256 random bits need neither salt nor stretching."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_roles(roles: list[str]) -> tuple[str, ...]:
    """The roles in lower case, each once.

    :raises Invalid: one of them cannot be a role.
    """
    lowered = tuple(dict.fromkeys(role.lower() for role in roles))
    for role in lowered:
        if not _ROLE.fullmatch(role):
            raise errors.Invalid(
                description=f'"{role}" cannot be a role: roles have 1 to 64 letters, digits, "_", ".", ":" and "-".'
            )
    if not 1 <= len(lowered) <= _MOST_ROLES:
        raise errors.Invalid(description=f'A token has 1 to {_MOST_ROLES} roles.')
    return lowered


def check_name(name: str) -> str:
    if len(name) > _MOST_NAME or not name.isprintable():
        raise errors.Invalid(description=f'The name of a token has at most {_MOST_NAME} printable characters.')
    return name


def check_ttl(ttl: int | None) -> int | None:
    if ttl is not None and not 1 <= ttl <= _MOST_TTL:
        raise errors.Invalid(description=f'The ttl of a token is 1 to {_MOST_TTL} seconds.')
    return ttl
