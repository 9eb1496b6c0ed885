"""Steps: who is sent what when, and that nothing is lost or sent twice, wherever it is cut off."""

import contextlib
import http.server
import itertools
import json
import threading

import testtools

from queueservice.delivery import base as delivery
from queueservice.delivery import identities
from queueservice.model import deliveries, quotas, schedules, sequences
from queueservice.model import limits as limits_module
from queueservice.model import queues as queues_model
from queueservice.services import sealing, steps
from queueservice.services import sequences as services_sequences
from queueservice.storage import errors as storage_errors
from queueservice.storage import messages as store
from queueservice.storage import records
from queueservice.storage import tables as tables_module
from tests.api import base
from tests.fixtures import clock as clock_module
from tests.fixtures import drivers, faulty, services, tables

PROJECT = 'p'
DAY = 86400


class Directory:
    """An identity store that says what it is told to."""

    def __init__(self, *answers):
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    def find(self, identity, now):
        answer = next(self.answers)
        exchange = delivery.Exchange('GET', 'http://i/', (), b'', now, 0.1, status=200 if answer else 502)
        if answer is None:
            return identities.Found(None, 'status', 'The identity store answers 502.', exchange)
        return identities.Found(answer or None, None, '', exchange)


class StepsTestCase(tables.Tables, testtools.TestCase):
    rules: dict = {}

    def setUp(self):
        super().setUp()
        self.start(base.ApiTestCase.make_driver(self))

    def start(self, driver, **options):
        self.clock = clock_module.Clock()
        staged = services_sequences.Rules(**self.rules)
        self.driver = driver
        self.service = services.Service(driver, clock=self.clock, staged=staged, **options).services
        self.addCleanup(driver.close)

    def make_course(self, *numbers, name='course', lang='eng', **fields):
        """A daily schedule and a set; their ids."""
        schedule = self.service.schedules.create(PROJECT, {'minute': '0', 'hour': '8'}).id
        fields = {'short_name': name, 'default_schedule': schedule, **fields}
        made = self.service.message_sets.create(PROJECT, fields).id
        for number in numbers:
            self.add(made, number, lang)
        return made, schedule

    def add(self, message_set, number, lang='eng'):
        fields = {'messageset': message_set, 'sequence_number': number, 'lang': lang, 'text_content': f't{number}'}
        self.service.set_messages.create(PROJECT, fields)

    def enrol(self, message_set, schedule, identity='i', **fields):
        fields = {'identity': identity, 'messageset': message_set, 'lang': 'eng', 'schedule': schedule, **fields}
        return self.service.enrolments.create(PROJECT, fields).id

    def work(self, rounds=50):
        """Do what there is to do now."""
        for _ in range(rounds):
            started = self.service.steps.start()
            looked = self.look_up() if self.rules.get('identity_url') else 0
            if not self.service.steps.do_range() + self.service.steps.do_tasks() + started + looked:
                return
        self.fail('It never ends.')

    def use(self, *answers):
        directory = Directory(*answers)
        self.service.steps._identities = lambda url: directory

    def look_up(self):
        return sum([self.service.steps.look_up(number) for number in range(len(services_sequences.LOOK_UPS))])

    def next_day(self):
        self.clock.advance(DAY)
        self.work()

    def read_one(self, enrolment):
        return self.service.enrolments.get(PROJECT, enrolment)

    def posted(self, project=PROJECT):
        """The documents in the outbound queue."""
        queue = self.service.queues.find(queues_model.check_key(queues_model.PROJECT, project, 'outbound'))
        if queue is None:
            return []
        found = self.driver.messages.select(queue, store.Selection(limit=1000, include_delayed=True), self.clock())
        return [json.loads(message.body) for message in found.messages]

    def sent(self):
        return [(one['to_identity'], one['content']) for one in self.posted()]


