import ipaddress
import urllib.parse

import testtools
import urllib3.util
from hypothesis import example, given
from hypothesis import strategies as st

from queueservice.model import deliveries, errors, networks, subscribers
from tests.fixtures import tables

RULES = deliveries.Rules()
INSIDE = deliveries.Rules(allowed_networks=('127.0.0.0/8', '::1/128', 'fe80::/10'), allowed_ports=(25,))

#: 127.0.0.1 and how else it can be written.
LOOPBACK = (
    '127.0.0.1', '127.1', '127.0.1', '2130706433', '017700000001', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1',
    '0X7F.1', '127.0.0.1.', '127.0.0x1', '00000177.0x0.00.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:127.0.0.1]', '\uff11\uff12\uff17.\uff10.\uff10.\uff11', '127\u30020\u30020\u30021',
    '\u2460\u2461\u2466.0.0.1',
)  # fmt: skip

#: What is not public, in every kind.
INTERNAL = (
    '0.0.0.0', '0', '0x0', '10.0.0.1', '10.1', '167772161', '172.16.0.1', '172.31.255.255', '192.168.1.1',
    '192.168.257',
    '169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '100.64.0.1', '100.127.255.255', '192.0.0.8',
    '192.0.2.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255',
    '240.0.0.1', '255.255.255.255', '4294967295', '192.88.99.1',
    '[::]', '[::1]', '[::127.0.0.1]', '[::8.8.8.8]', '[fe80::1]', '[fec0::1]', '[fc00::1]', '[fd00:ec2::254]',
    '[ff02::1]', '[ff0e::1]', '[2001:db8::1]', '[3fff::1]', '[100::1]', '[2001:2::1]', '[5f00::1]',
    '[::ffff:10.0.0.1]', '[::ffff:169.254.169.254]', '[::ffff:0:127.0.0.1]',
    '[2002:7f00:1::]', '[2002:a9fe:a9fe::1]', '[2002:808:808::1]',
    '[64:ff9b::127.0.0.1]', '[64:ff9b::a9fe:a9fe]', '[64:ff9b:1::10.0.0.1]', '[64:ff9b:1::8.8.8.8]',
    '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
)  # fmt: skip


