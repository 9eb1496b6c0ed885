"""What sequences consist of, and how its parts hold together: nothing goes that another part refers to."""

import collections.abc
import typing
import zlib

import msgspec

from queueservice.model import errors, schedules, sequences
from queueservice.model import queues as queues_model
from queueservice.services import counters, rows
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: Internal queues: `sequences.Range`s, and `sequences.Task`s.
RANGES = queues_model.QueueKey(queues_model.INTERNAL, '', 'sequence-ranges')
TASKS = queues_model.QueueKey(queues_model.INTERNAL, '', 'sequence-tasks')
#: `sequences.Task`s whose recipients' addresses have to be looked for. Each project has one of them.
LOOK_UPS = tuple(
    queues_model.QueueKey(queues_model.INTERNAL, '', f'sequence-look-ups-{number}') for number in range(16)
)


class Rules(msgspec.Struct, frozen=True):
    """What the operator has said about sequences. Names are those of the options."""

    timezone: str = 'UTC'
    misfire: str = schedules.ONCE
    identity_url: str | None = None
    outbound_queue: str = 'outbound'
    metrics_queue: str = 'metrics'  # empty: metrics are posted nowhere
    max_file_size: int = 4 * 1024 * 1024  # bytes


class Sequences:
    def __init__(self, driver: base.Driver, clock: collections.abc.Callable[[], float]):
        self._counters = counters.Counters(driver)
        self._clock = clock
        self.schedules = rows.Rows(driver, tables.SCHEDULES, schedules.Schedule, 'schedule')
        self.message_sets = rows.Rows(driver, tables.MESSAGE_SETS, sequences.MessageSet, 'message set')
        self.messages = rows.Rows(driver, tables.SET_MESSAGES, sequences.SetMessage, 'message')
        self.files = rows.Rows(driver, tables.FILES, sequences.File, 'file')
        self.enrolments = rows.Rows(driver, tables.ENROLMENTS, sequences.Enrolment, 'subscription')
        self.failures = rows.Rows(driver, tables.FAILURES, sequences.Failure, 'failed task')
        #: Fields that refer to something -> to what.
        self._referred = {
            'schedule': self.schedules,
            'default_schedule': self.schedules,
            'messageset': self.message_sets,
            'next_set': self.message_sets,
            'binary_content': self.files,
        }

    def new_id(self, of: rows.Rows) -> int:
        return self._counters.next(of.table.name)

    def check(self, project: str, fields: collections.abc.Mapping[str, typing.Any]) -> None:
        """Return if everything that the fields refer to is there.

        :raises FieldsInvalid: naming those that refer to nothing.
        """
        now = self._clock()
        problems = {}
        for field in self._referred.keys() & fields.keys():
            id = fields[field]
            if id is not None and not self._referred[field].is_free(project, id, now):
                problems[field] = [f'Invalid pk "{id}" - object does not exist.']
        if problems:
            raise errors.FieldsInvalid(problems=problems)

    def insert(self, of: rows.Rows, value, **extra):
        """Store something new; None if a unique set of it is taken.

        :raises FieldsInvalid: it refers to nothing.
        """
        fields = msgspec.structs.asdict(value)
        self.check(value.project, fields)
        inserted = of.insert(value, **extra)
        if inserted is not None:
            try:
                # What it refers to may have been on its way out.
                self.check(value.project, fields)
            except errors.FieldsInvalid:
                of.drop((records.Condition('id', '=', value.id),))
                raise
        return inserted

    def change(
        self,
        of: rows.Rows,
        project: str,
        id,
        fields: collections.abc.Mapping[str, typing.Any],
        finish: collections.abc.Callable = lambda before, after: after,
    ):
        """Set fields of something; None if a unique set is taken.

        :param finish: is given what it was and what it would be, and returns what is stored, or raises.
        :raises FieldsInvalid: a field refers to nothing; what it is changed in is as before.
        :raises NotFound: there is none.
        """
        before = of.get(project, id)
        self.check(project, fields)
        changed = of.change(project, id, lambda value: finish(value, msgspec.structs.replace(value, **fields)))
        if isinstance(changed, storage_errors.Duplicate):
            return None
        try:
            self.check(project, fields)
        except errors.FieldsInvalid:
            restored = {field: getattr(before, field) for field in self._referred.keys() & fields.keys()}
            of.change(project, id, lambda value: msgspec.structs.replace(value, **restored))
            raise
        return changed


def look_ups_of(project: str) -> queues_model.QueueKey:
    """Where those of a project wait whose addresses have to be looked for."""
    return LOOK_UPS[zlib.crc32(project.encode()) % len(LOOK_UPS)]
