"""Exchanges as an HTTP archive (HAR 1.2), which browsers and other tools read and write.

Source: http://www.softwareishard.com/blog/har-12-spec/.
"""

import collections.abc
import datetime
from urllib import parse

import msgspec

from queueservice.model import captures, errors

_VERSION = '1.2'
_UNKNOWN = -1

_WHY = {
    captures.ENCRYPTED: 'Its queue is encrypted.',
    captures.INTERNAL: 'It came from an address inside.',
    captures.CONFIRMATION: 'It is for the subscriber alone.',
    captures.TOO_MUCH: 'The archive is too large with it.',
}


class HarPair(msgspec.Struct):
    name: str
    value: str


class HarPostData(msgspec.Struct):
    mimeType: str
    text: str
    params: list[HarPair]
    encoding: str | msgspec.UnsetType = msgspec.UNSET  # an addition of many tools
    comment: str | msgspec.UnsetType = msgspec.UNSET


class HarContent(msgspec.Struct):
    size: int
    mimeType: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    encoding: str | msgspec.UnsetType = msgspec.UNSET
    comment: str | msgspec.UnsetType = msgspec.UNSET


class HarRequest(msgspec.Struct):
    method: str
    url: str
    httpVersion: str
    cookies: list[HarPair]
    headers: list[HarPair]
    queryString: list[HarPair]
    headersSize: int
    bodySize: int
    postData: HarPostData | msgspec.UnsetType = msgspec.UNSET


class HarResponse(msgspec.Struct):
    status: int
    statusText: str
    httpVersion: str
    cookies: list[HarPair]
    headers: list[HarPair]
    content: HarContent
    redirectURL: str
    headersSize: int
    bodySize: int


class HarTimings(msgspec.Struct):
    send: float
    wait: float
    receive: float


class HarCache(msgspec.Struct):
    pass


class HarEntry(msgspec.Struct):
    startedDateTime: str
    time: float  # ms
    request: HarRequest
    response: HarResponse
    cache: HarCache
    timings: HarTimings
    comment: str | msgspec.UnsetType = msgspec.UNSET


class HarCreator(msgspec.Struct):
    name: str
    version: str


class HarLog(msgspec.Struct):
    version: str
    creator: HarCreator
    entries: list[HarEntry]


class Har(msgspec.Struct):
    log: HarLog


class HarPostDataIn(msgspec.Struct):
    text: str = ''
    encoding: str = ''
    params: list[HarPair] | None = None


class HarRequestIn(msgspec.Struct):
    method: str
    url: str
    headers: list[HarPair] = []
    postData: HarPostDataIn | None = None


class HarContentIn(msgspec.Struct):
    text: str | None = None
    encoding: str = ''


class HarResponseIn(msgspec.Struct):
    status: int
    statusText: str = ''
    headers: list[HarPair] = []
    content: HarContentIn | None = None


class HarEntryIn(msgspec.Struct):
    """What is read of an entry."""

    startedDateTime: str
    request: HarRequestIn
    response: HarResponseIn
    time: float = 0  # ms


class HarLogIn(msgspec.Struct):
    entries: list[msgspec.Raw]


class HarIn(msgspec.Struct):
    log: HarLogIn


def write(exchanges: collections.abc.Iterable[captures.Exchange], creator_version: str) -> Har:
    """The archive of exchanges that were read with their bodies, oldest first."""
    entries = sorted(exchanges, key=lambda exchange: exchange.at)
    return Har(HarLog(_VERSION, HarCreator('queueservice', creator_version), list(map(_write_entry, entries))))


