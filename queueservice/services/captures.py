"""Buckets and their exchanges: kept, shown, and dropped when there are too many.

An exchange stays as long as its bucket has room, or a collection holds it. Whatever order keeps that true when
something is interrupted is said where it is done; `sweep` finds what was left behind.
"""

import collections.abc
import logging
import typing

import msgspec

from queueservice.delivery import base as delivery
from queueservice.model import captures, deliveries, errors
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: Records that are written or dropped in one step.
_SLICE = 100
#: How many buckets a process remembers to have trimmed lately.
_REMEMBERED = 16384
#: Bytes of bodies that one answer holds at the most, beside the first exchange's.
_MOST_BODIES = 16 * 1024 * 1024
#: Seconds for which whoever stores an exchange may have its bodies stored alone.
_IN_THE_MAKING = 600
_ATTEMPTS = 20

#: In the answer to a push that came to a bucket: key and id of the exchange that it became.
CAPTURED_HEADER = 'X-Captured-Exchange'

_FORM = msgspec.json.Decoder(dict[str, list[str]])
_REQUEST = msgspec.json.Decoder(captures.Request)
_RESPONSE = msgspec.json.Decoder(captures.Response)


class Captured(msgspec.Struct, frozen=True):
    """An attempt to deliver something, as it went."""

    delivery_id: str
    subscription_id: str
    attempt: int | None  # no two attempts of a delivery have the same; None: it is none
    exchange: delivery.Exchange
    error: str | None = None  # of model.deliveries.ERRORS
    kind: deliveries.Kind = deliveries.MESSAGE
    encrypted: bool = False  # the queue is


