"""gunicorn's parts as this service wants them: what they log, and what they answer where a request cannot be read."""

import json
from urllib import parse

from gunicorn import glogging, util
from gunicorn.http import errors

from queueservice import logs
from queueservice.cmd import connections

#: Headers whose names gunicorn gives with its errors. All other names come from the client.
_SHOWN = ('CONTENT-LENGTH', 'TRANSFER-ENCODING')

#: What gunicorn may find wrong with a request, with a status and what to change. The first that fits counts.
_ANSWERS = (
    (errors.LimitRequestLine, '414 URI Too Long', 'The request line is too long. Send fewer ids at a time.'),
    (
        errors.LimitRequestHeaders,
        '431 Request Header Fields Too Large',
        'There are too many headers, or one of them is too long. Leave out what this service does not need.',
    ),
    (
        errors.UnsupportedTransferCoding,
        '501 Not Implemented',
        'This Transfer-Encoding is not understood. Send a Content-Length, or Transfer-Encoding: chunked.',
    ),
    (errors.ExpectationFailed, '417 Expectation Failed', 'The header Expect may be 100-continue and nothing else.'),
    (errors.InvalidRequestMethod, '400 Bad Request', 'The method is malformed.'),
    (errors.InvalidHTTPVersion, '400 Bad Request', 'The version of HTTP is not understood. Use HTTP/1.1.'),
    (errors.InvalidRequestLine, '400 Bad Request', 'The request line is malformed.'),
    (errors.ObsoleteFolding, '400 Bad Request', 'A header goes on in the next line. Send it on one line.'),
    ((errors.InvalidHeader, errors.InvalidHeaderName), '400 Bad Request', 'A header is malformed{name}.'),
    (errors.ParseException, '400 Bad Request', 'The request is malformed.'),
)
#: These look like the others, and are faults of the application.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


class Worker(connections.ThreadWorker):
    def handle_error(self, req, client, addr, exc):
        """Refuse what cannot be read, in JSON. Neither the answer nor the log repeats what the client sent."""
        host = addr[0] if addr else 'a local socket'
        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS):
            status, description = next(answer for kind, *answer in _ANSWERS if isinstance(exc, kind))
            self.log.warning('A request from %s was refused: %s (%s)', host, status, type(exc).__name__)
        else:
            status, description = '500 Internal Server Error', 'The operator finds the cause in the log.'
            self.log.exception('A request from %s failed outside the application', host)
        name = getattr(exc, 'hdr', None)
        shown = f' ({name.title()})' if name in _SHOWN else ''
        try:
            util.write_nonblock(client, _answer(status, description.replace('{name}', shown)))
        except OSError:
            self.log.debug('The client was gone before it could be told.')


class Logger(glogging.Logger):
    """Writes lines as `logs` has them. The access log has paths without what stands behind the question mark."""

    def setup(self, cfg):
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            for handler in logger.handlers:
                handler.setFormatter(logs.formatter())

    def access(self, resp, req, environ, request_time):
        if not self.access_log_enabled:
            return
        path = parse.quote(environ.get('PATH_INFO', '').encode('latin-1'))
        agent = environ.get('HTTP_USER_AGENT', '-')
        facts = {
            'client': environ.get('REMOTE_ADDR', '-'),
            'method': environ['REQUEST_METHOD'],
            'path': f'{path}?...' if environ.get('QUERY_STRING') else path,
            'status': int(str(resp.status).partition(' ')[0]),
            'bytes': resp.sent,
            'microseconds': int(request_time.total_seconds() * 1_000_000),
            'agent': agent,
        }
        self.access_log.info(
            '%(client)s "%(method)s %(path)s" %(status)d %(bytes)s %(microseconds)d %(agent)s',
            {**facts, 'agent': json.dumps(agent)},
            extra={'facts': {'access': facts}, 'request_ids': logs.request_ids()},
        )


def _answer(status, description):
    body = json.dumps({'title': status.partition(' ')[2], 'description': description})
    return (
        f'HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n'
        f'Content-Length: {len(body)}\r\n\r\n{body}'
    ).encode()
