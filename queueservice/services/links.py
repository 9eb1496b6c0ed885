"""Confirmation links: by following one, a subscriber says that he wants to be one, or that he does not."""

import collections.abc
import hmac

from queueservice.model import signatures
from queueservice.model import subscriptions as model
from queueservice.services import secrets, shares, subscriptions


class Links:
    def __init__(
        self,
        subscriptions: subscriptions.Subscriptions,
        signing: secrets.Signing,
        clock: collections.abc.Callable[[], float],
    ):
        self._subscriptions = subscriptions
        self._signing = signing
        self._clock = clock

    def sign(self, subscription: model.Subscription) -> shares.Signed:
        """The link for the subscriber that the subscription has now. It is good as long as he is, until its life ends.

        A life that is renewed later needs a new link.
        """
        grant = signatures.build_link(subscription.queue, subscription.id, subscription.expires_at)
        secret = _derive(self._signing.load()[0], subscription.id, subscription.nonce)
        return shares.Signed(grant, signatures.sign(grant, secret))

    def is_good(self, grant: signatures.Grant, signature: str, method: str, path: str) -> bool:
        """Whether the grant, of a link, was signed here for the subscriber of today, and allows this request now."""
        if not grant.is_for(method, path, self._clock()):
            return False
        subscription = self._subscriptions.find(grant.link)
        if subscription is None or subscription.queue != grant.queue:
            return False
        derived = [_derive(secret, subscription.id, subscription.nonce) for secret in self._signing.load()]
        return signatures.is_signed(grant, signature, derived)


def _derive(secret, subscription_id, nonce):
    """A secret that signs for one subscriber alone: the nonce is another one when the subscriber is."""
    return hmac.digest(secret, f'queueservice confirmation 1/{subscription_id}/{nonce}'.encode(), 'sha256')
