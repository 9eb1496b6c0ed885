"""Messages of a queue."""

import hashlib
import re
import typing

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


#: How many query strings are remembered, and how long each may be.
_KNOWN = 1024
_KNOWN_LENGTH = 128


class _Asked(typing.NamedTuple):
    """The parameters of a GET."""

    ids: list[str]
    marker: str | None
    limit: int | None
    echo: bool
    include_claimed: bool
    include_delayed: bool


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

    def __init__(self, services, dialect):
        super().__init__(services, dialect)
        self._known: dict[str, _Asked] = {}  # by query string

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
        path = links.queue(req, queue_name)
        resp.data = self.dialect.posted(path, ids)
        resp.set_header('Location', f'{path}/messages?ids={",".join(ids)}')
        resp.status = falcon.HTTP_201

    def on_get(self, req, resp, queue_name):
        asked = self._known.get(req.query_string) or self._read(req)
        if asked.ids:
            self._get_many(req, resp, queue_name, asked.ids)
        else:
            self._list(req, resp, queue_name, asked)

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

    def _read(self, req):
        """What a GET asks for. What many ask for in the same words is read once."""
        asked = _Asked(
            _IDS.read(req),
            params.MARKER.read(req),
            _LIMIT.read(req),
            _ECHO.read(req),
            _INCLUDE_CLAIMED.read(req),
            self.dialect.delays and _INCLUDE_DELAYED.read(req),
        )
        if len(req.query_string) <= _KNOWN_LENGTH and not asked.ids and asked.marker is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[req.query_string] = asked
        return asked

    def _list(self, req, resp, queue_name, asked):
        client = context.client(req)
        listed = self.services.messages.page(
            req.context.queue,
            marker=asked.marker,
            limit=asked.limit,
            not_from=None if asked.echo else client,
            include_claimed=asked.include_claimed,
            include_delayed=asked.include_delayed,
        )
        if listed.marker is None and not self.dialect.empty_pages:
            resp.status = falcon.HTTP_204
            return
        path = links.queue(req, queue_name)
        href = None if listed.marker is None else links.next_page(req, f'{path}/messages', listed.marker)
        resp.data = self.dialect.page(path, listed, href)

    def _get_many(self, req, resp, queue_name, ids):
        listed = self.services.messages.get_many(req.context.queue, ids)
        if listed.messages:
            resp.data = self.dialect.bare(links.queue(req, queue_name), listed)
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
        resp.data = self.dialect.messages(links.queue(req, queue_name), listed)[1:-1]

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
