"""What an operation costs in a short queue and in a long one, in turns: it should be the same.

Every operation runs on two stores that differ in length alone, through the API and on the bare driver.
CPU of the whole process (a writer thread counts), medians of rounds.
"""

import itertools
import json
import random
import statistics
import time

from benchmarks import samples, wsgi
from queueservice import bootstrap
from queueservice.api import app
from queueservice.model import messages, queues
from queueservice.storage import messages as store

#: How many times as much the long queue may cost at the most.
BARS = {'api': 1.2, 'driver': 1.5}

_KEY = queues.QueueKey(queues.PROJECT, 'benchmark', 'benchmark')
_BODY = json.dumps(samples.BODY).encode()
_FILL = 1000


class Subject:
    """A service whose queue holds `length` messages, or whose project holds that many queues."""

    def __init__(self, driver, length: int, many_queues: bool = False):
        self._driver = driver
        self._services = bootstrap.build_services(driver)
        self._app = app.build_app(self._services)
        self._queue = self._services.queues.ensure(_KEY)
        self._random = random.Random(length)
        self._claims = itertools.count()
        if many_queues:
            for index in range(length):
                self._services.queues.create(_KEY._replace(name=f'queue-{index:06}'), {})
            length = _FILL
        now = time.time()
        for _ in range(length // _FILL):
            self._append(_FILL, now)
        self._length = length

    def _append(self, count, now):
        drafts = [messages.Draft(_BODY, now + 36000, 0, b'c') for _ in range(count)]
        return [one.position for one in self._driver.messages.append(self._queue, drafts, now)]

    def _places(self, count):
        # At least half of what lies behind each of them is visible.
        return [self._random.randrange(self._length // 2) + 1 for _ in range(count)]

    def through_api(self, name: str, count: int) -> list:
        """`count` calls of an operation through the API, prepared."""
        path = samples.PATH
        encode = messages.encode_position
        if name in ('get-1', 'list-10'):
            ids = [encode(self._queue.id, place) for place in self._places(count)]
            target = f'{path}/messages/%s' if name == 'get-1' else f'{path}/messages?limit=10&echo=true&marker=%s'
            requests = [wsgi.Request('GET', target % one) for one in ids]
        elif name == 'delete-1':
            posted = self._append(count, time.time())
            requests = [wsgi.Request('DELETE', f'{path}/messages/{encode(self._queue.id, one)}') for one in posted]
        elif name == 'release-10':
            claimed = [samples_claim().send(self._app) for _ in range(count)]
            ids = [json.loads(raw)['messages'][0]['href'].rpartition('=')[2] for _, raw in claimed]
            requests = [wsgi.Request('DELETE', f'{path}/claims/{one}') for one in ids]
        else:
            request = {
                'post-1': samples.post(1),
                'claim-10': samples_claim(),
                'stats': wsgi.Request('GET', f'{path}/stats'),
                'queues-10': wsgi.Request('GET', '/v2/queues?limit=10&marker=queue-000500'),
            }[name]
            requests = [request] * count
        return [(request.send, self._app) for request in requests]

    def on_driver(self, name: str, count: int) -> list:
        """`count` calls of an operation on the driver alone, prepared."""
        verbs, queue, now = self._driver.messages, self._queue, time.time()

        def claim(_=None):
            made = messages.Claim(f'{next(self._claims):024x}', 300, now + 300)
            return made.id, verbs.claim(queue, made, 10, now, keep_until=now + 360)

        if name == 'post-1':
            drafts = [[messages.Draft(_BODY, now + 36000, 0, b'c')] for _ in range(count)]
            return [(lambda one: verbs.append(queue, one, now), one) for one in drafts]
        if name == 'get-1':
            return [(lambda one: verbs.select(queue, store.Selection((one,)), now), one) for one in self._places(count)]
        if name == 'list-10':
            return [
                (lambda one: verbs.select(queue, store.Selection(after=one), now), one) for one in self._places(count)
            ]
        if name == 'delete-1':
            return [(lambda one: verbs.delete(queue, (one,), now), one) for one in self._append(count, now)]
        if name == 'release-10':
            held = [claim()[0] for _ in range(count)]
            return [(lambda one: verbs.renew(queue, one, (messages.Change(),), now), one) for one in held]
        if name == 'stats':
            return [(lambda _: verbs.stats(queue, now), None)] * count
        return [(claim, None)] * count

    def close(self):
        self._driver.close()


def samples_claim() -> wsgi.Request:
    return wsgi.Request('POST', f'{samples.PATH}/claims?limit=10', samples.CLAIM)


OPERATIONS = ('post-1', 'get-1', 'delete-1', 'list-10', 'claim-10', 'release-10', 'stats')


def compare(short: Subject, long: Subject, operations, level: str, rounds: int, calls: int):
    """{operation: {short, long (us of CPU), ratio, bar}}"""
    results = {}
    for name in operations:
        times = {'short': [], 'long': []}
        for _ in range(rounds):
            for who, subject in (('short', short), ('long', long)):
                prepare = subject.through_api if level == 'api' else subject.on_driver
                prepared = prepare(name, calls)
                began = time.process_time()
                for function, argument in prepared:
                    function(argument)
                times[who].append((time.process_time() - began) / calls * 1e6)
                if name == 'claim-10':
                    release(subject)
        ratios = [far / near for near, far in zip(times['short'], times['long'], strict=True)]
        results[name] = {
            **{who: round(statistics.median(taken), 2) for who, taken in times.items()},
            'ratio': round(statistics.median(ratios), 2),
            'bar': BARS[level],
        }
    return results


def release(subject):
    """Give back what was claimed, so that there is something to claim in the next round."""
    now = time.time() + 301
    while subject._driver.messages.sweep(now, 500) >= 500:
        pass


def run(build_driver, length: int = 1_000_000, rounds: int = 9, calls: int = 50) -> dict:
    """Compare queues of 1 000 and of `length` messages, and projects of 100 and of `length` / 10 queues.

    :param build_driver: returns an empty store each time.
    """
    results = {}
    short, long = Subject(build_driver(), 1000), Subject(build_driver(), length)
    for level in BARS:
        results[level] = compare(short, long, OPERATIONS, level, rounds, calls)
    short.close()
    long.close()
    short = Subject(build_driver(), 1000, many_queues=True)
    long = Subject(build_driver(), length // 10, many_queues=True)
    results['queues'] = compare(short, long, (*OPERATIONS, 'queues-10'), 'api', rounds, calls)
    short.close()
    long.close()
    return results
