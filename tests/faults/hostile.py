"""Ask a server for everything that it must refuse, and judge how it does that.

More than a thousand distinct requests, sent as they are over sockets: no HTTP library repairs them. Each must be
answered within ten seconds, by no status of 5xx, nor of 2xx where nothing else is right, without a word of what the
service is made of or of what another project keeps; and the connection must be as good as new afterwards, or closed.

Against any server: ``python -m tests.faults.hostile --url http://127.0.0.1:8888``; where it authenticates, with
``--token PROJECT:TOKEN`` twice, of two projects. It leaves queues named ``hostile*`` behind.
"""

import argparse
import collections
import collections.abc
import contextlib
import http.client
import io
import itertools
import json
import re
import secrets
import select
import socket
import ssl
import sys
import time
import typing
from urllib import parse

from tests.api import base
from tests.faults import hostile_cases

#: Seconds after which an answer that has not come counts as none.
PATIENCE = 10
#: Seconds after which a server is told that nothing more comes that waits for the rest of what is malformed.
_PAUSE = 0.3

#: What the service is made of: no answer says any of it.
_INSIDE = re.compile(
    rb'Traceback|File \\?"/|\.py\b|site-packages|/usr/|/lib/python|sqlite3?\.|pymongo|OperationalError|falcon\.|'
    rb'gunicorn\.|msgspec\.|queueservice[./](api|services|storage|model)|0x[0-9a-f]{8}|<class ',
)
#: What answers of 5xx are right where it is the protocol that is not understood.
_NOT_UNDERSTOOD = {501, 505}


class Answer(typing.NamedTuple):
    status: int
    headers: str
    body: bytes
    closed: bool


# How it is sent


class _Kept(io.BufferedReader):
    """Stays open behind each of the answers that are read from it, with what came behind them."""

    def close(self):
        pass


