"""queueservice-worker: delivers what was posted to those who have subscribed."""

import collections.abc
import contextlib
import logging
import os
import pathlib
import signal
import sys
import threading

from queueservice import bootstrap
from queueservice.cmd import startup
from queueservice.storage import base
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: What tools such as ps and top call the process.
NAME = 'queue-worker'
#: Seconds that a thread computes before others get their turn. Python's own 5 ms are long for those that wait for
#: a commit, or for a subscriber's answer.
_SWITCH_INTERVAL = 0.0005
#: Seconds between looks whether all is well.
_LOOK = 1.0


def main(argv: list[str] | None = None) -> int:
    parser = startup.Parser(prog='queueservice-worker', description='Deliver messages to their subscribers.')
    arguments = parser.parse_args(argv)
    try:
        conf = startup.read_configuration(arguments)
        driver = startup.build_driver(conf)
        if not driver.shared:
            raise startup.Refusal(
                f'The storage driver "{conf.storage.driver}" keeps messages inside one process, so queueservice-server '
                'delivers them itself. Configure sqlite or mongodb.'
            )
        bootstrap.setup_logging(conf)
        show_name()
        services = _build_services(conf, driver)
        _prepare(driver)
    except startup.Refusal as refusal:
        print(f'queueservice-worker: {refusal}', file=sys.stderr)
        return refusal.status
    print(f'queueservice {startup.version()} delivers')
    print(f'  storage: {conf.storage.driver}, {driver.location}')
    print(f'  workers: {conf.delivery.workers} deliveries at a time', flush=True)
    return run(services)


def run(services: bootstrap.Services, is_wanted: collections.abc.Callable[[], bool] = lambda: True) -> int:
    """Deliver in this process, which does nothing else, until SIGTERM or SIGINT; return its exit status.

    :param is_wanted: asked now and then; when it says no, that is like SIGTERM.
    """
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.set())
    sys.setswitchinterval(_SWITCH_INTERVAL)
    worker = bootstrap.build_worker(services)
    worker.start()
    while not told.wait(_LOOK) and is_wanted():
        if not worker.is_alive():
            _LOG.critical('A thread of the worker has died. The worker ends.')
            return _leave(1)
    ended = worker.stop()
    if not ended:
        _LOG.warning('An attempt did not end in time. What is held comes back when its lease is over.')
        return _leave(0)
    services.driver.close()
    return 0


def show_name() -> None:
    """Let the kernel call this process by its name."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/comm').write_text(NAME)


def _leave(status):
    # Threads that hang would keep the process.
    logging.shutdown()
    os._exit(status)


def _build_services(conf, driver):
    try:
        return bootstrap.load_services(conf, driver)
    except ValueError as error:
        raise startup.Refusal(startup.one_line(error)) from None


def _prepare(driver: base.Driver):
    try:
        driver.prepare()
    except storage_errors.Unavailable as error:
        raise startup.NotReady(startup.one_line(error)) from None


if __name__ == '__main__':
    sys.exit(main())
