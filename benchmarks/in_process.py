"""The service and the floor in one process, without sockets: CPU for each request, in turns."""

import itertools
import json
import statistics
import time

from benchmarks import floor, samples, wsgi

#: Operation -> how many times the floor it may cost at the most.
BARS = {'post-1': 4, 'get-1': 4, 'delete-1': 4, 'post-10': 3, 'list-10': 3, 'claim-10': 3}


def run(driver, rounds: int = 60, calls: int = 100) -> dict[str, dict[str, float]]:
    """Measure every operation on `driver`: {operation: {floor, service (us of CPU), ratio, bar}}, medians of rounds."""
    service, requests, answers = samples.build(driver)
    post_10 = samples.post(10)

    def batch(name):
        if name == 'delete-1':
            hrefs = []
            while len(hrefs) < calls:
                hrefs += json.loads(post_10.send(service)[1])['resources']
            return [wsgi.Request('DELETE', href) for href in hrefs[:calls]]
        if name == 'claim-10':
            for _ in range(calls):
                post_10.send(service)
        return itertools.repeat(requests[name], calls)

    results = {}
    for name, bar in BARS.items():
        method, status, body = answers[name]
        bare_app = floor.build_app({samples.ROUTES[name]: {method: (status, body)}})
        times = {'floor': [], 'service': []}
        for _ in range(rounds):
            sent = list(batch(name))
            for who, target in (('floor', bare_app), ('service', service)):
                began = time.process_time()
                for request in sent:
                    got, _ = request.send(target)
                times[who].append((time.process_time() - began) / calls * 1e6)
                assert got == status, (name, who, got)
        medians = {who: round(statistics.median(taken), 2) for who, taken in times.items()}
        # Of neighbours in time, because the machine is not equally fast all the time.
        ratios = [ours / bare for bare, ours in zip(times['floor'], times['service'], strict=True)]
        results[name] = {**medians, 'ratio': round(statistics.median(ratios), 2), 'bar': bar}
    return results


if __name__ == '__main__':
    from queueservice.storage.drivers.memory import driver as memory

    for operation, row in run(memory.Driver()).items():
        print(f'{operation:10}', row)
