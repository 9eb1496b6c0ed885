"""Projects: which there are, and what they keep in the store."""

import collections.abc

import msgspec

from queueservice.model import limits as limits_module
from queueservice.model import queues
from queueservice.services import quotas as quotas_service
from queueservice.storage import base, messages, records, tables


class Projects:
    def __init__(
        self,
        driver: base.Driver,
        limits: limits_module.Limits,
        quotas: quotas_service.Quotas,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._messages = driver.messages
        self._limits = limits
        self._quotas = quotas
        self._clock = clock

    def usage(self, namespace: str, project: str) -> messages.Usage:
        """What the project keeps: queues, messages by state, bytes. Zeros for one that never was."""
        return self._messages.usage(namespace, project, self._clock())

    def page(self, *, marker: str | None = None, limit: int | None = None) -> list[str]:
        """List the ids of projects that ever had a queue, in their order, behind `marker`."""
        limit = self._limits.check_queue_page(limit)
        where = [records.Condition('namespace', '=', queues.PROJECT)]
        if marker:
            where.append(records.Condition('project', '>', marker))
        query = records.Query(where=tuple(where), order=(('project', False),), limit=limit)
        return [record['project'] for record in self._records.find(tables.PROJECTS, query).records]

    def limits(self, project: str) -> dict[str, int]:
        """The bounds that hold for a project, by option name: of a request, and of what it may use (0: no limit)."""
        of_requests = {
            name: value
            for name, value in msgspec.structs.asdict(self._limits).items()
            if name.startswith('max_') and type(value) is int
        }
        return of_requests | msgspec.structs.asdict(self._quotas.get(project))
