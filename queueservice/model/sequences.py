"""Sequences: messages that recipients get one after the other, each when a schedule says so.

A message set holds the messages, by number and language; an enrolment is the place of one recipient in it. The API
calls enrolments subscriptions, which are something else here.

Source: the Seed Stage-Based Messaging Store.
"""

import collections.abc
import re
import typing
import uuid

import msgspec

#: How it stands with an enrolment, as the API says it.
READY = 0
COMPLETED = 2
NO_ADDRESS = -1

#: What the messages of a set consist of.
TEXT, AUDIO = 'text', 'audio'

#: Which of the requests to send an enrolment remembers that it has carried out: so many, and all of so many seconds.
#: One that was cut off then is tried again a minute later.
_HANDLED = 16
_HANDLED_FOR = 180

#: What is posted has this place in the metadata of an enrolment: it goes in front of the next message, once.
_PREPENDED = 'prepend_next_delivery'
_ADDRESS = 'to_addr'

#: Characters that the telephone network would send as something else.
CURLY = '\u201c\u201d\u2019\u2013'
_NO_WHATSAPP = re.compile(r'[\n\t]| {4}')

#: Below this, doubles are exact where they are whole numbers.
_EXACT = 2**53

Metadata = dict[str, msgspec.Raw]


class MessageSet(msgspec.Struct, frozen=True):
    id: int
    project: str
    short_name: str
    label: str
    content_type: str  # TEXT or AUDIO
    notes: str | None
    next_set: int | None  # where those go on that have completed this one
    default_schedule: int  # of those that come from another set
    channel: str | None  # handed on with each message
    created_at: float  # s, UTC
    updated_at: float
    deleting_until: float = 0  # s, UTC; until then nothing may begin to use it
    revision: int = 0


class SetMessage(msgspec.Struct, frozen=True):
    """A message of a set, in one language."""

    id: int
    project: str
    messageset: int
    sequence_number: int
    lang: str
    metadata: bytes  # JSON object
    text_content: str | None
    binary_content: int | None  # a file
    created_at: float  # s, UTC
    updated_at: float
    revision: int = 0


class File(msgspec.Struct, frozen=True):
    """What was uploaded, without its bytes."""

    id: int
    project: str
    token: str  # 128 random bits, hex: whoever has it may read the file
    name: str
    base: str  # what the address of the service began with where it was uploaded
    size: int  # bytes
    created_at: float  # s, UTC
    deleting_until: float = 0  # s, UTC; until then nothing may begin to use it
    revision: int = 0

    @property
    def path(self) -> str:
        return f'/media/{self.token}/{self.name}'


class Enrolment(msgspec.Struct, frozen=True):
    """How far one recipient has come in a set, and how he goes on."""

    id: str  # a UUID
    project: str
    version: int
    identity: str
    messageset: int
    lang: str
    schedule: int
    next_sequence_number: int
    initial_sequence_number: int
    active: bool
    completed: bool
    process_status: int  # READY, COMPLETED or NO_ADDRESS
    metadata: bytes | None  # JSON object
    metadata_keys: list[str]
    created_at: float  # s, UTC
    updated_at: float
    ticked_at: float  # s, UTC; the run of a schedule that it was last sent a message for
    round: int = 0  # rises when a client sets what comes next, or opens it again: numbers may then come once more
    handled: list[str] = msgspec.field(default_factory=list)  # the last requests to send, each with the time
    revision: int = 0

    @property
    def is_ready(self) -> bool:
        return self.active and not self.completed and self.process_status == READY


class Place(typing.NamedTuple):
    """Where an enrolment is in its set."""

    number: int | None  # of the message that comes now; None: there is none any more
    following: int | None  # the number behind it; None: there is none


class Failure(msgspec.Struct, frozen=True):
    """A message that could not be sent although it was tried for long: the API calls it a failed task."""

    id: int
    project: str
    enrolment: str
    task_id: str
    initiated_at: float  # s, UTC
    reason: str
    detail: str  # of user_messages.DETAILS
    resend: bool
    revision: int = 0


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an internal message: one enrolment is to be sent its next message, or its last one again."""

    id: str  # a UUID
    project: str
    enrolment: str
    resend: bool = False
    run_at: float | None = None  # s, UTC; the run of the schedule that asks for it; None: somebody does


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an internal message: a schedule runs, for its enrolments behind `after`."""

    project: str
    schedule: int
    run_at: float  # s, UTC
    after: str = ''  # the id of an enrolment


def new_token() -> str:
    return uuid.uuid4().hex


def new_id() -> str:
    return str(uuid.uuid4())


def locate(next_number: int, numbers: collections.abc.Iterable[int]) -> Place:
    """Where an enrolment is whose next message has this number; gaps in the numbers are jumped.

    :param numbers: those of the messages in its language, ascending; two of them from `next_number` on suffice.
    """
    left = [number for number in numbers if number >= next_number][:2]
    return Place(*left, *[None] * (2 - len(left)))


def advance(enrolment: Enrolment, place: Place, now: float) -> Enrolment:
    """The enrolment when the message at `place` is on its way: at the next one, or at the end, where the last one was.

    What was to be put in front of the message is used up.
    """
    metadata = _use_up_prepended(enrolment.metadata)
    if place.following is not None:
        return msgspec.structs.replace(
            enrolment, next_sequence_number=place.following, metadata=metadata, updated_at=now
        )
    return msgspec.structs.replace(
        enrolment,
        next_sequence_number=enrolment.next_sequence_number if place.number is None else place.number,
        active=False,
        completed=True,
        process_status=COMPLETED,
        metadata=metadata,
        updated_at=now,
    )


