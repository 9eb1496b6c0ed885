"""Pre-signed URLs: the protocol's own vectors, the grammar, and that a signature means one thing only."""

import itertools

import msgspec
import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import errors, limits, queues, signatures
from tests.fixtures import tables

_SECRET = b'sekrit'
_GRANT = signatures.Grant(('/v2/queues/q/messages',), ('GET',), 'p1', '2026-11-23T03:50:02')
_SIGNATURE = 'fc5b574607c277778cb826ed79fbed6cfe59a9cc2409f654cdcd034d683af47a'

#: A subscription.
_LINK = '/v2/queues/q/subscriptions/00018bcfe5680123456789aa'

_projects = st.lists(
    st.sampled_from(['\\n', '\\', 'n', 'p', ',', 'GET', '/v2/queues/q/messages', '2026-11-23T03:50:02'])
).map(''.join)
_names = st.from_regex(r'[A-Za-z0-9_-]{1,8}', fullmatch=True)
_shares = st.builds(
    lambda name, resources, methods, project, expires_at: signatures.build(
        queues.QueueKey(queues.PROJECT, project, name), resources, methods, expires_at
    ),
    _names,
    st.sets(st.sampled_from(signatures.RESOURCES), min_size=1),
    st.sets(st.sampled_from(signatures.METHODS), min_size=1),
    _projects,
    st.integers(0, 2**33),
)
_links = st.builds(
    lambda name, subscription_id, project, expires_at: signatures.build_link(
        queues.QueueKey(queues.PROJECT, project, name), subscription_id, expires_at
    ),
    st.one_of(_names, st.sampled_from(['subscriptions', 'confirm'])),
    st.from_regex(r'[0-9a-f]{24}', fullmatch=True),
    _projects,
    st.integers(0, 2**33),
)
_grants = st.one_of(_shares, _links)


class TestVectors(testtools.TestCase):
    def test_one_path_and_method(self):
        self.assertEqual(_SIGNATURE, signatures.sign(_GRANT, _SECRET))

    def test_several_paths_and_methods(self):
        grant = signatures.read(
            '/v2/queues/q/claims,/v2/queues/q/messages', 'DELETE,GET,POST', 'p1', '2030-01-01T00:00:00'
        )
        self.assertEqual(
            '8915f9d326e9954de763e6e107465d1b60c0eeabeead6dcbc044dcc98b38e158', signatures.sign(grant, _SECRET)
        )


class TestSignatures(testtools.TestCase):
    def test_any_of_the_secrets_will_do(self):
        for secrets in ([_SECRET], [_SECRET, b'other'], [b'other', _SECRET]):
            self.assertTrue(signatures.is_signed(_GRANT, _SIGNATURE, secrets))
        for secrets in ([], [b'other'], [b'sekrit ']):
            self.assertFalse(signatures.is_signed(_GRANT, _SIGNATURE, secrets))

    @given(_grants)
    def test_the_text_of_a_grant_can_be_read_in_one_way(self, grant):
        text = signatures.canonical(grant)
        paths, methods, rest = text.split(r'\n', 2)
        self.assertEqual(r'\n', rest[-21:-19])
        self.assertEqual(grant, signatures.read(paths, methods, rest[:-21], rest[-19:]))

    @given(_grants)
    def test_another_reading_of_the_text_is_no_grant(self, grant):
        parts = signatures.canonical(grant).split(r'\n')
        for cuts in itertools.combinations(range(1, len(parts)), 3):
            read = [r'\n'.join(parts[start:end]) for start, end in itertools.pairwise((0, *cuts, len(parts)))]
            self.assertIn(signatures.read(*read), (grant, None))

    @given(_grants, _grants)
    def test_a_signature_is_good_for_its_grant_alone(self, one, other):
        signature = signatures.sign(one, _SECRET)
        self.assertEqual(one == other, signatures.is_signed(other, signature, [_SECRET]))

    @given(_shares, _links)
    def test_no_share_reaches_a_confirmation_or_a_secret(self, share, link):
        path = link.paths[0]
        self.assertIsNone(share.link)
        self.assertEqual(path.split('/')[-2], link.link)
        self.assertTrue(link.is_for('PUT', path, 0) or link.expires == '1970-01-01T00:00:00')
        own = msgspec.structs.replace(
            share, project=link.project, paths=(path.rpartition('/subscr')[0] + '/subscriptions',)
        )
        for method in signatures.METHODS:
            self.assertFalse(own.is_for(method, path, 0))
            self.assertFalse(own.is_for(method, f'{path}/', 0))
            self.assertFalse(own.is_for(method, path.removesuffix('confirm') + 'secret', 0))
            self.assertFalse(method != 'PUT' and link.is_for(method, path, 0))


