"""Quotas: what a project may use, set by the operator for all and by administrators for one."""

import collections.abc
import time

from queueservice.model import errors, messages, queues, subscriptions
from queueservice.model import quotas as model
from queueservice.services import overrides
from queueservice.storage import base, records, tables

#: Seconds for which a process believes what it read of the limits of a project, and of what the project uses.
FRESH_LIMITS = 5.0
FRESH_USAGE = 1.0

#: How many projects a process remembers.
_REMEMBERED = 16384

_NEVER = float('-inf')
_UNLIMITED = model.Quotas()


class Quotas:
    def __init__(
        self,
        driver: base.Driver,
        defaults: model.Quotas,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._records = driver.records
        self._overrides = overrides.Overrides(driver, tables.LIMITS, defaults, model.NAMES)
        self._messages = driver.messages
        self._defaults = defaults
        self._clock = clock
        # Mostly no project has limits of its own. Then this is all that is read, by one request every few seconds.
        self._looked_at = _NEVER
        self._has_changes = False
        self._off_from = _NEVER
        self._known: dict[str, tuple[float, model.Quotas]] = {}  # by project: when it was read, and what holds
        self._used: dict[tuple[str, str], _Used] = {}  # by namespace and project

    def are_off(self) -> bool:
        """Whether no project has any limit, as far as is known without asking the store: for every request to ask."""
        return 0 <= self._clock() - self._off_from < FRESH_LIMITS

    def find(self, namespace: str, project: str, now: float) -> model.Quotas:
        """The limits that hold for a project, as they were at most FRESH_LIMITS ago."""
        if not 0 <= now - self._looked_at < FRESH_LIMITS:
            self._look(now)
        if not self._has_changes or namespace != queues.PROJECT:
            return self._defaults
        read_at, known = self._known.get(project, (_NEVER, None))
        return known if 0 <= now - read_at < FRESH_LIMITS else self.get(project)

    def get(self, project: str) -> model.Quotas:
        """The limits of a project as they are stored now."""
        return self._remember(project, self._overrides.get(project))

    def change(self, project: str, changes: collections.abc.Mapping[str, int | None]) -> model.Quotas:
        """Set limits of one project, or back to the default where None is given; return what holds then.

        In force at once in this process, and after FRESH_LIMITS in every other.

        :raises BodyInvalid: it names no limit, or a value is none.
        """
        model.check_changes(changes)
        changed = self._overrides.change(project, changes)
        self._has_changes = self._has_changes or changed != self._defaults
        self._off_from = _NEVER
        return self._remember(project, changed)

    # Checks

    def check_post(self, key: queues.QueueKey, posted: collections.abc.Sequence[messages.Posted], now: float) -> None:
        """Return if the project may keep these messages, too.

        What others post at the same time, or within FRESH_USAGE in other processes, may go beyond a limit.

        :raises QuotaExceeded: it may not.
        """
        limits = self.find(key.namespace, key.project, now)
        if limits.messages or limits.bytes:
            wanted = {'messages': len(posted), 'bytes': sum(len(one.body) for one in posted)}
            self._spend(key, limits, wanted, now)

    def check_queue(self, key: queues.QueueKey, now: float) -> None:
        """Return if the project may have one queue more.

        :raises QuotaExceeded: it may not.
        """
        limits = self.find(key.namespace, key.project, now)
        if limits.queues:
            self._spend(key, limits, {'queues': 1}, now)

    def check_subscription(self, queue: queues.Queue, now: float) -> None:
        """Return if the queue may have one subscription more. Those that are made at the same time may go beyond.

        :raises QuotaExceeded: it may not.
        """
        of_project = self.find(queue.key.namespace, queue.key.project, now).subscriptions_per_queue
        most = min(of_project or subscriptions.MOST, subscriptions.MOST)
        where = (records.Condition('queue_id', '=', queue.id), records.Condition('expires_at', '>', now))
        used = self._records.count(tables.SUBSCRIPTIONS, where, most)
        if used >= most:
            raise model.refusal('subscriptions_per_queue', most, used, 1)

    def in_flight(self, key: queues.QueueKey, now: float) -> int | None:
        """How many messages of the queue may be claimed at a time; None: any number."""
        return self.find(key.namespace, key.project, now).messages_in_flight_per_queue or None

    # Inside

    def _look(self, now):
        self._has_changes = self._overrides.are_any()
        self._looked_at = now
        if not self._has_changes:
            self._known.clear()
        self._off_from = now if not self._has_changes and self._defaults == _UNLIMITED else _NEVER

    def _remember(self, project, limits):
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[project] = self._clock(), limits
        return limits

    def _spend(self, key, limits, wanted, now):
        place = key.namespace, key.project
        used = self._used.get(place)
        if used is not None and 0 <= now - used.read_at < FRESH_USAGE and used.spend(limits, wanted) is None:
            return
        # Full or forgotten: what counts is what is stored, as messages may have gone since.
        used = _Used(self._messages.usage(key.namespace, key.project, now), now)
        refusal = used.spend(limits, wanted)
        if len(self._used) >= _REMEMBERED:
            self._used.clear()
        self._used[place] = used
        if refusal is not None:
            raise refusal


class _Used:
    """What a project used at `read_at`, and what was allowed since."""

    def __init__(self, usage, read_at):
        self.read_at = read_at
        self._counts = {'queues': usage.queues, 'messages': usage.messages, 'bytes': usage.bytes}

    def spend(self, limits, wanted) -> errors.QuotaExceeded | None:
        """Note that so much is used, unless there is less than that; then say so."""
        for name, more in wanted.items():
            most = getattr(limits, name)
            if most and self._counts[name] + more > most:
                return model.refusal(name, most, self._counts[name], more)
        for name, more in wanted.items():
            self._counts[name] += more
        return None
