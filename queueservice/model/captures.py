"""Captured HTTP: buckets of exchanges, and collections of those worth keeping.

An exchange is one request with its answer, or one of the two: an attempt to deliver a message, or whatever a client
posts. Outside it is called a message. Nothing of it is kept that would let its reader be somebody else
(`model.stripping`).
"""

import base64
import codecs
import collections.abc
import hashlib
import http
import re
import secrets
import string
import typing
import uuid
from urllib import parse

import msgspec

from queueservice.model import errors, stripping

#: How bodies are shown.
PLAINTEXT, BASE64 = 'plaintext', 'base64'

#: Why a body was not kept.
ENCRYPTED = 'encrypted'  # its queue is encrypted
INTERNAL = 'internal'  # it came from an address that only the operator's `allowed_networks` opens
CONFIRMATION = 'confirmation'  # it holds what only the subscriber is to know
TOO_MUCH = 'too much'  # one answer cannot hold it beside the others: fetch the message alone

#: Lengths in characters; of headers, of names and values together, for each half of an exchange.
MOST_NAME = 100
MOST_DESCRIPTION = 1000
MOST_IDENTIFIER = 512
MOST_URL = 8192
MOST_HEADERS = 16 * 1024
MOST_REASON = 200
MOST_STRIPPED = 4096  # of the names of what was secret
#: How many there may be.
MOST_BUCKETS = 1000  # that clients of one project make
MOST_COLLECTIONS = 1000  # of a bucket
MOST_HELD = 1000  # exchanges that the collections of a bucket hold
MOST_POSTED = 1000  # in one request
#: Ranks are ordered as doubles: beyond, two whole numbers could not be told apart.
MOST_RANK = 2**53

_KEY = re.compile(r'[0-9a-z]{12}')
_UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_URL = re.compile(r'https?://[^/?#\s\x00-\x1f]+[^\s\x00-\x1f]*', re.IGNORECASE)
_DIGITS = string.digits + string.ascii_lowercase
#: An instant that fits in a date, in the year 9999.
_LAST_INSTANT = 253_402_300_799


class Rules(msgspec.Struct, frozen=True):
    """What the operator has said about captures. Names are those of the options."""

    retention: int = 1000  # exchanges in a bucket, beside those that collections hold
    max_body: int = 64 * 1024  # bytes of each body


class Intake(msgspec.Struct, frozen=True):
    """What an exchange is made with that comes into a bucket."""

    bucket: str  # its key
    rules: Rules
    now: float  # s, UTC


class Bucket(msgspec.Struct, frozen=True):
    key: str  # 12 digits and small letters
    project: str
    name: str
    queue: str | None  # whose deliveries are captured here; None: a client made it
    created_at: float  # s, UTC


