"""Requests that a server must refuse, or take for what they are: more than eight thousand of them."""

import itertools
import json
import re
import typing

from queueservice.api import dialects
from queueservice.model import tokens
from tests.api import base, walk


class Case(typing.NamedTuple):
    group: str
    name: str
    method: str = 'GET'
    target: bytes = b'/v2/queues/hostile'
    headers: dict[str, bytes | None] = {}  # instead of what an honest client sends; None: left out
    lines: tuple[bytes, ...] = ()  # further header lines, as they are
    body: bytes = b''
    raw: bytes = b''  # the whole request instead; CREDENTIALS in it become the header lines that say who asks
    protocol: bool = False  # it is malformed as HTTP: it may be cut off instead of being answered
    refused: bool = False  # whatever else is right, 2xx is not
    closes: bool = False  # whoever answers this and goes on listening takes the rest of it for another request


#: JSON texts that are not what is asked for, are no JSON, or mean something to somebody behind the service.
VALUES = {
    'nothing': b'', 'a blank': b' ', 'null': b'null', 'true': b'true', 'false': b'false', 'minus one': b'-1',
    'zero': b'0', 'a fraction': b'1.5', 'a whole fraction': b'60.0', 'an exponent': b'6e1', 'beyond a double': b'1e400',
    'minus beyond a double': b'-1e400', 'a tiny double': b'1e-400', 'NaN': b'NaN', 'Infinity': b'Infinity',
    'minus Infinity': b'-Infinity', '2 to the 31st': b'2147483648', '2 to the 63rd': b'9223372036854775808',
    'minus 2 to the 63rd': b'-9223372036854775809', '2 to the 64th': b'18446744073709551616', '30 digits': b'9' * 30,
    '5000 digits': b'9' * 5000, 'a leading zero': b'060', 'hex': b'0x3c', 'a plus': b'+60',
    'arabic digits': '٦٠'.encode(), 'an empty text': b'""', 'a number as a text': b'"60"',
    'an escaped nul': rb'"\u0000"', 'a raw nul': b'"\0"', 'a lone high surrogate': rb'"\ud800"',
    'a lone low surrogate': rb'"\udc00"', 'no UTF-8': b'"\xff"', 'overlong UTF-8': b'"\xc0\xaf"',
    'a surrogate in UTF-8': b'"\xed\xa0\x80"', 'UTF-8 cut off': b'"\xe2\x82"', 'a byte order mark': b'\xef\xbb\xbf1',
    'UTF-16': '{"a":1}'.encode('utf-16'), 'a raw line break': b'"a\r\nX-Injected: 1"',
    'an escaped line break': rb'"a\r\nX-Injected: 1"', 'the mark of encrypted bodies': b'\x01\x01k' + b'\0' * 40,
    'an empty list': b'[]', 'an empty object': b'{}', 'a list in a list': b'[[]]', 'mixed': b'[1,"a",null,{"a":[]}]',
    '65 levels': b'[' * 65 + b']' * 65, '1000 levels': b'{"a":' * 1000 + b'1' + b'}' * 1000,
    '100000 levels': b'[' * 100_000, '100000 closed': b'[' * 100_000 + b']' * 100_000, 'closing only': b'}' * 50,
    'greater than': b'{"$gt":""}', 'not equal': b'{"$ne":null}', 'where': b'{"$where":"sleep(20000)"}',
    'a function': b'{"$function":{"body":"while(1);","args":[],"lang":"js"}}', 'any regex': b'{"$regex":".*"}',
    'a slow regex': b'"(a+)+$"', 'a wildcard': b'".*"', 'percent': b'"%"', 'dollar': b'"$where"',
    'a dotted key': b'{"a.b":1}', 'a dollar key': b'{"$a":{"$b":1}}',
    'an object id': b'{"$oid":"000000000000000000000000"}', 'a date': b'{"$date":0}',
    'sql': b'"\'; DROP TABLE queues; --"', 'a tautology': b'"\' OR \'1\'=\'1"', 'a template': b'"{{7*7}}${7*7}%s%n{0}"',
    'jndi': b'"${jndi:ldap://127.0.0.1/a}"', 'a path': b'"../../../../etc/passwd"', 'a url': b'"file:///etc/passwd"',
    'a shell': b'"$(sleep 20)`sleep 20`"', 'markup': b'"<script>alert(1)</script>"',
    'a prototype': b'{"__proto__":{"a":1}}', 'a constructor': b'{"constructor":{"prototype":{}}}',
    'a python name': b'{"__class__":"__init__"}', 'a pickle': b'"cos\\nsystem\\n(S\'sleep 20\'\\ntR."',
    'an entity': b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    'yaml': b'!!python/object/apply:os.system ["sleep 20"]', 'twice a key': b'{"a":1,"a":2}', 'two values': b'1 2',
    'a comma too many': b'[1,]', 'a comment': b'/* */1', 'single quotes': b"'a'", 'a word': b'sixty',
    'an open text': b'"a', 'an open list': b'[1', 'an emoji': '"\U0001f4a3"'.encode(),
    'right to left': '"\u202e\u200b\u2028"'.encode(), 'a long text': b'"' + b'x' * 70_000 + b'"',
    'a long key': b'{"' + b'k' * 70_000 + b'":1}', 'many numbers': b'[' + b'1,' * 20_000 + b'1]',
    'many keys': b'{' + b','.join(b'"%d":%d' % (n, n) for n in range(5000)) + b'}',
    'too much': b'"' + b'x' * 300_000 + b'"',
}  # fmt: skip

