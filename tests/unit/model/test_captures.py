import testtools

from queueservice.model import captures, errors
from tests.fixtures import tables

RULES = captures.Rules(max_body=8)


def response(body, rules=RULES, **options):
    return captures.build_response(200, '', {}, 1.5, body, rules, **options)


class TestKeys(testtools.TestCase):
    def test_the_bucket_of_a_queue_has_always_the_same_key(self):
        self.assertEqual('txdpfqzbyoe4', captures.bucket_key('p', 'q'))

    def test_queues_and_projects_have_buckets_of_their_own(self):
        keys = {captures.bucket_key(*owner) for owner in (('p', 'q'), ('q', 'p'), ('pq', ''), ('', 'pq'), ('p', 'q2'))}
        self.assertEqual(5, len(keys))
        self.assertTrue(all(map(captures.is_key, keys)))

    def test_an_attempt_has_always_the_same_id(self):
        self.assertEqual(captures.attempt_id('d', 1), captures.attempt_id('d', 1))
        self.assertNotEqual(captures.attempt_id('d', 1), captures.attempt_id('d', 2))
        self.assertTrue(captures.is_id(captures.attempt_id('d', 1)))

    def test_new_ones_are_as_they_are_to_be(self):
        self.assertTrue(captures.is_key(captures.new_key()))
        self.assertTrue(captures.is_id(captures.new_id()))


class TestBodies(tables.Tables, testtools.TestCase):
    @tables.each(
        ('a text', b'hello', 'plaintext', 'hello', False),
        ('nothing', b'', 'plaintext', '', False),
        ('bytes', b'\xff\x00', 'base64', '/wA=', False),
        ('a long text', b'123456789', 'plaintext', '12345678', True),
        ('a text that is cut within a character', '1234567é'.encode(), 'plaintext', '1234567', True),
        ('long bytes', b'\xff' * 9, 'base64', '//////////8=', True),
    )
    def test_what_is_kept_of(self, body, encoding, shown, truncated):
        kept = response(body)
        self.assertEqual((encoding, truncated, len(body)), (kept.encoding, kept.truncated, kept.size))
        self.assertEqual(shown, captures.show_body(kept))

    def test_a_body_that_is_left_out_keeps_its_length(self):
        kept = response(b'hello', left_out=captures.ENCRYPTED)
        self.assertEqual((None, 5, False, 'encrypted'), (kept.body, kept.size, kept.truncated, kept.left_out))

    def test_what_came_in_part_stays_marked(self):
        self.assertTrue(response(b'he', truncated=True).truncated)

    def test_headers_are_kept_as_far_as_they_fit(self):
        headers = {'A': ['1'], 'B': ['x' * captures.MOST_HEADERS], 'C': ['2']}
        kept = captures.build_response(200, '', headers, 1.5, b'', RULES)
        self.assertEqual({'A': ['1'], 'B': [], 'C': ['2']}, kept.headers)
        self.assertTrue(kept.headers_truncated)

    def test_a_status_has_words(self):
        self.assertEqual('OK', response(b'').reason)
        self.assertEqual('', captures.build_response(599, '', {}, 1, b'', RULES).reason)


class TestChecks(tables.Tables, testtools.TestCase):
    @tables.each(
        ('relative', '/a'), ('of another scheme', 'ftp://a.example/'), ('without a host', 'http:///a'),
        ('with a blank', 'http://a.example/a b'), ('with a line break', 'http://a.example/a\nb'), ('empty', ''),
        ('with a bad address', 'http://[::1/'), ('with a bad port', 'http://a.example:99999/'),
        ('too long', 'http://a.example/' + 'a' * captures.MOST_URL),
    )  # fmt: skip
    def test_a_url_may_not_be(self, url):
        self.assertRaises(errors.BodyInvalid, captures.check_url, url)

    @tables.each(('empty', ''), ('two words', 'GET /'), ('long', 'A' * 33), ('a line break', 'GET\n'))
    def test_a_method_may_not_be(self, method):
        self.assertRaises(errors.BodyInvalid, captures.check_method, method)

    def test_a_rank_is_one_that_can_be_told_apart(self):
        self.assertEqual(2**53, captures.check_rank(2**53))
        self.assertEqual(-0.5, captures.check_rank(-0.5))
        self.assertRaises(errors.BodyInvalid, captures.check_rank, 2**53 + 1)
