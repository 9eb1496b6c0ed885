"""The message port: a queue of messages that can be leased.

Promises that hold for every verb, and that `tests/contract` checks on every driver:

* **Order.** Positions only grow, and nothing arrives late: once any reader has been answered with
  position p, no message at or below p that was not visible then ever becomes visible (except one that
  was filtered: delayed or claimed at the time). An append that was acknowledged before another began
  has the smaller positions. Positions go on over `clear`; only deleting the queue ends its life.
* **Expired means gone**, at once and for every verb, before any sweep.
* **One claim.** No message is ever in two live claims.
* **Deciding and writing are one step.** A claim that ended a moment ago guards nothing and renews nothing.
* **Acknowledged means stored**, as durably as the driver's documentation says. An append that raised
  `Unavailable` may be stored wholly, partly (a prefix), or not.
* **Current.** A verb whose `queue` no longer exists raises `Stale`; `append` and `claim`, which act on
  what the queue's settings said, also do when its revision is not the stored one. Nothing was written.
* The cost of a call depends on what it returns, not on the length of the queue or on the number of queues.

Time is an argument: `now` is the caller's clock, in seconds (UTC). Within one queue it may be assumed
not to run backwards by more than a second.
"""

import collections.abc
import typing

import msgspec

from queueservice.model import messages, queues

#: For how long a claim keeps hold of the messages that it returns as `dead`, in seconds.
DEAD_LEASE = 30
#: How many dead messages one claim returns at the most.
DEAD_LIMIT = 20
#: How often a store looks whether the message is still there for which a key is kept that is past its time, in seconds.
KEY_INTERVAL = 6 * 3600
#: How many messages that a reader may not see one `select` passes over before it ends the page early.
SCAN_BUDGET = 20_000

#: Given the drafts of an append as messages (with positions), say what else is to be appended.
Derive = collections.abc.Callable[
    [list[messages.Message]], list[tuple[queues.Queue, collections.abc.Sequence[messages.Draft]]]
]


class Appended(msgspec.Struct, gc=False):
    position: int
    repeated: bool = False  # the key was known; this is where the first one went


class Selection(msgspec.Struct, frozen=True):
    """Which messages to read: those at `positions`, of `claim_id` or of `keys` (one of these), otherwise a list.

    The first three see messages in any state and are not cut at `limit`.
    """

    positions: tuple[int, ...] | None = None
    claim_id: str | None = None  # what this live claim holds
    after: int = 0  # list from behind this position
    limit: int = 10
    not_from: bytes | None = None  # leave out what this client posted
    include_claimed: bool = False
    include_delayed: bool = False
    keys: tuple[str, ...] | None = None  # of drafts: for each the last message that was stored with it


class Page(msgspec.Struct):
    messages: list[messages.Message]  # in position order
    #: Go on from here: the last position returned, or how far the scan came where it ended the page early.
    #: Equal to `Selection.after` when nothing more is visible behind it and the page is empty.
    reached: int


class Claimed(msgspec.Struct):
    messages: list[messages.Message]  # in position order, each with the claim and a raised claim_count
    dead: list[messages.Message]  # claimed too often already: under the same claim for DEAD_LEASE, count not raised
    #: When nothing was returned: an instant (s, UTC) before which claiming again is in vain unless
    #: something is posted, released or deleted; None if there is no such instant.
    next_at: float | None = None


class Deleted(msgspec.Struct):
    positions: list[int]
    refused: list[int]  # there, but not to be deleted under the guard


class Stats(msgspec.Struct):
    free: int  # neither claimed nor delayed
    claimed: int
    delayed: int
    bytes: int  # of bodies
    oldest: tuple[int, float] | None  # (position, created_at); claimed and delayed ones count
    newest: tuple[int, float] | None

    @property
    def total(self) -> int:
        return self.free + self.claimed + self.delayed


class Usage(msgspec.Struct):
    """What a project keeps in the store. May still count messages that expired less than a minute ago."""

    queues: int = 0
    messages: int = 0
    claimed: int = 0
    delayed: int = 0
    bytes: int = 0


