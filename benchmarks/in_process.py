"""The service and the floor in one process, without sockets: CPU for each request, in turns.

Prints, for each operation, microseconds of the floor and of the service and their ratio (medians of
rounds), and returns the same as a dict.
"""

import itertools
import json
import statistics
import time

from benchmarks import floor
from benchmarks import wsgi
from queueservice import bootstrap
from queueservice.api import app

#: Operation -> how many times the floor it may cost at the most.
BARS = {'post-1': 4, 'get-1': 4, 'delete-1': 4, 'post-10': 3, 'list-10': 3, 'claim-10': 3}

_BODY = {'event': 'BackupStarted', 'backup_id': 'c378813c-3f0b-11e2-ad92-7823d2b0f3ce', 'pad': 'x' * 110}
_QUEUE = '/v2/queues/{queue_name}'
_PATH = '/v2/queues/benchmark'


def post_body(count: int) -> bytes:
    return json.dumps({'messages': [{'ttl': 3600, 'body': _BODY} for _ in range(count)]}).encode()


def run(driver, rounds: int = 15, calls: int = 400) -> dict[str, dict[str, float]]:
    """Measure every operation on `driver`: {operation: {floor, service (us of CPU), ratio, bar}}."""
    service = app.build_app(bootstrap.build_services(driver))
    claim_body = b'{"ttl": 300, "grace": 60}'

    post_1 = wsgi.Request('POST', f'{_PATH}/messages', post_body(1))
    post_10 = wsgi.Request('POST', f'{_PATH}/messages', post_body(10))
    list_10 = wsgi.Request('GET', f'{_PATH}/messages?limit=10&echo=true')
    claim_10 = wsgi.Request('POST', f'{_PATH}/claims?limit=10', claim_body)
    status, posted_1 = post_1.send(service)
    assert status.startswith('201'), posted_1
    _, posted_10 = post_10.send(service)
    href = json.loads(posted_1)['resources'][0]
    get_1 = wsgi.Request('GET', href)
    _, got = get_1.send(service)
    _, listed = list_10.send(service)
    _, claimed = claim_10.send(service)

    def delete_requests():
        while True:
            _, raw = post_10.send(service)
            for one in json.loads(raw)['resources']:
                yield wsgi.Request('DELETE', one)

    operations = {
        'post-1': (itertools.repeat(post_1), posted_1, 'POST', '201', _QUEUE + '/messages'),
        'get-1': (itertools.repeat(get_1), got, 'GET', '200', _QUEUE + '/messages/{message_id}'),
        'delete-1': (delete_requests(), b'', 'DELETE', '204', _QUEUE + '/messages/{message_id}'),
        'post-10': (itertools.repeat(post_10), posted_10, 'POST', '201', _QUEUE + '/messages'),
        'list-10': (itertools.repeat(list_10), listed, 'GET', '200', _QUEUE + '/messages'),
        'claim-10': (itertools.repeat(claim_10), claimed, 'POST', '201', _QUEUE + '/claims'),
    }
    results = {}
    for name, (requests, answer, method, status, route) in operations.items():
        bare = floor.build_app({route: {method: (status + ' OK', answer)}})
        times = {'floor': [], 'service': []}
        for _ in range(rounds):
            batch = list(itertools.islice(requests, calls))
            if name == 'claim-10':
                for _ in range(calls):
                    post_10.send(service)
            for who, target in (('floor', bare), ('service', service)):
                began = time.process_time()
                for request in batch:
                    got_status, _ = request.send(target)
                times[who].append((time.process_time() - began) / calls * 1e6)
                assert got_status.startswith(status), (name, who, got_status)
        medians = {who: statistics.median(taken) for who, taken in times.items()}
        results[name] = {
            'floor': round(medians['floor'], 2),
            'service': round(medians['service'], 2),
            'ratio': round(medians['service'] / medians['floor'], 2),
            'bar': BARS[name],
        }
    return results


if __name__ == '__main__':
    from queueservice.storage.drivers.memory import driver as memory

    for name, row in run(memory.Driver()).items():
        print(f'{name:10} floor {row["floor"]:7.2f} us   service {row["service"]:7.2f} us   {row["ratio"]:5.2f} x (bar {row["bar"]})')
