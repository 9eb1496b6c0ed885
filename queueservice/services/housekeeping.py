"""Free the space of what is gone. Answers never depend on it: what has expired is gone before it is swept."""

import collections.abc
import logging
import os
import random
import threading
import time

from queueservice.services import subscriptions
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: How much one slice does, so that nobody waits for it; and seconds between looks when nothing was left.
_SLICE = 500
_PAUSE = 1.0


class Housekeeping:
    def __init__(
        self,
        driver: base.Driver,
        all_subscriptions: subscriptions.Subscriptions,
        clock: collections.abc.Callable[[], float] = time.time,
        chores: collections.abc.Sequence[collections.abc.Callable[[], None]] = (),
    ):
        """
        :param chores: what else wants doing a little at a time, about once a second.
        """
        self._driver = driver
        self._subscriptions = all_subscriptions
        self._clock = clock
        self._chores = tuple(chores)
        self._stop = threading.Event()
        self._pid: int | None = None

    def sweep(self) -> bool:
        """Do one slice; True if more is left."""
        now = self._clock()
        more = self._driver.messages.sweep(now, _SLICE) >= _SLICE
        for table in tables.ALL:
            if table.expires is not None:
                gone = (records.Condition(table.expires, '<=', now),)
                order = ((table.expires, False),)
                more |= self._driver.records.delete(table, gone, order=order, limit=_SLICE) >= _SLICE
        more |= self._subscriptions.finish(now, _SLICE) > 0
        more |= self._subscriptions.admit() > 0
        return more

    def start(self) -> None:
        """Sweep in a thread of this process from now on. Once a process; a fork starts its own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            threading.Thread(target=self._run, name='housekeeping', daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self):
        # Several workers sweep the same store: apart from each other, they find less to do.
        while not self._stop.wait(_PAUSE * random.uniform(0.5, 1.5)):  # noqa: S311
            try:
                for chore in self._chores:
                    chore()
                while self.sweep() and not self._stop.is_set():
                    time.sleep(0.001)
            except storage_errors.StorageError as error:
                _LOG.warning('Nothing can be swept now: %s', error)
            except Exception:
                _LOG.exception('The housekeeping met something unexpected')
