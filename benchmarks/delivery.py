"""python -m benchmarks.delivery: what delivering a message costs, and what having subscribers costs a post.

One worker delivers a backlog to a receiver on loopback. The floor does the least that a delivery needs: a POST by
urllib3, and two storage transactions, one that leases it and one that ends it, by sqlite3 or pymongo alone. Both take
turns, and are compared by the CPU time of their process for each delivery; the wall time stands beside it. Posts are
compared by their latency, on a queue with ten subscriptions and on one without.

Needs the packages of the tests; MongoDB is the stand-in of the tests unless QUEUESERVICE_TEST_MONGODB_URI names
another. Takes about three minutes. Run it on a machine that does nothing else.
"""

import argparse
import http.server
import json
import multiprocessing
import os
import pathlib
import sqlite3
import statistics
import tempfile
import time
import urllib.request

import pymongo
import urllib3
from pymongo import write_concern

from benchmarks import samples
from tests.faults import delivery
from tests.fixtures import mongodb, server

#: How many times the floor a delivery may cost at the most, and a post with ten subscriptions one without.
BARS = {'delivery': 2.0, 'post': 2.0}
_TICK = os.sysconf('SC_CLK_TCK')


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    count = 0

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        _Handler.count += 1
        self.wfile.write(b'HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n')

    def do_GET(self):
        text = b'%d' % _Handler.count
        self.wfile.write(b'HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%b' % (len(text), text))

    def log_message(self, *arguments):
        pass


