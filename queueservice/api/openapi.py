"""The OpenAPI document of the API, made of what serves it.

Paths come from `routes`, what is said about a method from its policy rule and its `operations`, documents from
the structs that decode and encode them, bounds from the limits in force.
"""

import functools
import http
import importlib.metadata
import re

import msgspec

from queueservice.api import dialects, media, operations, params, policies, routes
from queueservice.api.resources import base, home
from queueservice.api.schemas import home as schemas
from queueservice.model import limits as limits_module
from queueservice.model import messages, metadata, queues, signatures

#: Where the document is served.
PATH = '/openapi.json'

METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')

_COMPONENT = '#/components/schemas/{name}'
_RESPONSE = '#/components/responses/{name}'
_JSON_TYPES = {int: 'integer', str: 'string', bool: 'boolean', dict: 'object'}

#: A project id, as far as a pattern can say.
_PROJECT = '^[^,\\x00-\\x1f\\x7f-\\x9f\\ufffd]+$'

#: Ids that are numbers.
_ID = {'type': 'integer', 'minimum': 0}

#: Fields of paths.
_FIELDS = {
    'queue_name': ('The name of the queue.', {'type': 'string', 'pattern': f'^{queues.NAME.pattern}$'}),
    'bucket_key': ('The key of the bucket.', {'type': 'string', 'pattern': '^[0-9a-z]{12}$'}),
    'uuid': ('The id of the message.', {'type': 'string', 'format': 'uuid'}),
    'collection_uuid': ('The id of the collection.', {'type': 'string', 'format': 'uuid'}),
    'user_message_id': ('The id of the user message.', {'type': 'string', 'minLength': 1}),
    'schedule_id': ('The id of the schedule.', _ID),
    'messageset_id': ('The id of the message set.', _ID),
    'setmessage_id': ('The id of the message.', _ID),
    'file_id': ('The id of the file.', _ID),
    'failure_id': ('The id of the failed task.', _ID),
    'enrolment_id': ('The id of the subscription.', {'type': 'string', 'format': 'uuid'}),
    'file_token': ('The secret part of the address.', {'type': 'string', 'minLength': 1}),
    'file_name': ('The name of the file.', {'type': 'string', 'minLength': 1}),
    'message_id': ('The id of the message.', {'type': 'string', 'minLength': 1}),
    'claim_id': ('The id of the claim.', {'type': 'string', 'minLength': 1}),
    'delivery_id': ('The id of the delivery.', {'type': 'string', 'minLength': 1}),
    'subscription_id': ('The id of the subscription.', {'type': 'string', 'minLength': 1}),
    'project_id': ('The id of the project.', {'type': 'string', 'minLength': 1, 'maxLength': 256, 'pattern': _PROJECT}),
}

#: Statuses that blame the request or the service.
_REFUSALS = {
    400: 'The request cannot be meant as it stands. The description says what to change.',
    401: 'A token is needed, or the one that was sent is not good.',
    403: 'The policy does not allow it, the message is claimed and its claim was not named, or a quota is reached.',
    404: 'There is no such thing, or it belongs to another project.',
    406: '`Accept` does not admit JSON.',
    409: 'In conflict with what is stored.',
    414: 'The path with its query is longer than the server takes. The server itself says so, not always in JSON.',
    415: 'The document has the wrong `Content-Type`, or it is compressed.',
    429: 'The project sends more requests than it may. `Retry-After` says when to try again.',
    503: 'The storage does not answer, and nothing was acknowledged. `Retry-After` says when to try again.',
}
#: Those that every route of a version may answer.
_ALWAYS = (400, 401, 403, 406, 414, 503)

#: How a token is sent.
_TOKENS = {
    'token': {'type': 'apiKey', 'in': 'header', 'name': 'X-Auth-Token'},
    'bearer': {'type': 'http', 'scheme': 'bearer'},
}

#: What a pre-signed URL is sent with: all of it.
_SIGNED = {
    'signature': {
        'type': 'apiKey',
        'in': 'header',
        'name': 'URL-Signature',
        'description': 'Of a pre-signed URL, with the four others as they were given out with it.',
    },
    'signed_paths': {'type': 'apiKey', 'in': 'header', 'name': 'URL-Paths'},
    'signed_methods': {'type': 'apiKey', 'in': 'header', 'name': 'URL-Methods'},
    'signed_expiry': {'type': 'apiKey', 'in': 'header', 'name': 'URL-Expires'},
    'signed_project': {'type': 'apiKey', 'in': 'header', 'name': 'X-Project-Id'},
}

_DESCRIPTION = """Message queues over HTTP, for many projects at once, with the API of OpenStack Zaqar.

`/v2` is the current version; the others are there for older clients. The project may stand behind the version, as in
`/v2/{project_id}/queues`, and then counts instead of the header. Fields and parameters that are not known are passed
over. Pre-signed URLs (`POST /v2/queues/{queue_name}/share`) open some routes of one queue without a token.

`/v3` is not a version of it but the API of OpenStack's block storage messages: what a project is told when a delivery
was given up."""


