"""Buckets and the messages in them: captured HTTP exchanges."""

import importlib.metadata

import falcon
import msgspec

from queueservice.api import exchanges, links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import buckets as schemas
from queueservice.model import captures, errors, har
from queueservice.services import captures as captures_service

#: Bytes that documents may have, and what they are called where they are larger.
_BUCKET_SIZE = 64 * 1024, 'The document of a bucket', 'not to be configured'
_MESSAGES_SIZE = 4 * 1024 * 1024, 'The document of messages', 'not to be configured'

_COUNT = params.Count('count', 'The most messages of the list.', 50, 1000)
_BUCKETS = params.Count('count', 'The most buckets of the list.', 1000, 1000)
_MARKER = params.Text('marker', 'The key of a bucket: only those that were made after it.')
_SINCE = params.Instant('since', 'Only what happened after this time, in seconds since 1970.')
_BEFORE = params.Instant('before', 'Only what happened before this time, in seconds since 1970.')
_IDENTIFIER = params.Text('unique_identifier', 'Only messages with this identifier, such as those of one delivery.')
_FORMAT = params.Text('format', 'What the answer is: "json", or "har" for an HTTP archive.', choices=('json', 'har'))
_LIST = _COUNT, _SINCE, _BEFORE, _IDENTIFIER
_NAME = params.Text('name', 'The name of the bucket, where no document is sent.', '[^\\x00]{1,100}')
_TEAM_ID = params.Text('team_id', 'The project, where no document is sent.')
_TEAM_UUID = params.Text('team_uuid', 'The project, where no document is sent.')

_BUCKET = msgspec.json.Decoder(schemas.BucketFields)
_FORM = 'application/x-www-form-urlencoded'


class BucketCollection(base.Resource):
    policies = {'GET': 'buckets:get_all', 'POST': 'buckets:create'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(query=(_BUCKETS, _MARKER), answers={200: schemas.BucketsEnvelope}),
            'POST': operations.Operation(
                query=(_NAME, _TEAM_ID, _TEAM_UUID),
                takes=schemas.BucketIn,
                required=False,
                answers={201: schemas.BucketEnvelope},
                refusals=(404,),
            ),
        }

    def on_get(self, req, resp):
        buckets = self.services.captures.buckets(
            req.context.caller.project, marker=_MARKER.read(req), count=_BUCKETS.read(req)
        )
        resp.data = media.encode(schemas.BucketsEnvelope([_show(req, bucket) for bucket in buckets]))

    def on_post(self, req, resp):
        project = req.context.caller.project
        wanted = _read_bucket(req)
        if any(team not in (None, '', project) for team in (wanted.team_id, wanted.team_uuid)):
            raise errors.NotFound(description='There is no such team. A team is a project, and yours is the default.')
        if wanted.name is schemas.Unset:
            raise errors.BodyInvalid(description='Missing "name" field. Say what the bucket is to be called.')
        bucket = self.services.captures.create(project, wanted.name)
        resp.data = media.encode(schemas.BucketEnvelope(_show(req, bucket)))
        resp.set_header('Location', links.bucket(req, bucket.key))
        resp.status = falcon.HTTP_201


