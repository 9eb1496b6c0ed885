"""Rates and quotas: what one project may use, in every version."""

import concurrent.futures
import tempfile

from queueservice import bootstrap
from queueservice.model import errors, limits, messages, queues, quotas
from tests.api import base
from tests.fixtures import drivers, faulty, services, tables

ADMIN = {'X-Roles': 'admin'}
RATE_HEADERS = ('RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset')


class LimitsTestCase(base.ApiTestCase):
    def assert_exceeds(self, answer, limit, most, used):
        """The answer is a 403 that says what is exceeded and what to do."""
        self.assertEqual(403, answer.status_int, answer.text)
        self.assertEqual('Quota exceeded', answer.json['title'])
        self.assert_refused(answer, f'The limit "{limit}" is {most}: {used} in use', 'elete', 'ask the operator')

    def assert_too_often(self, answer, most):
        self.assertEqual(429, answer.status_int, answer.text)
        self.assertEqual('Too many requests', answer.json['title'])
        self.assert_refused(answer, f'The limit "requests_per_second" is {most}.')
        self.assertRegex(answer.headers['Retry-After'], '^[1-9][0-9]*$')
        self.assertIn(f'in {answer.headers["Retry-After"]} s', answer.json['description'])
        self.assertEqual('0', answer.headers['RateLimit-Remaining'])

    def set_limits(self, project=base.PROJECT, status=200, headers=ADMIN, path='/v2', **changes):
        return self.app.request(
            f'{path}/projects/{project}',
            method='PATCH',
            headers={'X-Project-Id': 'administration', 'Client-ID': base.CONSUMER, **headers},
            body=base.json.dumps({'limits': changes}).encode(),
            status=status,
        )

    def join(self, **limits_of_all):
        """Another process on the same store; what it answers from now on is what `self.request` gets."""
        other = services.Service(
            self.service.driver,
            limits=limits.Limits(project=quotas.Quotas(**limits_of_all)),
            clock=self.clock,
            **self.settings,
        )
        self.service, self.app = other, base.webtest.TestApp(other.app)
        return other


class OnSqlite:
    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name)


# Rates


