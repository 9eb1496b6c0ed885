"""Dead letters go back to the queues that they came from."""

import collections
import collections.abc
import time

import msgspec

from queueservice.model import errors, messages
from queueservice.model import limits as limits_module
from queueservice.model import queues as queues_model
from queueservice.services import notifications, queues, sealing
from queueservice.storage import base
from queueservice.storage import messages as store

#: How many messages are moved at once, and how many one call looks at.
_SLICE = 50
_MOST_LOOKED_AT = 10_000
#: Seconds after which messages come back that an interrupted call held, and after which a call moves no more.
_LEASE = 60
_PATIENCE = 20
#: Seconds for which a move is remembered at least, so that repeating it after a crash makes no second copy. It is for
#: as long as the dead letter lives.
_KEY_WINDOW = 2 * 24 * 3600


#: Why messages stay: fields of `Redriven`.
_REASONS = ('no_dead_letter', 'queue_gone', 'encryption')


class Redriven(msgspec.Struct):
    """What one call did."""

    moved: int
    left: int  # all messages that are in the queue now, whatever their state
    no_dead_letter: int  # of those that were looked at: they were posted here
    queue_gone: int  # the queue that they came from does not exist
    encryption: int  # a key is missing, or they are damaged


class _Run:
    """One call, as far as it has come."""

    def __init__(self, limit: int, began_at: float):
        self.limit = limit
        self.ends_at = began_at + _PATIENCE
        self.moved = 0
        self.claims: list[str] = []  # that hold messages which stay
        self.begin()

    def begin(self):
        """Look at the queue from its beginning, perhaps once more because it has changed."""
        self.after = 0  # the position up to which messages have been looked at
        self.looked_at = 0
        self.passed = 0  # those among them that are free: a claim meets them first
        self.gone: set[str] = set()  # queues that do not exist
        self.stayed = collections.Counter()

    def goes_on(self, now: float) -> bool:
        return self.moved < self.limit and self.looked_at < _MOST_LOOKED_AT and now < self.ends_at


class Redrive:
    def __init__(
        self,
        driver: base.Driver,
        queues: queues.Queues,
        notifications: notifications.Notifications,
        sealing: sealing.Sealing,
        limits: limits_module.Limits,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._store = driver.messages
        self._queues = queues
        self._notifications = notifications
        self._sealing = sealing
        self._limits = limits
        self._clock = clock

    def move(self, key: queues_model.QueueKey, limit: int | None = None) -> Redriven:
        """Move up to `limit` dead letters of a queue back, the oldest first. There they begin a new life, as long as
        that for which they were posted, and count as never claimed.

        What is claimed, delayed, or no dead letter stays, and so does what came from a queue that is gone. Quotas do
        not count what is moved: the project has it already. Subscribers of those queues are told as of a post. A call
        ends early when it has taken long.
        If interrupted: nothing is lost. What was on its way comes back within a minute, and goes without arriving
        twice when this is repeated.

        :raises QueueNotFound: there is none.
        """
        run = _Run(self._limits.check_redrive_limit(limit), self._clock())
        return self._queues.use(key, lambda queue: self._move(queue, run))

    # Inside

    def _move(self, queue, run):
        run.begin()
        while run.goes_on(self._clock()):
            # A claim counts, and hides what it holds: only what stands before a message that can go is claimed.
            page = self._store.select(queue, store.Selection(after=run.after, limit=_SLICE), self._clock())
            if page.reached == run.after:
                break
            run.after = page.reached
            run.looked_at += len(page.messages)
            run.passed += len(page.messages)
            behind = self._count_behind(queue, page.messages, run)
            while run.passed > behind and run.goes_on(self._clock()):
                claimed = self._claim_and_move(queue, min(run.passed - behind, _SLICE), run)
                if not claimed:
                    break
                run.passed -= claimed
        now = self._clock()
        for claim_id in run.claims:
            self._store.renew(queue, claim_id, (messages.Change(),), now)
        return Redriven(run.moved, self._store.stats(queue, now).total, **{name: run.stayed[name] for name in _REASONS})

    def _count_behind(self, queue, found, run):
        """How many of the messages stand behind the last one that is to go; all of those that are passed if none is."""
        room = run.limit - run.moved
        behind = run.passed
        for index, message in enumerate(found, 1):
            reason = self._find_reason(queue, message, run)
            if reason:
                run.stayed[reason] += 1
            elif room:
                room -= 1
                behind = len(found) - index
        return behind

    def _find_reason(self, queue, message, run):
        """Why the message cannot go, as far as can be seen from outside; None: it can."""
        state = messages.read_state(message)
        if state.dead_letter is None:
            return 'no_dead_letter'
        name = state.dead_letter.queue
        if name not in run.gone and self._queues.find(queue.key._replace(name=name)) is None:
            run.gone.add(name)
        return 'queue_gone' if name in run.gone else None

    def _claim_and_move(self, queue, count, run):
        """Take `count` messages, move those that can go, and keep the others till the end; say how many were taken."""
        now = self._clock()
        claim = messages.Claim(messages.new_id(), _LEASE, now + _LEASE)
        claimed = self._store.claim(queue, claim, count, now, keep_until=0).messages
        if not claimed:
            return 0
        going = [message for message in claimed if messages.read_state(message).dead_letter is not None]
        opened, shut = self._sealing.open(queue, going[: run.limit - run.moved])
        if shut:
            run.stayed['encryption'] += len(shut.positions)
        by_origin = collections.defaultdict(list)
        for message in opened:
            by_origin[messages.read_state(message).dead_letter.queue].append(message)
        moved = []
        for name, some in by_origin.items():
            moved += self._append(queue, name, some, run, now)
        if moved:
            moved = self._store.delete(queue, moved, now, claim_ids=(claim.id,), unclaimed=False).positions
        run.moved += len(moved)
        if len(moved) < len(claimed):
            run.claims.append(claim.id)
        return len(claimed)

    def _append(self, queue, name, found, run, now):
        """Store messages in the queue that they came from; the positions of those that can be deleted here."""

        def append(origin):
            drafts = [_draft(queue, message, now) for message in found]
            self._notifications.append(origin, self._sealing.seal(origin, drafts), now)
            return True

        try:
            arrived = self._queues.use(queue.key._replace(name=name), append, missing=lambda: False)
        except errors.EncryptionKeyMissing:
            run.stayed['encryption'] += len(found)
            return []
        if not arrived:
            if name not in run.gone:
                run.stayed['queue_gone'] += len(found)
            return []
        return [message.position for message in found]


def _draft(queue, message, now):
    state = messages.read_state(message)
    # What somebody moves back is copied anew, like what he posts.
    rest = msgspec.structs.replace(state, dead_letter=None, ttl=0, first='')
    return messages.Draft(
        body=message.body,
        expires_at=now + (state.ttl or message.ttl),
        client=message.client,
        checksum=message.checksum,
        state=b'' if rest == messages.State() else msgspec.json.encode(rest),
        key=f'redrive:{messages.encode_position(queue.id, message.position)}',
        key_until=max(message.expires_at, now + _KEY_WINDOW),
    )
