"""Queues of a project."""

import re
import typing

import falcon
import msgspec

from queueservice.api import links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import messages as messages_schemas
from queueservice.api.schemas import queues as schemas
from queueservice.model import errors, messages
from queueservice.model import metadata as metadata_model

_PATCH_TYPE = 'application/openstack-messaging-v2.0-json-patch'

#: A store cannot look at any number of conditions.
_MOST_PARAMETERS = 50

_LIMIT = params.Integer('limit', 'The most queues of the page.', 'queue_page')
_DETAILED = params.Boolean('detailed', 'Show the metadata of each queue.')
_NAME = params.Text('name', 'Only queues whose name contains this text.')
_WITH_COUNT = params.Boolean('with_count', 'Count all queues of the project.')
_NOT_FILTERS = frozenset(one.name for one in (params.MARKER, _LIMIT, _DETAILED, _NAME, _WITH_COUNT))
_FILTERS = params.Others(
    'filters',
    'Any other parameter: only queues whose metadata have this value under this name.',
    _MOST_PARAMETERS - len(_NOT_FILTERS),
)

_BAD_ESCAPE = re.compile('~(?![01])')

_METADATA = msgspec.json.Decoder(schemas.Metadata)
_OPERATIONS = msgspec.json.Decoder(schemas.Patch)
_PURGE = msgspec.json.Decoder(schemas.PurgeIn)


class QueueCollection(base.Resource):
    policies = {'GET': 'queues:get_all'}

    @staticmethod
    def operations(dialect):
        query = (params.MARKER, _LIMIT, _DETAILED, *([_NAME, _WITH_COUNT, _FILTERS] if dialect.filters else []))
        answers = {200: schemas.PageOut} if dialect.empty_pages else {200: schemas.PageOut, 204: None}
        return {'GET': operations.Operation(query=query, answers=answers)}

    def on_get(self, req, resp):
        detailed = _DETAILED.read(req)
        with_count = _WITH_COUNT.read(req) if self.dialect.filters else False
        owner = req.context.caller.namespace, req.context.caller.project
        page = self.services.queues.page(
            *owner,
            marker=params.MARKER.read(req),
            limit=_LIMIT.read(req),
            name=_NAME.read(req) if self.dialect.filters else None,
            filters=_read_filters(req) if self.dialect.filters else None,
        )
        if page.marker is None and not self.dialect.empty_pages:
            resp.status = falcon.HTTP_204
            return
        answer = schemas.PageOut([self._show(req, queue, detailed) for queue in page.queues], [])
        if page.marker is not None:
            href = links.next_page(req, f'{req.context.caller.base}/queues', page.marker)
            answer.links.append(messages_schemas.Link(href))
        if with_count:
            answer.count = self.services.queues.count(*owner)
        resp.data = media.encode(answer)

    def _show(self, req, queue, detailed):
        shown = schemas.QueueOut(queue.key.name, links.queue(req, queue.key.name))
        if detailed:
            shown.metadata = _show_metadata(self, queue.metadata)
        return shown


class QueueItem(base.Resource):
    policies = {'PUT': 'queues:create', 'GET': 'queues:get', 'DELETE': 'queues:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'PUT': operations.Operation(takes=schemas.Metadata, required=False, answers={201: None, 204: None}),
            'GET': operations.Operation(answers={200: schemas.Metadata}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_put(self, req, resp, queue_name):
        metadata = self._read_new(req)
        created = self.services.queues.create(req.context.queue, metadata)
        resp.status = falcon.HTTP_201 if created else falcon.HTTP_204
        resp.set_header('Location', links.queue(req, queue_name))

    def on_get(self, req, resp, queue_name):
        queue = self.services.queues.load(req.context.queue)
        resp.data = media.encode(_show_metadata(self, queue.metadata if queue else {}))

    def on_delete(self, req, resp, queue_name):
        self.services.subscriptions.delete_queue(req.context.queue)
        self.audit(req, 'queue.delete', queue=queue_name)
        resp.status = falcon.HTTP_204

    def _read_new(self, req):
        raw = media.read(req, self.services.limits.max_queue_metadata, 'Queue metadata', 'max_queue_metadata')
        return _read_metadata(raw) if raw else {}


class QueueItemV1(QueueItem):
    """In v1 a queue only exists or not; its metadata are a resource of their own."""

    policies = {**QueueItem.policies, 'HEAD': 'queues:get'}

    @staticmethod
    def operations(dialect):
        exists = operations.Operation(
            answers={204: None}, name='queues:exists', summary='Ask whether there is such a queue.'
        )
        return {
            **QueueItem.operations(dialect),
            'PUT': operations.Operation(answers={201: None, 204: None}),
            'GET': exists,
            'HEAD': exists,
        }

    def on_get(self, req, resp, queue_name):
        self.services.queues.get(req.context.queue)
        resp.status = falcon.HTTP_204

    on_head = on_get

    def _read_new(self, req):
        return {}  # a body means nothing here


class QueueItemV2(QueueItem):
    policies = {**QueueItem.policies, 'PATCH': 'queues:update'}

    @staticmethod
    def operations(dialect):
        patch = operations.Operation(
            takes=schemas.Patch, media=_PATCH_TYPE, answers={200: schemas.Metadata}, refusals=(409,)
        )
        return {**QueueItem.operations(dialect), 'PATCH': patch}

    def on_patch(self, req, resp, queue_name):
        if req.content_type != _PATCH_TYPE:
            raise falcon.HTTPUnsupportedMediaType(
                title='Unsupported media type',
                description=f'PATCH of a queue takes a JSON patch. Set Content-Type to {_PATCH_TYPE}.',
                headers={'Accept-Patch': _PATCH_TYPE},
            )
        raw = media.read(req, self.services.limits.max_queue_metadata, 'Queue metadata', 'max_queue_metadata')
        sent = media.decode(raw, _OPERATIONS, {'op': typing.get_args(schemas.Op)})
        media.check_value(raw, 'The patch')
        operations = [_read_operation(one) for one in sent]
        queue = self.services.queues.patch_metadata(req.context.queue, operations)
        reserved = metadata_model.attributes(self.services.limits).keys() & {one.key for one in operations}
        if reserved:
            self.audit(req, 'queue.update', queue=queue_name, attributes=sorted(reserved))
        resp.data = media.encode(_show_metadata(self, queue.metadata))


class QueueMetadata(base.Resource):
    policies = {'GET': 'queues:get', 'PUT': 'queues:update'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.Metadata}),
            'PUT': operations.Operation(takes=schemas.MetadataV1, answers={204: None}),
        }

    def on_get(self, req, resp, queue_name):
        resp.data = media.encode(self.services.queues.get(req.context.queue).metadata)

    def on_put(self, req, resp, queue_name):
        raw = media.read(req, self.services.limits.max_queue_metadata, 'Queue metadata', 'max_queue_metadata')
        metadata = _read_metadata(raw)
        reserved = next((name for name in metadata if name.startswith('_')), None)
        if reserved is not None:
            raise errors.BodyInvalid(
                description=f'Reserved queue attributes in metadata (which names start with "_") can not be set in '
                f'API v1: {reserved}.'
            )
        self.services.queues.replace_metadata(req.context.queue, metadata)
        resp.status = falcon.HTTP_204
        resp.set_header('Location', f'{links.queue(req, queue_name)}/metadata')


