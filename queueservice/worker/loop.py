"""The loop of a worker: calls its tasks, each in a thread of its own, as long as there is something to do."""

import collections
import collections.abc
import logging
import random
import threading
import time

from queueservice.model import deliveries
from queueservice.services import evidence, lanes, notifications, sequences, steps, turns
from queueservice.storage import errors as storage_errors
from queueservice.worker import tasks

_LOG = logging.getLogger(__name__)

#: Seconds between looks while there is nothing to do, at first and at the most, and at the most where it can wait; and
#: while the store does not answer.
LEAST_PAUSE = 0.05
MOST_PAUSE = 0.5
MOST_PAUSE_PATIENT = 2.0
MOST_PAUSE_OUTAGE = 2.0
#: Seconds after which it is told again that the store does not answer.
_REMINDER = 30.0

#: Threads that share the outboxes, so that who has posted much does not hold up the others; and threads that share the
#: queues of those whose addresses have to be looked for, for the same reason.
DISPATCHERS = 4
INQUIRERS = 8

Task = collections.abc.Callable[[], bool]


class Worker:
    """Delivers, in threads of this process, from `start` to `stop`. Once."""

    def __init__(
        self,
        notifications: notifications.Notifications,
        lanes: lanes.Lanes,
        turns: turns.Turns,
        steps: steps.Steps,
        evidence: evidence.Evidence,
        rules: deliveries.Rules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._is_stopping = threading.Event()
        self._evidence = evidence
        self._due = threading.Event()  # set when there may be lanes to take
        self._remind_at = collections.defaultdict(float)  # name of a thread -> when it is told that the store is away
        wake = self._due.set
        self._deliver = tasks.Deliver(lanes, turns, rules.workers, clock, self._is_stopping.is_set, wake)
        outboxes = [range(deliveries.OUTBOXES)[first::DISPATCHERS] for first in range(DISPATCHERS)]
        look_ups = [range(len(sequences.LOOK_UPS))[first::INQUIRERS] for first in range(INQUIRERS)]
        self._threads = [
            *(
                self._thread('dispatcher', tasks.Dispatch(notifications, some, clock, self._due.set))
                for some in outboxes
            ),
            self._thread('taker', self._deliver, self._due),
            self._thread('scheduler', tasks.Schedule(steps, self._is_stopping.wait)),
            self._thread('stepper', tasks.Step(steps)),
            *(
                self._thread('inquirer', tasks.LookUp(steps, some, self._is_stopping.is_set), None, MOST_PAUSE_PATIENT)
                for some in look_ups
            ),
            self._thread('recorder', evidence.keep),
        ]
        #: Seconds within which it stops: an attempt ends within its timeout, and what it held is put away.
        self.grace = rules.timeout + 5

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> bool:
        """Begin nothing new, let attempts in flight finish, hand back what is held; within `grace`.

        :returns: whether all of that was done. If not, what is held comes back by itself.
        """
        self._is_stopping.set()
        self._due.set()
        # The pool of senders waits for attempts, and one may not end as it should.
        ending = threading.Thread(target=self._end, name='ending', daemon=True)
        ending.start()
        ending.join(self.grace)
        return not ending.is_alive()

    def is_alive(self) -> bool:
        """Whether it does its work: no thread of it has died."""
        return all(thread.is_alive() for thread in self._threads)

    def _end(self):
        for thread in self._threads:
            thread.join()
        self._deliver.join()
        while self._evidence.keep():
            pass

    def _thread(self, name, *arguments):
        return threading.Thread(target=self._run, args=arguments, name=name, daemon=True)

    def _run(self, task: Task, woken: threading.Event | None = None, most_pause: float = MOST_PAUSE):
        """Call `task` until the end, at intervals where it finds nothing to do, and at once when `woken`."""
        pause = LEAST_PAUSE
        name = threading.current_thread().name
        while not self._is_stopping.is_set():
            most = most_pause
            try:
                is_done = task()
                self._remind_at[name] = 0.0
                if is_done:
                    pause = LEAST_PAUSE
                    continue
            except storage_errors.StorageError as error:
                if time.monotonic() >= self._remind_at[name]:
                    self._remind_at[name] = time.monotonic() + _REMINDER
                    _LOG.warning('The storage cannot be used by the %s now: %s', name, error)
                most = MOST_PAUSE_OUTAGE
            except Exception:
                _LOG.exception('The %s met something unexpected', name)
                most = MOST_PAUSE_OUTAGE
            event = woken or self._is_stopping
            if event.wait(pause * random.uniform(0.75, 1.25)) and woken:  # noqa: S311
                woken.clear()
                pause = LEAST_PAUSE
            else:
                pause = min(pause * 2, most)
