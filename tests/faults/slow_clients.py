"""Clients that are idle or slow on purpose, and how long innocent ones wait beside them.

    python -m tests.faults.slow_clients --url http://127.0.0.1:8888 --idle 300 --slow 100 --seconds 30

Each hostile connection is opened again as soon as the server closes it. They come from a hundred addresses of
the loopback network, the innocent requests from one more; nothing else is ever spoken to.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import json
import re
import statistics
import sys
import time
from urllib import parse

HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'p'}

#: What a hostile connection does: one request and then nothing; nothing at all; one byte of its headers or of its
#: body every second.
KINDS = ('idle', 'silent', 'slow-header', 'slow-body')

_MOST_CONNECTIONS = 2000
_MOST_SECONDS = 600
_PATIENCE = 10  # seconds after which an innocent request has failed
_INNOCENTS = 4
_BODY = json.dumps({'messages': [{'ttl': 60, 'body': 'x' * 200}]})


@dataclasses.dataclass
class Result:
    """What became of the innocent requests; latencies in seconds."""

    latencies: list[float] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    open: int = 0  # hostile connections at this moment
    held: list[int] = dataclasses.field(default_factory=list)  # and as they were, ten times a second

    @property
    def worst(self) -> float:
        return max(self.latencies)

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)

    def __str__(self):
        failed = f' ({self.failures[0]})' if self.failures else ''
        return (
            f'{len(self.latencies)} innocent requests: worst {self.worst:.3f} s, median {self.median:.3f} s, '
            f'{len(self.failures)} failed{failed}; {statistics.mean(self.held):.0f} hostile connections open on average'
        )


def run(url: str, seconds: float, headers: dict[str, str] | None = None, **counts: int) -> Result:
    """Hold hostile connections open for `seconds`, and send innocent requests meanwhile.

    :param counts: connections of each kind, such as `slow_body=100`.
    :raises ValueError: more than this tool is meant for, or another address than 127.0.0.0/8.
    """
    address = parse.urlsplit(url)
    if address.scheme != 'http' or not re.fullmatch(r'127(\.\d+){3}', address.hostname or ''):
        raise ValueError(f'{url} does not begin with http://127.')
    kinds = [kind for kind in KINDS for _ in range(counts.get(kind.replace('-', '_'), 0))]
    if len(kinds) > _MOST_CONNECTIONS or seconds > _MOST_SECONDS:
        raise ValueError(f'At most {_MOST_CONNECTIONS} connections and {_MOST_SECONDS} seconds.')
    return asyncio.run(_Load(address.hostname, address.port or 80, HEADERS | (headers or {})).run(kinds, seconds))


class _Load:
    def __init__(self, host, port, headers):
        self._address = (host, port)
        self._head = ''.join(f'{name}: {value}\r\n' for name, value in {'Host': host, **headers}.items())
        self._result = Result()

    async def run(self, kinds, seconds):
        # One after the other: it is by what they hold that they do harm here, not by coming all at once.
        hostile = [
            asyncio.create_task(self._harm(number, kind, after=number / len(kinds)))
            for number, kind in enumerate(kinds)
        ]
        await asyncio.sleep(1.5)
        end = time.monotonic() + seconds
        innocent = [asyncio.create_task(self._behave(end, number)) for number in range(_INNOCENTS)]
        while not all(task.done() for task in innocent):
            self._result.held.append(self._result.open)
            await asyncio.sleep(0.1)
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        await asyncio.gather(*innocent)
        return self._result

    async def _harm(self, number, kind, after):
        behave = {
            'idle': self._be_idle,
            'silent': _wait_for_end,
            'slow-header': functools.partial(_trickle, f'POST / HTTP/1.1\r\n{self._head}X-Slow: '),
            'slow-body': functools.partial(
                _trickle,
                f'POST /v2/queues/slow/messages HTTP/1.1\r\n{self._head}'
                'Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n',
            ),
        }[kind]
        await asyncio.sleep(after)
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    *self._address, local_addr=(f'127.0.1.{number % 100 + 1}', 0)
                )
                self._result.open += 1
                try:
                    await behave(reader, writer)
                finally:
                    self._result.open -= 1
                    writer.close()
            await asyncio.sleep(0.05)

    async def _be_idle(self, reader, writer):
        writer.write(f'GET / HTTP/1.1\r\n{self._head}\r\n'.encode())
        await _wait_for_end(reader, writer)

    async def _behave(self, end, number):
        post = f'POST /v2/queues/q{number}/messages HTTP/1.1\r\n{self._head}Content-Length: {len(_BODY)}\r\n'
        requests = (post, _BODY), (f'GET /v2/queues/q{number}/stats HTTP/1.1\r\n{self._head}', '')
        while time.monotonic() < end:
            for head, body in requests:
                begun = time.monotonic()
                try:
                    async with asyncio.timeout(_PATIENCE):
                        status = await self._ask(f'{head}Connection: close\r\n\r\n{body}'.encode())
                    if not status.startswith(b'2'):
                        self._result.failures.append(status.decode())
                except (OSError, TimeoutError) as error:
                    self._result.failures.append(repr(error))
                self._result.latencies.append(time.monotonic() - begun)
                await asyncio.sleep(0.02)

    async def _ask(self, request):
        """Send a request over a connection of its own; its status, b'' where there was no answer."""
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(request)
            answer = await reader.read()
            return b' '.join(answer.split(None, 2)[1:2])
        finally:
            writer.close()


async def _wait_for_end(reader, writer):
    while await reader.read(65536):
        pass


async def _trickle(head, reader, writer):
    """Send `head`, then a byte a second until the server answers or closes."""
    writer.write(head.encode())
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1)
            return
        writer.write(b'x')
        await writer.drain()


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.faults.slow_clients', description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='where the service is; http and loopback only')
    parser.add_argument('--header', action='append', default=[], metavar='NAME: VALUE', help='for all; repeatable')
    parser.add_argument('--idle', type=int, default=0, help='connections that send one request')
    parser.add_argument('--silent', type=int, default=0, help='connections that send nothing')
    parser.add_argument('--slow', type=int, default=0, help='connections that send a byte a second')
    parser.add_argument('--mode', choices=('slow-header', 'slow-body', 'mixed'), default='mixed', help='of --slow')
    parser.add_argument('--seconds', type=float, default=30)
    arguments = parser.parse_args()
    bodies = {'slow-header': 0, 'slow-body': arguments.slow, 'mixed': arguments.slow // 2}[arguments.mode]
    headers = dict(re.split(r':\s*', header, maxsplit=1) for header in arguments.header)
    counts = {
        'idle': arguments.idle,
        'silent': arguments.silent,
        'slow_header': arguments.slow - bodies,
        'slow_body': bodies,
    }
    try:
        result = run(arguments.url, arguments.seconds, headers, **counts)
    except ValueError as error:
        parser.error(str(error))
    print(result)
    return 1 if result.failures else 0


if __name__ == '__main__':
    sys.exit(main())
