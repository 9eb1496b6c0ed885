"""Bodies in and out: bytes, JSON, and what is wrong with them in words."""

import collections.abc
import re
import types

import falcon
import msgspec

from queueservice.model import errors, limits

encode = msgspec.json.Encoder().encode

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_NUMBERS = re.compile(rb'-?[0-9][0-9.eE+-]*')
#: With these two, a look at the bytes tells whether any number can be too large for a double: it has an
#: exponent of three digits, or two and so many digits before it. Regular expressions take ten times as long.
_ALIKE = bytes.maketrans(b'{E0123456789', b'[e9999999999')
_LONG_EXPONENT = b'9e999'
_LONG_NUMBER = b'9' * 209

_NONE = types.MappingProxyType({})

_MISSING = re.compile(r'Object missing required field `(?P<field>[^`]+)`')
_UNKNOWN = re.compile(r'Object contains unknown field `(?P<field>.*)`', re.DOTALL)
_WRONG_TYPE = re.compile(r'Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`')


def read(req, most: int, what: str = 'Request body', name: str = 'max_messages_post_size') -> bytes:
    """Read the whole body, counting what arrives: a declared length is believed only to refuse early.

    No body is b''. A body of unknown length (chunked) is read where the server marks its end.

    :raises BodyTooLarge: more than `most` bytes; no more than that is held in memory.
    :raises BodyInvalid: it does not arrive whole.
    :raises falcon.HTTPUnsupportedMediaType: it is compressed or encrypted.
    """
    length = req.env.get('CONTENT_LENGTH')
    if length:
        declared = req.content_length
        # To look for a header by its name takes longer than to read the body.
        if declared and ('HTTP_CONTENT_ENCODING' in req.env or 'HTTP_TRANSFER_ENCODING' in req.env):
            _check_coding(req)
        if declared > most:
            raise errors.BodyTooLarge(what=what, size=declared, most=most, name=name)
        raw = _read(req, declared)
        if len(raw) < declared:
            raise errors.BodyInvalid(
                description=f'The request body ended after {len(raw)} of the {declared} bytes that Content-Length says.'
            )
        return raw
    if not req.env.get('wsgi.input_terminated'):
        return b''
    _check_coding(req)
    raw = _read(req, most + 1)
    if len(raw) > most:
        raise errors.BodyTooLarge(what=what, size=f'more than {most}', most=most, name=name)
    return raw


def _check_coding(req):
    # What is small when it is packed may be of any size when it is not.
    for name, plain in (('Content-Encoding', 'identity'), ('Transfer-Encoding', 'chunked')):
        coding = req.get_header(name)
        if coding and coding.strip().lower() != plain:
            raise falcon.HTTPUnsupportedMediaType(
                title='Unsupported coding',
                description=f'Bodies are not unpacked here. Send this one as it is; {name} may be {plain} at the most.',
                headers={'Accept-Encoding': 'identity'},
            )


def _read(req, size):
    try:
        return req.env['wsgi.input'].read(size)
    except Exception as error:  # every server has errors of its own for a body that is malformed or cut off
        raise errors.BodyInvalid(
            description='The request body cannot be read to its end: it is cut off, or its chunks are malformed.'
        ) from error


def decode(raw: bytes, decoder: msgspec.json.Decoder, choices: collections.abc.Mapping[str, tuple[str, ...]] = _NONE):
    """Decode a JSON document into what `decoder` is for.

    :param choices: by the names of fields that are one of a few words, or a list of them: which; for the error.
    :raises BodyInvalid: naming the place and what should be there.
    """
    if not raw:
        raise errors.BodyInvalid(description='Request body can not be empty. Send a JSON document.')
    try:
        # msgspec does not look at the UTF-8 of what it passes over.
        raw.decode()
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise errors.BodyInvalid(
            description=f'Request body could not be parsed. It is not UTF-8 (byte {error.start}).'
        ) from None
    except msgspec.ValidationError as error:
        raise errors.BodyInvalid(description=_explain(str(error), choices)) from None
    except msgspec.DecodeError as error:
        raise errors.BodyInvalid(description=f'Request body could not be parsed. {error}.') from None
    except RecursionError:
        raise errors.BodyInvalid(description=_too_deep('The request body')) from None


def is_plain(raw: bytes) -> bool:
    """A quick look that clears nearly every document: not even all of it taken together breaks the rules of
    `check_value`."""
    alike = raw.translate(_ALIKE, b'+')
    # Searching from the end is quicker: it looks for the rare "e" only where a digit is.
    return alike.count(b'[') <= limits.MAX_DEPTH and alike.rfind(_LONG_EXPONENT) < 0 and alike.rfind(_LONG_NUMBER) < 0


def check_value(raw: bytes, what: str) -> bytes:
    """Check what decoding an envelope leaves unlooked at in a JSON value, and return it.

    Nesting is bounded, and numbers are finite as doubles. Whole numbers may have any length.

    :param raw: valid JSON.
    """
    if is_plain(raw):
        return raw
    bare = _STRINGS.sub(b'', raw)
    if is_plain(bare):  # it was a text that looked like a number, as hex digits do
        return raw
    if _depth(bare) > limits.MAX_DEPTH:
        raise errors.BodyInvalid(description=_too_deep(what))
    if any(map(_overflows, _NUMBERS.findall(bare))):
        raise errors.BodyInvalid(description=f'{what} holds a number that is out of range for a double.')
    return raw


def _overflows(number):
    # A whole number is exact at any length; only what is written as a fraction or with an exponent is a double.
    return not number.lstrip(b'-').isdigit() and float(number) in (float('inf'), float('-inf'))


def _depth(bare):
    depth = deepest = 0
    for character in bare:
        if character in b'[{':
            depth += 1
            deepest = max(deepest, depth)
        elif character in b']}':
            depth -= 1
    return deepest


def _too_deep(what):
    return f'{what} is nested too deeply: at most {limits.MAX_DEPTH} levels are allowed.'


def _explain(message, choices):
    problem, _, path = message.partition(' - at ')
    path = path.strip('`')
    place = f' (at {path})' if path else ''
    field = path.replace('[...]', '').rpartition('.')[2]
    missing = _MISSING.fullmatch(problem)
    if missing and missing['field'] == 'messages':
        return 'No messages were found in the request body. Missing "messages" field.'
    if missing:
        return f'Missing "{missing["field"]}" field{place}.'
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown:
        return f'There is no field "{unknown["field"]}" here{place}. Leave it out.'
    wrong = _WRONG_TYPE.fullmatch(problem)
    if wrong:
        expected = {'object': 'dict', 'array': 'list'}.get(wrong['expected'], wrong['expected'])
        if not path:
            return f'Document type not supported. It must be a {expected}, not {wrong["got"]}.'
        return f'The value of the "{field}" field must be a {expected}, not {wrong["got"]}{place}.'
    if problem.startswith('Invalid enum value'):
        allowed = ', '.join(choices[field.partition('[')[0]])
        return f'The value of the "{field}" field must be supported in the list: {allowed}{place}.'
    return f'The value of the "{field}" field cannot be kept: {problem}{place}.'


def empty_post() -> errors.BodyInvalid:
    return errors.BodyInvalid(description='No messages were found in the request body. Send at least one.')


def empty_renewal() -> errors.BodyInvalid:
    return errors.BodyInvalid(description='Missing "ttl" or "grace" field: say for how long the claim is to go on.')
