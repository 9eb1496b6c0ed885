"""How long one worker takes for a run of a schedule with many enrolments, and what others notice of it.

python -m benchmarks.staged [--enrolments 100000] [--folder FOLDER]

On SQLite, in a process of its own like a worker. A second process posts to a queue of another project all the time.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time

from queueservice import bootstrap
from queueservice.model import queues, sequences
from queueservice.services import sequences as sequences_service
from queueservice.services import steps
from queueservice.storage import messages as store
from tests.fixtures import drivers

_BATCH = 1000
_EVERY = 0.02  # s between two posts of the other


class Clock:
    """The time, and on demand a day later."""

    ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--enrolments', type=int, default=100_000)
    parser.add_argument('--folder', help='where the database is made')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(folder, options.enrolments)


def measure(folder, count):
    clock = Clock()
    driver = drivers.build_sqlite(folder)
    services = bootstrap.build_services(driver, clock=clock)
    schedule = fill(services, clock(), count)
    alone = post_beside(folder, lambda: time.sleep(3))
    clock.ahead = 86400
    clock.ahead -= (clock() % 86400) - (schedule.due_at % 86400) - 1  # a second past the next run
    began = time.perf_counter()
    cpu = time.process_time()
    beside = post_beside(folder, lambda: work(services.steps))
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    key = queues.check_key(queues.PROJECT, 'p', 'outbound')
    queue = services.queues.get(key)
    queued = driver.messages.stats(queue, clock()).total
    sample = driver.messages.select(queue, store.Selection(limit=1), clock()).messages[0].body.decode()
    driver.close()
    print(f'{queued} of {count} queued in {seconds:.1f} s ({cpu:.1f} s of CPU), such as {sample}')
    for name, latencies in (('alone', alone), ('beside it', beside)):
        ranked = [1000 * one for one in sorted(latencies)]
        print(
            f'a post of another project, {name}: median {statistics.median(ranked):.1f} ms, '
            f'p99 {ranked[int(len(ranked) * 0.99)]:.1f} ms, longest {ranked[-1]:.1f} ms, {len(ranked)} posts'
        )


def fill(services, now, count):
    """A daily course that so many recipients are in; its schedule."""
    schedule = services.schedules.create('p', {'minute': '0', 'hour': '8'})
    course = services.message_sets.create('p', {'short_name': 'course', 'default_schedule': schedule.id}).id
    for number in (1, 2, 3):
        message = {'messageset': course, 'sequence_number': number, 'lang': 'eng_ZA', 'text_content': 'Hello. ' * 20}
        services.set_messages.create('p', message)
    template = services.enrolments.create(
        'p', {'identity': 'i', 'messageset': course, 'lang': 'eng_ZA', 'schedule': schedule.id}
    )
    rows = sequences_service.Sequences(services.driver, time.time).enrolments
    for start in range(1, count, _BATCH):
        rows.insert_all(
            [sequences.index(enrol(template, number, now)) for number in range(start, min(start + _BATCH, count))]
        )
    return schedule


def enrol(template, number, now):
    fields = {name: getattr(template, name) for name in template.__struct_fields__}
    fields |= {
        'id': sequences.new_id(),
        'identity': f'recipient-{number}',
        'metadata': b'{"to_addr":"+27%09d"}' % number,
        'revision': 0,
    }
    return sequences.Enrolment(**fields)


def work(worker: steps.Steps):
    """Do what is due, as a worker does it."""
    while worker.start() + worker.do_range() + worker.do_tasks():
        pass


def post_beside(folder, action):
    """What posts of another process took while `action` ran: seconds of each."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context('spawn').Process(target=post, args=(folder, theirs))
    process.start()
    ours.recv()  # it is ready
    action()
    ours.send('stop')
    latencies = ours.recv()
    process.join()
    return latencies


def post(folder, pipe):
    driver = drivers.build_sqlite(folder)
    services = bootstrap.build_services(driver)
    key = queues.check_key(queues.PROJECT, 'other', 'q')
    services.queues.ensure(key)
    latencies = []
    pipe.send('ready')
    while not pipe.poll(_EVERY):
        began = time.perf_counter()
        services.messages.put(key, [b'{}'], time.time())
        latencies.append(time.perf_counter() - began)
    pipe.send(latencies)
    driver.close()


if __name__ == '__main__':
    main()