class MessageStore(typing.Protocol):
    def append(
        self,
        queue: queues.Queue,
        drafts: collections.abc.Sequence[messages.Draft],
        now: float,
        *,
        derive: Derive | None = None,
    ) -> list[Appended]:
        """Store `drafts` behind everything in the queue, in their order, as one step.

        A draft whose `key` the queue remembers (by an append that was acknowledged, with
        `key_until` > `now`) is not stored: the position of the first one is returned, even if that
        message is gone. Keys belong to the queue's life and outlast `clear`. One that is past its time stands in
        nobody's way, but still leads `select` to its message for as long as that is there.

        `derive`, if given, is called with the newly stored messages (not called when there are none; called again
        only where a store has to begin anew); what it returns is appended in the same step, or before where a
        store has no larger step than one document. It must be pure and quick. It derives nothing further.

        :raises Stale: the queue's revision moved on, or the queue is gone; also of a derived queue.
        :raises KeyReused: a remembered key has another digest.
        """

    def select(self, queue: queues.Queue, selection: Selection, now: float) -> Page:
        """Read messages without changing anything.

        Filters act before the limit. A list that has passed over SCAN_BUDGET messages that it may not
        show ends early with `Page.reached` at the place it came to.

        :raises Stale: the queue is gone.
        """

    def claim(
        self,
        queue: queues.Queue,
        claim: messages.Claim,
        limit: int,
        now: float,
        *,
        keep_until: float,
        max_claims: int | None = None,
        in_flight: int | None = None,
        take: bool = False,
    ) -> Claimed:
        """Lease the oldest free messages to `claim`, as one step.

        Free is: not claimed, not delayed, not expired at `now`.

        :param keep_until: a message that would expire earlier is kept until this instant (s, UTC).
        :param max_claims: messages whose claim_count is already this high are not leased but returned
            apart as `dead` (DEAD_LIMIT at the most, never one without the others behind it being looked at).
        :param in_flight: lease no more than bring the queue's claimed messages up to this number. `dead` ones take
            no room, and are not looked for where there is none.
        :param take: delete what is returned in the same step instead of leasing it. `dead` ones are leased.
        :raises Stale: the queue's revision moved on, or the queue is gone.
        """

    def renew(
        self,
        queue: queues.Queue,
        claim_id: str,
        changes: collections.abc.Sequence[messages.Change],
        now: float,
    ) -> int:
        """Apply each of `changes` to messages that `claim_id` holds at `now`, as one step.

        :returns: how many messages were changed, for each change anew; 0 means that the claim has ended or holds
            none of them.
        :raises Stale: the queue is gone.
        """

    def delete(
        self,
        queue: queues.Queue,
        positions: collections.abc.Sequence[int],
        now: float,
        *,
        claim_ids: collections.abc.Collection[str] = (),
        unclaimed: bool = True,
        all_or_none: bool = False,
    ) -> Deleted:
        """Delete those of `positions` that are held by one of `claim_ids` or, with `unclaimed`, by no live claim.

        Positions where nothing is (any more) are in neither list of the answer. A delayed message is
        unclaimed.

        :param all_or_none: delete nothing at all if any would be refused.
        :raises Stale: the queue is gone.
        """

    def clear(self, queue: queues.Queue, now: float) -> None:
        """Make the queue empty for every reader in one step, whatever its length.

        Claimed and delayed messages go too. Positions go on, so a saved place stays good. Space is
        freed by `sweep`.

        :raises Stale: the queue is gone.
        """

    def stats(self, queue: queues.Queue, now: float) -> Stats:
        """Count without counting: exact, at a cost that does not depend on the length of the queue.

        :raises Stale: the queue is gone.
        """

    def usage(self, namespace: str, project: str, now: float) -> Usage:
        """Sum up what a project keeps in the store; zeros for an unknown one."""

    def sweep(self, now: float, limit: int) -> int:
        """Free the space of what is gone: expired, cleared, of deleted queues, keys past their time.

        :param limit: do about this much, then return; a call takes milliseconds.
        :returns: how much was done; less than `limit` means that nothing is left for now.
        """
