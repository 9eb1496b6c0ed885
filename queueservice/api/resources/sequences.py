"""What the resources of staged messaging have in common: pages, records, links, times."""

import datetime
import typing
import uuid
from urllib import parse

import falcon
import msgspec

from queueservice.api import forms, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import sequences as schemas
from queueservice.model import errors

#: How many records a page has that does not say otherwise, and at the most.
PAGE = 1000
_MOST_DIGITS = 15

LIMIT = params.Text('limit', f'The most records of the page, {PAGE} at the most. What is none is passed over.')
OFFSET = params.Text('offset', 'How many records to pass over. What is no number is passed over.')


class Readable(base.Resource):
    """A URL that can be read, with and without a slash at its end.

    :cvar standing: whether the slash belongs there, so that a GET without it is sent to where it is.
    """

    standing = False

    def on_get(self, req, resp, **ids):
        if self.standing and not req.path.endswith('/'):
            query = f'?{req.query_string}' if req.query_string else ''
            raise falcon.HTTPMovedPermanently(f'{req.prefix}{parse.quote(req.path)}/{query}')
        self.get(req, resp, **ids)


#: Type of a filter -> what its values look like: a pattern, choices.
_FORMS = {
    schemas.Id: ('[0-9]{1,18}',),
    schemas.Number: ('-?[0-9]{1,9}',),
    uuid.UUID: ('[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}',),
    bool: ('', ('true', 'false', 'True', 'False')),
    schemas.ContentType: ('', typing.get_args(schemas.ContentType)),
    schemas.Metadata: (r'\s*(\{.*\}|null)\s*',),
}


class Collection(Readable):
    """Records of one kind.

    :cvar form: the struct of what is sent.
    :cvar page_out: the struct of a page.
    :cvar filters: `Filter`s.
    """

    standing = True
    form: type[msgspec.Struct]
    page_out: type[msgspec.Struct]
    filters: tuple = ()

    @classmethod
    def operations(cls, dialect):
        return {
            'GET': operations.Operation(
                query=(LIMIT, OFFSET, *(one.parameter for one in cls.filters)), answers={200: cls.page_out}
            ),
            'POST': operations.Operation(takes=cls.form, answers={201: cls.record_out}),
        }

    def get(self, req, resp):
        limit = _read_number(req, LIMIT) or PAGE
        limit, offset = min(limit, PAGE), _read_number(req, OFFSET) or 0
        page = self.find_page(req, limit, offset)
        path = f'{req.prefix}{req.path}'
        answer = self.page_out(
            count=page.count,
            next=_link(req, path, limit, offset + limit) if page.more else None,
            previous=_link(req, path, limit, max(0, offset - limit)) if offset else None,
            results=self.show_all(req, page.values),
        )
        resp.data = media.encode(answer)

    def on_post(self, req, resp):
        given = forms.read(req, self.services.limits.max_messages_post_size)
        made = self.noun.create(req.context.caller.project, forms.read_fields(given, self.form))
        self.answer_created(req, resp, made)

    def answer_created(self, req, resp, made):
        [shown] = self.show_all(req, [made])
        resp.data = media.encode(shown)
        resp.status = falcon.HTTP_201

    def find_page(self, req, limit, offset):
        more = (self.read_filters(req),) if self.filters else ()
        return self.noun.page(req.context.caller.project, *more, offset=offset, limit=limit)

    def read_filters(self, req):
        return read_filters(req, self.filters)