class TestUrls(tables.Tables, testtools.TestCase):
    @tables.each(
        ('as it is', 'http://example.org/', 'http://example.org/'),
        ('without a path', 'https://example.org', 'https://example.org/'),
        ('with a query and no path', 'https://example.org?a=b', 'https://example.org/?a=b'),
        ('in capital letters', 'HTTPS://EXAMPLE.org/Path', 'https://example.org/Path'),
        ('with the port that it has anyway', 'http://example.org:80/', 'http://example.org/'),
        ('with the port of the other scheme', 'http://example.org:443/', 'http://example.org:443/'),
        ('with a port', 'https://example.org:08443/', 'https://example.org:8443/'),
        ('with an empty port', 'https://example.org:/', 'https://example.org/'),
        ('with a dot at the end of its name', 'http://example.org./', 'http://example.org/'),
        ('of one label', 'http://receiver:8080/', 'http://receiver:8080/'),
        ('with an underscore', 'http://a_b.example.org/', 'http://a_b.example.org/'),
        ('with a name beyond ASCII', 'http://B\u00fccher.example/', 'http://xn--bcher-kva.example/'),
        ('with a dot beyond ASCII', 'http://example\u3002org/', 'http://example.org/'),
        ('with a sharp s', 'http://fa\u00df.example/', 'http://xn--fa-hia.example/'),
        ('with a path beyond ASCII', 'http://example.org/\u00fc?\u00fc', 'http://example.org/%C3%BC?%C3%BC'),
        ('with small escapes', 'http://example.org/%c3%bc', 'http://example.org/%C3%BC'),
        ('with what has to be escaped', 'http://example.org/<{"a"}>', 'http://example.org/%3C%7B%22a%22%7D%3E'),
        ('with dots as a path', 'http://example.org/a/../b', 'http://example.org/a/../b'),
        ('at an address', 'http://8.8.8.8/', 'http://8.8.8.8/'),
        ('at a number', 'http://134744072/', 'http://8.8.8.8/'),
        ('at an IPv6 address', 'http://[2606:4700:0::1111]:8080/', 'http://[2606:4700::1111]:8080/'),
        ('at a mapped address', 'http://[::ffff:8.8.8.8]/', 'http://8.8.8.8/'),
        ('at an address behind NAT64', 'http://[64:ff9b::8.8.8.8]/', 'http://[64:ff9b::808:808]/'),
    )
    def test_normalises_a_url(self, uri, expected):
        self.assertEqual(expected, subscribers.check(uri, RULES))

    @tables.each(
        ('no host', 'http:///a', 'host'),
        ('a port and no host', 'http://:80/', 'host'),
        ('one slash', 'http:/example.org/', 'like http://'),
        ('no slash', 'http:example.org', 'like http://'),
        ('a fragment', 'http://example.org/#a', 'fragment'),
        ('an empty fragment', 'http://example.org/#', 'fragment'),
        ('a user name', 'http://user@example.org/', 'user name'),
        ('a user name and a password', 'http://user:password@example.org/', 'user name'),
        ('an empty user name', 'http://@example.org/', 'user name'),
        ('a host as a user name', 'http://example.org:80@127.0.0.1/', 'user name'),
        ('two user names', 'http://a@b@example.org/', 'user name'),
        ('a backslash', 'http://example.org\\@127.0.0.1/', 'backslash'),
        ('a blank', 'http://example.org/a b', 'blanks'),
        ('a blank at its end', 'http://example.org/ ', 'blanks'),
        ('a tab in its scheme', 'ht\ttp://example.org/', 'control'),
        ('a line break', 'http://example.org/\r\nHost: a', 'control'),
        ('a nul', 'http://example.org\0.example.com/', 'control'),
        ('a soft hyphen', 'http://exam\u00adple.org/', 'invisible'),
        ('a lone surrogate', 'http://example.org/\ud800', 'invisible'),
        ('a no-break space', 'http://example.org/\u00a0', 'blanks'),
        ('an escape in its host', 'http://%31%32%37.0.0.1/', 'valid name'),
        ('a bad escape', 'http://example.org/%zz', '"%25"'),
        ('half an escape', 'http://example.org/?%a', '"%25"'),
        ('a forbidden port', 'http://example.org:22/', 'port'),
        ('the port 0', 'http://example.org:0/', 'port'),
        ('a port too large', 'http://example.org:65536/', 'port'),
        ('a port in words', 'http://example.org:http/', 'port'),
        ('a port of arabic digits', 'http://example.org:\u0668\u0660/', 'port'),
        ('a negative port', 'http://example.org:-80/', 'port'),
        ('two ports', 'http://example.org:80:80/', 'port'),
        ('two dots', 'http://example..org/', 'valid name'),
        ('two dots at its end', 'http://example.org../', 'valid name'),
        ('a dot only', 'http://./', 'valid name'),
        ('a hyphen first', 'http://-example.org/', 'valid name'),
        ('a label of 64 letters', f'http://{"a" * 64}.org/', 'valid name'),
        ('a name of 254 letters', f'http://{"a." * 125}aaaa/', 'valid name'),
        ('an asterisk', 'http://*.example.org/', 'valid name'),
        ('a comma', 'http://example.org,example.com/', 'valid name'),
        ('a bad name beyond ASCII', 'http://\u0301a.example/', 'internationalised'),
        ('a slash that looks like one', 'http://example.org\u2044a/', 'internationalised'),
        ('a slash in full width', 'http://example.org\uff0fa/', 'internationalised'),
        ('five numbers', 'http://1.2.3.4.5/', 'no IPv4 address'),
        ('a number too large', 'http://4294967296/', 'no IPv4 address'),
        ('an octet too large', 'http://256.0.0.1/', 'no IPv4 address'),
        ('no octal digit', 'http://127.0.0.08/', 'no IPv4 address'),
        ('a name that ends in a number', 'http://example.0x7f/', 'no IPv4 address'),
        ('an underscore in a number', 'http://1_0.0.0.1/', 'no IPv4 address'),
        ('no address in brackets', 'http://[example.org]/', 'brackets'),
        ('an IPv4 address in brackets', 'http://[8.8.8.8]/', 'brackets'),
        ('a zone', 'http://[fe80::1%25eth0]/', 'brackets'),
        ('a bare zone', 'http://[2606:4700::1111%eth0]/', 'brackets'),
        ('an open bracket', 'http://[::1/', 'host'),
        ('an address of a future version', 'http://[v1.a]/', 'brackets'),
        ('another scheme', 'ftp://example.org/', 'must be supported in the list'),
        ('no scheme', 'example.org', 'must be supported in the list'),
        ('a file', 'file:///etc/passwd', 'must be supported in the list'),
        ('a trust', 'trust+https://example.org/', 'trusts'),
        ('nothing', '', 'must be supported in the list'),
        ('too much', 'http://example.org/' + 'a' * 2048, '2048'),
        ('too much when it is escaped', 'http://example.org/' + '\u00fc' * 700, 'escaped'),
    )
    def test_refuses_a_url_with(self, uri, reason):
        error = self.assertRaises(errors.BodyInvalid, subscribers.check, uri, INSIDE)
        self.assertIn(reason, str(error))

    @tables.each(*((f'in row {row}: {host}', host) for row, host in enumerate(LOOPBACK + INTERNAL)))
    def test_refuses_what_is_not_public(self, host):
        error = self.assertRaises(errors.BodyInvalid, subscribers.check, f'http://{host}/', RULES)
        self.assertIn('not public', str(error))

    @tables.each(*((f'in row {row}: {host}', host) for row, host in enumerate(LOOPBACK)))
    def test_allowed_networks_open_an_address_however_it_is_written(self, host):
        self.assertEqual('http://127.0.0.1/', subscribers.check(f'http://{host}/', INSIDE))

    def test_allowed_networks_open_no_other_addresses(self):
        self.assertRaises(errors.BodyInvalid, subscribers.check, 'http://10.0.0.1/', INSIDE)

    def test_allowed_ports_open_a_port(self):
        self.assertEqual('http://example.org:25/', subscribers.check('http://example.org:25/', INSIDE))

    def test_schemes_are_those_that_the_operator_allows(self):
        rules = deliveries.Rules(subscriber_types=('https',))
        self.assertRaises(errors.BodyInvalid, subscribers.check, 'http://example.org/', rules)
        self.assertRaises(errors.BodyInvalid, subscribers.check, 'queue:a', rules)

    def test_reads_the_parts_of_a_url(self):
        url = subscribers.read_url('https://[2606:4700::1111]:8443/a?b', RULES)
        self.assertEqual(('https', '2606:4700::1111', 8443, '/a?b'), tuple(url))
        self.assertEqual('[2606:4700::1111]:8443', url.authority)
        self.assertEqual(ipaddress.ip_address('2606:4700::1111'), url.address)
        self.assertIsNone(subscribers.read_url('http://example.org', RULES).address)


