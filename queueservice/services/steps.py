"""Steps: enrolments are sent their next message. Called by workers.

What is to be done lies in internal queues: ranges of the enrolments of a schedule that runs; single enrolments that
somebody asks for or that failed before; and, in queues of their own, those whose addresses have to be looked for. The
claim of such a message is the lock.

A step is written in this order: the message is appended to the outbound queue of the project, under a key made of
enrolment and number; those who have completed their set are enrolled in the next one, under an id made of both; the
enrolments are replaced; the internal message is deleted. Cut off anywhere, the claim ends and all of it is done again:
what was stored is stored already, by its key, its id or its revision.
"""

import collections.abc
import contextlib
import logging
import typing

import msgspec

from queueservice.delivery import identities
from queueservice.model import errors, messages, retry, user_messages
from queueservice.model import queues as queues_model
from queueservice.model import sequences as model
from queueservice.services import captures as captures_service
from queueservice.services import figures as figures_service
from queueservice.services import messages as messages_service
from queueservice.services import project_rules, queues, schedules, sequences
from queueservice.services import user_messages as user_messages_service
from queueservice.storage import base, records
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store

_LOG = logging.getLogger(__name__)

#: How many enrolments of a schedule are sent their messages together, and how many single ones are taken at once.
RANGE = 200
TASKS = 20
#: Seconds after which somebody else goes on where a worker was cut off.
_CLAIM_TTL = 60
#: So often is tried again what failed, and so often what others changed at the same moment.
_RETRIES = 15
_ATTEMPTS = 5
#: Seconds to the first and the longest wait between two tries.
_FIRST_WAIT = 5
_LONGEST_WAIT = 300

#: Why a project's own queue takes nothing.
_DETAILS = {errors.QuotaExceeded: 'quota', errors.EncryptionKeyMissing: 'encryption'}

_RANGE = msgspec.json.Decoder(model.Range)
_TASK = msgspec.json.Decoder(model.Task)


class Rejection(typing.NamedTuple):
    """Why a message could not be sent."""

    reason: str  # a sentence
    detail: str  # of model.user_messages.DETAILS


class Tries(msgspec.Struct, frozen=True):
    """The state of a task: how often it was tried in vain."""

    count: int = 0


class Batch(msgspec.Struct):
    """What is to be stored for some enrolments, by their ids."""

    bodies: dict[str, bytes] = msgspec.field(default_factory=dict)  # of what is posted
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    changed: dict[str, model.Enrolment] = msgspec.field(default_factory=dict)  # as they are afterwards
    completed: list[model.Enrolment] = msgspec.field(default_factory=list)  # whose set has another behind it
    broken: list[model.Enrolment] = msgspec.field(default_factory=list)  # that have no address
    failed: dict[str, Rejection] = msgspec.field(default_factory=dict)  # why they are to be tried again
    unaddressed: list[str] = msgspec.field(default_factory=list)  # those whose address has to be looked for first