@functools.lru_cache(maxsize=8)
def build(
    versions: tuple[str, ...],
    admin_mode: bool,
    needs_token: bool,
    any_client_id: tuple[int, int] | None,
    limits: limits_module.Limits,
) -> bytes:
    """The document for an application with these settings (as in `app.Settings`), as JSON.

    :param needs_token: whether headers are believed no more.
    :raises ValueError: a route lacks what the document must say of it.
    """
    return media.encode(_Builder(needs_token, any_client_id, limits).build(versions, admin_mode))


class _Builder:
    def __init__(self, needs_token, any_client_id, limits):
        self._needs_token = needs_token
        self._limits = limits
        self._rules = {rule.name: rule for rule in policies.list_rules()}
        self._client_id = {'type': 'string', 'format': 'uuid'}
        if any_client_id:
            self._client_id = {'type': 'string', 'minLength': any_client_id[0], 'maxLength': any_client_id[1]}
        self._types = []  # each document once, in the order of their schemas
        self._refusals = {}
        self._names = set()

    def build(self, versions, admin_mode):
        paths = {'/': self._path('/', home.Versions, None)}
        for route in routes.PUBLIC_ROUTES:
            paths[route.path] = self._path(route.path, route.resource, None)
        for version in versions:
            dialect = dialects.VERSIONS[version]
            paths[f'{dialect.path}/'] = self._path('/', home.Home, dialect)
        paths[f'{home.VolumeVersion.PATH}/'] = self._path('/', home.VolumeVersion, None)
        for name in (*versions, *routes.FAMILIES):
            dialect = dialects.APIS[name]
            for route in routes.served(name, admin_mode):
                paths[dialect.path + route.path] = self._path(route.path, route.resource, dialect)
        return {
            'openapi': '3.1.0',
            'info': {
                'title': 'queueservice',
                'version': importlib.metadata.version('queueservice'),
                'description': _DESCRIPTION,
            },
            'paths': paths,
            'components': self._components(),
            'security': self._credentials(),
        }

    def _credentials(self):
        """Each of them is enough."""
        return [*([] if self._needs_token else [{}]), *({name: []} for name in _TOKENS)]

    def _path(self, path, resource, dialect):
        described = resource.operations(dialect)
        item = {}
        for method in METHODS:
            if not hasattr(resource, f'on_{method.lower()}'):
                continue
            if method not in described:
                raise ValueError(
                    f'{resource.__name__} answers {method} {path}, but its operations() do not describe {method}. '
                    'Add an Operation that says what it takes and answers.'
                )
            item[method.lower()] = self._operation(method, path, resource, dialect, described[method])
        fields = re.findall(r'{(\w+)}', path)
        if fields:
            item['parameters'] = [self._field(name, path) for name in fields]
        return item

    def _operation(self, method, path, resource, dialect, operation):
        rule = self._rules.get(resource.policies.get(method))
        is_public = issubclass(resource, base.PublicResource)
        described = {
            'operationId': self._name(method, dialect, operation.name or rule.name),
            'summary': operation.summary or rule.description,
            'tags': [dialect.path.removeprefix('/') if dialect else 'service'],
            'parameters': [
                *([] if is_public else self._caller(dialect, operation)),
                *map(_header, operation.headers),
                *map(self._parameter, operation.query),
            ],
        }
        if operation.takes is not None:
            described['requestBody'] = {
                'required': operation.required,
                'content': {operation.media: {'schema': self._schema(operation.takes)}},
            }
        if is_public:
            described['security'] = []
        elif signatures.is_for_route(method, dialect.path + path):
            described['security'] = [*self._credentials(), {name: [] for name in _SIGNED}]
        refusals = {
            *operation.refusals,
            *(() if is_public else _ALWAYS),
            *((415,) if operation.takes else ()),
            *((404,) if '{' in path else ()),
            *((429,) if resource.counted else ()),
        }
        described['responses'] = {
            **{str(status): self._answer(status, operation, sent) for status, sent in operation.answers.items()},
            **{
                str(status): {'$ref': _RESPONSE.format(name=self._refuse(status, dialect))}
                for status in sorted(refusals)
            },
        }
        return described

    def _refuse(self, status, dialect):
        """The name of the response that an API has for an error: each has documents of its own."""
        document = (dialect or dialects.VERSIONS['2']).error_out
        name = str(status) if document is schemas.ErrorOut else f'{_label(dialect)}_{status}'
        content = {operations.JSON: {'schema': self._schema(document)}}
        self._refusals[name] = {
            'description': _REFUSALS[status],
            **({} if status == http.HTTPStatus.REQUEST_URI_TOO_LONG else {'content': content}),
        }
        return name

    def _name(self, method, dialect, name):
        """`queues_get` in the newest version, `v1_queues_get` in an older one: each once in the document."""
        name = name.replace(':', '_') + ('_head' if method == 'HEAD' else '')
        if dialect and dialect.path != '/v2':
            name = f'{_label(dialect)}_{name}'
        if name in self._names:
            raise ValueError(f'Two operations are called {name}. Give one of them a name of its own.')
        self._names.add(name)
        return name

    def _answer(self, status, operation, document):
        described = {'description': f'{http.HTTPStatus(status).phrase}.'}
        if document is not None:
            several = document if isinstance(document, tuple) else (document,)
            listed = [self._schema(one) for one in several]
            schema = {'anyOf': listed} if len(listed) > 1 else listed[0]
            described['content'] = {operation.shows: {'schema': schema}}
        if status == http.HTTPStatus.CREATED:
            described['headers'] = {'Location': {'description': 'The path of it.', 'schema': {'type': 'string'}}}
        return described

    def _caller(self, dialect, operation):
        """What says who asks, beside a token."""
        client = {
            'name': 'Client-ID',
            'in': 'header',
            'required': dialect.client_required or operation.client,
            'description': 'What the client chose to be called.',
            'schema': self._client_id,
        }
        project = {
            'name': 'X-Project-Id',
            'in': 'header',
            'required': dialect.project_required,
            'description': 'Whose queues these are. Where a token is sent, its project counts.',
            'schema': {'type': 'string', 'minLength': 1, 'maxLength': 256, 'pattern': _PROJECT},
        }
        return [
            *([] if self._needs_token else [project]),
            *([client] if dialect.client_known else []),
        ]

    def _field(self, name, path):
        if name not in _FIELDS:
            raise ValueError(f'What is {{{name}}} in {path}? Describe it in api/openapi.py, _FIELDS.')
        description, schema = _FIELDS[name]
        return {'name': name, 'in': 'path', 'required': True, 'description': description, 'schema': schema}

    def _parameter(self, parameter):
        described = {
            'name': parameter.name,
            'in': 'query',
            'required': False,
            'description': parameter.description,
        }
        match parameter:
            case params.Text():
                schema = _text(parameter)
            case params.Integer():
                schema = {'type': 'integer', **self._bounds(parameter.bound)}
            case params.Count():
                schema = {'type': 'integer', 'minimum': 1, 'default': parameter.default}
            case params.Instant():
                schema = {'type': 'number'}
            case params.Boolean():
                schema = {'type': 'boolean', 'default': False}
            case params.Time():
                schema = {'type': 'string', 'pattern': f'^{messages.TIMESTAMP.pattern}$'}
            case params.Words():
                described |= {'style': 'form', 'explode': False}
                least, most = self._limits.bounds()[parameter.bound]
                schema = {
                    'type': 'array',
                    'items': {'type': 'string', 'minLength': 1},
                    'minItems': least,
                    'maxItems': most,
                }
            case params.Others():
                described |= {'style': 'form', 'explode': True}
                schema = {
                    'type': 'object',
                    'additionalProperties': {'type': 'string'},
                    'maxProperties': parameter.most,
                }
        return {**described, 'schema': schema}

    def _bounds(self, name):
        least, most = self._limits.bounds()[name]
        return {'minimum': least, 'maximum': most}

    def _schema(self, document):
        if document not in self._types:
            self._types.append(document)
        [schema], _ = msgspec.json.schema_components([document], ref_template=_COMPONENT)
        return schema

    def _components(self):
        _, documents = msgspec.json.schema_components(self._types, ref_template=_COMPONENT)
        documents['Metadata'] = self._metadata()
        return {
            'securitySchemes': _TOKENS | _SIGNED,
            'schemas': self._bound(documents),
            'responses': dict(sorted(self._refusals.items())),
        }

    def _metadata(self):
        properties = {}
        for name, (kind, least, most) in metadata.attributes(self._limits).items():
            properties[name] = {'type': [_JSON_TYPES[kind], 'null']}
            if least is not None:
                properties[name] |= {'minimum': least, 'maximum': most}
        return {
            'type': 'object',
            'title': 'Metadata',
            'description': 'Any members, and reserved attributes, which begin with "_".',
            'properties': properties,
        }

    def _bound(self, schema):
        """`schema` with figures where structs have names of bounds, and all the types that a lenient reader takes."""
        if isinstance(schema, list):
            return [self._bound(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        bound = {name: self._bound(value) for name, value in schema.items() if name != 'x-bound'}
        if 'x-type' in bound:
            bound['type'] = bound.pop('x-type')
        if 'x-bound' in schema:
            bound |= self._bounds(schema['x-bound'])
        return bound


def _label(dialect):
    """What stands for an API in names of the document."""
    return re.sub('[./]', '_', dialect.path.removeprefix('/'))


def _header(header):
    return {
        'name': header.name,
        'in': 'header',
        'required': False,
        'description': header.description,
        'schema': _text(header),
    }


def _text(parameter):
    schema = {'type': 'string'}
    if parameter.pattern:
        schema['pattern'] = f'^{parameter.pattern}$'
    if parameter.choices:
        schema['enum'] = parameter.choices
    return schema