#: Hosts from pieces that parsers are known to read differently.
_PIECES = st.sampled_from(
    ['a', 'Z', '0', '1', '7f', '0x', '127', '08', '256', '.', '..', '-', '_', ':', '80', '[', ']', '::', '::1', 'ffff',
     '@', '/', '?', '#', '%', '%41', '%2e', '\\', ' ', '\t', '\n', '\0', '\u00fc', '\u3002', '\uff0e', '\uff10',
     '\u00df', 'xn--', 'example.org', '\u200d', '\u2044', ';', '&', '=', '+', '"', '<', '{', '|', '^', '`', '~', '*',
     ',']
)  # fmt: skip
_URIS = st.builds(
    '{}{}{}'.format,
    st.sampled_from(['http://', 'https://', 'HTTP://', 'http:', 'http:/', 'mailto:', 'queue:']),
    st.sampled_from(['', 'example.org', '127.0.0.1', '[::1]', 'a@']),
    st.lists(_PIECES, max_size=8).map(''.join) | st.text(max_size=12),
)


class TestLaws(testtools.TestCase):
    @given(_URIS)
    @example('http://example.org/%7e')
    @example('mailto:a%25b@example.org')
    def test_normalising_twice_changes_nothing(self, uri):
        once = _normalise(uri)
        if once is not None:
            self.assertEqual(once, subscribers.check(once, INSIDE))

    @given(_URIS)
    @example('http://example.org/a//b?c?d')
    def test_other_parsers_connect_to_what_was_checked(self, uri):
        once = _normalise(uri)
        if once is None or not once.startswith('http'):
            return
        url = subscribers.read_url(uri, INSIDE)
        theirs = urllib3.util.parse_url(once)
        self.assertEqual(
            (url.scheme, url.host, url.port),
            (theirs.scheme, theirs.host.strip('[]'), theirs.port or {'http': 80, 'https': 443}[theirs.scheme]),
        )
        self.assertEqual((None, None), (theirs.auth, theirs.fragment))
        split = urllib.parse.urlsplit(once)
        self.assertEqual((url.scheme, url.authority), (split.scheme, split.netloc))
        self.assertEqual(url.host, split.hostname)

    @given(_URIS)
    def test_what_is_accepted_is_printable_ascii(self, uri):
        once = _normalise(uri)
        if once is not None:
            self.assertRegex(once, r'\A[!-~]+\Z')