def read_entry(entry: HarEntryIn, intake: captures.Intake) -> captures.Exchange:
    """The exchange that an entry of an archive is kept as.

    :raises BodyInvalid: something in it cannot be.
    """
    at = captures.check_instant(_read_instant(entry.startedDateTime))
    seconds = max(0.0, entry.time / 1000)
    sent, answered = entry.request, entry.response
    body, form = b'', None
    if sent.postData is not None:
        body = captures.read_body(sent.postData.text, sent.postData.encoding)
        if sent.postData.params:
            form = captures.check_form(
                captures.join_headers((pair.name, pair.value) for pair in sent.postData.params), intake.rules
            )
    request = captures.build_request(
        captures.check_method(sent.method),
        captures.check_url(sent.url),
        captures.join_headers((pair.name, pair.value) for pair in sent.headers),
        at,
        body,
        intake.rules,
        form=form,
    )
    response = None
    if answered.status:  # 0 stands for no answer
        content = answered.content or HarContentIn()
        response = captures.build_response(
            captures.check_status(answered.status),
            answered.statusText,
            captures.join_headers((pair.name, pair.value) for pair in answered.headers),
            captures.check_instant(at + seconds),
            captures.read_body(content.text or '', content.encoding),
            intake.rules,
            seconds=seconds,
        )
    return captures.Exchange(bucket=intake.bucket, id=captures.new_id(), request=request, response=response)


def _write_entry(exchange):
    request, response = exchange.request, exchange.response
    seconds = response.seconds if response and response.seconds else 0
    milliseconds = round(seconds * 1000, 3)
    notes = [f'unique_identifier: {exchange.identifier}'] if exchange.identifier else []
    if exchange.error:
        notes.append(f'error: {exchange.error}')
    return HarEntry(
        startedDateTime=_write_instant(exchange.at),
        time=milliseconds,
        request=_write_request(request),
        response=_write_response(response),
        cache=HarCache(),
        timings=HarTimings(0, milliseconds, 0),
        comment=', '.join(notes) or msgspec.UNSET,
    )


def _write_request(request):
    if request is None:
        return HarRequest('', '', '', [], [], [], _UNKNOWN, _UNKNOWN)
    data = msgspec.UNSET
    if request.size or request.form:
        text, encoding = _encode(request)
        form = request.form or {}
        data = HarPostData(
            mimeType=_media_type(request),
            text='' if text is msgspec.UNSET else text,
            params=[HarPair(name, value) for name, values in form.items() for value in values],
            encoding=encoding,
            comment=_explain(request),
        )
    query = parse.parse_qsl(parse.urlsplit(request.url).query, keep_blank_values=True)
    return HarRequest(
        method=request.method,
        url=request.url,
        httpVersion='HTTP/1.1',
        cookies=[],
        headers=_write_headers(request),
        queryString=[HarPair(*pair) for pair in query],
        headersSize=_UNKNOWN,
        bodySize=request.size,
        postData=data,
    )


def _write_response(response):
    if response is None:
        return HarResponse(0, '', '', [], [], HarContent(0, ''), '', _UNKNOWN, _UNKNOWN)
    text, encoding = _encode(response)
    return HarResponse(
        status=response.status,
        statusText=response.reason,
        httpVersion='HTTP/1.1',
        cookies=[],
        headers=_write_headers(response),
        content=HarContent(response.size, _media_type(response), text, encoding, _explain(response)),
        redirectURL=_header(response, 'location'),
        headersSize=_UNKNOWN,
        bodySize=response.size,
    )


def _write_headers(half):
    return [HarPair(name, value) for name, values in half.headers.items() for value in values]


def _header(half, wanted):
    return next((values[0] for name, values in half.headers.items() if name.lower() == wanted and values), '')


def _media_type(half):
    return _header(half, 'content-type') or 'application/octet-stream'


def _encode(half):
    """The text and the encoding of a body, each UNSET where there is none."""
    if half.body is None:
        return msgspec.UNSET, msgspec.UNSET
    return captures.show_body(half), captures.BASE64 if half.encoding == captures.BASE64 else msgspec.UNSET


def _explain(half):
    if half.left_out:
        return f'The body is left out. {_WHY[half.left_out]}'
    return 'The body is truncated.' if half.truncated else msgspec.UNSET


def _write_instant(at):
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f'{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z'


def _read_instant(text):
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise errors.BodyInvalid(
            description='The "startedDateTime" of an entry must be a time such as 2026-01-01T12:00:00.000Z.'
        ) from None
