"""Messages that were claimed too often move to the queue that their own queue names for them."""

import collections.abc
import logging
import time

import msgspec

from queueservice.model import errors, messages
from queueservice.model import metadata as metadata_model
from queueservice.model import queues as queues_model
from queueservice.services import notifications, queues, sealing
from queueservice.storage import base
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: Seconds for which a move is remembered, so that repeating it after a crash makes no second copy.
#: Longer than any claim: what a lost claim held comes back within that time.
_KEY_WINDOW = 2 * 24 * 3600


def max_claims(queue: queues_model.Queue) -> int | None:
    """How often a message of `queue` is claimed before it is dead; None: as often as it takes."""
    return queue.settings.max_claim_count if queue.settings.dead_letter_queue else None


class DeadLetters:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues.Queues,
        sealing: sealing.Sealing,
        notifications: notifications.Notifications,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._store = driver.messages
        self._queues = queues
        self._sealing = sealing
        self._notifications = notifications
        self._clock = clock

    def bury(self, queue: queues_model.Queue, claim: messages.Claim, dead: list[messages.Message], now: float) -> None:
        """Move `dead`, which `claim` holds, to the queue's dead-letter queue, where they begin a new life.

        If interrupted: the messages are in both queues and come back in this one when their lease ends;
        the claim that meets them then repeats the move, which stores nothing twice.
        """
        if not dead:
            return
        dead, _ = self._sealing.open(queue, dead)  # what cannot be opened stays here
        if not dead:
            return
        target = queue.key._replace(name=queue.settings.dead_letter_queue)
        # A queue that is made here keeps what was encrypted encrypted; one that exists does as it is told.
        metadata = {metadata_model.ENCRYPTS: True} if queue.settings.enable_encrypt_messages else {}

        def append(letters):
            drafts = [self._draft(queue, message, now) for message in dead]
            self._notifications.append(letters, self._sealing.seal(letters, drafts), now)

        try:
            self._queues.use(target, append, create=True, metadata=metadata)
            positions = [message.position for message in dead]
            self._store.delete(queue, positions, now, claim_ids=(claim.id,), unclaimed=False)
        except (storage_errors.Unavailable, errors.EncryptionFailed):
            # The claim that met them has messages to answer with; another will meet these again.
            _LOG.warning('%d messages of queue %s could not be moved to its dead-letter queue', len(dead), queue.id)

    def _draft(self, queue, message, now):
        settings = queue.settings
        message_id = messages.encode_position(queue.id, message.position)
        letter = messages.DeadLetter(
            queue=queue.key.name,
            message_id=message_id,
            reason='max_claim_count',
            claim_count=message.claim_count,
            at=messages.timestamp(now),
        )
        return messages.Draft(
            body=message.body,
            expires_at=now + (settings.dead_letter_queue_messages_ttl or message.ttl),
            client=message.client,
            checksum=message.checksum,
            state=msgspec.json.encode(
                msgspec.structs.replace(messages.read_state(message), dead_letter=letter, ttl=message.ttl)
            ),
            key=f'dead:{message_id}',
            key_until=now + _KEY_WINDOW,
        )
