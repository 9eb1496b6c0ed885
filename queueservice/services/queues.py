"""Queues: made, described, listed, changed and deleted; and found quickly for everything else."""

import collections.abc
import time
import typing

import msgspec

from queueservice.model import errors, queues
from queueservice.model import limits as limits_module
from queueservice.model import messages as messages_model
from queueservice.model import metadata as metadata_model
from queueservice.services import quotas as quotas_service
from queueservice.storage import base, messages, records, tables
from queueservice.storage import errors as storage_errors

_Answer = typing.TypeVar('_Answer')

#: How many queues a process remembers, and how often it tries again when one changes under its hands.
_REMEMBERED = 65536
_ATTEMPTS = 20
#: Seconds for which it goes by what it remembers where no store looks whether that is the present one.
_REFRESHED = 5
#: How many names a filtered list looks at before it ends the page early.
_SCAN_BUDGET = 20_000

_NO_METADATA: dict = {}


class Described(msgspec.Struct):
    """One page of queues."""

    queues: list[queues.Queue]
    marker: str | None  # go on behind this name; None: nothing was found and nothing is left


class Queues:
    def __init__(
        self,
        driver: base.Driver,
        limits: limits_module.Limits,
        quotas: quotas_service.Quotas,
        clock: collections.abc.Callable[[], float] = time.time,
        can_encrypt: bool = False,
    ):
        self._records = driver.records
        self._messages = driver.messages
        self._limits = limits
        self._quotas = quotas
        self._clock = clock
        self._can_encrypt = can_encrypt
        # Only a hint: a store refuses to act on a queue that is not the present one (`Stale`).
        self._known: dict[queues.QueueKey, queues.Queue] = {}
        self._refreshed_at = clock()

    # For the other services

    def find(self, key: queues.QueueKey) -> queues.Queue | None:
        """The queue as this process knows it, perhaps from a moment ago; None if there is none."""
        return self._known.get(key) or self.load(key)

    def use(
        self,
        key: queues.QueueKey,
        action: collections.abc.Callable[[queues.Queue], _Answer],
        missing: collections.abc.Callable[[], _Answer] | None = None,
        create: bool = False,
        metadata: dict = _NO_METADATA,
    ) -> _Answer:
        """Call `action` with the queue, again with the present one if it turns out to be stale, or if `action` refuses
        something by what the queue says no more.

        :param missing: gives the answer where there is no such queue.
        :param create: make the queue, with `metadata`, where there is none.
        :raises QueueNotFound: there is none, and neither `missing` nor `create`.
        """
        for _ in range(_ATTEMPTS):
            known = self._known.get(key)
            queue = known or self.load(key) or (create and self._insert(key, metadata))
            if not queue:
                if create:
                    continue  # somebody else was quicker
                if missing is None:
                    raise errors.QueueNotFound(queue=key.name)
                return missing()
            try:
                return action(queue)
            except storage_errors.Stale:
                self._known.pop(key, None)
            except (errors.Invalid, errors.EncryptionFailed):
                # No store has looked at the revision yet.
                if known is None:
                    raise
                present = self.load(key)
                if present is not None and (present.id, present.revision) == (known.id, known.revision):
                    raise
        raise storage_errors.Unavailable(f'Queue {key.name} kept being changed by others.')

    def ensure(self, key: queues.QueueKey) -> queues.Queue:
        """The queue; made with no metadata if there is none."""
        return self.use(key, lambda queue: queue, create=True)

    def forget(self, key: queues.QueueKey) -> None:
        """Read the queue anew when it is next asked for."""
        self._known.pop(key, None)

    def refresh(self) -> None:
        """Read all queues anew from time to time, for those who only read messages. To be called once a second."""
        now = self._clock()
        if now - self._refreshed_at >= _REFRESHED:
            self._refreshed_at = now
            self._known.clear()

    def load(self, key: queues.QueueKey) -> queues.Queue | None:
        """The queue as it is stored now, or None."""
        found = self._records.find(tables.QUEUES, records.Query(where=_is(key), limit=1)).records
        if not found:
            self._known.pop(key, None)
            return None
        return self._remember(_unpack(found[0]))

    def change_subscribers(
        self,
        queue_id: str,
        change: collections.abc.Callable[[collections.abc.Sequence[str]], collections.abc.Iterable[str]],
    ) -> bool:
        """Let the record of this life of a queue name other subscriptions; False if it has ended.

        Whoever posts afterwards goes by what it says now. Two changes at a time lose nothing of each other.

        :param change: gives the ids that it is to name, from those that it names.
        """
        for _ in range(_ATTEMPTS):
            query = records.Query(where=(records.Condition('id', '=', queue_id),), limit=1)
            found = self._records.find(tables.QUEUES, query).records
            if not found:
                return False
            named = list(change(found[0]['subscribers']))
            if named == found[0]['subscribers']:
                return True
            (replaced,) = self._records.replace(tables.QUEUES, [found[0] | {'subscribers': named}])
            if not isinstance(replaced, storage_errors.Stale):
                self._remember(_unpack(replaced))
                return True
        raise storage_errors.Unavailable('The subscribers of a queue kept being changed by others.')

    # Use cases

    def get(self, key: queues.QueueKey) -> queues.Queue:
        """The queue as it is stored now.

        :raises QueueNotFound: there is none.
        """
        queue = self.load(key)
        if queue is None:
            raise errors.QueueNotFound(queue=key.name)
        return queue

    def create(self, key: queues.QueueKey, metadata: dict) -> bool:
        """Make the queue; False if it existed, which then stays as it is.

        :raises BodyInvalid, LimitExceeded: a reserved attribute has a value that it may not have.
        :raises QuotaExceeded: the project has as many queues as it may have.
        """
        metadata_model.check(metadata, key, self._limits, self._can_encrypt)
        if self.load(key) is not None:
            return False
        self._quotas.check_queue(key, self._clock())
        return self._insert(key, metadata) is not None

    def replace_metadata(self, key: queues.QueueKey, metadata: dict) -> None:
        """Set the metadata document of an existing queue, all but its reserved attributes."""
        self._change(key, lambda stored: metadata_model.replace(stored, metadata))

    def patch_metadata(
        self, key: queues.QueueKey, operations: collections.abc.Sequence[metadata_model.Operation]
    ) -> queues.Queue:
        """Apply a JSON patch to the metadata; two at a time lose nothing of each other."""
        return self._change(key, lambda metadata: metadata_model.patch(metadata, operations))

    def delete(self, key: queues.QueueKey, queue_id: str | None = None) -> None:
        """End the life of the queue, with everything in it. Nothing happens if there is none.

        :param queue_id: end no other life than this one.
        """
        life = () if queue_id is None else (records.Condition('id', '=', queue_id),)
        self._records.delete(tables.QUEUES, (*_is(key), *life), limit=1)
        self._known.pop(key, None)

    def purge(self, key: queues.QueueKey) -> None:
        """Remove every message at once, claimed and delayed ones too. The queue stays, and so do positions."""
        self.use(key, lambda queue: self._messages.clear(queue, self._clock()), missing=lambda: None)

    def stats(self, key: queues.QueueKey) -> tuple[queues.Queue | None, messages.Stats, float]:
        """Count the messages by state; also the queue and the instant. A missing queue (None) has none."""
        now = self._clock()
        return self.use(
            key,
            lambda queue: (queue, self._messages.stats(queue, now), now),
            missing=lambda: (None, messages.Stats(0, 0, 0, 0, None, None), now),
        )

    def page(
        self,
        namespace: str,
        project: str,
        *,
        marker: str | None = None,
        limit: int | None = None,
        name: str | None = None,
        filters: collections.abc.Mapping[str, str | int] | None = None,
    ) -> Described:
        """List the queues of a project by name, behind the name `marker`.

        :param name: only those whose name contains this.
        :param filters: only those whose metadata have these values.
        """
        limit = self._limits.check_queue_page(limit)
        where = [records.Condition('namespace', '=', namespace), records.Condition('project', '=', project)]
        if marker:
            where.append(records.Condition('name', '>', marker))
        if name:
            where.append(records.Condition('name', 'contains', name))
        for filter_name, value in (filters or {}).items():
            where.append(records.Condition('facets', 'has', metadata_model.facet(filter_name, value)))
        query = records.Query(where=tuple(where), order=(('name', False),), limit=limit, budget=_SCAN_BUDGET)
        found = self._records.find(tables.QUEUES, query)
        listed = [_unpack(record) for record in found.records]
        if found.reached is not None:
            return Described(listed, found.reached[0])
        return Described(listed, listed[-1].key.name if listed else None)

    def count(self, namespace: str, project: str) -> int:
        """How many queues the project has."""
        return self._messages.usage(namespace, project, self._clock()).queues

    # Inside

    def _insert(self, key, metadata):
        now = self._clock()
        if key.namespace != queues.INTERNAL:
            project = {'namespace': key.namespace, 'project': key.project, 'created_at': now}
            self._records.insert(tables.PROJECTS, [project])  # a Duplicate is as good
        record = {
            'id': messages_model.new_id(),
            'namespace': key.namespace,
            'project': key.project,
            'name': key.name,
            'created_at': now,
            'subscribers': [],
            **_pack(metadata),
        }
        (inserted,) = self._records.insert(tables.QUEUES, [record])
        if isinstance(inserted, storage_errors.Duplicate):
            return None
        return self._remember(_unpack(inserted))

    def _change(self, key, change):
        for _ in range(_ATTEMPTS):
            found = self._records.find(tables.QUEUES, records.Query(where=_is(key), limit=1)).records
            if not found:
                raise errors.QueueNotFound(queue=key.name)
            metadata = change(msgspec.json.decode(found[0]['metadata']))
            metadata_model.check(metadata, key, self._limits, self._can_encrypt)
            packed = _pack(metadata)
            self._limits.check_metadata_size(len(packed['metadata']))
            (replaced,) = self._records.replace(tables.QUEUES, [found[0] | packed])
            if not isinstance(replaced, storage_errors.Stale):
                return self._remember(_unpack(replaced))
        raise errors.ConcurrentUpdate(queue=key.name)

    def _remember(self, queue):
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[queue.key] = queue
        return queue


def _unpack(record):
    key = queues.QueueKey(record['namespace'], record['project'], record['name'])
    metadata = msgspec.json.decode(record['metadata'])
    return queues.Queue(
        id=record['id'],
        key=key,
        revision=record['revision'],
        metadata=metadata,
        settings=metadata_model.read(metadata),
        created_at=record['created_at'],
        subscribers=tuple(record['subscribers']),
    )


def _pack(metadata):
    return {'metadata': msgspec.json.encode(metadata), 'facets': metadata_model.facets(metadata)}


def _is(key):
    return (
        records.Condition('namespace', '=', key.namespace),
        records.Condition('project', '=', key.project),
        records.Condition('name', '=', key.name),
    )
