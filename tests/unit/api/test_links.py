import types

import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.api import links


def request(query):
    return types.SimpleNamespace(query_string=query)


class TestNextPage(testtools.TestCase):
    def test_the_marker_is_added(self):
        self.assertEqual('/v2/queues?marker=m', links.next_page(request(''), '/v2/queues', 'm'))
        self.assertEqual('/v2/queues?limit=2&marker=m', links.next_page(request('limit=2'), '/v2/queues', 'm'))

    def test_the_marker_takes_the_place_of_the_last_one(self):
        for query in ('marker=old&limit=2', 'limit=2&marker=old', 'marker=a&limit=2&marker=b'):
            self.assertEqual('/v2/queues?limit=2&marker=m', links.next_page(request(query), '/v2/queues', 'm'))
        self.assertEqual('/v2/queues?marker=m', links.next_page(request('marker=old'), '/v2/queues', 'm'))

    def test_parameters_that_end_alike_stay(self):
        href = links.next_page(request('bookmarker=1'), '/v2/queues', 'm')
        self.assertEqual('/v2/queues?bookmarker=1&marker=m', href)

    @given(st.lists(st.sampled_from(['limit=2', 'marker=x', 'a=b%26c', 'name=%C3%A4', 'echo', '']), max_size=5))
    def test_following_links_never_makes_them_longer(self, pairs):
        first = links.next_page(request('&'.join(pairs)), '/p', 'm')
        self.assertEqual(first, links.next_page(request(first.partition('?')[2]), '/p', 'm'))