class TestCourse(StepsTestCase):
    def test_each_run_sends_the_next_message_and_the_last_completes(self):
        enrolment = self.enrol(*self.make_course(1, 2, 3))
        for _ in range(5):
            self.next_day()
        self.assertEqual([('i', 't1'), ('i', 't2'), ('i', 't3')], self.sent())
        end = self.read_one(enrolment)
        self.assertEqual((False, True, 2, 3), (end.active, end.completed, end.process_status, end.next_sequence_number))

    def test_gaps_are_jumped(self):
        enrolment = self.enrol(*self.make_course(2, 5))
        self.next_day()
        self.assertEqual(5, self.read_one(enrolment).next_sequence_number)
        self.next_day()
        self.assertEqual([('i', 't2'), ('i', 't5')], self.sent())

    def test_behind_the_end_it_completes_and_sends_nothing(self):
        enrolment = self.enrol(*self.make_course(1, 2), next_sequence_number=9)
        self.next_day()
        self.assertEqual(([], True), (self.sent(), self.read_one(enrolment).completed))

    def test_without_messages_in_the_language_it_waits(self):
        made, schedule = self.make_course(1, lang='zul')
        enrolment = self.enrol(made, schedule)
        self.next_day()
        self.assertTrue(self.read_one(enrolment).is_ready)
        self.add(made, 1)
        self.next_day()
        self.assertEqual([('i', 't1')], self.sent())

    def test_the_next_set_follows(self):
        follow, other = self.make_course(1, name='b')
        made, schedule = self.make_course(1, name='a', next_set=follow)
        self.enrol(made, schedule, metadata=b'{"to_addr":"+1"}')
        self.next_day()
        self.next_day()
        found = self.service.enrolments.page(PROJECT, {'messageset': follow}, offset=0, limit=9).values
        self.assertEqual([(other, None, True)], [(one.schedule, one.metadata, one.completed) for one in found])
        self.assertEqual(['+1', 'i'], [one['to_addr'] for one in self.posted()])

    @tables.each(
        ('not active', {'active': False}), ('completed', {'completed': True}), ('in process', {'process_status': 1}),
        ('without an address', {'process_status': -1}),
    )  # fmt: skip
    def test_nobody_is_sent_anything_who_is(self, fields):
        enrolment = self.enrol(*self.make_course(1), **fields)
        before = self.read_one(enrolment)
        self.service.enrolments.send(PROJECT, enrolment)
        self.service.enrolments.send(PROJECT, enrolment, resend=True)
        self.next_day()
        self.assertEqual(([], before), (self.sent(), self.read_one(enrolment)))

    def test_ranges_reach_everybody_once(self):
        course = self.make_course(1, 2)
        people = {self.enrol(*course, identity=f'i{number}') for number in range(steps.RANGE * 2 + 7)}
        self.next_day()
        self.assertEqual(len(people), len(self.posted()))
        self.assertEqual({f'i{number}' for number in range(len(people))}, {one for one, _ in self.sent()})

    def test_whoever_comes_after_the_run_waits_for_the_next(self):
        course = self.make_course(1, 2)
        self.clock.advance(DAY)
        self.service.steps.start()
        self.enrol(*course)
        self.work()
        self.assertEqual([], self.sent())

    def test_messages_live_long_and_longer_than_their_keys_are_needed(self):
        self.enrol(*self.make_course(1))
        self.next_day()
        queue = self.service.queues.find(queues_model.check_key(queues_model.PROJECT, PROJECT, 'outbound'))
        [message] = self.driver.messages.select(queue, store.Selection(), self.clock()).messages
        self.assertEqual(limits_module.Limits().max_message_ttl, message.ttl)


