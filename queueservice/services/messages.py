"""Messages: posted, listed, read, deleted and popped."""

import collections.abc
import time

import msgspec

from queueservice.model import errors, messages
from queueservice.model import limits as limits_module
from queueservice.model import queues as queues_model
from queueservice.services import dead_letters, notifications, queues, sealing
from queueservice.services import quotas as quotas_service
from queueservice.storage import base
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store

#: Seconds for which an Idempotency-Key is remembered.
KEY_WINDOW = 24 * 3600
#: Seconds after which messages come back that a pop was to move to a dead-letter queue and did not.
_POP_CLAIM_TTL = 60

_DEFAULTS = queues_model.Settings()


class Idempotency(msgspec.Struct):
    """A promise of the client that requests with the same key and the same digest are one request."""

    key: str
    digest: bytes


class Listed(msgspec.Struct):
    """Messages of one life of a queue, by position."""

    queue_id: str
    messages: list[messages.Message]
    now: float  # s, UTC; what their ages are counted to
    marker: str | None = None  # go on from here; None: nothing is visible behind what is here


def show(queue: queues_model.Queue, found: list[messages.Message], now: float, marker: str | None = None) -> Listed:
    """Messages as the readers of `queue` get them: without where they come from, if it wants that."""
    if queue.settings.show_origin is False:
        found = [msgspec.structs.replace(message, state=b'') if message.state else message for message in found]
    return Listed(queue.id, found, now, marker)