class TestGrammar(tables.Tables, testtools.TestCase):
    @tables.each(
        ('no paths', {'paths': ''}),
        ('a path of another version', {'paths': '/v1.1/queues/q/messages'}),
        ('a path with a project', {'paths': '/v2/p1/queues/q/messages'}),
        ('a queue', {'paths': '/v2/queues/q'}),
        ('all queues', {'paths': '/v2/queues'}),
        ('the share of a queue', {'paths': '/v2/queues/q/share'}),
        ('one message', {'paths': '/v2/queues/q/messages/1'}),
        ('a slash at the end', {'paths': '/v2/queues/q/messages/'}),
        ('the beginning of a word', {'paths': '/v2/queues/q/message'}),
        ('a pattern', {'paths': '/v2/queues/*/messages'}),
        ('dots for a queue', {'paths': '/v2/queues/../messages'}),
        ('a path with a query', {'paths': '/v2/queues/q/messages?limit=1'}),
        ('a path that is encoded', {'paths': '/v2/queues/%71/messages'}),
        ('a path with a line feed', {'paths': '/v2/queues/q/messages\n'}),
        ('a link for GET', {'paths': f'{_LINK}/confirm'}),
        ('a link for more', {'paths': f'{_LINK}/confirm', 'methods': 'GET,PUT'}),
        ('a link and a share', {'paths': f'/v2/queues/q/messages,{_LINK}/confirm', 'methods': 'PUT'}),
        ('two links', {'paths': f'{_LINK}/confirm,{_LINK[:-1]}b/confirm', 'methods': 'PUT'}),
        ('a link behind a link', {'paths': f'{_LINK}/confirm/confirm', 'methods': 'PUT'}),
        ('a link with a slash at the end', {'paths': f'{_LINK}/confirm/', 'methods': 'PUT'}),
        ('a link to a subscription', {'paths': _LINK, 'methods': 'PUT'}),
        ('a link with a short id', {'paths': f'{_LINK[:-1]}/confirm', 'methods': 'PUT'}),
        ('a link in capitals', {'paths': f'{_LINK[:-1]}A/confirm', 'methods': 'PUT'}),
        ('a link to dots', {'paths': f'/v2/queues/../subscriptions/{"0" * 24}/confirm', 'methods': 'PUT'}),
        ('two queues', {'paths': '/v2/queues/a/messages,/v2/queues/b/messages'}),
        ('paths in another order', {'paths': '/v2/queues/q/messages,/v2/queues/q/claims'}),
        ('a path twice', {'paths': '/v2/queues/q/messages,/v2/queues/q/messages'}),
        ('paths with a blank', {'paths': '/v2/queues/q/claims, /v2/queues/q/messages'}),
        ('no methods', {'methods': ''}),
        ('a method in small letters', {'methods': 'get'}),
        ('a method that nobody knows', {'methods': 'BREW'}),
        ('a method that shows nothing', {'methods': 'OPTIONS'}),
        ('methods in another order', {'methods': 'POST,GET'}),
        ('a method twice', {'methods': 'GET,GET'}),
        ('a method with a blank', {'methods': 'GET '}),
        ('no expiry', {'expires': ''}),
        ('an expiry with a zone', {'expires': '2026-11-23T03:50:02Z'}),
        ('an expiry with a fraction', {'expires': '2026-11-23T03:50:02.0'}),
        ('an expiry with a blank', {'expires': '2026-11-23 03:50:02'}),
        ('an expiry that is a day', {'expires': '2026-11-23'}),
        ('an expiry that is no day', {'expires': '2026-02-31T03:50:02'}),
        ('an expiry in other digits', {'expires': '202٦-11-23T03:50:02'}),
        ('an expiry of another form', {'expires': '2026-W47-1T03:50:02'}),
        ('a number for an expiry', {'expires': '1795405802'}),
    )
    def test_there_is_no_grant_with(self, wrong):
        right = {'paths': '/v2/queues/q/messages', 'methods': 'GET', 'project': 'p1', 'expires': '2026-11-23T03:50:02'}
        self.assertEqual(_GRANT, signatures.read(**right))
        self.assertIsNone(signatures.read(**(right | wrong)))

    @tables.each(
        ('nothing', ''),
        ('capitals', _SIGNATURE.upper()),
        ('a digit less', _SIGNATURE[:-1]),
        ('a digit more', f'{_SIGNATURE}0'),
        ('a line feed', f'{_SIGNATURE}\n'),
        ('letters outside ascii', 'é' * 64),
        ('zeros', '0' * 64),
    )
    def test_a_signature_cannot_be(self, signature):
        self.assertFalse(signatures.is_signed(_GRANT, signature, [_SECRET]))


