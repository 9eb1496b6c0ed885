"""Microversions of the block storage API: `OpenStack-API-Version: volume 3.N` says how things are to be.

The header may name several services, separated by commas; another one's version means nothing here.
"""

import re

import falcon

from queueservice.api import params
from queueservice.model import errors

_MAJOR = 3
#: Minor numbers: those that are served, the one of a request that names none, and the first with user messages.
LEAST, MOST = 0, 71
_FIRST = 3

_SERVICE = 'volume'
_NUMBER = re.compile(r'([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})')

#: As the OpenAPI document has it, which describes how things are in the last one.
HEADER = params.Text(
    'OpenStack-API-Version',
    f'The microversion: "{_SERVICE} {_MAJOR}.N", or "{_SERVICE} latest". Below {_MAJOR}.{_FIRST}, and without it, '
    'there are no user messages. What is described here is the last one.',
    choices=(f'{_SERVICE} {_MAJOR}.{MOST}', f'{_SERVICE} latest'),
)


def write(minor: int) -> str:
    return f'{_MAJOR}.{minor}'


def negotiate(req: falcon.Request, resp: falcon.Response) -> int:
    """The minor number of the microversion that `req` asks for, which `resp` is marked with.

    :raises HeaderInvalid: it names none.
    :raises falcon.HTTPNotAcceptable: one that is not served.
    :raises NotFound: one that had no user messages yet.
    """
    resp.append_header('Vary', HEADER.name)
    minor = _read(req.get_header(HEADER.name))
    resp.set_header(HEADER.name, f'{_SERVICE} {write(minor)}')
    if minor < _FIRST:
        raise errors.NotFound(
            description=f'There are user messages from microversion {write(_FIRST)} on, and this is {write(minor)}. '
            f'Send the header "{HEADER.name}: {_SERVICE} {write(MOST)}".'
        )
    return minor


def _read(header):
    if header is None:
        return LEAST
    version = next((part.strip() for part in header.split(',') if _SERVICE in part), '')
    _, _, asked = version.partition(_SERVICE)
    asked = asked.strip()
    if asked == 'latest':
        return MOST
    number = _NUMBER.fullmatch(asked)
    if number is None:
        raise errors.HeaderInvalid(
            description=f'The header {HEADER.name} must be "{_SERVICE} N.N" or "{_SERVICE} latest", such as '
            f'"{_SERVICE} {write(MOST)}".'
        )
    major, minor = map(int, number.groups())
    if major != _MAJOR or not LEAST <= minor <= MOST:
        raise falcon.HTTPNotAcceptable(
            title='Not acceptable',
            description=f'Version {asked} is not supported by the API. Minimum is {write(LEAST)} and maximum is '
            f'{write(MOST)}.',
        )
    return minor
