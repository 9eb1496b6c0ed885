"""python -m benchmarks: everything, floor and service in one run, to JSON and to a table for the documentation.

Takes about ten minutes. Run it on a machine that does nothing else.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import sqlite3
import tempfile
import tracemalloc

from benchmarks import flat, http, in_process
from queueservice import bootstrap
from queueservice.model import messages, queues
from queueservice.storage.drivers.memory import driver as memory
from queueservice.storage.drivers.sqlite import driver as sqlite

BYTES_BAR = 250


def machine() -> dict[str, str]:
    model = next(
        (
            line.partition(':')[2].strip()
            for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines()
            if line.startswith('model name')
        ),
        platform.machine(),
    )
    return {
        'day': datetime.datetime.now(datetime.UTC).date().isoformat(),
        'processor': f'{os.cpu_count()} x {model}',
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'load average at start': f'{os.getloadavg()[0]:.1f}',
    }


def bytes_a_message(count: int = 200_000) -> dict[str, float]:
    """What the memory driver keeps for a message beside its body, posted one by one."""
    driver = memory.Driver()
    queue = bootstrap.build_services(driver).queues.ensure(queues.QueueKey(queues.PROJECT, 'p', 'q'))
    bodies = [b'%0200d' % index for index in range(count)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index, body in enumerate(bodies):
        now = 1e9 + index / 1000
        driver.messages.append(queue, [messages.Draft(body, now + 3600, 0, b'client')], now)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {'bytes': round((after - before) / count, 1), 'bar': BYTES_BAR}


def run(length: int) -> dict:
    directory = pathlib.Path(tempfile.mkdtemp(prefix='queueservice-benchmark-'))
    stores = iter(range(1000))

    def build_sqlite():
        driver = sqlite.Driver(directory / f'{next(stores)}.db', synchronous='full')
        driver.prepare()
        return driver

    try:
        return {
            'machine': machine(),
            'in process, memory': in_process.run(memory.Driver()),
            'behind gunicorn, memory': http.run('memory', workers=1, threads=8),
            'behind gunicorn, sqlite': http.run('sqlite', workers=min(os.cpu_count(), 8), threads=8),
            'flat, memory': flat.run(memory.Driver, length),
            'flat, sqlite': flat.run(build_sqlite, length),
            'bytes a message, memory': bytes_a_message(),
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--length', type=int, default=1_000_000, help='messages in the long queue')
    parser.add_argument('--output', default='benchmarks/results.json')
    arguments = parser.parse_args()
    results = run(arguments.length)
    text = json.dumps(results, indent=2)
    pathlib.Path(arguments.output).write_text(text + '\n')
    print(text)


if __name__ == '__main__':
    main()