def _normalise(uri):
    try:
        return subscribers.check(uri, INSIDE)
    except errors.BodyInvalid:
        return None


class TestMail(tables.Tables, testtools.TestCase):
    @tables.each(
        ('as it is', 'mailto:somebody@example.org', 'somebody@example.org'),
        ('in capital letters', 'MAILTO:Somebody@EXAMPLE.org', 'Somebody@example.org'),
        ('with a plus', 'mailto:a+b@example.org', 'a+b@example.org'),
        ('that is escaped', 'mailto:a%2Bb%40example.org', 'a+b@example.org'),
        ('with a percent sign', 'mailto:a%25b@example.org', 'a%b@example.org'),
        ('with a slash', 'mailto:a%2Fb@example.org', 'a/b@example.org'),
        ('beyond ASCII', 'mailto:a@b\u00fccher.example', 'a@xn--bcher-kva.example'),
    )
    def test_takes_an_address(self, uri, expected):
        self.assertEqual(expected, subscribers.mail_address(subscribers.check(uri, RULES)))

    @tables.each(
        ('nothing', 'mailto:'),
        ('no domain', 'mailto:a'),
        ('no name', 'mailto:@example.org'),
        ('two addresses', 'mailto:a@example.org,b@example.org'),
        ('header fields', 'mailto:a@example.org?subject=b'),
        ('a header that is injected', 'mailto:a@example.org%0D%0ABcc:b@example.org'),
        ('a header before the domain', 'mailto:a%0ABcc:b@example.org'),
        ('an escaped blank', 'mailto:a%20b@example.org'),
        ('an escaped nul', 'mailto:a%00@example.org'),
        ('a quoted name', 'mailto:"a"@example.org'),
        ('brackets', 'mailto:<a@example.org>'),
        ('a name beyond ASCII', 'mailto:\u00fc@example.org'),
        ('no UTF-8', 'mailto:%ff@example.org'),
        ('two dots', 'mailto:a..b@example.org'),
        ('an address as a domain', 'mailto:a@[127.0.0.1]'),
        ('numbers as a domain', 'mailto:a@127.0.0.1'),
        ('a long name', f'mailto:{"a" * 65}@example.org'),
        ('a bad escape', 'mailto:a%zz@example.org'),
    )
    def test_refuses(self, uri):
        self.assertRaises(errors.BodyInvalid, subscribers.check, uri, RULES)


