"""Cron lines and the instants that they mean."""

import datetime
import itertools
import zoneinfo

import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import errors, schedules
from tests.fixtures import tables

BERLIN = zoneinfo.ZoneInfo('Europe/Berlin')
UTC = zoneinfo.ZoneInfo('UTC')


def make(line, due_at=None):
    minute, hour, day, month, weekday = line.split(' ')
    return schedules.Schedule(1, 'p', minute, hour, day, month, weekday, due_at, 0.0)


def at(text, zone=UTC):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def tell(line, after, count=3, zone=UTC):
    """The next runs, as the clocks of the zone show them."""
    found = itertools.islice(schedules.runs(make(line), at(after, zone), zone), count)
    return [datetime.datetime.fromtimestamp(one, zone).isoformat(' ', 'minutes')[:16] for one in found]


class TestLines(tables.Tables, testtools.TestCase):
    @tables.each(
        ('any', '* * * * *'), ('steps', '*/5 */2 * * *'), ('lists', '0,30 8,20 1,15 1,7 1,3,5'),
        ('ranges', '0 8-17 * * 1-5'), ('sunday twice', '0 0 * * 0,7'), ('the last day', '0 0 L * *'),
        ('names', '0 0 * JAN MON'),
    )  # fmt: skip
    def test_cron_understands(self, line):
        schedules.check(make(line))

    @tables.each(
        ('words', 'minute', 'not a cron', '*'), ('minute 60', 'minute', '60', '*'), ('hour 99', 'hour', '*', '99'),
        ('a sign', 'minute', '-1', '*'), ('a step of zero', 'minute', '*/0', '*'),
        ('a range backwards', 'hour', '*', '9-5'), ('nothing in a list', 'minute', '1,', '*'),
        ('other digits', 'minute', '٣', '*'),
    )  # fmt: skip
    def test_it_does_not_understand(self, field, minute, hour):
        schedule = schedules.Schedule(1, 'p', minute, hour, '*', '*', '*', None, 0.0)
        error = self.assertRaises(errors.FieldsInvalid, schedules.check, schedule)
        self.assertEqual([field], list(error.facts['problems']))

    def test_a_day_that_no_month_has_is_refused(self):
        error = self.assertRaises(errors.FieldsInvalid, schedules.check, make('0 0 30 2 *'))
        self.assertEqual(['day_of_month'], list(error.facts['problems']))

    @given(st.lists(st.text('0123456789*/,-#LW ASDMON', max_size=12), min_size=5, max_size=5))
    def test_any_text_is_understood_or_refused(self, fields):
        schedule = schedules.Schedule(1, 'p', *fields, None, 0.0)
        try:
            schedules.check(schedule)
        except errors.FieldsInvalid:
            return
        found = list(itertools.islice(schedules.runs(schedule, at('2026-01-31T12:34'), BERLIN), 3))
        self.assertEqual(sorted(set(found)), found)

    def test_blanks_mean_nothing_and_an_empty_field_means_any(self):
        schedule = schedules.Schedule(1, 'p', ' 1, 2 ', '', '*', ' ', '*', None, 0.0)
        self.assertEqual('1,2 * * * *', schedule.line)


class TestRuns(tables.Tables, testtools.TestCase):
    def test_monday_is_one_and_sunday_is_seven(self):
        self.assertEqual(['2026-06-01 08:00', '2026-06-08 08:00'], tell('0 8 * * 1', '2026-05-31T09:00', 2))
        self.assertEqual(['2026-06-07 08:00', '2026-06-14 08:00'], tell('0 8 * * 7', '2026-05-31T09:00', 2))
        self.assertEqual(tell('0 8 * * 7', '2026-05-31T09:00'), tell('0 8 * * 0', '2026-05-31T09:00'))

    def test_the_hour_stays_where_clocks_change(self):
        self.assertEqual(
            ['2026-03-28 08:00', '2026-03-29 08:00', '2026-03-30 08:00'],
            tell('0 8 * * *', '2026-03-27T09:00', zone=BERLIN),
        )

    def test_what_is_left_out_is_made_up_for_right_behind_it(self):
        self.assertEqual(
            ['2026-03-28 02:30', '2026-03-29 03:00', '2026-03-30 02:30'],
            tell('30 2 * * *', '2026-03-27T09:00', zone=BERLIN),
        )

    def test_what_comes_twice_runs_once(self):
        self.assertEqual(
            ['2026-10-25 02:30', '2026-10-26 02:30'], tell('30 2 * * *', '2026-10-24T09:00', 2, zone=BERLIN)
        )
        # Asked within the hour that is repeated.
        second = datetime.datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1).timestamp()
        following = schedules.next_run(make('30 2 * * *'), second, BERLIN)
        self.assertEqual(at('2026-10-26T02:30', BERLIN), following)

    @given(
        st.sampled_from(['* * * * *', '30 2 * * *', '*/20 * * * *', '0 */3 * * *', '15 1-3 * * 0']),
        st.integers(1_774_000_000, 1_793_000_000),
    )
    def test_runs_are_behind_the_place_and_ascend(self, line, after):
        found = list(itertools.islice(schedules.runs(make(line), after, BERLIN), 4))
        self.assertEqual(sorted(set(found)), found)
        self.assertGreater(found[0], after)

    def test_a_leap_day_comes(self):
        self.assertEqual(['2028-02-29 00:00', '2032-02-29 00:00'], tell('0 0 29 2 *', '2026-01-01T00:00', 2))

    def test_the_last_of_those_that_were_missed(self):
        due_at = at('2026-06-01T08:00')
        for now, expected in (
            ('2026-06-01T08:00', '2026-06-01T08:00'),
            ('2026-06-02T07:59', '2026-06-01T08:00'),
            ('2026-06-09T08:00:30', '2026-06-09T08:00'),
        ):
            self.assertEqual(at(expected), schedules.last_run(make('0 8 * * *', due_at), at(now), UTC))

    def test_a_zone_that_there_is_not(self):
        for name in ('Atlantis', '', '../etc/passwd', '/etc/passwd'):
            self.assertIn('IANA', str(self.assertRaises(ValueError, schedules.read_zone, name)))
