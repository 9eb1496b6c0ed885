"""How long one worker takes for a run of a schedule with many enrolments, and what others notice of it.

python -m benchmarks.staged [--enrolments 100000] [--folder FOLDER] [--driver mongodb]
python -m benchmarks.staged --deliver [--subscribed]

On SQLite, or on the stand-in for MongoDB, in a process of its own like a worker. A second process posts to a queue of
another project all the time.

With --deliver it is a server and a worker of their own, and what is taken is how long a message of the other project
takes from its post to a subscriber, before the run and while it is queued; with --subscribed the outbound queue has a
subscriber as well.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import pathlib
import statistics
import time

from queueservice import bootstrap
from queueservice.model import errors, queues, sequences
from queueservice.services import sequences as sequences_service
from queueservice.services import steps
from queueservice.storage import messages as store
from queueservice.worker import tasks
from tests.faults import delivery, staged
from tests.fixtures import drivers, receiver

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
    parser.add_argument('--driver', choices=('sqlite', 'mongodb'), default='sqlite')
    parser.add_argument('--deliver', action='store_true', help='measure the deliveries of another project')
    parser.add_argument('--subscribed', action='store_true', help='the outbound queue has a subscriber too')
    options = parser.parse_args()
    if options.deliver:
        measure_deliveries(options.enrolments, options.subscribed)
        return
    with staged.storage(options.driver, options.folder) as place:
        measure(place, options.enrolments)


def measure(place, count):
    clock = Clock()
    driver = staged.open_driver(place)
    services = bootstrap.build_services(driver, clock=clock)
    schedule = fill(services, clock(), count)
    alone = post_beside(place, lambda: time.sleep(3))
    clock.ahead = 86400
    clock.ahead -= (clock() % 86400) - (schedule.due_at % 86400) - 1  # a second past the next run
    began = time.perf_counter()
    cpu = time.process_time()
    beside = post_beside(place, lambda: work(services.steps))
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu
    key = queues.check_key(queues.PROJECT, 'p', 'outbound')
    queue = services.queues.get(key)
    queued = driver.messages.stats(queue, clock()).total
    sample = driver.messages.select(queue, store.Selection(limit=1), clock()).messages[0].body.decode()
    driver.close()
    print(f'{queued} of {count} queued in {seconds:.1f} s ({cpu:.1f} s of CPU), such as {sample}')
    show('a post of another project, alone', alone)
    show('a post of another project, beside it', beside)


def show(what, latencies):
    ranked = [1000 * one for one in sorted(latencies)]
    print(
        f'{what}: median {statistics.median(ranked):.1f} ms, p99 {ranked[int(len(ranked) * 0.99)]:.1f} ms, '
        f'longest {ranked[-1]:.1f} ms, {len(ranked)} of them'
    )


def measure_deliveries(count, subscribed):
    # Another host: the two projects share nothing but the worker.
    sender = receiver.Receiver(host='127.0.0.2')
    with receiver.Receiver() as hooks, sender, delivery.Service(workers=1) as service:
        (path,) = pathlib.Path(service.server.state).rglob('queueservice.db')
        driver = drivers.build_sqlite(path.parent)
        services = bootstrap.build_services(driver)
        schedule = fill(services, time.time(), count)
        service.subscribe('q', f'{hooks.url}/ok')
        if subscribed:
            subscribe_outbound(service, f'{sender.url}/ok')
        deliver_beside(service, hooks, lambda: time.sleep(2))  # an idle worker sleeps longer
        show('a delivery of another project, alone', deliver_beside(service, hooks, lambda: time.sleep(15)))
        began = time.perf_counter()

        def run():
            services.schedules.send('p', schedule.id)
            while queued(driver, services) < count:
                time.sleep(0.2)
            print(f'{count} queued in {time.perf_counter() - began:.1f} s')

        began = time.perf_counter()
        show('a delivery of another project, beside it', deliver_beside(service, hooks, run))
        if subscribed:
            show('a delivery of another project, then', deliver_beside(service, hooks, lambda: time.sleep(15)))
            print(f'{len(sender.got)} of them delivered after {time.perf_counter() - began:.1f} s')
        driver.close()


def subscribe_outbound(service, subscriber):
    headers = {'Client-ID': sequences.new_id(), 'X-Project-Id': 'p', 'Content-Type': 'application/json'}
    connection = http.client.HTTPConnection('127.0.0.1', service.server.port, timeout=10)
    with contextlib.closing(connection):
        document = {'subscriber': subscriber, 'ttl': 36_000}
        connection.request('POST', '/v2/queues/outbound/subscriptions', json.dumps(document), headers)
        assert connection.getresponse().status == 201


def queued(driver, services):
    with contextlib.suppress(errors.NotFound):
        queue = services.queues.get(queues.check_key(queues.PROJECT, 'p', 'outbound'))
        return driver.messages.stats(queue, time.time()).total
    return 0


def deliver_beside(service, hooks, action):
    """How long messages of another project take to its subscriber while `action` runs: seconds of each."""
    posters = delivery.Posters(service, 'q', 1, pause=_EVERY).start()
    action()
    posters.stop()
    deadline = time.monotonic() + 60
    while True:
        arrived = {one.document['message_id']: one.at for one in hooks.by_path()['/ok']}
        if posters.acknowledged.keys() <= arrived.keys() or time.monotonic() > deadline:
            return [arrived[id] - posted_at for id, posted_at in posters.acknowledged.items()]
        time.sleep(0.1)


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
    schedule = tasks.Schedule(worker, time.sleep)
    while schedule():
        pass


def post_beside(place, action):
    """What posts of another process took while `action` ran: seconds of each."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context('spawn').Process(target=post, args=(place, theirs))
    process.start()
    ours.recv()  # it is ready
    action()
    ours.send('stop')
    latencies = ours.recv()
    process.join()
    return latencies


def post(place, pipe):
    driver = staged.open_driver(place)
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