_PATCH = base.PATCH
_RESERVED = (
    '_max_messages_post_size', '_default_message_ttl', '_default_message_delay', '_dead_letter_queue',
    '_dead_letter_queue_messages_ttl', '_max_claim_count', '_enable_encrypt_messages', '_retry_policy', '_show_origin',
    '_flavor',
)  # fmt: skip

#: Where those texts stand: (method, target, what is around it, media type).
PLACES = [
    ('POST', '/v2/queues/hostile/messages', around, 'application/json')
    for around in (
        b'%b', b'{"messages":%b}', b'{"messages":[%b]}', b'{"messages":[{"body":%b}]}',
        b'{"messages":[{"body":1,"ttl":%b}]}', b'{"messages":[{"body":1,"delay":%b}]}',
        b'{"messages":[{"body":1,"unknown":%b}]}', b'{"messages":[{%b:1,"body":1}]}',
        b'{"messages":[{"body":1},{"body":2,"ttl":60,"ttl":%b}]}',
    )
] + [
    *[('POST', '/v1.1/queues/hostile/messages', around, 'application/json')
      for around in (b'%b', b'{"messages":[{"body":%b}]}', b'{"messages":[{"body":1,"ttl":%b}]}')],
    *[('POST', '/v1/queues/hostile/messages', around, 'application/json')
      for around in (b'%b', b'[%b]', b'[{"ttl":60,"body":%b}]', b'[{"body":1,"ttl":%b}]')],
    *[('POST', f'/{version}/queues/hostile/claims', around, 'application/json')
      for version in ('v1', 'v2') for around in (b'%b', b'{"ttl":%b,"grace":60}', b'{"ttl":60,"grace":%b}')],
    *[('PATCH', f'/{version}/queues/hostile/claims/0123456789abcdef01234567', around, 'application/json')
      for version in ('v1', 'v2') for around in (b'%b', b'{"ttl":%b}')],
    *[('PUT', '/v2/queues/hostile-new', around, 'application/json')
      for around in (b'%b', b'{"a":%b}', b'{%b:1}', *(b'{"%b":%%b}' % name.encode() for name in _RESERVED))],
    ('PUT', '/v1/queues/hostile/metadata', b'%b', 'application/json'),
    *[('PATCH', '/v2/queues/hostile', around, _PATCH)
      for around in (
          b'%b', b'[%b]', b'[{"op":%b,"path":"/metadata/a","value":1}]', b'[{"op":"add","path":%b,"value":1}]',
          b'[{"op":"add","path":"/metadata/a","value":%b}]',
          b'[{"op":"replace","path":"/metadata/_dead_letter_queue","value":%b}]',
      )],
    *[('POST', '/v2/queues/hostile/subscriptions', around, 'application/json')
      for around in (
          b'%b', b'{"subscriber":%b}', b'{"subscriber":"queue:hostile-copies","ttl":%b}',
          b'{"subscriber":"queue:hostile-copies","options":%b}',
          *(b'{"subscriber":"queue:hostile-copies","options":{"%b":%%b}}' % name
            for name in (b'post_headers', b'post_data', b'_retry_policy', b'subject')),
          b'{"subscriber":"queue:hostile-copies","options":{"post_headers":{"X-A":%b}}}',
          b'{"subscriber":"queue:hostile-copies","options":{"_retry_policy":{"maximum_delay":%b}}}',
      )],
    *[('POST', '/v2/queues/hostile/purge', around, 'application/json')
      for around in (b'%b', b'{"resource_types":%b}', b'{"resource_types":[%b]}')],
]  # fmt: skip

