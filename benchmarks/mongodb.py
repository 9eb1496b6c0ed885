"""python -m benchmarks.mongodb: what the MongoDB driver costs on top of the commands that it has to send.

Driver and bare commands take turns on one server, on queues of the same length: CPU of this process, medians of
rounds, and the best latency. Beside them the same operations on the memory and SQLite drivers, and on a queue of
1 000 messages against a long one, where the best of many is compared.

It starts the server of the tests, a stand-in that is many times slower than MongoDB: ratios tell something, and
milliseconds do not. QUEUESERVICE_TEST_MONGODB_URI names another server. Needs the packages of the tests; takes about
five minutes. Run it on a machine that does nothing else.
"""

import argparse
import gc
import json
import os
import pathlib
import statistics
import tempfile
import time
import uuid
from urllib import parse

import bson
import pymongo
from pymongo import read_concern, write_concern

from benchmarks import samples
from queueservice import bootstrap
from queueservice.model import messages, queues
from queueservice.storage import messages as ports
from queueservice.storage.drivers.memory import driver as memory
from queueservice.storage.drivers.mongodb import driver as mongodb
from queueservice.storage.drivers.sqlite import driver as sqlite
from tests.fixtures import mongodb as fixture

#: How many times the bare commands the driver may cost at the most.
BARS = {'cpu': 1.3, 'latency': 1.1}
#: How many times as much the long queue may cost at the most, at best.
FLAT_BAR = 1.5

OPERATIONS = ('post-10', 'list-10', 'claim-10', 'delete-1')
_BODY = json.dumps(samples.BODY).encode()
_SHORT = 1000
_BATCH = 500
_TTL = 36_000


