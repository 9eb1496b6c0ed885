"""Evidence: what a tenant finds who asks why something did not arrive.

Attempts are kept as exchanges in the bucket of their queue, as far as that goes; whatever is given up is told in one
user message. The ids in both lead from one to the other.
"""

import collections.abc

from queueservice.model import deliveries
from queueservice.model import queues as queues_model
from queueservice.model import user_messages as model
from queueservice.services import attempts, captures, user_messages

#: Ends that nobody has wished for. What was deleted, or a subscriber who wants no more, is somebody's will.
_GIVEN_UP = (deliveries.FAILED, deliveries.REFUSED, deliveries.EXPIRED)


class Evidence:
    def __init__(self, captures: captures.Captures, user_messages: user_messages.UserMessages):
        self._captures = captures
        self._user_messages = user_messages

    def tell(self, project: str, jobs: collections.abc.Iterable[attempts.Job], now: float) -> None:
        """Tell the project of each delivery that is given up: once, however often this is repeated."""
        failures = []
        for job in jobs:
            if job.ended is None:
                continue
            delivery = job.ended.delivery
            if delivery.outcome in _GIVEN_UP and delivery.error != 'unconfirmed':
                failures.append(
                    user_messages.Failure(
                        action=delivery.kind,
                        detail=delivery.error,
                        resource_type=model.SUBSCRIPTION,
                        resource_uuid=delivery.subscription_id,
                        request_id=delivery.request_id,
                        # Asked for again, it can be given up once more.
                        id_from=f'{delivery.id}/{job.entry.again}' if job.entry.again else delivery.id,
                    )
                )
        if failures:
            self._user_messages.write_all(project, failures, now)

    def keep(
        self, queue: queues_model.Queue, subscription_id: str, jobs: collections.abc.Iterable[attempts.Job], now: float
    ) -> None:
        """Keep the attempts that were made, best effort."""
        captured = [
            captures.Captured(
                delivery_id=job.entry.delivery_id,
                subscription_id=subscription_id,
                attempt=job.progress.total,
                exchange=job.exchange,
                error=job.progress.error,
                kind=job.entry.kind,
                encrypted=queue.settings.enable_encrypt_messages is not None,
            )
            for job in jobs
            if job.exchange is not None
        ]
        self._captures.capture(queue.key.project, queue.key.name, captured, now)