class TestNextSetGoes(StepsTestCase):
    def test_nobody_is_enrolled_in_a_set_that_is_being_deleted(self):
        follow, _ = self.make_course(1, name='b')
        made, schedule = self.make_course(1, name='a', next_set=follow)
        enrolment = self.enrol(made, schedule)
        self.clock.advance(DAY)
        self.run_between_mark_and_end(follow)
        self.clock.advance(61)  # the claim that was cut off has ended
        self.work()
        page = self.service.enrolments.page(PROJECT, {}, offset=0, limit=9)
        self.assertEqual([enrolment], [one.id for one in page.values])
        self.assertTrue(self.read_one(enrolment).completed)
        self.assertEqual([('i', 't1')], self.sent())

    def test_whoever_is_cut_off_meanwhile_leaves_nobody_in_a_set_that_is_gone(self):
        calls = number = 0
        while number <= calls:
            number += 1
            self.start(faulty.Driver(base.ApiTestCase.make_driver(self)))
            follow, _ = self.make_course(1, name='b')
            made, schedule = self.make_course(1, name='a', next_set=follow)
            enrolment = self.enrol(made, schedule)
            self.clock.advance(DAY)
            self.service.steps.start()
            self.driver.calls.clear()
            self.run_between_mark_and_end(follow, failing_on=number)
            calls = max(calls, self.calls)
            for _ in range(2):  # the claim that was cut off has ended; and the schedule of the set that is gone runs
                self.clock.advance(DAY)
                self.work()
            page = self.service.enrolments.page(PROJECT, {}, offset=0, limit=9)
            self.assertEqual([enrolment], [one.id for one in page.values], number)
            self.assertTrue(page.values[0].completed)
            self.assertEqual([('i', 't1')], self.sent())
        self.assertGreater(number, 10)

    def test_one_that_was_changed_stays(self):
        made, schedule = self.make_course(1)
        enrolment = self.enrol(made, schedule)
        self.clock.advance(1)
        self.service.enrolments.change(PROJECT, enrolment, {'lang': 'eng'})
        self.driver.records.delete(tables_module.MESSAGE_SETS, [records.Condition('id', '=', made)], limit=1)
        self.next_day()
        self.assertTrue(self.read_one(enrolment).is_ready)

    def run_between_mark_and_end(self, message_set, failing_on=None):
        """Delete a set, and let workers do what is due when nobody has been seen in it."""
        delete = self.driver.records.delete

        def work_first(*arguments, **options):
            self.driver.records.delete = delete
            if failing_on is not None:
                self.driver.calls.clear()
                self.driver.fail(on_call=failing_on)
            self.assertRaises(storage_errors.Unavailable, self.work)
            if failing_on is not None:
                self.driver.heal()
                self.calls = len(self.driver.calls)
            return delete(*arguments, **options)

        self.driver.records.delete = work_first
        self.service.message_sets.delete(PROJECT, message_set)


class TestRequests(StepsTestCase):
    def test_each_request_sends_one_message(self):
        enrolment = self.enrol(*self.make_course(1, 2, 3))
        for _ in range(2):
            self.service.enrolments.send(PROJECT, enrolment)
        self.work()
        self.assertEqual([('i', 't1'), ('i', 't2')], self.sent())

    def test_the_last_message_is_sent_again_and_nothing_goes_on(self):
        enrolment = self.enrol(*self.make_course(1, 4, 5), next_sequence_number=5)
        before = self.read_one(enrolment)
        for _ in range(2):
            self.service.enrolments.send(PROJECT, enrolment, resend=True)
        self.work()
        self.assertEqual([('t4', 'true')] * 2, [(one['content'], one['resend']) for one in self.posted()])
        self.assertEqual(before, self.read_one(enrolment))

    def test_the_first_is_sent_again_where_none_was(self):
        enrolment = self.enrol(*self.make_course(1, 2))
        self.service.enrolments.send(PROJECT, enrolment, resend=True)
        self.work()
        self.assertEqual([('i', 't1')], self.sent())

    def test_a_client_that_goes_back_is_sent_what_was_sent_before(self):
        enrolment = self.enrol(*self.make_course(1, 2))
        self.next_day()
        self.service.enrolments.change(PROJECT, enrolment, {'next_sequence_number': 1})
        self.next_day()
        self.assertEqual([('i', 't1'), ('i', 't1')], self.sent())

    def test_a_client_that_opens_what_is_completed_is_sent_the_last_again(self):
        enrolment = self.enrol(*self.make_course(1))
        self.next_day()
        self.service.enrolments.change(PROJECT, enrolment, {'active': True, 'completed': False, 'process_status': 0})
        self.next_day()
        self.assertEqual([('i', 't1'), ('i', 't1')], self.sent())

    def test_one_that_is_gone_is_sent_nothing(self):
        enrolment = self.enrol(*self.make_course(1))
        self.service.enrolments.send(PROJECT, enrolment)
        self.service.enrolments.delete(PROJECT, enrolment)
        self.work()
        self.assertEqual([], self.sent())

    def test_a_schedule_runs_when_it_is_told_to(self):
        made, schedule = self.make_course(1)
        self.enrol(made, schedule)
        self.clock.advance(1)
        self.service.schedules.send(PROJECT, schedule)
        self.work()
        self.assertEqual([('i', 't1')], self.sent())


