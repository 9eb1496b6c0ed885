"""How staged messaging goes on in a project: as for all, unless a token was made that says otherwise."""

import collections.abc
import logging
import re
import time

import msgspec

from queueservice.model import deliveries, errors, queues, schedules, subscribers
from queueservice.services import overrides, sequences
from queueservice.storage import base, tables

_LOG = logging.getLogger(__name__)

#: Which of the operator's rules a project may have its own of.
NAMES = ('timezone', 'misfire', 'identity_url', 'outbound_queue')
#: Seconds for which a process believes what it read.
FRESH = 5.0

_REMEMBERED = 16384
_URL = re.compile(r'https?://[!"$->@-~]{1,2000}', re.IGNORECASE)


class ProjectRules:
    """
    :param defaults: what the operator says.
    :param delivery: where identity stores may be reached.
    """

    def __init__(
        self,
        driver: base.Driver,
        defaults: sequences.Rules,
        delivery: deliveries.Rules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._timezone = defaults.timezone
        self._overrides = overrides.Overrides(driver, tables.PROJECT_RULES, defaults, NAMES)
        self._delivery = delivery
        self._clock = clock
        self._known: dict[str, tuple[float, sequences.Rules]] = {}  # by project: when it was read, and what holds

    def find(self, project: str) -> sequences.Rules:
        """The rules that hold for a project, as they were at most FRESH seconds ago."""
        read_at, known = self._known.get(project, (0, None))
        if known is not None and 0 <= self._clock() - read_at < FRESH:
            return known
        return self._remember(project, self._overrides.get(project))

    def change(self, project: str, changes: collections.abc.Mapping[str, str | None]) -> None:
        """Set rules of one project, or back to the operator's where None is given.

        In force at once in this process, and after FRESH seconds in every other.

        :raises FieldsInvalid: a value is none; names the field.
        """
        self._check(changes)
        self._remember(project, self._overrides.change(project, changes))

    def _check(self, changes):
        problems = {}
        for name, value in changes.items():
            try:
                if value is not None:
                    getattr(self, f'_check_{name}')(value)
            except (ValueError, errors.Invalid) as error:
                problems[name] = [str(error)]
        if problems:
            raise errors.FieldsInvalid(problems=problems)

    def _check_timezone(self, value):
        schedules.read_zone(value)

    def _check_misfire(self, value):
        if value not in (schedules.ONCE, schedules.SKIP):
            raise ValueError(f'This is "{schedules.ONCE}" or "{schedules.SKIP}".')

    def _check_identity_url(self, value):
        if not _URL.fullmatch(value):
            raise ValueError(
                'This is an absolute URL of http or https without a query, such as https://id.example/api/v1.'
            )
        try:
            subscribers.read_url(value, self._delivery)
        except errors.BodyInvalid:
            raise ValueError(
                'This service sends nothing to this URL: its scheme or its address is not allowed.'
            ) from None

    def _check_outbound_queue(self, value):
        queues.check_name(value)

    def _remember(self, project, rules):
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        try:
            schedules.read_zone(rules.timezone)
        except ValueError:
            # It was there when it was asked for: another host, or a later release, may lack it. Others must not wait.
            _LOG.error(
                'This host knows no time zone "%s", so the schedules of project %s are read in %s.',
                rules.timezone,
                project,
                self._timezone,
            )
            rules = msgspec.structs.replace(rules, timezone=self._timezone)
        self._known[project] = self._clock(), rules
        return rules