class Captures:
    def __init__(self, driver: base.Driver, rules: captures.Rules, clock: collections.abc.Callable[[], float]):
        self._records = driver.records
        self._rules = rules
        self._clock = clock
        self._untrimmed: dict[str, int] = {}  # bucket -> how many were stored since it was last looked at
        self._swept: tuple[str, str] = '', ''  # how far this process has swept: bucket, exchange

    # Buckets

    def create(self, project: str, name: str) -> captures.Bucket:
        """Make a bucket.

        :raises BodyInvalid: the name is empty or too long.
        :raises Forbidden: the project has made as many as it may.
        """
        captures.check_text(name, 'name of a bucket', captures.MOST_NAME, least=1)
        made = (records.Condition('project', '=', project), records.Condition('queue', '=', None))
        if self._records.count(tables.BUCKETS, made, captures.MOST_BUCKETS) >= captures.MOST_BUCKETS:
            raise errors.Forbidden(
                description=f'A project may make {captures.MOST_BUCKETS} buckets. Delete those that are not needed.'
            )
        while True:
            bucket = captures.Bucket(captures.new_key(), project, name, None, self._clock())
            (inserted,) = self._records.insert(tables.BUCKETS, [_pack_bucket(bucket)])
            if not isinstance(inserted, storage_errors.Duplicate):
                return bucket

    def get(self, project: str, key: str) -> captures.Bucket:
        """:raises NotFound: the project has no such bucket."""
        bucket = self._find_bucket(key) if captures.is_key(key) else None
        if bucket is None or bucket.project != project:
            raise errors.NotFound(description='There is no such bucket.')
        return bucket

    def buckets(self, project: str, *, marker: str | None = None, count: int) -> list[captures.Bucket]:
        """List the buckets of a project, oldest first, behind the one with the key `marker`."""
        after = None
        if marker is not None:
            bucket = self._find_bucket(marker) if captures.is_key(marker) else None
            if bucket is None or bucket.project != project:
                return []
            after = bucket.created_at, bucket.key
        where = (records.Condition('project', '=', project),)
        query = records.Query(where=where, order=(('created_at', False),), after=after, limit=count)
        return [_unpack_bucket(record) for record in self._records.find(tables.BUCKETS, query).records]

    def delete(self, project: str, key: str) -> None:
        """Delete a bucket with all that is in it. One for a queue comes back with the next delivery.

        Interrupted, it is still there with less in it.

        :raises NotFound: the project has no such bucket.
        """
        self.get(project, key)
        of_bucket = (records.Condition('bucket', '=', key),)
        for table in (tables.COLLECTIONS, tables.COLLECTION_ITEMS):
            self._empty(table, of_bucket)
        self._clear(of_bucket)
        self._empty(tables.EXCHANGE_BODIES, of_bucket)
        self._records.delete(tables.BUCKETS, [records.Condition('id', '=', key)], limit=1)
        # What came in meanwhile: whoever stores something later sees that there is no bucket.
        self._clear(of_bucket)

    # Exchanges

    def page(
        self,
        project: str,
        key: str,
        *,
        count: int,
        since: float | None = None,
        before: float | None = None,
        identifier: str | None = None,
        failed: bool = False,
    ) -> list[captures.Exchange]:
        """The newest `count` exchanges of a bucket, newest first, without their bodies.

        :param since, before: only those that happened after and before these instants (s, UTC).
        :param failed: only those that failed.
        :raises NotFound: the project has no such bucket.
        """
        self.get(project, key)
        where = [records.Condition('bucket', '=', key)]
        if identifier is not None:
            where.append(records.Condition('identifier', '=', identifier))
        if failed:
            where.append(records.Condition('failed', '=', True))
        if since is not None:
            where.append(records.Condition('at', '>', since))
        if before is not None:
            where.append(records.Condition('at', '<', before))
        equal = [test.field for test in where if test.op == '=']
        # All of them descending, as an index lies backwards.
        order = tuple((field, True) for field in (*equal, 'at', 'id'))
        query = records.Query(where=tuple(where), order=order, limit=count)
        return [unpack(record) for record in self._records.find(tables.EXCHANGES, query).records]

    def show(self, project: str, key: str, exchange_id: str) -> captures.Exchange:
        """One exchange with its bodies.

        :raises NotFound: there is none in a bucket of the project.
        """
        self.get(project, key)
        found = self.find(key, exchange_id)
        if found is None:
            raise errors.NotFound(description='There is no such message in this bucket.')
        [whole] = self.with_bodies([unpack(found)])
        return whole

    def with_bodies(self, exchanges: collections.abc.Sequence[captures.Exchange]) -> list[captures.Exchange]:
        """The same exchanges, all of one bucket, with their bodies, as far as one answer can hold them."""
        whole, size = [], 0
        for start in range(0, len(exchanges), _SLICE):
            part = exchanges[start : start + _SLICE]
            if size < _MOST_BODIES:
                bodies = self._find_bodies(part)
            for exchange in part:
                body = bodies.get(exchange.id, {})
                fits = size < _MOST_BODIES
                size += sum(len(body.get(name) or b'') for name in ('request', 'response', 'form'))
                whole.append(_fill(exchange, body) if fits else _leave_out(exchange))
        return whole

    def open(self, project: str, key: str) -> captures.Intake:
        """What exchanges are to be made with that a client posts to a bucket now.

        :raises NotFound: the project has no such bucket.
        """
        return captures.Intake(self.get(project, key).key, self._rules, self._clock())

    def post(self, intake: captures.Intake, exchanges: collections.abc.Sequence[captures.Exchange]) -> None:
        """Keep what a client posts.

        :raises NotFound: the bucket went meanwhile.
        """
        self._store(intake.bucket, exchanges, intake.now)
        # A bucket that is deleted at the same moment may have been emptied before this came into it.
        if self._find_bucket(intake.bucket) is None:
            ids = [exchange.id for exchange in exchanges]
            self._drop(intake.bucket, (_is_one_of('id', ids),), limit=len(ids))
            raise errors.NotFound(description='The bucket has been deleted.')

    def clear(self, project: str, key: str) -> None:
        """Empty a bucket of all that is in it now; collections lose it.

        :raises NotFound: the project has no such bucket.
        """
        self.get(project, key)
        now = self._clock()
        self._clear((records.Condition('bucket', '=', key), records.Condition('stored_at', '<=', now)))

    # Deliveries

    def capture(self, project: str, queue: str, captured: collections.abc.Sequence[Captured], now: float) -> None:
        """Keep attempts to deliver messages of a queue, in the bucket of that queue, which is made if need be.

        Each at most once, however often it is given. Whatever goes wrong is logged, and is nobody's failure.
        """
        if not captured or not self._rules.retention:
            return
        try:
            key = self._make_for(project, queue, now)
            if key is not None:
                exchanges = [self._read(key, one) for one in captured if not self.came_back(project, one)]
                self._store(key, exchanges, now)
        except Exception as error:  # evidence is not worth a delivery
            _LOG.warning('%d attempts at deliveries of queue %s are not captured: %r', len(captured), queue, error)

    def add(self, key: str, captured: Captured, now: float) -> captures.Exchange:
        """Keep one in a bucket that there is, and return it with its bodies."""
        exchange = self._read(key, captured)
        self._store(key, [exchange], now)
        return exchange

    def came_back(self, project: str, captured: Captured) -> bool:
        """Whether the attempt went to a bucket of the same project, which has it already.

        The answer to a push that becomes an exchange names that exchange. Others could write such a header, too, but
        not the id of an exchange of this project that has the id of this delivery.
        """
        for name, value in captured.exchange.response_headers:
            if name.lower() == CAPTURED_HEADER.lower():
                key, _, exchange_id = value.partition('/')
                bucket = self._find_bucket(key) if captures.is_key(key) else None
                found = self.find(key, exchange_id) if bucket and bucket.project == project else None
                return found is not None and found['identifier'] == captured.delivery_id
        return False

    # For collections

    def find(self, key: str, exchange_id: str) -> records.Record | None:
        """The record of an exchange."""
        if not captures.is_id(exchange_id):
            return None
        where = (records.Condition('bucket', '=', key), records.Condition('id', '=', exchange_id))
        found = self._records.find(tables.EXCHANGES, records.Query(where=where, limit=1)).records
        return found[0] if found else None

    def hold(self, key: str, exchange_id: str) -> bool:
        """Let the exchange stay, whatever comes into its bucket; False if there is none.

        Always raises its revision, so that whoever is about to let go of it notices.
        """
        return self._set_held(key, exchange_id, lambda: True)

    def let_go(self, key: str, exchange_ids: collections.abc.Iterable[str]) -> None:
        """Let those exchanges go with time that no collection holds any more."""
        for exchange_id in exchange_ids:
            where = (records.Condition('bucket', '=', key), records.Condition('exchange', '=', exchange_id))
            self._set_held(
                key, exchange_id, lambda where=where: self._records.count(tables.COLLECTION_ITEMS, where, 1) > 0
            )

    # In the background

    def sweep(self) -> None:
        """Look at one bucket, or one stretch of a large one: trim it, and repair what was interrupted there."""
        key, exchange_id = self._swept
        op = '>=' if exchange_id else '>'
        query = records.Query(where=(records.Condition('id', op, key),), order=(('id', False),), limit=1)
        found = self._records.find(tables.BUCKETS, query).records
        if not found:
            self._swept = '', ''
            return
        if found[0]['id'] != key:
            key, exchange_id = found[0]['id'], ''
            self._untrimmed.pop(key, None)
            self._trim(key, 0)
            self._repair_holds(key)
        self._swept = key, self._drop_lone_bodies(key, exchange_id)

    # Inside

    def _find_bucket(self, key):
        query = records.Query(where=(records.Condition('id', '=', key),), limit=1)
        found = self._records.find(tables.BUCKETS, query).records
        return _unpack_bucket(found[0]) if found else None

    def _make_for(self, project, queue, now):
        """The key of the bucket of a queue, which there is now; None if something else has it."""
        bucket = captures.Bucket(captures.bucket_key(project, queue), project, queue, queue, now)
        found = self._find_bucket(bucket.key)
        if found is None:
            self._records.insert(tables.BUCKETS, [_pack_bucket(bucket)])  # a Duplicate is as good
            found = self._find_bucket(bucket.key)
        if found is None or (found.project, found.queue) != (project, queue):
            _LOG.warning('Nothing of queue %s can be captured: its bucket %s is taken.', queue, bucket.key)
            return None
        return bucket.key

    def _read(self, key, captured):
        """The exchange that an attempt is kept as."""
        sent = captured.exchange
        secret = captures.CONFIRMATION if captured.kind != deliveries.MESSAGE else None
        secret = captures.ENCRYPTED if captured.encrypted else secret
        headers = captures.join_headers(sent.request_headers)
        request = captures.build_request(
            sent.method,
            sent.url,
            headers,
            sent.started_at,
            sent.request_body,
            self._rules,
            left_out=secret,
            # These come from the subscription. What they are for is to show the subscriber who asks.
            hidden={name for name in headers if name.lower().startswith('x-')},
        )
        response = None
        if sent.status is not None:
            response = captures.build_response(
                sent.status,
                sent.reason,
                captures.join_headers(sent.response_headers),
                sent.started_at + sent.seconds,
                sent.response_body,
                self._rules,
                seconds=sent.seconds,
                truncated=sent.truncated,
                left_out=secret or (captures.INTERNAL if sent.internal else None),
            )
        return captures.Exchange(
            bucket=key,
            id=captures.new_id()
            if captured.attempt is None
            else captures.attempt_id(captured.delivery_id, captured.attempt),
            request=request,
            response=response,
            identifier=captured.delivery_id,
            subscription_id=captured.subscription_id,
            attempt=captured.attempt,
            error=captured.error,
        )

    def _store(self, key, exchanges, now):
        for start in range(0, len(exchanges), _SLICE):
            part = exchanges[start : start + _SLICE]
            # Bodies first: whoever sees an exchange finds them.
            bodies = [body for body in (_pack_bodies(exchange, now) for exchange in part) if body]
            if bodies:
                self._records.insert(tables.EXCHANGE_BODIES, bodies)
            self._records.insert(tables.EXCHANGES, [_pack(exchange, now) for exchange in part])
            self._trim(key, len(part))

    def _trim(self, key, added):
        """Drop the oldest of too many exchanges. The work for one write is bounded, however many there are too many."""
        retention = self._rules.retention
        # To count costs as much as there is: where that is much, it is done for every thousandth part only.
        pending = self._untrimmed.get(key, retention) + added
        if pending < max(1, retention // 1000) and added:
            self._untrimmed[key] = pending
            return
        if len(self._untrimmed) >= _REMEMBERED:
            self._untrimmed.clear()
        self._untrimmed[key] = 0
        free = (records.Condition('bucket', '=', key), records.Condition('held', '=', False))
        most = max(2 * pending if pending < retention else 0, 2 * added, _SLICE)
        surplus = self._records.count(tables.EXCHANGES, free, retention + most) - retention
        while surplus > 0:
            self._drop(key, free[1:], limit=min(surplus, _SLICE))
            surplus -= _SLICE

    def _drop(self, key, where, limit):
        """Drop the oldest exchanges of a bucket that meet conditions; return the ids of those that were found.

        Cut off in the middle, it leaves bodies without an exchange.
        """
        where = (records.Condition('bucket', '=', key), *where)
        order = tuple((field, False) for field in ('bucket', 'held', 'stored_at', 'at', 'id'))
        query = records.Query(where=where, order=order, limit=limit, fields=())
        ids = [record['id'] for record in self._records.find(tables.EXCHANGES, query).records]
        if not ids:
            return ids
        named = (records.Condition('bucket', '=', key), _is_one_of('id', ids))
        # The conditions hold again, or do not: meanwhile a collection may have taken one.
        dropped = self._records.delete(tables.EXCHANGES, (*named, *where[1:]), limit=len(ids))
        gone = set(ids)
        if dropped < len(ids):
            left = records.Query(where=named, limit=len(ids), fields=())
            gone -= {record['id'] for record in self._records.find(tables.EXCHANGES, left).records}
        if gone:
            alone = (records.Condition('bucket', '=', key), _is_one_of('id', sorted(gone)))
            self._records.delete(tables.EXCHANGE_BODIES, alone, limit=len(gone))
        return ids

    def _clear(self, where):
        key = where[0].value
        while ids := self._drop(key, where[1:], limit=_SLICE):
            self._empty(tables.COLLECTION_ITEMS, (where[0], _is_one_of('exchange', ids)))

    def _empty(self, table, where):
        while self._records.delete(table, where, limit=_SLICE) >= _SLICE:
            pass

    def _set_held(self, key, exchange_id, is_held):
        """Whether there is the exchange; and `is_held()` was true, or not, until its revision was raised."""
        for _ in range(_ATTEMPTS):
            record = self.find(key, exchange_id)
            if record is None:
                return False
            (replaced,) = self._records.replace(tables.EXCHANGES, [record | {'held': is_held()}])
            if not isinstance(replaced, storage_errors.Stale):
                return True
        raise storage_errors.Unavailable(f'The exchange {exchange_id} kept being changed by others.')

    def _find_bodies(self, exchanges):
        ids = [exchange.id for exchange in exchanges]
        where = (records.Condition('bucket', '=', exchanges[0].bucket), _is_one_of('id', ids))
        query = records.Query(where=where, limit=len(ids))
        return {record['id']: record for record in self._records.find(tables.EXCHANGE_BODIES, query).records}

    def _repair_holds(self, key):
        """Let go of what collections hold no more, and of items whose collection is gone."""
        of_bucket = records.Condition('bucket', '=', key)
        held = (of_bucket, records.Condition('held', '=', True))
        query = records.Query(where=held, limit=2 * captures.MOST_HELD, fields=())
        ids = [record['id'] for record in self._records.find(tables.EXCHANGES, query).records]
        for start in range(0, len(ids), _SLICE):
            part = ids[start : start + _SLICE]
            where = (of_bucket, _is_one_of('exchange', part))
            query = records.Query(where=where, limit=_SLICE * captures.MOST_COLLECTIONS, fields=())
            items = self._records.find(tables.COLLECTION_ITEMS, query).records
            wanted = {item['collection'] for item in items}
            where = (of_bucket, _is_one_of('id', sorted(wanted)))
            query = records.Query(where=where, limit=len(wanted), fields=())
            there = {record['id'] for record in self._records.find(tables.COLLECTIONS, query).records}
            for lost in wanted - there:
                self._empty(tables.COLLECTION_ITEMS, (of_bucket, records.Condition('collection', '=', lost)))
            needed = {item['exchange'] for item in items if item['collection'] in there}
            self.let_go(key, [exchange_id for exchange_id in part if exchange_id not in needed])

    def _drop_lone_bodies(self, key, exchange_id):
        """Drop bodies whose exchange was never stored or is gone, of one stretch; return its end, '' for the last."""
        where = [records.Condition('bucket', '=', key), records.Condition('id', '>', exchange_id)]
        query = records.Query(
            where=tuple(where), order=(('bucket', False), ('id', False)), limit=_SLICE, fields=('stored_at',)
        )
        bodies = self._records.find(tables.EXCHANGE_BODIES, query).records
        old = [one['id'] for one in bodies if one['stored_at'] < self._clock() - _IN_THE_MAKING]
        if old:
            named = (where[0], _is_one_of('id', old))
            there = self._records.find(tables.EXCHANGES, records.Query(where=named, limit=len(old), fields=())).records
            lone = sorted(set(old) - {record['id'] for record in there})
            if lone:
                self._records.delete(tables.EXCHANGE_BODIES, (where[0], _is_one_of('id', lone)), limit=len(lone))
        return bodies[-1]['id'] if len(bodies) == _SLICE else ''


def unpack(record: records.Record) -> captures.Exchange:
    """An exchange as it is stored, without its bodies."""
    return captures.Exchange(
        bucket=record['bucket'],
        id=record['id'],
        request=_REQUEST.decode(record['request']) if record['request'] else None,
        response=_RESPONSE.decode(record['response']) if record['response'] else None,
        identifier=record['identifier'],
        subscription_id=record['subscription_id'],
        attempt=record['attempt'],
        error=record['error'],
    )


def _pack(exchange, now):
    return {
        'bucket': exchange.bucket,
        'id': exchange.id,
        'at': exchange.at,
        'stored_at': now,
        'failed': captures.is_error(exchange),
        'held': False,
        'identifier': exchange.identifier,
        'subscription_id': exchange.subscription_id,
        'attempt': exchange.attempt,
        'error': exchange.error,
        'request': _pack_half(exchange.request, body=None, form=None) if exchange.request else None,
        'response': _pack_half(exchange.response, body=None) if exchange.response else None,
    }


def _pack_half(half, **without):
    return msgspec.json.encode(msgspec.structs.replace(half, **without))


def _pack_bodies(exchange, now):
    """What is stored of its bodies; None if it has none."""
    request, response = exchange.request, exchange.response
    bodies = {
        'request': (request and request.body) or None,
        'response': (response and response.body) or None,
        'form': msgspec.json.encode(request.form) if request and request.form else None,
    }
    if not any(bodies.values()):
        return None
    return {'bucket': exchange.bucket, 'id': exchange.id, 'stored_at': now, **bodies}


def _fill(exchange, bodies):
    request, response = exchange.request, exchange.response
    if request:
        form = bodies.get('form')
        request = msgspec.structs.replace(
            request, body=_body(request, bodies.get('request')), form=_FORM.decode(form) if form else None
        )
    if response:
        response = msgspec.structs.replace(response, body=_body(response, bodies.get('response')))
    return msgspec.structs.replace(exchange, request=request, response=response)


def _body(half, stored):
    return None if half.left_out else stored or b''


def _leave_out(exchange):
    halves = {
        name: msgspec.structs.replace(half, left_out=half.left_out or captures.TOO_MUCH)
        for name, half in (('request', exchange.request), ('response', exchange.response))
        if half
    }
    return msgspec.structs.replace(exchange, **halves)


def _pack_bucket(bucket):
    return {
        'id': bucket.key,
        'project': bucket.project,
        'name': bucket.name,
        'queue': bucket.queue,
        'created_at': bucket.created_at,
    }


def _unpack_bucket(record):
    return captures.Bucket(record['id'], record['project'], record['name'], record['queue'], record['created_at'])


def _is_one_of(field: str, values: typing.Sequence[str]) -> records.Condition:
    return records.Condition(field, 'in', values)
