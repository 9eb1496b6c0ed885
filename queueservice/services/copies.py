"""Copies: what subscribers of the kind `queue:` get. A message of one queue is stored in another one, too."""

import msgspec

from queueservice.delivery import base
from queueservice.model import deliveries, errors, messages, subscribers
from queueservice.model import limits as limits_module
from queueservice.model import metadata as metadata_model
from queueservice.services import notifications, queues, quotas, sealing
from queueservice.storage import errors as storage_errors

#: Seconds for which it is remembered that a copy was made, so that neither another attempt nor another way makes a
#: second one.
_KEY_WINDOW = 2 * 24 * 3600


class Copies:
    """The sender for `queue:`. It stores; what is told of messages is not for it."""

    def __init__(
        self,
        queues: queues.Queues,
        notifications: notifications.Notifications,
        quotas: quotas.Quotas,
        limits: limits_module.Limits,
        sealing: sealing.Sealing,
    ):
        self._queues = queues
        self._notifications = notifications
        self._quotas = quotas
        self._limits = limits
        self._sealing = sealing

    def site(self, target: str) -> str:
        return target

    def send(self, push: base.Push) -> base.Result:
        """Store a copy in the queue that the subscriber names, of the same project, which is made if it is missing.

        The copy begins a life of its own with the ttl of the message, and is free at once.
        """
        state = messages.read_state(push.message)
        been_there = subscribers.queue_name(push.target) in (push.queue.key.name, *state.visited)
        if been_there or state.hops >= deliveries.MAX_HOPS:
            return base.Result(ok=False, sent=False, error='hops')
        try:
            self._copy(push)
        except errors.EncryptionFailed:  # until the operator has configured a key
            return base.Result(ok=False, retry=True, error='encryption')
        except (errors.QuotaExceeded, storage_errors.Unavailable):
            return base.Result(ok=False, retry=True, error='queue')
        except errors.Invalid:
            return base.Result(ok=False, error='queue')
        return base.Result(ok=True)

    def _copy(self, push):
        now = push.sent_at
        source, message = push.queue, push.message
        target = source.key._replace(name=subscribers.queue_name(push.target))

        def append(queue):
            self._limits.check_post_size(len(message.body), queue.settings.max_messages_post_size)
            drafts = self._sealing.seal(queue, [_draft(push)])
            self._notifications.append(queue, drafts, now)

        if self._queues.find(target) is None:
            self._quotas.check_queue(target, now)
        self._quotas.check_post(target, [messages.Posted(msgspec.Raw(message.body))], now)
        # A queue that is made here keeps what was encrypted encrypted; one that exists does as it is told.
        metadata = {metadata_model.ENCRYPTS: True} if source.settings.enable_encrypt_messages else {}
        self._queues.use(target, append, create=True, metadata=metadata)


def _draft(push):
    message = push.message
    origin = messages.Origin(push.queue.key.name, messages.encode_position(push.queue.id, message.position))
    before = messages.read_state(message)
    state = messages.State(
        copied_from=origin,
        hops=before.hops + 1,
        visited=(*before.visited, push.queue.key.name),
        first=before.first or origin.message_id,
    )
    return messages.Draft(
        body=message.body,
        expires_at=push.sent_at + message.ttl,
        client=message.client,
        checksum=message.checksum,
        state=msgspec.json.encode(state),
        # Not the delivery's id: where queues feed each other, there are the more ways to a queue the more they are.
        key=f'copy:{state.first}',
        key_until=push.sent_at + _KEY_WINDOW,
    )
