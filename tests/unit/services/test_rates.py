"""A rate that several processes share, each with tokens of its own in memory."""

import concurrent.futures
import sys
import threading

import hypothesis
import testtools
from hypothesis import strategies

from queueservice.model import queues, quotas, rates
from queueservice.services import quotas as quotas_service
from queueservice.services import rates as rates_service
from queueservice.storage import errors, records, tables
from tests.fixtures import clock, drivers, faulty

WRITES = ('records.insert', 'records.replace')

#: What happens: this many seconds pass, then this process is asked this often.
EVENTS = strategies.lists(
    strategies.tuples(strategies.floats(0, 1.5), strategies.integers(0, 2), strategies.integers(1, 60)), max_size=25
)


def build(driver, now, **limits):
    """One process of those that share `driver`."""
    return rates_service.Rates(driver, quotas_service.Quotas(driver, quotas.Quotas(**limits), now), now)


def ask(process, times=1, project='project-1'):
    """How many of so many requests are allowed."""
    return sum(process.take(queues.PROJECT, project).wait == 0 for _ in range(times))


class TestRate(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver()

    def build(self, **limits):
        return build(self.driver, self.clock, **limits)

    def count_writes(self):
        return sum(call in WRITES for call in self.driver.calls)

    def test_where_there_is_no_rate_nothing_is_said(self):
        self.assertIsNone(self.build().take(queues.PROJECT, 'project-1'))
        self.assertEqual(['records.count'], self.driver.calls)  # whether any project has limits of its own

    def test_a_lonely_process_gets_the_whole_burst(self):
        for rate, burst in ((1, 1), (5, 5), (10, 100), (100, 7), (1000, 1000)):
            process = self.build(requests_per_second=rate, request_burst=burst)
            project = f'{rate} {burst}'
            self.assertEqual(burst, ask(process, burst + 20, project), project)

    def test_then_it_gets_the_rate(self):
        process = self.build(requests_per_second=100)
        ask(process, 200)
        allowed = 0
        for _ in range(300):
            self.clock.advance(0.01)
            allowed += ask(process, 3)
        self.assertTrue(280 <= allowed <= 300, allowed)

    def test_processes_share_it(self):
        processes = [self.build(requests_per_second=100) for _ in range(4)]
        self.assertEqual(100, sum(ask(process, 100) for process in processes))
        self.clock.advance(1)
        self.assertEqual(100, sum(ask(process, 100) for process in processes))

    def test_the_first_processes_leave_something_for_the_others(self):
        processes = [self.build(requests_per_second=100) for _ in range(8)]
        self.assertEqual(8, sum(ask(process) for process in processes))

    def test_projects_do_not_share_it(self):
        process = self.build(requests_per_second=10)
        self.assertEqual((10, 10), (ask(process, 20), ask(process, 20, project='project-2')))

    def test_a_block_costs_one_write(self):
        process = self.build(requests_per_second=1000)
        for _ in range(20):  # 950 a second, for two seconds
            ask(process, 95)
            self.clock.advance(0.1)
        # Ten blocks of 200 in two seconds.
        self.assertLessEqual(self.count_writes(), 11)

    def test_an_overload_costs_no_more_than_the_blocks(self):
        processes = [self.build(requests_per_second=1000) for _ in range(2)]
        for process in processes:
            ask(process, 2000)
        self.driver.calls.clear()
        allowed = 0
        for _ in range(200):  # 20 000 a second, for two seconds
            self.clock.advance(0.01)
            allowed += sum(ask(process, 100) for process in processes)
        self.assertTrue(1800 <= allowed <= 2000, allowed)
        self.assertLess(self.count_writes(), 80)
        self.assertLess(len(self.driver.calls), 200)

    def test_refusals_say_when_to_come_back(self):
        process = self.build(requests_per_second=2, request_burst=4)
        told = [process.take(queues.PROJECT, 'project-1') for _ in range(5)]
        self.assertEqual([3, 2, 1, 0, 0], [one.remaining for one in told])
        self.assertEqual([1, 1, 2, 2, 2], [one.reset for one in told])
        self.assertEqual([0, 0, 0, 0, 1], [one.wait for one in told])
        self.assertEqual({4}, {one.limit for one in told})
        self.clock.advance(told[-1].wait)
        self.assertEqual(2, ask(process, 5))

    def test_a_clock_that_is_put_back_stops_nobody(self):
        process = self.build(requests_per_second=10)
        ask(process, 20)
        self.clock.advance(-3600)
        self.assertEqual(0, ask(process, 20))
        self.clock.advance(1)
        self.assertEqual(10, ask(process, 20))

    def test_what_nobody_used_for_a_while_leaves_no_record(self):
        service_rates = self.build(requests_per_second=10)
        ask(service_rates, 5)
        [record] = self.driver.records.find(tables.RATES, records.Query()).records
        self.assertTrue(60 <= record['expires_at'] - self.clock() <= 61)

    # Faults

    def test_a_fault_allows_nothing_and_is_said(self):
        process = self.build(requests_per_second=10)
        ask(process)
        held = process._held[queues.PROJECT, 'project-1'].tokens
        for verb in ('records.find', 'records.replace'):
            with self.subTest(verb):
                self.driver.fail(verb)
                self.assertEqual(held, ask(process, held))  # what it holds is good
                for _ in range(3):
                    self.assertRaises(errors.Unavailable, process.take, queues.PROJECT, 'project-1')
                self.driver.heal()
                self.clock.advance(0.9)
                self.assertRaises(errors.Unavailable, process.take, queues.PROJECT, 'project-1')
                self.clock.advance(0.1)
                self.assertEqual(1, ask(process))
                held = process._held[queues.PROJECT, 'project-1'].tokens

    def test_a_store_that_does_not_answer_is_asked_once_a_second(self):
        process = self.build(requests_per_second=1)
        ask(process, 2)
        self.clock.advance(1)
        self.driver.fail()
        self.driver.calls.clear()
        for _ in range(20):
            self.assertRaises(errors.Unavailable, process.take, queues.PROJECT, 'project-1')
        self.assertEqual(1, len(self.driver.calls))

    def test_a_block_of_which_nobody_knows_is_lost(self):
        process = self.build(requests_per_second=10)
        ask(process, 2)
        self.driver.fail('records.replace', late=True)
        self.assertRaises(errors.Unavailable, process.take, queues.PROJECT, 'project-1')
        self.driver.heal()
        self.clock.advance(1)
        self.assertLessEqual(ask(process, 100), 10)

    # Laws

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(strategies.integers(1, 300), strategies.integers(0, 300), EVENTS)
    def test_no_span_of_time_sees_more_than_rate_and_burst_and_blocks(self, rate, burst, events):
        now = clock.Clock()
        driver = drivers.build_memory()
        processes = [build(driver, now, requests_per_second=rate, request_burst=burst) for _ in range(3)]
        seen = []  # (when, how many were allowed)
        for seconds, number, times in events:
            now.advance(seconds)
            seen.append((now(), ask(processes[number], times)))
        blocks = len(processes) * rates.size(rate, burst or rate)
        for first, (began, _) in enumerate(seen):
            allowed = 0
            for ended, more in seen[first:]:
                allowed += more
                self.assertLessEqual(allowed, rate * (ended - began) + (burst or rate) + blocks + 1e-6)
        total = sum(more for _, more in seen)
        self.assertLessEqual(total, rate * (now() - 1_700_000_000.0) + (burst or rate) + 1e-6)

    @hypothesis.settings(max_examples=30, deadline=None)
    @hypothesis.given(strategies.integers(1, 100), strategies.lists(strategies.floats(-3600, 2), max_size=25))
    def test_a_clock_that_runs_back_gives_nothing_away(self, rate, steps):
        now = clock.Clock()
        driver = drivers.build_memory()
        processes = [build(driver, now, requests_per_second=rate) for _ in range(2)]
        allowed, forward = 0, 0.0
        for index, step in enumerate(steps):
            now.advance(step)
            forward += max(0.0, step)
            allowed += ask(processes[index % 2], 50)
            self.assertLessEqual(allowed, rate * forward + rate + 1e-6)

    def test_threads_get_no_more_than_that_either(self):
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)
        for number in range(5):
            processes = [self.build(requests_per_second=200) for _ in range(2)]
            project = f'project-{number}'

            def work(index, processes=processes, project=project):
                return ask(processes[index % 2], 25, project)

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                self.assertEqual(200, sum(pool.map(work, range(32))))

    def test_of_many_threads_one_fetches_a_block(self):
        process = self.build(requests_per_second=100)
        gate = threading.Event()
        find = self.driver.records.find

        def find_slowly(table, query):
            gate.wait(0.1)
            return find(table, query)

        self.driver.records.find = find_slowly
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(8, sum(pool.map(lambda _: ask(process), range(8))))
        self.assertEqual(1, self.count_writes())

    def test_a_block_that_another_process_took_first_is_not_taken_twice(self):
        first, second = self.build(requests_per_second=10), self.build(requests_per_second=10)
        ask(first)
        find = self.driver.records.find

        def find_late(table, query):
            found = find(table, query)
            if table is tables.RATES:
                self.driver.records.find = find
                ask(second, 20)  # whatever is left
            return found

        self.driver.records.find = find_late
        self.assertEqual(1, ask(first, 20))  # what it held
