"""Figures about enrolments, posted to a queue of the project from which whoever keeps them is told."""

import collections.abc
import logging

import msgspec

from queueservice.model import errors
from queueservice.model import queues as queues_model
from queueservice.model import sequences as model
from queueservice.services import messages, sequences
from queueservice.storage import records

_LOG = logging.getLogger(__name__)

CREATED = 'subscriptions.created.sum'
ERRORED = 'subscriptions.send_next_message_errored.sum'
ACTIVE = 'subscriptions.active.last'
TOTAL = 'subscriptions.created.last'
BROKEN = 'subscriptions.broken.last'
COMPLETED = 'subscriptions.completed.last'

_MOST_SETS = 1000
_BATCH = 100


class Figures:
    """
    :param queue: the name of the queue; empty: nothing is posted.
    """

    def __init__(
        self,
        sequences: sequences.Sequences,
        messages: messages.Messages,
        queue: str,
        clock: collections.abc.Callable[[], float],
    ):
        self._sequences = sequences
        self._messages = messages
        self._queue = queue
        self._clock = clock

    def names(self, project: str) -> list[str]:
        """What there are figures about."""
        return [CREATED, ERRORED, *self._conditions(project)]

    def fire(self, project: str) -> None:
        """Count, and post what was counted.

        :raises QuotaExceeded: the project may not keep so many messages.
        """
        is_own = records.Condition('project', '=', project)
        found = {
            name: self._sequences.enrolments.count((is_own, *where))
            for name, where in self._conditions(project).items()
        }
        if self._queue:
            bodies = [msgspec.json.encode({name: value}) for name, value in found.items()]
            for start in range(0, len(bodies), _BATCH):
                self._messages.put(self._key(project), bodies[start : start + _BATCH], self._clock())

    def count_created(self, project: str, count: int) -> None:
        """Post that there are so many enrolments more, if anybody wants to know."""
        self._count(project, CREATED, count)

    def count_errored(self, project: str, count: int) -> None:
        """Post that so many recipients have no address, if anybody wants to know."""
        self._count(project, ERRORED, count)

    def _count(self, project, name, count):
        if not self._queue or not count:
            return
        body = msgspec.json.encode({name: count})
        try:
            self._messages.put(self._key(project), [body], self._clock(), create=False)
        except errors.ServiceError as error:
            # What it is about is done, whether it is counted or not.
            _LOG.warning('%s is not counted for project %s: %s', name, project, error)

    def _conditions(self, project):
        active = records.Condition('active', '=', True)
        is_own = (records.Condition('project', '=', project),)
        sets = self._sequences.message_sets.find(is_own, (('id', False),), _MOST_SETS)
        return {
            ACTIVE: (active,),
            TOTAL: (),
            BROKEN: (records.Condition('process_status', '=', model.NO_ADDRESS),),
            COMPLETED: (records.Condition('completed', '=', True),),
            **{
                f'subscriptions.{one.short_name}.active.last': (
                    active,
                    records.Condition('messageset', '=', one.id),
                )
                for one in sets
            },
        }

    def _key(self, project):
        return queues_model.check_key(queues_model.PROJECT, project, self._queue)
