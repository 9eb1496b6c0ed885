"""What could not be sent although it was tried for long: shown, and sent again."""

import collections.abc

from queueservice.model import sequences as model
from queueservice.services import queues, rows, schedules, sequences
from queueservice.storage import base, records

_BATCH = 500


class Failures:
    def __init__(
        self,
        driver: base.Driver,
        sequences: sequences.Sequences,
        queues: queues.Queues,
        clock: collections.abc.Callable[[], float],
    ):
        self._store = driver.messages
        self._rows = sequences.failures
        self._queues = queues
        self._clock = clock

    def page(self, project: str, *, offset: int, limit: int) -> rows.Page:
        """Failures, the latest first."""
        return self._rows.page((records.Condition('project', '=', project),), (('id', True),), offset, limit)

    def get(self, project: str, id: int) -> model.Failure:
        return self._rows.get(project, id)

    def retry(self, project: str) -> None:
        """Let everything be sent that could not be; it is no failure any more.

        If interrupted: what remains can be sent again, and nothing is sent twice.
        """
        is_own = records.Condition('project', '=', project)
        while found := self._rows.find((is_own,), (('id', False),), _BATCH):
            tasks = {
                f'{one.task_id}:{one.id}': model.Task(one.task_id, project, one.enrolment, one.resend) for one in found
            }
            schedules.put(self._store, self._queues, sequences.TASKS, tasks, self._clock())
            self._rows.drop((records.Condition('id', 'in', tuple(one.id for one in found)),))