class TestMissed(StepsTestCase):
    def test_runs_that_nobody_was_there_for_are_made_up_for_once(self):
        self.enrol(*self.make_course(1, 2, 3))
        self.clock.advance(10 * DAY)
        self.work()
        self.assertEqual([('i', 't1')], self.sent())
        self.next_day()
        self.assertEqual([('i', 't1'), ('i', 't2')], self.sent())


class TestSkipped(StepsTestCase):
    rules = {'misfire': schedules.SKIP}

    def test_runs_that_nobody_was_there_for_are_left_out(self):
        self.enrol(*self.make_course(1, 2, 3))  # it is a quarter past ten in the evening
        self.clock.advance(10 * DAY)
        self.work()
        self.assertEqual([], self.sent())
        self.clock.advance(35_210)  # ten seconds past 8 o'clock
        self.work()
        self.assertEqual([('i', 't1')], self.sent())


class TestRulesOfProjects(StepsTestCase):
    """What a token says holds for its project alone."""

    def token(self, **rules):
        self.service.tokens.create(PROJECT, ['member'], rules=rules)

    def test_what_is_missed_is_left_out_where_a_token_says_so(self):
        self.enrol(*self.make_course(1, 2, 3))
        self.token(misfire=schedules.SKIP)
        self.clock.advance(10 * DAY)
        self.work()
        self.assertEqual([], self.sent())

    def test_messages_go_to_the_queue_of_the_project(self):
        self.enrol(*self.make_course(1, 2))
        self.token(outbound_queue='mine')
        self.next_day()
        self.assertEqual([], self.sent())
        self.token(outbound_queue=None)
        self.next_day()
        self.assertEqual([('i', 't2')], self.sent())
        mine = queues_model.check_key(queues_model.PROJECT, PROJECT, 'mine')
        [message] = self.service.messages.page(mine).messages
        self.assertEqual('t1', json.loads(message.body)['content'])

    def test_addresses_are_asked_of_the_store_of_the_project(self):
        asked = []

        def open_store(url):
            asked.append(url)
            return Directory('+2')

        self.service.steps._identities = open_store
        self.enrol(*self.make_course(1, 2))
        self.next_day()
        self.token(identity_url='https://identities.example.org')
        self.next_day()
        self.look_up()
        self.assertEqual(['https://identities.example.org'], asked)
        self.assertEqual(['i', '+2'], [one['to_addr'] for one in self.posted()])

    def test_threads_do_not_grow_with_the_number_of_stores(self):
        before = threading.active_count()
        for number in range(10):
            found = self.service.steps._identities(f'http://localhost/{number}').find('i', self.clock())
            self.assertEqual('address', found.error)
        self.assertLessEqual(threading.active_count(), before + 1)

    def test_schedules_are_read_in_the_time_zone_of_the_project(self):
        self.token(timezone='Africa/Johannesburg')
        self.enrol(*self.make_course(1))  # it is a quarter past ten in the evening, in Johannesburg past midnight
        self.clock.advance(8 * 3600)
        self.work()
        self.assertEqual([('i', 't1')], self.sent())

    def test_a_time_zone_that_this_host_does_not_know_holds_up_nobody(self):
        self.enrol(*self.make_course(1))
        rules = {
            'namespace': queues_model.PROJECT,
            'project': PROJECT,
            'rules': b'{"timezone":"Asia/Nowhere","outbound_queue":"mine"}',
        }
        self.driver.records.insert(tables_module.PROJECT_RULES, [rules])
        self.clock.advance(5)
        self.next_day()
        mine = queues_model.check_key(queues_model.PROJECT, PROJECT, 'mine')
        self.assertEqual(1, len(self.service.messages.page(mine).messages))

    def test_other_processes_notice(self):
        other = services.Service(self.driver, clock=self.clock).services.project_rules
        self.assertEqual('UTC', other.find(PROJECT).timezone)
        self.token(timezone='Africa/Johannesburg')
        self.assertEqual('UTC', other.find(PROJECT).timezone)
        self.clock.advance(5)
        self.assertEqual('Africa/Johannesburg', other.find(PROJECT).timezone)


