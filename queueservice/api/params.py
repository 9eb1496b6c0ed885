"""The query string, as the API reads it.

Each parameter is an object that stands beside the resource that reads it, and that the OpenAPI document describes.
An empty value is as good as none, of several the last one counts, and names that a route does not know
are passed over.
"""

import re

import msgspec

from queueservice.model import errors, messages

_SECONDS = re.compile(r'[+-]?[0-9]{1,20}(\.[0-9]{0,20})?')
_BOOLEANS = {
    **dict.fromkeys(('true', 'True', 't', 'yes', 'y', '1', 'on'), True),
    **dict.fromkeys(('false', 'False', 'f', 'no', 'n', '0', 'off'), False),
}


def text(req, name: str) -> str | None:
    value = req.params.get(name)
    if isinstance(value, list):
        value = value[-1]
    return value or None


class Text(msgspec.Struct, frozen=True):
    name: str
    description: str
    # What it may be, where that is bounded; whoever uses the text checks it.
    pattern: str = ''
    choices: tuple[str, ...] = ()

    def read(self, req) -> str | None:
        return text(req, self.name)


class Integer(msgspec.Struct, frozen=True):
    name: str
    description: str
    bound: str  # what `Limits.bounds` calls it; the service checks it

    def read(self, req) -> int | None:
        value = text(req, self.name)
        if value is None:
            return None
        digits = value[1:] if value[0] in '+-' else value
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise errors.ParameterInvalid(
                description=f'The "{self.name}" parameter is invalid. The value must be an integer.'
            )
        return int(value)


class Count(msgspec.Struct, frozen=True):
    """How much of something is wanted: whoever asks for more than there may be gets that."""

    name: str
    description: str
    default: int
    most: int

    def read(self, req) -> int:
        value = text(req, self.name)
        if value is None:
            return self.default
        if not (value.isascii() and value.isdigit() and int(value[:20])):
            raise errors.ParameterInvalid(
                description=f'The "{self.name}" parameter is invalid. The value must be an integer, and at least 1.'
            )
        return min(int(value[:20]), self.most)


class Instant(msgspec.Struct, frozen=True):
    """A time in seconds since 1970."""

    name: str
    description: str

    def read(self, req) -> float | None:
        value = text(req, self.name)
        if value is None:
            return None
        if not _SECONDS.fullmatch(value):
            raise errors.ParameterInvalid(
                description=f'The "{self.name}" parameter is invalid. The value must be a number of seconds since 1970.'
            )
        return float(value)


class Boolean(msgspec.Struct, frozen=True):
    name: str
    description: str

    def read(self, req) -> bool:
        value = text(req, self.name)
        if value is None:
            return False
        try:
            return _BOOLEANS[value]
        except KeyError:
            raise errors.ParameterInvalid(
                description=f'The "{self.name}" parameter is invalid. The value of the parameter must be "true" or '
                '"false".'
            ) from None


class Time(msgspec.Struct, frozen=True):
    name: str
    description: str

    def read(self, req) -> float | None:
        value = text(req, self.name)
        if value is None:
            return None
        instant = messages.read_timestamp(value)
        if instant is None:
            raise errors.ParameterInvalid(
                description=f'The "{self.name}" parameter is invalid. The value must be a time in UTC such as '
                '2026-11-23T03:50:02Z.'
            )
        return instant


class Words(msgspec.Struct, frozen=True):
    """A list: separated by commas, repeated, or both."""

    name: str
    description: str
    bound: str  # of how many there are

    def read(self, req) -> list[str]:
        value = req.params.get(self.name)
        if not value:
            return []
        values = value if isinstance(value, list) else [value]
        return [word for one in values for word in one.split(',') if word]


class Others(msgspec.Struct, frozen=True):
    """Parameters with names of the client's own choice, which the resource reads itself."""

    name: str
    description: str
    most: int


MARKER = Text('marker', 'Begin behind this place. Taken from the link `next` of an earlier page.')