class Steps:
    """
    :param identities: opens the identity store at a URL, which says the address of those whose enrolments do not.
    :param base: what addresses of files begin with; None: as where they were uploaded.
    """

    def __init__(
        self,
        driver: base.Driver,
        sequences: sequences.Sequences,
        queues: queues.Queues,
        messages: messages_service.Messages,
        schedules: schedules.Schedules,
        figures: figures_service.Figures,
        user_messages: user_messages_service.UserMessages,
        captures: captures_service.Captures,
        rules: project_rules.ProjectRules,
        identities: collections.abc.Callable[[str], identities.Identities],
        base: str | None,
        clock: collections.abc.Callable[[], float],
    ):
        self._store = driver.messages
        self._sequences = sequences
        self._queues = queues
        self._messages = messages
        self._schedules = schedules
        self._figures = figures
        self._user_messages = user_messages
        self._captures = captures
        self._rules = rules
        self._identities = identities
        self._base = base
        self._clock = clock

    def start(self) -> int:
        """Start the schedules that are due; return how many."""
        return self._schedules.start_due(self._clock())

    def do_range(self) -> int:
        """Send to the next enrolments of a schedule that runs; 0: none does."""
        return self._do(sequences.RANGES, 1, self._do_range)

    def do_tasks(self) -> int:
        """Send to single enrolments whose addresses are known, and put the others aside; return how many there were."""
        return self._do(sequences.TASKS, TASKS, self._do_task)

    def look_up(self, number: int) -> int:
        """Look for the address of one of those who were put aside in a queue of LOOK_UPS, and send to it; 0: of none.

        May take as long as an identity store takes to answer, or not to.
        """
        return self._do(sequences.LOOK_UPS[number], 1, self._do_look_up)

    # Internal messages

    def _do(self, key, limit, action):
        """Claim some messages and call `action` with each; return how many there were."""
        now = self._clock()
        claim = messages.Claim(messages.new_id(), _CLAIM_TTL, now + _CLAIM_TTL)

        def take(queue):
            # To look costs nothing, and mostly there is nothing.
            if not self._store.select(queue, store.Selection(limit=1), now).messages:
                return queue, []
            return queue, self._store.claim(queue, claim, limit, now, keep_until=0).messages

        queue, claimed = self._queues.use(key, take, missing=lambda: (None, []))
        waiting = [message.position for message in claimed]
        try:
            for message in claimed:
                waiting.remove(message.position)
                try:
                    is_done = action(queue, claim, message)
                except msgspec.DecodeError:
                    _LOG.error('Message %d of %s cannot be read and is dropped.', message.position, key.name)
                    is_done = True
                if is_done:
                    self._store.delete(queue, (message.position,), self._clock(), claim_ids=(claim.id,))
        finally:
            if waiting:
                # Whatever it was, it may be about this one alone, and would be met again by whoever claims them all.
                with contextlib.suppress(storage_errors.StorageError):
                    self._store.renew(queue, claim.id, (messages.Change(tuple(waiting)),), self._clock())
        return len(claimed)

    def _do_range(self, queue, claim, message):
        wanted = _RANGE.decode(message.body)
        where = (
            records.Condition('schedule', '=', wanted.schedule),
            records.Condition('active', '=', True),
            records.Condition('completed', '=', False),
            records.Condition('process_status', '=', model.READY),
            records.Condition('id', '>', wanted.after),
        )
        found = self._sequences.enrolments.find(where, limit=RANGE)
        tasks = {one.id: model.task_of(one, wanted) for one in found}
        batch = self._send(wanted.project, tasks, found)
        now = self._clock()
        if batch.unaddressed:
            self._put_aside(wanted.project, {tasks[id].id: tasks[id] for id in batch.unaddressed}, now)
        if batch.failed:
            named = {tasks[id].id: tasks[id] for id in batch.failed}
            schedules.put(self._store, self._queues, sequences.TASKS, named, now, now + _FIRST_WAIT)
        if len(found) == RANGE:
            rest = msgspec.structs.replace(wanted, after=found[-1].id)
            named = {f'{rest.schedule}:{rest.run_at}:{rest.after}': rest}
            schedules.put(self._store, self._queues, sequences.RANGES, named, now)
        return True

    def _do_task(self, queue, claim, message, looks_up=False):
        task = _TASK.decode(message.body)
        found = self._sequences.enrolments.find_one(task.project, task.enrolment)
        if found is None:
            return True
        tries = msgspec.json.decode(message.state, type=Tries).count if message.state else 0
        if tries == _RETRIES and (failure := self._find_failure(task)):
            # Somebody gave it up and was cut off. It was said that it was not sent, and so it is not.
            self._tell_of(failure)
            return True
        batch = self._send(task.project, {found.id: task}, [found], attempt=tries + 1 if looks_up else None)
        if batch.unaddressed:
            # Under a name of its own: the same task may come again when it has failed for long.
            self._put_aside(task.project, {f'{task.id}:{message.position}': task}, self._clock())
        if not batch.failed:
            return True
        now = self._clock()
        if tries == _RETRIES:
            self._give_up(task, batch.failed[found.id], now)
            return True
        wait = retry.jitter(min(_FIRST_WAIT * 2**tries, _LONGEST_WAIT), _LONGEST_WAIT)
        state = msgspec.json.encode(Tries(tries + 1))
        change = messages.Change((message.position,), available_at=now + wait, state=state)
        self._store.renew(queue, claim.id, (change,), now)
        return False

    def _do_look_up(self, queue, claim, message):
        return self._do_task(queue, claim, message, looks_up=True)

    def _put_aside(self, project, named, now):
        """Let the addresses of recipients be looked for, where nobody waits for it but others of a few projects."""
        schedules.put(self._store, self._queues, sequences.look_ups_of(project), named, now)

    def _give_up(self, task, rejection, now):
        failures = self._sequences.failures
        failure = model.Failure(
            id=self._sequences.new_id(failures),
            project=task.project,
            enrolment=task.enrolment,
            task_id=task.id,
            initiated_at=now,
            reason=rejection.reason,
            detail=rejection.detail,
            resend=task.resend,
        )
        if failures.insert(failure) is not None:
            self._tell_of(failure)

    def _find_failure(self, task):
        found = self._sequences.failures.find((records.Condition('task_id', '=', task.id),))
        return found[0] if found else None

    def _tell_of(self, failure):
        id_from = f'{failure.task_id}:{failure.id}'
        self._tell(failure.project, failure.enrolment, failure.detail, id_from, failure.initiated_at)

    def _tell(self, project, enrolment_id, detail, id_from, now):
        """Let the project read why somebody was sent nothing."""
        self._user_messages.write(
            project, user_messages.STEP, detail, user_messages.ENROLMENT, enrolment_id, None, now, id_from
        )

    # Sending

    def _send(self, project, tasks, found, attempt=None):
        """Send each of the enrolments what its task asks for.

        :param tasks: by the ids of the enrolments.
        :param attempt: which one it is; None: addresses are not looked for.
        :returns: the batch; what failed is not sent, and is as before.
        """
        total = Batch()
        for _ in range(_ATTEMPTS):
            batch = self._prepare(project, tasks, found, attempt)
            try:
                stale = self._store_batch(project, batch)
            except tuple(_DETAILS) as error:
                rejection = Rejection(str(error), _DETAILS[type(error)])
                batch.failed |= dict.fromkeys(batch.changed.keys() | batch.bodies.keys(), rejection)
                stale = []
            total.failed |= batch.failed
            total.unaddressed += batch.unaddressed
            if not stale:
                return total
            found = [*self._sequences.enrolments.find_by_ids(stale).values()]
        raise storage_errors.Unavailable('Subscriptions kept being changed by others.')

    def _prepare(self, project, tasks, found, attempt):
        batch = Batch()
        ready = [one for one in found if one.is_ready and not model.is_handled(one, tasks[one.id])]
        sets = self._sequences.message_sets.find_by_ids(one.messageset for one in ready)
        self._clear_away([one for one in ready if one.messageset not in sets])
        library = _Library(self._sequences)
        identity_url = self._rules.find(project).identity_url
        now = self._clock()
        for enrolment in ready:
            task = tasks[enrolment.id]
            if enrolment.messageset not in sets:
                continue
            place = library.locate(enrolment, task.resend)
            if place is None:
                _LOG.warning(
                    'Message set %d has nothing in "%s" for subscription %s.',
                    enrolment.messageset,
                    enrolment.lang,
                    enrolment.id,
                )
                continue
            after = enrolment if task.resend else model.handle(model.advance(enrolment, place, now), task, now)
            if place.number is not None:
                address = model.address(enrolment)
                if address is None and identity_url is None:
                    address = enrolment.identity
                elif address is None and attempt is None:
                    batch.unaddressed.append(enrolment.id)
                    continue
                elif address is None:
                    looked = self._look_up(identity_url, enrolment, task, attempt)
                    if looked.error is not None:
                        batch.failed[enrolment.id] = Rejection(looked.reason, looked.error)
                        continue
                    address = looked.address
                if address is None:
                    batch.broken.append(enrolment)
                    batch.changed[enrolment.id] = msgspec.structs.replace(
                        enrolment, process_status=model.NO_ADDRESS, updated_at=now
                    )
                    continue
                message = library.message(enrolment, place.number)
                batch.keys[enrolment.id] = model.key(enrolment, place.number, task)
                batch.bodies[enrolment.id] = model.build_outbound(
                    enrolment,
                    sets[enrolment.messageset],
                    message,
                    to=address,
                    file=library.address(message, self._base),
                    resend=task.resend,
                )
            if after.completed and sets[enrolment.messageset].next_set is not None:
                batch.completed.append(enrolment)
            if not task.resend:
                batch.changed[enrolment.id] = after
        return batch

    def _look_up(self, identity_url, enrolment, task, attempt):
        now = self._clock()
        looked = self._identities(identity_url).find(enrolment.identity, now)
        if looked.exchange is not None:
            captured = captures_service.Captured(task.id, enrolment.id, attempt, looked.exchange, looked.error)
            self._captures.capture(enrolment.project, self._outbound(enrolment.project), [captured], now)
        return looked

    def _store_batch(self, project, batch):
        """Store it; return the ids of those enrolments that others changed meanwhile."""
        now = self._clock()
        if batch.bodies:
            key = queues_model.check_key(queues_model.PROJECT, project, self._outbound(project))
            self._messages.put(key, [*batch.bodies.values()], now, keys=[*batch.keys.values()])
        self._enrol_next(project, batch.completed, now)
        # Before they stop: whoever is cut off in between tells it again, under the same name.
        for one in batch.broken:
            self._tell(project, one.id, 'no_address', f'{one.id}:{one.updated_at}', now)
        replaced = self._sequences.enrolments.replace_all([*batch.changed.values()])
        stale = [
            id for id, answer in zip(batch.changed, replaced, strict=True) if isinstance(answer, storage_errors.Stale)
        ]
        self._figures.count_errored(project, len(batch.broken))
        return stale

    def _outbound(self, project):
        return self._rules.find(project).outbound_queue

    def _enrol_next(self, project, completed, now):
        """Enrol those who have completed their set in the next one."""
        if not completed:
            return
        sets = self._sequences.message_sets
        of = sets.find_by_ids(one.messageset for one in completed)
        follow = sets.find_by_ids(one.next_set for one in of.values())
        successors = [
            model.succeed(one, follow[of[one.messageset].next_set], now)
            for one in completed
            if one.messageset in of and of[one.messageset].next_set in follow
        ]
        if successors:
            inserted = self._sequences.enrolments.insert_all(successors)
            self._check_free(follow, inserted, now)
            self._figures.count_created(project, sum(one is not None for one in inserted))

    def _check_free(self, followed, inserted, now):
        """Return if the sets may be used that somebody was just enrolled in.

        :raises Unavailable: one is on its way out. Nobody is enrolled then: a minute later it is gone, or it stays.
        """
        found = self._sequences.message_sets.find_by_ids(followed)
        if all(id in found and found[id].deleting_until <= now for id in followed):
            return
        ids = tuple(one.id for one in inserted if one is not None)
        if ids:
            self._sequences.enrolments.drop((records.Condition('id', 'in', ids),))
        raise storage_errors.Unavailable('A message set that subscriptions go on with is being deleted.')

    def _clear_away(self, stranded):
        """Drop enrolments in sets that are gone.

        A set stays as long as anybody is seen in it. Who was put into it while it was being deleted, by somebody who
        was cut off before he looked again, was not meant to stay. That cannot be told of one that was changed since.
        """
        for one in stranded:
            untouched = records.Condition('updated_at', '=', one.created_at)
            self._sequences.enrolments.drop((records.Condition('id', '=', one.id), untouched))