class TestAddresses(StepsTestCase):
    rules = {'identity_url': 'http://identities.example.org/api/v1'}

    def user_messages(self):
        return [(one.resource_uuid, one.text) for one in self.service.user_messages.page(PROJECT)]

    def test_metadata_come_first_and_the_store_is_asked_otherwise(self):
        course = self.make_course(1)
        self.enrol(*course, identity='a', metadata=b'{"to_addr":"+1"}')
        self.enrol(*course, identity='b')
        self.use('+2')
        self.next_day()
        self.assertEqual({('a', '+1'), ('b', '+2')}, {(one['to_identity'], one['to_addr']) for one in self.posted()})

    def test_without_an_address_it_stops_until_somebody_mends_it(self):
        enrolment = self.enrol(*self.make_course(1))
        self.use('')
        self.next_day()
        end = self.read_one(enrolment)
        self.assertEqual((True, -1, 1), (end.active, end.process_status, end.next_sequence_number))
        told = 'send the next message of a sequence:The recipient has no address.'
        self.assertEqual(([], [(enrolment, told)]), (self.sent(), self.user_messages()))

    def test_whoever_is_cut_off_has_told_why_before_it_stops(self):
        calls = 1
        number = 0
        while number < calls:
            number += 1
            self.start(faulty.Driver(base.ApiTestCase.make_driver(self)))
            enrolment = self.enrol(*self.make_course(1))
            self.use('')
            self.clock.advance(DAY)
            self.service.steps.start()
            self.service.steps.do_range()
            self.driver.calls.clear()
            self.driver.fail(on_call=number)
            with contextlib.suppress(storage_errors.Unavailable):
                self.look_up()
            calls = max(calls, len(self.driver.calls) + 1)
            self.driver.heal()
            self.clock.advance(61)  # the claim that was cut off has ended
            self.work()
            self.assertEqual([enrolment], [one for one, _ in self.user_messages()], number)
        self.assertGreater(number, 5)

    def test_a_store_that_does_not_answer_is_asked_again(self):
        self.enrol(*self.make_course(1))
        self.use(None, None, '+2')
        self.next_day()
        self.assertEqual([], self.sent())
        for seconds in (6, 11):
            self.clock.advance(seconds)
            self.work()
        self.assertEqual([('i', 't1')], self.sent())

    def test_in_the_end_it_is_a_failed_task_that_can_be_sent_again(self):
        enrolment = self.enrol(*self.make_course(1))
        self.use(None)
        for _ in range(2):
            self.next_day()
            for _ in range(20):
                self.clock.advance(331)
                self.work()
            page = self.service.failures.page(PROJECT, offset=0, limit=9)
            self.assertIn(
                (enrolment, 'The identity store answers 502.'), [(x.enrolment, x.reason) for x in page.values]
            )
            self.service.failures.retry(PROJECT)
            self.assertEqual(0, self.service.failures.page(PROJECT, offset=0, limit=9).count)
        self.assertTrue(self.read_one(enrolment).is_ready)
        sentence = 'The subscriber answered with a status other than 2xx.'
        self.assertIn((enrolment, f'send the next message of a sequence:{sentence}'), self.user_messages())
        self.use('+2')
        for _ in range(3):
            self.work()
            self.clock.advance(331)
        self.assertIn(('i', 't1'), self.sent())

    def test_whoever_is_cut_off_giving_up_has_given_up_or_not(self):
        calls = 1
        number = 0
        while number < calls:
            number += 1
            self.start(faulty.Driver(base.ApiTestCase.make_driver(self)))
            self.enrol(*self.make_course(1, 2))
            self.use(None)
            self.next_day()
            for _ in range(14):
                self.clock.advance(331)
                self.work()
            self.clock.advance(331)
            self.driver.calls.clear()
            self.driver.fail(on_call=number)
            with contextlib.suppress(storage_errors.Unavailable):
                self.work()
            calls = max(calls, len(self.driver.calls) + 1)
            self.driver.heal()
            self.use('+2')
            self.clock.advance(61)  # the claim that was cut off has ended
            self.work()
            failures = self.service.failures.page(PROJECT, offset=0, limit=9).count
            self.assertEqual(1, failures + len(self.sent()), number)
            self.assertEqual(failures, len(self.user_messages()), number)
        self.assertGreater(number, 5)

    def test_what_was_asked_and_answered_is_captured(self):
        enrolment = self.enrol(*self.make_course(1))
        self.use('+2')
        self.next_day()
        [bucket] = self.service.captures.buckets(PROJECT, count=9)
        self.assertEqual('outbound', bucket.name)
        self.assertEqual(1, len(self.service.captures.page(PROJECT, bucket.key, count=9)))
        self.assertTrue(self.read_one(enrolment).completed)


