"""Lanes: the way to one subscriber. Its entries lie in an internal queue; its record says when to look there."""

import msgspec

#: Failures in a row after which the breaker opens.
BREAKER = 5
#: Seconds that a lane rests then, twice as many after each further failure, and the most.
FIRST_REST = 10
LONGEST_REST = 300


class Lane(msgspec.Struct, frozen=True):
    """How it stands with the way to one subscriber."""

    id: str  # of the subscription
    project: str
    site: str  # what is loaded by attempts: a host
    revision: int
    nonce: str | None = None  # of the subscription, while its subscriber is the one whom the rest is about
    due_at: float | None = None  # s, UTC; to be looked at then; leased until then; None: parked, there is nothing to do
    leased_by: str | None = None  # the turn that has it until due_at; None: nobody's
    rests_until: float | None = None  # s, UTC; nothing is sent before, whatever comes; None: there is no such instant
    failures: int = 0  # in a row, that trying again may mend
    opened_at: float | None = None  # s, UTC; since when the breaker is open; None: it is closed
    last_at: float | None = None  # s, UTC; of the last attempt
    last_status: int | None = None
    last_error: str | None = None  # of model.deliveries.ERRORS; None: the last attempt succeeded

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: then one entry at a time is sent, to see."""
        return self.opened_at is not None

    def is_leased(self, now: float) -> bool:
        """Whether a turn is under way."""
        return self.leased_by is not None and self.due_at > now


def note_success(lane: Lane, now: float, status: int | None) -> Lane:
    """The lane after an attempt that succeeded."""
    return msgspec.structs.replace(
        lane,
        failures=0,
        opened_at=None,
        # Where it was the subscriber who asked for rest, others of his answers do not take that back.
        rests_until=None if lane.is_open else lane.rests_until,
        last_at=now,
        last_status=status,
        last_error=None,
    )


def note_failure(
    lane: Lane,
    now: float,
    status: int | None,
    error: str,
    *,
    is_mendable: bool,
    retry_after: float | None,
    most: float,
) -> Lane:
    """The lane after an attempt that failed.

    :param is_mendable: trying again may help. A subscriber who answers that it does not is in good health.
    :param retry_after: seconds that the subscriber asks to be left alone.
    :param most: seconds; no rest is longer.
    """
    failures = lane.failures + 1 if is_mendable else 0
    opens = failures >= BREAKER
    rest = min(FIRST_REST * 2 ** min(failures - BREAKER, 10), LONGEST_REST) if opens else 0
    rest = min(max(rest, retry_after or 0), most)
    return msgspec.structs.replace(
        lane,
        failures=failures,
        opened_at=(lane.opened_at or now) if opens else None,
        rests_until=max(now + rest, lane.rests_until or 0) if rest else lane.rests_until,
        last_at=now,
        last_status=status,
        last_error=error,
    )
