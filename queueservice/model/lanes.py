"""Lanes: the way to one subscriber. Its entries lie in an internal queue; its record says when to look there."""

import msgspec


class Lane(msgspec.Struct, frozen=True):
    """How it stands with the way to one subscriber."""

    id: str  # of the subscription
    project: str
    site: str  # what is loaded by attempts: a host
    revision: int
    due_at: float | None = None  # s, UTC; to be looked at then; leased until then; None: parked, there is nothing to do
    leased_by: str | None = None  # the turn that has it until due_at; None: nobody's
    rests_until: float | None = None  # s, UTC; nothing is sent before, whatever comes; None: there is no such instant
    failures: int = 0  # in a row, that trying again may mend
    opened_at: float | None = None  # s, UTC; since when the breaker is open; None: it is closed
    last_at: float | None = None  # s, UTC; of the last attempt
    last_status: int | None = None
    last_error: str | None = None  # of model.deliveries.ERRORS; None: the last attempt succeeded