class TestWaiting(StepsTestCase):
    """Who has an address waits for no identity store."""

    rules = {'identity_url': 'http://identities.example.org/api/v1'}

    def test_those_whose_address_is_not_known_are_put_aside(self):
        course = self.make_course(1)
        for identity, metadata in (('a', None), ('b', b'{"to_addr":"+1"}'), ('c', None)):
            self.service.enrolments.send(PROJECT, self.enrol(*course, identity=identity, metadata=metadata))
        self.assertEqual(3, self.service.steps.do_tasks())
        self.assertEqual([('b', 't1')], self.sent())
        self.use('+2')
        self.assertEqual([1, 1, 0], [self.look_up() for _ in range(3)])
        self.assertEqual([('b', 't1'), ('a', 't1'), ('c', 't1')], self.sent())

    def test_whoever_is_cut_off_puts_aside_once(self):
        for late in (False, True):
            self.start(faulty.Driver(base.ApiTestCase.make_driver(self)))
            self.service.enrolments.send(PROJECT, self.enrol(*self.make_course(1, 2)))
            self.driver.fail('messages.delete', late=late)
            self.assertRaises(storage_errors.Unavailable, self.service.steps.do_tasks)
            self.driver.heal()
            self.clock.advance(61)
            self.use('+2')
            self.work()
            self.assertEqual([('i', 't1')], self.sent())


class TestQuota(StepsTestCase):
    def test_what_does_not_fit_is_sent_later(self):
        self.start(drivers.build_memory(), limits=limits_module.Limits(project=quotas.Quotas(messages=1)))
        course = self.make_course(1)
        for identity in 'ab':
            self.enrol(*course, identity=identity)
        self.next_day()
        self.assertEqual([], self.sent())
        self.service.quotas.change(PROJECT, {'messages': 2})
        self.clock.advance(400)
        self.work()
        self.assertEqual({('a', 't1'), ('b', 't1')}, set(self.sent()))


class TestEncrypted(StepsTestCase):
    KEY = queues_model.check_key(queues_model.PROJECT, PROJECT, 'outbound')

    def test_what_is_posted_is_sealed_where_the_queue_says_so(self):
        self.start(drivers.build_memory(), keys=(sealing.new_key(),))
        self.service.queues.create(self.KEY, {'_enable_encrypt_messages': True})
        self.enrol(*self.make_course(1))
        self.next_day()
        [stored] = self.driver.messages.select(
            self.service.queues.find(self.KEY), store.Selection(), self.clock()
        ).messages
        self.assertNotIn(b't1', stored.body)
        [message] = self.service.messages.page(self.KEY).messages
        self.assertEqual('t1', json.loads(message.body)['content'])


