"""Workers that send the messages of a course are killed again and again: is each step posted once, and none lost?

python -m tests.faults.staged [--kills 40] [--enrolments 2000] [--seed 1] [--driver mongodb]
"""

import argparse
import collections
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time

from queueservice import bootstrap
from queueservice.model import queues
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store
from queueservice.storage.drivers.mongodb import driver as driver_module
from tests.fixtures import drivers, mongodb

_PROJECT = 'p'
_DAY = 86400
#: Seconds after which the claims of those who were killed have ended: the clock of the next one is ahead by so much.
_CLAIMS = 61
_PAGE = 1000
#: Seconds after which a worker is killed at the latest. The stand-in for MongoDB takes its time for everything.
_LONGEST = {'sqlite': 0.15, 'mongodb': 2.0}


@contextlib.contextmanager
def storage(driver, folder=None):
    """A store of its own, in `folder` if it is a file; yields what it is opened by."""
    with contextlib.ExitStack() as stack:
        if driver == 'mongodb':
            server = mongodb.Server()
            stack.callback(server.remove)
            server.start()
            yield f'{server.uri}/staged'
        else:
            yield stack.enter_context(tempfile.TemporaryDirectory(dir=folder))


def open_driver(place, synchronous='full'):
    """A driver of the store that is opened by `place`."""
    if not place.startswith('mongodb:'):
        return drivers.build_sqlite(place, synchronous)
    opened = driver_module.Driver(place, unreliable=True, patience=mongodb.PATIENCE)
    opened.prepare()
    return opened


def build(place, ahead):
    """The services on the store that is opened by `place`, with a clock that is `ahead`."""
    return bootstrap.build_services(open_driver(place, 'normal'), clock=lambda: time.time() + ahead)


def run(kills, enrolments, seed, driver='sqlite'):
    """What became of it, as a dict; `lost` and `twice` have to be empty."""
    chance = random.Random(seed)
    with storage(driver) as place:
        services = build(place, 0)
        people = fill(services, enrolments)
        services.driver.close()
        ahead = _DAY
        killed = 0
        for _ in range(kills):
            with worker(place, ahead) as process:
                process.stdout.readline()  # it begins
                time.sleep(chance.uniform(0, _LONGEST[driver]))
                killed += process.poll() is None
            ahead += _CLAIMS
        finish(place, ahead)
        services = build(place, ahead + 2 * _CLAIMS)
        found = judge(services, people)
        services.driver.close()
        return {'kills': killed, **found}


def fill(services, count):
    """A course of one message with a course of another one behind it, and those who are in the first."""
    schedule = services.schedules.create(_PROJECT, {'minute': '0', 'hour': '8'}).id
    following = None
    for name in ('second', 'first'):
        fields = {'short_name': name, 'default_schedule': schedule, 'next_set': following}
        following = services.message_sets.create(_PROJECT, fields).id
        message = {'messageset': following, 'sequence_number': 1, 'lang': 'eng', 'text_content': name}
        services.set_messages.create(_PROJECT, message)
    people = []
    for number in range(count):
        fields = {'identity': f'i{number}', 'messageset': following, 'lang': 'eng', 'schedule': schedule}
        enrolment = services.enrolments.create(_PROJECT, fields)
        people.append(enrolment.identity)
        if number % 10 == 0:  # is sent the next one, too
            services.enrolments.send(_PROJECT, enrolment.id)
    return people


@contextlib.contextmanager
def worker(place, ahead):
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.faults.staged', '--work', place, '--ahead', str(ahead)], stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def work(place, ahead):
    """Send what there is to send, until the end."""
    services = build(place, ahead)
    print('begun', flush=True)
    while True:
        if not services.steps.start() + services.steps.do_range() + services.steps.do_tasks():
            time.sleep(0.01)


def finish(place, ahead):
    for more in range(3):
        services = build(place, ahead + more * _CLAIMS)
        with contextlib.suppress(storage_errors.Unavailable):
            while services.steps.start() + services.steps.do_range() + services.steps.do_tasks():
                pass
        services.driver.close()


def judge(services, people):
    """Everybody got the first message once. Who was in the second course when it ran may have got its message, once."""
    queue = services.queues.get(queues.check_key(queues.PROJECT, _PROJECT, 'outbound'))
    counts = collections.Counter()
    after = 0
    while True:
        page = services.driver.messages.select(queue, store.Selection(after=after, limit=_PAGE), time.time())
        for message in page.messages:
            document = json.loads(message.body)
            counts[document['to_identity'], document['content']] += 1
        if page.reached == after:
            break
        after = page.reached
    left = services.enrolments.page(_PROJECT, {'completed': False}, offset=0, limit=1).count
    done = services.enrolments.page(_PROJECT, {'completed': True}, offset=0, limit=1).count
    return {
        'posted': sum(counts.values()),
        'lost': [one for one in people if not counts[one, 'first']],
        'twice': [one for one, count in counts.items() if count > 1],
        'enrolments': left + done,
        'unaccounted': done - sum(counts.values()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--kills', type=int, default=40)
    parser.add_argument('--enrolments', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=random.randrange(10**6))
    parser.add_argument('--driver', choices=('sqlite', 'mongodb'), default='sqlite')
    parser.add_argument('--work', help='be the worker on the database in this folder, or at this address')
    parser.add_argument('--ahead', type=float, default=0)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.ahead)
    else:
        print(run(options.kills, options.enrolments, options.seed, options.driver), 'seed', options.seed)


if __name__ == '__main__':
    main()
