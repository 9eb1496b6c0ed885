"""Claims: messages leased to a worker for a time."""

import collections.abc
import time

import msgspec

from queueservice.model import errors, messages
from queueservice.model import limits as limits_module
from queueservice.model import queues as queues_model
from queueservice.model import quotas as quotas_model
from queueservice.services import dead_letters, queues, sealing
from queueservice.services import messages as messages_service
from queueservice.services import quotas as quotas_service
from queueservice.storage import base
from queueservice.storage import messages as store


class Held(msgspec.Struct):
    """A live claim and what it holds."""

    id: str
    ttl: int  # s
    age: int  # s since it was made or last renewed
    listed: messages_service.Listed


class Claims:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues.Queues,
        dead_letters: dead_letters.DeadLetters,
        quotas: quotas_service.Quotas,
        limits: limits_module.Limits,
        sealing: sealing.Sealing,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._store = driver.messages
        self._queues = queues
        self._dead_letters = dead_letters
        self._quotas = quotas
        self._limits = limits
        self._sealing = sealing
        self._clock = clock

    def create(
        self,
        key: queues_model.QueueKey,
        ttl: int | None = None,
        grace: int | None = None,
        limit: int | None = None,
    ) -> Held | None:
        """Lease up to `limit` of the oldest free messages for `ttl` seconds; None if there are none.

        They live at least until the claim ends and `grace` seconds more.

        :raises QuotaExceeded: there are some, but as many of the queue are claimed as may be.
        :raises EncryptionFailed: there are some, and none of them can be decrypted.
        """
        ttl = self._limits.default_claim_ttl if ttl is None else self._limits.check_claim_ttl(ttl)
        grace = self._limits.default_claim_grace if grace is None else self._limits.check_claim_grace(grace)
        limit = self._limits.check_claim_limit(limit)
        now = self._clock()
        claim = messages.Claim(messages.new_id(), ttl, now + ttl)
        in_flight = self._quotas.in_flight(key, now)

        def lease(queue):
            claimed = self._store.claim(
                queue,
                claim,
                limit,
                now,
                keep_until=claim.ends_at + grace,
                max_claims=dead_letters.max_claims(queue),
                in_flight=in_flight,
            )
            self._dead_letters.bury(queue, claim, claimed.dead, now)
            if not claimed.messages and in_flight is not None:
                self._check_room(queue, in_flight, now)
            opened, shut = self._sealing.open(queue, claimed.messages)
            if shut:
                sealing.set_aside(self._store, queue, claim, shut, now)
                if not opened:
                    raise shut.error
            return Held(claim.id, ttl, 0, messages_service.show(queue, opened, now)) if opened else None

        return self._queues.use(key, lease, missing=lambda: None)

    def get(self, key: queues_model.QueueKey, claim_id: str) -> Held:
        """The claim and the messages that it still holds.

        :raises ClaimNotFound: it never was, has ended, or holds nothing any more.
        """
        now = self._clock()

        def read(queue):
            selection = store.Selection(claim_id=claim_id, limit=self._limits.max_messages_per_claim_or_pop)
            held = self._store.select(queue, selection, now).messages
            if not held:
                self._refuse(key, claim_id)
            ttl = held[0].claim_ttl
            age = max(0, int(ttl - (held[0].available_at - now)))
            held = self._sealing.read(queue, held)
            return Held(claim_id, ttl, age, messages_service.show(queue, held, now))

        return self._queues.use(key, read, missing=lambda: self._refuse(key, claim_id))

    def update(
        self,
        key: queues_model.QueueKey,
        claim_id: str,
        ttl: int | None = None,
        grace: int | None = None,
        default_grace: int | None = None,
    ) -> None:
        """Let the claim end `ttl` seconds from now; its messages live `grace` seconds longer at least.

        :param default_grace: what holds instead of the operator's default.
        :raises ClaimNotFound: it never was, has ended, or holds nothing any more.
        """
        ttl = self._limits.default_claim_ttl if ttl is None else self._limits.check_claim_ttl(ttl)
        if grace is not None:
            self._limits.check_claim_grace(grace)
        elif default_grace is not None:
            grace = default_grace
        else:
            grace = self._limits.default_claim_grace
        now = self._clock()
        ends_at = now + ttl
        change = messages.Change(ends_at=ends_at, ttl=ttl, keep_until=ends_at + grace)

        def renew(queue):
            if not self._store.renew(queue, claim_id, (change,), now):
                self._refuse(key, claim_id)

        self._queues.use(key, renew, missing=lambda: self._refuse(key, claim_id))

    def delete(self, key: queues_model.QueueKey, claim_id: str) -> None:
        """Release what the claim holds; its messages are free at once. Nothing happens if it has ended."""
        now = self._clock()
        self._queues.use(
            key, lambda queue: self._store.renew(queue, claim_id, (messages.Change(),), now), missing=lambda: None
        )

    def _check_room(self, queue, in_flight, now):
        stats = self._store.stats(queue, now)
        if stats.free and stats.claimed >= in_flight:
            raise quotas_model.refusal('messages_in_flight_per_queue', in_flight, stats.claimed, 1)

    def _refuse(self, key, claim_id):
        raise errors.ClaimNotFound(claim_id=claim_id, queue=key.name)
