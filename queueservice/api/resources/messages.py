"""Messages of a queue."""

import hashlib
import re

import falcon

from queueservice.api import links, media, operations, params
from queueservice.api.middleware import context
from queueservice.api.resources import base
from queueservice.api.schemas import messages as schemas
from queueservice.model import errors
from queueservice.model import messages as messages_model
from queueservice.services import messages as messages_service

_IDEMPOTENCY_KEY = re.compile('[!-~]{1,255}')

_KEY = params.Text(
    'Idempotency-Key',
    'A key of 1 to 255 visible ASCII characters. A second request to the same queue with the same key and the same '
    'body within a day stores nothing and gets the answer of the first one.',
    _IDEMPOTENCY_KEY.pattern,
)
_LIMIT = params.Integer('limit', 'The most messages of the page.', 'message_page')
_ECHO = params.Boolean('echo', "Show also what was posted under the reader's own Client-ID.")
_INCLUDE_CLAIMED = params.Boolean('include_claimed', 'Show also claimed messages.')
_INCLUDE_DELAYED = params.Boolean('include_delayed', 'Show also delayed messages.')
_IDS = params.Words('ids', 'Ids of messages. Those of messages that are not there are passed over.', 'message_ids')
_CLAIM_IDS = params.Words('claim_ids', 'Claims whose messages may go.', 'claim_ids')
_CLAIM_ID = params.Text('claim_id', 'The claim under which the message is deleted.', messages_model.ID.pattern)
_POP = params.Integer('pop', 'The most messages to pop.', 'pop')


class MessageCollection(base.Resource):
    policies = {'GET': 'messages:get_all', 'POST': 'messages:create', 'DELETE': 'messages:delete_all'}

    @staticmethod
    def operations(dialect):
        shown = schemas.PageOut[dialect.message_out], dialect.bare_out
        return {
            'GET': operations.Operation(
                query=(
                    params.MARKER,
                    _LIMIT,
                    _ECHO,
                    _INCLUDE_CLAIMED,
                    *([_INCLUDE_DELAYED] if dialect.delays else []),
                    _IDS,
                ),
                answers={200: shown} if dialect.empty_pages else {200: shown, 204: None},
            ),
            'POST': operations.Operation(
                headers=(_KEY,) if dialect.idempotency else (),
                takes=dialect.post_in,
                answers={201: dialect.post_out},
                refusals=(409,) if dialect.idempotency else (),
                client=True,
            ),
            'DELETE': operations.Operation(
                query=(_IDS, _CLAIM_IDS, *([_POP] if dialect.allows_pop else [])),
                answers={204: None, 200: schemas.MessagesOut[schemas.PoppedOut]} if dialect.allows_pop else {204: None},
            ),
        }

    def on_post(self, req, resp, queue_name):
        raw = media.read(req, self.services.limits.max_messages_post_size, 'Message collection size')
        ids = self.services.messages.post(
            req.context.queue,
            self.dialect.read_messages(raw),
            context.client(req),
            size=len(raw),
            create=self.dialect.creates_queues,
            queue_defaults=self.dialect.queue_defaults,
            idempotency=_read_idempotency(req, raw) if self.dialect.idempotency else None,
            request_id=req.context.request_id,
        )
        path = f'{links.queue(req, queue_name)}/messages'
        prefix = f'{path}/'
        resp.data = media.encode(self.dialect.posted([prefix + one for one in ids]))
        resp.set_header('Location', f'{path}?ids={",".join(ids)}')
        resp.status = falcon.HTTP_201

    def on_get(self, req, resp, queue_name):
        ids = _IDS.read(req) if req.query_string else None
        if ids:
            self._get_many(req, resp, queue_name, ids)
        else:
            self._list(req, resp, queue_name)

    def on_delete(self, req, resp, queue_name):
        ids = _IDS.read(req)
        pop = _POP.read(req) if self.dialect.allows_pop else None
        if bool(ids) == (pop is not None):
            raise errors.ParameterInvalid(description=self.dialect.delete_wants)
        if pop is not None:
            resp.data = media.encode(self.dialect.popped(self.services.messages.pop(req.context.queue, pop)))
            return
        self.services.messages.delete_many(req.context.queue, ids, _CLAIM_IDS.read(req))
        resp.status = falcon.HTTP_204

    def _list(self, req, resp, queue_name):
        client = context.client(req)
        if req.query_string:
            listed = self.services.messages.page(
                req.context.queue,
                marker=params.MARKER.read(req),
                limit=_LIMIT.read(req),
                not_from=None if _ECHO.read(req) else client,
                include_claimed=_INCLUDE_CLAIMED.read(req),
                include_delayed=self.dialect.delays and _INCLUDE_DELAYED.read(req),
            )
        else:
            listed = self.services.messages.page(req.context.queue, not_from=client)
        if listed.marker is None and not self.dialect.empty_pages:
            resp.status = falcon.HTTP_204
            return
        path = links.queue(req, queue_name)
        next_links = []
        if listed.marker is not None:
            href = links.next_page(req, f'{path}/messages', listed.marker)
            next_links.append(schemas.Link(href))
        shown = self.dialect.messages(path, listed)
        resp.data = media.encode(schemas.PageOut(shown, next_links))

    def _get_many(self, req, resp, queue_name, ids):
        listed = self.services.messages.get_many(req.context.queue, ids)
        if listed.messages:
            shown = self.dialect.messages(links.queue(req, queue_name), listed)
            resp.data = media.encode(self.dialect.bare(shown))
        elif self.dialect.empty_pages:
            raise errors.MessagesNotFound(queue=queue_name)
        else:
            resp.status = falcon.HTTP_204


class MessageItem(base.Resource):
    policies = {'GET': 'messages:get', 'DELETE': 'messages:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: dialect.message_out}),
            'DELETE': operations.Operation(query=(_CLAIM_ID,), answers={204: None}),
        }

    def on_get(self, req, resp, queue_name, message_id):
        listed = self.services.messages.get(req.context.queue, message_id)
        resp.data = bytes(self.dialect.messages(links.queue(req, queue_name), listed))[1:-1]

    def on_delete(self, req, resp, queue_name, message_id):
        claim_id = _CLAIM_ID.read(req) if req.query_string else None
        self.services.messages.delete(req.context.queue, message_id, claim_id)
        resp.status = falcon.HTTP_204


def _read_idempotency(req, raw):
    key = req.env.get('HTTP_IDEMPOTENCY_KEY')
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise errors.HeaderInvalid(
            description='The "Idempotency-Key" header must consist of 1 to 255 visible ASCII characters.'
        )
    return messages_service.Idempotency(key, hashlib.sha256(raw).digest())
