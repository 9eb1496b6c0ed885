"""Load a server over HTTP, kill its processes meanwhile, and judge what was answered.

Each client notes what it was promised: a post that was answered 201, a page that it was given, a claim
that it holds. An answer that never came is a third outcome, *unknown*: its messages may be there or not.
Afterwards `Judge` holds the notes against what the restarted server has.

By hand, for figures: ``python -m tests.faults.history --seconds 60 --kills 100 --seed 1``, and with
``--driver mongodb``, where it is the database server that is killed, stopped for a while and cut off as well.
"""

import argparse
import collections
import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import sys
import threading
import time

from queueservice.storage.drivers.mongodb import heads
from tests.fixtures import mongodb, server, torn

_HEADERS = {'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c', 'X-Project-Id': 'history'}


class Client:
    """One keep-alive connection that is made anew when it breaks."""

    def __init__(self, port: int):
        self._port = port
        self._connection = None
        self.retry_after = None  # what the last answer said of that

    def call(self, method: str, path: str, document=None) -> tuple[int, dict] | None:
        """(status, document), or None: the outcome is unknown."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection('127.0.0.1', self._port, timeout=10)
            body = None if document is None else json.dumps(document)
            self._connection.request(method, path, body, _HEADERS)
            answer = self._connection.getresponse()
            raw = answer.read()
            self.retry_after = answer.getheader('Retry-After')
        except (OSError, http.client.HTTPException):
            self.close()
            time.sleep(0.02)
            return None
        return answer.status, json.loads(raw) if raw else {}

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """Posters, tailing readers and consumers against one server for a time."""

    def __init__(self, port: int, seed: int, posters: int = 6, readers: int = 2, consumers: int = 3):
        self._port = port
        self._stop = threading.Event()
        self._drain = threading.Event()
        self.acknowledged: list[list] = []  # (poster, number), in the order of each poster
        self.intervals: dict[tuple, tuple[float, float]] = {}  # first body of a post -> when it was sent and answered
        self.ids: dict[tuple, str] = {}
        self.unknown: set[tuple] = set()
        self.seen: list[list[tuple]] = [[] for _ in range(readers)]
        self.claimed: list[tuple] = []
        self.deleted: set[tuple] = set()
        self.deleting: set[tuple] = set()
        self.statuses = collections.Counter()
        self.hasty = 0  # how often a 503 did not say when to come again
        self.slowest = 0.0  # answer, in seconds
        randoms = [random.Random(f'{seed}-{index}') for index in range(posters + consumers)]
        self._writers = [
            *(threading.Thread(target=self._post, args=(index, randoms[index])) for index in range(posters)),
            *(threading.Thread(target=self._consume, args=(randoms[posters + i],)) for i in range(consumers)),
        ]
        self._readers = [threading.Thread(target=self._tail, args=(seen,)) for seen in self.seen]

    def start(self):
        for thread in self._writers + self._readers:
            thread.start()

    def stop(self, rest: float):
        """Let everybody finish what was begun, and the readers read to the end `rest` seconds later."""
        self._stop.set()
        for thread in self._writers:
            thread.join()
        time.sleep(rest)
        self._drain.set()
        for thread in self._readers:
            thread.join()

    def _call(self, client, method, path, document=None):
        began = time.monotonic()
        answer = client.call(method, path, document)
        self.statuses[answer[0] if answer else None] += 1
        if answer is not None:
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.hasty += answer[0] == 503 and client.retry_after is None
        return answer

    def _post(self, poster, chance):
        client = Client(self._port)
        number = 0
        while not self._stop.is_set():
            bodies = [(poster, number + index) for index in range(chance.choice((1, 1, 3, 10)))]
            number += len(bodies)
            began = time.monotonic()
            for queue in ('tailed', 'worked'):
                posted = self._call(
                    client,
                    'POST',
                    f'/v2/queues/{queue}/messages',
                    {'messages': [{'ttl': 3600, 'body': body} for body in bodies]},
                )
                outcomes = {(queue, *body) for body in bodies}
                if posted is None or posted[0] != 201:
                    self.unknown |= outcomes
                    continue
                self.acknowledged += [[queue, *body] for body in bodies]
                hrefs = posted[1]['resources']
                self.ids.update(zip(((queue, *body) for body in bodies), hrefs, strict=True))
                self.intervals[queue, *bodies[0]] = (began, time.monotonic())
        client.close()

    def _tail(self, seen):
        client = Client(self._port)
        href = '/v2/queues/tailed/messages?limit=50&echo=true'
        while True:
            last_look = self._drain.is_set()
            page = self._call(client, 'GET', href)
            if page and page[0] == 200 and page[1]['messages']:
                seen += [('tailed', *message['body']) for message in page[1]['messages']]
                href = page[1]['links'][0]['href']
            elif last_look and page and page[0] == 200:
                break
            else:
                time.sleep(0.005)
        client.close()

    def _consume(self, chance):
        client = Client(self._port)
        while not self._stop.is_set():
            answer = self._call(client, 'POST', '/v2/queues/worked/claims?limit=7', {'ttl': 3600, 'grace': 60})
            if answer is None or answer[0] != 201:
                time.sleep(0.005)
                continue
            for message in answer[1]['messages']:
                body = ('worked', *message['body'])
                self.claimed.append(body)
                if chance.random() < 0.5:
                    self.deleting.add(body)
                    deleted = self._call(client, 'DELETE', message['href'])
                    if deleted and deleted[0] == 204:
                        self.deleted.add(body)
        client.close()


def judge(load: Load, port: int) -> dict[str, int]:
    """Hold what was promised against what is there now: {fault: how often}, all of which must be 0."""
    left = {queue: _read_all(port, queue) for queue in ('tailed', 'worked')}
    acknowledged = {tuple(body) for body in load.acknowledged}
    there = [body for bodies in left.values() for body in bodies]
    counted = collections.Counter(there)
    positions = {body: index for index, body in enumerate(left['tailed'])}
    faults = collections.Counter(
        lost=sum(body not in counted for body in acknowledged - load.deleting),
        duplicated=sum(count > 1 for count in counted.values()),
        phantom=sum(body not in acknowledged and body not in load.unknown for body in counted),
        resurrected=sum(body in counted for body in load.deleted),
        claimed_twice=sum(count > 1 for count in collections.Counter(load.claimed).values()),
        server_errors=sum(n for status, n in load.statuses.items() if status and status >= 500 and status != 503),
        no_retry_after=load.hasty,
    )
    for seen in load.seen:
        ours = {body for body in acknowledged if body[0] == 'tailed'}
        faults['skipped'] += len(ours - set(seen))
        faults['seen_twice'] += len(seen) - len(set(seen))
    # Order: within each poster, and between posts that did not overlap.
    for queue in left:
        for poster in {body[1] for body in left[queue]}:
            numbers = [body[2] for body in left[queue] if body[1] == poster]
            faults['out_of_order'] += sum(a > b for a, b in itertools.pairwise(numbers))
    posts = sorted(
        (answered, sent, positions[body])
        for body, (sent, answered) in load.intervals.items()
        if body[0] == 'tailed' and body in positions
    )
    highest, waiting = -1, sorted((sent, position) for _, sent, position in posts)
    done = 0
    for sent, position in waiting:
        while done < len(posts) and posts[done][0] < sent:
            highest = max(highest, posts[done][2])
            done += 1
        faults['out_of_order'] += position < highest
    return dict(faults)


def _read_all(port, queue):
    client = Client(port)
    bodies = []
    href = f'/v2/queues/{queue}/messages?limit=100&echo=true&include_claimed=true'
    while True:
        status, page = client.call('GET', href)
        if status != 200:
            raise AssertionError(f'{href} answered {status}: {page}')
        if not page['messages']:
            client.close()
            return bodies
        bodies += [(queue, *message['body']) for message in page['messages']]
        href = page['links'][0]['href']


class SQLite:
    """What is killed where the data is a file: every process of the service, or one worker."""

    environment: dict[str, str] = {}
    #: How long a writer that died may hold up readers, in seconds.
    rest = 0

    def harm(self, running: server.Server, chance: random.Random) -> None:
        if chance.random() < 0.5:
            running.kill()
            running.start()
        else:
            _kill_worker(running, chance)

    def remove(self) -> None:
        pass


class MongoDB:
    """What happens where the data is in a database server."""

    rest = heads.LEASE + 1

    def __init__(self, pause: float = 3):
        self._pause = pause  # s
        self.server = mongodb.Server().start()
        self._proxy = torn.Proxy(self.server.address, tear=True)
        self._proxy.__enter__()
        uri = f'mongodb://127.0.0.1:{self._proxy.port}/history?directConnection=true'
        self.environment = {'OS_STORAGE__DRIVER': 'mongodb', 'OS_STORAGE__URI': uri}

    def harm(self, running: server.Server, chance: random.Random) -> None:
        match chance.choice(['kill', 'kill', 'pause', 'cut', 'cut', 'worker', 'all']):
            case 'kill':
                self.server.restart()
            case 'pause':
                self.server.pause()
                time.sleep(self._pause)
                self.server.resume()
            case 'cut':
                self._proxy.cut()
            case 'worker':
                _kill_worker(running, chance)
            case 'all':
                running.kill()
                self.server.restart()
                running.start()

    def remove(self) -> None:
        self._proxy.__exit__()
        self.server.remove()


def _kill_worker(running, chance):
    alive = running.workers()
    if alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(alive), signal.SIGKILL)


def run(seconds: float, kills: int, seed: int, workers: int = 2, storage: SQLite | MongoDB | None = None) -> dict:
    """Load a server on `storage` for about `seconds` while harming it `kills` times; the faults and the volume.

    :param storage: SQLite if none is given.
    """
    storage = storage or SQLite()
    chance = random.Random(seed)
    running = server.Server('--workers', str(workers), **storage.environment).start()
    load = Load(running.port, seed)
    load.start()
    try:
        for _ in range(kills):
            time.sleep(seconds / kills * chance.uniform(0.5, 1.5))
            storage.harm(running, chance)
        time.sleep(0.5)
    finally:
        load.stop(storage.rest)
    try:
        faults = judge(load, running.port)
    finally:
        running.stop()
        running.remove()
        storage.remove()
    return {
        'faults': faults,
        'acknowledged': len(load.acknowledged),
        'unknown': len(load.unknown),
        'claimed': len(load.claimed),
        'deleted': len(load.deleted),
        'read': sum(map(len, load.seen)),
        'slowest': round(load.slowest, 2),
        'kills': kills,
        'seed': seed,
        'statuses': {str(status): count for status, count in load.statuses.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--driver', choices=('sqlite', 'mongodb'), default='sqlite')
    parser.add_argument('--pause', type=float, default=10, help='how long the database server is stopped, in seconds')
    arguments = parser.parse_args()
    storage = MongoDB(arguments.pause) if arguments.driver == 'mongodb' else SQLite()
    result = run(arguments.seconds, arguments.kills, arguments.seed, arguments.workers, storage)
    print(json.dumps(result, indent=2))
    sys.exit(1 if any(result['faults'].values()) else 0)


if __name__ == '__main__':
    main()