class Item(Readable):
    """One record."""

    standing = True
    form: type[msgspec.Struct]
    record_out: type[msgspec.Struct]

    @classmethod
    def operations(cls, dialect):
        changed = operations.Operation(takes=cls.form, answers={200: cls.record_out})
        return {
            'GET': operations.Operation(answers={200: cls.record_out}),
            'PUT': changed,
            'PATCH': changed._replace(name=cls.policies['PATCH'].replace('update', 'patch')),
            'DELETE': operations.Operation(answers={204: None}, refusals=(409,)),
        }

    def get(self, req, resp, **ids):
        self.answer(req, resp, self.noun.get(req.context.caller.project, self.read_id(*ids.values())))

    def on_put(self, req, resp, **ids):
        self.change(req, resp, ids, partial=False)

    def on_patch(self, req, resp, **ids):
        self.change(req, resp, ids, partial=True)

    def change(self, req, resp, ids, partial):
        id, project = self.read_id(*ids.values()), req.context.caller.project
        self.noun.get(project, id)
        given = forms.read(req, self.services.limits.max_messages_post_size)
        self.answer(req, resp, self.noun.change(project, id, forms.read_fields(given, self.form, partial)))

    def on_delete(self, req, resp, **ids):
        id = self.read_id(*ids.values())
        self.noun.delete(req.context.caller.project, id)
        self.audit(req, self.policies['DELETE'].replace('s:', '.'), id=id)
        resp.status = falcon.HTTP_204

    def read_id(self, text):
        return read_id(text)

    def answer(self, req, resp, value):
        [shown] = self.show_all(req, [value])
        resp.data = media.encode(shown)


class Filter(msgspec.Struct, frozen=True):
    """A parameter by which lists are narrowed, and the type of its values."""

    name: str
    description: str
    kind: object

    @property
    def parameter(self) -> params.Text:
        return params.Text(self.name, self.description, *_FORMS.get(self.kind, ()))


def read_filters(req, filters) -> dict:
    """The values of those filters that the query has.

    :raises FieldsInvalid: one cannot be a value.
    """
    values, problems = {}, {}
    for one in filters:
        text = one.parameter.read(req)
        if text is None:
            continue
        try:
            values[one.name] = _convert(text, one.kind)
        except (ValueError, OverflowError):
            problems[one.name] = ['Enter a valid value.']
    if problems:
        raise errors.FieldsInvalid(problems=problems)
    return values


def _convert(text, kind):
    if '\0' in text:
        raise ValueError(text)
    if kind is datetime.datetime:
        return read_time(text)
    if kind is uuid.UUID:
        return str(uuid.UUID(text))
    if kind is schemas.Metadata:
        return _read_metadata(text)
    if kind is bool and text.lower() not in ('true', 'false'):
        raise ValueError(text)
    return msgspec.convert(text, kind, strict=False)


def _read_metadata(text):
    """The JSON of an object, or None for null."""
    try:
        raw = text.encode()
        read = msgspec.json.decode(raw, type=schemas.Metadata | None)
    except (UnicodeEncodeError, RecursionError) as error:
        raise ValueError(text) from error
    return None if read is None else media.check_value(raw, 'The "metadata" parameter')


def read_time(text: str) -> float:
    """An instant (s, UTC) in the ISO form; UTC where it names no zone.

    :raises ValueError: it is none.
    """
    # A plus that was not escaped is a blank by now.
    at = datetime.datetime.fromisoformat(text.strip().replace(' 0', '+0') if 'T' in text else text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return at.timestamp()


def write_time(at: float) -> str:
    """An instant (s, UTC) as this API writes it."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f'{moment.replace(tzinfo=None).isoformat(timespec="microseconds")}Z'


def read_id(text: str) -> int:
    """The id that a path has.

    :raises NotFound: nothing can have it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise errors.NotFound(description='Not found.')
    return int(text)


def _read_number(req, parameter):
    text = parameter.read(req)
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    return int(text)


def _link(req, path, limit, offset):
    """The URL of another page: what the request asked for, with another place."""
    pairs = parse.parse_qsl(req.query_string, keep_blank_values=True, errors='replace')
    pairs = [pair for pair in pairs if pair[0] not in ('limit', 'offset')]
    pairs += [('limit', limit)] + ([('offset', offset)] if offset else [])
    return f'{path}?{parse.urlencode(pairs)}'
