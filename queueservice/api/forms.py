"""Documents of fields, each of which is judged for itself: whoever sends one learns of all mistakes at once.

They come as JSON or as a form. Sentences about mistakes are those of Django REST framework, which clients of staged
messaging know.
"""

import functools
import io
import re
import typing
from urllib import parse

import falcon
import msgspec
from falcon.media import multipart

from queueservice.api import media
from queueservice.model import errors

_RAW = msgspec.json.Decoder(msgspec.Raw)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FORM = 'application/x-www-form-urlencoded'
_MULTIPART = 'multipart/form-data'

_BOUND = re.compile(r'Expected `(?:str|int)` (of length )?(<=|>=) (-?[0-9]+)')
_KINDS = {b'"': 'str', b'[': 'list', b'{': 'dict', b't': 'bool', b'f': 'bool', b'n': 'NoneType'}
#: Bytes that a form has beside a file.
_ENVELOPE = 64 * 1024
_NAME = re.compile(r'[^A-Za-z0-9._-]+')
_MOST_NAME = 100

REQUIRED = 'This field is required.'


class Upload(typing.NamedTuple):
    name: str
    content: bytes


def read(req, most: int) -> dict[str, msgspec.Raw]:
    """The fields of the document that is sent.

    :raises BodyInvalid, BodyTooLarge, FieldsInvalid: there are none.
    """
    kind = _kind(req)
    raw = media.read(req, most)
    if kind == _FORM:
        try:
            pairs = parse.parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise errors.BodyInvalid(description='The form cannot be read.') from None
        return {name: msgspec.Raw(media.encode(value)) for name, value in pairs}
    if kind == _MULTIPART:
        return {
            part.name: msgspec.Raw(media.encode(content.decode(errors='replace'))) for part, content in _parts(req, raw)
        }
    return read_object(media.decode(raw, _RAW))


def read_object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of an object.

    :raises FieldsInvalid: it is something else.
    """
    try:
        return _OBJECT.decode(raw)
    except RecursionError:
        raise errors.BodyInvalid(description='The request body is nested too deeply.') from None
    except msgspec.ValidationError:
        kind = _KINDS.get(bytes(raw).lstrip()[:1], 'int')
        raise errors.FieldsInvalid(
            problems={'non_field_errors': [f'Invalid data. Expected a dictionary, but got {kind}.']}
        ) from None


def read_fields(
    given: typing.Mapping[str, msgspec.Raw], kind: type[msgspec.Struct], partial: bool = False
) -> dict[str, typing.Any]:
    """Those of the fields that `kind` has, as it has them; objects as JSON. Others are passed over.

    :param partial: fields without a default may be missing, too.
    :raises FieldsInvalid: naming every field that cannot be kept.
    """
    values, problems = {}, {}
    for field in msgspec.structs.fields(kind):
        if field.name not in given:
            if field.required and not partial:
                problems[field.name] = [REQUIRED]
            continue
        try:
            values[field.name] = _convert(field.name, field.type, given[field.name])
        except _Refused as refusal:
            problems[field.name] = [str(refusal)]
    if problems:
        raise errors.FieldsInvalid(problems=problems)
    return values


def read_upload(req, name: str, most: int) -> Upload:
    """The file that is sent as the part `name` of a form.

    :raises FieldsInvalid: there is none.
    """
    kind = _kind(req)
    raw = media.read(req, most + _ENVELOPE, 'The upload', 'max_file_size')
    problem = 'No file was submitted.'
    if kind != _MULTIPART:
        problem = 'The submitted data was not a file. Check the encoding type on the form.'
    else:
        for part, content in _parts(req, raw):
            if part.name != name:
                continue
            if part.filename is None:
                problem = 'The submitted data was not a file. Check the encoding type on the form.'
            elif not content:
                problem = 'The submitted file is empty.'
            else:
                return Upload(_clean(part.filename), content)
    raise errors.FieldsInvalid(problems={name: [problem]})


class _Refused(Exception):
    pass


def _kind(req):
    if not req.content_type:
        return falcon.MEDIA_JSON
    kind = req.content_type.partition(';')[0].strip().lower()
    if kind not in (falcon.MEDIA_JSON, _FORM, _MULTIPART):
        raise falcon.HTTPUnsupportedMediaType(
            title='Unsupported media type',
            description=f'Unsupported media type "{kind[:100]}" in request. Send application/json.',
        )
    return kind


def _parts(req, raw):
    """Yield (part, what is in it) of a form."""
    _, parameters = falcon.parse_header(req.content_type)
    boundary = parameters.get('boundary', '')
    if not (boundary and boundary.isascii() and len(boundary) <= 200):
        raise errors.BodyInvalid(description='The form cannot be read: its Content-Type has no boundary.')
    if b'--%b--' % boundary.encode() not in raw:
        raise errors.BodyInvalid(description='The form cannot be read: its end is missing.')
    form = multipart.MultipartForm(io.BytesIO(raw), boundary.encode(), len(raw), multipart.MultipartParseOptions())
    try:
        for part in form:
            yield part, part.stream.read()
    except (falcon.HTTPError, UnicodeError, ValueError, LookupError):
        raise errors.BodyInvalid(description='The form cannot be read: its parts are malformed.') from None


def _clean(name):
    """A file's name as it can stand in any URL and header."""
    cleaned = _NAME.sub('_', name.replace('\\', '/').rpartition('/')[2])[-_MOST_NAME:].lstrip('.')
    return cleaned or 'file'


@functools.cache
def _decoder(kind, strict):
    return msgspec.json.Decoder(kind, strict=strict)


def _convert(name, kind, raw):
    try:
        try:
            value = _decoder(kind, True).decode(raw)
        except msgspec.ValidationError:
            # Numbers and truth values may be written as texts, and texts as numbers.
            text = bytes(raw)
            value = _decoder(kind, False).decode(b'"%b"' % text if text[0] in b'-0123456789' else text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Refused(_explain(str(error), raw)) from None
    if isinstance(value, str) and '\0' in value:
        raise _Refused('Null characters are not allowed.')
    if isinstance(value, dict):
        try:
            return bytes(media.check_value(bytes(raw), f'"{name}"'))
        except errors.BodyInvalid as error:
            raise _Refused(str(error)) from None
    return value


def _explain(problem, raw):
    bound = _BOUND.search(problem)
    if bound:
        of_length, op, number = bound.groups()
        if of_length:
            return (
                'This field may not be blank.'
                if op == '>='
                else f'Ensure this field has no more than {number} characters.'
            )
        word = 'less' if op == '<=' else 'greater'
        return f'Ensure this value is {word} than or equal to {number}.'
    if bytes(raw) == b'null':
        return 'This field may not be null.'
    if 'enum value' in problem:
        return f'"{bytes(raw).decode()[:100].strip(chr(34))}" is not a valid choice.'
    for kind, sentence in (
        ('`object', 'Value must be a JSON object.'),
        ('`int', 'A valid integer is required.'),
        ('`bool', 'Must be a valid boolean.'),
        ('`str', 'Not a valid string.'),
    ):
        if f'Expected {kind}' in problem:
            return sentence
    return 'This value cannot be kept.'
