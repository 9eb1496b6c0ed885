"""Webhooks: the sender for subscribers with a URI of http or https.

Written on sockets and the parser of the standard library. A client library would look names up, follow its
environment's proxies, log addresses and start its timeouts anew: all that would have to be taken from it again.

Sources: the notification of the Zaqar API, Standard Webhooks (signatures), RFC 9110 (answers).
"""

import base64
import contextlib
import datetime
import email.utils
import hashlib
import hmac
import http.client
import importlib.metadata
import re
import ssl
import time
import typing

from queueservice.delivery import base, connections, guard
from queueservice.model import deliveries, errors, notifications, subscribers

#: The most bytes that post_data may become by repeating what was posted.
_MAX_FILLED = 1024 * 1024
_AGENT = f'queueservice/{importlib.metadata.version("queueservice")}'
_SECONDS = re.compile('[0-9]{1,10}')


class Webhook:
    """A sender, for any number of threads."""

    def __init__(
        self, rules: deliveries.Rules, context: ssl.SSLContext | None = None, gatekeeper: guard.Guard | None = None
    ):
        """
        :param context: what certificates are verified with; by default the trust store of the system.
        :param gatekeeper: says where requests may go; by default as `rules` say.
        """
        self._rules = rules
        self._guard = gatekeeper or guard.Guard(rules)
        self._connections = connections.Connections(4 * rules.workers, context)

    def site(self, target: str) -> str:
        try:
            return subscribers.read_url(target, self._rules).host
        except errors.BodyInvalid:
            return target

    def send(self, push: base.Push) -> base.Result:
        """Make one attempt.

        The exchange in the result has the headers as they were sent: Authorization, webhook-signature and what the
        subscription adds are the reader's to hide. An answer of 2xx counts as soon as its headers have come, however
        its body ends. A certificate that cannot be verified is tried again, because certificates are mended.
        """
        deadline = time.monotonic() + self._rules.timeout
        try:
            url = subscribers.read_url(push.target, self._rules)
            body = _body(push)
        except errors.BodyInvalid:
            return base.Result(ok=False, sent=False, error='address')
        except _NotFillable:
            return base.Result(ok=False, sent=False, error='template')
        headers = _headers(push, url, body)
        started = time.monotonic()
        answer = error = place = None
        try:
            place = self._guard.find(url, deadline)
            answer = self._post(url, place, _request(url, headers, body), deadline)
        except guard.Refused:
            return base.Result(ok=False, sent=False, error='address')
        except guard.NotFound:
            error = 'dns'
        except (OSError, http.client.HTTPException, ValueError) as raised:
            error = _name(raised)
        exchange = base.Exchange(
            method='POST',
            url=str(url),
            request_headers=headers,
            request_body=body,
            started_at=push.sent_at,
            seconds=time.monotonic() - started,
            internal=place is not None and place.internal,
            **(answer._asdict() if answer else {}),
        )
        if error:
            return base.Result(ok=False, retry=True, error=error, exchange=exchange)
        return _judge(answer, push.sent_at, exchange)

    def close(self) -> None:
        """Close the connections that were kept open."""
        self._connections.close()

    def _post(self, url, place, request, deadline):
        connection = self._connections.take(url, place)
        if connection is not None:
            try:
                return self._exchange(url, connection, request, deadline)
            except TimeoutError:
                raise
            except OSError:
                # The other side has closed it at this very moment. If it took the request, it knows its id.
                if not connection.is_untouched:
                    raise
        return self._exchange(url, self._connections.open(url, place, deadline), request, deadline)

    def _exchange(self, url, connection, request, deadline):
        connection.restrict(deadline)
        try:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection, method='POST')
            with contextlib.closing(response):
                response.begin()
                body, whole, truncated = _read(response)
        except BaseException:
            connection.close()
            raise
        if whole and not response.will_close and response.status >= 200:
            self._connections.give_back(url, connection)
        else:
            connection.close()
        return _Answer(response.status, response.reason, tuple(response.headers.items()), body, truncated)


class _Answer(typing.NamedTuple):
    status: int
    reason: str
    response_headers: tuple[tuple[str, str], ...]
    response_body: bytes
    truncated: bool


class _NotFillable(Exception):
    """What is to be sent cannot be made."""


def sign(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """One signature as Standard Webhooks has it."""
    signed = f'{delivery_id}.{timestamp}.'.encode() + body
    return 'v1,' + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def _body(push):
    template = push.options.get('post_data') if push.kind == deliveries.MESSAGE else None
    if template is None:
        return push.body
    if not isinstance(template, str):
        raise _NotFillable
    count = template.count(notifications.TOKEN.decode())
    if count > 1 and len(template) + count * len(push.body) > _MAX_FILLED:
        raise _NotFillable
    try:
        return notifications.fill(template, push.body)
    except UnicodeEncodeError as error:  # a lone surrogate
        raise _NotFillable from error


def _headers(push, url, body):
    timestamp = int(push.sent_at)
    headers = {
        'Host': url.authority,
        'User-Agent': _AGENT,
        'Accept-Encoding': 'identity',
        'Content-Type': 'application/json',
        'Content-Length': str(len(body)),
        'webhook-id': push.delivery_id,
        'webhook-timestamp': str(timestamp),
    }
    if push.secrets:
        headers['webhook-signature'] = ' '.join(
            sign(secret, push.delivery_id, timestamp, body) for secret in push.secrets
        )
    for name, value in _own_headers(push.options).items():
        if name.lower() != 'content-type':
            headers[name] = value
        elif push.kind == deliveries.MESSAGE:  # anything else is JSON, whatever post_data is
            headers['Content-Type'] = value
    return tuple(headers.items())


def _own_headers(options):
    try:
        return subscribers.check_headers(options.get('post_headers') or {})
    except errors.BodyInvalid:  # they were taken under another rule
        return {}


def _request(url, headers, body):
    lines = [f'POST {url.target} HTTP/1.1', *(f'{name}: {value}' for name, value in headers), '', '']
    return '\r\n'.join(lines).encode('ascii') + body


def _read(response):
    """What came of the body, whether that is all of it, and whether there would have been too much."""
    body = bytearray()
    try:
        while piece := response.read1(connections.MAX_ANSWER):
            body += piece
    except connections.TooLong:
        return bytes(body), False, True
    except (OSError, http.client.HTTPException, ValueError):
        return bytes(body), False, False
    return bytes(body), not response.length, False


def _name(error):
    """What an error is called in the deliveries' closed list."""
    if isinstance(error, TimeoutError):
        return 'timeout'
    if isinstance(error, ssl.SSLCertVerificationError):
        return 'tls'
    return 'connection' if isinstance(error, OSError) else 'response'


def _judge(answer, now, exchange):
    status = answer.status
    if 200 <= status < 300:
        return base.Result(ok=True, status=status, exchange=exchange)
    retry = status in (408, 429) or 500 <= status < 600
    after = _retry_after(answer.response_headers, now) if status in (429, 503) else None
    return base.Result(ok=False, retry=retry, status=status, error='status', retry_after=after, exchange=exchange)


def _retry_after(headers, now):
    """Seconds, or None where nothing was asked for that can be understood."""
    value = next((value for name, value in headers if name.lower() == 'retry-after'), '').strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        instant = email.utils.parsedate_to_datetime(value)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=datetime.UTC)
        return max(instant.timestamp() - now, 0)
    except (ValueError, OverflowError):
        return None
