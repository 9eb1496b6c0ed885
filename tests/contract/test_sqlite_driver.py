"""What only the SQLite driver has: a file, a writer, plans, and processes that are killed."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import queue
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import testtools

from queueservice.model import messages
from queueservice.storage import errors, records, tables
from queueservice.storage import messages as ports
from queueservice.storage.drivers.sqlite import database, driver, schema, writer
from queueservice.storage.drivers.sqlite import messages as store
from tests.contract import machine
from tests.fixtures import clock, drivers

HOUR = 3600
#: How long anything may take here before it has failed, in seconds.
PATIENCE = 20


class SQLiteTest(testtools.TestCase):
    """A prepared driver on a file of its own, with a queue."""

    synchronous = 'full'

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / 'queueservice.db'
        self.clock = clock.Clock()
        self.driver = self.open()
        self.store = self.driver.messages
        self.queue = drivers.make_queue(self.driver)

    def open(self, path=None):
        """Another driver on the same file, or on one at `path`."""
        opened = driver.Driver(path or self.path, synchronous=self.synchronous)
        self.addCleanup(opened.close)
        opened.prepare()
        return opened

    def draft(self, body=b'1', ttl=HOUR, delay=0, **fields):
        available_at = self.clock() + delay if delay else 0
        return messages.Draft(body, expires_at=self.clock() + ttl, available_at=available_at, **fields)

    def post(self, count=1, queue=None, **fields):
        drafts = [self.draft(**fields) for _ in range(count)]
        return [each.position for each in self.store.append(queue or self.queue, drafts, self.clock())]

    def claim(self, limit=10, ttl=60, **options):
        claim = messages.Claim(messages.new_id(), ttl, self.clock() + ttl)
        return self.store.claim(self.queue, claim, limit, self.clock(), keep_until=0, **options)

    def list(self, queue=None, **selection):
        return self.store.select(queue or self.queue, ports.Selection(**selection), self.clock())

    def total(self, queue=None):
        return self.store.stats(queue or self.queue, self.clock()).total

    def write(self, statement):
        """The first value that a statement returns; it is executed by the writer."""
        return self.driver._database.write(lambda connection: connection.execute(statement).fetchone()[0])

    def run_script(self, script, *arguments, **options):
        """Start a program that has this test's file as `path`, and a driver on it as `opened`."""
        text = _PROGRAM + textwrap.dedent(script)
        command = [sys.executable, '-c', text, str(self.path), self.queue.id, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process


_PROGRAM = """
import os, pathlib, signal, sys, threading, time
from queueservice.model import messages, queues
from queueservice.storage import errors
from queueservice.storage.drivers.sqlite import driver

path, queue_id, *arguments = sys.argv[1:]
opened = driver.Driver(pathlib.Path(path))
queue = queues.Queue(queue_id, queues.QueueKey('project', 'project-1', 'demo'), 1, {}, queues.Settings(), 0)

def post(count=1, body=b'1'):
    drafts = [messages.Draft(body, expires_at=time.time() + 3600) for _ in range(count)]
    return [each.position for each in opened.messages.append(queue, drafts, time.time())]
"""


class CostTest(SQLiteTest):
    """Costs are instructions of SQLite's machine: they do not depend on what else the computer does."""

    synchronous = 'normal'
    #: So many are in the way, or not.
    MANY = 6000

    def setUp(self):
        self.steps = 0
        connect = database.Database._connect

        def counting(self_, *arguments):
            connection = connect(self_, *arguments)
            connection.set_progress_handler(self._step, 10)
            return connection

        self.patch(database.Database, '_connect', counting)
        super().setUp()

    def _step(self):
        self.steps += 10

    def cost(self, call):
        before = self.steps
        call()
        return self.steps - before

    def costs(self):
        """What each verb costs in the queue as it stands; changes little."""
        now = self.clock()
        claimed = self.claim(5, ttl=600).messages
        claim_id, positions = claimed[0].claim_id, tuple(message.position for message in claimed)
        longer = messages.Change(ends_at=now + 700, ttl=700, keep_until=now + 800)
        return {
            'list': self.cost(self.list),
            'stats': self.cost(lambda: self.store.stats(self.queue, now)),
            'usage': self.cost(lambda: self.store.usage('project', 'project-1', now)),
            'read a claim': self.cost(lambda: self.list(claim_id=claim_id)),
            'read by position': self.cost(lambda: self.list(positions=positions)),
            'renew': self.cost(lambda: self.store.renew(self.queue, claim_id, [longer], now)),
            'renew two': self.cost(
                lambda: self.store.renew(self.queue, claim_id, [messages.Change(positions[:2], now + 90, 90)], now)
            ),
            'delete': self.cost(
                lambda: self.store.delete(self.queue, positions[:2], now, claim_ids=[claim_id], unclaimed=False)
            ),
            'release': self.cost(lambda: self.store.renew(self.queue, claim_id, [messages.Change()], now)),
            'claim': self.cost(self.claim),
            'claim with bounds': self.cost(lambda: self.claim(max_claims=5, in_flight=10**6)),
            'take': self.cost(lambda: self.claim(take=True)),
            'post': self.cost(self.post),
            'post a batch': self.cost(lambda: self.post(10)),
            'post with a key': self.cost(
                lambda: self.store.append(
                    self.queue, [self.draft(key=messages.new_id(), key_until=now + 60, key_digest=b'd')], now
                )
            ),
            'sweep': self.cost(lambda: self.store.sweep(now, 100)),
        }

    def assert_as_cheap(self, before, after, but=()):
        for verb in before.keys() - set(but):
            self.assertLessEqual(after[verb], 1.5 * before[verb] + 100, verb)

    def test_no_verb_depends_on_how_long_the_queue_is(self):
        self.post(100)
        before = self.costs()
        self.post(self.MANY)

        self.assert_as_cheap(before, self.costs())

    def test_no_verb_depends_on_how_many_claimed_messages_are_in_front(self):
        self.post(100)
        before = self.costs()
        self.post(self.MANY)
        self.claim(self.MANY, ttl=HOUR)

        self.assert_as_cheap(before, self.costs())

    def test_no_verb_depends_on_how_many_delayed_messages_are_in_front(self):
        self.post(100)
        before = self.costs()
        self.claim(1000, take=True)
        self.post(self.MANY, delay=HOUR / 2)
        self.post(100)

        self.assert_as_cheap(before, self.costs())

    def test_no_verb_depends_on_how_many_queues_there_are(self):
        self.post(100)
        before = self.costs()
        for number in range(300):
            self.post(3, queue=drivers.make_queue(self.driver, f'other-{number}'))

        self.assert_as_cheap(before, self.costs())

    def test_messages_that_expired_unswept_do_not_slow_down_what_names_its_messages(self):
        self.post(100)
        before = self.costs()
        self.claim(1000, take=True)
        self.post(self.MANY, ttl=10)
        self.post(100)
        self.clock.advance(20)

        walking = ['list', 'stats', 'claim', 'claim with bounds', 'take', 'sweep']
        self.assert_as_cheap(before, self.costs(), but=walking)

    def test_a_list_walks_no_further_than_its_budget(self):
        hidden = {
            'expired': lambda: self.post(self.MANY, ttl=10),
            'of the reader': lambda: self.post(self.MANY, client=b'me'),
            'delayed': lambda: self.post(self.MANY, delay=HOUR / 2),
            'claimed': lambda: (self.post(self.MANY), self.claim(self.MANY, ttl=HOUR)),
        }
        for post in hidden.values():
            post()
        self.clock.advance(20)
        self.patch(ports, 'SCAN_BUDGET', 200)

        for claimed, delayed in itertools.product([True, False], repeat=2):
            for not_from in (None, b'me'):
                selection = {'include_claimed': claimed, 'include_delayed': delayed, 'not_from': not_from}
                cost = self.cost(lambda selection=selection: self.list(**selection))
                self.assertLess(cost, 10_000, selection)

    def test_a_list_seeks_out_what_lapsed_without_walking_over_what_is_claimed(self):
        self.post(self.MANY)
        early = self.claim(50, ttl=10).messages
        self.claim(self.MANY, ttl=HOUR)
        self.clock.advance(20)

        cost = self.cost(self.list)

        found = [message.position for message in self.list().messages]
        self.assertEqual([message.position for message in early[:10]], found)
        self.assertLess(cost, 5000)

    def test_a_sweep_costs_what_is_due_and_not_what_is_stored(self):
        def sweep_ten_due(name):
            queue = drivers.make_queue(self.driver, name)
            self.post(10, queue=queue, ttl=10)
            self.clock.advance(10)
            return self.cost(lambda: self.assertEqual(10, self.store.sweep(self.clock(), 100)))

        before = sweep_ten_due('first')
        self.post(self.MANY)
        self.claim(self.MANY // 2, ttl=HOUR / 2)
        for number in range(100):
            self.post(3, queue=drivers.make_queue(self.driver, f'other-{number}'))

        self.assertLessEqual(sweep_ten_due('second'), 1.5 * before)

    def test_a_page_of_records_costs_what_it_returns(self):
        owned = tuple(
            records.Condition(*each) for each in [('namespace', '=', 'project'), ('project', '=', 'project-1')]
        )

        def costs(middle):
            pages = {
                'first': records.Query(owned, (('name', False),)),
                'ascending': records.Query(owned, (('name', False),), after=(middle, '')),
                'descending': records.Query(owned, (('name', True),), after=(middle, '')),
                'by name': records.Query((*owned, records.Condition('name', '=', middle))),
                'by prefix': records.Query((*owned, records.Condition('name', 'prefix', middle[:-1]))),
                'within a budget': records.Query(
                    (*owned, records.Condition('name', 'contains', '?')), (('name', False),), budget=20
                ),
            }
            return {
                name: self.cost(lambda page=page: self.driver.records.find(tables.QUEUES, page))
                for name, page in pages.items()
            }

        self._make_queues(0, 100)
        before = costs('queue-000050')
        self._make_queues(100, 3000)

        self.assert_as_cheap(before, costs('queue-001500'))

    def test_a_page_of_records_costs_what_it_returns_where_many_share_a_value(self):
        table = records.Table('things', {'id': str, 'rank': int}, ('id',), indexes=(('rank',),))
        self.patch(tables, 'ALL', (*tables.ALL, table))
        self.driver.prepare()

        def costs(count):
            self.driver.records.insert(table, [{'id': f'{number:06}', 'rank': 1} for number in range(count)])
            page = records.Query(order=(('rank', False),))
            return {'page': self.cost(lambda: self.driver.records.find(table, page))}

        self.assert_as_cheap(costs(50), costs(3000))

    def _make_queues(self, first, end):
        template = self.driver.records.find(tables.QUEUES, records.Query()).records[0]
        rows = [{**template, 'id': messages.new_id(), 'name': f'queue-{number:06}'} for number in range(first, end)]
        self.driver.records.insert(tables.QUEUES, rows)


class SmallStepsTest(machine.MachineContract, testtools.TestCase):
    """Random histories are answered right where everything is done in many small steps, too."""

    def make_driver(self):
        limits = {'LONG_BODY': 1, 'SLICE': 2, 'PATIENCE': 100, 'LAPSED_LIMIT': 2, 'ROWS': 2}
        for name, limit in limits.items():
            self.patch(store, name, limit)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, 'normal')


class GroupTest(SQLiteTest):
    """What waits together is committed together."""

    def setUp(self):
        self.groups, self.calls = [], []
        commit = writer.Writer._commit

        def noting(self_, group):
            self.groups.append(len(group))
            return commit(self_, group)

        calls = self.calls

        class Calls(queue.SimpleQueue):
            def put(self, call):
                super().put(call)
                calls.append(call)

        self.patch(writer.Writer, '_commit', noting)
        self.patch(queue, 'SimpleQueue', Calls)
        super().setUp()
        self.groups.clear()

    def at_once(self, *calls):
        """Let all calls wait for the writer together; what each returned or raised."""
        answers = [None] * len(calls)

        def run(number, call):
            try:
                answers[number] = call()
            except errors.StorageError as error:
                answers[number] = error

        self._start([threading.Thread(target=run, args=each) for each in enumerate(calls)])
        return answers

    def _start(self, threads):
        """Run threads that call the writer, each after the other has called, and none is answered before all have."""
        with self.gate_closed():
            for number, thread in enumerate(threads, start=len(self.calls) + 1):
                thread.start()
                self.wait_until(lambda number=number: len(self.calls) >= number)
        for thread in threads:
            thread.join(PATIENCE)

    def gate_closed(self):
        return _Held(f'{self.path}.lock')

    def wait_until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, 'waited in vain')
            time.sleep(0.001)

    def test_operations_that_wait_together_are_one_group(self):
        answers = self.at_once(*[self.post] * 10)

        self.assertEqual([[position] for position in range(1, 11)], sorted(answers))
        self.assertEqual([10], self.groups)
        self.assertEqual(10, self.total())

    def test_a_group_is_no_larger_than_its_limits(self):
        self.patch(writer, 'GROUP_LIMIT', 4)
        self.at_once(*[self.post] * 10)
        self.assertEqual([4, 4, 2], self.groups)

        self.groups.clear()
        self.patch(writer, 'GROUP_BYTES', 1000)
        self.at_once(*[lambda: self.post(body=b'x' * 400)] * 5)
        self.assertEqual([3, 2], self.groups)

    def test_posts_to_several_queues_in_one_group_keep_apart(self):
        other = drivers.make_queue(self.driver, 'other')
        self.groups.clear()
        long = b'"%s"' % (b'x' * 2 * store.LONG_BODY)

        answers = self.at_once(
            self.post,
            lambda: self.post(queue=other, body=long),
            lambda: self.post(queue=other, body=b'2'),
            lambda: self.post(body=long),
        )

        self.assertEqual([[1], [1], [2], [2]], answers)
        self.assertEqual([4], self.groups)
        found = self.store.select(other, ports.Selection(), self.clock()).messages
        self.assertEqual([long, b'2'], [message.body for message in found])

    def test_an_operation_that_is_stale_fails_alone(self):
        stale = drivers.make_queue(self.driver, 'stale')
        drivers.change_queue(self.driver, stale)
        self.groups.clear()

        answers = self.at_once(self.post, lambda: self.post(queue=stale), self.post)

        self.assertEqual([errors.Stale], [type(answer) for answer in answers if not isinstance(answer, list)])
        self.assertEqual([3], self.groups)
        self.assertEqual(2, self.total())

    def test_an_operation_that_fails_half_way_leaves_nothing_and_its_neighbours_whole(self):
        gone = drivers.make_queue(self.driver, 'gone')
        drivers.delete_queue(self.driver, gone)
        self.groups.clear()

        def post_and_fail():
            drafts = [self.draft(b'"half"', key='k', key_until=self.clock() + HOUR)]
            return self.store.append(self.queue, drafts, self.clock(), derive=lambda stored: [(gone, [self.draft()])])

        answers = self.at_once(self.post, post_and_fail, self.post)

        self.assertIsInstance(answers[1], errors.Stale)
        self.assertEqual([[1], [2]], [answers[0], answers[2]])
        self.assertEqual([b'1', b'1'], [message.body for message in self.list().messages])
        self.assertEqual([3, 1, 1, 1], self.groups)
        self.assertEqual(2, self.total())

    def test_an_error_of_the_caller_reaches_the_caller_and_nobody_else(self):
        def derive(stored):
            raise ZeroDivisionError

        def post_and_fail():
            try:
                self.store.append(self.queue, [self.draft()], self.clock(), derive=derive)
            except ZeroDivisionError as error:
                return error

        answers = self.at_once(self.post, post_and_fail, self.post)

        self.assertIsInstance(answers[1], ZeroDivisionError)
        self.assertEqual(2, self.total())

    def test_what_was_rolled_back_beside_an_operation_that_failed_is_done_again(self):
        def run_out_of_memory(connection):
            connection.execute('ROLLBACK')  # as SQLite may do by itself
            raise MemoryError

        def fail():
            try:
                self.driver.messages._database.write(run_out_of_memory)
            except MemoryError as error:
                return error

        answers = self.at_once(self.post, fail, self.post)

        self.assertIsInstance(answers[1], MemoryError)
        self.assertEqual([[1], [2]], [answers[0], answers[2]])
        self.assertEqual(2, self.total())

    def test_nothing_waits_longer_than_it_may_and_what_was_given_up_is_not_done(self):
        self.patch(writer, 'TIMEOUT', 0.1)
        self.post()
        with self.gate_closed():
            start = time.monotonic()
            self.assertRaises(errors.Unavailable, self.post)
            self.assertRaises(errors.Unavailable, self.driver.ping)
            self.assertLess(time.monotonic() - start, 2)
            self.assertEqual(1, self.total(), 'reading does not wait')
        self.patch(writer, 'TIMEOUT', PATIENCE)

        self.post()

        self.assertEqual(2, self.total())

    def test_closing_finishes_what_waits(self):
        answers = []
        posting = [threading.Thread(target=lambda: answers.append(self.post())) for _ in range(5)]

        self._start([*posting, threading.Thread(target=self.driver.close)])

        self.assertEqual([[1], [2], [3], [4], [5]], sorted(answers))
        self.assertNotIn('sqlite-writer', [thread.name for thread in threading.enumerate()])

    def test_a_long_log_is_cut_off_when_there_is_nothing_else_to_do(self):
        self.driver.close()
        self.patch(writer, 'IDLE', 0.01)
        self.patch(writer, 'LOG_SIZE', 100_000)
        self.post(10, body=b'x' * 50_000)

        self.wait_until(lambda: self.path.with_name('queueservice.db-wal').stat().st_size == 0)

        self.post()
        self.assertEqual(11, self.total())


