"""Sending again what was captured, to see what the receiver makes of it now."""

import collections.abc
import threading

from queueservice.delivery import base as delivery
from queueservice.model import captures, deliveries, errors, queues
from queueservice.services import captures as captures_service
from queueservice.services import subscriptions as subscriptions_service
from queueservice.storage import base

#: How many a process sends at a time: each keeps a thread waiting that could answer others.
_AT_ONCE = 2

_SCHEMES = ('http', 'https')


class Replays:
    def __init__(
        self,
        driver: base.Driver,
        all_captures: captures_service.Captures,
        all_subscriptions: subscriptions_service.Subscriptions,
        senders: delivery.Senders,
        clock: collections.abc.Callable[[], float],
    ):
        self._begin = getattr(driver, 'begin_request', lambda: None)
        self._captures = all_captures
        self._subscriptions = all_subscriptions
        self._senders = senders
        self._clock = clock
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def replay(self, project: str, key: str, exchange_id: str) -> captures.Exchange:
        """Send the body of a captured request to its subscriber once more; what came of it, which is captured too.

        It goes where the subscriber is now, with the headers that the subscription has now and a signature of now. It
        is no attempt of the delivery, and is not tried again.

        :raises NotFound: there is no such exchange in a bucket of the project.
        :raises Conflict: it cannot be sent: it was no delivery, its subscription has ended or is not confirmed, its
            body was not kept whole, or there may or can be no request to the subscriber.
        :raises Busy: this process does as much of this as it may.
        """
        exchange = self._captures.show(project, key, exchange_id)
        subscription = self._find_subscription(project, exchange)
        request = exchange.request
        if request is None or request.body is None or request.truncated:
            raise errors.Conflict(
                description='This cannot be sent again: the body of the request was not kept, or not all of it.'
            )
        now = self._clock()
        # What is kept has been through the template already.
        options = {name: value for name, value in subscription.options.items() if name != 'post_data'}
        push = delivery.Push(
            target=subscription.subscriber,
            body=request.body,
            delivery_id=exchange.identifier,
            sent_at=now,
            secrets=subscription.secrets(now),
            options=options,
        )
        result = self._send(self._senders[subscription.scheme], push)
        self._begin()  # the time that the receiver took is not the store's
        if result.exchange is None:
            raise errors.Conflict(description=f'Nothing was sent. {deliveries.ERRORS[result.error]}')
        captured = captures_service.Captured(
            delivery_id=exchange.identifier,
            subscription_id=subscription.id,
            attempt=None,
            exchange=result.exchange,
            error=result.error,
        )
        return self._captures.add(key, captured, now)

    def _find_subscription(self, project, exchange):
        found = self._subscriptions.find(exchange.subscription_id) if exchange.subscription_id else None
        if found is None or found.queue[:2] != (queues.PROJECT, project):
            raise errors.Conflict(
                description='This cannot be sent again: it was not delivered to a subscriber, or the subscription has '
                'ended.'
            )
        if not found.confirmed or found.scheme not in _SCHEMES:
            raise errors.Conflict(
                description='This cannot be sent again: the subscription is not confirmed, or not to a webhook now.'
            )
        return found

    def _send(self, sender, push):
        if not self._free.acquire(blocking=False):
            raise errors.Busy()
        try:
            return sender.send(push)
        finally:
            self._free.release()
