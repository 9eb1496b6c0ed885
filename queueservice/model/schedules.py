"""Schedules: the cron lines by which sequences go on, and the instants that they mean in a time zone."""

import collections.abc
import datetime
import zoneinfo

import cronsim
import msgspec

from queueservice.model import errors

#: What happens to runs that nobody was there for: the last of them is made up for, or none.
ONCE, SKIP = 'once', 'skip'
#: Seconds by which a run may be late and is none that was missed.
GRACE = 300

#: Fields of a schedule -> how cronsim calls them in its errors.
FIELDS = {
    'minute': 'minute',
    'hour': 'hour',
    'day_of_month': 'day-of-month',
    'month_of_year': 'month',
    'day_of_week': 'day-of-week',
}


class Schedule(msgspec.Struct, frozen=True):
    """When the enrolments that name it go on. Its five texts are the fields of a cron line."""

    id: int
    project: str
    minute: str
    hour: str
    day_of_month: str
    month_of_year: str
    day_of_week: str
    due_at: float | None  # s, UTC; its next run. None: there is none
    created_at: float  # s, UTC
    deleting_until: float = 0  # s, UTC; until then nothing may begin to use it
    revision: int = 0

    @property
    def line(self) -> str:
        """The cron line, as cron orders it. Blanks within a field mean nothing, and an empty one means any."""
        return ' '.join(''.join(getattr(self, field).split()) or '*' for field in FIELDS)


def read_zone(name: str) -> datetime.tzinfo:
    """The time zone of this name.

    :raises ValueError: there is none.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'There is no time zone "{name}". Give one of the IANA database, such as UTC.') from None


def check(schedule: Schedule) -> None:
    """Refuse what cron does not understand.

    :raises FieldsInvalid: naming the field.
    """
    try:
        cronsim.CronSim(schedule.line, datetime.datetime(2000, 1, 1))
    except cronsim.CronSimError as error:
        field = next((name for name, word in FIELDS.items() if str(error).endswith(word)), 'minute')
        text = getattr(schedule, field)
        raise errors.FieldsInvalid(
            problems={field: [f'"{text}" cannot stand here in a cron line. "*" is any; numbers, lists, ranges and '
                              'steps are such as "1,15", "8-17" and "*/10".']}
        ) from None  # fmt: skip


def runs(schedule: Schedule, after: float, zone: datetime.tzinfo) -> collections.abc.Iterator[float]:
    """The instants (s, UTC) behind `after` at which it runs, in their order.

    Where clocks go forward, a run within what is left out is made up for right behind it; where they go back, a run
    at a certain hour is not repeated. Source: Debian's cron.
    """
    last = after
    for at in cronsim.CronSim(schedule.line, datetime.datetime.fromtimestamp(after, zone)):
        instant = at.timestamp()
        if instant > last:
            yield instant
            last = instant


def next_run(schedule: Schedule, after: float, zone: datetime.tzinfo) -> float | None:
    """The first instant behind `after` at which it runs; None: there is none in the next 50 years."""
    return next(runs(schedule, after, zone), None)


def last_run(schedule: Schedule, now: float, zone: datetime.tzinfo) -> float:
    """The last of the runs from `schedule.due_at` to `now`, of which there is one."""
    backwards = cronsim.CronSim(schedule.line, datetime.datetime.fromtimestamp(now + 1, zone), reverse=True)
    for at in backwards:
        instant = at.timestamp()
        if instant <= now:
            return max(instant, schedule.due_at)
    return schedule.due_at