class TestInterrupted(StepsTestCase):
    """Whatever call of the storage fails, or only its answer is lost: no step is lost, and none is posted twice."""

    def make_everything(self):
        driver = faulty.Driver(base.ApiTestCase.make_driver(self))
        self.start(driver)
        follow, _ = self.make_course(1, name='b')
        made, schedule = self.make_course(1, 2, name='a', next_set=follow)
        self.enrol(made, schedule, 'a', metadata=b'{"prepend_next_delivery":"Hi"}')
        asked = self.enrol(made, schedule, 'b', next_sequence_number=2)
        self.service.enrolments.send(PROJECT, asked)
        self.clock.advance(DAY)
        driver.calls.clear()

    def work_until_it_is_done(self, again=None):
        """
        :param again: the call, counted from the first failure on, that fails, too.
        """
        for _ in range(60):
            try:
                self.work()
            except storage_errors.Unavailable:
                self.driver.heal()
                if again is not None:
                    self.driver.fail(on_call=again)
                again = None
            self.clock.advance(61)  # claims that were cut off have ended
        self.driver.heal()

    def assert_all_done(self):
        self.assertEqual([('a', 'Hi\nt1'), ('b', 't2')], sorted(self.sent()))
        page = self.service.enrolments.page(PROJECT, {}, offset=0, limit=9)
        self.assertEqual(
            [('a', 2, True), ('b', 1, True), ('b', 2, False)],
            sorted((one.identity, one.next_sequence_number, one.active) for one in page.values),
        )

    def test_at_every_call(self):
        self.make_everything()
        self.work()
        calls = len(self.driver.calls)
        self.assert_all_done()
        for late in (False, True):
            for number in range(1, calls + 1):
                self.make_everything()
                self.driver.fail(on_call=number, late=late)
                self.work_until_it_is_done()
                self.assert_all_done()

    def test_twice(self):
        self.make_everything()
        self.work()
        for number in range(1, len(self.driver.calls) + 1, 3):
            for again in range(1, 20, 4):
                self.make_everything()
                self.driver.fail(on_call=number, late=True)
                self.work_until_it_is_done(again)
                self.assert_all_done()


class TestOvertaken(StepsTestCase):
    """What was cut off is tried again when others have gone on with the same enrolment."""

    def setUp(self):
        super().setUp()
        self.start(faulty.Driver(base.ApiTestCase.make_driver(self)))

    def cut_off(self, verb):
        """Do what is to be done until the end is lost of the first that reaches `verb`."""
        self.driver.fail(verb)
        self.assertRaises(storage_errors.Unavailable, self.work)
        self.driver.heal()

    def try_again(self):
        self.clock.advance(61)  # the claim that was cut off has ended
        self.work()

    def test_what_was_sent_again_is_not_sent_once_more(self):
        enrolment = self.enrol(*self.make_course(1, 2, 3), next_sequence_number=2)
        self.service.enrolments.send(PROJECT, enrolment, resend=True)
        self.cut_off('messages.delete')
        self.service.enrolments.send(PROJECT, enrolment)
        self.work()
        self.assertEqual(3, self.read_one(enrolment).next_sequence_number)
        self.try_again()
        self.assertEqual([('i', 't1'), ('i', 't2')], self.sent())

    @tables.each(('before it has gone on', 'records.replace'), ('afterwards', 'messages.delete'))
    def test_two_requests_send_two_messages(self, verb):
        enrolment = self.enrol(*self.make_course(1, 2, 3))
        self.service.enrolments.send(PROJECT, enrolment)
        self.cut_off(verb)
        self.service.enrolments.send(PROJECT, enrolment)
        self.work()
        self.try_again()
        self.assertEqual([('i', 't1'), ('i', 't2')], self.sent())

    @tables.each(('before it has gone on', 'records.replace'), ('afterwards', 'messages.delete'))
    def test_a_run_and_a_request_send_two_messages(self, verb):
        enrolment = self.enrol(*self.make_course(1, 2, 3))
        self.clock.advance(DAY)
        self.service.steps.start()
        self.driver.fail(verb)
        self.assertRaises(storage_errors.Unavailable, self.service.steps.do_range)
        self.driver.heal()
        self.service.enrolments.send(PROJECT, enrolment)
        self.work()
        self.try_again()
        self.assertEqual([('i', 't1'), ('i', 't2')], self.sent())

    def test_a_request_is_remembered_however_many_others_come(self):
        enrolment = self.enrol(*self.make_course(*range(1, 50)))
        self.service.enrolments.send(PROJECT, enrolment)
        self.cut_off('messages.delete')
        for _ in range(40):
            self.service.enrolments.send(PROJECT, enrolment)
        self.work()
        self.try_again()
        self.assertEqual([('i', f't{number}') for number in range(1, 42)], self.sent())

    def test_requests_of_long_ago_are_forgotten(self):
        enrolment = self.enrol(*self.make_course(*range(1, 50)))
        for _ in range(40):
            self.service.enrolments.send(PROJECT, enrolment)
            self.work()
            self.clock.advance(20)
        self.assertEqual(17, len(self.read_one(enrolment).handled))