#: What stands in a path or a query where a name, an id or a number should.
WORDS = {
    'nothing': b'', 'a dot': b'.', 'two dots': b'..', 'an escaped dot': b'%2e', 'escaped dots': b'%2e%2e',
    'twice escaped dots': b'%252e%252e', 'up and up': b'..%2f..%2f..%2fetc%2fpasswd', 'a backslash': b'..%5c..%5c',
    'a slash': b'%2f', 'slashes': b'//', 'a nul': b'%00', 'a nul within': b'a%00b',
    'a line break': b'%0d%0aX-Injected:%201', 'a lone line feed': b'%0aSet-Cookie:a=b', 'no UTF-8': b'%ff%fe',
    'overlong dots': b'%c0%ae%c0%ae', 'a surrogate': b'%ed%a0%80', 'a bad escape': b'%zz', 'half an escape': b'%',
    'a unicode escape': b'%u002e', 'a star': b'*', 'a wildcard': b'.*', 'a slow regex': b'(a%2b)%2b$',
    'an open bracket': b'[', 'where': b'$where', 'an operator': b'%7B%22$gt%22:%22%22%7D', 'a quote': b"'",
    'a double quote': b'%22', 'sql': b"'%20OR%201=1--", 'a semicolon': b'a;b=c', 'percent': b'%25',
    'an underscore': b'_', 'a template': b'%7B%7B7*7%7D%7D', 'a field': b'{queue_name}',
    'markup': b'%3Cscript%3Ealert(1)%3C/script%3E', 'a python name': b'__init__', 'minus one': b'-1', 'a plus': b'%2b1',
    'zero': b'0', 'a fraction': b'1.5', 'an exponent': b'1e3', 'hex': b'0x10', 'NaN': b'nan',
    'a large number': b'9' * 30, '2 to the 31st': b'2147483648', '2 to the 63rd': b'9223372036854775808',
    'arabic digits': '٣'.encode(), 'fullwidth digits': b'%EF%BC%91', '65 letters': b'a' * 65,
    '3000 letters': b'a' * 3000, 'an id': b'0' * 24, 'the last id': b'f' * 24, 'an emoji': b'%F0%9F%92%A3',
    'right to left': b'%E2%80%AE', 'raw bytes': b'\xff\xfe', 'a raw letter': 'ä'.encode(), 'null': b'null',
    'true': b'true', 'many commas': b',' * 500, 'many ids': b'a,' * 1500, 'a url': b'http:%2f%2f127.0.0.1%2f',
    'a tab': b'%09', 'a blank': b'%20',
}  # fmt: skip

_PATHS = (
    ('GET', b'/v2/queues/%b'), ('DELETE', b'/v2/queues/%b'), ('GET', b'/v2/queues/%b/stats'),
    ('GET', b'/v1/queues/%b/metadata'), ('POST', b'/v2/queues/%b/messages'), ('GET', b'/v2/queues/hostile/messages/%b'),
    ('DELETE', b'/v1.1/queues/hostile/messages/%b'), ('GET', b'/v2/queues/hostile/claims/%b'),
    ('DELETE', b'/v1/queues/hostile/claims/%b'), ('GET', b'/v2/%b/queues'), ('GET', b'/v2/projects/%b'),
    ('GET', b'/%b/queues'), ('GET', b'/v2/queues/%b/../../queues'),
)  # fmt: skip
_QUERIES = (
    ('GET', b'/v2/queues?limit=%b'), ('GET', b'/v2/queues?marker=%b'), ('GET', b'/v2/queues?detailed=%b'),
    ('GET', b'/v2/queues?name=%b'), ('GET', b'/v2/queues?a=%b'), ('GET', b'/v2/queues?%b=1'),
    ('GET', b'/v1/queues?marker=%b'), ('GET', b'/v2/queues/hostile/messages?limit=%b'),
    ('GET', b'/v2/queues/hostile/messages?marker=%b'), ('GET', b'/v2/queues/hostile/messages?echo=%b'),
    ('GET', b'/v1/queues/hostile/messages?marker=%b'), ('GET', b'/v2/queues/hostile/messages?ids=%b'),
    ('GET', b'/v2/queues/hostile/messages?limit=1&limit=%b'), ('DELETE', b'/v2/queues/hostile/messages?pop=%b'),
    ('DELETE', b'/v2/queues/hostile/messages?ids=%b'), ('DELETE', b'/v2/queues/hostile/messages?ids=a&claim_ids=%b'),
    ('DELETE', b'/v2/queues/hostile/messages/0123456789abcdef01234567?claim_id=%b'),
    ('POST', b'/v2/queues/hostile/claims?limit=%b'),
)  # fmt: skip

_HEADERS = (
    'Client-ID', 'X-Project-Id', 'Accept', 'Content-Type', 'Content-Encoding', 'Host', 'Range', 'If-None-Match',
    'Cookie', 'Idempotency-Key', 'X-Auth-Token', 'Authorization', 'X-Roles', 'X-Forwarded-For', 'X-Forwarded-Host',
    'X-Original-URL', 'X-Openstack-Request-Id', 'Origin', 'Forwarded', 'Upgrade',
)  # fmt: skip
_HEADER_VALUES = {
    'empty': b'', 'a blank': b' ', 'a nul': b'a\0b', 'a bell': b'a\x07b', 'a delete': b'a\x7fb',
    'a carriage return': b'a\rb', 'a line feed': b'a\nX-Injected: 1', 'a folded line': b'a\r\n b', 'latin 1': b'\xe4',
    'no UTF-8': b'\xff\xfe', 'a comma': b'a,b', 'semicolons': b';;;=', 'a quote': b'"', 'a star': b'*',
    'where': b'{"$where":"1"}', 'a wildcard': b'.*', 'sql': b"' OR 1=1 --", 'markup': b'<script>alert(1)</script>',
    'a path': b'../../etc/passwd', 'jndi': b'${jndi:ldap://127.0.0.1/a}', 'long': b'x' * 4000,
    'too long': b'x' * 20_000, 'an emoji': '\U0001f4a3'.encode(), 'percent': b'%00%0d%0a',
    'all': b'admin, service, member', 'nonsense': b'Bearer Bearer Basic ====',
}  # fmt: skip

