"""Subscribers: the URI that says where messages go.

One parser reads what a client sent, and what it returns is all that a sender ever looks at. So no two parsers can
disagree about where a request goes.

Sources: RFC 3986 (URIs), UTS 46 and RFC 5891 (names beyond ASCII), RFC 6068 (mailto), the WHATWG URL standard (numbers
that are read as IPv4 addresses).
"""

import functools
import ipaddress
import re
import typing
import urllib.parse

import idna

from queueservice.model import deliveries, errors, networks, queues

MAX_LENGTH = 2048

_PORTS = {'http': 80, 'https': 443}
_URL = re.compile(r'//([^/?#]*)([^?#]*)(\?[^#]*)?')
_AUTHORITY = re.compile(r'(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?')
_BAD_ESCAPE = re.compile(r'%(?![0-9A-Fa-f]{2})')
_ESCAPE = re.compile(r'%[0-9A-Fa-f]{2}')
#: What stays as it is in paths and queries: all that RFC 3986 allows there, and what is escaped already.
_PATH_SAFE = "/!$&'()*+,;=:@-._~%"
_QUERY_SAFE = _PATH_SAFE + '?'

#: A label of a name in small letters. DNS allows more; nobody names a web server with it.
_LABEL = re.compile(r'(?!-)[a-z0-9_-]{1,63}(?<!-)')
#: The last label of what is an IPv4 address in one of its spellings, or nothing at all.
_NUMBER = re.compile(r'[0-9]+|0[xX][0-9a-fA-F]*')

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LOCAL_SAFE = "!$'*+=^_`{|}~-"

MAX_HEADERS = 32
MAX_HEADER_LENGTH = 4096
_HEADER = re.compile(r'x-[a-z0-9_-]{1,62}|authorization|content-type', re.ASCII | re.IGNORECASE)


class Url(typing.NamedTuple):
    """Where a webhook goes. `str` of it is the URL, normalised."""

    scheme: str  # http or https
    host: str  # a name in ASCII, or an address without brackets
    port: int
    target: str  # path and query

    @property
    def address(self) -> networks.Address | None:
        """The host, where it is an address and not a name."""
        return _address(self.host)

    @property
    def authority(self) -> str:
        """Host and port, as a URL and the header Host have them."""
        host = f'[{self.host}]' if ':' in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f'{host}:{self.port}'

    def __str__(self):
        return f'{self.scheme}://{self.authority}{self.target}'


def check(uri: str, rules: deliveries.Rules) -> str:
    """Return the URI of a subscriber, normalised: as it is compared with others, and as it is delivered to.

    Normalising it again changes nothing.

    :raises BodyInvalid: nothing is delivered to such an address; says what to change.
    """
    if len(uri) > MAX_LENGTH:
        raise _invalid(f'may have {MAX_LENGTH} characters at the most')
    # Separators other than the blank, control and format characters and lone surrogates are not printable.
    if not uri.isprintable() or ' ' in uri or '\\' in uri:
        raise _invalid('may not contain blanks, control characters, invisible characters or backslashes')
    scheme, colon, rest = uri.partition(':')
    scheme = scheme.lower()
    if not colon or scheme not in rules.subscriber_types or scheme not in _READERS:
        known = ', '.join(f'"{name}:"' for name in rules.subscriber_types)
        reason = 'trusts are not used here' if scheme.startswith('trust+') else 'its scheme is not taken here'
        raise _invalid(f'must be supported in the list {known}: {reason}')
    found = _READERS[scheme](scheme, rest, rules)
    if len(found) > MAX_LENGTH:
        raise _invalid(f'may have {MAX_LENGTH} characters at the most after everything in it has been escaped')
    return found


@functools.lru_cache(maxsize=4096)
def read_url(uri: str, rules: deliveries.Rules) -> Url:
    """Where a subscriber with a URI of http or https is.

    :raises BodyInvalid: as `check` does.
    """
    scheme, _, rest = check(uri, rules).partition(':')
    return _read_url(scheme, rest, rules)


def mail_address(uri: str) -> str:
    """The plain address in a `mailto:` URI that was checked."""
    return urllib.parse.unquote(uri.partition(':')[2])


def queue_name(uri: str) -> str:
    """The name in a `queue:` URI that was checked."""
    return uri.partition(':')[2]


def check_headers(headers: typing.Any) -> dict[str, str]:
    """Return the option `post_headers` of a subscription, if requests may carry them.

    :raises BodyInvalid: naming the header and what to change.
    """
    name = 'The value of "options.post_headers"'
    if not isinstance(headers, dict):
        raise errors.BodyInvalid(description=f'{name} must be an object.')
    if len(headers) > MAX_HEADERS:
        raise errors.BodyInvalid(description=f'{name} may have {MAX_HEADERS} headers at the most.')
    for header, value in headers.items():
        if not _HEADER.fullmatch(header):
            raise errors.BodyInvalid(
                description=f'{name} may have headers whose names begin with "X-", "Authorization" and "Content-Type", '
                f'and not "{header[:64]}".'
            )
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise errors.BodyInvalid(description=f'{name} must have a string of printable ASCII as "{header}".')
        if len(value) > MAX_HEADER_LENGTH:
            raise errors.BodyInvalid(
                description=f'{name} may have {MAX_HEADER_LENGTH} characters at the most as "{header}".'
            )
    if len({header.lower() for header in headers}) < len(headers):
        raise errors.BodyInvalid(description=f'{name} has a header twice, in small and in capital letters.')
    return headers


