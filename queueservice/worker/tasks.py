"""What a worker does over and over. Each task does a piece of it when called, and says whether there was anything."""

import collections
import collections.abc
import concurrent.futures
import logging
import random
import threading
import time

from queueservice.model import lanes as lanes_model
from queueservice.services import lanes, notifications, steps, turns
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: How many lanes that are due are read at once, and how often the next ones where senders might be of use yet. However
#: many there are, the next call goes on from there.
_PAGE = 100
_PAGES = 50
#: How much longer than it took to send to a range it gives way to others, and seconds for which it does at the most.
_WAY = 2
_MOST_WAY = 0.05


class Dispatch:
    """Takes what was posted from outboxes to the lanes.

    :param shards: which outboxes.
    :param wake: called as soon as there is something in one: there may be more to take.
    """

    def __init__(
        self,
        notifications: notifications.Notifications,
        shards: collections.abc.Sequence[int],
        clock: collections.abc.Callable[[], float],
        wake: collections.abc.Callable[[], None],
    ):
        self._notifications = notifications
        self._clock = clock
        self._wake = wake
        # Every worker in an order of its own: apart from each other, they find more to do.
        self._shards = random.sample(shards, len(shards))

    def __call__(self) -> bool:
        is_done = False
        for shard in self._shards:
            if self._notifications.dispatch(shard, self._clock()):
                is_done = True
                self._wake()
        return is_done


class Schedule:
    """Starts the schedules that are due, and sends to a range of the enrolments of one that runs.

    :param pause: waits for so many seconds, or less if it is being stopped.
    """

    def __init__(self, steps: steps.Steps, pause: collections.abc.Callable[[float], object]):
        self._steps = steps
        self._pause = pause

    def __call__(self) -> bool:
        began = time.monotonic()
        is_done = self._steps.start() + self._steps.do_range() > 0
        if is_done:
            # Deliveries wait for one another's commits, not for a hundred thousand recipients.
            self._pause(min(_WAY * (time.monotonic() - began), _MOST_WAY))
        return is_done


class LookUp:
    """Sends to single enrolments whose addresses have to be looked for.

    :param numbers: of the queues in which they wait; each in turn, so that a project whose identity store is slow holds
        up nobody for longer than one question.
    :param is_stopping: when it says so no question is asked any more.
    """

    def __init__(
        self,
        steps: steps.Steps,
        numbers: collections.abc.Iterable[int],
        is_stopping: collections.abc.Callable[[], bool],
    ):
        self._steps = steps
        self._numbers = tuple(numbers)
        self._is_stopping = is_stopping

    def __call__(self) -> bool:
        is_done = False
        for number in self._numbers:
            if not self._is_stopping() and self._steps.look_up(number):
                is_done = True
        return is_done


class Step:
    """Sends to single enrolments whose addresses are known."""

    def __init__(self, steps: steps.Steps):
        self._steps = steps

    def __call__(self) -> bool:
        return self._steps.do_tasks() > 0


class Deliver:
    """Takes lanes that are due, and has a sender do a turn of each.

    :param senders: how many threads send.
    :param is_stopping: when it says so no attempt is begun any more.
    :param wake: called when a turn is over: there may be more to take.
    """

    def __init__(
        self,
        lanes: lanes.Lanes,
        turns: turns.Turns,
        senders: int,
        clock: collections.abc.Callable[[], float],
        is_stopping: collections.abc.Callable[[], bool],
        wake: collections.abc.Callable[[], None],
    ):
        self._lanes = lanes
        self._turns = turns
        self._clock = clock
        self._is_stopping = is_stopping
        self._wake = wake
        self._pool = concurrent.futures.ThreadPoolExecutor(senders, thread_name_prefix='sender')
        self._desk = Desk(senders)
        self._after: tuple | None = None  # the place behind which to look first

    def __call__(self) -> bool:
        taken = 0
        after, self._after = self._after, None
        for _ in range(_PAGES):
            if not self._desk.has_room():
                break
            page = self._lanes.find_due(self._clock(), _PAGE, after)
            taken += self._take(page)
            if len(page) < _PAGE:
                break
            # These may all be of one project or of one site that is busy enough: others wait behind them.
            after = (page[-1].due_at, page[-1].id)
        else:
            self._after = after
        return taken > 0

    def join(self) -> None:
        """Return when the last turn is over. None may be begun meanwhile."""
        self._pool.shutdown()

    def _take(self, page):
        # Several workers look at the same page.
        wanted = [lane for lane in random.sample(page, len(page)) if self._desk.admit(lane)]
        try:
            taken = self._turns.take(wanted) if wanted else []
        except BaseException:
            for lane in wanted:
                self._desk.leave(lane)
            raise
        ids = {lane.id for lane in taken}
        for lane in wanted:
            if lane.id not in ids:
                self._desk.leave(lane)
        for lane in taken:
            self._pool.submit(self._run, lane)
        return len(taken)

    def _run(self, lane):
        try:
            self._turns.run(lane, self._is_stopping, lambda work: self._lend(lane, work))
        except storage_errors.StorageError as error:
            _LOG.warning('A turn was cut off, and what it held comes back when its lease is over: %s', error)
        except Exception:
            _LOG.exception('A turn of subscription %s ended in an unexpected way', lane.id)
        finally:
            self._desk.leave(lane)
            self._wake()

    def _lend(self, lane, work):
        if not self._desk.admit(lane):
            return None
        try:
            return self._pool.submit(self._help, lane, work)
        except RuntimeError:  # it is being stopped
            self._desk.leave(lane)
            return None

    def _help(self, lane, work):
        try:
            work()
        finally:
            self._desk.leave(lane)


class Desk:
    """Knows which senders are busy with what.

    A quarter of them at the most is busy with one site, and half of them with one project: who is slow, or has much to
    send, does not hold up the others.
    """

    def __init__(self, senders: int):
        self._free = senders
        self._most_of_site = max(1, senders // 4)
        self._most_of_project = max(1, senders // 2)
        self._sites = collections.Counter()
        self._projects = collections.Counter()
        self._lock = threading.Lock()

    def has_room(self) -> bool:
        return self._free > 0

    def admit(self, lane: lanes_model.Lane) -> bool:
        """Reserve a sender for this lane, if one may be busy with it."""
        with self._lock:
            if (
                not self._free
                or self._sites[lane.site] >= self._most_of_site
                or self._projects[lane.project] >= self._most_of_project
            ):
                return False
            self._free -= 1
            self._sites[lane.site] += 1
            self._projects[lane.project] += 1
            return True

    def leave(self, lane: lanes_model.Lane) -> None:
        """A sender that was reserved for this lane is free again."""
        with self._lock:
            self._free += 1
            for counts, name in ((self._sites, lane.site), (self._projects, lane.project)):
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]
