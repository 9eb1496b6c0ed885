"""Addresses of recipients, asked of an identity store.

Source: the Seed Identity Store, which the stage-based messaging store asks.
"""

import contextlib
import http.client
import ssl
import time
import typing
import urllib.parse

import msgspec

from queueservice.delivery import base, connections, guard
from queueservice.model import deliveries, errors, subscribers

_QUERY = 'default=True&use_communicate_through=True'
#: Connections that are kept while nobody uses them.
_KEPT = 4


class _Address(msgspec.Struct):
    address: str


class _Addresses(msgspec.Struct):
    results: list[_Address]


_DECODER = msgspec.json.Decoder(_Addresses)


class Found(typing.NamedTuple):
    """What came of a question."""

    address: str | None  # None: the recipient has none, or there is an error
    error: str | None  # of model.deliveries.ERRORS
    reason: str  # the error, for people
    exchange: base.Exchange | None  # None: nothing left the service


class Identities:
    """For any number of threads.

    :param url: of the store, to which paths such as `/identities/...` are appended.
    """

    def __init__(self, url: str, rules: deliveries.Rules, gatekeeper: guard.Guard | None = None):
        self._base = url.rstrip('/')
        self._rules = rules
        self._guard = gatekeeper or guard.Guard(rules)
        self._connections = connections.Connections(_KEPT)

    def find(self, identity: str, now: float) -> Found:
        """The address of `identity`, by one request that keeps to `[delivery] timeout`. Raises nothing."""
        deadline = time.monotonic() + self._rules.timeout
        name = urllib.parse.quote(identity, safe='')
        try:
            url = subscribers.read_url(f'{self._base}/identities/{name}/addresses/msisdn?{_QUERY}', self._rules)
            place = self._guard.find(url, deadline)
        except (errors.BodyInvalid, guard.Refused):
            return _fail('address', 'The identity store is at an address to which this service sends nothing.')
        except guard.NotFound:
            return _fail('dns', "The identity store's name could not be resolved.")
        headers = (('Host', url.authority), ('Accept', 'application/json'), ('Accept-Encoding', 'identity'))
        started = time.monotonic()
        status, sent_back, body, error = None, (), b'', None
        try:
            status, sent_back, body = self._get(url, place, headers, deadline)
        except (OSError, http.client.HTTPException, ValueError) as raised:
            error = _name(raised)
        exchange = base.Exchange(
            method='GET',
            url=str(url),
            request_headers=headers,
            request_body=b'',
            started_at=now,
            seconds=time.monotonic() - started,
            status=status,
            response_headers=sent_back,
            response_body=body,
            internal=place.internal,
        )
        if error is not None:
            return _fail(error, 'The identity store did not answer.', exchange)
        if status != http.HTTPStatus.OK:
            return _fail('status', f'The identity store answers {status}.', exchange)
        try:
            results = _DECODER.decode(body).results
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _fail('response', 'The answer of the identity store cannot be read.', exchange)
        return Found(results[0].address or None if results else None, None, '', exchange)

    def _get(self, url, place, headers, deadline):
        # A new one each time that none is left open; one that closes at this very moment is an error like others.
        connection = self._connections.take(url, place) or self._connections.open(url, place, deadline)
        connection.restrict(deadline)
        try:
            lines = [f'GET {url.target} HTTP/1.1', *(f'{name}: {value}' for name, value in headers), '', '']
            connection.sendall('\r\n'.join(lines).encode('ascii'))
            response = http.client.HTTPResponse(connection, method='GET')
            with contextlib.closing(response):
                response.begin()
                body = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._connections.give_back(url, connection)
        return response.status, tuple(response.headers.items()), body


def _fail(error, reason, exchange=None):
    return Found(None, error, reason, exchange)


def _name(error):
    if isinstance(error, TimeoutError):
        return 'timeout'
    if isinstance(error, ssl.SSLCertVerificationError):
        return 'tls'
    return 'connection' if isinstance(error, OSError) else 'response'
