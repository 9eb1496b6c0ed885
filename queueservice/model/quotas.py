"""What one project may use at the most: its quotas and its rate."""

import collections.abc

import msgspec

from queueservice.model import errors

#: The highest value that a limit may have: far beyond what can be reached, and exact as a double.
MOST = 10**15


class Quotas(msgspec.Struct, frozen=True):
    """The limits of one project; 0 where there is none. Names are those of the options and of the API."""

    requests_per_second: int = 0
    request_burst: int = 0  # requests at once; 0: as many as requests_per_second
    queues: int = 0
    messages: int = 0
    bytes: int = 0  # of bodies
    messages_in_flight_per_queue: int = 0  # claimed ones
    subscriptions_per_queue: int = 0

    @property
    def burst(self) -> int:
        return self.request_burst or self.requests_per_second


NAMES = Quotas.__struct_fields__

_REMEDIES = {
    'queues': 'Delete queues that are not needed',
    'messages': 'Delete messages or let them expire',
    'bytes': 'Delete messages or let them expire',
    'messages_in_flight_per_queue': 'Delete claimed messages, release claims or let them end',
    'subscriptions_per_queue': 'Delete subscriptions that are not needed',
}


def check_changes(changes: collections.abc.Mapping) -> None:
    """Check what an administrator wants the limits of a project to be; None stands for the default.

    :raises BodyInvalid: it names no limit, or a value is none.
    """
    for name, value in changes.items():
        if name not in NAMES:
            raise errors.BodyInvalid(
                description=f'There is no limit "{name[:64]}". Those that can be set are: {", ".join(NAMES)}.'
            )
        if value is not None and (type(value) is not int or not 0 <= value <= MOST):
            raise errors.BodyInvalid(
                description=f'The limit "{name}" must be a whole number from 0 (no limit) to {MOST}, or null for the '
                'default of the service.'
            )


def refusal(limit: str, most: int, used: int, wanted: int) -> errors.QuotaExceeded:
    """The error that says which limit is in the way, and what to do."""
    return errors.QuotaExceeded(limit=limit, most=most, used=used, wanted=wanted, remedy=_REMEDIES[limit])
