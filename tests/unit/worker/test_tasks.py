"""What a worker does, and how much of it for one host and one project."""

import threading
import time

import testtools

from queueservice.model import lanes
from queueservice.storage import errors
from queueservice.worker import tasks


def lane(name, site='host', project='project'):
    return lanes.Lane(name, project, site, revision=1, due_at=float(len(name)))


class TestDesk(testtools.TestCase):
    def test_a_quarter_serves_one_site(self):
        desk = tasks.Desk(16)
        admitted = [desk.admit(lane('a', 'slow', f'project-{number}')) for number in range(10)]
        self.assertEqual([True] * 4 + [False] * 6, admitted)
        self.assertTrue(desk.admit(lane('a', 'other')))

    def test_half_serves_one_project(self):
        desk = tasks.Desk(16)
        admitted = [desk.admit(lane('a', f'host-{number}')) for number in range(12)]
        self.assertEqual([True] * 8 + [False] * 4, admitted)
        self.assertTrue(desk.admit(lane('a', 'host', 'other')))

    def test_there_are_no_more_than_there_are(self):
        desk = tasks.Desk(4)
        admitted = [desk.admit(lane('a', f'host-{number}', f'project-{number}')) for number in range(5)]
        self.assertEqual([True] * 4 + [False], admitted)
        self.assertFalse(desk.has_room())

    def test_one_alone_serves_everybody(self):
        desk = tasks.Desk(1)
        self.assertTrue(desk.admit(lane('a')))
        self.assertFalse(desk.admit(lane('a', 'other', 'other')))

    def test_who_is_free_can_be_reserved_again(self):
        desk = tasks.Desk(4)
        for _ in range(3):
            self.assertTrue(desk.admit(lane('a')))
            self.assertFalse(desk.admit(lane('b')))
            desk.leave(lane('a'))


class Steps:
    """Has ranges to do that take so many seconds."""

    def __init__(self, *ranges):
        self._left = [*ranges]

    def start(self):
        return 0

    def do_range(self):
        if not self._left:
            return 0
        time.sleep(self._left.pop())
        return 1


class TestSchedule(testtools.TestCase):
    def test_it_gives_way_twice_as_long_as_it_took_but_not_for_long(self):
        pauses = []
        schedule = tasks.Schedule(Steps(0.1, 0.01), pauses.append)
        self.assertEqual([True, True, False], [schedule() for _ in range(3)])
        quick, slow = pauses
        self.assertGreaterEqual(quick, 0.02)
        self.assertEqual(0.05, slow)


class TestLookUp(testtools.TestCase):
    def test_no_question_is_asked_any_more_when_it_is_being_stopped(self):
        asked = []
        look_up = tasks.LookUp(self, (3, 11), lambda: bool(asked))
        self.look_up = lambda number: asked.append(number) or 1
        self.assertTrue(look_up())
        self.assertEqual([3], asked)


class Lanes:
    """Lanes that are due, in pages."""

    def __init__(self, due):
        self.due = due
        self.places = []

    def find_due(self, now, limit, after=None):
        self.places.append(after and after[1])
        start = 0 if after is None else 1 + next(n for n, one in enumerate(self.due) if (one.due_at, one.id) == after)
        return self.due[start : start + limit]


class Turns:
    """Takes whatever it is given, and does a turn until it may go on."""

    def __init__(self, refuses=(), fails=False):
        self.ids = []
        self.go_on = threading.Event()
        self._refuses = refuses
        self._fails = fails
        self.lent = []

    def take(self, due):
        if self._fails:
            raise errors.Unavailable('It does not answer.')
        return [one for one in due if one.id not in self._refuses]

    def run(self, one, is_stopping, lend):
        self.ids.append(one.id)
        self.lent.append(lend(lambda: None))
        self.go_on.wait(30)


class TestDeliver(testtools.TestCase):
    def build(self, due, turns, senders=16):
        self.woken = threading.Event()
        deliver = tasks.Deliver(Lanes(due), turns, senders, lambda: 0.0, lambda: False, self.woken.set)
        self.addCleanup(deliver.join)
        self.addCleanup(turns.go_on.set)
        return deliver

    def test_a_thousand_lanes_of_one_project_hide_nobody(self):
        due = [lane(f'{number:04}', f'host-{number}', 'loud') for number in range(1000)]
        due.append(lane('quiet', 'host', 'quiet'))
        turns = Turns()
        turns.run = lambda one, is_stopping, lend: turns.ids.append(one.id) or turns.go_on.wait(30)
        self.assertTrue(self.build(due, turns)())
        self.assertIn('quiet', turns.ids)
        self.assertEqual(9, len(turns.ids))

    def test_nor_do_more_than_are_looked_at_at_once(self):
        self.patch(tasks, '_PAGES', 3)
        due = [lane(f'{number:04}', f'host-{number}', 'loud') for number in range(1000)]
        due.append(lane('quiet', 'host', 'quiet'))
        turns = Turns()
        turns.run = lambda one, is_stopping, lend: turns.ids.append(one.id) or turns.go_on.wait(5)
        deliver = self.build(due, turns)
        for _ in range(4):
            deliver()
        self.assertIn('quiet', turns.ids)
        # Then from the beginning.
        deliver()
        self.assertEqual([None, '0099', '0199', '0299'], deliver._lanes.places[:4])
        self.assertEqual(2, deliver._lanes.places.count(None))

    def test_who_was_not_taken_leaves_his_sender_free(self):
        deliver = self.build([lane('a')], Turns(refuses='a'), senders=1)
        for _ in range(3):
            self.assertFalse(deliver())

    def test_an_outage_leaves_the_senders_free(self):
        turns = Turns(fails=True)
        deliver = self.build([lane('a')], turns, senders=1)
        for _ in range(3):
            self.assertRaises(errors.Unavailable, deliver)
        turns._fails = False
        self.assertTrue(deliver())

    def test_the_end_of_a_turn_wakes(self):
        turns = Turns()
        self.build([lane('a')], turns)()
        self.assertFalse(self.woken.is_set())
        turns.go_on.set()
        self.assertTrue(self.woken.wait(30))

    def test_a_turn_that_fails_frees_its_sender(self):
        for failure in (errors.Unavailable('It does not answer.'), ZeroDivisionError()):
            turns = Turns()

            def run(*arguments, failure=failure):
                raise failure

            turns.run = run
            deliver = self.build([lane('a')], turns, senders=1)
            self.assertTrue(deliver())
            self.assertTrue(self.woken.wait(30))
            self.assertTrue(deliver())

    def test_help_is_lent_as_far_as_the_shares_go(self):
        turns = Turns()
        turns.go_on.set()
        self.build([lane('a')], turns, senders=8)()
        self.assertTrue(self.woken.wait(30))
        self.assertIsNotNone(turns.lent[0])

    def test_no_help_is_lent_where_the_share_is_used_up(self):
        turns = Turns()
        turns.go_on.set()
        self.build([lane('a')], turns, senders=4)()
        self.assertTrue(self.woken.wait(30))
        self.assertEqual([None], turns.lent)
