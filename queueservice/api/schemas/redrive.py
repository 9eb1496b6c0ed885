"""The documents that a redrive is asked for and answered in."""

import msgspec

from queueservice.model import limits


class RedriveIn(msgspec.Struct, forbid_unknown_fields=True):
    limit: limits.RedriveLimit | None = None


class StayedOut(msgspec.Struct):
    """Messages that were looked at and cannot go, by reason."""

    no_dead_letter: int
    queue_gone: int
    encryption: int


class RedriveOut(msgspec.Struct):
    moved: int
    left: int
    stayed: StayedOut
