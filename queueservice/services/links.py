"""Confirmation links: by following one, a subscriber says that he wants to be one, or that he does not."""

import collections.abc
import hmac

from queueservice.model import signatures, subscriptions
from queueservice.services import secrets, shares
from queueservice.storage import base, records, tables


class Links:
    def __init__(self, driver: base.Driver, signing: secrets.Signing, clock: collections.abc.Callable[[], float]):
        self._records = driver.records
        self._signing = signing
        self._clock = clock

    def sign(self, subscription: subscriptions.Subscription) -> shares.Signed:
        """The link for the subscriber that the subscription has now. It is good as long as he is, until its life ends.

        A life that is renewed later needs a new link.
        """
        grant = signatures.build_link(subscription.queue, subscription.id, subscription.expires_at)
        secret = _derive(self._signing.load()[0], subscription.id, subscription.nonce)
        return shares.Signed(grant, signatures.sign(grant, secret))

    def is_good(self, grant: signatures.Grant, signature: str, method: str, path: str) -> bool:
        """Whether the grant, of a link, was signed here for the subscriber of today, and allows this request now."""
        now = self._clock()
        if not grant.is_for(method, path, now):
            return False
        nonce = self._find_nonce(grant, now)
        if nonce is None:
            return False
        derived = [_derive(secret, grant.link, nonce) for secret in self._signing.load()]
        return signatures.is_signed(grant, signature, derived)

    def _find_nonce(self, grant, now):
        query = records.Query(where=(records.Condition('id', '=', grant.link),), limit=1)
        for found in self._records.find(tables.SUBSCRIPTIONS, query).records:
            queue = found['namespace'], found['project'], found['queue']
            if queue == grant.queue and now < found['expires_at']:
                return found['nonce']
        return None


def _derive(secret, subscription_id, nonce):
    """A secret that signs for one subscriber alone: the nonce is another one when the subscriber is."""
    return hmac.digest(secret, f'queueservice confirmation 1/{subscription_id}/{nonce}'.encode(), 'sha256')