class TestGrants(tables.Tables, testtools.TestCase):
    GRANT = signatures.Grant(
        ('/v2/queues/q/claims', '/v2/queues/q/messages'), ('GET', 'POST'), 'p1', '2001-09-09T01:46:40'
    )
    END = 1_000_000_000.0

    @tables.each(
        ('a path', 'GET', '/v2/queues/q/messages'),
        ('a child', 'GET', '/v2/queues/q/messages/1'),
        ('another path', 'POST', '/v2/queues/q/claims'),
        ('another child', 'POST', '/v2/queues/q/claims/1'),
    )
    def test_it_allows(self, method, path):
        self.assertTrue(self.GRANT.is_for(method, path, self.END - 0.001))
        self.assertFalse(self.GRANT.is_for(method, path, self.END))
        self.assertFalse(self.GRANT.is_for('DELETE', path, self.END - 1))

    @tables.each(
        ('a longer word', '/v2/queues/q/messages2'),
        ('a shorter word', '/v2/queues/q/message'),
        ('another resource', '/v2/queues/q/subscriptions'),
        ('the queue', '/v2/queues/q'),
        ('the share', '/v2/queues/q/share'),
        ('another queue', '/v2/queues/q2/messages'),
        ('another version', '/v1.1/queues/q/messages'),
        ('nothing', ''),
    )
    def test_it_does_not_allow(self, path):
        self.assertFalse(self.GRANT.is_for('GET', path, self.END - 1))


class TestLinks(testtools.TestCase):
    def test_one_is_for_its_own_path_alone(self):
        link = signatures.build_link(queues.QueueKey(queues.PROJECT, 'p', 'q'), _LINK.rpartition('/')[2], 1e9)
        self.assertEqual(link, signatures.read(f'{_LINK}/confirm', 'PUT', 'p', '2001-09-09T01:46:40'))
        self.assertEqual(queues.QueueKey(queues.PROJECT, 'p', 'q'), link.queue)
        self.assertTrue(link.is_for('PUT', f'{_LINK}/confirm', 1e9 - 1))
        self.assertFalse(link.is_for('PUT', f'{_LINK}/confirm', 1e9))
        for path in (_LINK, f'{_LINK}/confirm/', f'{_LINK}/confirm/1', f'{_LINK}/confirm2', f'{_LINK[:-1]}b/confirm'):
            self.assertFalse(link.is_for('PUT', path, 1e9 - 1))

    def test_it_may_last_for_a_hundred_years(self):
        key = queues.QueueKey(queues.PROJECT, 'p', 'q')
        link = signatures.build_link(key, '0' * 24, 1_700_000_000 + limits.MOST_SUBSCRIPTION_TTL)
        self.assertTrue(link.is_for('PUT', link.paths[0], 1_800_000_000))


class TestExpiry(tables.Tables, testtools.TestCase):
    @tables.each(
        ('plain', '2001-09-09T01:46:40'),
        ('with a fraction', '2001-09-09T01:46:40.999999'),
        ('with a zone', '2001-09-09T01:46:40Z'),
        ('with a fraction and a zone', '2001-09-09T01:46:40.5+00:00'),
    )
    def test_it_may_be_asked_for(self, text):
        self.assertEqual(1_000_000_000.0, signatures.read_expiry(text))

    @tables.each(
        ('another zone', '2001-09-09T01:46:40+02:00'), ('a number', '1000000000'), ('nothing', ''),
        ('a day', '2001-09-09'), ('no day', '2001-02-29T00:00:00'), ('a word', 'tomorrow'),
        ('the year 0', '0000-01-01T00:00:00'), ('a line feed', '2001-09-09T01:46:40\n'),
    )  # fmt: skip
    def test_it_cannot_be(self, text):
        error = self.assertRaises(errors.BodyInvalid, signatures.read_expiry, text)
        self.assertIn('"expires"', str(error))

    def test_it_lies_ahead_but_not_far(self):
        now = 1_000_000_000.5
        for good in (now + 0.5, now + 7 * 86400):
            self.assertEqual(good, signatures.check_life(good, now))
        for bad in (now, now - 1, now + 7 * 86400 + 1):
            self.assertIn('7 days', str(self.assertRaises(errors.BodyInvalid, signatures.check_life, bad, now)))
