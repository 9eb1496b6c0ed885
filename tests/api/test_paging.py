"""Lists of messages, page by page: markers, links and filters."""

import collections
from urllib import parse

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api import base
from tests.fixtures import tables


class PagingTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_queue()

    def walk(self, limit=10, href=None, **params):
        """The bodies of all pages from the first or from `href` on, and the last link."""
        params = {'limit': limit, **params}
        seen, last = [], href
        messages, href = self.message_page(href, params=None if href else params)
        while href:
            seen += base.bodies(messages)
            last = href
            messages, href = self.message_page(href)
        self.assertEqual([], messages)
        return seen, last


@base.in_versions('1', '1.1', '2')
class TestPages(PagingTestCase):
    def test_every_message_comes_once_and_in_order(self):
        self.post_messages(*range(57))
        for limit in (1, 2, 10, 56, 57, 58, 100):
            self.assertEqual(list(range(57)), self.walk(limit)[0])

    def test_a_page_with_messages_has_a_link_even_if_it_is_the_last(self):
        self.post_messages(1)
        messages, href = self.message_page()
        self.assertEqual([1], base.bodies(messages))
        self.assertIsNotNone(href)
        self.assertEqual(([], None), self.message_page(href))

    def test_a_reader_goes_on_from_its_last_link(self):
        self.post_messages(1)
        _, href = self.message_page()
        self.assertEqual(([], None), self.message_page(href))
        self.post_messages(2, 3)
        messages, href = self.message_page(href)
        self.assertEqual([2, 3], base.bodies(messages))
        self.post_messages(4)
        self.assertEqual([4], base.bodies(self.message_page(href)[0]))

    def test_pages_of_one_get_past_the_first_message(self):
        # Section 13, item 3.
        self.post_messages('first', 'second', 'third')
        messages, href = self.message_page(params={'limit': 1})
        self.assertEqual(['first'], base.bodies(messages))
        self.assertEqual(['second'], base.bodies(self.message_page(href)[0]))

    def test_a_link_repeats_the_query_and_nothing_else(self):
        self.post_messages(1)
        for query in ('', 'limit=5', 'echo=true&limit=5', 'include_claimed=1&echo=yes', 'limit=5&limit=6'):
            _, href = self.message_page(f'/queues/demo/messages?{query}')
            path, _, repeated = href.partition('?')
            self.assertEqual(f'{self.path}/queues/demo/messages', path)
            pairs = [pair for pair in repeated.split('&') if not pair.startswith('marker=')]
            self.assertEqual(sorted(query.split('&')) if query else [], sorted(pairs))
            self.assertEqual(1, repeated.count('marker='))
            _, again = self.message_page(href.replace('marker=', 'marker=&marker=').replace('marker=&', ''))
            self.assertIsNone(again)

    def test_of_several_markers_the_last_counts(self):
        self.post_messages(*range(4))
        _, second = self.message_page(params={'limit': 2})
        _, first = self.message_page(params={'limit': 1})
        query = f'{first.partition("?")[2]}&{second.partition("?")[2]}'
        messages, href = self.message_page(f'/queues/demo/messages?{query}')
        self.assertEqual([2, 3], base.bodies(messages))
        self.assertEqual(([], None), self.message_page(href))

    def test_an_empty_marker_is_none(self):
        self.post_messages(1)
        self.assertEqual([1], base.bodies(self.message_page('/queues/demo/messages?marker=')[0]))

    @tables.each(
        ('nothing', '0'), ('a negative number', '-1'), ('101', '101'), ('a huge number', '9' * 30),
        ('a word', 'ten'), ('a fraction', '1.0'), ('hex', '0x1'), ('digits with underscores', '1_0'),
        ('arabic digits', '%D9%A3'), ('a blank', '%20'), ('several numbers', '1,2'), ('a nul', '%00'),
    )  # fmt: skip
    def test_the_limit_cannot_be(self, limit):
        self.post_messages(1)
        self.assert_refused(self.get(f'/queues/demo/messages?limit={limit}', status=400))

    @tables.each(
        ('TRUE', 'TRUE'), ('FALSE', 'FALSE'), ('2', '2'), ('yes and no', 'yes,no'), ('none', 'none'),
        ('a blank', '%20'), ('T', 'T'), ('a nul', 'true%00'),
    )  # fmt: skip
    def test_a_boolean_cannot_be(self, value):
        self.post_messages(1)
        for name in ('echo', 'include_claimed', *(['include_delayed'] if self.version == '2' else [])):
            answer = self.get(f'/queues/demo/messages?{name}={value}', status=400)
            self.assertEqual('Invalid parameter', answer.json['title'])
            self.assert_refused(answer, f'"{name}"', 'must be "true" or "false"')

    def test_unknown_parameters_are_passed_over(self):
        self.post_messages(1)
        for query in ('foo=bar', 'Limit=x', '=', '&&', 'limit', '%ff=%ff', 'a[]=1', ';', 'pop=1', 'x' * 5000):
            self.assertEqual([1], base.bodies(self.message_page(f'/queues/demo/messages?{query}')[0]))


