"""Rates: how many requests a second a project may send to all processes together.

The tokens of a project lie in one record. A process takes a block of them at a time and then spends it from memory,
so a request waits for the store only if it is the one that fetches a block, or comes while that is done. Whatever
the number of processes, a project gets no more than its rate, its burst and the blocks that they hold.
"""

import collections.abc
import math
import threading
import time

import msgspec

from queueservice.model import rates
from queueservice.services import quotas as quotas_service
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: How many projects a process holds tokens for. Those that it forgets are lost.
_REMEMBERED = 16384
#: How often a process tries to be the first to take a block.
_ATTEMPTS = 20
#: Seconds for which a record outlasts the time at which its bucket is full: then it says no more than none does.
_KEPT = 60.0
#: Seconds for which a store that did not answer is not asked for a block.
_PAUSE = 1.0


class Allowance(msgspec.Struct):
    """What became of a request, in the terms of the RateLimit headers."""

    limit: int  # requests that the project may send at once
    remaining: int  # how many of them are left, as far as this process knows
    reset: int  # s until all of them are back, if none is sent
    rate: int  # requests per second
    wait: int  # s after which to send the request again; 0: it is allowed


class Rates:
    def __init__(
        self,
        driver: base.Driver,
        quotas: quotas_service.Quotas,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._records = driver.records
        self._quotas = quotas
        self._clock = clock
        self._held: dict[tuple[str, str], _Held] = {}

    def take(self, namespace: str, project: str) -> Allowance | None:
        """Count a request of the project, and say whether it is allowed; None where the project has no rate.

        :raises storage.errors.Unavailable: there is no token here, and the store did not answer.
        """
        now = self._clock()
        limits = self._quotas.find(namespace, project, now)
        if not limits.requests_per_second:
            return None
        held = self._held.get((namespace, project)) or self._hold(namespace, project)
        with held.lock:
            if held.tokens < 1 and not held.is_resting(now):
                self._fetch(held, limits, now)
            if held.tokens >= 1:
                held.tokens -= 1
                return held.tell(limits, now)
            if held.fault is not None:
                raise storage_errors.Unavailable(held.fault)
            return held.refuse(limits, now)

    def _hold(self, namespace, project):
        if len(self._held) >= _REMEMBERED:
            self._held.clear()
        return self._held.setdefault((namespace, project), _Held(namespace, project))

    def _fetch(self, held, limits, now):
        """Take a block, or note for how long it is not worth while to try again."""
        try:
            bucket, block = self._lease(held.namespace, held.project, limits, now)
        except storage_errors.Unavailable as error:
            # Those who wait behind this request are answered now, and not each after a time-out of its own.
            held.rest(self._clock(), _PAUSE, str(error))
            return
        held.bucket = bucket
        held.tokens += block
        if not block:
            held.rest(now, bucket.wait(limits.requests_per_second, limits.burst))

    def _lease(self, namespace, project, limits, now) -> tuple[rates.Bucket, int]:
        """Take a block of tokens; also what is left. Costs a read and, if there is a block, a write."""
        rate, burst = limits.requests_per_second, limits.burst
        where = (records.Condition('namespace', '=', namespace), records.Condition('project', '=', project))
        for _ in range(_ATTEMPTS):
            found = self._records.find(tables.RATES, records.Query(where=where, limit=1)).records
            known = rates.Bucket(found[0]['tokens'], found[0]['filled_at']) if found else rates.Bucket(burst, now)
            bucket = known.fill(rate, burst, now)
            block = bucket.block(rate, burst)
            if not block and bucket.at >= known.at:  # an earlier time, of a clock that was put back, is to be stored
                return bucket, 0
            bucket = rates.Bucket(bucket.tokens - block, bucket.at)
            record = {
                'namespace': namespace,
                'project': project,
                'tokens': bucket.tokens,
                'filled_at': bucket.at,
                'expires_at': bucket.at + (burst - bucket.tokens) / rate + _KEPT,
            }
            if found:
                (stored,) = self._records.replace(tables.RATES, [found[0] | record])
            else:
                (stored,) = self._records.insert(tables.RATES, [record])
            if not isinstance(stored, storage_errors.Duplicate | storage_errors.Stale):
                return bucket, block
        raise storage_errors.Unavailable(f'The rate of project {project} kept being changed by others.')


class _Held:
    """What this process has of a project's tokens. Everything but `lock` is for whoever holds that."""

    def __init__(self, namespace, project):
        self.namespace = namespace
        self.project = project
        self.lock = threading.Lock()
        self.tokens = 0
        self.bucket: rates.Bucket | None = None  # as it was when this process saw it last
        self.fault: str | None = None  # why there was no block
        self._rests_from = self._rests_until = 0.0

    def rest(self, now, seconds, fault=None):
        """Do not ask the store for `seconds`."""
        self._rests_from, self._rests_until = now, now + seconds
        self.fault = fault

    def is_resting(self, now):
        # Who had to wait for the lock comes with an earlier time. A much earlier one means a clock that was put back.
        return self._rests_from - rates.CLOCK_STEP < now < self._rests_until

    def tell(self, limits, now) -> Allowance:
        rate, burst = limits.requests_per_second, limits.burst
        left = min(burst, self.tokens + int(self.bucket.fill(rate, burst, now).tokens))
        return Allowance(burst, left, math.ceil((burst - left) / rate), rate, 0)

    def refuse(self, limits, now) -> Allowance:
        rate, burst = limits.requests_per_second, limits.burst
        return Allowance(burst, 0, math.ceil(burst / rate), rate, max(1, math.ceil(self._rests_until - now)))
