"""The worker that queueservice-server runs beside the processes that answer requests: a child of its own."""

import collections.abc
import contextlib
import logging
import os
import signal
import time

from queueservice import bootstrap
from queueservice.cmd import worker

_LOG = logging.getLogger(__name__)

#: Seconds until one that died is started again: at first, and at the most where one after the other dies at once.
_LEAST_PAUSE = 1
_MOST_PAUSE = 60
#: What the server has other plans with.
_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)


class Deliverer:
    """Starts the process, starts it again when it has died, and ends it.

    Called by one thread only, in a process that itself does nothing with the storage.

    :param build_services: called in the new process.
    """

    def __init__(self, build_services: collections.abc.Callable[[], bootstrap.Services]):
        self._build_services = build_services
        self._pid: int | None = None
        self._told_at = 0.0
        self._started_at = self._start_again_at = time.monotonic()
        self._pause = _LEAST_PAUSE

    def tend(self) -> None:
        """See that the process is there. To be called every second or so, and when a child has died."""
        now = time.monotonic()
        if self._pid is not None:
            if self._is_alive():
                return
            self._pid = None
            # One that has lived for long before it died may have had a bad moment.
            if now - self._started_at > _MOST_PAUSE:
                self._pause = _LEAST_PAUSE
            _LOG.error('The worker has died. Another one is started in %d seconds.', self._pause)
            self._start_again_at = now + self._pause
            self._pause = min(self._pause * 2, _MOST_PAUSE)
        if now >= self._start_again_at:
            self._start(now)

    def tell(self) -> None:
        """Tell the process to end, if there is one."""
        if self._pid is not None:
            self._told_at = time.monotonic()
            self._signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait until the process, which was told, has ended; kill it when it was told `seconds` ago."""
        if self._pid is None:
            return
        while self._is_alive():
            if time.monotonic() - self._told_at >= seconds:
                self._signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        self._pid = None

    def replace(self) -> None:
        """Tell the process to end, and have another one at once. The two do not get into each other's way."""
        self.tell()
        self._start(time.monotonic())

    def _start(self, now):
        parent = os.getpid()
        self._started_at = now
        # What is told to the new process before it listens must reach it, and not what it has of the server's handlers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            self._pid = pid
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        status = 1
        try:
            worker.show_name()
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            # Nobody may be left who is not told to end any more.
            status = worker.run(self._build_services(), is_wanted=lambda: os.getppid() == parent)
        except BaseException:
            _LOG.exception('The worker failed')
        finally:
            logging.shutdown()
            os._exit(status)

    def _is_alive(self):
        try:
            return os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # who waits for all children has heard of it before
            return False

    def _signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)
