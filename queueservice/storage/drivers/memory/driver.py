"""The memory driver: everything in the memory of one process, gone when it ends."""

import os
import threading
import weakref

from queueservice.storage import errors
from queueservice.storage.drivers.memory import messages, records


class Driver:
    location = 'memory (lost when the process ends)'
    shared = False

    def __init__(self):
        self.messages = messages.MessageStore()
        self.records = records.RecordStore(self.messages)
        _drivers.add(self)

    def prepare(self):
        self.ping()

    def ping(self):
        with self.messages.lock:
            pass

    def close(self):
        self._refuse('The memory driver was closed.')

    def leave(self):
        """In a child process: be as new if nothing was stored yet, else refuse to work on a copy."""
        if self.records.is_used():
            self._refuse(
                'The memory driver holds what another process stored, and processes do not share it. '
                'Run one process, or configure another [storage] driver.'
            )
        else:
            # A thread that the child does not have may have held them.
            self.messages.lock = threading.Lock()
            self.records.lock = threading.RLock()

    def _refuse(self, sentence):
        self.messages.lock = self.records.lock = _Refusal(sentence)


class _Refusal:
    """Stands in the place of the lock that every verb begins with."""

    def __init__(self, sentence):
        self._sentence = sentence

    def __enter__(self):
        raise errors.Unavailable(self._sentence)

    def __exit__(self, *error):
        pass


_drivers = weakref.WeakSet()


def _leave_all():
    for driver in list(_drivers):
        driver.leave()


os.register_at_fork(after_in_child=_leave_all)
