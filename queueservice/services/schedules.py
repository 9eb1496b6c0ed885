"""Schedules: kept for projects, and started when they are due."""

import collections.abc
import itertools

import msgspec

from queueservice.model import messages
from queueservice.model import schedules as model
from queueservice.model import sequences as sequences_model
from queueservice.services import project_rules, queues, rows, sequences
from queueservice.storage import base, records

#: How many schedules are started at a time.
_BATCH = 100
#: Seconds that a preview looks ahead.
_HORIZON = 50 * 365 * 24 * 3600
#: Seconds for which it is remembered that a run was started.
_KEY_WINDOW = 24 * 3600
#: Seconds that internal messages live: what ends them is that they are done.
_LIFE = 10 * 365 * 24 * 3600


class Schedules:
    def __init__(
        self,
        driver: base.Driver,
        sequences: sequences.Sequences,
        queues: queues.Queues,
        rules: project_rules.ProjectRules,
        clock: collections.abc.Callable[[], float],
    ):
        self._store = driver.messages
        self._sequences = sequences
        self._rows = sequences.schedules
        self._queues = queues
        self._rules = rules
        self._clock = clock

    def page(self, project: str, *, offset: int, limit: int) -> rows.Page:
        """Schedules in the order of their ids."""
        return self._rows.page((records.Condition('project', '=', project),), (('id', False),), offset, limit)

    def get(self, project: str, id: int) -> model.Schedule:
        return self._rows.get(project, id)

    def create(self, project: str, fields: dict) -> model.Schedule:
        """
        :raises FieldsInvalid: cron does not understand it.
        """
        now = self._clock()
        schedule = model.Schedule(
            id=0, project=project, due_at=None, created_at=now, **dict.fromkeys(model.FIELDS, '*') | fields
        )
        model.check(schedule)
        due_at = self._next_run(schedule, now)
        return self._rows.insert(
            msgspec.structs.replace(schedule, id=self._sequences.new_id(self._rows), due_at=due_at)
        )

    def change(self, project: str, id: int, fields: dict) -> model.Schedule:
        """
        :raises FieldsInvalid: cron does not understand it.
        """

        def finish(before, after):
            model.check(after)
            if after.line == before.line:
                return after
            return msgspec.structs.replace(after, due_at=self._next_run(after, self._clock()))

        return self._sequences.change(self._rows, project, id, fields, finish)

    def delete(self, project: str, id: int) -> None:
        """
        :raises InUse: a message set or an enrolment needs it.
        """

        def find_user():
            for of, field, noun in (
                (self._sequences.message_sets, 'default_schedule', 'message set'),
                (self._sequences.enrolments, 'schedule', 'subscription'),
            ):
                used = of.find((records.Condition(field, '=', id),))
                if used:
                    return f'the {noun} {used[0].id}'
            return None

        self._rows.delete(project, id, self._clock, find_user)

    def preview(self, project: str, id: int, count: int) -> list[float]:
        """The next runs (s, UTC) within 50 years, `count` at the most."""
        now = self._clock()
        runs = model.runs(self.get(project, id), now, self._zone(project))
        # Some lines run once in a generation: nobody waits until a hundred of them are found.
        return list(itertools.islice(itertools.takewhile(lambda at: at < now + _HORIZON, runs), count))

    # For those who send

    def send(self, project: str, id: int) -> None:
        """Let a schedule run now, whatever it says."""
        schedule = self.get(project, id)
        self._start(schedule, self._clock(), self._clock())

    def start_due(self, now: float) -> int:
        """Start the schedules whose time has come; return how many.

        If interrupted: they are started again, which starts no run twice.
        """
        where = (records.Condition('due_at', '<=', now),)
        due = self._rows.find(where, (('due_at', False),), _BATCH)
        for schedule in due:
            run_at = model.last_run(schedule, now, self._zone(schedule.project))
            if self._rules.find(schedule.project).misfire == model.ONCE or now - run_at <= model.GRACE:
                self._start(schedule, run_at, now)
        later = [msgspec.structs.replace(schedule, due_at=self._next_run(schedule, now)) for schedule in due]
        # One that was changed at the same moment says itself when it is due.
        self._rows.replace_all(later)
        return len(due)

    def _zone(self, project):
        return model.read_zone(self._rules.find(project).timezone)

    def _next_run(self, schedule, after):
        return model.next_run(schedule, after, self._zone(schedule.project))

    def _start(self, schedule, run_at, now):
        first = sequences_model.Range(schedule.project, schedule.id, run_at)
        put(self._store, self._queues, sequences.RANGES, {f'{schedule.id}:{run_at}': first}, now)


def put(
    store,
    all_queues: queues.Queues,
    key,
    tasks: collections.abc.Mapping[str, sequences_model.Range | sequences_model.Task],
    now: float,
    available_at: float = 0,
) -> None:
    """Append to an internal queue what is to be done; what has the same key within a day is not appended again."""
    drafts = [
        messages.Draft(msgspec.json.encode(task), now + _LIFE, available_at, key=name, key_until=now + _KEY_WINDOW)
        for name, task in tasks.items()
    ]
    all_queues.use(key, lambda queue: store.append(queue, drafts, now), create=True)
