"""Exchanges as clients of buckets send them and see them."""

import collections.abc
import typing
from urllib import parse

import msgspec

from queueservice.api import media
from queueservice.api.schemas import buckets as schemas
from queueservice.model import captures, errors, har

_RAW = msgspec.json.Decoder(msgspec.Raw)
_SEVERAL = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(schemas.ExchangeIn)
_ARCHIVE = msgspec.json.Decoder(har.HarIn)
_ENTRY = msgspec.json.Decoder(har.HarEntryIn)
_VALUES = msgspec.json.Decoder(schemas.Values)
_CHOICES = {'body_encoding': (captures.PLAINTEXT, captures.BASE64)}

_WHAT = 'The document'


class Refused(typing.NamedTuple):
    """A message that cannot be kept, and why."""

    identifier: str | None
    reason: str


def read(raw: bytes, intake: captures.Intake) -> list[captures.Exchange | Refused]:
    """What a client posts, one by one: a message, a list of them, or an HTTP archive.

    Those that say no time happen now; of several, each a microsecond after the one before.

    :raises BodyInvalid: it is none of these, or too many.
    """
    media.decode(raw, _RAW)
    media.check_value(raw, _WHAT)
    start = raw.lstrip()[:1]
    if start == b'[':
        listed, read_one = media.decode(raw, _SEVERAL), _read_message
    elif start == b'{' and 'log' in media.decode(raw, _MEMBERS):
        listed, read_one = media.decode(raw, _ARCHIVE).log.entries, _read_entry
    elif start == b'{':
        listed, read_one = [raw], _read_message
    else:
        raise errors.BodyInvalid(description='Send a message, a list of messages, or an HTTP archive with a "log".')
    if len(listed) > captures.MOST_POSTED:
        raise errors.BodyInvalid(
            description=f'At most {captures.MOST_POSTED} messages may come in one request, not {len(listed)}.'
        )
    return [
        _try(read_one, bytes(one), msgspec.structs.replace(intake, now=intake.now + index / 1_000_000))
        for index, one in enumerate(listed)
    ]


def read_push(req, raw: bytes, intake: captures.Intake) -> captures.Exchange:
    """The exchange that a delivery to a bucket is: what was sent, and that it was taken."""
    headers = {name.title(): [value] for name, value in req.headers.items()}
    return captures.Exchange(
        bucket=intake.bucket,
        id=captures.new_id(),
        request=captures.build_request(req.method, req.url, headers, intake.now, raw, intake.rules),
        response=captures.build_response(200, '', {}, intake.now, b'', intake.rules, seconds=0),
        identifier=req.get_header('webhook-id')[: captures.MOST_IDENTIFIER],
    )


def show(
    exchange: captures.Exchange, *, bodies: bool, rank: int | float | msgspec.UnsetType = msgspec.UNSET
) -> schemas.ExchangeOut:
    """The message that an exchange is for clients.

    :param bodies: whether they were read, and are to be shown.
    """
    return schemas.ExchangeOut(
        uuid=exchange.id,
        bucket_key=exchange.bucket,
        unique_identifier=exchange.identifier,
        attempt=exchange.attempt,
        subscription_id=exchange.subscription_id,
        error=exchange.error,
        request=_show_request(exchange.request, bodies) if exchange.request else None,
        response=_show_response(exchange.response, bodies) if exchange.response else None,
        rank=rank,
    )


def results(posted: collections.abc.Iterable[captures.Exchange | Refused]) -> schemas.ResultsEnvelope:
    """What came of each one that was posted."""
    shown = [_show_result(one) for one in posted]
    counts = {status: sum(1 for one in shown if one.status == status) for status in ('success', 'error', 'warning')}
    meta = schemas.ResultCountsOut(
        success_count=counts['success'], error_count=counts['error'], warning_count=counts['warning']
    )
    return schemas.ResultsEnvelope(data=shown, meta=meta)


# Inside


def _try(read_one, raw, intake):
    try:
        return read_one(raw, intake)
    except errors.Invalid as error:
        return Refused(_find_identifier(raw), str(error))


