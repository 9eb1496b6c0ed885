"""What projects keep in tables of their own: structs whose fields are those of the records."""

import collections.abc
import typing

import msgspec

from queueservice.model import errors
from queueservice.storage import base, records
from queueservice.storage import errors as storage_errors

#: How often a change is tried again when a record changes under its hands.
_ATTEMPTS = 20
#: How many records are counted, and looked at by one search for what no index serves.
MOST = 100_000
#: Seconds for which nothing may begin to use what is being deleted. Whoever deletes it is done long before.
_DELETING = 30
_BATCH = 500

Value = typing.TypeVar('Value')
Where = collections.abc.Sequence[records.Condition]
Order = collections.abc.Sequence[tuple[str, bool]]


class Page(typing.NamedTuple):
    count: int  # of all that match, MOST at the most
    values: list
    more: bool  # whether there are any behind these


class Rows(typing.Generic[Value]):
    """
    :param name: what one of them is called in errors.
    """

    def __init__(self, driver: base.Driver, table: records.Table, kind: type[Value], name: str):
        self._records = driver.records
        self.table = table
        self._kind = kind
        self._fields = tuple(field for field in kind.__struct_fields__ if field != 'revision')
        self._extra = [field for field in table.fields if field not in self._fields]
        self._name = name

    def find(
        self, where: Where = (), order: Order = (), limit: int = 1, offset: int = 0, after: tuple | None = None
    ) -> list[Value]:
        """As `RecordStore.find`."""
        query = records.Query(tuple(where), tuple(order), after, offset, limit, self._fields)
        return [self._kind(**record) for record in self._records.find(self.table, query).records]

    def find_one(self, project: str, id) -> Value | None:
        found = self.find(self._is(project, id))
        return found[0] if found else None

    def get(self, project: str, id) -> Value:
        """
        :raises NotFound: the project has none of this id.
        """
        found = self.find_one(project, id)
        if found is None:
            raise errors.NotFound(description='Not found.')
        return found

    def find_by_ids(self, ids: collections.abc.Iterable) -> dict:
        """Those that there are, by id."""
        ids = tuple(set(ids) - {None})
        if not ids:
            return {}
        return {one.id: one for one in self.find((records.Condition('id', 'in', ids),), limit=len(ids))}

    def page(self, where: Where, order: Order, offset: int, limit: int) -> Page:
        found = self.find(where, order, limit + 1, offset)
        return Page(self.count(where), found[:limit], len(found) > limit)

    def count(self, where: Where) -> int:
        return self._records.count(self.table, tuple(where), MOST)

    def insert(self, value: Value, **extra) -> Value | None:
        """Store it; None if a unique set of it is taken."""
        return self.insert_all([value], **extra)[0]

    def insert_all(self, values: collections.abc.Sequence[Value], **extra) -> list[Value | None]:
        inserted = self._records.insert(self.table, [self._pack(value) | extra for value in values])
        return [None if isinstance(one, storage_errors.Duplicate) else self._unpack(one) for one in inserted]

    def replace_all(self, values: collections.abc.Sequence[Value]) -> list:
        """As `RecordStore.replace`, for a table that has no more fields than the struct."""
        replaced = self._records.replace(self.table, [self._pack(value) for value in values])
        return [self._unpack(one) if isinstance(one, dict) else one for one in replaced]

    def change(
        self, project: str, id, change: collections.abc.Callable[[Value], Value], **extra
    ) -> Value | storage_errors.Duplicate:
        """Store what `change` makes of it; it may be called again where others change it at the same time.

        :returns: what is stored; or `Duplicate` if a unique set is taken.
        :raises NotFound: there is none.
        """
        for _ in range(_ATTEMPTS):
            query = records.Query(where=self._is(project, id), limit=1)
            if extra or not self._extra:
                query = msgspec.structs.replace(query, fields=self._fields)
            found = self._records.find(self.table, query).records
            if not found:
                raise errors.NotFound(description='Not found.')
            changed = self._pack(change(self._unpack(found[0])))
            (replaced,) = self._records.replace(self.table, [found[0] | changed | extra])
            if isinstance(replaced, dict):
                return self._unpack(replaced)
            if isinstance(replaced, storage_errors.Duplicate):
                return replaced
        raise storage_errors.Unavailable(f'The {self._name} {id} kept being changed by others.')

    def drop(self, where: Where) -> None:
        """Delete all that match, in steps."""
        while self._records.delete(self.table, tuple(where), limit=_BATCH) == _BATCH:
            pass

    # What others refer to

    def is_free(self, project: str, id: int, now: float) -> bool:
        """Whether it is there and may be referred to."""
        found = self.find_one(project, id)
        return found is not None and found.deleting_until <= now

    def delete(
        self,
        project: str,
        id: int,
        clock: collections.abc.Callable[[], float],
        find_user: collections.abc.Callable[[], str | None] = lambda: None,
        clear: collections.abc.Callable[[], None] = lambda: None,
    ) -> None:
        """Delete what others may refer to.

        First it is marked, so that nobody begins to refer to it: whoever does looks again afterwards (`is_free`). So
        either those are seen here who refer to it, or they see the mark.

        :param find_user: says who needs it; None: nobody.
        :param clear: takes away what goes with it.
        :raises InUse: somebody needs it, and it stays.
        :raises NotFound: there is none.
        If interrupted: it stays, and may be referred to again half a minute later.
        """
        marked = self._mark(project, id, clock() + _DELETING)
        user = find_user()
        if user is None:
            clear()
            gone = (*self._is(project, id), records.Condition('deleting_until', '>', clock()))
            if self._records.delete(self.table, gone, limit=1):
                return
        else:
            self._mark(project, id, 0)
            raise errors.InUse(what=f'The {self._name} {id}', by=user)
        raise storage_errors.Unavailable(f'The {self._name} {marked.id} was not deleted in time.')

    def _mark(self, project, id, until):
        return self.change(project, id, lambda value: msgspec.structs.replace(value, deleting_until=until))

    # Inside

    def _is(self, project, id):
        return records.Condition('id', '=', id), records.Condition('project', '=', project)

    def _pack(self, value):
        return msgspec.structs.asdict(value)

    def _unpack(self, record):
        return self._kind(**{field: record[field] for field in (*self._fields, 'revision')})