class Messages:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues.Queues,
        dead_letters: dead_letters.DeadLetters,
        quotas: quotas_service.Quotas,
        limits: limits_module.Limits,
        sealing: sealing.Sealing,
        notifications: notifications.Notifications,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._store = driver.messages
        self._notifications = notifications
        self._queues = queues
        self._dead_letters = dead_letters
        self._quotas = quotas
        self._limits = limits
        self._sealing = sealing
        self._clock = clock

    def post(
        self,
        key: queues_model.QueueKey,
        posted: collections.abc.Sequence[messages.Posted],
        client: bytes,
        *,
        size: int,
        create: bool = True,
        queue_defaults: bool = True,
        idempotency: Idempotency | None = None,
        request_id: str = '',
    ) -> list[str]:
        """Store messages and return their ids, in the same order. All or nothing.

        :param size: bytes of the whole request, held against the queue's and the operator's bound.
        :param create: make the queue if there is none; nothing is made for a post that is refused.
        :param queue_defaults: let the queue's defaults fill in what a message leaves open.
        :param request_id: what subscribers are told of where a message comes from.
        :raises QueueNotFound: there is none, and not `create`.
        :raises KeyReused: the idempotency key came with another digest before.
        :raises QuotaExceeded: the project may not keep so many messages or bytes, or have one queue more.
        """
        now = self._clock()

        def draft(settings):
            self._limits.check_post_size(size, settings.max_messages_post_size)
            return self._draft(posted, client, settings if queue_defaults else _DEFAULTS, now, idempotency)

        def append(queue):
            drafts = self._sealing.seal(queue, draft(queue.settings))
            if idempotency is None:
                appended = self._notifications.append(queue, drafts, now, request_id)
            else:
                appended = self._append_once(queue, drafts, idempotency.digest, now, request_id)
            return messages.encode_positions(queue.id, [one.position for one in appended])

        if self._queues.find(key) is None:
            draft(_DEFAULTS)  # refuses what is to be refused before anything is made
            if create:
                self._quotas.check_queue(key, now)
        self._quotas.check_post(key, posted, now)
        return self._queues.use(key, append, create=create)

    def put(
        self,
        key: queues_model.QueueKey,
        bodies: collections.abc.Sequence[bytes],
        now: float,
        *,
        keys: collections.abc.Sequence[str] | None = None,
        create: bool = True,
    ) -> None:
        """Store what the service itself posts to a queue of a project. All or nothing.

        Messages live as long as the queue says, otherwise as long as the operator allows: nobody is there to see
        that they were lost.

        :param keys: one for each: what came under the same key is not stored again, until a day after its life's end.
        :param create: make the queue if there is none; otherwise nothing happens then.
        :raises QuotaExceeded: as `post`.
        :raises EncryptionFailed: the queue is to be encrypted, and cannot be.
        """

        def append(queue):
            expires_at = now + (queue.settings.default_message_ttl or self._limits.max_message_ttl)
            delay = queue.settings.default_message_delay or self._limits.default_message_delay
            drafts = [messages.Draft(body, expires_at, now + delay if delay else 0) for body in bodies]
            if self._limits.enable_checksum:
                for draft in drafts:
                    draft.checksum = messages.checksum(draft.body)
            for draft, name in zip(drafts, keys or (), strict=False):
                draft.key = name
                draft.key_until = expires_at + KEY_WINDOW
            self._quotas.check_post(key, drafts, now)
            self._notifications.append(queue, self._sealing.seal(queue, drafts), now)

        if create and self._queues.find(key) is None:
            self._quotas.check_queue(key, now)
        self._queues.use(key, append, missing=lambda: None, create=create)

    def page(
        self,
        key: queues_model.QueueKey,
        *,
        marker: str | None = None,
        limit: int | None = None,
        not_from: bytes | None = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Listed:
        """List messages behind `marker`, oldest first.

        A marker that was not given out for this life of the queue has nothing behind it.

        :param not_from: leave out what this client posted.
        """
        limit = self._limits.check_message_page(limit)
        now = self._clock()

        def select(queue):
            after = 0 if marker is None else messages.decode_position(queue.id, marker)
            if after is None:
                return Listed(queue.id, [], now)
            selection = store.Selection(None, None, after, limit, not_from, include_claimed, include_delayed)
            page = self._store.select(queue, selection, now)
            if not page.messages and page.reached == after:
                return Listed(queue.id, [], now)
            found = self._sealing.read(queue, page.messages, may_be_none=True)
            return show(queue, found, now, messages.encode_position(queue.id, page.reached))

        return self._queues.use(key, select, missing=lambda: Listed('', [], now))

    def get(self, key: queues_model.QueueKey, message_id: str) -> Listed:
        """Read one message, claimed or delayed or not.

        :raises MessageNotFound: there is none of that id.
        """
        now = self._clock()

        def select(queue):
            position = messages.decode_position(queue.id, message_id)
            found = position and self._store.select(queue, store.Selection((position,)), now).messages
            return show(queue, self._sealing.read(queue, found), now) if found else None

        listed = self._queues.use(key, select, missing=lambda: None)
        if listed is None:
            raise errors.MessageNotFound(message_id=message_id, queue=key.name)
        return listed

    def get_many(self, key: queues_model.QueueKey, message_ids: list[str]) -> Listed:
        """Read those of the messages that are there, oldest first."""
        self._limits.check_message_ids(len(message_ids))
        now = self._clock()

        def select(queue):
            positions = _positions(queue, message_ids)
            if not positions:
                return Listed(queue.id, [], now)
            found = self._store.select(queue, store.Selection(positions), now).messages
            return show(queue, self._sealing.read(queue, found), now)

        return self._queues.use(key, select, missing=lambda: Listed('', [], now))

    def delete(self, key: queues_model.QueueKey, message_id: str, claim_id: str | None = None) -> None:
        """Delete a message if it is there.

        :raises MessageClaimed: it is held by a live claim other than `claim_id`.
        :raises ClaimMismatch: `claim_id` is no live claim, or the message is not claimed.
        """
        if claim_id is not None and not messages.is_id(claim_id):
            raise errors.ClaimMismatch(description='The specified claim does not exist or has expired.')
        if claim_id is None and self._limits.message_delete_with_claim_id:
            raise errors.ParameterInvalid(
                description='Messages are deleted under their claims only here. Add the parameter claim_id.'
            )
        now = self._clock()

        def delete(queue):
            position = messages.decode_position(queue.id, message_id)
            if position is None:
                return
            guard = (claim_id,) if claim_id else ()
            deleted = self._store.delete(queue, (position,), now, claim_ids=guard, unclaimed=not claim_id)
            if deleted.refused:
                self._explain_refusal(queue, position, claim_id, now)

        self._queues.use(key, delete, missing=lambda: None)

    def delete_many(
        self, key: queues_model.QueueKey, message_ids: list[str], claim_ids: list[str] | None = None
    ) -> None:
        """Delete those of the messages that are there, or none of them.

        :param claim_ids: claims whose messages may go.
        :raises MessageClaimed: one is held by another live claim; nothing was deleted.
        """
        self._limits.check_message_ids(len(message_ids))
        self._limits.check_claim_ids(len(claim_ids or ()))
        under_claims_only = self._limits.message_delete_with_claim_id
        if under_claims_only and not claim_ids:
            raise errors.ParameterInvalid(
                description='Messages are deleted under their claims only here. Add the parameter claim_ids.'
            )
        now = self._clock()

        def delete(queue):
            deleted = self._store.delete(
                queue,
                _positions(queue, message_ids),
                now,
                claim_ids=claim_ids or (),
                unclaimed=not under_claims_only,
                all_or_none=True,
            )
            if deleted.refused:
                refused = ', '.join(messages.encode_position(queue.id, position) for position in deleted.refused)
                raise errors.MessageClaimed(
                    description=f'Nothing was deleted: these messages are not held by any of claim_ids: {refused}.'
                    if under_claims_only
                    else f'Nothing was deleted: these messages are claimed, and their claims are not among '
                    f'claim_ids: {refused}.'
                )

        self._queues.use(key, delete, missing=lambda: None)

    def pop(self, key: queues_model.QueueKey, count: int) -> Listed:
        """Delete up to `count` of the oldest free messages and return them. Lost if the answer is.

        :raises EncryptionFailed: there are some, and none of them can be decrypted; none was deleted.
        If interrupted: encrypted messages come back a minute later, because what cannot be decrypted must not be lost.
        """
        self._limits.check_pop(count)
        now = self._clock()
        claim = messages.Claim(messages.new_id(), _POP_CLAIM_TTL, now + _POP_CLAIM_TTL)

        def take(queue):
            max_claims = dead_letters.max_claims(queue)
            plain = queue.settings.enable_encrypt_messages is None
            claimed = self._store.claim(queue, claim, count, now, keep_until=0, max_claims=max_claims, take=plain)
            self._dead_letters.bury(queue, claim, claimed.dead, now)
            taken = claimed.messages if plain else self._take_opened(queue, claim, claimed.messages, now)
            return show(queue, taken, now)

        return self._queues.use(key, take, missing=lambda: Listed('', [], now))

    # Inside

    def _draft(self, posted, client, settings, now, idempotency):
        limits = self._limits
        default_ttl = settings.default_message_ttl or limits.default_message_ttl
        default_delay = settings.default_message_delay or limits.default_message_delay
        ttl = delay = None
        expires_at = available_at = 0
        drafts = []
        for one in posted:
            # Messages of one post mostly share these values; then they share the objects, too.
            if one.ttl != ttl:
                ttl = one.ttl
                expires_at = now + (default_ttl if ttl is msgspec.UNSET else limits.check_message_ttl(ttl))
            if one.delay != delay:
                delay = one.delay
                seconds = default_delay if delay is msgspec.UNSET else limits.check_message_delay(delay)
                available_at = now + seconds if seconds else 0
            # A copy: the body would keep the buffer of the whole request in memory.
            drafts.append(messages.Draft(bytes(one.body), expires_at, available_at, client))
        if limits.enable_checksum:
            for draft in drafts:
                draft.checksum = messages.checksum(draft.body)
        if idempotency is not None:
            for index, draft in enumerate(drafts):
                draft.key = f'request:{idempotency.key}:{index}'
                draft.key_until = now + KEY_WINDOW
        return drafts

    def _append_once(self, queue, drafts, digest, now, request_id):
        for stored in self._sealing.digests(queue, digest):
            for draft in drafts:
                draft.key_digest = stored
            try:
                return self._notifications.append(queue, drafts, now, request_id)
            except storage_errors.KeyReused:
                continue
        raise errors.KeyReused()

    def _take_opened(self, queue, claim, claimed, now):
        opened, shut = self._sealing.open(queue, claimed)
        if shut:
            sealing.set_aside(self._store, queue, claim, shut, now)
            if not opened:
                raise shut.error
        if opened:
            positions = [message.position for message in opened]
            self._store.delete(queue, positions, now, claim_ids=(claim.id,), unclaimed=False)
        return opened

    def _explain_refusal(self, queue, position, claim_id, now):
        if claim_id is None:
            raise errors.MessageClaimed(
                description='This message is claimed; it cannot be deleted without a valid claim ID.'
            )
        if not self._store.select(queue, store.Selection(claim_id=claim_id, limit=1), now).messages:
            raise errors.ClaimMismatch(description='The specified claim does not exist or has expired.')
        held = self._store.select(queue, store.Selection((position,)), now).messages
        if not held:
            return  # gone in this very moment
        if held[0].claim_id is None:
            raise errors.ClaimMismatch(description='A claim was specified, but the message is not currently claimed.')
        raise errors.MessageClaimed(description='This message is claimed by another claim than the specified one.')


def _positions(queue, message_ids):
    decoded = (messages.decode_position(queue.id, message_id) for message_id in message_ids)
    return tuple(dict.fromkeys(position for position in decoded if position is not None))
