"""Who is asking: the request id, the project, the client; and the headers that every request must have.

Falcon calls `process_request` before it looks for a route, and `process_resource` only on a route. So
an unknown path is 404 whatever its headers are, and headers are checked in the order that clients of
this API know: form bodies, Accept, Client-ID, project, names.
"""

import functools
import itertools
import os
import re
import secrets
import uuid
from urllib import parse

import falcon
import msgspec

from queueservice import logs
from queueservice.api import dialects, microversions
from queueservice.api.middleware import identity
from queueservice.model import errors, queues

#: First segments behind the version that are never a project id.
_NOT_A_PROJECT = ('queues', 'health', 'ping', 'pools', 'flavors', 'topics', 'projects', 'shards', 'subscriptions')
_NOT_A_PROJECT_IN = {'v3': ('messages',)}
_LONG = re.compile(r'/(v1|v1\.1|v2|v3)/([^/]+)(/.*)?', re.DOTALL)
#: Nearly every path begins like this, and names no project.
_SHORT = ('/v2/queues/', '/v1.1/queues/', '/v1/queues/')

_JSON_TYPES = frozenset({None, '', '*/*', 'application/json', 'application/*'})

#: Roles where nobody authenticates and nobody says.
_EVERYBODY = ('member',)
_ADMINISTRATOR = ('admin',)


#: How many callers a process remembers, and how long their headers may be for that, all together.
_REMEMBERED = 16384
_REMEMBERED_LENGTH = 512


def _begin_request_ids():
    # Unique among processes by the random part, within one by the count.
    global _request_ids
    form = f'req-{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000-%012x'
    _request_ids = map(form.__mod__, itertools.count(1))


_begin_request_ids()
os.register_at_fork(after_in_child=_begin_request_ids)


class Caller(msgspec.Struct):
    """Who sends a request: by its credentials, or where nobody asks for them by its headers."""

    namespace: str
    project: str
    client: bytes | None  # None where the version asks for none and none was sent
    roles: frozenset[str]
    base: str  # what paths given to this caller begin with: the version, and the project if its URL has it
    user: str | None = None  # None where the headers are believed
    link: str | None = None  # the subscription whose confirmation link was followed: nothing else came with it
    allowed: set[str] = msgspec.field(default_factory=set)  # policy rules that are known to let it pass


class ContextMiddleware:
    """Gives `req.context` its `request_id`, `caller` and, where the URL names one, `queue`."""

    def __init__(self, authentication: identity.Authentication, admin_mode: bool, read_client_id):
        self._authentication = authentication
        self._is_required = authentication.is_required
        self._admin_mode = admin_mode
        self._read_client_id = read_client_id
        # The same headers mean the same caller: most requests are spared the checks.
        self._callers: dict[tuple, Caller] = {}

    def process_request(self, req, resp):
        context = req.context
        context.request_id = request_id = next(_request_ids)
        header = req.env.get
        logs.begin_request(request_id, header('HTTP_X_OPENSTACK_REQUEST_ID') or header('HTTP_X_REQUEST_ID'))
        resp.set_header('X-Openstack-Request-Id', request_id)
        # What a project keeps is nobody else's: caches leave it alone, and browsers take it for what it says it is.
        resp.set_header('Cache-Control', 'no-store')
        resp.set_header('X-Content-Type-Options', 'nosniff')
        if req.path.startswith(_SHORT):
            context.url_project = None
        else:
            if dialects.find(req.path).microversions:
                resp.set_header('X-Compute-Request-Id', request_id)
            self._take_project_from_path(req)

    def process_resource(self, req, resp, resource, params):
        dialect = resource.dialect
        if dialect is None:
            return
        if '' in params.values():  # a path that ends in a slash
            raise falcon.HTTPRouteNotFound()
        context = req.context
        env = req.env
        who = None
        if (
            self._is_required
            or 'HTTP_X_AUTH_TOKEN' in env
            or 'HTTP_AUTHORIZATION' in env
            or 'HTTP_URL_SIGNATURE' in env
        ):
            who = self._authentication.identify(req, resource)
        if dialect.microversions:
            context.microversion = microversions.negotiate(req, resp)
        header = env.get
        if header('CONTENT_TYPE') and header('CONTENT_LENGTH') and not dialect.takes_forms:
            _refuse_forms(header('CONTENT_TYPE'))
        headers = (
            dialect.path,
            context.url_project,
            header('HTTP_ACCEPT'),
            header('HTTP_CLIENT_ID'),
            header('HTTP_X_PROJECT_ID'),
            header('HTTP_X_ROLES'),
            who,
        )
        context.caller = caller = self._callers.get(headers) or self._identify(req, dialect, headers)
        name = params.get('queue_name')
        if name is not None:
            context.queue = queues.check_key(caller.namespace, caller.project, name)
        if dialect.content_location and req.method in ('GET', 'HEAD'):
            query = f'?{req.query_string}' if req.query_string else ''
            resp.set_header('Content-Location', f'{caller.base}{parse.quote(req.path[len(dialect.path) :])}{query}')

    def _identify(self, req, dialect, headers):
        _, url_project, accept, client, of_header, roles, who = headers
        if accept not in _JSON_TYPES and not req.client_accepts(falcon.MEDIA_JSON):
            raise falcon.HTTPNotAcceptable(
                title='Not acceptable', description='This API answers in JSON. Accept must admit application/json.'
            )
        if not dialect.client_known:
            client = None
        elif client is not None:
            client = self._read_client_id(client)
        elif dialect.client_required:
            raise _no_client()
        namespace = queues.PROJECT
        base = dialect.path
        if url_project is not None:
            project = queues.check_project(url_project)
            if project in ('.', '..'):
                raise errors.NameInvalid(description='Project ids in a URL may not be "." or "..": proxies fold them.')
            dialect.check_project(
                project, None if who is None else who.project, None if of_header is None else decode(of_header)
            )
            base = f'{base}/{parse.quote(project, safe="")}'
        elif who is not None:
            project = who.project
        elif of_header is not None:
            project = queues.check_project(decode(of_header))
        elif dialect.project_required:
            raise dialect.refuse_nobody()
        else:
            namespace, project = queues.SHARED, ''
        if who is None:
            caller = Caller(namespace, project, client, self._read_roles(roles), base)
        else:
            caller = Caller(namespace, project, client, who.roles, base, who.user, who.link)
        if sum(map(len, filter(None, headers[:-1]))) <= _REMEMBERED_LENGTH:
            if len(self._callers) >= _REMEMBERED:
                self._callers.clear()
            self._callers[headers] = caller
        return caller

    def _take_project_from_path(self, req):
        match = _LONG.fullmatch(req.path)
        if match is None or match[2] in _NOT_A_PROJECT or match[2] in _NOT_A_PROJECT_IN.get(match[1], ()):
            req.context.url_project = None
            return
        version, project, tail = match.groups()
        req.context.url_project = project
        req.path = f'/{version}{tail or "/"}'

    def _read_roles(self, header):
        roles = _EVERYBODY if header is None else header.split(',')
        return identity.imply([*roles, *(_ADMINISTRATOR if self._admin_mode else ())])


def client(req) -> bytes:
    """The client of this request, where the route cannot do without."""
    if req.context.caller.client is None:
        raise _no_client()
    return req.context.caller.client


def decode(header: str) -> str:
    """The text of a header, which WSGI hands on byte for byte: read as a path is, so that both name one project."""
    return header.encode('latin-1').decode(errors='replace')


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
