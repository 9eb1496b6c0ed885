"""Log lines: what stands in them, and that nobody can forge one.

A record is one line, whoever had a say in its text: control characters are escaped, and the lines of a traceback are
indented. Each line that is written while a request is answered says which.
"""

import datetime
import json
import logging
import re
import threading
import traceback

#: Longer texts are cut.
_LONGEST = 4096
#: Characters that a terminal or a reader of logs might take for a line's end or an order.
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]')
_REQUEST_ID = re.compile(r'[A-Za-z0-9_.:-]{1,64}')

#: Libraries that write bodies, tokens or addresses with passwords where they are asked to say much.
_TALKATIVE = ('pymongo', 'urllib3', 'keystoneauth', 'keystonemiddleware')


class _Request(threading.local):
    """The request that this thread answers, or answered last."""

    ids: tuple[str | None, str | None] = (None, None)  # ours; the client's, as it was sent


_request = _Request()


def begin_request(request_id: str, of_client: str | None) -> None:
    """Let the lines that this thread writes from now on carry these ids.

    :param of_client: what the client calls its request, unchecked.
    """
    _request.ids = request_id, of_client


def request_ids() -> tuple[str | None, str | None]:
    """(ours, the client's) of the request that this thread answers; the client's only if it is harmless."""
    request_id, of_client = _request.ids
    return request_id, of_client if of_client and _REQUEST_ID.fullmatch(of_client) else None


def escape(text: str) -> str:
    """`text` on one line, of bounded length."""
    if len(text) > _LONGEST:
        text = f'{text[:_LONGEST]}... ({len(text)} characters)'
    return _UNPRINTABLE.sub(lambda match: f'\\u{ord(match[0]):04x}', text)


class TextFormatter(logging.Formatter):
    """Lines for people: time, process, level, logger, [request ids], message."""

    def format(self, record):
        ids = ' '.join(filter(None, _ids(record))) or '-'
        line = (
            f'{_time(record)} {record.process} {record.levelname} {record.name} [{ids}] {escape(record.getMessage())}'
        )
        return ''.join((line, *(f'\n    | {escape(one)}' for one in _explain(record))))


class JsonFormatter(logging.Formatter):
    """Lines for programs: one JSON object each, in ASCII.

    The mapping that a record has as `facts` (by way of `extra`) stands among its fields.
    """

    def format(self, record):
        request_id, of_client = _ids(record)
        fields = {
            'time': _time(record),
            'process': record.process,
            'level': record.levelname,
            'logger': record.name,
            'request_id': request_id,
            'client_request_id': of_client,
            'message': escape(record.getMessage()),
            'exception': [escape(one) for one in _explain(record)],
            **getattr(record, 'facts', {}),
        }
        return json.dumps({name: value for name, value in fields.items() if value not in (None, [])}, default=str)


_formatter: logging.Formatter = TextFormatter()


def formatter() -> logging.Formatter:
    """What `setup` chose."""
    return _formatter


def setup(as_json: bool) -> None:
    """Let every handler of the root logger write lines of ours. Call it when they are there."""
    global _formatter
    _formatter = JsonFormatter() if as_json else TextFormatter()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_formatter)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.getLogger(name).level, logging.INFO))


def _ids(record):
    # A line about a request may be written when its thread has gone on to the next.
    given = getattr(record, 'request_ids', None)
    if given is not None:
        return given
    return request_ids() if record.name.startswith('queueservice') else (None, None)


def _time(record):
    return datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec='milliseconds')


def _explain(record):
    if not record.exc_info or record.exc_info[0] is None:
        return []
    return [line for part in traceback.format_exception(*record.exc_info) for line in part.rstrip('\n').split('\n')]