@base.in_versions('1', '1.1', '2')
class TestMarkers(PagingTestCase):
    def marker(self, queue='demo', **options):
        _, href = self.message_page(queue=queue, **options)
        return parse.parse_qs(href.partition('?')[2])['marker'][0]

    def page_behind(self, marker, queue='demo', **options):
        return self.message_page(queue=queue, params={'marker': marker}, **options)

    def test_a_marker_survives_its_message(self):
        first, second, third = self.post_messages(1, 2, 3)
        markers = []
        for _ in range(3):
            _, href = self.message_page(params={'limit': len(markers) + 1})
            markers.append(href)
        for path in (second, first, third):
            self.delete(path)
        self.post_messages(4)
        for href in markers:
            self.assertEqual([4], base.bodies(self.message_page(href)[0]))

    def test_a_marker_survives_the_end_of_its_message(self):
        self.post_messages(1, ttl=60)
        self.post_messages(2, ttl=1000)
        _, href = self.message_page(params={'limit': 1})
        self.clock.advance(60)
        self.assertEqual([2], base.bodies(self.message_page(href)[0]))

    def test_a_marker_means_nothing_in_another_queue(self):
        self.make_queue('other')
        self.post_messages(1, 2)
        self.post_messages(3, 4, queue='other')
        self.assertEqual(([], None), self.page_behind(self.marker(), queue='other'))

    def test_a_marker_means_nothing_in_another_project(self):
        self.make_queue(project='project-2')
        self.post_messages(1, 2)
        self.post_messages(3, 4, project='project-2')
        self.assertEqual(([], None), self.page_behind(self.marker(), project='project-2'))

    def test_a_marker_means_nothing_in_a_new_life_of_its_queue(self):
        self.post_messages(1)
        marker = self.marker()
        self.delete('/queues/demo')
        self.make_queue()
        self.post_messages(2, 3)
        self.assertEqual(([], None), self.page_behind(marker))

    @tables.each(
        ('a word', 'abc'), ('a number', '1'), ('an unknown id', 'f' * 24), ('a nul', '\0'), ('a letter', 'é'),
        ('a long text', 'f' * 5000), ('a negative number', '-1'), ('a path', '../../x'), ('a list', '1,2'),
        ('an id in capitals', 'ABCDEF' * 4), ('a quote', "' OR 1=1 --"), ('braces', '{"$gt": ""}'),
    )  # fmt: skip
    def test_a_marker_that_is_none_gives_an_empty_page(self, marker):
        self.post_messages(1)
        self.assertEqual(([], None), self.page_behind(marker))

    def test_a_marker_is_good_in_a_missing_queue_as_well(self):
        self.assertEqual(([], None), self.page_behind('abc', queue='nowhere'))