#: Where no tenant's messages may go: into the operator's network, in all disguises, and to what parsers disagree about.
SUBSCRIBERS = (
    *(f'http://{host}/' for host in (
        '127.0.0.1', '127.1', '127.0.1', '2130706433', '017700000001', '0x7f000001', '0x7f.1', '0177.0.0.1',
        '0X7F.0.0.1', '127.0.0.1.', '0', '0.0.0.0', '0x0', '10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254',
        '2852039166',
        '0xa9fea9fe', '0251.0376.0251.0376', '100.64.0.1', '224.0.0.1', '255.255.255.255', '240.0.0.1', '198.18.0.1',
        '192.0.2.1', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[fe80::1]',
        '[fe80::1%25eth0]', '[fe80::1%lo]', '[fec0::1]', '[fd00::1]', '[ff02::1]', '[64:ff9b::7f00:1]',
        '[64:ff9b:1::8.8.8.8]', '[2002:7f00:1::]', '[2001::1]', '[2001:db8::1]', '[::ffff:169.254.169.254]',
        '\uff11\uff12\uff17.0.0.1', '127\u30020\u30020\u30021', '\u2460\u2461\u2466.0.0.1', '%31%32%37.0.0.1',
        'a@127.0.0.1', '8.8.8.8@127.0.0.1', '127.0.0.1@8.8.8.8', '127.0.0.1:80@8.8.8.8', 'a:b@c:d@8.8.8.8', '@8.8.8.8',
        '8.8.8.8\\@127.0.0.1', '8.8.8.8#@127.0.0.1', '8.8.8.8 127.0.0.1', '8.8.8.8\t', '8.8.8.8\r\nHost: a',
        '127.0.0.1%00.example.org', '8.8.8.8\0', '8.8.8.8:22', '8.8.8.8:25', '8.8.8.8:0', '8.8.8.8:65536',
        '8.8.8.8:-80', '8.8.8.8:80:80', '8.8.8.8:8\u0660', '', ':80', '.', '..', '[', ']', '[]', '[::1', '1.2.3.4.5',
        '256.256.256.256', '1.1.1.08', '4294967296', 'a' * 64, 'a..example.org', '-a.example.org', 'a_b@', '*',
        'a\u00adb.example', 'a\u2044b.example', 'xn--.example\u3002\uff0f', '\u0301.example', 'example.org\ud800',
    )),
    'http:127.0.0.1', 'http:/127.0.0.1/', 'http:///127.0.0.1/', 'http://8.8.8.8/#a', 'http://8.8.8.8/%zz', '//8.8.8.8/',
    'http://8.8.8.8/' + 'a' * 2048, 'HTTP:\\\\8.8.8.8', ' http://8.8.8.8/', 'http ://8.8.8.8/', 'http\t://8.8.8.8/',
    'ftp://8.8.8.8/', 'file:///etc/passwd', 'gopher://8.8.8.8:70/_a', 'dict://8.8.8.8/', 'jar:http://8.8.8.8!/',
    'data:,a', 'javascript:alert(1)', 'unix:///run/a.sock', 'http+unix://a', 'ldap://8.8.8.8', 'trust+https://8.8.8.8/',
    'https', ':', '', 'mailto:', 'mailto:a', 'mailto:a@b.example,c@d.example', 'mailto:a@b.example?bcc=c@d.example',
    'mailto:a@b.example%0d%0aBcc:c@d.example', 'mailto:a%0a@b.example', 'mailto:"a b"@c.example',
    'mailto:a@[127.0.0.1]', 'mailto:<script>@b.example', 'mailto:a@b.example\r\nRCPT TO:<c@d.example>', 'queue:',
    'queue:..', 'queue:a/b',
    'queue://a', 'queue:%61', 'queue:a\0', 'queue:' + 'a' * 65,
)  # fmt: skip

#: And headers that are not a tenant's to set.
POST_HEADERS = (
    {'Host': 'a'}, {'Content-Length': '0'}, {'Transfer-Encoding': 'chunked'}, {'Connection': 'upgrade'},
    {'Cookie': 'a'}, {'webhook-signature': 'v1,a'}, {'X-A': 'a\r\nHost: b'}, {'X-A': 'a\nb'}, {'X-A\r\nHost': 'b'},
    {'X-A': '\0'},
    {'X-A': '\u20ac'}, {'': 'a'}, {'X-': 'a'}, {'X A': 'a'}, {'X-A:': 'a'}, {'X-A': 'a' * 70_000}, {'X-\u017f': 'a'},
)  # fmt: skip

_METHODS = (
    'TRACE', 'CONNECT', 'TRACK', 'DEBUG', 'OPTIONS', 'PROPFIND', 'MOVE', 'COPY', 'LOCK', 'SEARCH', 'PURGE', 'LINK',
    'get', 'GeT', 'M-SEARCH', 'INVENTED', 'G' * 500, 'GET1', '$WHERE', 'G<ET', 'G\x00T', '__INIT__', 'HEAD', 'PUT',
    'POST', 'PATCH', 'DELETE',
)  # fmt: skip
_METHOD_TARGETS = (
    b'/',
    b'/v2',
    b'/v2/queues',
    b'/v2/queues/hostile/stats',
    b'/v2/ping',
    b'/v2/health',
    b'/healthz',
    b'/nowhere',
)