class TestQueues(tables.Tables, testtools.TestCase):
    def test_takes_a_name(self):
        self.assertEqual('queue:Copies.of-a', subscribers.check('Queue:Copies.of-a', RULES))
        self.assertEqual('Copies.of-a', subscribers.queue_name('queue:Copies.of-a'))

    @tables.each(('nothing', ''), ('slashes', '//a'), ('a dot', '.'), ('an escape', '%41'), ('a query', 'a?b'))
    def test_refuses(self, name):
        error = self.assertRaises(errors.BodyInvalid, subscribers.check, f'queue:{name}', RULES)
        self.assertIn('queue:name', str(error))


class TestHeaders(tables.Tables, testtools.TestCase):
    def test_takes_headers(self):
        headers = {
            'X-Source': 'a',
            'x-b_c-1': '',
            'Authorization': 'Bearer a',
            'content-type': 'text/plain; charset=utf-8',
        }
        self.assertEqual(headers, subscribers.check_headers(headers))

    @tables.each(
        ('no object', ['X-A']),
        ('another header', {'Cookie': 'a'}),
        ('the host', {'Host': 'a'}),
        ('a length', {'Content-Length': '0'}),
        ('an encoding', {'Transfer-Encoding': 'chunked'}),
        ('what signs', {'webhook-signature': 'v1,a'}),
        ('no name', {'': 'a'}),
        ('nothing after the X', {'X-': 'a'}),
        ('a long name', {'X-' + 'a' * 63: 'a'}),
        ('a line break in a name', {'X-A\r\nHost: b': 'a'}),
        ('a line break after a name', {'X-A\n': 'a'}),
        ('a colon in a name', {'X-A:': 'a'}),
        ('a letter beyond ASCII in a name', {'X-\u017f': 'a'}),
        ('a line break in a value', {'X-A': 'a\r\nHost: b'}),
        ('a lone line feed in a value', {'X-A': 'a\nb'}),
        ('a lone carriage return in a value', {'X-A': 'a\rb'}),
        ('a nul in a value', {'X-A': '\0'}),
        ('a letter beyond ASCII in a value', {'X-A': '\u00fc'}),
        ('a number', {'X-A': 1}),
        ('null', {'X-A': None}),
        ('a long value', {'X-A': 'a' * 4097}),
        ('too many', {f'X-{number}': '' for number in range(33)}),
        ('one twice', {'X-A': 'a', 'x-a': 'b'}),
    )
    def test_refuses(self, headers):
        error = self.assertRaises(errors.BodyInvalid, subscribers.check_headers, headers)
        self.assertIn('post_headers', str(error))


class TestNetworks(testtools.TestCase):
    @given(st.ip_addresses(v=4))
    def test_no_disguise_makes_an_address_public(self, address):
        number = int(address)
        disguises = (0xFFFF << 32 | number, 0x64FF9B << 96 | number, number, 0x64FF9B0001 << 80 | number)
        for disguise in map(ipaddress.IPv6Address, disguises):
            if not networks.is_public(address):
                self.assertFalse(networks.is_public(disguise), disguise)
        for relayed in (
            0x2002 << 112 | number << 80,
            0x20010000 << 96 | number << 64,
            0x20010000 << 96 | ~number & 0xFFFFFFFF,
        ):
            self.assertFalse(networks.is_public(ipaddress.IPv6Address(relayed)))

    def test_networks_are_read_strictly(self):
        self.assertEqual((ipaddress.ip_network('10.1.0.0/16'),), networks.read(('10.1.0.0/16',)))
        for text in ('10.1.0.1/16', '10.1', 'internal', ''):
            self.assertRaises(ValueError, networks.read, (text,))
