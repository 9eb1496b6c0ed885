"""Enrolments, which the API calls subscriptions: made, found, changed, and asked to go on."""

import collections.abc
import itertools
import math

import msgspec

from queueservice.model import sequences as model
from queueservice.services import figures, queues, rows, schedules, sequences
from queueservice.storage import base, records

#: Newest first, as an index lies backwards.
_ORDER = (('created_at', True), ('id', True))
_BATCH = 500
_MOST_SETS = 10_000
_MICROSECOND = 1e-6
#: In the place of metadata that may be null.
_ANY = object()

_DEFAULTS = {
    'version': 1,
    'next_sequence_number': 1,
    'initial_sequence_number': 1,
    'active': True,
    'completed': False,
    'process_status': model.READY,
    'metadata': None,
}


class Enrolments:
    def __init__(
        self,
        driver: base.Driver,
        sequences: sequences.Sequences,
        queues: queues.Queues,
        figures: figures.Figures,
        clock: collections.abc.Callable[[], float],
    ):
        self._store = driver.messages
        self._sequences = sequences
        self._rows = sequences.enrolments
        self._queues = queues
        self._figures = figures
        self._clock = clock

    def page(self, project: str, filters: dict, *, offset: int, limit: int) -> rows.Page:
        """Enrolments, the newest first.

        :param filters: values of fields; times (s, UTC) are compared as they are shown, to the microsecond, and
            `metadata` (JSON) by value. And `created_after`, `created_before`, `metadata_has_key`,
            `metadata_not_has_key`, and `messageset_contains`, a part of the short name of the set. The last two of
            metadata look through what is left by the others, `rows.MOST` of them at the most.
        :raises FieldsInvalid: they name a set or a schedule that is not there.
        """
        filters = dict(filters)
        self._sequences.check(project, filters)
        wanted = filters.pop('metadata', _ANY)
        lacking = filters.pop('metadata_not_has_key', None)
        where = [records.Condition('project', '=', project)]
        if 'messageset_contains' in filters:
            part = filters.pop('messageset_contains')
            named = (where[0], records.Condition('short_name', 'contains', part))
            found = self._sequences.message_sets.find(named, limit=_MOST_SETS)
            where.append(records.Condition('messageset', 'in', tuple(one.id for one in found)))
        if 'metadata_has_key' in filters:
            where.append(records.Condition('metadata_keys', 'has', filters.pop('metadata_has_key')))
        if 'created_after' in filters:
            where.append(records.Condition('created_at', '>=', filters.pop('created_after')))
        if 'created_before' in filters:
            # This instant counts, too. Stand-ins of MongoDB have been seen to miss it by "<=".
            behind = math.nextafter(filters.pop('created_before'), math.inf)
            where.append(records.Condition('created_at', '<', behind))
        for name in ('created_at', 'updated_at'):
            if name in filters:
                at = filters.pop(name)
                where.append(records.Condition(name, '>=', at - _MICROSECOND / 2))
                where.append(records.Condition(name, '<', at + _MICROSECOND / 2))
        where += [records.Condition(name, '=', value) for name, value in filters.items()]
        if wanted is not _ANY:
            where += [records.Condition('metadata_keys', 'has', name) for name in model.names(wanted)]
            wanted = model.normalize(wanted)
        elif lacking is None:
            return self._rows.page(where, _ORDER, offset, limit)
        count, found = 0, []
        for one in itertools.islice(self._walk(where), rows.MOST):
            if lacking in one.metadata_keys or (wanted is not _ANY and wanted != model.normalize(one.metadata)):
                continue
            if offset <= count < offset + limit:
                found.append(one)
            count += 1
        return rows.Page(count, found, count > offset + limit)

    def get(self, project: str, id: str) -> model.Enrolment:
        return self._rows.get(project, id)

    def sets_of(self, enrolments: collections.abc.Iterable[model.Enrolment]) -> dict[int, model.MessageSet]:
        """The sets that they are in, by id."""
        return self._sequences.message_sets.find_by_ids(one.messageset for one in enrolments)

    def create(self, project: str, fields: dict) -> model.Enrolment:
        """
        :raises FieldsInvalid: it refers to nothing.
        """
        now = self._clock()
        made = model.Enrolment(
            id=model.new_id(),
            project=project,
            metadata_keys=[],
            created_at=now,
            updated_at=now,
            ticked_at=now,
            **_DEFAULTS | fields,
        )
        self._sequences.check(project, fields)
        # Before it is there: where this fails nothing was made.
        self._figures.count_created(project, 1)
        return self._sequences.insert(self._rows, model.index(made))

    def request(self, project: str, fields: dict) -> model.Enrolment:
        """As `create`, for those who do not know where it begins: it begins with what comes next."""
        fields = {'next_sequence_number': 1, **fields}
        if fields.get('metadata') is None:
            fields['metadata'] = b'{}'
        return self.create(project, fields | {'initial_sequence_number': fields['next_sequence_number']})

    def change(self, project: str, id: str, fields: dict) -> model.Enrolment:
        """Set fields; whoever sends at the same moment does so before or afterwards.

        A completed one that is not completed any more goes on with the message that was its last.

        :raises FieldsInvalid: it would refer to nothing.
        """
        fields = fields | {'updated_at': self._clock()}

        def finish(before, after):
            is_opened = before.completed and not after.completed
            if is_opened or after.next_sequence_number != before.next_sequence_number:
                after = msgspec.structs.replace(after, round=before.round + 1)
            return model.index(after)

        return self._sequences.change(self._rows, project, id, fields, finish)

    def delete(self, project: str, id: str) -> None:
        """Delete an enrolment, and what is kept of its failures."""
        self._rows.get(project, id)
        self._rows.drop((records.Condition('id', '=', id),))
        self._sequences.failures.drop((records.Condition('enrolment', '=', id),))

    # Sending

    def send(self, project: str, id: str, *, resend: bool = False) -> None:
        """Let a worker send the next message, or the last one again.

        :raises NotFound: there is no such enrolment.
        """
        self._rows.get(project, id)
        task = model.Task(model.new_id(), project, id, resend)
        schedules.put(self._store, self._queues, sequences.TASKS, {task.id: task}, self._clock())

    # Inside

    def _walk(self, where):
        """All that match, the newest first."""
        after = None
        while found := self._rows.find(where, _ORDER, _BATCH, after=after):
            yield from found
            after = found[-1].created_at, found[-1].id, found[-1].id
