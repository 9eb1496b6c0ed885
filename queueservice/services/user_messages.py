"""User messages: written by the service, read and deleted by the project that they are for."""

import collections.abc

import msgspec

from queueservice.model import errors, user_messages
from queueservice.model import limits as limits_module
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

#: Seconds for which they are kept where the operator does not say.
DEFAULT_TTL = 30 * 24 * 3600

#: How many a project may have for being sorted otherwise than there is an index for.
MOST_SORTED = 10_000

#: What lists can be narrowed by.
FILTERS = ('resource_uuid', 'resource_type', 'event_id', 'request_id', 'message_level')
#: What lists can be sorted by.
ORDERS = ('id', 'created_at', 'expires_at', *FILTERS)

#: Filters by something else than this find nothing: nobody has to look.
_EVER = {'resource_type': user_messages.RESOURCE_TYPES, 'message_level': user_messages.LEVELS}

#: The orders, in one direction, of which a page costs the same however much is in front of it and behind.
_INDEXED = {index[1:] for index in tables.USER_MESSAGES.indexes}


class Failure(msgspec.Struct, frozen=True):
    """Something that has failed in the end."""

    action: str  # of model.user_messages.ACTIONS
    detail: str | None  # of model.user_messages.DETAILS; anything else becomes UNKNOWN
    resource_type: str
    resource_uuid: str
    request_id: str | None  # of the request that began it
    #: Names what failed, among all that ever fails in the project, such as the id of a delivery.
    id_from: str


class UserMessages:
    def __init__(
        self,
        driver: base.Driver,
        limits: limits_module.Limits,
        ttl: int,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._limits = limits
        self._ttl = ttl  # s
        self._clock = clock

    def write(
        self,
        project: str,
        action: str,
        detail: str | None,
        resource_type: str,
        resource_uuid: str,
        request_id: str | None,
        now: float,
        id_from: str,
    ) -> None:
        """As `write_all`, of one failure."""
        failure = Failure(action, detail, resource_type, resource_uuid, request_id, id_from)
        self.write_all(project, [failure], now)

    def write_all(self, project: str, failures: collections.abc.Sequence[Failure], now: float) -> None:
        """Tell `project` of failures: of each once, however often this is repeated.

        What the project has deleted is not told again under the same name, as long as it would have been kept.
        """
        rows = [
            {
                'id': user_messages.new_id(project, one.id_from),
                'project': project,
                'event_id': user_messages.event_id(one.action, one.detail, one.resource_type),
                'message_level': user_messages.ERROR,
                'resource_type': one.resource_type,
                'resource_uuid': one.resource_uuid,
                'request_id': one.request_id or None,
                'created_at': now,
                'expires_at': now + self._ttl,
            }
            for one in failures
        ]
        self._records.insert(tables.USER_MESSAGES, rows)  # a Duplicate was told before

    def get(self, project: str, message_id: str) -> user_messages.UserMessage:
        """
        :raises NotFound: the project has none of this id (any more).
        """
        return _unpack(self._load(project, message_id))

    def delete(self, project: str, message_id: str) -> None:
        """Let nobody see it any more.

        :raises NotFound: the project has none of this id (any more).
        """
        # It becomes nobody's, and is kept as long as it would have been: `write` goes by its id.
        record = {**self._load(project, message_id), 'project': None}
        [replaced] = self._records.replace(tables.USER_MESSAGES, [record])
        if isinstance(replaced, storage_errors.Stale):  # somebody else has just deleted it: nothing else changes
            raise _not_found(message_id)

    def page(
        self,
        project: str,
        order: collections.abc.Sequence[tuple[str, bool]] = (('created_at', True),),
        filters: collections.abc.Mapping[str, str] | None = None,
        marker: str | None = None,
        limit: int = limits_module.MOST_USER_MESSAGES,
        offset: int = 0,
    ) -> list[user_messages.UserMessage]:
        """List what the project has been told and has not deleted.

        A page costs the same wherever it begins, and however many there are, if there is an index for the order.

        :param order: (one of ORDERS, descending), ...: completed by `created_at` and `id`, in the first's direction.
        :param filters: values by names of FILTERS.
        :param marker: the id of the one behind which the page begins.
        :param limit: of more than MOST_USER_MESSAGES, so many are returned.
        :param offset: how many are passed over behind the marker.
        :raises LimitExceeded: `limit` or `offset` is out of bounds.
        :raises ParameterInvalid: nobody should have to wait for this page.
        :raises NotFound: there is none of the id `marker`.
        """
        limit = min(self._limits.check_user_message_page(limit), limits_module.MOST_USER_MESSAGES)
        self._limits.check_user_message_offset(offset)
        filters = filters or {}
        now = self._clock()
        order = _complete(order)
        fields = tuple(field for field, _ in order)
        where = [
            records.Condition('project', '=', project),
            *(records.Condition(field, '=', value) for field, value in filters.items()),
            records.Condition('expires_at', '>', now),
        ]
        after = None
        if marker is not None:
            last = self._load(project, marker)
            after = tuple(last[field] for field in (*fields, 'id'))
        if limit == 0 or any(filters.get(field, known[0]) not in known for field, known in _EVER.items()):
            return []
        is_indexed = fields in _INDEXED and len({descending for _, descending in order}) == 1
        if not is_indexed and self._is_long(where):
            raise errors.ParameterInvalid(
                description=f'More than {MOST_SORTED} messages cannot be sorted like this. Sort by "created_at", "id", '
                '"event_id", "request_id" or "resource_uuid" alone, or let filters choose fewer.'
            )
        query = records.Query(
            where=tuple(where),
            order=order,
            after=after,
            offset=offset,
            limit=limit,
        )
        return [_unpack(record) for record in self._records.find(tables.USER_MESSAGES, query).records]

    def _is_long(self, where):
        return self._records.count(tables.USER_MESSAGES, where, MOST_SORTED + 1) > MOST_SORTED

    def _load(self, project, message_id):
        where = (records.Condition('id', '=', message_id), records.Condition('project', '=', project))
        found = self._records.find(tables.USER_MESSAGES, records.Query(where=where, limit=1)).records
        if not found or found[0]['expires_at'] <= self._clock():
            raise _not_found(message_id)
        return found[0]


def _complete(order):
    """`order`, made total; nothing stands behind the id, of which there is only one."""
    direction = order[0][1]
    completed = {}
    for field, descending in (*order, ('created_at', direction), ('id', direction)):
        if 'id' not in completed:
            completed.setdefault(field, descending)
    return tuple(completed.items())


def _unpack(record):
    return user_messages.UserMessage(**{field: record[field] for field in user_messages.UserMessage.__struct_fields__})


def _not_found(message_id):
    return errors.NotFound(description=f'Message {message_id} could not be found.')
