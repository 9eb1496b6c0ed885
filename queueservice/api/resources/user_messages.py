"""User messages, as clients of the block storage API read and delete them."""

import datetime
from urllib import parse

import falcon

from queueservice.api import dialects, media, microversions, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import user_messages as schemas
from queueservice.model import errors, limits
from queueservice.services import user_messages

#: Minor numbers of the microversions that changed something.
_PAGES = 5  # lists look at their query
_STRICT = 31  # and refuse what they do not know

_LIMIT = params.Integer('limit', 'The most messages of the page; 0 for none.', 'user_message_page')
_OFFSET = params.Integer('offset', 'How many messages to pass over behind the marker.', 'user_message_offset')
_MARKER = params.Text('marker', 'The id of the last message that was seen: begin behind it.')
_DIRECTIONS = {'asc': False, 'desc': True}
#: Names of fields that lists can be sorted by -> how they are stored.
_KEYS = {**{name: name for name in user_messages.ORDERS}, 'guaranteed_until': 'expires_at'}
_KEY = f'({"|".join(_KEYS)})'
_DIRECTION = f'({"|".join(_DIRECTIONS)})'
_SORT = params.Text(
    'sort',
    'What to sort by: "key" or "key:asc" or "key:desc", or several of them joined by commas.',
    f'{_KEY}(:{_DIRECTION})?(,{_KEY}(:{_DIRECTION})?)*',
)
_SORT_KEY = params.Text('sort_key', 'What to sort by, an older way to say it.', choices=tuple(_KEYS))
_SORT_DIR = params.Text('sort_dir', 'The direction that belongs to "sort_key".', choices=tuple(_DIRECTIONS))
_FILTERS = tuple(params.Text(name, f'Only messages with this {name}.') for name in user_messages.FILTERS)

_QUERY = (_LIMIT, _OFFSET, _MARKER, _SORT, _SORT_KEY, _SORT_DIR, *_FILTERS)
_KNOWN = frozenset(one.name for one in _QUERY)
#: Asks for what nobody gets here, and is passed over.
_ALL_TENANTS = 'all_tenants'


class UserMessageCollection(base.Resource):
    policies = {'GET': 'user_messages:get_all'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(
                query=_QUERY, headers=(microversions.HEADER,), answers={200: schemas.UserMessagesOut}, refusals=(404,)
            )
        }

    def on_get(self, req, resp):
        project = req.context.caller.project
        if req.context.microversion < _PAGES:
            found = self.services.user_messages.page(project)
            resp.data = media.encode(schemas.UserMessagesOut([_show(req, one) for one in found]))
            return
        _check_query(req)
        limit = _LIMIT.read(req)
        wanted = {
            'order': _read_order(req),
            'filters': {one.name: value for one in _FILTERS if (value := one.read(req)) is not None},
            'marker': _MARKER.read(req),
            'limit': limits.MOST_USER_MESSAGES if limit is None else limit,
            'offset': _OFFSET.read(req) or 0,
        }
        if _has_unknown(req):
            # No message has such a field.
            resp.data = media.encode(schemas.UserMessagesOut([]))
            return
        found = self.services.user_messages.page(project, **wanted)
        answer = schemas.UserMessagesOut([_show(req, one) for one in found])
        if found and min(wanted['limit'], limits.MOST_USER_MESSAGES) <= len(found):
            answer.messages_links = [schemas.LinkOut('next', _next_page(req, found[-1].id))]
        resp.data = media.encode(answer)


class UserMessageItem(base.Resource):
    policies = {'GET': 'user_messages:get', 'DELETE': 'user_messages:delete'}

    @staticmethod
    def operations(dialect):
        headers = (microversions.HEADER,)
        return {
            'GET': operations.Operation(headers=headers, answers={200: schemas.UserMessageShowOut}),
            'DELETE': operations.Operation(headers=headers, answers={202: None}),
        }

    def on_get(self, req, resp, user_message_id):
        found = self.services.user_messages.get(req.context.caller.project, user_message_id)
        resp.data = media.encode(schemas.UserMessageShowOut(_show(req, found)))

    def on_delete(self, req, resp, user_message_id):
        self.services.user_messages.delete(req.context.caller.project, user_message_id)
        resp.status = falcon.HTTP_202


def _show(req, message):
    base_path = req.context.caller.base  # the version, and perhaps the project
    project = base_path.removeprefix(dialects.FAMILIES['3'].path)
    shown = schemas.UserMessageOut(
        id=message.id,
        event_id=message.event_id,
        user_message=message.text,
        message_level=message.message_level,
        created_at=_timestamp(message.created_at),
        guaranteed_until=_timestamp(message.expires_at),
        request_id=message.request_id,
        links=[
            schemas.LinkOut('self', f'{req.prefix}{base_path}/messages/{message.id}'),
            schemas.LinkOut('bookmark', f'{req.prefix}{project}/messages/{message.id}'),
        ],
    )
    if message.resource_type:
        shown.resource_type = message.resource_type
    if message.resource_uuid:
        shown.resource_uuid = message.resource_uuid
    return shown


def _timestamp(instant):
    moment = datetime.datetime.fromtimestamp(instant, datetime.UTC)
    return moment.replace(tzinfo=None).isoformat(timespec='microseconds')


def _next_page(req, marker):
    """The URL of the next page. What was passed over once is not passed over again."""
    query = {name: value for name, value in req.params.items() if name not in (_MARKER.name, _OFFSET.name)}
    return f'{req.prefix}{req.context.caller.base}/messages?{parse.urlencode({**query, _MARKER.name: marker})}'


def _check_query(req):
    for name, value in req.params.items():
        if isinstance(value, list):
            raise errors.ParameterInvalid(description=f'The "{name}" parameter is there twice. Send it once.')
        if not name.isascii():
            raise errors.ParameterInvalid(description='Names of parameters are plain ASCII.')


def _has_unknown(req):
    """Whether the query asks for messages by something that they do not have.

    :raises ParameterInvalid: it does, and the microversion of the request does not stand for that.
    """
    unknown = sorted(req.params.keys() - _KNOWN - {_ALL_TENANTS})
    if unknown and req.context.microversion >= _STRICT and 'admin' not in req.context.caller.roles:
        raise errors.ParameterInvalid(
            description=f'Messages cannot be filtered by "{unknown[0]}". '
            f'Filters are: {", ".join(user_messages.FILTERS)}.'
        )
    return bool(unknown)


def _read_order(req):
    """What to sort by, as the service wants it."""
    sort, key, direction = (one.read(req) for one in (_SORT, _SORT_KEY, _SORT_DIR))
    if 'sort' not in req.params:
        return (_read_key(key or 'created_at', direction or 'desc'),)
    if key is not None or direction is not None:
        raise errors.ParameterInvalid(description='Send either "sort", or "sort_key" and "sort_dir".')
    order = []
    for one in (sort or '').split(','):
        name, colon, direction = one.partition(':')
        order.append(_read_key(name.strip(), direction.strip() if colon else 'desc'))
    return tuple(order)


def _read_key(name, direction):
    if name not in _KEYS:
        raise errors.ParameterInvalid(
            description=f'Messages cannot be sorted by "{name}". Keys are: {", ".join(sorted(_KEYS))}.'
        )
    if direction not in _DIRECTIONS:
        raise errors.ParameterInvalid(description=f'The direction of "{name}" must be "asc" or "desc".')
    return _KEYS[name], _DIRECTIONS[direction]