class _Library:
    """The messages that some enrolments need, each read once."""

    def __init__(self, sequences):
        self._sequences = sequences
        self._places = {}
        self._messages = {}
        self._files = {}

    def locate(self, enrolment, resend) -> model.Place | None:
        """Where the enrolment is, or with `resend` was; None where there is nothing in its language."""
        wanted = enrolment.messageset, enrolment.lang, enrolment.next_sequence_number, resend
        if wanted not in self._places:
            self._places[wanted] = self._locate(*wanted)
        return self._places[wanted]

    def message(self, enrolment, number) -> model.SetMessage:
        return self._messages[enrolment.messageset, enrolment.lang, number]

    def address(self, message, base) -> str | None:
        """The address of the message's file, if it has one."""
        if message.binary_content is None:
            return None
        id = message.binary_content
        if id not in self._files:
            self._files |= {id: None} | self._sequences.files.find_by_ids([id])
        found = self._files[id]
        return None if found is None else (base or found.base) + found.path

    def _locate(self, messageset, lang, number, resend):
        if resend:
            before = self._find(messageset, lang, '<', number, descends=True, limit=1)
            if before:
                return model.Place(before[0], None)
        found = self._find(messageset, lang, '>=', number, descends=False, limit=2)
        if not found and (resend or not self._find(messageset, lang, '<', number, descends=True, limit=1)):
            return None
        return model.locate(number, found)

    def _find(self, messageset, lang, op, number, *, descends, limit):
        where = (
            records.Condition('messageset', '=', messageset),
            records.Condition('lang', '=', lang),
            records.Condition('sequence_number', op, number),
        )
        found = self._sequences.messages.find(where, (('sequence_number', descends),), limit)
        self._messages |= {(messageset, lang, one.sequence_number): one for one in found}
        return [one.sequence_number for one in found]
