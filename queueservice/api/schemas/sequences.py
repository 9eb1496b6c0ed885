"""The documents of staged messaging: schedules, message sets with their messages and files, subscriptions.

Fields of a document that is sent are optional where they have a default; a PATCH may leave out the others, too.
"""

import typing

import msgspec

from queueservice.model import sequences

Unset = msgspec.UNSET


def _text(most, least=0):
    # What is a number is taken for its digits.
    return typing.Annotated[
        str, msgspec.Meta(min_length=least, max_length=most, extra_json_schema={'x-type': ['string', 'number']})
    ]


def _number(least, most, pattern):
    # And digits for the number that they are.
    return typing.Annotated[
        int,
        msgspec.Meta(ge=least, le=most, extra_json_schema={'x-type': ['integer', 'string'], 'pattern': f'^{pattern}$'}),
    ]


Id = _number(0, 2**63 - 1, '[0-9]{1,18}')
#: Whole numbers that are no ids.
Number = _number(-(2**31), 2**31 - 1, '-?[0-9]{1,9}')
Language = _text(6, 1)
Cron = _text(64)
Text = typing.Annotated[str, msgspec.Meta(extra_json_schema={'x-type': ['string', 'number']})]
Truth = typing.Annotated[
    bool,
    msgspec.Meta(
        extra_json_schema={
            'x-type': ['boolean', 'string', 'integer'],
            'enum': [True, False, 'true', 'false', 'True', 'False', 1, 0, '1', '0'],
        }
    ),
]
ContentType = typing.Literal['text', 'audio']
ProcessStatus = typing.Literal[-2, -1, 0, 1, 2]
#: An object with anything in it.
Metadata = dict[str, msgspec.Raw]
Time = typing.Annotated[str, msgspec.Meta(extra_json_schema={'format': 'date-time'})]


class ScheduleIn(msgspec.Struct):
    minute: Cron = '*'
    hour: Cron = '*'
    day_of_week: Cron = '*'
    day_of_month: Cron = '*'
    month_of_year: Cron = '*'


class ScheduleOut(msgspec.Struct):
    id: int
    minute: str
    hour: str
    day_of_week: str
    day_of_month: str
    month_of_year: str


class RunsOut(msgspec.Struct):
    """When a schedule runs next; fewer times where there are no more within 50 years."""

    results: list[Time]


class MessageSetIn(msgspec.Struct):
    short_name: _text(100, 1)
    default_schedule: Id
    label: _text(100) = ''
    content_type: ContentType = 'text'
    notes: Text | None = None
    next_set: Id | None = None
    channel: _text(64) | None = None


class MessageSetOut(msgspec.Struct):
    id: int
    short_name: str
    label: str
    content_type: str
    notes: str | None
    next_set: int | None
    default_schedule: int
    channel: str | None
    created_at: Time
    updated_at: Time


class FileOut(msgspec.Struct):
    id: int
    content: str


class FileIn(msgspec.Struct):
    """A form: the file is its part "content"."""

    content: typing.Annotated[str, msgspec.Meta(extra_json_schema={'contentMediaType': 'application/octet-stream'})]


class SetMessageIn(msgspec.Struct):
    """A message of a set. It needs a text or a file."""

    messageset: Id
    sequence_number: Number
    lang: Language
    metadata: Metadata = {}
    text_content: Text | None = None
    binary_content: Id | None = None


class SetMessageOut(msgspec.Struct):
    id: int
    messageset: int
    sequence_number: int
    lang: str
    text_content: str | None
    binary_content: int | None
    metadata: msgspec.Raw
    created_at: Time
    updated_at: Time


class SetMessageContentOut(msgspec.Struct):
    id: int
    messageset: int
    sequence_number: int
    lang: str
    text_content: str | None
    binary_content: FileOut | None
    created_at: Time
    updated_at: Time


class MessageSetMessagesOut(msgspec.Struct):
    id: int
    short_name: str
    notes: str | None
    next_set: int | None
    default_schedule: int
    messages: list[SetMessageContentOut]
    created_at: Time
    updated_at: Time


class EnrolmentIn(msgspec.Struct):
    identity: _text(36, 1)
    messageset: Id
    lang: Language
    schedule: Id
    version: Number = 1
    next_sequence_number: Number = 1
    initial_sequence_number: Number = 1
    active: Truth = True
    completed: Truth = False
    process_status: ProcessStatus = sequences.READY
    metadata: Metadata | None = None


class EnrolmentRequestIn(msgspec.Struct):
    data: EnrolmentIn


class EnrolmentOut(msgspec.Struct):
    id: str
    url: str
    version: int
    identity: str
    messageset: int
    next_sequence_number: int
    initial_sequence_number: int
    lang: str
    active: bool
    completed: bool
    schedule: int
    process_status: int
    metadata: msgspec.Raw | None
    created_at: Time
    updated_at: Time
    messageset_label: str | None


class FailedTaskOut(msgspec.Struct):
    url: str
    id: int
    subscription: str
    subscription_id: str
    task_id: str
    initiated_at: Time
    reason: str


class PageOut(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None


class SchedulesOut(PageOut):
    results: list[ScheduleOut]


class MessageSetsOut(PageOut):
    results: list[MessageSetOut]


class SetMessagesOut(PageOut):
    results: list[SetMessageOut]


class FilesOut(PageOut):
    results: list[FileOut]


class EnrolmentsOut(PageOut):
    results: list[EnrolmentOut]


class FailedTasksOut(PageOut):
    results: list[FailedTaskOut]


class AcceptedOut(msgspec.Struct):
    accepted: bool
    reason: str | msgspec.UnsetType = Unset


class RequeuedOut(msgspec.Struct):
    requeued_failed_tasks: bool


class UserIn(msgspec.Struct):
    """A new token; and how staged messaging of its project goes on from now on, where that is not as it was.

    null: as the operator says for all.
    """

    email: _text(255, 1)
    timezone: _text(255, 1) | None = None
    misfire: typing.Literal['once', 'skip'] | None = None
    identity_url: _text(2048, 1) | None = None
    outbound_queue: _text(64, 1) | None = None


class UserOut(msgspec.Struct):
    token: str


class MetricsOut(msgspec.Struct):
    metrics_available: list[str]


class MetricsFiredOut(msgspec.Struct):
    scheduled_metrics_initiated: bool


class HealthResultOut(msgspec.Struct):
    database: str
    version: str


class HealthOut(msgspec.Struct):
    up: bool
    result: HealthResultOut


class DetailOut(msgspec.Struct):
    """What was wrong with the request; where fields were, there is a list of sentences for each instead."""

    detail: str | msgspec.UnsetType = Unset