@base.in_versions('1', '1.1', '2')
class TestRate(LimitsTestCase):
    limits = {'project': quotas.Quotas(requests_per_second=5, request_burst=10)}

    def ask(self, times, **options):
        """The statuses of so many requests."""
        return [self.get('/queues', status=base.ANY, **options).status_int for _ in range(times)]

    def test_a_burst_is_answered_and_then_no_more(self):
        self.assertNotIn(429, self.ask(10))
        self.assert_too_often(self.get('/queues', status=429), 5)

    def test_the_rate_comes_back(self):
        self.ask(10)
        for _ in range(4):
            self.clock.advance(1)
            self.assertEqual(5, sum(status < 300 for status in self.ask(8)))
        self.clock.advance(60)
        self.assertEqual(10, sum(status < 300 for status in self.ask(15)))

    def test_every_answer_says_how_much_is_left(self):
        told = []
        for _ in range(11):
            answer = self.get('/queues', status=base.ANY)
            told.append(tuple(int(answer.headers[name]) for name in RATE_HEADERS))
        self.assertEqual([(10, left, -(-(10 - left) // 5)) for left in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0)], told)

    def test_errors_are_counted_and_say_so_too(self):
        path = '/queues/missing/messages/abc'
        for _ in range(10):
            self.assertIn('RateLimit-Remaining', self.get(path, status=404).headers)
        self.get(path, status=429)
        self.clock.advance(1)
        for _ in range(5):
            self.get('/queues', headers={'X-Roles': 'nobody'}, status=403)
        self.get('/queues', headers={'X-Roles': 'nobody'}, status=429)

    def test_a_refused_request_does_nothing(self):
        self.make_queue()
        self.ask(9)
        self.post('/queues/demo/messages', self.envelope([{'body': 1, 'ttl': 300}]), status=429)
        self.delete('/queues/demo', status=429)
        self.clock.advance(1)
        self.assertEqual((0, 0, 0), self.counts())

    def test_other_projects_have_rates_of_their_own(self):
        self.ask(12)
        self.assertNotIn(429, self.ask(10, project='project-2'))

    def test_all_clients_of_a_project_share_its_rate(self):
        self.ask(10, client=base.PRODUCER)
        self.get('/queues', status=429)

    def test_health_and_documents_are_not_counted(self):
        self.ask(10)
        for _ in range(3):
            for path in ('/', '/health' if self.version == '1' else '/ping'):
                self.assertNotIn('RateLimit-Limit', self.get(path).headers)
            for path in ('/healthz', '/readyz', '/'):
                self.app.get(path, status=(200, 204, 300))
        self.get('/queues', status=429)

    def test_processes_share_it(self):
        self.ask(4)
        self.join(requests_per_second=5, request_burst=10)
        answered = sum(status < 300 for status in self.ask(12))
        # The first process may hold a block of one token.
        self.assertIn(answered, (5, 6))

    def test_what_was_asked_in_one_version_counts_in_all(self):
        self.ask(10)
        for version in ('1', '1.1', '2'):
            self.version = version
            self.assert_too_often(self.get('/queues', status=429), 5)


class TestRateOnSqlite(OnSqlite, TestRate):
    pass


class TestRateOfNobody(LimitsTestCase):
    version = '1'
    limits = {'project': quotas.Quotas(requests_per_second=1)}

    def test_requests_without_a_project_share_a_rate(self):
        self.get('/queues', project=base.ABSENT)
        self.get('/queues', project=base.ABSENT, status=429)
        self.get('/queues', project='shared', status=204)


class TestNoLimits(LimitsTestCase):
    def make_driver(self):
        return faulty.Driver()

    def test_answers_say_nothing_of_rates(self):
        self.assertEqual([], [name for name in self.get('/queues').headers if name.startswith('RateLimit')])

    def test_a_limit_that_is_set_here_is_in_force_here_at_once(self):
        self.get('/queues')
        self.set_limits(requests_per_second=1)
        self.get('/queues')
        self.get('/queues', status=429)

    def test_where_only_documents_are_asked_for_nothing_is_read(self):
        self.get('/')
        self.assertEqual([], self.service.driver.calls)

    def test_nothing_is_read_but_that_no_project_has_limits_of_its_own(self):
        self.post_messages(1)
        self.clock.advance(5)
        self.service.driver.calls.clear()
        for _ in range(3):
            self.post_messages(1)
        self.claim(limit=1)
        calls = self.service.driver.calls
        self.assertEqual(['records.count', *['messages.append'] * 3, 'messages.claim'], calls)


class TestRateAndFaults(LimitsTestCase):
    limits = {'project': quotas.Quotas(requests_per_second=5)}

    def make_driver(self):
        return faulty.Driver()

    def test_where_no_token_can_be_had_it_is_503(self):
        self.make_queue()
        self.service.driver.fail('records.find', 'records.replace')
        statuses = {self.get('/queues/demo/stats', status=base.ANY).status_int for _ in range(20)}
        self.assertEqual({503}, statuses)
        self.service.driver.heal()
        self.clock.advance(1)
        self.get('/queues/demo/stats', status=200)


class TestQuotasAndTheStore(LimitsTestCase):
    limits = {'project': quotas.Quotas(queues=10, messages=1000, bytes=1000)}

    def make_driver(self):
        return faulty.Driver()

    def test_posts_of_a_second_read_the_usage_once(self):
        self.post_messages(1)
        self.clock.advance(1)
        self.service.driver.calls.clear()
        for _ in range(10):
            self.post_messages(1)
        self.assertEqual(['messages.usage', *['messages.append'] * 10], self.service.driver.calls)

    def test_where_the_usage_cannot_be_read_a_post_is_503(self):
        self.post_messages(1)
        self.clock.advance(1)
        self.service.driver.fail('messages.usage')
        self.post('/queues/demo/messages', self.envelope([{'body': 1}]), status=503)
        self.service.driver.heal()
        self.assertEqual(1, self.counts()[2])


# Quotas


@base.in_versions('1', '1.1', '2')
class TestQueues(LimitsTestCase):
    limits = {'project': quotas.Quotas(queues=2)}

    def setUp(self):
        super().setUp()
        self.make_queue('a')
        self.make_queue('b')

    def test_there_may_be_so_many_and_no_more(self):
        self.assert_exceeds(self.put('/queues/c', status=403), 'queues', 2, 2)
        self.get('/queues/c/stats', status=base.ANY)
        self.assertEqual(2, len(self.queue_page()[0]))

    def test_those_that_are_there_can_be_put_and_used(self):
        self.put('/queues/a', status=204)
        self.post_messages(1, queue='b')

    def test_whoever_deletes_one_may_make_another_at_once(self):
        self.put('/queues/c', status=403)
        self.delete('/queues/a')
        self.put('/queues/c', status=201)

    def test_other_projects_are_not_concerned(self):
        self.make_queue('c', project='project-2')

    def test_a_post_makes_no_queue_either(self):
        answer = self.post('/queues/c/messages', self.envelope([{'body': 1, 'ttl': 300}]), status=base.ANY)
        if self.version == '1':
            self.assertEqual(404, answer.status_int)
        else:
            self.assert_exceeds(answer, 'queues', 2, 2)
        self.assertEqual(2, len(self.queue_page()[0]))


class TestQueuesOnSqlite(OnSqlite, TestQueues):
    pass


@base.in_versions('1', '1.1', '2')
class TestMessages(LimitsTestCase):
    limits = {'project': quotas.Quotas(messages=5)}

    def setUp(self):
        super().setUp()
        self.make_queue()
        self.make_queue('other')

    def refuse(self, *bodies, queue='demo', used=5):
        answer = self.post(
            f'/queues/{queue}/messages', self.envelope([{'body': body, 'ttl': 300} for body in bodies]), status=403
        )
        self.assert_exceeds(answer, 'messages', 5, used)

    def test_all_queues_count_together(self):
        self.post_messages(1, 2, 3)
        self.post_messages(4, 5, queue='other')
        self.refuse(6)
        self.refuse(6, queue='other')

    def test_a_post_is_stored_wholly_or_not_at_all(self):
        self.post_messages(1, 2, 3)
        self.refuse(4, 5, 6, used=3)
        self.assertEqual(3, self.counts()[2])
        self.post_messages(4, 5)

    def test_whoever_deletes_some_may_post_as_many_at_once(self):
        first, *_ = self.post_messages(1, 2, 3, 4, 5)
        self.refuse(6)
        self.delete(first)
        self.post_messages(6)
        self.refuse(7)

    def test_deleting_a_queue_makes_room(self):
        self.post_messages(1, 2, 3, 4, 5)
        self.delete('/queues/demo')
        self.make_queue()
        self.post_messages(1, 2, 3, 4, 5)

    def test_other_projects_are_not_concerned(self):
        self.make_queue(project='project-2')
        self.post_messages(1, 2, 3, 4, 5)
        self.post_messages(1, 2, 3, 4, 5, project='project-2')

    def test_what_another_process_stored_counts_after_a_second(self):
        self.post_messages(1, 2)
        first = self.service, self.app
        self.join(messages=5)
        self.post_messages(3, 4)
        self.service, self.app = first
        self.clock.advance(1)
        self.refuse(5, 6, used=4)
        self.post_messages(5)

    def test_no_queue_is_made_for_a_post_that_is_refused(self):
        self.post_messages(1, 2, 3, 4, 5)
        self.refuse(6, queue='new')
        self.assertEqual(2, len(self.queue_page()[0]))


class TestMessagesOnSqlite(OnSqlite, TestMessages):
    pass


@base.in_versions('1', '1.1', '2')
class TestBytes(LimitsTestCase):
    limits = {'project': quotas.Quotas(bytes=100)}

    def test_bodies_count_together(self):
        self.make_queue()
        self.post_raw(b'"%b"' % (b'x' * 58), b'1', status=201)
        answer = self.post_raw(b'"%b"' % (b'x' * 38), status=403)
        self.assert_exceeds(answer, 'bytes', 100, 61)
        self.post_raw(b'"%b"' % (b'x' * 37), status=201)
        self.assert_exceeds(self.post_raw(b'1', status=403), 'bytes', 100, 100)


class TestBytesOnSqlite(OnSqlite, TestBytes):
    pass


@base.in_versions('1', '1.1', '2')
class TestInFlight(LimitsTestCase):
    limits = {'project': quotas.Quotas(messages_in_flight_per_queue=3)}

    def setUp(self):
        super().setUp()
        self.make_queue()
        self.post_messages(1, 2, 3, 4, 5)

    def refuse(self, **options):
        answer = self.post('/queues/demo/claims', {'ttl': 300, 'grace': 60}, status=403, **options)
        self.assert_exceeds(answer, 'messages_in_flight_per_queue', 3, 3)

    def test_a_claim_gets_what_is_left_and_then_none(self):
        self.assertEqual(2, len(self.claim(limit=2)[1]))
        self.assertEqual(1, len(self.claim(limit=2)[1]))
        self.refuse()

    def test_each_queue_has_its_own(self):
        self.claim()
        self.make_queue('other')
        self.post_messages(1, 2, 3, 4, queue='other')
        self.assertEqual(3, len(self.claim(queue='other')[1]))

    def test_where_nothing_is_free_it_is_204_as_ever(self):
        self.delete_many(*[one['href'] for one in self.message_page(params={'echo': 'true'})[0]][:2])
        self.assertEqual(3, len(self.claim()[1]))
        self.assertEqual((None, []), self.claim())

    def test_releasing_deleting_and_ending_make_room(self):
        claim, _ = self.claim()
        self.refuse()
        self.release(claim)
        _, held = self.claim(ttl=60)
        self.refuse()
        href = held[0]['href']
        self.delete(href)
        self.assertEqual(1, len(self.claim()[1]))
        self.clock.advance(61)
        self.assertEqual(2, len(self.claim()[1]))


class TestInFlightOnSqlite(OnSqlite, TestInFlight):
    pass


class TestWhatIsExempt(LimitsTestCase):
    limits = {'project': quotas.Quotas(queues=1, messages=3, messages_in_flight_per_queue=1)}

    def test_a_pop_takes_nothing_into_flight(self):
        self.post_messages(1, 2, 3)
        self.claim()
        self.assertEqual([2, 3], base.bodies(self.pop()))

    def test_dead_letters_move_even_where_there_is_no_room(self):
        self.make_queue(metadata={'_max_claim_count': 1, '_dead_letter_queue': 'dead'})
        self.post_messages(1, 2, 3)
        for _ in range(4):
            self.claim(ttl=60)
            self.clock.advance(61)
        self.assertIn(1, self.list_bodies('dead', echo='true'))


class TestConcurrency(OnSqlite, LimitsTestCase):
    """Many at the same time, in two processes: what goes beyond a limit is what was under way."""

    def test_messages(self):
        bound = bootstrap.Settings(limits=limits.Limits(project=quotas.Quotas(messages=100, queues=10)))
        processes = [bootstrap.build_services(self.service.driver, bound) for _ in range(2)]
        posted = [messages.Posted(b'1')] * 5

        def post(number):
            key = queues.QueueKey(queues.PROJECT, 'p', f'queue-{number % 20}')
            try:
                processes[number % 2].messages.post(key, posted, b'client', size=10)
            except errors.QuotaExceeded:
                return 0
            return len(posted)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            stored = sum(pool.map(post, range(200)))
        usage = self.service.driver.messages.usage(queues.PROJECT, 'p', self.clock())
        self.assertEqual(stored, usage.messages)
        # Two processes do not see each other's posts for a second: no more than a whole limit each.
        self.assertTrue(100 <= usage.messages <= 200 + 8 * 5, usage)
        self.assertTrue(10 <= usage.queues <= 20, usage)
        # From then on nothing more.
        later = bootstrap.build_services(self.service.driver, bound)
        self.assertRaises(
            errors.QuotaExceeded,
            later.messages.post,
            queues.QueueKey(queues.PROJECT, 'p', 'queue-0'),
            posted,
            b'client',
            size=10,
        )


# Administrators


class AdministrationTestCase(LimitsTestCase):
    limits = {'project': quotas.Quotas(messages=3)}

    def limits_of(self, project=base.PROJECT, **options):
        answer = self.get(f'/projects/{project}', headers=ADMIN, **options).json['limits']
        return {name: value for name, value in answer.items() if name in quotas.NAMES and value}


class TestAdministration(AdministrationTestCase):
    def test_defaults_are_shown(self):
        self.assertEqual({'messages': 3}, self.limits_of())

    def test_a_project_gets_limits_of_its_own(self):
        answer = self.set_limits(messages=1, queues=7)
        self.assertEqual(base.PROJECT, answer.json['project_id'])
        self.assertEqual((1, 7), (answer.json['limits']['messages'], answer.json['limits']['queues']))
        self.post_messages(1)
        self.assert_exceeds(
            self.post('/queues/demo/messages', self.envelope([{'body': 1}]), status=403), 'messages', 1, 1
        )
        self.post_messages(1, 2, 3, project='project-2')

    def test_what_is_not_named_stays(self):
        self.set_limits(messages=1, queues=7)
        self.set_limits(bytes=9)
        self.assertEqual({'messages': 1, 'queues': 7, 'bytes': 9}, self.limits_of())

    def test_null_is_back_to_the_default(self):
        self.set_limits(messages=1, queues=7)
        self.set_limits(messages=None)
        self.assertEqual({'messages': 3, 'queues': 7}, self.limits_of())
        self.set_limits(queues=None)
        self.assertEqual({'messages': 3}, self.limits_of())
        self.set_limits(messages=None)
        self.assertEqual({'messages': 3}, self.limits_of())

    def test_zero_is_no_limit(self):
        self.set_limits(messages=0)
        self.post_messages(*range(10))
        self.assertEqual({}, self.limits_of())

    def test_a_rate_can_be_set_where_there_is_none(self):
        for _ in range(20):
            self.assertNotIn('RateLimit-Limit', self.get('/queues').headers)
        self.set_limits(requests_per_second=2)
        self.get('/queues')
        self.get('/queues')
        self.assert_too_often(self.get('/queues', status=429), 2)
        self.set_limits(requests_per_second=None)
        self.assertNotIn('RateLimit-Limit', self.get('/queues').headers)

    def test_it_is_in_force_everywhere_after_five_seconds(self):
        first = self.service, self.app
        self.get('/queues')
        self.join(messages=3)
        self.set_limits(requests_per_second=1)
        self.service, self.app = first
        self.clock.advance(4.75)
        self.assertNotIn('RateLimit-Limit', self.get('/queues').headers)
        self.clock.advance(0.25)
        self.get('/queues')
        self.get('/queues', status=429)
        self.join(messages=3)
        self.set_limits(requests_per_second=5)
        self.service, self.app = first
        self.clock.advance(5)
        self.assertEqual('5', self.get('/queues').headers['RateLimit-Limit'])

    def test_it_outlives_the_process(self):
        self.set_limits(messages=1)
        self.join(messages=3)
        self.assertEqual({'messages': 1}, self.limits_of())

    def test_a_project_shows_its_own_limits_to_its_members(self):
        self.set_limits(messages=1)
        self.assertEqual(1, self.get(f'/projects/{base.PROJECT}').json['limits']['messages'])

    def test_nothing_to_change_is_no_error(self):
        self.set_limits()
        self.assertEqual({'messages': 3}, self.limits_of())

    def test_a_project_with_a_slash_is_reached(self):
        header = {'X-Project-Id': 'a/b'}
        self.make_queue(project='a/b')
        [listed] = self.get('/projects', headers=ADMIN).json['projects']
        self.assertEqual('/v2/projects/a%2Fb', listed['href'])
        self.assertEqual(
            ('a/b', 1), tuple(map(self.get(listed['href'], headers=header).json.get, ('project_id', 'queues')))
        )
        self.set_limits('a%2Fb', messages=1)
        self.assertEqual({'messages': 1}, self.limits_of('a%2Fb'))
        self.assertEqual({'messages': 3}, self.limits_of('a'))

    def test_a_path_that_ends_in_a_slash_leads_nowhere(self):
        for path in ('/projects/', f'/projects/{base.PROJECT}/', '/projects/a//', '/projects//'):
            self.get(path, headers=ADMIN, status=404)
            self.patch(path, {'limits': {'messages': 1}}, headers=ADMIN, status=404)

    def test_two_administrators_lose_nothing_of_each_other(self):
        driver = self.service.driver
        processes = [bootstrap.build_services(driver, clock=self.clock) for _ in range(2)]

        def change(number):
            name = quotas.NAMES[number % len(quotas.NAMES)]
            processes[number % 2].quotas.change('busy', {name: number + 1})

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(change, range(len(quotas.NAMES))))
        expected = {name: number + 1 for number, name in enumerate(quotas.NAMES)}
        self.assertEqual(expected, self.limits_of('busy'))


class TestRefusedChanges(AdministrationTestCase):
    @tables.each(('members', 'member'), ('readers', 'reader'), ('nobody', ''))
    def test_it_is_not_for(self, roles):
        answer = self.set_limits(status=403, headers={'X-Roles': roles}, messages=1)
        self.assertIn('"projects:update"', answer.json['description'])
        own = self.set_limits(status=403, headers={'X-Roles': roles, 'X-Project-Id': base.PROJECT}, messages=0)
        self.assertEqual(answer.json, own.json)
        self.assertEqual({'messages': 3}, self.limits_of())

    @tables.each(
        ('an unknown name', b'{"limits":{"mesages":1}}', 'There is no limit "mesages"'),
        ('a name of another kind', b'{"limits":{"max_message_ttl":1}}', 'There is no limit "max_message_ttl"'),
        ('a text', b'{"limits":{"messages":"1"}}', '"messages" must be a whole number'),
        ('a fraction', b'{"limits":{"messages":1.0}}', '"messages" must be a whole number'),
        ('a truth', b'{"limits":{"bytes":true}}', '"bytes" must be a whole number'),
        ('a negative number', b'{"limits":{"queues":-1}}', '"queues" must be a whole number'),
        ('a huge number', b'{"limits":{"queues":1%b}}' % (b'0' * 500), '"queues" must be a whole number'),
        ('an object', b'{"limits":{"queues":{}}}', '"queues" must be a whole number'),
        ('no object', b'{"limits":[]}', '"limits" field must be a dict'),
        ('nothing', b'{}', 'Missing "limits" field'),
        ('something beside', b'{"limits":{},"x":1}', '"x"'),
        ('no document', b'', 'can not be empty'),
        ('no json', b'{', 'could not be parsed'),
        ('a list', b'[]', 'must be a dict'),
    )
    def test_it_is_refused_for(self, body, word):
        answer = self.patch(f'/projects/{base.PROJECT}', body, headers=ADMIN, status=400)
        self.assert_refused(answer, word)
        self.assertEqual({'messages': 3}, self.limits_of())

    def test_a_long_document_is_refused(self):
        self.patch(f'/projects/{base.PROJECT}', b' ' * 70000, headers=ADMIN, status=400)

    def test_a_refused_change_changes_nothing(self):
        self.set_limits(status=400, messages=1, queues=-1)
        self.assertEqual({'messages': 3}, self.limits_of())


class TestAdministrationOnSqlite(OnSqlite, TestAdministration):
    pass