def succeed(enrolment: Enrolment, message_set: MessageSet, now: float) -> Enrolment:
    """Where a recipient goes on who has completed the set before: at the beginning of this one.

    The same whenever it is asked for, but for the time.
    """
    name = f'{enrolment.id}:{enrolment.round}:{message_set.id}'
    return Enrolment(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        project=enrolment.project,
        version=1,
        identity=enrolment.identity,
        messageset=message_set.id,
        lang=enrolment.lang,
        schedule=message_set.default_schedule,
        next_sequence_number=1,
        initial_sequence_number=1,
        active=True,
        completed=False,
        process_status=READY,
        metadata=None,
        metadata_keys=[],
        created_at=now,
        updated_at=now,
        ticked_at=now,
    )


def task_of(enrolment: Enrolment, of: Range) -> Task:
    """What an enrolment is to be sent because its schedule runs: the same task whenever it is asked for."""
    name = f'{enrolment.id}:{of.run_at}'
    return Task(str(uuid.uuid5(uuid.NAMESPACE_OID, name)), enrolment.project, enrolment.id, run_at=of.run_at)


def handle(enrolment: Enrolment, task: Task, now: float) -> Enrolment:
    """The enrolment when `task` is done."""
    if task.run_at is not None:
        return msgspec.structs.replace(enrolment, ticked_at=task.run_at)
    known = enrolment.handled
    # Before there were times, none was written.
    recent = [one for one in known[:-_HANDLED] if float(one.partition(' ')[2] or 0) > now - _HANDLED_FOR]
    return msgspec.structs.replace(enrolment, handled=[*recent, *known[-_HANDLED:], f'{task.id} {now:.0f}'])


def is_handled(enrolment: Enrolment, task: Task) -> bool:
    """Whether `task` is done already, or was never meant for this enrolment: runs are for those who were there."""
    if task.run_at is not None:
        return enrolment.ticked_at >= task.run_at
    return any(one.startswith(task.id) for one in enrolment.handled)


def index(enrolment: Enrolment) -> Enrolment:
    """The enrolment with the names that its metadata have, to be found by."""
    return msgspec.structs.replace(enrolment, metadata_keys=names(enrolment.metadata))


def names(metadata: bytes | None) -> list[str]:
    """The names of what is in `metadata`; none where it is null."""
    return [*_read(metadata)]


def normalize(metadata: bytes | None) -> bytes | None:
    """`metadata` written in one way: the same for all that differ in order, blanks or the form of numbers alone."""
    if metadata is None:
        return None
    return msgspec.json.encode(_NUMBERS_ALIKE.decode(metadata), order='sorted')


def key(enrolment: Enrolment, number: int, task: Task) -> str:
    """What a message that is posted is known by: the same step is posted once, however often it is tried.

    So is what is sent again on demand, whatever the number is by then: others may have gone on meanwhile.
    """
    if task.resend:
        return f'{enrolment.id}:{task.id}'
    return f'{enrolment.id}:{number}' + (f':{enrolment.round}' if enrolment.round else '')


def address(enrolment: Enrolment) -> str | None:
    """Where the recipient is to be reached, if the enrolment says so."""
    found = _read(enrolment.metadata).get(_ADDRESS)
    if found is None:
        return None
    found = msgspec.json.decode(found)
    return found if isinstance(found, str) and found else None


class Outbound(msgspec.Struct, omit_defaults=True):
    """What is posted to the queue from which recipients are reached: all that a sender needs."""

    to_addr: str
    to_identity: str
    delivered: str  # a word
    resend: str  # a word
    metadata: Metadata
    channel: str | None = None
    content: str | None = None


def build_outbound(
    enrolment: Enrolment, message_set: MessageSet, message: SetMessage, *, to: str, file: str | None, resend: bool
) -> bytes:
    """
    :param to: the address of the recipient.
    :param file: the address of the message's file, if it has one.
    """
    metadata = _read(message.metadata)
    prepended = None if resend else _prepended(enrolment.metadata)  # that is for the next one
    content = None
    if message_set.content_type == AUDIO:
        if file is not None:
            addresses = [file] if prepended is None else [prepended, file]
            metadata['voice_speech_url'] = msgspec.Raw(msgspec.json.encode(addresses))
    else:
        content = message.text_content
        if prepended is not None:
            content = prepended if content is None else f'{prepended}\n{content}'
        if file is not None:
            metadata['image_url'] = msgspec.Raw(msgspec.json.encode(file))
    return msgspec.json.encode(
        Outbound(
            to_addr=to,
            to_identity=enrolment.identity,
            delivered='false',
            resend='true' if resend else 'false',
            metadata=metadata,
            channel=message_set.channel,
            content=content,
        )
    )


def is_fit_for(channel: str | None, text: str | None) -> bool:
    """Whether `text` can be sent through `channel`."""
    return not (text and channel and 'whatsapp' in channel.lower() and _NO_WHATSAPP.search(text))


def _read_number(text):
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_NUMBERS_ALIKE = msgspec.json.Decoder(float_hook=_read_number)


def _read(metadata: bytes | None) -> Metadata:
    return {} if metadata is None else msgspec.json.decode(metadata, type=Metadata)


def _prepended(metadata):
    raw = _read(metadata).get(_PREPENDED)
    found = None if raw is None else msgspec.json.decode(raw)
    return found if isinstance(found, str) and found else None


def _use_up_prepended(metadata):
    if _prepended(metadata) is None:
        return metadata
    return msgspec.json.encode({**_read(metadata), _PREPENDED: None})