class _Held:
    """Holds the lock on a file, as another process would."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        os.close(self.file)


class FaultTest(SQLiteTest):
    def test_a_full_file_is_unavailable_and_works_again_when_there_is_space(self):
        self.post(10)
        size = self.write('PRAGMA page_count')
        self.write(f'PRAGMA max_page_count = {size}')
        answers = []
        for _ in range(20):
            try:
                answers.append(self.post(body=b'x' * 50_000))
            except errors.Unavailable as error:
                answers.append(error)
        self.assertIsInstance(answers[-1], errors.Unavailable)
        self.assertIn('full', str(answers[-1]))
        stored = sum(isinstance(answer, list) for answer in answers)
        self.assertEqual(10 + stored, self.total())

        self.write('PRAGMA max_page_count = 1000000')
        self.post(body=b'x' * 50_000)

        self.assertEqual(11 + stored, self.total())

    def test_a_commit_that_fails_is_unavailable_for_all_of_the_group_and_nothing_is_kept(self):
        """The disk is full from the point of view of a program that may write no larger files."""
        program = self.run_script(
            """
            import resource
            post(100)
            log = os.stat(path + '-wal').st_size
            answers = []
            def attempt():
                try:
                    answers.append(post(body=b'x' * 1000)[0])
                except errors.Unavailable as error:
                    answers.append('unavailable')
            def in_threads():
                threads = [threading.Thread(target=attempt) for _ in range(8)]
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]
            resource.setrlimit(resource.RLIMIT_FSIZE, (log, resource.RLIM_INFINITY))
            in_threads()
            print(sorted(set(answers), key=str), opened.messages.stats(queue, time.time()).total)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            answers.clear()
            in_threads()
            print(sorted(answers), opened.messages.stats(queue, time.time()).total)
            opened.close()
            """
        )
        output, _ = program.communicate(timeout=PATIENCE)

        self.assertEqual("['unavailable'] 100\n[101, 102, 103, 104, 105, 106, 107, 108] 108\n", output)

    def test_a_file_that_was_deleted_takes_no_more_messages(self):
        self.post()
        moved = self.folder / 'elsewhere'
        self.path.rename(moved)

        self.assertRaises(errors.Unavailable, self.post)
        self.assertRaises(errors.Unavailable, self.driver.ping)

        moved.rename(self.path)
        self.post()
        self.assertEqual(2, self.total())

    def test_messages_go_to_the_file_that_is_at_the_path_now(self):
        """Who restores a copy under a running service loses what came after it, and nothing more."""
        self.post()
        self.driver.close()
        copy = self.folder / 'copy'
        copy.write_bytes(self.path.read_bytes())
        self.post(5)
        for name in ('queueservice.db', 'queueservice.db-wal', 'queueservice.db-shm'):
            (self.folder / name).unlink()
        copy.rename(self.path)

        self.post()

        self.driver.close()
        self.assertEqual([1, 2], [message.position for message in self.list().messages])

    def test_a_file_that_is_missing_is_unavailable_and_is_not_made(self):
        for path in (self.folder / 'missing.db', self.folder / 'missing' / 'queueservice.db'):
            opened = driver.Driver(path)
            self.addCleanup(opened.close)

            self.assertRaises(errors.Unavailable, opened.ping)
            self.assertRaises(errors.Unavailable, opened.messages.usage, 'project', 'project-1', 0)

            self.assertFalse(path.exists())
            opened.prepare()
            opened.ping()

    def test_damage_is_unavailable_and_said_to_the_operator(self):
        self.post(2000, body=b'x' * 500)
        self.driver.close()
        spoil(self.path)

        with self.assertLogs(database.LOG) as log:
            self.assertRaises(errors.Unavailable, self._read_everything)

        self.assertIn('is damaged', log.output[0])
        self.assertNotIn('xxx', log.output[0])

    def _read_everything(self):
        after = 0
        while found := self.list(after=after, limit=100).messages:
            after = found[-1].position

    def test_a_dead_writer_ends_the_process(self):
        program = self.run_script(
            """
            class Bug(BaseException):
                pass
            def derive(stored):
                raise Bug
            post()
            opened.messages.append(queue, [messages.Draft(b'1', time.time() + 60)], time.time(), derive=derive)
            """,
            stderr=subprocess.PIPE,
        )
        _, log = program.communicate(timeout=PATIENCE)

        self.assertEqual(70, program.returncode)
        self.assertIn('the process ends', log)
        self.assertEqual(1, self.total())

    def test_a_program_that_does_not_close_its_driver_ends_all_the_same(self):
        program = self.run_script('print(post())')

        output, _ = program.communicate(timeout=PATIENCE)

        self.assertEqual(('[1]\n', 0), (output, program.returncode))


class FileTest(SQLiteTest):
    def inspect(self, statement, path=None):
        connection = sqlite3.connect(path or self.path, isolation_level=None)
        try:
            return connection.execute(statement).fetchone()
        finally:
            connection.close()

    def assert_refused(self, words, path=None):
        error = self.assertRaises(errors.Unavailable, driver.Driver(path or self.path).prepare)
        self.assertIn(words, str(error))
        self.assertIn(str(path or self.path), str(error))

    def test_the_file_and_its_folder_are_made_for_their_owner_alone(self):
        path = self.folder / 'new' / 'queues.db'

        self.open(path).ping()

        self.assertEqual(0o700, path.parent.stat().st_mode & 0o777)
        names = ['queues.db', 'queues.db-shm', 'queues.db-wal', 'queues.db.lock']
        self.assertEqual(names, sorted(each.name for each in path.parent.iterdir()))
        for each in path.parent.iterdir():
            self.assertEqual(0o600, each.stat().st_mode & 0o777, each)

    def test_the_file_is_made_as_it_should_be(self):
        self.driver.close()

        self.assertEqual((4096,), self.inspect('PRAGMA page_size'))
        self.assertEqual(('wal',), self.inspect('PRAGMA journal_mode'))
        self.assertEqual((schema.VERSION,), self.inspect('PRAGMA user_version'))

    def test_a_driver_says_which_file_it_is(self):
        self.assertEqual(f'sqlite:///{self.path}', self.driver.location)
        self.assertTrue(self.driver.shared)

    def test_a_path_is_taken_literally(self):
        path = self.folder / 'a b?mode=memory#c%20d' / '\u00e9.db'

        opened = self.open(path)
        drivers.make_queue(opened)

        self.assertTrue(path.stat().st_size > 0 and self.inspect('SELECT count(*) FROM queues', path) == (1,))

    def test_nothing_is_opened_before_it_is_used_or_left_open_by_preparing(self):
        path = self.folder / 'new' / 'queues.db'
        unused = driver.Driver(path)
        self.assertFalse(path.parent.exists())

        unused.prepare()

        self.assertEqual(['queues.db', 'queues.db.lock'], sorted(each.name for each in path.parent.iterdir()))

    def test_what_was_stored_is_there_again_after_closing(self):
        position = self.post(5)[0]
        long = self.post(body=b'x' * 100_000)[0]
        self.claim(2)
        self.driver.close()

        other = self.open()

        selection = ports.Selection(include_claimed=True)
        page = other.messages.select(self.queue, selection, self.clock())
        self.assertEqual([*range(position, long + 1)], [message.position for message in page.messages])
        self.assertEqual(b'x' * 100_000, page.messages[-1].body)
        self.assertEqual(2, other.messages.stats(self.queue, self.clock()).claimed)

    def test_space_of_long_bodies_is_freed_with_their_messages(self):
        long = b'x' * 20_000
        gone = drivers.make_queue(self.driver, 'gone')
        self.post(3, queue=gone, body=long)
        drivers.delete_queue(self.driver, gone)
        self.post(3, body=long)
        self.store.clear(self.queue, self.clock())
        self.post(3, body=long, ttl=10)
        self.clock.advance(10)
        positions = self.post(6, body=long)
        self.store.delete(self.queue, positions[:2], self.clock())
        self.claim(2, take=True)
        self.store.sweep(self.clock(), 1000)
        self.driver.close()

        self.assertEqual((2, 2), self.inspect('SELECT (SELECT count(*) FROM bodies), (SELECT count(*) FROM messages)'))
        self.assertEqual((1,), self.inspect('SELECT count(*) FROM heads'))

    def test_the_numbers_of_lives_that_are_over_are_used_again(self):
        lives = set()
        for number in range(5):
            other = drivers.make_queue(self.driver, f'other-{number}')
            self.post(3)
            self.store.clear(self.queue, self.clock())
            drivers.delete_queue(self.driver, other)
            lives.update(self.write('SELECT group_concat(life) FROM heads').split(','))
            self.store.sweep(self.clock(), 1000)

        self.assertEqual(3, len(lives))
        self.assertEqual(1 + 2, self.write('SELECT (SELECT count(*) FROM heads) + (SELECT count(*) FROM spare_lives)'))

    def test_a_queue_that_has_used_all_its_positions_takes_no_more(self):
        other = drivers.make_queue(self.driver, 'other')
        self.post(queue=other)
        last = schema.POSITIONS - 1
        self.write(f"UPDATE heads SET position = {last - 2} WHERE queue_id = '{self.queue.id}' RETURNING life")

        self.assertEqual([last - 1], self.post())
        error = self.assertRaises(errors.Unavailable, self.post, 2)
        self.assertEqual([last], self.post())
        self.assertRaises(errors.Unavailable, self.post)

        self.assertIn('no_room_in_this_queue', str(error))
        self.assertEqual([last - 1, last], [message.position for message in self.list().messages])
        self.assertEqual([1], [message.position for message in self.list(other).messages])
        self.assertEqual([], self.list(positions=(last + 2,)).messages, 'this is a place in the other queue')
        self.assertEqual([], self.list(after=last + 1, include_claimed=True).messages)
        self.assertEqual([], self.store.delete(self.queue, [last + 2], self.clock()).positions)

    def test_a_file_that_holds_as_many_queues_as_it_can_takes_no_more(self):
        self.write(f'UPDATE heads SET life = {2**62 - schema.POSITIONS} RETURNING life')
        self.assertEqual([1], self.post())

        error = self.assertRaises(errors.Unavailable, drivers.make_queue, self.driver, 'other')

        self.assertIn('no_room_for_another_queue', str(error))
        self.assertEqual([2], self.post())
        self.assertEqual([1, 2], [message.position for message in self.list().messages])

    def test_a_file_of_something_else_is_refused(self):
        path = self.folder / 'else.db'
        self.inspect('CREATE TABLE a (b)', path)
        before = path.read_bytes()

        self.assert_refused('something else', path)

        self.assertEqual(before, path.read_bytes())

    def test_a_file_that_is_no_database_is_refused(self):
        path = self.folder / 'text'
        path.write_text('Dear diary, ' * 1000)

        with self.assertLogs(database.LOG):
            self.assert_refused('not a database', path)

    def test_a_file_of_a_later_release_is_refused(self):
        self.driver.close()
        self.inspect(f'PRAGMA user_version = {schema.VERSION + 1}')

        self.assert_refused('later release')

    def test_a_file_of_before_the_first_release_is_refused(self):
        self.driver.close()
        self.inspect('PRAGMA user_version = 1')

        self.assert_refused('before the first release')

    def test_a_folder_in_place_of_the_file_is_refused(self):
        self.assert_refused('directory', self.folder)

    def test_fields_and_orders_that_are_new_are_added(self):
        older = records.Table('things', {'id': str, 'name': str}, ('id',))
        newer = records.Table(
            'things', {'id': str, 'name': str, 'tags': list}, ('id',), unique=(('name',),), indexes=(('tags',),)
        )
        self.patch(tables, 'ALL', (*tables.ALL, older))
        self.driver.prepare()
        self.driver.records.insert(older, [{'id': 'a', 'name': 'x'}])
        self.patch(tables, 'ALL', (*tables.ALL[:-1], newer))
        self.driver.prepare()

        answers = self.driver.records.insert(
            newer, [{'id': 'b', 'name': 'x', 'tags': []}, {'id': 'c', 'name': 'y', 'tags': ['t']}]
        )

        self.assertIsInstance(answers[0], errors.Duplicate)
        found = self.driver.records.find(newer, records.Query()).records
        self.assertEqual([('a', None), ('c', ['t'])], [(record['id'], record['tags']) for record in found])

    def test_keys_of_a_file_that_did_not_keep_them_for_their_messages_are_known(self):
        keyed = self.draft(key='a', key_until=self.clock() + HOUR)
        [first] = self.store.append(self.queue, [keyed], self.clock())
        self.driver.close()
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.execute('ALTER TABLE keys DROP COLUMN over')

        reopened = self.open().messages

        [again] = reopened.append(self.queue, [keyed], self.clock())
        self.assertEqual(ports.Appended(first.position, True), again)
        page = reopened.select(self.queue, ports.Selection(keys=('a',)), self.clock())
        self.assertEqual([first.position], [message.position for message in page.messages])

    def test_records_past_their_time_are_swept(self):
        table = records.Table('notes', {'id': str, 'ends_at': float}, ('id',), expires='ends_at')
        self.patch(tables, 'ALL', (*tables.ALL, table))
        self.driver.prepare()
        ends = {'past': 5.0, 'now': self.clock(), 'later': self.clock() + 1, 'never': None}
        self.driver.records.insert(table, [{'id': id, 'ends_at': end} for id, end in ends.items()])

        self.assertEqual(2, self.store.sweep(self.clock(), 100))

        found = self.driver.records.find(table, records.Query()).records
        self.assertEqual({'later', 'never'}, {record['id'] for record in found})

    def leave_open(self):
        """Have a process killed while it has the file open."""
        program = self.run_script("post(3); print('ready', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
        program.stdout.readline()
        program.wait(PATIENCE)

    def test_a_file_that_was_not_closed_is_checked(self):
        self.driver.close()
        self.leave_open()

        with self.assertLogs(database.LOG) as log:
            driver.Driver(self.path).prepare()

        self.assertIn('not closed properly', log.output[0])
        self.assertEqual(3, self.total())

    def test_a_file_that_was_closed_is_not_checked_nor_one_that_others_use(self):
        self.driver.close()
        with self.assertNoLogs(database.LOG):
            driver.Driver(self.path).prepare()
            self.post()
            driver.Driver(self.path).prepare()
            self.leave_open()
            driver.Driver(self.path).prepare()

    def test_a_file_that_was_not_closed_and_is_damaged_is_refused(self):
        self.post(2000)
        self.driver.close()
        self.leave_open()
        spoil(self.path)

        with self.assertLogs(database.LOG):
            self.assert_refused('')


def spoil(path):
    """Overwrite most pages of a database."""
    with open(path, 'r+b') as file:
        for place in range(3 * 4096, path.stat().st_size, 2 * 4096):
            file.seek(place)
            file.write(b'\xff' * 500)


class ProcessTest(SQLiteTest):
    def test_a_forked_child_and_its_parent_both_go_on(self):
        self.post()
        self.list()
        child = os.fork()
        if child == 0:
            try:
                positions = self.post(5)
                self.driver.close()
                os._exit(0 if positions == [2, 3, 4, 5, 6] else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)

        self.assertEqual(0, os.waitstatus_to_exitcode(status))
        self.assertEqual([7], self.post())
        self.assertEqual(7, self.total())

    def test_a_fork_carries_no_open_file_along(self):
        self.post()
        self.list()
        child = os.fork()
        if child == 0:
            files = {os.path.realpath(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')}
            os._exit(any(name.startswith(str(self.path)) for name in files))
        _, status = os.waitpid(child, 0)

        self.assertEqual(0, os.waitstatus_to_exitcode(status))

    def test_killed_writers_lose_nothing_that_was_acknowledged(self):
        acknowledged = []
        for _ in range(3):
            programs = [
                self.run_script(
                    """
                    def work():
                        while True:
                            os.write(1, '{} {}{}'.format(*post(2, arguments[0].encode()), os.linesep).encode())
                    [threading.Thread(target=work).start() for _ in range(3)]
                    """,
                    number,
                )
                for number in range(3)
            ]
            lines = [program.stdout.readline() for program in programs]
            time.sleep(0.2)
            for program in programs:
                program.send_signal(signal.SIGKILL)
            for program, line in zip(programs, lines, strict=True):
                whole = (line + program.stdout.read()).rpartition('\n')[0]
                acknowledged += [int(position) for position in whole.split()]
                program.wait(PATIENCE)

        self.driver.prepare()

        found, after = [], 0
        while page := self.list(after=after, limit=1000).messages:
            found += [message.position for message in page]
            after = found[-1]
        self.assertGreater(len(acknowledged), 100)
        self.assertEqual(len(set(acknowledged)), len(acknowledged), 'a position was given twice')
        self.assertEqual(set(), set(acknowledged) - set(found))
        self.assertEqual(len(found), self.total())

    def test_processes_take_turns(self):
        """The gate lets each have a share; without it the busiest gets nearly all."""
        programs = [
            self.run_script(
                """
                post()
                print('ready', flush=True)
                sys.stdin.readline()
                count, end = 0, time.monotonic() + 0.7
                def work():
                    global count
                    while time.monotonic() < end:
                        post()
                        count += 1
                threads = [threading.Thread(target=work) for _ in range(2)]
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]
                print(count, flush=True)
                """,
                stdin=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        for program in programs:
            self.addCleanup(program.stdin.close)
            program.stdout.readline()
        for program in programs:
            program.stdin.write('go\n')
            program.stdin.flush()
        counts = [int(program.stdout.readline()) for program in programs]

        self.assertGreater(min(counts), max(counts) / 10, counts)