class TestTogether(StepsTestCase):
    def test_what_fails_for_one_holds_up_nobody_else(self):
        course = self.make_course(1)
        broken, *others = [self.enrol(*course, identity=f'i{number}') for number in range(3)]
        prepare = self.service.steps._prepare

        def fail(project, tasks, *arguments):
            if broken in tasks:
                raise ZeroDivisionError
            return prepare(project, tasks, *arguments)

        self.service.steps._prepare = fail
        for enrolment in (broken, *others):
            self.service.enrolments.send(PROJECT, enrolment)
        self.assertRaises(ZeroDivisionError, self.service.steps.do_tasks)
        self.assertEqual(2, self.service.steps.do_tasks())
        self.assertEqual({('i1', 't1'), ('i2', 't1')}, set(self.sent()))

    def test_workers_do_not_get_in_each_others_way(self):
        course = self.make_course(1, 2, 3)
        people = [self.enrol(*course, identity=f'i{number}') for number in range(60)]
        for one in people[:30]:
            self.service.enrolments.send(PROJECT, one)
        self.clock.advance(DAY)
        threads = [threading.Thread(target=self.work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.work()
        expected = [(f'i{number}', 't1') for number in range(60)] + [(f'i{number}', 't2') for number in range(30)]
        self.assertEqual(sorted(expected), sorted(self.sent()))


class _Store(http.server.BaseHTTPRequestHandler):
    answers: dict = {}

    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = self.answers[self.path.split('/')[-3]]
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class TestIdentities(tables.Tables, testtools.TestCase):
    """The identity store over HTTP."""

    def setUp(self):
        super().setUp()
        self.server = http.server.HTTPServer(('127.0.0.1', 0), _Store)
        self.server.asked = []
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def find(self, identity, networks=('127.0.0.0/8',)):
        url = f'http://127.0.0.1:{self.server.server_port}/api/v1/'
        return identities.Identities(url, deliveries.Rules(allowed_networks=networks)).find(identity, 0.0)

    @tables.each(
        ('an address', 200, b'{"results":[{"address":"+1"},{"address":"+2"}]}', '+1', None),
        ('nothing', 200, b'{"results":[]}', None, None),
        ('an empty one', 200, b'{"results":[{"address":""}]}', None, None),
        ('a status', 404, b'{}', None, 'status'),
        ('nonsense', 200, b'<html>', None, 'response'),
        ('another document', 200, b'{"results":[1]}', None, 'response'),
        ('no utf 8', 200, b'{"results":[{"address":"\xff"}]}', None, 'response'),
        ('too much', 200, b' ' * 100_000, None, 'response'),
    )
    def test_it_answers(self, status, body, address, error):
        _Store.answers = {'i': (status, body)}
        found = self.find('i')
        self.assertEqual((address, error), (found.address, found.error))
        self.assertEqual(
            ['/api/v1/identities/i/addresses/msisdn?default=True&use_communicate_through=True'], self.server.asked
        )

    def test_an_identity_is_never_more_than_one_segment(self):
        _Store.answers = {'a%2F..%2Fb%3Fc%23d%0D%0Ae': (200, b'{"results":[]}')}
        self.assertIsNone(self.find('a/../b?c#d\r\ne').error)

    def test_it_is_not_asked_where_webhooks_may_not_go(self):
        self.assertEqual(('address', []), (self.find('i', ()).error, self.server.asked))

    def test_nobody_is_there(self):
        self.server.server_close()
        self.assertEqual('connection', self.find('i').error)


class TestPayload(testtools.TestCase):
    def test_tasks_and_ranges_are_read_as_they_were_written(self):
        task = sequences.Task('t', 'p', 'e', True, 5.0)
        self.assertEqual(task, steps._TASK.decode(json.dumps({
            'id': 't', 'project': 'p', 'enrolment': 'e', 'resend': True, 'run_at': 5.0
        })))  # fmt: skip