class BucketItem(base.Resource):
    policies = {'GET': 'buckets:get', 'DELETE': 'buckets:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.BucketEnvelope}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_get(self, req, resp, bucket_key):
        bucket = self.services.captures.get(req.context.caller.project, bucket_key)
        resp.data = media.encode(schemas.BucketEnvelope(_show(req, bucket)))

    def on_delete(self, req, resp, bucket_key):
        self.services.captures.delete(req.context.caller.project, bucket_key)
        self.audit(req, 'bucket.delete', bucket=bucket_key)
        resp.status = falcon.HTTP_204


class BucketMessageCollection(base.Resource):
    policies = {
        'GET': 'bucket_messages:get_all',
        'POST': 'bucket_messages:create',
        'DELETE': 'bucket_messages:delete_all',
    }

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(
                query=(*_LIST, _FORMAT), answers={200: (schemas.ExchangesEnvelope, schemas.Archive)}
            ),
            'POST': operations.Operation(takes=schemas.ExchangesIn, answers={200: schemas.ResultsEnvelope}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_get(self, req, resp, bucket_key):
        is_archive = _read_format(req) == 'har'
        listed = _list(self.services, req, bucket_key, failed=False)
        if is_archive:
            whole = self.services.captures.with_bodies(listed)
            resp.data = media.encode(har.write(whole, importlib.metadata.version('queueservice')))
        else:
            resp.data = _show_list(listed)

    def on_post(self, req, resp, bucket_key):
        intake = self.services.captures.open(req.context.caller.project, bucket_key)
        raw = media.read(req, *_MESSAGES_SIZE)
        if req.get_header('webhook-id'):
            posted = [exchanges.read_push(req, raw, intake)]
            resp.set_header(captures_service.CAPTURED_HEADER, f'{bucket_key}/{posted[0].id}')
        else:
            posted = exchanges.read(raw, intake)
        self.services.captures.post(intake, [one for one in posted if isinstance(one, captures.Exchange)])
        resp.data = media.encode(exchanges.results(posted))

    def on_delete(self, req, resp, bucket_key):
        self.services.captures.clear(req.context.caller.project, bucket_key)
        self.audit(req, 'bucket.clear', bucket=bucket_key)
        resp.status = falcon.HTTP_204


class BucketErrorCollection(base.Resource):
    policies = {'GET': 'bucket_messages:errors'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(query=_LIST, answers={200: schemas.ExchangesEnvelope})}

    def on_get(self, req, resp, bucket_key):
        resp.data = _show_list(_list(self.services, req, bucket_key, failed=True))


class BucketMessageItem(base.Resource):
    policies = {'GET': 'bucket_messages:get'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.ExchangeEnvelope})}

    def on_get(self, req, resp, bucket_key, uuid):
        exchange = self.services.captures.show(req.context.caller.project, bucket_key, uuid)
        resp.data = media.encode(schemas.ExchangeEnvelope(exchanges.show(exchange, bodies=True)))


class BucketMessageReplay(base.Resource):
    policies = {'POST': 'bucket_messages:replay'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(answers={200: schemas.ExchangeEnvelope}, refusals=(409,))}

    def on_post(self, req, resp, bucket_key, uuid):
        exchange = self.services.replays.replay(req.context.caller.project, bucket_key, uuid)
        self.audit(req, 'bucket.replay', bucket=bucket_key, message=uuid)
        resp.data = media.encode(schemas.ExchangeEnvelope(exchanges.show(exchange, bodies=True)))


def _read_bucket(req):
    raw = media.read(req, *_BUCKET_SIZE)
    if not raw:
        return schemas.BucketFields(_NAME.read(req) or schemas.Unset, _TEAM_ID.read(req), _TEAM_UUID.read(req))
    # curl calls everything a form that it is not told about: a document is one all the same.
    if (req.content_type or '').partition(';')[0].strip().lower() == _FORM and not raw.lstrip().startswith(b'{'):
        form = falcon.uri.parse_query_string(raw.decode(errors='replace'), csv=False)
        return schemas.BucketFields(
            **{name: value for name, value in form.items() if name in ('name', 'team_id', 'team_uuid') and value}
        )
    return media.decode(raw, _BUCKET)


def _read_format(req):
    value = _FORMAT.read(req)
    if value not in (None, 'json', 'har'):
        raise errors.ParameterInvalid(
            description='The "format" parameter is invalid. The value of the parameter must be "json" or "har".'
        )
    return value


def _list(services, req, bucket_key, failed):
    return services.captures.page(
        req.context.caller.project,
        bucket_key,
        count=_COUNT.read(req),
        since=_SINCE.read(req),
        before=_BEFORE.read(req),
        identifier=_IDENTIFIER.read(req),
        failed=failed,
    )


def _show_list(listed):
    return media.encode(schemas.ExchangesEnvelope([exchanges.show(one, bodies=False) for one in listed]))


def _show(req, bucket):
    path = links.bucket(req, bucket.key)
    return schemas.BucketOut(
        key=bucket.key,
        name=bucket.name,
        team=schemas.TeamOut(bucket.project, bucket.project),
        messages_url=f'{path}/messages',
        collections_url=f'{path}/collections',
        created_at=int(bucket.created_at),
        queue=bucket.queue,
    )