class QueueStats(base.Resource):
    policies = {'GET': 'queues:stats'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.StatsOut})}

    def on_get(self, req, resp, queue_name):
        queue, stats, now = self.services.queues.stats(req.context.queue)
        if queue is None and not self.dialect.creates_queues:
            raise errors.QueueNotFound(queue=queue_name)
        counts = schemas.CountsOut(claimed=stats.claimed, free=stats.free + stats.delayed, total=stats.total)
        if stats.oldest is not None:
            path = links.queue(req, queue_name)
            counts.oldest = _show_end(path, queue, stats.oldest, now)
            counts.newest = _show_end(path, queue, stats.newest, now)
        resp.data = media.encode(schemas.StatsOut(counts))


class QueuePurge(base.Resource):
    policies = {'POST': 'queues:purge'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(takes=schemas.PurgeIn, required=False, answers={204: None})}

    def on_post(self, req, resp, queue_name):
        raw = media.read(req, self.services.limits.max_queue_metadata, name='max_queue_metadata')
        choices = typing.get_args(schemas.ResourceType)
        wanted = media.decode(raw, _PURGE, {'resource_types': choices}).resource_types if raw else choices
        if 'messages' in wanted:
            self.services.queues.purge(req.context.queue)
        if 'subscriptions' in wanted:
            self.services.subscriptions.end_all(req.context.queue)
        if wanted:
            self.audit(req, 'queue.purge', queue=queue_name, resource_types=sorted(set(wanted)))
        resp.status = falcon.HTTP_204


def _show_metadata(resource, metadata):
    if resource.dialect.reserved_attributes:
        return metadata_model.with_defaults(metadata, resource.services.limits)
    return metadata


def _show_end(path, queue, end, now):
    position, created_at = end
    return schemas.EndOut(
        age=max(0, int(now - created_at)),
        created=messages.timestamp(created_at),
        href=f'{path}/messages/{messages.encode_position(queue.id, position)}',
    )


def _read_metadata(raw):
    metadata = media.decode(raw, _METADATA)
    media.check_value(raw, 'The metadata')
    return metadata


def _read_operation(sent):
    tokens = sent.path.split('/')
    if len(tokens) != 3 or tokens[:2] != ['', 'metadata'] or not tokens[2]:
        raise errors.BodyInvalid(
            description=f'The path "{sent.path}" is not allowed: it must be /metadata/ and the name of one key.'
        )
    if _BAD_ESCAPE.search(sent.path):
        raise errors.BodyInvalid(description=f'The path "{sent.path}" is not allowed: write ~0 for ~ and ~1 for /.')
    if sent.op != 'remove' and sent.value is schemas.Unset:
        raise errors.BodyInvalid(description=f'Operation "{sent.op}" requires a member named "value".')
    key = tokens[2].replace('~1', '/').replace('~0', '~')
    return metadata_model.Operation(sent.op, key, None if sent.op == 'remove' else sent.value)


def _read_filters(req):
    filters = {}
    if len(req.params) > _MOST_PARAMETERS:
        raise errors.ParameterInvalid(
            description=f'A list of queues takes at most {_MOST_PARAMETERS} parameters, filters among them.'
        )
    for name in req.params:
        value = params.text(req, name)
        if name not in _NOT_FILTERS and value is not None:
            try:
                filters[name] = int(value)
            except ValueError:
                filters[name] = value
    return filters
