"""Pre-signed URLs: made for somebody else, and looked at when they come back."""

import collections.abc

import msgspec

from queueservice.model import errors, queues, signatures
from queueservice.services import secrets


class Signed(msgspec.Struct, frozen=True):
    grant: signatures.Grant
    signature: str


class Shares:
    def __init__(self, signing: secrets.Signing, clock: collections.abc.Callable[[], float]):
        self._signing = signing
        self._clock = clock

    def sign(
        self,
        queue: queues.QueueKey,
        resources: collections.abc.Sequence[str],
        methods: collections.abc.Sequence[str],
        expires: str | None,
    ) -> Signed:
        """Grant whoever has the answer these methods on these routes of the queue, which need not exist yet.

        :param expires: as `signatures.read_expiry` takes it; None: in a day.
        :raises BodyInvalid: nothing would be granted, or it would be for ever.
        """
        if not resources or not methods:
            raise errors.BodyInvalid(
                description=f'The "{"methods" if resources else "paths"}" field may not be empty: leave it out, or say '
                'what is to be allowed.'
            )
        now = self._clock()
        if expires is None:
            expires_at = now + signatures.DEFAULT_LIFE
        else:
            expires_at = signatures.check_life(signatures.read_expiry(expires), now)
        grant = signatures.build(queue, resources, methods, expires_at)
        return Signed(grant, signatures.sign(grant, self._signing.load()[0]))

    def is_good(self, grant: signatures.Grant, signature: str, method: str, path: str) -> bool:
        """Whether the grant was signed here, and allows this request now."""
        return signatures.is_signed(grant, signature, self._signing.load()) and grant.is_for(
            method, path, self._clock()
        )