def _check_url(scheme, rest, rules):
    return str(_read_url(scheme, rest, rules))


def _read_url(scheme, rest, rules):
    url = _URL.fullmatch(rest)
    if not url:
        raise _invalid(f'must be like {scheme}://host/path, without a fragment ("#...")')
    authority, path, query = url.groups('')
    if '@' in authority:
        raise _invalid(
            'may not contain a user name or a password. Put them into options.post_headers as "Authorization"'
        )
    parts = _AUTHORITY.fullmatch(authority)
    if not parts or not parts[1]:
        raise _invalid(f'must name a host, and a port only as a number: {scheme}://host:port/path')
    host = _read_host(parts[1], rules)
    port = int(parts[2]) if parts[2] else _PORTS[scheme]
    if not 1024 <= port <= 65535 and port not in (80, 443, *rules.allowed_ports):
        raise _invalid('must have the port 80, 443 or one from 1024 to 65535')
    if _BAD_ESCAPE.search(path + query):
        raise _invalid('contains a "%" that is not followed by two hex digits. Write "%25" for the character itself')
    target = urllib.parse.quote(path or '/', _PATH_SAFE) + urllib.parse.quote(query, _QUERY_SAFE)
    return Url(scheme, host, port, _ESCAPE.sub(lambda escape: escape[0].upper(), target))


def _read_host(text, rules):
    if text.startswith('['):
        address = _address(text[1:-1])
        # A zone is one of the interfaces of this machine.
        if address is None or '%' in text or address.version != 6:
            raise _invalid('contains something in brackets that is no IPv6 address (without a zone)')
    else:
        text = _read_name(text)
        if not _NUMBER.fullmatch(text.rpartition('.')[2]):
            return text
        address = _read_ipv4(text)
        if address is None:
            raise _invalid('has a host that ends in a number but is no IPv4 address')
    if not networks.is_public(address) and not networks.is_within(address, networks.read(rules.allowed_networks)):
        raise _invalid('is at an address to which this service does not deliver, because it is not public')
    return str(getattr(address, 'ipv4_mapped', None) or address)


def _read_name(text):
    """A name of DNS in small letters and ASCII, without the dot at its end; or digits and dots."""
    if not text.isascii():
        try:
            # Digits and dots of other scripts become those of ASCII.
            text = idna.encode(text, uts46=True, std3_rules=True).decode()
        except idna.IDNAError as error:
            raise _invalid('has a host that is no valid internationalised name') from error
    text = text.lower().removesuffix('.')
    if len(text) > 253 or not all(map(_LABEL.fullmatch, text.split('.'))):
        raise _invalid('has a host that is no valid name')
    return text


def _read_ipv4(text):
    """The address that numbers stand for, as inet_aton reads them: decimal, octal or hex, one to four; or None."""
    parts = text.split('.')
    if len(parts) > 4:
        return None
    try:
        *first, last = [_read_number(part) for part in parts]
    except ValueError:
        return None
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(parts)):
        return None
    return ipaddress.IPv4Address(sum(number << (24 - 8 * place) for place, number in enumerate(first)) + last)


def _read_number(text):
    if not text.isalnum():  # int() would take "1_0" and "-1"
        raise ValueError(text)
    if text.startswith('0x'):
        return int(text[2:] or '0', 16)
    return int(text, 8 if text.startswith('0') else 10)


def _address(text):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _check_mail(_scheme, rest, rules):
    if rules.require_confirmation and not (rules.external_confirmation_url or rules.public_url):
        raise _invalid(
            'may not be a mailbox here: the service has no address that confirmation mail could lead to. Ask its '
            'operator for [notification] public_url'
        )
    if '?' in rest or '#' in rest:
        raise _invalid('may not have header fields. Put "subject" and "from" into the options')
    if _BAD_ESCAPE.search(rest):
        raise _invalid('contains a "%" that is not followed by two hex digits. Write "%25" for the character itself')
    local, at, domain = urllib.parse.unquote(rest).rpartition('@')
    if not at or not _LOCAL_PART.fullmatch(local) or len(local) > 64:
        raise _invalid('must be one plain address in ASCII, like mailto:name@example.org')
    domain = _read_name(domain)
    if _NUMBER.fullmatch(domain.rpartition('.')[2]) or len(local) + len(domain) > 253:
        raise _invalid('must be one plain address in ASCII, like mailto:name@example.org')
    return f'mailto:{urllib.parse.quote(local, _LOCAL_SAFE)}@{domain}'


def _check_queue(_scheme, rest, _rules):
    try:
        return f'queue:{queues.check_name(rest)}'
    except errors.NameInvalid as error:
        raise _invalid(f'must be like queue:name. {error}'.rstrip('.')) from error


_READERS = {'http': _check_url, 'https': _check_url, 'mailto': _check_mail, 'queue': _check_queue}


def _invalid(reason):
    return errors.BodyInvalid(description=f'The value of "subscriber" {reason}.')