class Receiver:
    """A server that counts what it gets, in a process of its own."""

    def __init__(self):
        port = server.free_port()
        self.url = f'http://127.0.0.1:{port}'
        self._process = multiprocessing.get_context('spawn').Process(target=_serve, args=(port,), daemon=True)
        self._process.start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.count()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError('The receiver does not answer.')

    def count(self) -> int:
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            return int(answer.read())

    def wait_for(self, count: int, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while self.count() < count:
            if time.monotonic() > deadline:
                raise AssertionError(f'{self.count()} of {count} came.')
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def _serve(port):
    http.server.ThreadingHTTPServer(('127.0.0.1', port), _Handler).serve_forever()


def deliver(service: delivery.Service, receiver: Receiver, queue: str, count: int) -> dict[str, float]:
    """Microseconds of CPU and of time for each of `count` deliveries by one worker."""
    client = service.client()
    messages = {'messages': [{'ttl': 36_000, 'body': samples.BODY}] * 100}
    for _ in range(count // 100):
        status, answer = client.call('POST', f'/v2/queues/{queue}/messages', messages)
        assert status == 201, answer
    before = receiver.count()
    worker = service.start_worker()
    try:
        # Neither its start nor the first delivery's connection belongs to the cost of one.
        receiver.wait_for(before + count // 10)
        began, cpu, already = time.perf_counter(), _cpu(worker.pid), receiver.count()
        receiver.wait_for(before + count)
        took, used = time.perf_counter() - began, _cpu(worker.pid) - cpu
    finally:
        worker.terminate()
        worker.wait(30)
    done = before + count - already
    return {'cpu_us': 1e6 * used / done, 'wall_us': 1e6 * took / done}


def _cpu(pid):
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class SqliteFloor:
    """A table of leases by sqlite3 alone, as durable as the driver's."""

    def __init__(self, folder: str):
        self._connection = sqlite3.connect(pathlib.Path(folder) / 'floor.db', isolation_level=None)
        for pragma in ('journal_mode = WAL', 'synchronous = FULL'):
            self._connection.execute(f'PRAGMA {pragma}')
        self._connection.execute('CREATE TABLE leases (id INTEGER PRIMARY KEY, body BLOB, until REAL)')
        self._next = 0
        self._last = 0

    def prepare(self, count: int, body: bytes) -> None:
        rows = [(self._last + one, body) for one in range(1, count + 1)]
        self._connection.execute('BEGIN')
        self._connection.executemany('INSERT INTO leases VALUES (?, ?, 0)', rows)
        self._connection.execute('COMMIT')
        self._last += count

    def lease(self) -> bytes:
        self._next += 1
        found = self._connection.execute(
            'UPDATE leases SET until = ? WHERE id = ? RETURNING body', (time.time() + 30, self._next)
        )
        return found.fetchall()[0][0]

    def end(self) -> None:
        self._connection.execute('DELETE FROM leases WHERE id = ?', (self._next,))


class MongodbFloor:
    """A collection of leases by pymongo alone."""

    def __init__(self, uri: str):
        concern = write_concern.WriteConcern('majority', j=True)
        self._leases = pymongo.MongoClient(uri)['floor'].get_collection('leases', write_concern=concern)
        self._next = 0
        self._last = 0

    def prepare(self, count: int, body: bytes) -> None:
        self._leases.insert_many([{'_id': self._last + one, 'body': body} for one in range(1, count + 1)])
        self._last += count

    def lease(self) -> bytes:
        self._next += 1
        change = {'$set': {'until': time.time() + 30}}
        return self._leases.find_one_and_update({'_id': self._next}, change)['body']

    def end(self) -> None:
        self._leases.delete_one({'_id': self._next})


def push(floor, receiver: Receiver, count: int) -> dict[str, float]:
    """Microseconds of CPU and of time for each of `count` bare deliveries."""
    floor.prepare(count, json.dumps(samples.BODY).encode())
    pool = urllib3.PoolManager(retries=False)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        body = floor.lease()
        headers = {'Content-Type': 'application/json'}
        assert pool.request('POST', f'{receiver.url}/floor', body=body, headers=headers).status == 204
        floor.end()
    return {
        'cpu_us': 1e6 * (time.process_time() - cpu) / count,
        'wall_us': 1e6 * (time.perf_counter() - began) / count,
    }


def measure_deliveries(driver: str, rounds: int, count: int) -> dict:
    """Medians of rounds in which worker and floor take turns."""
    found = {'worker': [], 'floor': []}
    receiver = Receiver()
    store = mongodb.Server() if driver == 'mongodb' else None
    try:
        with tempfile.TemporaryDirectory() as folder, delivery.Service(driver, workers=0) as service:
            floor = MongodbFloor(store.start().uri) if store else SqliteFloor(folder)
            service.subscribe('q', f'{receiver.url}/hook')
            for _ in range(rounds):
                found['floor'].append(push(floor, receiver, count // 4))
                found['worker'].append(deliver(service, receiver, 'q', count))
    finally:
        receiver.stop()
        if store:
            store.remove()
    medians = {
        name: {unit: round(statistics.median(one[unit] for one in each), 1) for unit in each[0]}
        for name, each in found.items()
    }
    ratios = [one['cpu_us'] / bare['cpu_us'] for one, bare in zip(found['worker'], found['floor'], strict=True)]
    return {**medians, 'ratio': round(statistics.median(ratios), 2), 'bar': BARS['delivery']}


def measure_posts(driver: str, rounds: int, count: int) -> dict:
    """Milliseconds of a post of one, with ten subscriptions and without, in turns; no worker runs."""
    with delivery.Service(driver, workers=0) as service:
        for index in range(10):
            service.subscribe('subscribed', f'http://127.0.0.1:{20_000 + index}/hook')
        client = service.client()
        took = {'subscribed': [], 'plain': []}
        document = {'messages': [{'ttl': 36_000, 'body': samples.BODY}]}
        for _ in range(rounds):
            for queue, each in took.items():
                for _ in range(count):
                    began = time.perf_counter()
                    status, answer = client.call('POST', f'/v2/queues/{queue}/messages', document)
                    each.append(time.perf_counter() - began)
                    assert status == 201, answer
        medians = {queue: statistics.median(each) for queue, each in took.items()}
    return {
        **{queue: round(1000 * median, 3) for queue, median in medians.items()},
        'ratio': round(medians['subscribed'] / medians['plain'], 2),
        'bar': BARS['post'],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description='Measure deliveries, and posts with subscribers.')
    parser.add_argument('--drivers', default='sqlite,mongodb')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--count', type=int, default=2000, help='deliveries a round; a multiple of 100')
    parser.add_argument('--output', type=pathlib.Path, default=pathlib.Path(__file__).with_name('delivery.json'))
    arguments = parser.parse_args()
    found = {}
    for driver in arguments.drivers.split(','):
        found[driver] = {
            'deliveries': measure_deliveries(driver, arguments.rounds, arguments.count),
            'posts': measure_posts(driver, arguments.rounds, 200),
        }
        print(driver, json.dumps(found[driver], indent=2), flush=True)
    arguments.output.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
