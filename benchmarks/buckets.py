"""python -m benchmarks.buckets: what a request to a bucket costs where it holds 100 exchanges, and 100 000.

CPU of the whole process, medians, in milliseconds. It should be the same.
"""

import itertools
import pathlib
import statistics
import tempfile
import time

from benchmarks import wsgi
from queueservice import bootstrap
from queueservice.api import app
from queueservice.delivery import base as delivery
from queueservice.model import captures as model
from queueservice.services import captures
from queueservice.storage.drivers.memory import driver as memory
from queueservice.storage.drivers.sqlite import driver as sqlite

LENGTHS = 100, 100_000

_PROJECT, _QUEUE = 'benchmark', 'benchmark'
_KEY = model.bucket_key(_PROJECT, _QUEUE)
_ROUNDS = 100
_BATCH = 10
_FIRST = 1_700_000_000


class Subject:
    def __init__(self, driver, length: int):
        driver.prepare()
        settings = bootstrap.Settings(capture=model.Rules(retention=length))
        self._services = bootstrap.build_services(driver, settings)
        self._app = app.build_app(self._services)
        self._numbers = itertools.count()
        self._middle = length // 2
        for _ in range(length // 100):
            self.capture(100)
        self._id = model.attempt_id(f'subscription-{self._middle}', 1)

    def capture(self, count: int) -> None:
        self._services.captures.capture(
            _PROJECT, _QUEUE, [_attempt(number) for number in itertools.islice(self._numbers, count)], time.time()
        )

    def calls(self):
        """(what it is, a call without arguments), in the order in which they are measured."""
        middle = _FIRST + self._middle
        for name, path in (
            ('newest 50', '/messages'),
            ('50 before the middle', f'/messages?before={middle}'),
            ('5 errors', '/errors?count=5'),
            ('5 errors before the middle', f'/errors?count=5&before={middle}'),
            ('one delivery', f'/messages?unique_identifier=subscription-{self._middle}'),
            ('one exchange', f'/messages/{self._id}'),
        ):
            request = wsgi.Request('GET', f'/buckets/{_KEY}{path}')
            assert request.send(self._app)[0].startswith('200'), name
            yield name, lambda request=request: request.send(self._app)
        yield f'capture {_BATCH}, drop {_BATCH}', lambda: self.capture(_BATCH)


def measure(subject: Subject) -> dict[str, float]:
    found = {}
    for name, call in subject.calls():
        spent = []
        for _ in range(_ROUNDS):
            started = time.process_time()
            call()
            spent.append(time.process_time() - started)
        found[name] = statistics.median(spent) * 1000
    return found


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, build in (
            ('memory', lambda length: memory.Driver()),
            ('sqlite', lambda length: sqlite.Driver(pathlib.Path(folder) / f'{length}.db')),
        ):
            rows = [measure(Subject(build(length), length)) for length in LENGTHS]
            for what, short in rows[0].items():
                print(f'{name:8} {what:28} {short:9.3f} {rows[1][what]:9.3f} {rows[1][what] / short:6.2f}')


def _attempt(number):
    exchange = delivery.Exchange(
        method='POST',
        url='https://receiver.example/hook?source=queue',
        request_headers=(('Content-Type', 'application/json'), ('webhook-id', f'subscription-{number}')),
        request_body=b'{"order": %d, "note": "%b"}' % (number, b'x' * 500),
        started_at=_FIRST + number,
        seconds=0.05,
        status=200 if number % 10 else 503,
        response_headers=(('Content-Type', 'text/plain'), ('Server', 'receiver')),
        response_body=b'x' * 100,
    )
    return captures.Captured(f'subscription-{number}', 'subscription', 1, exchange)


if __name__ == '__main__':
    main()
