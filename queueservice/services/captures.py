"""Buckets and their exchanges: kept, shown, and deleted. How long an exchange stays, `retention` says."""

import collections.abc
import logging

import msgspec

from queueservice.delivery import base as delivery
from queueservice.model import captures, deliveries, errors
from queueservice.services import retention
from queueservice.storage import base, records, tables
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: Records that are written or read in one step.
_SLICE = 100
#: Bytes of bodies that one answer holds at the most, beside the first exchange's.
_MOST_BODIES = 16 * 1024 * 1024

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
    def __init__(
        self,
        driver: base.Driver,
        retention: retention.Retention,
        rules: captures.Rules,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._retention = retention
        self._rules = rules
        self._clock = clock

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
        self._retention.empty(key)
        self._records.delete(tables.BUCKETS, [records.Condition('id', '=', key)], limit=1)
        # What came in meanwhile: whoever stores something later sees that there is no bucket.
        self._retention.clear(key)

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
        found = self._retention.find(key, exchange_id)
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
            self._retention.drop(intake.bucket, (records.Condition('id', 'in', ids),), limit=len(ids))
            raise errors.NotFound(description='The bucket has been deleted.')

    def clear(self, project: str, key: str) -> None:
        """Empty a bucket of all that is in it now; collections lose it.

        :raises NotFound: the project has no such bucket.
        """
        self.get(project, key)
        now = self._clock()
        self._retention.clear(key, records.Condition('stored_at', '<=', now))

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
                found = self._retention.find(key, exchange_id) if bucket and bucket.project == project else None
                return found is not None and found['identifier'] == captured.delivery_id
        return False

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
            self._retention.trim(key, len(part))

    def _find_bodies(self, exchanges):
        ids = [exchange.id for exchange in exchanges]
        where = (records.Condition('bucket', '=', exchanges[0].bucket), records.Condition('id', 'in', ids))
        query = records.Query(where=where, limit=len(ids))
        return {record['id']: record for record in self._records.find(tables.EXCHANGE_BODIES, query).records}


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
