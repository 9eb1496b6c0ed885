"""What a project has of its own, of values that the operator sets for all: one record a project that has any."""

import collections.abc
import typing

import msgspec

from queueservice.model import queues
from queueservice.storage import base, records
from queueservice.storage import errors as storage_errors

#: How often it is tried again when they change under somebody's hands.
_ATTEMPTS = 20

Values = typing.TypeVar('Values', bound=msgspec.Struct)


class Overrides(typing.Generic[Values]):
    """
    :param table: whose records have, beside namespace and project, one field: JSON of what differs from `defaults`.
    :param names: which of the fields of `defaults` a project may have of its own.
    """

    def __init__(
        self, driver: base.Driver, table: records.Table, defaults: Values, names: collections.abc.Collection[str]
    ):
        self._records = driver.records
        self._table = table
        (self._field,) = table.fields.keys() - {'namespace', 'project'}
        self._defaults = defaults
        self._names = names

    def are_any(self) -> bool:
        """Whether any project has anything of its own."""
        return self._records.count(self._table, (), 1) > 0

    def get(self, project: str) -> Values:
        """What holds for a project, as it is stored now."""
        return self._merge(self._read(self._find(project)))

    def change(self, project: str, changes: collections.abc.Mapping[str, typing.Any]) -> Values:
        """Set values of one project, or back to the default where None is given; return what holds then."""
        for _ in range(_ATTEMPTS):
            found = self._find(project)
            merged = self._read(found) | changes
            own = {name: value for name, value in merged.items() if value is not None}
            if self._store(project, found, own):
                return self._merge(own)
        raise storage_errors.Unavailable(f'The {self._table.name} of project {project} kept being changed by others.')

    def _merge(self, own):
        return msgspec.structs.replace(self._defaults, **own)

    def _find(self, project):
        found = self._records.find(self._table, records.Query(where=_is(project), limit=1)).records
        return found[0] if found else None

    def _read(self, found):
        # A later release may know more of them than this one.
        stored = msgspec.json.decode(found[self._field]) if found else {}
        return {name: stored[name] for name in stored if name in self._names}

    def _store(self, project, found, own):
        """Whether `own` is stored now over what was `found`."""
        if not own:
            if found is None:
                return True
            revision = records.Condition('revision', '=', found['revision'])
            return self._records.delete(self._table, (*_is(project), revision), limit=1) == 1
        record = {'namespace': queues.PROJECT, 'project': project, self._field: msgspec.json.encode(own)}
        if found is None:
            (stored,) = self._records.insert(self._table, [record])
        else:
            (stored,) = self._records.replace(self._table, [found | record])
        return not isinstance(stored, storage_errors.Duplicate | storage_errors.Stale)


def _is(project):
    return (
        records.Condition('namespace', '=', queues.PROJECT),
        records.Condition('project', '=', project),
    )
