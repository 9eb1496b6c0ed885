"""What is taken out of an HTTP exchange before it is kept: whatever would let its reader be somebody else.

Names stay, values go: `stripped` lists tell a reader that something was there.
"""

import collections.abc
import re
from urllib import parse

#: Words that make the name of a header, of a parameter or of a field of a form the name of a secret.
_WORDS = (
    'auth',
    'authorization',
    'bearer',
    'cookie',
    'cookies',
    'credential',
    'credentials',
    'csrf',
    'hmac',
    'jwt',
    'key',
    'otp',
    'pass',
    'passphrase',
    'passwd',
    'password',
    'pwd',
    'secret',
    'session',
    'sessionid',
    'sig',
    'signature',
    'token',
    'xsrf',
)
#: Two words that are one: api-key, api_key, apiKey, apikey.
_SECRET = re.compile(
    rf'(?:^|[^a-z])(?:{"|".join(_WORDS)}|(?:api|access|account|private|shared|signing)[^a-z]?key(?:id)?|set-cookie2?)'
    r'(?:$|[^a-z])'
)
#: Keys that open nothing.
_HARMLESS = re.compile(r'(?:bucket|cache|idempotency|object|partition|socket|sort|surrogate)[^a-z]?key')
_CAMEL = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')
#: Run together, as some write them.
_JOINED = re.compile(r'(?:auth|access|refresh|id|session|security|csrf|bearer)token|apikey|clientsecret|phpsessid')
#: Characters of a name. What is longer is none, and nobody looks for words in it.
_MOST_NAME = 1024
#: How a parameter begins inside a text, such as a Location or a Referer; and its value, in which others may begin.
_PARAMETER = re.compile(r'(?P<mark>[?&;])(?P<name>[^?&;=#\s"\'<>]{1,256})=')
_VALUE = re.compile(r'[^&;#\s"\'<>]*')
#: Begins with what is fixed: a word in front would be looked for at each of its letters, which takes minutes.
_USER_INFO = re.compile(r'://[^/?#@\s"\'<>]*@')
#: What is left of a query that was nothing but secrets.
_BARE = re.compile(r'\?(?=$|[\s"\'<>#])')
_FRAGMENT = re.compile(r'#.*', re.DOTALL)


def is_secret(name: str) -> bool:
    """Whether what stands under this name, of a header or of a parameter, may open something."""
    if len(name) > _MOST_NAME:
        return True
    words = _HARMLESS.sub('', _CAMEL.sub('-', name).lower())
    return _SECRET.search(words) is not None or _JOINED.search(name.lower()) is not None


def strip_url(url: str) -> tuple[str, list[str]]:
    """The URL without user name, password, fragment and secret parameters, and the names of these parameters."""
    return _strip_text(_FRAGMENT.sub('', url))


def strip_headers(
    headers: collections.abc.Mapping[str, collections.abc.Sequence[str]],
) -> tuple[dict[str, list[str]], list[str]]:
    """The headers without those that are secret, with stripped URLs in the others; and the names that went."""
    kept, stripped = {}, []
    for name, values in headers.items():
        if is_secret(name):
            stripped.append(name)
            continue
        kept[name] = []
        for value in values:
            text, names = _strip_text(value)
            kept[name].append(text)
            stripped += names
    return kept, stripped


def strip_form(
    form: collections.abc.Mapping[str, collections.abc.Sequence[str]],
) -> tuple[dict[str, list[str]], list[str]]:
    """The fields of a form without those that are secret, and the names of these."""
    kept = {name: list(values) for name, values in form.items() if not is_secret(name)}
    return kept, [name for name in form if name not in kept]


def _strip_text(text):
    stripped = []
    if '=' in text:
        pieces, end = [], 0
        for match in _PARAMETER.finditer(text):
            name = parse.unquote(match['name'])
            if match.start() >= end and is_secret(name):
                stripped.append(name)
                pieces += text[end : match.start()], match['mark'] if match['mark'] == '?' else ''
                end = _VALUE.match(text, match.end()).end()
        if stripped:
            text = ''.join((*pieces, text[end:]))
            text = _BARE.sub('', text.replace('?&', '?').replace('?;', '?'))
    if '@' in text:
        text = _USER_INFO.sub('://', text)
    return text, stripped