def json_cases():
    for method, target, around, media_type in PLACES:
        for name, value in VALUES.items():
            shown = around.decode().replace('%b', '...')
            headers = {'Content-Type': media_type}
            yield Case(
                'json', f'{method} {target} {shown} {name}', method, target.encode(), headers, (), around % value
            )


def word_cases():
    for group, templates in (('paths', _PATHS), ('queries', _QUERIES)):
        for method, template in templates:
            for name, word in WORDS.items():
                target = template.replace(b'%b', word)
                body = b'{"messages":[{"body":1}]}' if method == 'POST' and b'claims' not in target else b''
                malformed = bool(set(target) - set(range(33, 127)))
                yield Case(group, f'{method} {template.decode()} {name}', method, target, body=body, protocol=malformed)
    for name, target in (
        ('no slash', b'v2/queues'), ('two slashes', b'//v2/queues'), ('slashes everywhere', b'/v2//queues//hostile'),
        ('a trailing slash', b'/v2/queues/hostile/'), ('another host', b'http://127.0.0.2/v2/queues'),
        ('another scheme', b'gopher://localhost/v2/queues'), ('a fragment', b'/v2/queues#a'), ('a star', b'*'),
        ('an authority', b'a:80'), ('a blank', b'/v2/ queues'), ('very long', b'/v2/queues/' + b'a' * 7_000),
        ('longer than allowed', b'/' + b'a' * 100_000), ('very many segments', b'/v2' + b'/queues' * 500),
        ('many dots', b'/v2/queues' + b'/..' * 300), ('an empty query', b'/v2/queues?'),
        ('only separators', b'/v2/queues?&&&===&&'), ('a long query', b'/v2/queues?a=' + b'b' * 3_500),
        ('many parameters', b'/v2/queues?' + b'&'.join(b'p%d=%d' % (n, n) for n in range(300))),
        ('one parameter often', b'/v2/queues?' + b'limit=1&' * 400), ('a parameter as a list', b'/v2/queues?limit[]=1'),
        ('a parameter as an object', b'/v2/queues?limit[$gt]=1'),
    ):  # fmt: skip
        yield Case('paths', name, target=target, protocol=name in ('no slash', 'a blank', 'a star', 'an authority'))


def header_cases():
    for header in _HEADERS:
        for name, value in _HEADER_VALUES.items():
            for method, target, body in (
                ('GET', b'/v2/queues/hostile/messages', b''),
                ('POST', b'/v2/queues/hostile/messages', b'{"messages":[{"body":1}]}'),
            ):
                malformed = bool(set(value) & {0, 7, 10, 13, 127}) or len(value) > 8000
                sentence = f'{method} {header}: {name}'
                yield Case('headers', sentence, method, target, {header: value}, body=body, protocol=malformed)
        yield Case('headers', f'{header} twice', lines=(header.encode() + b': a', header.encode() + b': b'))
        twin = header.replace('-', '_')
        yield Case('headers', f'{twin} with underscores', lines=(twin.encode() + b': hostile-other',), protocol=True)
    for name, line in (
        ('no colon', b'Nonsense'), ('no name', b': a'), ('a blank before the colon', b'X-Project-Id : a'),
        ('a blank name', b' : a'), ('a nul in the name', b'X\0Y: a'), ('a bracket in the name', b'X(Y): a'),
        ('a letter in the name', b'X\xe4: a'), ('a fold first', b' folded'), ('a long name', b'X' * 9000 + b': a'),
        ('a lone carriage return', b'X: a\rY: b'), ('a lone line feed', b'X: a\nY: b'),
    ):  # fmt: skip
        yield Case('headers', name, lines=(line,), protocol=True)
    for count in (99, 101, 1000, 5000):
        yield Case(
            'headers', f'{count} of them', lines=tuple(b'X-%d: 1' % n for n in range(count)), protocol=count > 90
        )


def method_cases():
    for method, target in itertools.product(_METHODS, _METHOD_TARGETS):
        odd = not re.fullmatch('[A-Z-]{3,20}', method)
        yield Case('methods', f'{method[:20]} {target.decode()}', method, target, protocol=odd or method == 'CONNECT')
    for header in ('X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-Original-Method'):
        for method, target in (('GET', b'/v2/queues/hostile-kept'), ('POST', b'/v2/queues/hostile-kept/claims')):
            yield Case('methods', f'{method} {header}', method, target, {header: b'DELETE'})
        yield Case(
            'methods',
            f'{header} in the query',
            target=b'/v2/queues/hostile-kept?_method=DELETE&%b=DELETE' % header.encode(),
        )


