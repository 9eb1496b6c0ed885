"""Post to queues with subscribers, kill workers meanwhile, and judge what came to the subscribers.

The promise: each acknowledged message was sent to each subscriber and answered with 2xx, or there is a record of why
not; and whatever comes twice comes under the same delivery id.

By hand, for figures: ``python -m tests.faults.delivery --kills 50 --seed 1``, with ``--driver mongodb`` too.
``python -m tests.faults.delivery --silent`` measures instead what one subscriber that never answers does to others.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

from tests.faults import history
from tests.fixtures import mongodb, receiver, server

WORKER = (sys.executable, '-m', 'queueservice.cmd.worker')

#: Of each attempt, in seconds: a worker that is killed leaves its lanes alone for twice that and five more.
_TIMEOUT = 1
_SUBSCRIBERS = ('/ok/1', '/ok/2', '/flaky/1')
_REFUSING = '/status/410'
_SLOW = {'count': 1, 'pause': 0.5}


class Service:
    """A server without a worker of its own, and workers that can be killed. A context manager."""

    def __init__(self, driver: str = 'sqlite', workers: int = 2):
        self._driver = driver
        self._count = workers
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> 'Service':
        environment = {
            'OS_DELIVERY__ALLOWED_NETWORKS': '127.0.0.0/8',
            'OS_DELIVERY__TIMEOUT': str(_TIMEOUT),
            'OS_LOG_LEVEL': 'ERROR',
        }
        if self._driver == 'mongodb':
            store = mongodb.Server()
            self._stack.callback(store.remove)
            store.start()
            environment |= {
                'OS_STORAGE__DRIVER': 'mongodb',
                'OS_STORAGE__URI': f'{store.uri}/delivery',
                'OS_DEFAULT__UNRELIABLE': 'true',
            }
        self.server = server.Server('--no-worker', '--workers', '1', **environment)
        self._stack.callback(self.server.remove)
        self.server.start()
        self._stack.callback(self.server.stop)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith('OS_')},
            'XDG_STATE_HOME': str(self.server.state),
            'HOME': str(self.server.state),
            **environment,
        }
        self.workers = [self.start_worker() for _ in range(self._count)]
        self._stack.callback(self._stop_workers)
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()

    def start_worker(self) -> subprocess.Popen:
        with (self.server.state / 'worker.log').open('ab') as log:
            return subprocess.Popen(
                WORKER, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill_worker(self, index: int) -> None:
        """kill -9, and a new one in its place."""
        self.workers[index].send_signal(signal.SIGKILL)
        self.workers[index].wait()
        self.workers[index] = self.start_worker()

    def log(self) -> str:
        return (self.server.state / 'worker.log').read_text(errors='replace')

    def client(self) -> history.Client:
        return history.Client(self.server.port)

    def subscribe(self, queue: str, subscriber: str, **options) -> str:
        document = {'subscriber': subscriber, 'ttl': 36_000, 'options': options}
        status, answer = self.client().call('POST', f'/v2/queues/{queue}/subscriptions', document)
        if status != 201:
            raise AssertionError(f'{status}: {answer}')
        return answer['subscription_id']

    def deliveries(self, queue: str, subscription: str) -> list[dict]:
        """All deliveries of a subscription, open and ended."""
        client = self.client()
        path = f'/v2/queues/{queue}/subscriptions/{subscription}/deliveries?limit=100'
        found = []
        while True:
            answer = client.call('GET', path)
            if answer is None or answer[0] == 503:  # the store is as busy as it can be
                time.sleep(1)
                continue
            status, page = answer
            if status != 200:
                raise AssertionError(f'{status}: {page}')
            found += page['deliveries']
            if not page['links'] or not page['deliveries']:
                return found
            path = page['links'][0]['href']

    def _stop_workers(self):
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(30)
            finally:
                worker.kill()


class Posters:
    """Clients that post until they are stopped, and note what was acknowledged."""

    def __init__(self, service: Service, queue: str, count: int, pause: float = 0.0):
        self.acknowledged: dict[str, float] = {}  # message id -> when it was posted, s, monotonic
        self._service = service
        self._queue = queue
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._post, args=(index,)) for index in range(count)]

    def start(self) -> 'Posters':
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _post(self, index):
        client = self._service.client()
        number = 0
        while not self._stop.wait(self._pause):
            number += 1
            posted_at = time.monotonic()
            bodies = [{'ttl': 36_000, 'body': [index, number, one]} for one in range(1 + number % 3)]
            answer = client.call('POST', f'/v2/queues/{self._queue}/messages', {'messages': bodies})
            if answer is not None and answer[0] == 201:
                for href in answer[1]['resources']:
                    self.acknowledged[href.rpartition('/')[2]] = posted_at


def run(seconds: float, kills: int, seed: int, driver: str = 'sqlite', patience: float = 600) -> dict:
    """Post for `seconds` while workers are killed; then wait until nothing is open; then judge."""
    chance = random.Random(seed)
    policy = {'minimum_delay': 1, 'maximum_delay': 11, 'retries_with_no_delay': 5}
    with receiver.Receiver(seed) as hooks, Service(driver) as service:
        service.client().call('PUT', '/v2/queues/q', {'_retry_policy': policy})
        subscriptions = {path: service.subscribe('q', f'{hooks.url}{path}') for path in _SUBSCRIBERS}
        refusing = service.subscribe('q', f'{hooks.url}{_REFUSING}')
        # The stand-in for MongoDB takes its time for everything.
        posters = Posters(service, 'q', **({'count': 3, 'pause': 0.05} if driver == 'sqlite' else _SLOW)).start()
        for _ in range(kills):
            time.sleep(seconds / kills * chance.uniform(0.5, 1.5))
            service.kill_worker(chance.randrange(len(service.workers)))
        posters.stop()
        records = _wait_until_ended(service, {**subscriptions, _REFUSING: refusing}, posters.acknowledged, patience)
        got = hooks.by_path()
        faults = collections.Counter(missing=0, not_recorded=0, another_id=0)
        for path, ended in records.items():
            delivered = {one.document['message_id'] for one in got[path] if one.status == 204}
            explained = {id for id, one in ended.items() if one['outcome'] != 'delivered'}
            faults['missing'] += len(posters.acknowledged.keys() - delivered - explained)
            faults['not_recorded'] += len(posters.acknowledged.keys() - ended.keys())
            ids = collections.defaultdict(set)
            for one in got[path]:
                ids[one.document['message_id']].add(one.delivery_id)
            faults['another_id'] += sum(len(each) > 1 for each in ids.values())
        tracebacks = service.log().count('Traceback')
    return {
        'driver': driver,
        'seed': seed,
        'kills': kills,
        'acknowledged': len(posters.acknowledged),
        'attempts': sum(map(len, got.values())),
        'repeated': sum(
            len(each) - len({one.delivery_id for one in each if one.status == 204})
            for path, each in got.items()
            if path.startswith('/ok')
        ),
        'failed': sum(one['outcome'] == 'failed' for each in records.values() for one in each.values()),
        'tracebacks': tracebacks,
        'faults': dict(faults),
    }


def measure_silent(seconds: float, driver: str = 'sqlite') -> dict:
    """How long deliveries to a good subscriber take while another project's subscriber never answers, and before.

    The silent one has a backlog from the start, and more comes all the time.
    """
    # Another host: it shares nothing with the good one but the worker.
    silent = receiver.Receiver(host='127.0.0.2')
    with receiver.Receiver() as hooks, silent, Service(driver, workers=1) as service:
        service.subscribe('good', f'{hooks.url}/ok')
        service.client().call('POST', '/v2/queues/good/messages', {'messages': [{'body': 'the worker has started'}]})
        hooks.wait_for(1, 30)
        result = {'driver': driver, 'alone': _latencies(service, hooks, seconds)}
        quiet = dict(history._HEADERS, **{'X-Project-Id': 'silent'})
        subscriber = {'subscriber': f'{silent.url}/never', 'ttl': 36_000}
        _call(service, quiet, '/v2/queues/quiet/subscriptions', subscriber)
        messages = {'messages': [{'ttl': 36_000, 'body': one} for one in range(100)]}
        for _ in range(10):
            _call(service, quiet, '/v2/queues/quiet/messages', messages)
        time.sleep(2 * _TIMEOUT)
        result['beside'] = _latencies(service, hooks, seconds)
    result['ratio_p99'] = round(result['beside']['p99'] / result['alone']['p99'], 2)
    return result


def _call(service, headers, path, document):
    connection = history.http.client.HTTPConnection('127.0.0.1', service.server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request('POST', path, json.dumps(document), headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise AssertionError(f'{answer.status}: {answer.read()}')


def _latencies(service, hooks, seconds):
    """Milliseconds from the post to the receiver."""
    hooks.got.clear()
    posters = Posters(service, 'good', 1, pause=0.02).start()
    time.sleep(seconds)
    posters.stop()
    wanted = len(posters.acknowledged)
    got = hooks.wait_for(wanted, 60, '/ok')
    first = {}
    for one in got:
        first.setdefault(one.document['message_id'], one.at)
    took = sorted(1000 * (first[id] - posted_at) for id, posted_at in posters.acknowledged.items())
    return {
        'deliveries': wanted,
        'p50': round(statistics.median(took), 1),
        'p99': round(took[int(len(took) * 0.99)], 1),
        'worst': round(took[-1], 1),
    }


def _wait_until_ended(service, subscriptions, acknowledged, patience):
    """The ended deliveries of each subscription by message id, once all that was acknowledged is among them."""
    deadline = time.monotonic() + patience
    while True:
        records = {
            path: {one['message_id']: one for one in service.deliveries('q', id) if one['outcome'] != 'open'}
            for path, id in subscriptions.items()
        }
        if all(acknowledged.keys() <= ended.keys() for ended in records.values()) or time.monotonic() > deadline:
            return records
        time.sleep(3 if len(acknowledged) > 1000 else 0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=None)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument('--driver', choices=('sqlite', 'mongodb'), default='sqlite')
    parser.add_argument('--silent', action='store_true')
    arguments = parser.parse_args()
    if arguments.silent:
        result = measure_silent(arguments.seconds or 15, arguments.driver)
        print(json.dumps(result, indent=2))
        return int(result['ratio_p99'] >= 2)
    seconds = arguments.seconds or 1.2 * arguments.kills
    result = run(seconds, arguments.kills, arguments.seed, arguments.driver)
    print(json.dumps(result, indent=2))
    return int(any(result['faults'].values()) or result['tracebacks'])


if __name__ == '__main__':
    sys.exit(main())