class Half(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What request and response have in common."""

    headers: dict[str, list[str]]
    at: float  # s, UTC
    size: int = 0  # bytes of the whole body
    encoding: str = PLAINTEXT
    truncated: bool = False  # the body was longer than what is kept
    headers_truncated: bool = False
    left_out: str | None = None  # why there is no body
    stripped: list[str] = []  # names of headers, parameters and fields whose values were secret
    body: bytes | None = None  # None: not kept, or not read


class Request(Half, frozen=True, omit_defaults=True, kw_only=True):
    method: str
    url: str
    form: dict[str, list[str]] | None = None  # None: there is none, or it was not read


class Response(Half, frozen=True, omit_defaults=True, kw_only=True):
    status: int
    reason: str
    seconds: float | None = None  # from the request to its end


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    bucket: str  # its key
    id: str  # UUID
    request: Request | None
    response: Response | None
    identifier: str | None = None  # the id of the delivery, or what a client chose
    subscription_id: str | None = None  # of a delivery
    attempt: int | None = None  # of the delivery
    error: str | None = None  # of model.deliveries.ERRORS, where an attempt failed

    @property
    def at(self) -> float:
        """The time by which exchanges are listed (s, UTC)."""
        return (self.request or self.response).at


class Collection(msgspec.Struct, frozen=True):
    id: str  # UUID
    bucket: str  # its key
    name: str
    description: str
    created_at: float  # s, UTC


class Item(typing.NamedTuple):
    """An exchange in a collection."""

    rank: int | float
    exchange: Exchange


def is_error(exchange: Exchange) -> bool:
    """Whether it failed: by its status, or because nothing answered."""
    return exchange.response is None or exchange.response.status >= 400


def was_cut(exchange: Exchange) -> bool:
    """Whether something of it was too long to be kept."""
    return any(half.truncated or half.headers_truncated for half in (exchange.request, exchange.response) if half)


# Keys and ids


def bucket_key(project: str, queue: str) -> str:
    """The key of the bucket in which the deliveries of a queue are captured, whether it was made yet or not."""
    digest = hashlib.sha256(f'{project}\0{queue}'.encode()).digest()
    number = int.from_bytes(digest)
    return ''.join(_DIGITS[number // len(_DIGITS) ** place % len(_DIGITS)] for place in range(12))


def new_key() -> str:
    return ''.join(secrets.choice(_DIGITS) for _ in range(12))


def new_id() -> str:
    return str(uuid.uuid4())


def attempt_id(delivery_id: str, attempt: int) -> str:
    """The id of the exchange of one attempt: the same whenever it is captured."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f'{delivery_id}/{attempt}'))


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def is_id(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


# What clients send


def check_text(text: str, what: str, most: int, least: int = 0) -> str:
    """Return a text of an allowed length, in characters."""
    if not least <= len(text) <= most:
        raise errors.BodyInvalid(description=f'The {what} must have {least} to {most} characters, not {len(text)}.')
    return text


def check_rank(rank: int | float) -> int | float:
    if isinstance(rank, int) and abs(rank) > MOST_RANK:
        raise errors.BodyInvalid(
            description=f'A rank that is a whole number lies between -{MOST_RANK} and {MOST_RANK}.'
        )
    return rank


def check_method(method: str) -> str:
    if not _METHOD.fullmatch(method):
        raise errors.BodyInvalid(description='The "method" of a request is a word such as GET, of at most 32 letters.')
    return method


def check_url(url: str) -> str:
    if len(url) > MOST_URL or not _URL.fullmatch(url) or not _is_host(url):
        raise errors.BodyInvalid(
            description='The "url" of a request must be absolute: it begins with http:// or https:// and a host, has '
            f'no blanks, and at most {MOST_URL} characters.'
        )
    return url


def _is_host(url):
    try:
        parts = parse.urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def check_form(form: dict[str, list[str]] | None, rules: Rules) -> dict[str, list[str]] | None:
    """A form is kept whole, or not at all."""
    if form is not None and len(msgspec.json.encode(form)) > max(rules.max_body, 1024):
        raise errors.BodyInvalid(description=f'A "form" may have {rules.max_body} bytes at the most.')
    return form


def check_status(status: int) -> int:
    if not 100 <= status <= 599:
        raise errors.BodyInvalid(description=f'The "status" of a response must be between 100 and 599, not {status}.')
    return status


def check_instant(at: float) -> float:
    if not 0 <= at <= _LAST_INSTANT:
        raise errors.BodyInvalid(description='A "timestamp" is in seconds since 1970, and not beyond the year 9999.')
    return at


# Bodies as texts


def show_body(half: Half) -> str | None:
    """The body as `half.encoding` says; None if there is none to show."""
    if half.body is None:
        return None
    return base64.b64encode(half.body).decode() if half.encoding == BASE64 else half.body.decode()


def read_body(text: str, encoding: str | None) -> bytes:
    """:raises BodyInvalid: it is not base64, which the encoding says it is."""
    if encoding != BASE64:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise errors.BodyInvalid(description='The "body" is not base64, which its encoding says it is.') from None


# What is kept


def build_request(
    method: str,
    url: str,
    headers: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    at: float,
    body: bytes,
    rules: Rules,
    encoding: str | None = None,
    form: collections.abc.Mapping[str, collections.abc.Sequence[str]] | None = None,
    left_out: str | None = None,
    hidden: collections.abc.Collection[str] = (),
) -> Request:
    """The request as it is kept.

    :param encoding: how the body is to be shown; None: as plain text if it is one.
    :param left_out: why the body is not to be kept.
    :param hidden: names of headers whose values are not to be kept, whatever they are.
    """
    url, stripped = stripping.strip_url(url)
    if hidden:
        stripped += [name for name in headers if name in hidden]
        headers = {name: values for name, values in headers.items() if name not in hidden}
    half = _build_half(headers, at, body, rules, encoding, left_out, stripped)
    if form is not None:
        form, names = stripping.strip_form(form)
        half['stripped'] = _cut_names([*half['stripped'], *names])
    return Request(method=method, url=url[:MOST_URL], form=form, **half)


def build_response(
    status: int,
    reason: str,
    headers: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    at: float,
    body: bytes,
    rules: Rules,
    encoding: str | None = None,
    seconds: float | None = None,
    truncated: bool = False,
    left_out: str | None = None,
) -> Response:
    """The response as it is kept.

    :param reason: '' for the usual words.
    :param truncated: `body` is not the whole of it already.
    """
    half = _build_half(headers, at, body, rules, encoding, left_out, [])
    half['truncated'] |= truncated
    return Response(status=status, reason=(reason or _phrase(status))[:MOST_REASON], seconds=seconds, **half)


def join_headers(pairs: collections.abc.Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Headers by name, each spelled as it came first."""
    joined, names = {}, {}
    for name, value in pairs:
        joined.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return joined


def _build_half(headers, at, body, rules, encoding, left_out, stripped):
    headers, names = stripping.strip_headers(headers)
    kept_headers = _cut_headers(headers)
    encoding = encoding or (PLAINTEXT if _is_text(body) else BASE64)
    kept = None if left_out else _cut(body, rules.max_body, encoding)
    return {
        'headers': kept_headers,
        'headers_truncated': kept_headers != headers,
        'at': round(at, 6),
        'size': len(body),
        'encoding': encoding,
        'truncated': kept is not None and len(kept) < len(body),
        'left_out': left_out,
        'stripped': _cut_names(dict.fromkeys([*stripped, *names])),
        'body': kept,
    }


def _cut_headers(headers):
    kept, left = {}, MOST_HEADERS
    for name, values in headers.items():
        left -= len(name)
        if left < 0:
            break
        kept[name] = []
        for value in values:
            if len(value) > left:
                break
            left -= len(value)
            kept[name].append(value)
    return kept


def _cut_names(names):
    kept, left = [], MOST_STRIPPED
    for name in names:
        left -= len(name)
        if left >= 0:
            kept.append(name)
    return kept


def _is_text(body):
    try:
        # What was cut off in the middle of a character is a text, too.
        codecs.getincrementaldecoder('utf-8')().decode(body)
    except UnicodeDecodeError:
        return False
    return True


def _cut(body, most, encoding):
    if len(body) <= most and encoding == BASE64:
        return body
    kept = body[:most]
    return kept if encoding == BASE64 else kept.decode(errors='ignore').encode()


def _phrase(status):
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ''