def signature_cases():
    marks = {
        'empty': b'', 'a word': b'a', 'zeros': b'0' * 64, 'not hex': b'z' * 64, 'capitals': b'A' * 64,
        'one digit short': b'0' * 63, 'one too many': b'0' * 65, 'long': b'0' * 4000,
        'two': b'0' * 64 + b',' + b'1' * 64, 'no ASCII': b'\xe4' * 32,
    }  # fmt: skip
    end = {'URL-Expires': b'2999-01-01T00:00:00'}
    rest = {
        'nothing else': {}, 'an end': end, 'a past end': {'URL-Expires': b'1999-01-01T00:00:00'},
        'an impossible end': {'URL-Expires': b'2999-02-31T25:61:61'},
        'an end as a number': {'URL-Expires': b'99999999999999999999'},
        'an end with a zone': {'URL-Expires': b'2999-01-01T00:00:00+99:99'},
        'no paths': {**end, 'URL-Methods': b'GET', 'URL-Paths': b''},
        'everything': {**end, 'URL-Methods': b'GET,PUT', 'URL-Paths': b'/v2/queues/hostile'},
        'wildcards': {**end, 'URL-Methods': b'*', 'URL-Paths': b'/v2/queues/.*,/'},
        'many paths': {**end, 'URL-Methods': b'GET,' * 500, 'URL-Paths': b'/a,' * 1000},
        'dots': {**end, 'URL-Methods': b'GET', 'URL-Paths': b'/v2/queues/../queues/hostile'},
    }  # fmt: skip
    for (mark, signature), (name, headers) in itertools.product(marks.items(), rest.items()):
        for target in (b'/v2/queues/hostile/messages', b'/v2/queues/hostile'):
            sent = {'URL-Signature': signature, **headers}
            yield Case('signatures', f'{target.decode()} {mark}, {name}', target=target, headers=sent)


def subscriber_cases():
    for method, target in (
        ('POST', b'/v2/queues/hostile/subscriptions'),
        ('PATCH', b'/v2/queues/hostile/subscriptions/0123456789abcdef01234567'),
    ):
        for subscriber in SUBSCRIBERS:
            body = json.dumps({'subscriber': subscriber}).encode()
            yield Case('subscribers', f'{method} {subscriber[:80]!r}', method, target, body=body, refused=True)
        for headers in POST_HEADERS:
            body = json.dumps({'subscriber': 'queue:hostile-copies', 'options': {'post_headers': headers}}).encode()
            yield Case('subscribers', f'{method} {str(headers)[:80]}', method, target, body=body, refused=True)


