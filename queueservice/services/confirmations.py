"""What subscribers are asked before they get anything, and after they have said that they want no more."""

import hashlib
import json
import shlex
import urllib.parse
import uuid

import msgspec

from queueservice.model import deliveries, errors, messages, notifications, subscribers, subscriptions
from queueservice.services import links
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: Seconds for which an address that was asked is not asked again, by whomever.
PAUSE = 60

_TYPES = {deliveries.CONFIRMATION: 'SubscriptionConfirmation', deliveries.FAREWELL: 'UnsubscribeConfirmation'}
_MESSAGES = {
    deliveries.CONFIRMATION: 'You have chosen to subscribe to the queue: {queue}',
    deliveries.FAREWELL: 'You have unsubscribed from the queue: {queue}',
}
_SUBJECTS = {
    deliveries.CONFIRMATION: 'Confirm your subscription to the queue {queue}',
    deliveries.FAREWELL: 'You have unsubscribed from the queue {queue}',
}
_OPENINGS = {
    deliveries.CONFIRMATION: (
        'Somebody wants messages of the queue "{queue}" to be sent to this address. You get none unless you confirm '
        'it, until {expires} (UTC). If you do not want them, there is nothing to do.'
    ),
    deliveries.FAREWELL: (
        'From now on, no messages of the queue "{queue}" are sent to this address. If you want them again, confirm '
        'it, until {expires} (UTC).'
    ),
}
_BY_PAGE = 'To confirm, open this page:'
_BY_COMMAND = 'To confirm, run this command:'


class Confirmations:
    def __init__(self, driver: base.Driver, links: links.Links, rules: deliveries.Rules):
        self._records = driver.records
        self._links = links
        self._rules = rules

    def build(
        self, subscription: subscriptions.Subscription, kind: deliveries.Kind, now: float
    ) -> tuple[bytes, tuple[str, str] | None]:
        """What the subscriber is sent: the body, and where he reads mail a subject and a text in place of it.

        :param kind: CONFIRMATION or FAREWELL.
        """
        signed = self._links.sign(subscription)
        queue = subscription.queue.name
        request = notifications.Confirmation(
            Message_Type=_TYPES[kind],
            Message=_MESSAGES[kind].format(queue=queue),
            signature=signed.signature,
            methods=','.join(signed.grant.methods),
            paths=','.join(signed.grant.paths),
            project=signed.grant.project,
            expires=signed.grant.expires,
            queue_name=queue,
            subscription_id=subscription.id,
            timestamp=messages.timestamp(now),
        )
        if self._rules.public_url:
            request.WSGISubscribeURL = self._rules.public_url.rstrip('/') + request.paths
        text = self._write(kind, request) if subscription.scheme == 'mailto' else None
        return msgspec.json.encode(request), text

    def may_ask(self, subscription: subscriptions.Subscription, now: float) -> float | None:
        """None: the subscriber may be sent `build`'s now, and from now on nobody may for PAUSE. Otherwise: in how many
        seconds to ask here again.
        """
        address = self._address(subscription)
        record = {'target': hashlib.sha256(address.encode()).hexdigest(), 'expires_at': now + PAUSE}
        (inserted,) = self._records.insert(tables.CONFIRMATIONS, [record])
        if not isinstance(inserted, storage_errors.Duplicate):
            return None
        query = records.Query(where=(records.Condition('target', '=', record['target']),), limit=1)
        for found in self._records.find(tables.CONFIRMATIONS, query).records:
            if found['expires_at'] > now:
                return min(found['expires_at'] - now, PAUSE)
            (replaced,) = self._records.replace(tables.CONFIRMATIONS, [found | record])
            if not isinstance(replaced, storage_errors.Stale):
                return None
        return PAUSE  # somebody else was quicker, or it was swept away in this moment

    def _address(self, subscription):
        """What is spared: a mailbox, or a URL without its query, which would make many of one."""
        try:
            address = subscribers.check(subscription.subscriber, self._rules)
        except errors.BodyInvalid:  # the sender will refuse it, too
            return subscription.subscriber
        if subscription.scheme != 'mailto':
            return address.partition('?')[0]
        local, _, domain = address.lower().rpartition('@')
        return f'{local.partition("+")[0]}@{domain}'  # what stands behind a "+" reaches the same person

    def _write(self, kind, request):
        names = {'queue': request.queue_name, 'expires': request.expires.replace('T', ' ')}
        parts = [_OPENINGS[kind].format(**names)]
        page = self._rules.external_confirmation_url
        if page:
            parts += [_BY_PAGE, _lead_to(page, request)]
        elif request.WSGISubscribeURL:
            parts += [_BY_COMMAND, _command(request)]
        return _SUBJECTS[kind].format(**names), '\n\n'.join(parts) + '\n'


def _lead_to(page, request):
    values = {
        'Signature': request.signature,
        'Methods': request.methods,
        'Paths': request.paths,
        'Project': request.project,
        'Expires': request.expires,
        'Url': request.WSGISubscribeURL or request.paths,
        'Queue': request.queue_name,
    }
    return f'{page}{"&" if "?" in page else "?"}{urllib.parse.urlencode(values)}'


def _command(request):
    # Project ids are what tenants make of them: nothing in the command may be read as another one.
    values = {
        'URL-Signature': request.signature,
        'URL-Methods': request.methods,
        'URL-Paths': request.paths,
        'URL-Expires': request.expires,
        'X-Project-Id': request.project,
        'Client-ID': str(uuid.UUID(int=0)),
        'Content-Type': 'application/json',
    }
    return ' \\\n  '.join(
        (
            f'curl -X PUT {shlex.quote(request.WSGISubscribeURL)}',
            *(f'-H {shlex.quote(f"{name}: {value}")}' for name, value in values.items()),
            f'-d {shlex.quote(json.dumps({"confirmed": True}))}',
        )
    )
