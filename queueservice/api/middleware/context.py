"""Who is asking: the request id, the project, the client; and the headers that every request must have.

Falcon calls `process_request` before it looks for a route, and `process_resource` only on a route. So
an unknown path is 404 whatever its headers are, and headers are checked in the order that clients of
this API know: form bodies, Accept, Client-ID, project, names.
"""

import functools
import itertools
import re
import secrets
import uuid
from urllib import parse

import falcon

from queueservice.model import errors, queues

#: First segments behind the version that are never a project id.
_NOT_A_PROJECT = ('queues', 'health', 'ping', 'pools', 'flavors', 'topics', 'projects', 'shards')
_SHORT = tuple(f'/{version}/{word}' for version in ('v2', 'v1.1', 'v1') for word in _NOT_A_PROJECT)
_LONG = re.compile(r'/(v1|v1\.1|v2)/([^/]+)(/.*)?', re.DOTALL)

_JSON_TYPES = frozenset({None, '', '*/*', 'application/json', 'application/*'})

#: Roles where nobody authenticates and nobody says.
_EVERYBODY = frozenset({'member', 'reader'})
_ADMINISTRATOR = frozenset({'admin', 'member', 'reader'})


class ContextMiddleware:
    def __init__(self, admin_mode: bool, read_client_id):
        self._everybody = _ADMINISTRATOR if admin_mode else _EVERYBODY
        self._admin_mode = admin_mode
        self._read_client_id = read_client_id
        # Unique among processes by its random part, within one by its count.
        self._request_ids = map(
            f'req-{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000-{{:012x}}'.format, itertools.count(1)
        )

    def process_request(self, req, resp):
        context = req.context
        context.request_id = request_id = next(self._request_ids)
        resp.set_header('X-Openstack-Request-Id', request_id)
        path = req.path
        context.url_project = None
        if not path.startswith(_SHORT):
            self._take_project_from_path(req, path)

    def process_resource(self, req, resp, resource, params):
        dialect = resource.dialect
        if dialect is None:
            return
        context = req.context
        env = req.env
        if env.get('CONTENT_TYPE') and env.get('CONTENT_LENGTH'):
            _refuse_forms(env['CONTENT_TYPE'])
        if env.get('HTTP_ACCEPT') not in _JSON_TYPES and not req.client_accepts(falcon.MEDIA_JSON):
            raise falcon.HTTPNotAcceptable(
                title='Not acceptable', description='This API answers in JSON. Accept must admit application/json.'
            )
        client = env.get('HTTP_CLIENT_ID')
        if client is not None:
            context.client = self._read_client_id(client)
        elif dialect.client_required:
            raise _no_client()
        else:
            context.client = None
        project = context.url_project
        if project is None:
            project = env.get('HTTP_X_PROJECT_ID')
            context.base = dialect.path
        else:
            context.base = f'{dialect.path}/{parse.quote(project, safe="")}'
        if project is not None:
            context.namespace = queues.PROJECT
            context.project = queues.check_project(project)
        elif dialect.project_required:
            raise falcon.HTTPBadRequest(
                title='Project-Id Missing',
                description='The header X-Project-Id was missing. Set it to your project id.',
            )
        else:
            context.namespace = queues.SHARED
            context.project = ''
        if dialect.content_location and req.method == 'GET':
            query = f'?{req.query_string}' if req.query_string else ''
            resp.set_header('Content-Location', f'{context.base}{parse.quote(req.path[len(dialect.path) :])}{query}')
        name = params.get('queue_name')
        if name is not None:
            context.queue = queues.check_key(context.namespace, context.project, name)
        roles = env.get('HTTP_X_ROLES')
        context.roles = self._everybody if roles is None else self._read_roles(roles)

    def _take_project_from_path(self, req, path):
        match = _LONG.fullmatch(path)
        if match is None:
            return
        version, project, tail = match.groups()
        req.context.url_project = project
        req.path = f'/{version}{tail or "/"}'

    def _read_roles(self, header):
        roles = {role.strip().lower() for role in header.split(',')}
        if self._admin_mode or 'admin' in roles:
            return _ADMINISTRATOR | roles
        return frozenset(roles | {'reader'} if 'member' in roles else roles)


def client(req) -> bytes:
    """The client of this request, where the route cannot do without."""
    if req.context.client is None:
        raise _no_client()
    return req.context.client


@functools.lru_cache(maxsize=65536)
def read_uuid(text: str) -> bytes:
    """The bytes of a Client-ID; two spellings of one UUID are one client."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        raise falcon.HTTPBadRequest(
            title='Wrong UUID value',
            description='Malformed hexadecimal UUID. The "Client-ID" header must be one.',
        ) from None


def read_any(least: int, most: int):
    """Return a function that takes any text of `least` to `most` characters as a Client-ID."""

    def read(text: str) -> bytes:
        if not least <= len(text) <= most:
            raise errors.HeaderInvalid(description=f'The "Client-ID" header must have {least} to {most} characters.')
        return text.encode('latin-1')

    return read


def _no_client():
    return errors.HeaderMissing(description='The "Client-ID" header is required. Set it to a UUID of your own.')


def _refuse_forms(content_type):
    if content_type.lower() == 'application/x-www-form-urlencoded':
        raise falcon.HTTPBadRequest(
            title='Invalid Content-Type',
            description='Endpoint does not accept `application/x-www-form-urlencoded` content; currently supported '
            'media type is `application/json`; specify proper client-side media type with the "Content-Type" header.',
        )