class Subject:
    """The operations on a driver's queue of `length` messages."""

    def __init__(self, driver, name: str, length: int):
        self._verbs = driver.messages
        services = bootstrap.build_services(driver)
        self._queue = services.queues.ensure(queues.QueueKey(queues.PROJECT, 'benchmark', name))
        for _ in range(length // _BATCH):
            self._append(_BATCH)
        self._length = length
        self._places = iter(())

    def _append(self, count):
        now = time.time()
        drafts = [messages.Draft(_BODY, now + _TTL, 0, b'client') for _ in range(count)]
        return [each.position for each in self._verbs.append(self._queue, drafts, now)]

    def prepare(self, operation: str, count: int) -> None:
        """Make room for `count` calls of an operation, so that the queue is as long after them as before."""
        if operation == 'delete-1':
            self._places = iter(self._append(count))
        elif operation == 'claim-10':
            self._append(10 * count)

    def call(self, operation: str):
        now = time.time()
        match operation:
            case 'post-10':
                return self._append(10)
            case 'list-10':
                return self._verbs.select(self._queue, ports.Selection(after=self._length // 2), now).messages
            case 'get-1':
                return self._verbs.select(self._queue, ports.Selection(positions=(self._length // 2,)), now).messages
            case 'claim-10':
                claim = messages.Claim(messages.new_id(), 3600, now + 3600)
                return self._verbs.claim(self._queue, claim, 10, now, keep_until=now + 3660).messages
            case 'delete-1':
                return self._verbs.delete(self._queue, [next(self._places)], now).positions
            case 'stats':
                return [self._verbs.stats(self._queue, now)]
        raise ValueError(operation)


class Bare:
    """The same by pymongo alone: the commands that the design needs, and nothing around them."""

    def __init__(self, database, length: int):
        self._heads = database['queues']
        self._messages = database['messages']
        self._life = os.urandom(12)
        self._id = self._life.hex()
        self._unawaited = self._heads.with_options(write_concern=write_concern.WriteConcern(0))
        head = {'last': 0, 'pending': [], 'floor': 0, 'messages': 0, 'bytes': 0, 'purges': 0}
        # Not a queue of the service, but beside its queues.
        self._heads.insert_one({'_id': self._id, 'name': self._id, 'revision': 1, 'head': head})
        for _ in range(length // _BATCH):
            self._append(_BATCH)
        self._length = length
        self._taken = 0
        self._places = iter(())

    def _append(self, count):
        now = time.time()
        id = bson.ObjectId()
        size = len(_BODY) * count
        entry = {
            'id': id,
            'first': {'$add': ['$head.last', 1]},
            'count': count,
            'bytes': size,
            'expires': now + _TTL,
            'keyed': False,
            'at': {'$toLong': '$$NOW'},
        }
        change = {
            'head.last': {'$add': ['$head.last', count]},
            'head.messages': {'$add': ['$head.messages', count]},
            'head.bytes': {'$add': ['$head.bytes', size]},
            'head.pending': {'$concatArrays': ['$head.pending', [entry]]},
        }
        head = self._heads.find_one_and_update(
            {'_id': self._id, 'revision': 1, 'head.pending.199': {'$exists': False}},
            [{'$set': change}],
            projection={'_id': 0, 'head.last': 1, 'head.purges': 1},
            return_document=True,
        )
        last = head['head']['last']
        positions = range(last - count + 1, last + 1)
        self._messages.insert_many(
            [
                {
                    '_id': self._life + position.to_bytes(8, 'big'),
                    'queue': self._life,
                    'position': position,
                    'available': 0,
                    'expires': now + _TTL,
                    'created': now,
                    'claims': 0,
                    'size': len(_BODY),
                    'body': _BODY,
                    'client': b'client',
                }
                for position in positions
            ]
        )
        self._unawaited.update_one({'_id': self._id}, {'$pull': {'head.pending': {'id': id}}})
        return list(positions)

    prepare = Subject.prepare

    def call(self, operation: str):
        now = time.time()
        if operation == 'post-10':
            return self._append(10)
        head = self._heads.find_one({'_id': self._id}, {'revision': 1, 'head': 1})['head']
        match operation:
            case 'list-10':
                after = self._length // 2
                scope = {'queue': self._life, 'position': {'$gt': after, '$lte': after + 40}}
                return self._find(scope, {'expires': {'$gt': now}, 'available': {'$gte': 0, '$lte': now}})
            case 'claim-10':
                end = min(self._taken + 40, head['last'])
                scope = {'queue': self._life, 'available': 0, 'position': {'$gt': head['floor'], '$lte': end}}
                found = self._find(scope, {'expires': {'$gt': now}})
                self._taken = found[0]['position']
                condition = {
                    '_id': {'$in': [each['_id'] for each in found]},
                    'queue': self._life,
                    'available': 0,
                    'claims': 0,
                }
                held = {'claim': messages.new_id(), 'claim_ttl': 3600, 'available': now + 3600}
                change = {'$set': held, '$inc': {'claims': 1}, '$max': {'expires': now + 3660}}
                self._messages.update_many(condition, change)
                return found
            case 'delete-1':
                guard = {'available': {'$gte': 0, '$lte': now}, 'expires': {'$gt': now}}
                place = self._life + next(self._places).to_bytes(8, 'big')
                condition = {'_id': place, 'queue': self._life, **guard}
                return [self._messages.find_one_and_delete(condition, {'_id': 0, 'size': 1})]
        raise ValueError(operation)

    def _find(self, scope, condition):
        stages = [{'$match': scope}, {'$match': condition}, {'$sort': {'position': 1}}, {'$limit': 10}]
        return list(self._messages.aggregate(stages))


def measure(subjects: dict[str, object], operation: str, rounds: int, calls: int) -> dict[str, tuple[list, float]]:
    """For each subject, in turns: CPU of a call in each round, and the best latency of all calls; us."""
    cpu = {name: [] for name in subjects}
    best = dict.fromkeys(subjects, float('inf'))
    expected = 1 if operation in ('delete-1', 'get-1', 'stats') else 10
    for _ in range(rounds):
        for name, subject in subjects.items():
            subject.prepare(operation, calls)
            gc.collect()
            spent = 0.0
            for _ in range(calls):
                spent -= time.process_time()
                began = time.perf_counter()
                answer = subject.call(operation)
                best[name] = min(best[name], (time.perf_counter() - began) * 1e6)
                spent += time.process_time()
                assert len(answer) == expected, (name, operation, len(answer))
            cpu[name].append(spent / calls * 1e6)
    return {name: (cpu[name], best[name]) for name in subjects}


def compare(database, driver, rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """What the driver costs beside bare commands, memory and SQLite: {operation: {...}}, us and ratios."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        others = {'memory': memory.Driver(), 'sqlite': sqlite.Driver(pathlib.Path(folder) / 'benchmark.db')}
        others['sqlite'].prepare()
        subjects = {'bare': Bare(database, _SHORT)}
        subjects |= {name: Subject(each, 'short', _SHORT) for name, each in {'driver': driver, **others}.items()}
        for operation in OPERATIONS:
            measured = measure(subjects, operation, rounds, calls)
            cpu = {name: statistics.median(taken) for name, (taken, _) in measured.items()}
            best = {name: taken for name, (_, taken) in measured.items()}
            # Of neighbours in time, because the machine is not equally fast all the time.
            ratios = [ours / bare for ours, bare in zip(measured['driver'][0], measured['bare'][0], strict=True)]
            results[operation] = {
                **{f'{name} cpu': round(taken, 1) for name, taken in cpu.items()},
                'cpu ratio': round(statistics.median(ratios), 2),
                'cpu bar': BARS['cpu'],
                **{f'{name} best': round(taken, 1) for name, taken in best.items()},
                'latency ratio': round(best['driver'] / best['bare'], 2),
                'latency bar': BARS['latency'],
            }
        for each in others.values():
            each.close()
    return results


def flat(driver, length: int, rounds: int = 5, calls: int = 4) -> dict[str, dict[str, float]]:
    """The best latency in a queue of 1 000 messages and in one of `length`; us."""
    subjects = {'short': Subject(driver, 'flat-short', _SHORT), 'long': Subject(driver, 'flat-long', length)}
    results = {}
    for operation in ('post-10', 'list-10', 'get-1', 'claim-10', 'delete-1', 'stats'):
        measured = measure(subjects, operation, rounds, calls)
        short, long = (measured[name][1] for name in ('short', 'long'))
        results[operation] = {
            'short': round(short, 1),
            'long': round(long, 1),
            'ratio': round(long / short, 2),
            'bar': FLAT_BAR,
        }
    return results


def run(length: int, rounds: int = 12, calls: int = 8) -> dict:
    server = None if fixture.URI else fixture.Server().start()
    uri = fixture.URI or server.uri
    name = f'queueservice_benchmark_{uuid.uuid4().hex}'
    # The stand-in remembers repeatable writes, the slower the more there are.
    parts = parse.urlsplit(uri)
    query = '&'.join(filter(None, [parts.query, 'retryWrites=false']))
    client = pymongo.MongoClient(parse.urlunsplit(parts._replace(path='/', query=query)), timeoutMS=60_000)
    driver = mongodb.Driver(parse.urlunsplit(parts._replace(path=f'/{name}', query=query)), patience=60)
    try:
        driver.prepare()
        database = client.get_database(
            name,
            write_concern=write_concern.WriteConcern('majority', j=True),
            read_concern=read_concern.ReadConcern('majority'),
        )
        return {
            'server': client.server_info()['version'],
            'load average at start': f'{os.getloadavg()[0]:.1f}',
            'beside bare commands': compare(database, driver, rounds, calls),
            f'{_SHORT} and {length} messages': flat(driver, length),
        }
    finally:
        driver.close()
        client.drop_database(name)
        client.close()
        if server is not None:
            server.remove()


def render(results: dict) -> str:
    """The results as tables of plain text."""
    lines = []
    for title, value in results.items():
        if not isinstance(value, dict):
            lines.append(f'{title}: {value}')
            continue
        lines += ['', title]
        names = list(next(iter(value.values())))
        lines.append(' '.join([f'{"":10}', *(f'{name:>13}' for name in names)]))
        for operation, row in value.items():
            lines.append(' '.join([f'{operation:10}', *(f'{row[name]:>13}' for name in names)]))
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--length', type=int, default=200_000, help='messages in the long queue')
    parser.add_argument('--output', default='benchmarks/mongodb.json')
    arguments = parser.parse_args()
    results = run(arguments.length)
    pathlib.Path(arguments.output).write_text(json.dumps(results, indent=2) + '\n')
    print(render(results))


if __name__ == '__main__':
    main()