def _find_identifier(raw):
    """What a bad message calls itself, if that can be told."""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None
    identifier = found.get('unique_identifier') if isinstance(found, dict) else None
    return identifier if isinstance(identifier, str) and len(identifier) <= captures.MOST_IDENTIFIER else None


def _read_entry(raw, intake):
    return har.read_entry(media.decode(raw, _ENTRY), intake)


def _read_message(raw, intake):
    message = media.decode(raw, _MESSAGE, _CHOICES)
    sent, answered = message.request, message.response
    if sent is None and answered is None:
        raise errors.BodyInvalid(description='A message has a "request", a "response", or both.')
    if message.unique_identifier is not None:
        captures.check_text(message.unique_identifier, 'unique_identifier', captures.MOST_IDENTIFIER)
    answered_at = intake.now
    if answered and answered.timestamp is not None:
        answered_at = captures.check_instant(answered.timestamp)
    return captures.Exchange(
        bucket=intake.bucket,
        id=captures.new_id(),
        request=_read_request(sent, intake.rules, answered_at) if sent else None,
        response=_read_response(answered, intake.rules, answered_at) if answered else None,
        identifier=message.unique_identifier,
    )


def _read_request(sent, rules, answered_at):
    return captures.build_request(
        captures.check_method(sent.method),
        captures.check_url(sent.url),
        _read_values(sent.headers, 'headers') or {},
        answered_at if sent.timestamp is None else captures.check_instant(sent.timestamp),
        _read_body(sent),
        rules,
        encoding=_encoding(sent),
        form=captures.check_form(_read_values(sent.form, 'form'), rules),
    )


def _read_response(answered, rules, at):
    seconds = answered.response_time
    if seconds is not None and not 0 <= seconds <= 1_000_000_000:
        raise errors.BodyInvalid(description='The "response_time" is a number of seconds, and not negative.')
    return captures.build_response(
        captures.check_status(answered.status),
        captures.check_text(answered.reason or '', 'reason', captures.MOST_REASON),
        _read_values(answered.headers, 'headers') or {},
        at,
        _read_body(answered),
        rules,
        encoding=_encoding(answered),
        seconds=seconds,
    )


def _read_values(values, what):
    if isinstance(values, str):
        values = media.decode(values.encode(), _VALUES) if values else None
    if values is None:
        return None
    return {name: [value] if isinstance(value, str) else value for name, value in values.items()}


def _read_body(half):
    return captures.read_body(half.body or '', half.body_encoding)


def _encoding(half):
    return captures.PLAINTEXT if half.body is None else half.body_encoding or captures.PLAINTEXT


def _show_result(one):
    if isinstance(one, Refused):
        return schemas.ResultOut('error', None, one.identifier, schemas.ProblemOut(400, one.reason))
    if captures.was_cut(one):
        warning = schemas.ProblemOut(413, 'Something was too long and is kept in part.', 'See body_truncated.')
        return schemas.ResultOut('warning', one.id, one.identifier, None, warning)
    return schemas.ResultOut('success', one.id, one.identifier)


def _show_half(half, bodies):
    shown = {
        'headers': half.headers,
        'size_bytes': half.size,
        'timestamp': half.at,
        'body_truncated': half.truncated,
        'headers_truncated': half.headers_truncated,
        'left_out': half.left_out,
        'stripped': half.stripped,
    }
    if bodies:
        shown |= {'body': captures.show_body(half), 'body_encoding': half.encoding}
    return shown


def _show_request(request, bodies):
    parts = parse.urlsplit(request.url)
    return schemas.RequestOut(
        method=request.method,
        url=request.url,
        scheme=parts.scheme,
        host=parts.hostname or '',
        path=parts.path or '/',
        params=parse.parse_qs(parts.query, keep_blank_values=True),
        form=request.form if bodies else msgspec.UNSET,
        **_show_half(request, bodies),
    )


def _show_response(response, bodies):
    return schemas.ResponseOut(
        status=response.status, reason=response.reason, response_time=response.seconds, **_show_half(response, bodies)
    )
