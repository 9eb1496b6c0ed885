"""Queues: made, found, listed, changed and deleted."""

from urllib import parse

from tests.api import base
from tests.fixtures import tables


@base.in_versions('1', '1.1', '2')
class TestCreate(base.ApiTestCase):
    def test_a_new_queue_is_201_and_an_old_one_204(self):
        for status in (201, 204, 204):
            answer = self.put('/queues/demo', status=status)
            self.assertEqual(f'{self.path}/queues/demo', answer.headers['Location'])

    def test_a_queue_that_was_made_is_empty(self):
        self.make_queue()
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0}, self.stats())

    def test_names_hold_letters_digits_dots_dashes_and_underscores(self):
        for name in ('a', 'A.b-C_9', '...', '-', '_', 'a' * 64, 'queues', 'health'):
            self.make_queue(name)
            self.assertEqual(f'{self.path}/queues/{name}', self.put(f'/queues/{name}', status=204).headers['Location'])

    @tables.each(
        ('that is too long', 'a' * 65),
        ('with a blank', 'a%20b'),
        ('with an escaped line break', 'a%0A'),
        ('with a nul', 'a%00b'),
        ('with a letter outside ASCII', '%C3%A4'),
        ('that is not utf 8', '%FF'),
        ('with a percent sign', 'a%2541'),
        ('with a colon', 'a:b'),
        ('with an asterisk', '*'),
        ('with a tilde', '~a'),
        ('with a dollar', '$where'),
        ('with a semicolon', 'a;b'),
        ('that a proxy folds as one dot', '%2E'),
        ('that a proxy folds as two dots', '%2E%2E'),
        ('with a bracket', 'a[0]'),
        ('that is an emoji', '%F0%9F%98%80'),
    )
    def test_every_route_refuses_a_name(self, name):
        for method, path in (
            ('PUT', f'/queues/{name}'),
            ('GET', f'/queues/{name}'),
            ('DELETE', f'/queues/{name}'),
            ('GET', f'/queues/{name}/stats'),
            ('GET', f'/queues/{name}/messages'),
            ('POST', f'/queues/{name}/claims'),
        ):
            answer = self.request(method, path, status=400, lint=False)
            self.assertEqual('Invalid queue identification', answer.json['title'])
            self.assert_refused(answer, 'Queue names consist of 1 to 64 of the characters')

    def test_an_escaped_slash_leads_to_no_route(self):
        self.put('/queues/a%2Fb', status=404)

    def test_queues_of_one_name_but_for_the_case_are_two(self):
        self.make_queue('demo')
        self.make_queue('Demo')


@base.in_versions('1', '1.1', '2')
class TestDelete(base.ApiTestCase):
    def test_deleting_is_204_whether_it_was_there_or_not(self):
        self.make_queue()
        self.delete('/queues/demo', status=204)
        self.delete('/queues/demo', status=204)

    def test_its_messages_and_claims_go_with_it(self):
        self.make_queue(metadata={'a': 1})
        first, second = self.post_messages(1, 2)
        claim, _ = self.claim(limit=1)
        self.delete('/queues/demo', status=204)

        self.get(first, status=404)
        self.get(claim, status=404)
        self.make_queue()
        self.assertEqual((0, 0, 0), self.counts())
        self.get(first, status=404)
        self.get(second, status=404)
        self.get(claim, status=404)
        self.patch(claim, {'ttl': 60, 'grace': 60}, status=404)
        self.assertEqual([], self.list_bodies(include_claimed=True, echo=True))
        self.assertNotIn('a', self.metadata())

    def test_a_new_life_has_new_ids(self):
        self.make_queue()
        [old] = self.post_messages(1)
        self.delete('/queues/demo')
        self.make_queue()
        [new] = self.post_messages(2)

        self.assertNotEqual(old, new)
        self.delete(old, status=204)
        self.assertEqual(2, self.read(new)['body'])