def length_cases():
    """Bodies whose length is not what the headers say, and messages within messages."""
    inner = b'GET /v2/queues/hostile-smuggled HTTP/1.1\r\nCREDENTIALS\r\n\r\n'
    post = b'POST /v2/queues/hostile/messages HTTP/1.1\r\nCREDENTIALS\r\nContent-Type: application/json\r\n%b\r\n%b'
    body = b'{"messages":[{"body":1}]}'
    chunked = b'%x\r\n%b\r\n0\r\n\r\n' % (len(body), body)
    length = b'Content-Length: %d\r\n'
    for name, lines in (
        ('both, length first', length % 5 + b'Transfer-Encoding: chunked\r\n'),
        ('both, chunked first', b'Transfer-Encoding: chunked\r\n' + length % 5),
        ('both, of length zero', length % 0 + b'Transfer-Encoding: chunked\r\n'),
        ('both, of the whole length', length % len(chunked + inner) + b'Transfer-Encoding: chunked\r\n'),
        *[(f'both, {name}', length % 5 + line + b'\r\n') for name, line in (
            ('in capitals', b'TRANSFER-ENCODING: CHUNKED'),
            ('a blank before the colon', b'Transfer-Encoding : chunked'), ('a tab', b'Transfer-Encoding:\tchunked'),
            ('a vertical tab', b'Transfer-Encoding: \x0bchunked'), ('a folded line', b'Transfer-Encoding:\r\n chunked'),
            ('x before', b'Transfer-Encoding: xchunked'), ('identity', b'Transfer-Encoding: identity'),
            ('a list', b'Transfer-Encoding: identity, chunked'),
            ('chunked twice', b'Transfer-Encoding: chunked, chunked'),
            ('chunked not last', b'Transfer-Encoding: chunked, identity'), ('quoted', b'Transfer-Encoding: "chunked"'),
            ('two lines', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: x'),
            ('a nul', b'Transfer-Encoding: chunked\0'), ('a lone line feed', b'X: a\nTransfer-Encoding: chunked'),
            ('empty', b'Transfer-Encoding:'),
        )],
    ):  # fmt: skip
        yield Case('smuggling', name, 'POST', raw=post % (lines, chunked + inner), protocol=True, closes=True)
    # What no server takes for the header that it looks like is no conflict: the length holds.
    lines = length % len(body) + b'Transfer_Encoding: chunked\r\n'
    yield Case('smuggling', 'both, an underscore', 'POST', raw=post % (lines, body), protocol=True)
    for name, value in (
        ('two lengths', b'5\r\nContent-Length: 25'), ('two equal lengths', b'25\r\nContent-Length: 25'),
        ('a list', b'25, 25'), ('a list of two', b'5, 25'), ('a plus', b'+25'), ('a minus', b'-25'), ('hex', b'0x19'),
        ('an underscore', b'2_5'), ('a blank within', b'2 5'), ('a fraction', b'25.0'), ('an exponent', b'25e0'),
        ('a word', b'all'), ('nothing', b''), ('a nul', b'25\0'), ('arabic digits', '٢٥'.encode()),
        ('far too many digits', b'9' * 400), ('a terabyte', b'1000000000000'),
        ('2 to the 64th', b'18446744073709551641'), ('quoted', b'"25"'),
    ):  # fmt: skip
        raw = post % (b'Content-Length: ' + value + b'\r\n', body)
        yield Case(
            'smuggling',
            f'a length that is {name}',
            'POST',
            raw=raw,
            protocol=True,
            closes='equal' not in name and name != 'a list',
        )
    for name, text in (
        ('no number', b'zz\r\n'), ('a minus', b'-1\r\n'), ('a plus', b'+5\r\nabcde\r\n0\r\n\r\n'),
        ('hex mark', b'0x5\r\nabcde\r\n0\r\n\r\n'), ('an underscore', b'1_0\r\n'), ('nothing', b'\r\n'),
        ('a huge number', b'f' * 300 + b'\r\n'), ('16 digits', b'ffffffffffffffff\r\n'), ('no end', b'5\r\nabcde'),
        ('too short', b'10\r\nabc\r\n0\r\n\r\n'), ('too long', b'2\r\nabcde\r\n0\r\n\r\n'),
        ('line feeds', b'5\nabcde\n0\n\n'), ('a long extension', b'5;' + b'a' * 9000 + b'\r\nabcde\r\n0\r\n\r\n'),
        ('a line feed in an extension', b'5;a\nb\r\nabcde\r\n0\r\n\r\n'), ('trailers', b'0\r\nX-Project-Id: a\r\n\r\n'),
        ('a bad trailer', b'0\r\nnonsense\r\n\r\n'), ('many trailers', b'0\r\n' + b'X: 1\r\n' * 3000 + b'\r\n'),
        ('very many small ones', b'1\r\na\r\n' * 5000 + b'0\r\n\r\n'),
        ('more than allowed', (b'1000\r\n' + b'a' * 4096 + b'\r\n') * 100),
    ):  # fmt: skip
        raw = post % (b'Transfer-Encoding: chunked\r\n', text + inner)
        # Trailers end at an empty line whatever is in them.
        whole = name in ('trailers', 'a bad trailer', 'many trailers', 'very many small ones', 'a long extension')
        yield Case('smuggling', f'chunks: {name}', 'POST', raw=raw, protocol=True, closes=not whole)
        raw = raw.replace(b'POST /v2/queues/hostile/messages', b'DELETE /v2/queues/hostile/claims/a')
        yield Case('smuggling', f'chunks that nobody reads: {name}', 'DELETE', raw=raw, protocol=True, closes=not whole)
    for name, size in (('at the bound', 262_144), ('one too many', 262_145), ('twice too many', 524_288)):
        yield Case('sizes', name, 'POST', b'/v2/queues/hostile/messages', body=body + b' ' * (size - len(body)))
        yield Case('sizes', f'{name} in a queue', 'PUT', b'/v2/queues/hostile-new', body=b'{}' + b' ' * (size - 2))
    for name, line in (('an expectation', b'Expect: 100-continue'), ('an impossible expectation', b'Expect: 200-ok')):
        yield Case(
            'sizes',
            name,
            'POST',
            b'/v2/queues/hostile/messages',
            lines=(line,),
            body=body,
            protocol='impossible' in name,
        )
    yield Case('smuggling', 'a body of a GET', lines=(), body=inner, target=b'/v2/queues/hostile/messages')
    yield Case('smuggling', 'a body of a DELETE', 'DELETE', b'/v2/queues/hostile/claims/a', body=inner)
    yield Case('smuggling', 'a body of a HEAD', 'HEAD', b'/v1/queues/hostile', body=inner)


def protocol_cases():
    line = b'GET /v2/queues/hostile %b\r\nCREDENTIALS\r\n\r\n'
    for version in (
        b'HTTP/0.9',
        b'HTTP/1.2',
        b'HTTP/2.0',
        b'HTTP/9.9',
        b'HTTP/1.1x',
        b'http/1.1',
        b'HTTP/1',
        b'HTTP/-1.1',
        b'HTTPS/1.1',
        b'',
    ):
        yield Case('protocol', f'version {version.decode()}', raw=line % version, protocol=True)
    for name, raw in (
        ('no host', b'GET /v2/queues/hostile HTTP/1.1\r\n\r\n'),
        ('two hosts', b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), ('a method alone', b'GET\r\n\r\n'),
        ('no method', b' / HTTP/1.1\r\nHost: a\r\n\r\n'), ('nothing but line breaks', b'\r\n' * 50),
        ('TLS', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\0' * 200 + b'\r\n\r\n'),
        ('HTTP/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), ('zeros', b'\0' * 500 + b'\r\n\r\n'),
        ('noise', bytes(range(256)) * 8 + b'\r\n\r\n'), ('SSH', b'SSH-2.0-OpenSSH_9\r\n\r\n'),
        ('line feeds only', b'GET /v2/ping HTTP/1.1\nHost: a\n\n'),
        ('carriage returns only', b'GET /v2/ping HTTP/1.1\rHost: a\r\r'),
        ('tabs', b'GET\t/v2/ping\tHTTP/1.1\r\nHost: a\r\n\r\n'), ('an endless line', b'GET /' + b'a' * 200_000),
        ('an endless header', b'GET / HTTP/1.1\r\nX: ' + b'a' * 200_000),
        ('SIP', b'OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\n\r\n'),
        ('a proxy line', b'PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'),
        ('cut off in the line', b'GET /v2/que'), ('cut off in a header', b'GET /v2/ping HTTP/1.1\r\nHos'),
    ):  # fmt: skip
        yield Case('protocol', name, raw=raw, protocol=True)


def tenant_cases(victim: dict, project: str, authenticated: bool):
    """Everything that can be asked, with the ids of another project."""
    for sentence, step in walk.steps():
        headers = {'Content-Type': (base.PATCH if step.sent.startswith(b'[{"op"') else 'application/json').encode()}
        headers |= {name: value.encode() for name, value in base.HEADERS.get(step.version, {}).items()}
        path = dialects.APIS[step.version].path
        target = (path + step.asked.format_map(victim)).encode()
        yield Case('tenants', sentence, step.method, target, headers, body=step.sent)
        if authenticated:
            headers = {**headers, 'X-Project-Id': project.encode()}
            yield Case('tenants', f'{sentence} in its name', step.method, target, headers, body=step.sent)
            target = f'{path}/{project}{step.asked.format_map(victim)}'.encode()
            yield Case('tenants', f'{sentence} under its path', step.method, target, headers, body=step.sent)
    target = b'/v2/queues/%b/messages?echo=true&include_claimed=true' % victim['queue_name'].encode()
    yield from credential_cases(target, project, authenticated)
    for name, claimed in (
        ('twice', None), ('in capitals', project.upper()), ('with a dot', f'{project}.'),
        ('with a star', f'{project[:-1]}*'), ('as a regex', f'^{project}$'), ('as a wildcard', f'{project[:-1]}_'),
        ('with percent', f'{project[:-2]}%'), ('all', '*'), ('escaped', f'%{ord(project[0]):x}{project[1:]}'),
        ('with a nul', f'{project}\0'), ('in a list', f'{project},hostile'), ('behind a slash', f'a/../{project}'),
        ('as an operator', '{"$ne":"a"}'), ('quoted', f'"{project}"'), ('with a combining letter', f'{project}\u0301'),
    ):  # fmt: skip
        if claimed is None:
            yield Case(
                'tenants', f'another project {name}', target=target, lines=(b'X-Project-Id: %b' % project.encode(),)
            )
        else:
            headers = {'X-Project-Id': claimed.encode()}
            yield Case('tenants', f'another project {name}', target=target, headers=headers, protocol='\0' in claimed)
    for twin in (b'X_Project_Id', b'x_project-id', b'X-Project_Id'):
        yield Case(
            'tenants',
            f'another project by {twin.decode()}',
            target=target,
            lines=(twin + b': ' + project.encode(),),
            protocol=True,
        )


def credential_cases(target: bytes, project: str, authenticated: bool):
    """Credentials that open nothing, with the name of the project that they should open."""
    named = {'X-Project-Id': project.encode()}
    ends = {'URL-Expires': b'2999-01-01T00:00:00'}
    signed = {'URL-Signature': b'0' * 64, 'URL-Methods': b'GET', 'URL-Paths': target.partition(b'?')[0], **ends}
    confirmed = {
        'X-Identity-Status': b'Confirmed',
        'X-Roles': b'admin',
        'X-User-Id': b'a',
        'X-Service-Roles': b'service',
    }
    refused = {
        'a token of nobody': {'X-Auth-Token': tokens.new_token().encode()},
        'a token of nobody as a bearer': {'Authorization': f'Bearer {tokens.new_token()}'.encode()},
        'a signature': signed, 'a signature of nothing': {'URL-Signature': b'0' * 64},
        'a signature and roles': {**signed, **confirmed}, 'a signature without an end': {**signed, 'URL-Expires': b''},
    }  # fmt: skip
    # Without authentication these are as good as none, and the name of the project is believed.
    believed = {
        'nothing': {}, 'an empty token': {'X-Auth-Token': b''}, 'an empty bearer': {'Authorization': b'Bearer '},
        'somebody else\'s token': {'X-Auth-Token': b'gAAAAA' + b'a' * 177},
        'the project as a token': {'X-Auth-Token': project.encode()}, 'a bearer': {'Authorization': b'Bearer a'},
        'basic': {'Authorization': b'Basic YWRtaW46YWRtaW4='}, 'roles': confirmed,
        'an empty signature': {**signed, 'URL-Signature': b''},
    }  # fmt: skip
    for name, headers in (refused | believed if authenticated else refused).items():
        instead = {'X-Auth-Token': None, **named, **headers}
        yield Case('tenants', f'{name} instead of a token', target=target, headers=instead)
        if authenticated:
            yield Case('tenants', f'{name} beside the token', target=target, headers={**named, **headers})


def cases(victim: dict, project: str, authenticated: bool = False) -> list[Case]:
    """All of them. What `victim` names belongs to `project`, which is not the one who asks."""
    return [
        *json_cases(), *word_cases(), *header_cases(), *method_cases(), *signature_cases(), *subscriber_cases(),
        *length_cases(), *protocol_cases(), *tenant_cases(victim, project, authenticated),
    ]  # fmt: skip