@base.in_versions('1', '1.1', '2')
class TestFilters(PagingTestCase):
    """Filters act before the limit: an empty page without a link means that nothing more is visible."""

    def test_one_s_own_messages_do_not_fill_a_page(self):
        for number in range(40):
            self.post_messages(number, client=base.PRODUCER if number % 10 == 9 else base.CONSUMER)
        self.assertEqual([9, 19, 29, 39], base.bodies(self.message_page(params={'limit': 4})[0]))
        self.assertEqual([9, 19, 29, 39], self.walk(limit=1)[0])

    def test_claimed_messages_do_not_fill_a_page(self):
        self.post_messages(*range(50))
        self.claim(limit=45)
        self.assertEqual(list(range(45, 50)), base.bodies(self.message_page()[0]))
        self.assertEqual(list(range(50)), self.walk(include_claimed='true')[0])

    def test_claimed_ones_are_listed_without_a_marker_too(self):
        # Section 13, item 13.
        self.post_messages(1)
        self.claim()
        self.assertEqual([1], self.list_bodies(include_claimed='true'))

    def test_a_reader_of_nothing_but_its_own_sees_an_empty_page(self):
        self.post_messages(*range(30), client=base.CONSUMER)
        self.assertEqual(([], None), self.message_page())

    def test_a_very_long_stretch_ends_a_page_early_with_a_link(self):
        self.post_messages('first')
        for _ in range(5):
            self.post_messages(*[0] * 5000, client=base.CONSUMER)
        self.post_messages('last')
        seen, pages, href = [], 0, f'{self.path}/queues/demo/messages'
        while href:
            messages, href = self.message_page(href)
            seen += base.bodies(messages)
            pages += 1
        self.assertEqual(['first', 'last'], seen)
        self.assertLess(pages, 6)


class TestDelayedPages(PagingTestCase):
    def test_delayed_messages_do_not_fill_a_page(self):
        self.post_messages(*range(30), delay=60)
        self.post_messages('now')
        self.assertEqual(['now'], base.bodies(self.message_page()[0]))
        self.assertEqual([*range(30), 'now'], self.walk(include_delayed='true')[0])


class TestAnyHistory(PagingTestCase):
    """Whatever happens meanwhile, a reader sees each message that stays visible exactly once, in order."""

    STEPS = st.lists(
        st.tuples(st.sampled_from(['post', 'own', 'delete', 'claim', 'read']), st.integers(0, 7)), max_size=40
    )

    @settings(max_examples=40, deadline=None)
    @given(STEPS, st.integers(1, 4))
    def test_nothing_is_skipped_or_shown_twice(self, steps, limit):
        queue = 'history'
        self.delete(f'/queues/{queue}')
        posted, own, claimed, deleted, seen = {}, set(), set(), set(), []
        href = f'{self.path}/queues/{queue}/messages?limit={limit}'

        def read(href):
            messages, following = self.message_page(href)
            seen.extend(base.bodies(messages))
            return following

        for step, number in steps:
            if step in ('post', 'own'):
                client = base.PRODUCER if step == 'post' else base.CONSUMER
                for body in range(len(posted), len(posted) + number):
                    [posted[body]] = self.post_messages(body, queue=queue, client=client)
                    if step == 'own':
                        own.add(body)
            elif step == 'delete' and posted:
                body = number % len(posted)
                self.delete(posted[body], status=403 if body in claimed else 204)
                if body not in claimed:
                    deleted.add(body)
            elif step == 'claim' and number:
                claimed.update(base.bodies(self.claim(limit=number, queue=queue)[1]))
            elif step == 'read':
                href = read(href) or href
        while following := read(href):
            href = following
        self.assertEqual(sorted(seen), seen)
        self.assertEqual(1, max(collections.Counter(seen).values(), default=1))
        self.assertTrue(set(posted) - own - claimed - deleted <= set(seen))
