"""The query string, as the API reads it.

An empty value is as good as none, of several the last one counts, and names that a route does not know
are passed over.
"""

from queueservice.model import errors

_BOOLEANS = {
    **dict.fromkeys(('true', 'True', 't', 'yes', 'y', '1', 'on'), True),
    **dict.fromkeys(('false', 'False', 'f', 'no', 'n', '0', 'off'), False),
}


def text(req, name: str) -> str | None:
    value = req.params.get(name)
    if isinstance(value, list):
        value = value[-1]
    return value or None


def integer(req, name: str, default: int | None = None) -> int | None:
    value = text(req, name)
    if value is None:
        return default
    digits = value[1:] if value[0] in '+-' else value
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise errors.ParameterInvalid(description=f'The "{name}" parameter is invalid. The value must be an integer.')
    return int(value)


def boolean(req, name: str, default: bool = False) -> bool:
    value = text(req, name)
    if value is None:
        return default
    try:
        return _BOOLEANS[value]
    except KeyError:
        raise errors.ParameterInvalid(
            description=f'The "{name}" parameter is invalid. The value of the parameter must be "true" or "false".'
        ) from None


def words(req, name: str) -> list[str]:
    """The values of a list parameter: separated by commas, repeated, or both."""
    value = req.params.get(name)
    if not value:
        return []
    values = value if isinstance(value, list) else [value]
    return [word for one in values for word in one.split(',') if word]