class Connection:
    """A connection that is made anew when it was closed."""

    def __init__(self, url: str):
        parts = parse.urlsplit(url)
        self.host = parts.netloc
        self._address = parts.hostname, parts.port or {'http': 80, 'https': 443}[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == 'https' else None
        self._socket = None
        self._file = None

    def ask(self, raw: bytes, method: str = 'GET') -> Answer | None:
        """Send `raw` as it is and return the answer; None: the connection was closed without one.

        :raises TimeoutError: neither comes in time.
        """
        self._open()
        self._send(raw)
        return self._read(method)

    def ask_once(self, raw: bytes, method: str) -> tuple[Answer | None, bytes]:
        """The same, and whatever else comes when nothing more is sent. The connection ends."""
        self.close()
        self._open()
        self._send(raw)
        if not select.select([self._socket], [], [], _PAUSE)[0]:
            self._end()
        answer = self._read(method)
        rest = b''
        if self._socket is not None:
            self._end()
            with contextlib.suppress(ConnectionError):
                rest = self._file.read()
        self.close()
        return answer, rest

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = self._file = None

    def _open(self):
        if self._socket is None:
            self._socket = socket.create_connection(self._address, PATIENCE)
            if self._tls:
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._address[0])
            self._file = _Kept(socket.SocketIO(self._socket, 'r'))

    def _send(self, raw):
        # It may be refused while it is being sent; the answer can be there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(raw)

    def _end(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _read(self, method):
        try:
            answer = http.client.HTTPResponse(self, method=method)
            answer.begin()
            read = Answer(answer.status, str(answer.headers), answer.read(), answer.will_close)
        except (ConnectionError, http.client.HTTPException):
            self.close()
            return None
        if read.closed:
            self.close()
        return read

    def makefile(self, mode):
        """What `HTTPResponse` asks a socket for."""
        return self._file


class Asker:
    """Who asks: a project, with a token or without."""

    def __init__(self, project: str, token: str | None = None):
        self.project = project
        self._headers = {'Client-ID': base.PRODUCER, 'X-Project-Id': project}
        if token:
            self._headers['X-Auth-Token'] = token

    def write(self, case: hostile_cases.Case, host: str) -> bytes:
        """The bytes of a request."""
        honest = {'Host': host, **self._headers}
        if case.raw:
            return case.raw.replace(b'CREDENTIALS', b'\r\n'.join(_lines(honest)))
        if case.body or case.method in ('POST', 'PUT', 'PATCH'):
            honest |= {'Content-Type': 'application/json', 'Content-Length': str(len(case.body))}
        given = {name.lower() for name in case.headers}
        headers = {name: value for name, value in honest.items() if name.lower() not in given} | case.headers
        first = b'%b %b HTTP/1.1' % (case.method.encode('latin-1'), case.target)
        return b'\r\n'.join((first, *_lines(headers), *case.lines, b'', case.body))


def _lines(headers):
    return [
        b'%b: %b' % (name.encode('latin-1'), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
        if value is not None
    ]


# How it is judged


class Defect(typing.NamedTuple):
    case: hostile_cases.Case
    what: str


class Suite:
    """Asks one server everything, as one project, while another one has something to lose.

    :param askers: both of them, where the server does not believe what it is told.
    """

    def __init__(self, url: str, askers: tuple[Asker, Asker] | None = None):
        mark = secrets.token_hex(4)
        self._connection = Connection(url)
        self._authenticated = askers is not None
        self._asker, self._victim = askers or (Asker(f'hostile-{mark}'), Asker(f'other-{mark}'))
        self.secret = f'secret-{secrets.token_hex(16)}'
        self._queue = f'hostile-{mark}'
        self._probes = itertools.count()
        self.statuses = collections.Counter()

    def cases(self) -> list[hostile_cases.Case]:
        """All of them, with what the other project has; it has it from now on."""
        self._before = None
        fields = collections.defaultdict(lambda: '0' * 24, queue_name=self._queue, project_id=self._victim.project)
        fields |= self._fill()
        self._before = self._look()
        return hostile_cases.cases(fields, self._victim.project, self._authenticated)

    def run(self, chosen: collections.abc.Iterable[hostile_cases.Case]) -> list[Defect]:
        """Ask each of them; what is wrong with the answers."""
        defects = [Defect(case, what) for case in chosen for what in self.ask(case)]
        kept = self._ask(self._asker, 'GET', '/v2/queues/hostile-kept/stats')
        ends = hostile_cases.Case('end', 'after all of them')
        if kept['messages']['total'] != 1:
            defects.append(Defect(ends, 'a message is gone that nobody deleted'))
        if self._before != self._look():
            defects.append(Defect(ends, 'the other project has not what it had'))
        self.close()
        return defects

    def ask(self, case: hostile_cases.Case) -> list[str]:
        """What is wrong with the answer to one of them."""
        raw = self._asker.write(case, self._connection.host)
        began = time.monotonic()
        try:
            if not case.protocol:
                wrong = self._judge(case, self._connection.ask(raw, case.method)) + self._probe()
            else:
                answer, rest = self._connection.ask_once(raw, case.method)
                wrong = self._judge(case, answer)
                if case.closes and rest.startswith(b'HTTP/'):
                    wrong.append(f'the rest is taken for another request, which is answered {rest[:40]!r}')
        except TimeoutError:
            self._connection.close()
            return [f'hangs for {PATIENCE} seconds']
        taken = time.monotonic() - began
        return wrong if taken < PATIENCE else [*wrong, f'takes {taken:.1f} seconds']

    def close(self) -> None:
        self._connection.close()

    # Inside

    def _fill(self):
        """Give both projects something to lose; the other one's ids."""
        post = {'messages': [{'body': 'kept', 'ttl': 86400}]}
        self._ask(self._asker, 'POST', '/v2/queues/hostile-kept/messages', post)
        path = f'/v2/queues/{self._queue}'
        self._ask(self._victim, 'PUT', path, {'secret': self.secret, 'a': 1})
        post = {'messages': [{'body': self.secret, 'ttl': 86400}] * 4}
        claimed, free, *_ = self._ask(self._victim, 'POST', f'{path}/messages', post)['resources']
        [held] = self._ask(self._victim, 'POST', f'{path}/claims?limit=1', {'ttl': 43200, 'grace': 60})['messages']
        page = self._ask(self._victim, 'GET', f'{path}/messages?limit=1&echo=true')
        bucket = self._ask(self._victim, 'POST', '/buckets', {'name': self.secret})['data']['key']
        post = {'response': {'status': 200, 'body': self.secret}}
        [kept] = self._ask(self._victim, 'POST', f'/buckets/{bucket}/messages', post)['data']
        self._bucket = f'/buckets/{bucket}'
        return {
            'bucket_key': bucket,
            'uuid': kept['uuid'],
            'message_id': base.id_of(free),
            'claimed_id': base.id_of(claimed),
            'claim_id': held['href'].rpartition('claim_id=')[2],
            'marker': page['links'][0]['href'].rpartition('marker=')[2],
        }

    def _look(self):
        """Everything that the other project has, without what time changes."""
        path = f'/v2/queues/{self._queue}'
        seen = [
            self._ask(self._victim, 'GET', asked)
            for asked in (
                '/v2/queues?detailed=true',
                f'{path}/messages?echo=true&include_claimed=true',
                f'{path}/stats',
                '/buckets',
                f'{self._bucket}/messages?format=har',
            )
        ]
        return re.sub('"age": [0-9]+', '', json.dumps(seen))

    def _ask(self, asker, method, path, document=None):
        body = b'' if document is None else json.dumps(document).encode()
        answer = self._connection.ask(
            asker.write(hostile_cases.Case('', '', method, path.encode(), body=body), self._connection.host), method
        )
        if answer is None or answer.status >= 300:
            raise AssertionError(f'{method} {path} is answered {answer}')
        return json.loads(answer.body) if answer.body else None

    def _judge(self, case, answer):
        self.statuses['cut off' if answer is None else answer.status] += 1
        if answer is None:
            return [] if case.protocol else ['is cut off without an answer']
        said = answer.headers.encode('latin-1', 'replace') + answer.body
        inside = _INSIDE.search(said)
        wrong = {
            f'is answered {answer.status}': answer.status >= 500
            and not (case.protocol and answer.status in _NOT_UNDERSTOOD),
            'is accepted': case.refused and answer.status < 400,
            'shows what belongs to another project': self.secret.encode() in said,
            f'shows what the service is made of ({inside and inside[0]})': inside,
            'gets a header of its own making into the answer': re.search(
                r'(?im)^(X-Injected|Set-Cookie):', answer.headers
            ),
            'gets markup back': 'html' in answer.headers and b'<script' in answer.body,
        }
        return [f'{what}: {said[-500:]!r}' for what, so in wrong.items() if so]

    def _probe(self):
        """Whether the next request on the connection gets its own answer."""
        name = f'hostile-probe-{next(self._probes)}'
        probe = hostile_cases.Case('', '', target=f'/v2/queues/{name}/messages/0'.encode())
        raw = self._asker.write(probe, self._connection.host)
        # The connection may have been closed behind the answer without a word; then a new one must do.
        answer = self._connection.ask(raw) or self._connection.ask(raw)
        if answer is not None and answer.status == 404 and name.encode() in answer.body:
            return []
        self._connection.close()
        return [f'spoils the connection: the next request is answered {answer}']


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.faults.hostile', description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='where the server listens, as in http://127.0.0.1:8888')
    parser.add_argument(
        '--token',
        action='append',
        default=[],
        metavar='PROJECT:TOKEN',
        help='for servers that authenticate, twice: who asks, and another project, which must not be harmed',
    )
    parser.add_argument('--group', action='append', help='ask only these; repeatable')
    arguments = parser.parse_args()
    if len(arguments.token) not in (0, 2):
        parser.error('--token is given twice, or not at all')
    suite = Suite(arguments.url, tuple(Asker(*token.rsplit(':', 1)) for token in arguments.token) or None)
    chosen = [case for case in suite.cases() if not arguments.group or case.group in arguments.group]
    began = time.monotonic()
    defects = suite.run(chosen)
    for defect in defects:
        print(f'{defect.case.group}: {defect.case.name}: {defect.what}')
    groups = collections.Counter(case.group for case in chosen)
    print('asked:', ', '.join(f'{count} {group}' for group, count in groups.items()))
    print('answers:', ', '.join(f'{count} {status}' for status, count in sorted(suite.statuses.items(), key=str)))
    print(f'{len(chosen)} requests in {time.monotonic() - began:.1f} s, {len(defects)} defects')
    return 1 if defects else 0


if __name__ == '__main__':
    sys.exit(main())