@base.in_versions('1', '1.1', '2')
class TestList(base.ApiTestCase):
    def test_queues_come_by_name(self):
        for name in ('b', 'a', 'c.d', 'B', '_'):
            self.make_queue(name)
        queues, _ = self.queue_page()
        self.assertEqual(['B', '_', 'a', 'b', 'c.d'], [queue['name'] for queue in queues])
        self.assertEqual(
            [{'name': name, 'href': f'{self.path}/queues/{name}'} for name in ('B', '_', 'a', 'b', 'c.d')], queues
        )

    def test_metadata_come_with_detailed(self):
        self.make_queue(metadata={'a': {'b': [1]}})
        [queue], _ = self.queue_page('/queues?detailed=true')
        self.assertEqual({'b': [1]}, queue['metadata']['a'])
        [queue], _ = self.queue_page('/queues?detailed=false')
        self.assertNotIn('metadata', queue)

    def test_the_marker_is_the_name_behind_which_the_page_begins(self):
        for name in ('a', 'b', 'c'):
            self.make_queue(name)
        queues, href = self.queue_page('/queues?marker=a&limit=1')
        self.assertEqual(['b'], [queue['name'] for queue in queues])
        self.delete('/queues/b')
        queues, href = self.queue_page(href)
        self.assertEqual(['c'], [queue['name'] for queue in queues])
        self.assertEqual(([], None), self.queue_page(href))

    def test_an_unknown_marker_is_a_place_like_any_other(self):
        self.make_queue('b')
        queues, _ = self.queue_page('/queues?marker=a.never.there')
        self.assertEqual(['b'], [queue['name'] for queue in queues])
        self.assertEqual(([], None), self.queue_page('/queues?marker=zzz'))

    def test_ten_come_if_nobody_says_how_many(self):
        for number in range(12):
            self.make_queue(f'queue-{number:02}')
        queues, href = self.queue_page()
        self.assertEqual(10, len(queues))
        queues, _ = self.queue_page(href)
        self.assertEqual(['queue-10', 'queue-11'], [queue['name'] for queue in queues])

    def test_a_thousand_can_be_asked_for(self):
        self.get('/queues?limit=1000')
        for limit in ('0', '1001', '-1', '9999999999', '99999999999999999999'):
            self.assert_refused(self.get(f'/queues?limit={limit}', status=400))

    def test_the_next_link_repeats_the_query(self):
        self.make_queue('a')
        self.make_queue('b')
        _, href = self.queue_page('/queues?limit=1&detailed=true')
        path, _, query = href.partition('?')
        self.assertEqual(f'{self.path}/queues', path)
        self.assertEqual(['detailed=true', 'limit=1', 'marker=a'], sorted(query.split('&')))

    def test_paging_visits_every_queue_once(self):
        names = [f'{letter}{number}' for letter in 'ab.-_' for number in range(7)]
        for name in names:
            self.make_queue(name)
        for limit in (1, 3, 35, 36):
            seen, href = [], f'/queues?limit={limit}'
            while href:
                queues, href = self.queue_page(href)
                seen += [queue['name'] for queue in queues]
            self.assertEqual(sorted(names), seen)

    def test_a_name_with_a_dot_is_listed_whole(self):
        self.make_queue('a.b')
        self.assertEqual('a.b', self.queue_page()[0][0]['name'])


@base.in_versions('1.1', '2')
class TestFilters(base.ApiTestCase):
    def list_names(self, **params):
        names, href = [], '/queues?limit=2&' + parse.urlencode(params)
        while href:
            queues, href = self.queue_page(href)
            names += [queue['name'] for queue in queues]
        return names

    def make_some(self):
        self.make_queue('orders.new', {'team': 'red', 'tier': 1})
        self.make_queue('orders.old', {'team': 'red', 'tier': 2})
        self.make_queue('orders.paid', {'team': 'blue', 'tier': '2'})
        self.make_queue('bills', {'team': 'blue', 'tier': 2, 'a': None})

    def test_names_are_found_by_a_part_of_them(self):
        self.make_some()
        everything = ['bills', 'orders.new', 'orders.old', 'orders.paid']
        found = self.list_names(name='ders.')
        self.assertEqual(everything[1:] if self.version == '2' else everything, found)

    def test_the_part_is_no_pattern(self):
        self.make_some()
        for part in ('*', '.*', 'orders_new', '%', '[', '(', '\\', "'", '"', '\0'):
            self.assertEqual(0 if self.version == '2' else 4, len(self.list_names(name=part)))

    def test_metadata_are_filters(self):
        self.make_some()
        if self.version == '1.1':
            self.assertEqual(4, len(self.list_names(team='red')))
            return
        self.assertEqual(['orders.new', 'orders.old'], self.list_names(team='red'))
        self.assertEqual(['bills', 'orders.old'], self.list_names(tier='2'))
        self.assertEqual(['bills'], self.list_names(tier='2', team='blue'))
        self.assertEqual(['orders.paid'], self.list_names(name='paid', team='blue'))
        self.assertEqual([], self.list_names(team='green'))
        self.assertEqual([], self.list_names(nobody='has this'))

    def test_numbers_of_any_size_can_be_looked_for(self):
        self.make_some()
        for value in ('9' * 19, '9' * 30, '-' + '9' * 30, '9' * 5000, '1.5', '1e400', 'NaN', '0x1', '1_000', '٣'):
            self.get('/queues', params={'tier': value}, status=200)

    def test_the_count_is_of_all_queues_of_the_project(self):
        self.make_some()
        self.make_queue('elsewhere', project='project-2')
        answer = self.get('/queues?with_count=true&limit=1&name=ders', status=200).json
        if self.version == '2':
            self.assertEqual(4, answer['count'])
        else:
            self.assertNotIn('count', answer)
        self.assertNotIn('count', self.get('/queues').json)

    def test_the_next_link_carries_the_filters(self):
        self.make_some()
        _, href = self.queue_page('/queues?limit=1&team=red&name=ders&with_count=true')
        for pair in ('limit=1', 'team=red', 'name=ders', 'with_count=true'):
            self.assertIn(pair, href)


@base.in_versions('1', '1.1', '2')
class TestExistence(base.ApiTestCase):
    def test_a_queue_that_is_there(self):
        self.make_queue()
        self.get('/queues/demo', status=204 if self.version == '1' else 200)

    def test_a_queue_that_is_not_there(self):
        self.get('/queues/demo', status=404 if self.version == '1' else 200)

    def test_reading_makes_no_queue(self):
        self.get('/queues/demo', status=404 if self.version == '1' else 200)
        self.get('/queues/demo/stats', status=404 if self.version == '1' else 200)
        self.message_page()
        self.claim()
        self.delete('/queues/demo/messages?ids=abc', status=204)
        self.assertEqual(([], None), self.queue_page())
